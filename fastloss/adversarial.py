# SPDX-License-Identifier: BSD-3-Clause
"""Generative adversarial networks: what discriminator and generator minimise, the gradient penalty, and the distance
that a Wasserstein critic estimates, in one dimension."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _compose
from ._arrays import as_array
from ._call import Elementwise, boolean, check_options, elementwise, nonnegative
from ._call_row_sums import PENALTY, PENALTY_ABOVE, row_sums

__all__ = [
    "DiscriminatorParts",
    "gan_discriminator_loss",
    "gan_generator_loss",
    "gradient_penalty",
    "wasserstein_distance_1d",
]

NAMES = ("logistic", "least_squares", "hinge", "linear")
REAL_LOGISTIC, REAL_LEAST_SQUARES, REAL_HINGE, REAL_LINEAR = (Elementwise(name, ("real",)) for name in NAMES)
LOGISTIC, LEAST_SQUARES, HINGE, LINEAR = (Elementwise(name, ("fake",)) for name in NAMES)
# kind -> loss and label of real scores, and of fake ones
DISCRIMINATORS = {
    "bce": ((REAL_LOGISTIC, 1.0), (LOGISTIC, -1.0)),
    "minimax": ((REAL_LOGISTIC, 1.0), (LOGISTIC, -1.0)),
    "lsgan": ((REAL_LEAST_SQUARES, 1.0), (LEAST_SQUARES, 0.0)),
    "hinge": ((REAL_HINGE, 1.0), (HINGE, -1.0)),
    "wasserstein": ((REAL_LINEAR, -1.0), (LINEAR, 1.0)),
}
# kind -> loss, label and sign
GENERATORS = {
    "bce": (LOGISTIC, 1.0, 1.0),
    "minimax": (LOGISTIC, -1.0, -1.0),
    "lsgan": (LEAST_SQUARES, 1.0, 1.0),
    "hinge": (LINEAR, -1.0, 1.0),
    "wasserstein": (LINEAR, -1.0, 1.0),
}
HALF_SQUARES = Elementwise("least_squares", ("gradients",), summed=True)


def _of_kind(kinds: dict[str, Any], kind: Any) -> Any:
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError(f"kind must be one of {', '.join(map(repr, kinds))}, got {kind!r}")
    return kinds[kind]


class DiscriminatorParts(NamedTuple):
    """Parts of `gan_discriminator_loss`, reduced as the loss itself, which is their sum."""

    real: Any
    fake: Any


def gan_discriminator_loss(
    real: Any, fake: Any, *, kind: str = "bce", reduction: str = "mean", return_grad: bool = False,
    return_parts: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""What the discriminator of a generative adversarial network minimises, by `kind` ("bce"):
    :math:`\mathrm{mean} \log(1 + e^{-r}) + \mathrm{mean} \log(1 + e^f)`.

    Of logits r of real samples and f of generated ones it is

    - "bce", "minimax": binary cross entropy, of r against ones and of f against zeros, as above;
    - "lsgan": (r - 1)^2 / 2 + f^2 / 2;
    - "hinge": max(0, 1 - r) + max(0, 1 + f);
    - "wasserstein": f - r, the critic's; a gradient penalty or clipped weights belong to it.

    Parameters
    ----------
    real : array_like, any shape
        Scores of real samples, logits for "bce". A prediction operand, which gets the gradient of its own part: minus
        the sigmoid of -r, r - 1, -1 where r < 1, or -1.
    fake : array_like, any shape
        Scores of generated samples. A prediction operand, which gets the sigmoid of f, f, 1 where f > -1, or 1.
    kind : {"bce", "minimax", "lsgan", "hinge", "wasserstein"}
        Which loss; "minimax" differs from "bce" for the generator only.
    reduction : {"mean", "sum", "none"}
        Of each part over its own scores, so that the numbers of real and of generated samples may differ. "none" adds
        pairs: both have one shape then.
    return_grad : bool
        Also return the gradients of the reduced loss; with "none", those of the sum.
    return_parts : bool
        Also return `DiscriminatorParts`: the part of the real samples and that of the generated ones.
    grad_output : scalar or array broadcastable to `real` and to `fake`, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the unreduced loss into.
    grad_out : tuple of two ndarrays, optional
        The same for the gradients, of the shapes of `real` and `fake`.

    Returns
    -------
    value : numpy.float64, or an array of the shape of `real` with "none"
    grads : tuple of two arrays, of the shapes of `real` and `fake`, only with `return_grad`
    parts : DiscriminatorParts, only with `return_parts`

    Raises
    ------
    ValueError, TypeError
        An unknown `kind`, shapes that differ with "none", an option or a dtype that is not one of the above. Nothing is
        written then.

    Notes
    -----
    The hinge's gradient is 0 at the kink, as that of a rectifier.

    float16, bfloat16, float32, float64 and integer arrays are read as they are. The working type of either part is
    float64 if its scores are float64 or not floating, else float32; sums are float64. Mean over nothing is nan.

    Source: I. Goodfellow et al., Generative Adversarial Nets (2014); X. Mao et al., Least Squares GAN (2017), a = 0,
    b = c = 1; J. H. Lim and J. C. Ye, Geometric GAN (2017); M. Arjovsky et al., Wasserstein GAN (2017).

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.gan_discriminator_loss([2.0, 0.0], [-2.0, 0.0])), 6)
    0.820075
    >>> value, (g_real, g_fake) = fl.gan_discriminator_loss([2.0, 0.0], [-2.0], kind="hinge", return_grad=True)
    >>> float(value), g_real.tolist(), g_fake.tolist()
    (0.5, [0.0, -0.5], [0.0])
    """
    sides = _of_kind(DISCRIMINATORS, kind)
    check_options(reduction, return_grad, grad_output, out, grad_out)
    scores = [as_array(real, "real"), as_array(fake, "fake")]
    if reduction == "none" and scores[0].shape != scores[1].shape:
        raise ValueError(f"fake has shape {scores[1].shape}, expected that of real, {scores[0].shape}, with 'none'")
    outs = _compose.split(grad_out, 2)
    out = _compose.checked(out, scores[0].shape, zip((real, fake), scores, strict=True))
    parts, grads = [], []
    for x, (spec, label), to in zip((real, fake), sides, outs, strict=True):
        part, grad = _compose.run(
            lambda return_grad, grad_output=None, grad_out=None, x=x, spec=spec, label=label: elementwise(
                spec, (x,), (label,), reduction, return_grad, None, None, grad_output, None, grad_out
            ),
            return_grad, 1.0, grad_output, to,
        )  # fmt: skip
        parts.append(part)
        grads.append(grad)
    value = _compose.total([(1.0, part) for part in parts], out)
    shown = DiscriminatorParts(*map(_compose.value_of, parts))
    return _compose.result(value, grads if return_grad else None, shown, return_parts)


