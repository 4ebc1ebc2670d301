# SPDX-License-Identifier: BSD-3-Clause
"""Losses over rows of classes."""

from __future__ import annotations

from typing import Any

from ._call import nonnegative
from ._call_rows import (
    CROSS_ENTROPY,
    CROSS_ENTROPY_OF_PROBABILITIES,
    FOCAL,
    FOCAL_OF_PROBABILITIES,
    NLL,
    of_logits,
)
from ._call_rows import softmax as _softmax

__all__ = ["cross_entropy", "focal_loss", "nll_loss"]


def cross_entropy(
    input: Any, target: Any, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float = 0.0, from_logits: bool = True, z_loss: float = 0.0, class_axis: int = 1, mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Softmax cross entropy, :math:`-\sum_c w_c t_c \log p_c` with p = softmax(x); t is 1 at the label, 0 elsewhere.

    Parameters
    ----------
    input : array_like, shape (C,), (N, C) or (N, C, d1, ...)
        Logits x, or with `from_logits=False` probabilities p. The prediction operand, which gets the gradient.
    target : array_like of any integer type, the shape of `input` without its class axis; or floats, its shape
        Class indices in [0, C), or `ignore_index`; or the probability t_c of each class.
    weight : array_like, shape (C,), optional
        Factor w of each class.
    ignore_index : int
        Positions with this label are left out, as by `mask`. It may lie inside or outside [0, C); where targets are
        probabilities it must be negative, and says nothing.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of positions that count, or by the sum of the class weights of their labels; where
        targets are probabilities, by the number of positions.
    label_smoothing : float in [0, 1], default 0
        The target becomes (1 - label_smoothing) t + label_smoothing / C before the weights multiply it; the denominator
        of the mean stays as it is.
    from_logits : bool, default True
        False: `input` holds probabilities in [0, 1], for example of ``predict_proba``; their sum is not checked.
    z_loss : float, default 0
        Adds ``z_loss * logsumexp(x)**2`` once to each position that counts, whatever the class weights; the mean
        divides it by the same denominator.
    class_axis : int, default 1
        Axis of the classes: torch's place is 1 (0 for a single row); -1 for (batch, sequence, vocabulary).
    mask : array_like of bool, broadcastable to the unreduced loss, optional
        False leaves a position out of value (0 with "none"), gradient (0) and denominator; its label may be anything.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64 in nats, or an array of the shape of `input` without its class axis with "none"
    grad : array of the shape of `input`, only with `return_grad`: (sum of w t) p - w t, plus 2 z_loss logsumexp(x) p;
        with `from_logits=False` -w t / p

    Raises
    ------
    ValueError, TypeError
        A label out of range (``target[37] = 10 is out of range for 10 classes``), labels that are not integers, a shape
        that does not fit, an option or a dtype that is not one of the above: nothing is written then. With
        `from_logits=False` an entry outside [0, 1] of a position that counts, of which `input[3, 7]` is the first; nan
        is no error. Found during the pass, it leaves outputs unspecified.

    Notes
    -----
    float16, bfloat16, float32, float64 and integer logits are read as they are, in any layout. The working type is
    float64 if `input`, `weight` or a target of probabilities is float64 or none is floating, else float32; sums are
    float64. A loss near 0 keeps its digits: the target (of probabilities: the largest logit) is left out of the sum of
    exponentials. A row that holds nan, or +inf, or only -inf, is nan; a target at -inf costs inf, and so does a
    probability of 0, whose gradient is -inf. A class whose weight or target is 0 costs nothing, even there. With
    nothing to average, the mean is nan and the gradient 0. Targets that are probabilities are taken as they are.

    Source: ``torch.nn.functional.cross_entropy``; z-loss: PaLM (Chowdhery et al. 2022), section 5.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.cross_entropy([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [0, 1])), 6)
    0.895495
    >>> round(float(fl.cross_entropy([[0.7, 0.2, 0.1]], [[1.0, 0.0, 0.0]], from_logits=False)), 6)
    0.356675
    """
    loss = (
        CROSS_ENTROPY if from_logits is True else of_logits(from_logits, CROSS_ENTROPY, CROSS_ENTROPY_OF_PROBABILITIES)
    )
    return _softmax(
        loss, input, target, weight, ignore_index, reduction, class_axis, mask, return_grad, grad_output, out, grad_out,
        label_smoothing, z_loss, None,
    )  # fmt: skip


def nll_loss(
    input: Any, target: Any, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean",
    class_axis: int = 1, mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Negative log-likelihood of labels, :math:`-w_t x_t`, where x are log-probabilities.

    Parameters
    ----------
    input : array_like, shape (C,), (N, C) or (N, C, d1, ...)
        Log-probabilities x, for example of a log-softmax; they are not checked. The prediction operand, whose gradient
        is -w_t at the label and 0 elsewhere.
    target : array_like of any integer type, the shape of `input` without its class axis
        Class indices t in [0, C), or `ignore_index`.
    weight : array_like, shape (C,), optional
        Factor w of each class.
    ignore_index : int
        Positions with this label are left out, as by `mask`.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of positions that count, or by the sum of the class weights of their labels.
    class_axis : int, default 1
        Axis of the classes: torch's place is 1 (0 for a single row); -1 for (batch, sequence, vocabulary).
    mask : array_like of bool, broadcastable to `target`, optional
        False leaves a position out of value (0 with "none"), gradient (0) and denominator; its label may be anything.
    return_grad, grad_output, out, grad_out
        As in `cross_entropy`.

    Returns
    -------
    value : numpy.float64 in nats, or an array of the shape of `target` with "none"
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A label out of range (``target[37] = 10 is out of range for 10 classes``), labels that are not integers, a shape
        that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    Types as in `cross_entropy`. A label at -inf costs inf, but nothing where its weight is 0.

    Source: ``torch.nn.functional.nll_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> float(fl.nll_loss([[-0.5, -1.0], [-2.0, -0.25]], [0, 1]))
    0.375
    """
    return _softmax(
        NLL, input, target, weight, ignore_index, reduction, class_axis, mask, return_grad, grad_output, out, grad_out,
        0.0, 0.0, None,
    )  # fmt: skip


