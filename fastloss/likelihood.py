# SPDX-License-Identifier: BSD-3-Clause
"""Negative log-likelihoods of real and count targets."""

from __future__ import annotations

import math
from typing import Any

from ._call import NONNEGATIVE, POSITIVE, Elementwise, boolean, elementwise, real_number

__all__ = ["gamma_nll_loss", "gaussian_nll_loss", "kl_div", "poisson_nll_loss", "tweedie_nll_loss"]

GAUSSIAN_NLL = Elementwise(
    "gaussian_nll", ("input", "target", "var"), (0, 2), domains=((2, NONNEGATIVE),), per_row=(2,)
)
COUNTS = ((1, NONNEGATIVE),)
RATES = ((0, NONNEGATIVE), (1, NONNEGATIVE))
POISSON = {  # by log_input and full
    (True, False): Elementwise("poisson", domains=COUNTS),
    (True, True): Elementwise("poisson_full", domains=COUNTS),
    (False, False): Elementwise("poisson_rate", domains=RATES),
    (False, True): Elementwise("poisson_rate_full", domains=RATES),
}
KL_DIV = Elementwise("kl_div", domains=COUNTS, batchmean=True)
KL_DIV_LOG = Elementwise("kl_div_log", batchmean=True)
GAMMA = Elementwise("gamma", weighted_mean=True, domains=((1, POSITIVE),))
GAMMA_RATE = Elementwise("gamma_rate", weighted_mean=True, domains=((0, POSITIVE), (1, POSITIVE)))
# Tweedie of power 1 is Poisson's, weighted.
WEIGHTED_POISSON = Elementwise("poisson", weighted_mean=True, domains=COUNTS)
WEIGHTED_POISSON_RATE = Elementwise("poisson_rate", weighted_mean=True, domains=RATES)
# Which targets there are depends on the power; elementwise.h (domain_of) knows it too.
TWEEDIE_REAL, TWEEDIE_COUNT, TWEEDIE_POSITIVE = (
    Elementwise(name, weighted_mean=True, domains=of_target)
    for name, of_target in (("tweedie", ()), ("tweedie_between", COUNTS), ("tweedie", ((1, POSITIVE),)))
)
TWEEDIE_RATE_REAL, TWEEDIE_RATE_COUNT, TWEEDIE_RATE_POSITIVE = (
    Elementwise("tweedie_rate", weighted_mean=True, domains=((0, POSITIVE), *of_target))
    for of_target in ((), COUNTS, ((1, POSITIVE),))
)


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, *, full: bool = False, eps: float = 1e-6, weight: Any = None,
    reduction: str = "mean", mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Gaussian negative log-likelihood, :math:`\frac12 (\log v + (x - y)^2 / v)` with
    :math:`v = \max(\mathrm{var}, \mathrm{eps})`.

    Parameters
    ----------
    input : array_like, any shape
        Predicted means x. A prediction operand, which gets the gradient (x - y) / v.
    target : array_like, broadcastable to `input`
        Observations y, in the unit of `input`.
    var : array_like
        Predicted variances, in that unit squared, none negative. A prediction operand, which gets
        (1 - (x - y)^2 / v) / (2 v), clamped or not, summed over the axes along which `var` was broadcast.
        A scalar, the shape of `input`, ``input.shape[:-1]`` (one variance per row), or any shape that broadcasts to
        `input`.
    full : bool
        Add the constant log(2 pi) / 2.
    eps : float, not negative, default 1e-6
        Lower bound of the variance.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of elements that count, weighted or not.
    mask : array_like of bool, broadcastable to `input`, optional
        False leaves an element out of value (0 with "none"), gradients (0) and denominator.
    return_grad : bool
        Also return the gradients of the reduced loss; with "none", those of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the unreduced loss into.
    grad_out : tuple of two ndarrays, optional
        The same for the gradients, of the shapes of `input` and `var`.

    Returns
    -------
    value : numpy.float64 in nats, or an array of the shape of `input` with "none"
    grads : tuple of two arrays, of the shapes of `input` and `var`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A negative variance (with its position; found during the pass, so `out` is then unspecified), a negative `eps`,
        a shape that would enlarge `input`, an option or a dtype that is not one of the above.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: D. A. Nix and A. S. Weigend, Estimating the mean and variance of the target probability distribution (1994);
    ``torch.nn.functional.gaussian_nll_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> value, (g_input, g_var) = fl.gaussian_nll_loss([1.0, 2.0], [0.0, 2.0], 2.0, return_grad=True)
    >>> round(float(value), 6), g_input.tolist(), float(g_var)
    (0.471574, [0.25, 0.0], 0.1875)
    """
    eps = real_number(eps, "eps")
    if eps < 0:
        raise ValueError(f"eps must not be negative, got {eps}")
    params = (eps, float(boolean(full, "full")))
    return elementwise(
        GAUSSIAN_NLL, (input, target, var), params, reduction, return_grad, weight, mask, grad_output, out, grad_out
    )


def poisson_nll_loss(
    input: Any, target: Any, *, log_input: bool = True, full: bool = False, eps: float = 1e-8, weight: Any = None,
    reduction: str = "mean", mask: Any = None, return_grad: bool = False, return_hess: bool = False,
    grad_output: Any = None, out: Any = None, grad_out: Any = None, hess_out: Any = None,
) -> Any:  # fmt: skip
    r"""Poisson negative log-likelihood, :math:`e^x - y x` of the logarithm x of the rate, less the constant
    :math:`\log y!`.

    Parameters
    ----------
    input : array_like, any shape
        Logarithms x of the predicted rates, or the rates themselves without `log_input`. The prediction operand, which
        gets the gradient exp(x) - y; second derivative exp(x). Of rates: 1 - y / v and y / v^2, v = x + eps.
    target : array_like, broadcastable to `input`
        Counts y, none negative.
    log_input : bool, default True
        False: `input` holds rates x, none negative, and the loss is x - y log(x + eps).
    full : bool
        Add Stirling's approximation of the constant, y log(y) - y + log(2 pi y) / 2, where y > 1.
    eps : float, not negative, default 1e-8
        Keeps the logarithm of a rate of 0 finite; not used with `log_input`.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of elements that count, weighted or not.
    mask : array_like of bool, broadcastable to `input`, optional
        False leaves an element out of value (0 with "none"), gradient (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    return_hess : bool
        Also return the second derivative by each element of `input`, scaled as the gradient; needs `return_grad`.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the derivatives, so that losses compose.
    out, grad_out, hess_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the derivatives into.

    Returns
    -------
    value : numpy.float64 in nats, or an array of the shape of `input` with "none"
    grad : array of the shape of `input`, only with `return_grad`
    hess : array of the shape of `input`, only with `return_hess`

    Raises
    ------
    ValueError, TypeError
        A negative count or rate (with its position), a negative `eps`, a shape that would enlarge `input`, an option or
        a dtype that is not one of the above. A number outside of its domain is found during the pass: `out` is then
        unspecified.

    Notes
    -----
    With `full` the terms that cancel where the rate is near the count are not computed: the loss keeps its digits. A
    count of 0 at a rate of 0 (or its logarithm, -inf) costs 0.

    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: ``torch.nn.functional.poisson_nll_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> value, grad = fl.poisson_nll_loss([0.0, 1.0], [0, 2], return_grad=True, reduction="sum")
    >>> round(float(value), 6), grad.round(6).tolist()
    (1.718282, [1.0, 0.718282])
    """
    eps = real_number(eps, "eps")
    if eps < 0:
        raise ValueError(f"eps must not be negative, got {eps}")
    logs, full = boolean(log_input, "log_input"), boolean(full, "full")
    return elementwise(
        POISSON[logs, full], (input, target), () if logs else (eps,), reduction, return_grad, weight, mask, grad_output,
        out, grad_out, return_hess, hess_out,
    )  # fmt: skip


def kl_div(
    input: Any, target: Any, *, log_target: bool = False, weight: Any = None, reduction: str = "mean",
    mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Kullback-Leibler divergence, :math:`y (\log y - x)` of the log-probability x.

    Parameters
    ----------
    input : array_like, any shape
        Predicted log-probabilities x. The prediction operand, which gets the gradient -y.
    target : array_like, broadcastable to `input`
        Probabilities y, none negative; their logarithms with `log_target`.
    log_target : bool
        `target` holds logarithms of probabilities, and the loss is exp(y) (y - x).
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    reduction : {"mean", "sum", "none", "batchmean"}
        "mean" divides by the number of elements that count; "batchmean", which is the mathematical definition for a
        batch of distributions, the sum by the length of the first axis, masked or not. Weights change neither.
    mask : array_like of bool, broadcastable to `input`, optional
        False leaves an element out of value (0 with "none"), gradient (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64 in nats, or an array of the shape of `input` with "none"
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A negative probability (with its position), "batchmean" without a first axis, a shape that would enlarge
        `input`, an option or a dtype that is not one of the above. A number outside of its domain is found during the
        pass: `out` is then unspecified.

    Notes
    -----
    A target probability of 0 (a logarithm of -inf) contributes 0, whatever the prediction.

    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: S. Kullback and R. A. Leibler, On Information and Sufficiency (1951); ``torch.nn.functional.kl_div``.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.kl_div([[-0.5, -1.0]], [[0.25, 0.75]], reduction="batchmean")), 6)
    0.312665
    """
    spec = KL_DIV_LOG if boolean(log_target, "log_target") else KL_DIV
    return elementwise(
        spec, (input, target), (), reduction, return_grad, weight, mask, grad_output, out, grad_out,
    )  # fmt: skip


def gamma_nll_loss(
    input: Any, target: Any, weight: Any = None, *, log_input: bool = True, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, return_hess: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None, hess_out: Any = None,
) -> Any:  # fmt: skip
    r"""Gamma negative log-likelihood of unit shape, :math:`x + y e^{-x}` of the logarithm x of the mean.

    Parameters
    ----------
    input : array_like, any shape
        Logarithms x of the predicted means, or the means themselves without `log_input`. The prediction operand, which
        gets the gradient 1 - y exp(-x); second derivative y exp(-x). Of means: (x - y) / x^2 and (2 y / x - 1) / x^2.
    target : array_like, broadcastable to `input`
        Observations y, positive.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    log_input : bool, default True
        False: `input` holds means x, positive, and the loss is log(x) + y / x.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of elements that count, or by the sum of their weights.
    mask : array_like of bool, broadcastable to `input`, optional
        False leaves an element out of value (0 with "none"), gradient (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    return_hess : bool
        Also return the second derivative by each element of `input`, scaled as the gradient; needs `return_grad`.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the derivatives, so that losses compose.
    out, grad_out, hess_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the derivatives into.

    Returns
    -------
    value : numpy.float64 in nats, or an array of the shape of `input` with "none"
    grad : array of the shape of `input`, only with `return_grad`
    hess : array of the shape of `input`, only with `return_hess`

    Raises
    ------
    ValueError, TypeError
        A target or mean that is not positive (with its position), a shape that would enlarge `input`, an option or a
        dtype that is not one of the above. A number outside of its domain is found during the pass: `out` is then
        unspecified.

    Notes
    -----
    Terms of y alone are left out: half the deviance is this loss less 1 + log(y).

    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: ``HalfGammaLoss`` of scikit-learn.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.gamma_nll_loss([0.0, 2.0], [3.0, 1.0], reduction="none").round(6).tolist()
    [3.0, 2.135335]
    """
    spec = GAMMA if boolean(log_input, "log_input") else GAMMA_RATE
    return elementwise(
        spec, (input, target), (), reduction, return_grad, weight, mask, grad_output, out, grad_out, return_hess,
        hess_out,
    )  # fmt: skip


def tweedie_nll_loss(
    input: Any, target: Any, weight: Any = None, *, power: float = 1.5, log_input: bool = True, reduction: str = "mean",
    mask: Any = None, return_grad: bool = False, return_hess: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None, hess_out: Any = None,
) -> Any:  # fmt: skip
    r"""Tweedie negative log-likelihood of unit dispersion, of the logarithm x of the mean,
    :math:`e^{(2 - p) x} / (2 - p) - y e^{(1 - p) x} / (1 - p)`.

    Parameters
    ----------
    input : array_like, any shape
        Logarithms x of the predicted means, or the means themselves without `log_input`. The prediction operand, which
        gets the gradient exp((2 - p) x) - y exp((1 - p) x); second derivative (2 - p) exp((2 - p) x) - (1 - p) y exp((1
        - p) x). Of means v: v^-p (v - y) and v^-p (1 - p + p y / v).
    target : array_like, broadcastable to `input`
        Observations y: any for a power of at most 0, none negative from 1 to 2, positive from 2.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    power : float outside (0, 1), default 1.5
        p: the variance is proportional to the mean's p-th power. 0: normal, 1: Poisson, 1 to 2: compound Poisson-gamma
        (claims of insurances: zeros, and amounts), 2: gamma, 3: inverse Gaussian.
    log_input : bool, default True
        False: `input` holds means v, positive (for a power of 1 not negative), and powers of v stand for exponentials.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of elements that count, or by the sum of their weights.
    mask : array_like of bool, broadcastable to `input`, optional
        False leaves an element out of value (0 with "none"), gradient (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    return_hess : bool
        Also return the second derivative by each element of `input`, scaled as the gradient; needs `return_grad`.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the derivatives, so that losses compose.
    out, grad_out, hess_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the derivatives into.

    Returns
    -------
    value : numpy.float64, or an array of the shape of `input` with "none"
    grad : array of the shape of `input`, only with `return_grad`
    hess : array of the shape of `input`, only with `return_hess`

    Raises
    ------
    ValueError, TypeError
        A power in (0, 1) or next to 1 or 2 (by less than 1e-6), a target or mean outside of its domain (with its
        position), a shape that would enlarge `input`, an option or a dtype that is not one of the above. A number
        outside of its domain is found during the pass: `out` is then unspecified.

    Notes
    -----
    Terms of y alone are left out. The limits are those of scikit-learn: exp(x) - y x for power 1 (`poisson_nll_loss`),
    x + y exp(-x) for 2 (`gamma_nll_loss`), exp(2 x) / 2 - y exp(x) for 0, half a squared error less y^2 / 2.

    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: ``HalfTweedieLoss`` of scikit-learn; B. Jorgensen, Exponential Dispersion Models (1987).

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.tweedie_nll_loss([0.0, 1.0], [0.0, 2.0], reduction="none").round(6).tolist()
    [2.0, 5.723565]
    """
    p, logs = real_number(power, "power"), boolean(log_input, "log_input")
    if 0 < p < 1 or not abs(p) < math.inf:
        raise ValueError(f"power must be finite and outside (0, 1), got {p}")
    if 0 < abs(p - 1) < 1e-6 or 0 < abs(p - 2) < 1e-6:
        raise ValueError(f"power must be 1 or 2 or differ from them by at least 1e-6, got {p!r}")
    spec, params = _tweedie(p, logs)
    return elementwise(
        spec, (input, target), params, reduction, return_grad, weight, mask, grad_output, out, grad_out, return_hess,
        hess_out,
    )  # fmt: skip


def _tweedie(p: float, logs: bool) -> tuple[Elementwise, tuple[float, ...]]:
    """The kernel of a power, and its parameters."""
    if p == 1:
        return (WEIGHTED_POISSON, ()) if logs else (WEIGHTED_POISSON_RATE, (0.0,))
    if p == 2:
        return (GAMMA if logs else GAMMA_RATE), ()
    if p > 2:
        return (TWEEDIE_POSITIVE if logs else TWEEDIE_RATE_POSITIVE), (p,)
    if p > 1:
        return (TWEEDIE_COUNT if logs else TWEEDIE_RATE_COUNT), (p,)
    return (TWEEDIE_REAL if logs else TWEEDIE_RATE_REAL), (p,)
