# SPDX-License-Identifier: BSD-3-Clause
"""Variational inference: divergences between distributions, and the evidence lower bound that they are part of."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from . import _compose
from ._arrays import as_array
from ._call import (
    NONNEGATIVE,
    UNIT,
    Elementwise,
    Sums,
    check_options,
    elementwise,
    nonnegative,
    real_number,
)
from ._call_row_sums import RENYI as _OF_ORDER
from ._call_row_sums import row_sums as _row_sums

__all__ = ["ELBOParts", "elbo_loss", "gaussian_kl_loss", "js_divergence", "renyi_divergence"]

TO_NORMAL = Elementwise("gaussian_kl_normal", ("mu", "log_var"), (0, 1), summed=True)
BETWEEN = Elementwise("gaussian_kl", ("mu", "log_var", "prior_mu", "prior_log_var"), (0, 1, 2, 3), summed=True)
ROWS = {"operands": ("input", "target"), "predictions": (0, 1), "domains": ((0, NONNEGATIVE), (1, NONNEGATIVE))}
JS = Elementwise("js", summed=True, same_shape=(1,), **ROWS)  # type: ignore[arg-type]
RELATIVE_ENTROPY = Elementwise("relative_entropy", summed=True, same_shape=(1,), **ROWS)  # type: ignore[arg-type]
RENYI = Elementwise("renyi", summed=True, same_shape=(1,), **ROWS)  # type: ignore[arg-type]
RENYI_SQUARE = Elementwise("renyi_square", summed=True, same_shape=(1,), **ROWS)  # type: ignore[arg-type]
RECONSTRUCTIONS = {
    "bce": Elementwise("bce", domains=((0, UNIT), (1, UNIT))),
    "bce_with_logits": Elementwise("bce_logits"),
    "mse": Elementwise("mse"),
    "l1": Elementwise("l1"),
}


def gaussian_kl_loss(
    mu: Any, log_var: Any, prior_mu: Any = None, prior_log_var: Any = None, *, reduction: str = "mean",
    mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Divergence of diagonal Gaussians from the standard normal, :math:`\frac12 \sum_d (e^{s_d} + \mu_d^2 - 1 - s_d)`,
    or from others.

    From a prior of mean n and log-variance u it is
    :math:`\frac12 \sum_d (e^{s_d - u_d} + (\mu_d - n_d)^2 e^{-u_d} - 1 - s_d + u_d)`.

    Parameters
    ----------
    mu : array_like, shape (D,), (N, D) or (..., D)
        Means. The last axis is that of the dimensions, over which the divergence is summed. A prediction operand, which
        gets the gradient mu, or (mu - n) exp(-u).
    log_var : array_like, broadcastable to `mu`
        Logarithms s of the variances. A prediction operand, which gets (exp(s - u) - 1) / 2.
    prior_mu : array_like, broadcastable to `mu`, optional
        Means n of the second Gaussians; with `prior_log_var` or not at all. A prediction operand where given, which
        gets minus the gradient of `mu`.
    prior_log_var : array_like, broadcastable to `mu`, optional
        Logarithms u of their variances. A prediction operand where given, which gets
        (1 - exp(s - u) - (mu - n)^2 exp(-u)) / 2.
    reduction : {"mean", "sum", "none"}
        "none" gives one divergence per row; "mean" divides their sum by the number of rows that count, not by that of
        the dimensions.
    mask : array_like of bool, broadcastable to the shape of `mu` without its last axis, optional
        False leaves a row out of value (0 with "none"), gradients (0) and denominator.
    return_grad : bool
        Also return the gradients of the reduced loss; with "none", those of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the unreduced loss into.
    grad_out : tuple of ndarrays, optional
        The same for the gradients, of the shapes of their operands.

    Returns
    -------
    value : numpy.float64 in nats, never negative, or an array of the shape of `mu` without its last axis with "none"
    grads : tuple of arrays, of the shapes of the two or four operands, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        Half of a prior, no last axis or one of length 0, a shape that would enlarge `mu`, an option or a dtype that is
        not one of the above. Nothing is written then.

    Notes
    -----
    It is summed as exp(t) - 1 - t and a square, t = s - u, neither of which is negative: nearly equal Gaussians keep
    their digits. Gradients of operands that were broadcast (a learned prior of shape (D,)) are summed over the
    broadcast axes.

    float16, bfloat16, float32, float64 and integer arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: D. P. Kingma and M. Welling, Auto-Encoding Variational Bayes (2014), appendix B;
    ``torch.distributions.kl_divergence`` of two ``Normal``, summed over the last axis.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.gaussian_kl_loss([[1.0, 0.0], [0.0, 2.0]], 0.0, reduction="none").tolist()
    [0.5, 2.0]
    >>> value, grads = fl.gaussian_kl_loss([[1.0, 0.0]], 0.0, [0.0, 0.0], 0.0, return_grad=True)
    >>> float(value), grads[2].tolist()
    (0.5, [-1.0, 0.0])
    """
    if (prior_mu is None) != (prior_log_var is None):
        missing = "prior_mu" if prior_mu is None else "prior_log_var"
        raise ValueError(f"{missing} is None: a prior has a mean and a log-variance, or is the standard normal")
    spec, operands = (
        (TO_NORMAL, (mu, log_var)) if prior_mu is None else (BETWEEN, (mu, log_var, prior_mu, prior_log_var))
    )
    return elementwise(spec, operands, (), reduction, return_grad, None, mask, grad_output, out, grad_out)