def focal_loss(
    input: Any, target: Any, weight: Any = None, *, gamma: float = 2.0, ignore_index: int = -100,
    reduction: str = "mean", from_logits: bool = True, class_axis: int = 1, mask: Any = None, return_grad: bool = False,
    grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Softmax focal loss, :math:`-w_t (1 - p_t)^\gamma \log p_t` with p = softmax(x): sure and right rows count less.

    Parameters
    ----------
    input : array_like, shape (C,), (N, C) or (N, C, d1, ...)
        Logits x, or with `from_logits=False` probabilities p. The prediction operand, which gets the gradient.
    target : array_like of any integer type, the shape of `input` without its class axis
        Class indices t in [0, C), or `ignore_index`.
    weight : array_like, shape (C,), optional
        Factor w of each class, the paper's alpha.
    gamma : float, default 2
        Exponent, at least 0; 0 gives the cross entropy.
    ignore_index : int
        Positions with this label are left out, as by `mask`.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of positions that count, or by the sum of the class weights of their labels.
    from_logits : bool, default True
        False: `input` holds probabilities in [0, 1]; their sum is not checked.
    class_axis : int, default 1
        Axis of the classes: torch's place is 1 (0 for a single row); -1 for (batch, sequence, vocabulary).
    mask : array_like of bool, broadcastable to `target`, optional
        False leaves a position out of value (0 with "none"), gradient (0) and denominator; its label may be anything.
    return_grad, grad_output, out, grad_out
        As in `cross_entropy`.

    Returns
    -------
    value : numpy.float64, or an array of the shape of `target` with "none"
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        As `cross_entropy`; a negative, infinite or nan `gamma`.

    Notes
    -----
    1 - p_t is the sum of the other probabilities, so that value and gradient keep their digits near p_t = 1. At p_t = 0
    the value is inf. Where p_t is exactly 1, value and gradient of logits are 0.

    Source: Lin et al. (2017), Focal loss for dense object detection.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.focal_loss([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [0, 1])), 6)
    0.487186
    """
    loss = FOCAL if from_logits is True else of_logits(from_logits, FOCAL, FOCAL_OF_PROBABILITIES)
    return _softmax(
        loss, input, target, weight, ignore_index, reduction, class_axis, mask, return_grad, grad_output, out, grad_out,
        0.0, 0.0, gamma if type(gamma) is float else nonnegative(gamma, "gamma"),
    )  # fmt: skip