def gan_generator_loss(
    fake: Any, *, kind: str = "bce", reduction: str = "mean", mask: Any = None, return_grad: bool = False,
    grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""What the generator of a generative adversarial network minimises, by `kind` ("bce"):
    :math:`\mathrm{mean} \log(1 + e^{-f})`.

    Of the discriminator's logits f of generated samples it is

    - "bce": minus the log-probability of being taken for real (the non-saturating form), as above;
    - "minimax": the log-probability of being found out, -log(1 + e^f), whose slope vanishes while the generator is bad;
    - "lsgan": (f - 1)^2 / 2;
    - "hinge", "wasserstein": -f.

    Parameters
    ----------
    fake : array_like, any shape
        Scores of generated samples, logits for "bce" and "minimax". The prediction operand, which gets the gradient
        minus the sigmoid of -f, minus the sigmoid of f, f - 1, or -1.
    kind : {"bce", "minimax", "lsgan", "hinge", "wasserstein"}
        Which loss.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of scores that count.
    mask : array_like of bool, broadcastable to `fake`, optional
        False leaves a score out of value (0 with "none"), gradient (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(fake); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type and the shape of `fake` to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or an array of the shape of `fake` with "none"
    grad : array of the shape of `fake`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        An unknown `kind`, a mask that would enlarge `fake`, an option or a dtype that is not one of the above. Nothing
        is written then.

    Notes
    -----
    float16, bfloat16, float32, float64 and integer arrays are read as they are. The working type is float64 if `fake`
    is float64 or not floating, else float32; sums are float64. Mean over nothing is nan.

    Source: I. Goodfellow et al., Generative Adversarial Nets (2014), section 3; X. Mao et al., Least Squares GAN
    (2017); J. H. Lim and J. C. Ye, Geometric GAN (2017); M. Arjovsky et al., Wasserstein GAN (2017).

    Examples
    --------
    >>> import fastloss as fl
    >>> value, grad = fl.gan_generator_loss([0.0, 0.0], return_grad=True)
    >>> round(float(value), 6), grad.tolist()
    (0.693147, [-0.25, -0.25])
    >>> float(fl.gan_generator_loss([0.5, 1.5], kind="wasserstein"))
    -1.0
    """
    spec, label, sign = _of_kind(GENERATORS, kind)
    if sign == 1:
        return elementwise(spec, (fake,), (label,), reduction, return_grad, None, mask, grad_output, out, grad_out)
    check_options(reduction, return_grad, grad_output, out, grad_out)
    value, grad = _compose.run(
        lambda return_grad, grad_output=None, grad_out=None: elementwise(
            spec, (fake,), (label,), reduction, return_grad, None, mask, grad_output, out, grad_out
        ),
        return_grad, sign, grad_output, grad_out,
    )  # fmt: skip
    value = _compose.total([(sign, value)], out)
    return (value, grad) if return_grad else value


def gradient_penalty(
    gradients: Any, *, target: float = 1.0, one_sided: bool = False, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Gradient penalty of a Wasserstein critic, :math:`\frac1N \sum_n (\lVert g_n \rVert_2 - 1)^2`.

    Parameters
    ----------
    gradients : array_like, shape (N, ...)
        The critic's gradients g by its inputs, one sample after the other; each norm is over all that belongs to a
        sample. The prediction operand, which gets the gradient 2 (1 - 1 / norm) g / N, 0 where the norm is 0.
    target : float, not negative, default 1.0
        Norm that costs nothing; 0 gives the R1 and R2 penalties, less their factor of a half.
    one_sided : bool
        Only norms above `target` cost something.
    reduction : {"mean", "sum", "none"}
        "none" gives one penalty per sample; "mean" divides their sum by the number of samples that count.
    mask : array_like of bool, broadcastable to (N,), optional
        False leaves a sample out of value (0 with "none"), gradient (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(gradients); with "none", that of the sum.
    grad_output : scalar or array broadcastable to (N,), optional
        Multiplies the gradient, so that losses compose; the penalty's factor lambda, usually 10, goes here and in front
        of the value.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss, of shape (N,), and the gradient into.

    Returns
    -------
    value : numpy.float64, or an array of shape (N,) with "none"
    grad : array of the shape of `gradients`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        Gradients without a second axis, a negative `target`, an option or a dtype that is not one of the above. Nothing
        is written then.

    Notes
    -----
    Sums of squares are float64. float16, bfloat16, float32, float64 and integer arrays are read as they are. The
    working type is float64 if `gradients` is float64 or not floating, else float32. Mean over nothing is nan.

    Source: I. Gulrajani et al., Improved Training of Wasserstein GANs (2017); one-sided: H. Petzka et al., On the
    regularization of Wasserstein GANs (2018).

    Examples
    --------
    >>> import fastloss as fl
    >>> value, grad = fl.gradient_penalty([[3.0, 4.0], [1.0, 0.0]], return_grad=True)
    >>> float(value), grad.round(6).tolist()
    (8.0, [[2.4, 3.2], [0.0, 0.0]])
    """
    wanted = nonnegative(target, "target")
    one_sided = boolean(one_sided, "one_sided")
    g = as_array(gradients, "gradients")
    if g.ndim < 2:
        raise ValueError(f"gradients has shape {g.shape}, expected (N, ...): one sample after the other")
    outer = PENALTY_ABOVE if boolean(one_sided, "one_sided") else PENALTY
    return row_sums(
        HALF_SQUARES,
        (gradients,),
        (0.0,),
        outer,
        wanted,
        True,
        reduction,
        mask,
        return_grad,
        grad_output,
        out,
        grad_out,
    )


def wasserstein_distance_1d(
    input: Any, target: Any, input_weight: Any = None, target_weight: Any = None, *, return_grad: bool = False,
    grad_output: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Wasserstein distance (earth mover's) of two samples on a line,
    :math:`\int_0^1 \lvert F^{-1}(t) - G^{-1}(t) \rvert\, dt`.

    Parameters
    ----------
    input : array_like, shape (n,)
        Samples of the first distribution. A prediction operand, which gets the gradient: of each sample the mass that
        it sends to the left less the mass that it sends to the right.
    target : array_like, shape (m,)
        Samples of the second one. A prediction operand, which gets the same from its side.
    input_weight : array_like, shape (n,), optional
        Mass of each sample of `input`, none negative; they need not sum to 1. By default all are equal.
    target_weight : array_like, shape (m,), optional
        The same for `target`.
    return_grad : bool
        Also return the gradients.
    grad_output : scalar, optional
        Multiplies the gradients, so that losses compose.
    grad_out : tuple of two ndarrays, optional
        Contiguous arrays of the working type, of the shapes of `input` and `target`, to write the gradients into.

    Returns
    -------
    value : numpy.float64, in the unit of the samples
    grads : tuple of two arrays, of the shapes of `input` and `target`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        Samples without one axis or without an element, weights of another shape, negative, not finite or without a sum,
        an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    n log n: both samples are sorted, at once as long as that takes at most 24 MB beyond inputs and gradients: of n and
    as many float32 samples without weights 3 million each, 1 million with gradients, 190 thousand otherwise. More of
    them are sorted span by span of their values, which takes several times as long without weights (each span is looked
    for in all samples), but no more memory, and may give another last bit. Samples that are nan make the value nan.

    float16, bfloat16, float32, float64 and integer arrays are taken. The working type is float64 if `input` or `target`
    is float64 or neither is floating, else float32; sums are float64.

    Source: S. S. Vallender, Calculation of the Wasserstein distance between probability distributions on the line
    (1974); ``scipy.stats.wasserstein_distance``.

    Examples
    --------
    >>> import fastloss as fl
    >>> float(fl.wasserstein_distance_1d([0.0, 1.0, 3.0], [5.0, 6.0, 8.0]))
    5.0
    >>> value, (g_input, g_target) = fl.wasserstein_distance_1d([0.0, 1.0], [0.5], [3.0, 1.0], return_grad=True)
    >>> float(value), g_input.tolist(), g_target.tolist()
    (0.5, [-0.75, 0.25], [0.5])
    """
    from . import _wasserstein

    return _wasserstein.distance(input, target, input_weight, target_weight, return_grad, grad_output, grad_out)