class ELBOParts(NamedTuple):
    """Parts of `elbo_loss`, reduced as the loss itself: loss = reconstruction + beta kl."""

    reconstruction: Any
    kl: Any


def elbo_loss(
    input: Any, target: Any, mu: Any, log_var: Any, *, beta: float = 1.0, reconstruction: str = "bce_with_logits",
    reduction: str = "mean", return_grad: bool = False, return_parts: bool = False, grad_output: Any = None,
    grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Negative evidence lower bound of a variational autoencoder,
    :math:`\frac1N \sum_n (\mathrm{reconstruction}_n + \beta\, \mathrm{KL}_n)`.

    The reconstruction is summed over all that belongs to a sample, as the divergence is over the latent dimensions: a
    mean over pixels beside a sum over dimensions would be another loss, with another beta.

    Parameters
    ----------
    input : array_like, shape (N, ...)
        What the decoder gives for each sample. A prediction operand, which gets the gradient of the reconstruction loss
        divided by N.
    target : array_like, broadcastable to `input`
        What the encoder was given.
    mu : array_like, shape (N, D)
        Means of the latent Gaussians. A prediction operand, which gets beta mu / N.
    log_var : array_like, shape (N, D)
        Logarithms of their variances. A prediction operand, which gets beta (exp(log_var) - 1) / (2 N).
    beta : float, not negative, default 1.0
        Factor of the divergence; beyond 1 that of a beta-VAE.
    reconstruction : {"bce_with_logits", "bce", "mse", "l1"}
        Loss of each element of `input`: binary cross entropy of logits or of probabilities, the squared error, or the
        absolute one. A Gaussian decoder of variance v has the squared error over 2 v, so that "mse" is its loss at
        v = 1/2, or at any v with ``beta`` times 2 v.
    reduction : {"mean", "sum"}
        Over the samples.
    return_grad : bool
        Also return the gradients of the reduced loss.
    return_parts : bool
        Also return `ELBOParts`: the reconstruction and the divergence, reduced alike, the latter without beta.
    grad_output : scalar, optional
        Multiplies the gradients, so that losses compose.
    grad_out : tuple of three ndarrays, optional
        Contiguous arrays of the working types to write the gradients into, of the shapes of `input`, `mu` and
        `log_var`.

    Returns
    -------
    value : numpy.float64 in nats
    grads : tuple of three arrays, of the shapes of `input`, `mu` and `log_var`, only with `return_grad`
    parts : ELBOParts, only with `return_parts`

    Raises
    ------
    ValueError, TypeError
        Numbers of samples that differ, a probability outside [0, 1] (with its position), an unknown `reconstruction`, a
        shape that would enlarge `input` or `mu`, an option or a dtype that is not one of the above.

    Notes
    -----
    float16, bfloat16, float32, float64 and integer arrays are read as they are. The working type of either part is
    float64 if a floating operand of it is float64 or none is floating, else float32; sums are float64. Mean over
    nothing is nan.

    Source: D. P. Kingma and M. Welling, Auto-Encoding Variational Bayes (2014); I. Higgins et al., beta-VAE (2017).

    Examples
    --------
    >>> import fastloss as fl
    >>> value, parts = fl.elbo_loss([[0.0, 0.0]], [[1, 0]], [[1.0]], [[0.0]], beta=2.0, return_parts=True)
    >>> round(float(value), 6), round(float(parts.reconstruction), 6), float(parts.kl)
    (2.386294, 1.386294, 0.5)
    """
    check_options(reduction, return_grad, grad_output, None, grad_out)
    beta = nonnegative(beta, "beta")
    if not isinstance(reconstruction, str) or reconstruction not in RECONSTRUCTIONS:
        raise ValueError(f"reconstruction must be one of {', '.join(RECONSTRUCTIONS)}, got {reconstruction!r}")
    if reduction == "none":
        raise ValueError("reduction must be 'mean' or 'sum', got 'none': samples of any shape are summed")
    x, latent = as_array(input, "input"), as_array(mu, "mu")
    if x.ndim == 0 or latent.ndim != 2 or x.shape[0] != latent.shape[0]:
        raise ValueError(f"input has shape {x.shape} and mu {latent.shape}, expected (N, ...) and (N, D)")
    factor = _scalar(grad_output)
    samples = x.shape[0] if reduction == "mean" else 1
    to_input, *to_latent = _compose.split(grad_out, 3)
    kl, latent_grads = _compose.run(
        lambda **o: gaussian_kl_loss(mu, log_var, reduction=reduction, **o),
        return_grad, beta, factor, None if grad_out is None else tuple(to_latent),
    )  # fmt: skip
    spec = RECONSTRUCTIONS[reconstruction]
    cost, grad = _compose.run(
        lambda return_grad, grad_output=None, grad_out=None: elementwise(
            spec, (input, target), (), "sum", return_grad, None, None, grad_output, None, grad_out
        ),
        return_grad, 1.0 / samples if samples else 0.0, factor, to_input,
    )  # fmt: skip
    per_sample: Any = np.float64(cost / samples) if samples else np.float64(math.nan)
    if isinstance(kl, Sums):
        per_sample = Sums(float(cost), kl.denominator)
    parts = ELBOParts(_compose.value_of(per_sample), _compose.value_of(kl))
    value = _compose.total([(1.0, per_sample), (beta, kl)])
    return _compose.result(value, [grad, *latent_grads] if return_grad else None, parts, return_parts)


def _scalar(grad_output: Any) -> float | None:
    if grad_output is None:
        return None
    g = as_array(grad_output, "grad_output")
    if g.ndim:
        raise ValueError(f"grad_output has shape {g.shape}, expected a scalar: the loss is one number")
    return float(g)


def js_divergence(
    input: Any, target: Any, *, reduction: str = "mean", mask: Any = None, return_grad: bool = False,
    grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Jensen-Shannon divergence of rows, :math:`\frac12 \sum_c (p_c \log\frac{p_c}{m_c} + q_c \log\frac{q_c}{m_c})`,
    m = (p + q) / 2.

    Parameters
    ----------
    input : array_like, shape (C,), (N, C) or (..., C)
        Rows of probabilities p, none negative. A prediction operand, which gets the gradient log(p / m) / 2.
    target : array_like of the shape of `input`
        Rows of probabilities q. A prediction operand, which gets log(q / m) / 2.
    reduction : {"mean", "sum", "none"}
        "none" gives one divergence per row; "mean" divides their sum by the number of rows that count.
    mask : array_like of bool, broadcastable to the shape of `input` without its last axis, optional
        False leaves a row out of value (0 with "none"), gradients (0) and denominator.
    return_grad : bool
        Also return the gradients of the reduced loss; with "none", those of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the unreduced loss into.
    grad_out : tuple of two ndarrays, optional
        The same for the gradients, of the shape of `input`.

    Returns
    -------
    value : numpy.float64 in nats, from 0 to log 2, or an array of the shape of `input` without its last axis with
    "none"
    grads : tuple of two arrays of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A negative probability (with its position; found during the pass, so `out` is then unspecified), shapes that
        differ, an option or a dtype that is not one of the above.

    Notes
    -----
    Nothing cancels where p and q are near each other. Where only one of the two is 0, its gradient is -inf, and where
    both are, it is 0. Rows are taken as they are, whether or not they sum to 1. The root of the value is the
    Jensen-Shannon distance.

    float16, bfloat16, float32, float64 and integer arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: J. Lin, Divergence measures based on the Shannon entropy (1991); the square of
    ``scipy.spatial.distance.jensenshannon``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.js_divergence([[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]], reduction="none").round(6).tolist()
    [0.693147, 0.0]
    """
    return elementwise(JS, (input, target), (), reduction, return_grad, None, mask, grad_output, out, grad_out)


def renyi_divergence(
    input: Any, target: Any, *, alpha: float = 2.0, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Renyi divergence of rows, :math:`\frac{1}{\alpha - 1} \log \sum_c p_c^\alpha q_c^{1 - \alpha}`; of order 1 that
    of Kullback and Leibler.

    Parameters
    ----------
    input : array_like, shape (C,), (N, C) or (..., C)
        Rows of probabilities p, none negative. A prediction operand, which gets the gradient
        alpha (p / q)^(alpha - 1) / ((alpha - 1) S), S the sum above; of order 1, log(p / q) + 1.
    target : array_like of the shape of `input`
        Rows of probabilities q. A prediction operand, which gets -(p / q)^alpha / S; of order 1, -p / q.
    alpha : float, positive and finite, default 2.0
        Order. 1/2 is twice Bhattacharyya's distance, 2 the logarithm of the mean likelihood ratio.
    reduction : {"mean", "sum", "none"}
        "none" gives one divergence per row; "mean" divides their sum by the number of rows that count.
    mask : array_like of bool, broadcastable to the shape of `input` without its last axis, optional
        False leaves a row out of value (0 with "none"), gradients (0) and denominator.
    return_grad : bool
        Also return the gradients of the reduced loss; with "none", those of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the unreduced loss into.
    grad_out : tuple of two ndarrays, optional
        The same for the gradients, of the shape of `input`.

    Returns
    -------
    value : numpy.float64 in nats, or an array of the shape of `input` without its last axis with "none"
    grads : tuple of two arrays of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A negative probability (with its position; found during the pass, so `out` is then unspecified), an `alpha` that
        is not positive and finite, shapes that differ, an option or a dtype that is not one of the above.

    Notes
    -----
    A class that p does not have (0) adds nothing; one that q alone does not have makes the divergence inf for
    alpha >= 1, and adds nothing below. Rows are taken as they are, whether or not they sum to 1. The logarithm of a sum
    near 1 is divided by alpha - 1: at orders within 1e-3 of 1, use 1.

    float16, bfloat16, float32, float64 and integer arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: A. Renyi, On measures of entropy and information (1961); T. van Erven and P. Harremoes, Renyi divergence and
    Kullback-Leibler divergence (2014).

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.renyi_divergence([0.5, 0.5], [0.25, 0.75], alpha=2.0)), 6)
    0.287682
    >>> round(float(fl.renyi_divergence([0.5, 0.5], [0.25, 0.75], alpha=1.0)), 6)
    0.143841
    """
    order = real_number(alpha, "alpha")
    if not 0 < order < math.inf:
        raise ValueError(f"alpha must be positive and finite, got {alpha!r}")
    if order == 1:
        return elementwise(
            RELATIVE_ENTROPY, (input, target), (), reduction, return_grad, None, mask, grad_output, out, grad_out
        )
    spec, params = (RENYI_SQUARE, ()) if order == 2 else (RENYI, (order,))
    return _row_sums(
        spec, (input, target), params, _OF_ORDER, order, False, reduction, mask, return_grad, grad_output, out, grad_out
    )
