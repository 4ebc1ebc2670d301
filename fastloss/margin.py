# SPDX-License-Identifier: BSD-3-Clause
"""Losses that ask for a margin between the classes of a row."""

from __future__ import annotations

from typing import Any

from ._call_rows import multi_margin as _multi_margin
from ._call_rows import multilabel_margin as _multilabel_margin

__all__ = ["multi_margin_loss", "multilabel_margin_loss"]


def multi_margin_loss(
    input: Any, target: Any, weight: Any = None, *, p: int = 1, margin: float = 1.0, reduction: str = "mean",
    class_axis: int = 1, mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Multi-class hinge loss, :math:`\frac{w_t}{C} \sum_{c \ne t} \max(0, \text{margin} - x_t + x_c)^p`.

    Parameters
    ----------
    input : array_like, shape (C,), (N, C) or (N, C, d1, ...)
        Scores x. The prediction operand, which gets the gradient p w_t h_c^(p-1) / C of every hinge h_c > 0, and minus
        the sum of these at the target.
    target : array_like of any integer type, the shape of `input` without its class axis
        Class indices t in [0, C).
    weight : array_like, shape (C,), optional
        Factor w of each class as a target.
    p : {1, 2}
        Power of the hinges.
    margin : float, default 1.0
        By how much the target's score has to exceed the others.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of positions that count, whatever their weights.
    class_axis : int, default 1
        Axis of the classes: torch's place is 1 (0 for a single row); -1 for (batch, sequence, classes).
    mask : array_like of bool, broadcastable to `target`, optional
        False leaves a position out of value (0 with "none"), gradient (0) and denominator; its label may be anything.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or an array of the shape of `target` with "none"
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A label out of range (``target[37] = 10 is out of range for 10 classes``), labels that are not integers, a shape
        that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64 and integer scores are read as they are, in any layout. The working type is
    float64 if `input` or `weight` is float64 or neither is floating, else float32; sums are float64. At a hinge of
    exactly 0 the gradient is 0. A class at -inf costs nothing, a target at -inf costs inf, nan makes its row nan. With
    nothing to average, the mean is nan and the gradient 0.

    Source: ``torch.nn.functional.multi_margin_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.multi_margin_loss([[0.1, 0.2, 0.4, 0.8]], [3])), 6)
    0.325
    """
    return _multi_margin(
        input, target, weight, p, margin, reduction, class_axis, mask, return_grad, grad_output, out, grad_out
    )


def multilabel_margin_loss(
    input: Any, target: Any, *, reduction: str = "mean", class_axis: int = 1, mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Multi-label hinge loss, :math:`\frac{1}{C} \sum_{j \in T} \sum_{i \notin T} \max(0, 1 - x_j + x_i)`.

    Parameters
    ----------
    input : array_like, shape (C,), (N, C) or (N, C, d1, ...)
        Scores x. The prediction operand: each hinge above 0 adds 1 / C to the gradient of its x_i and takes it from
        that of its x_j.
    target : array_like
        Of any integer type: the positive classes T of each row as a list of indices in [0, C) along the class axis, of
        at most C slots, ended by the first -1 or by the end of the axis; what follows a -1 is not looked at. A class
        that is listed twice counts twice, in any order. Or of bool, in the shape of `input`: True where a class is
        positive.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of positions that count.
    class_axis : int, default 1
        Axis of the classes in `input` and `target`: torch's place is 1 (0 for a single row).
    mask : array_like of bool, broadcastable to the unreduced loss, optional
        False leaves a position out of value (0 with "none"), gradient (0) and denominator; its labels may be anything.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or an array of the shape of `input` without its class axis with "none"
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A label out of range before the first -1 (``target[37, 2] = 10 is out of range for 10 classes``), a target that
        is neither integer nor bool, a shape that does not fit, an option or a dtype that is not one of the above.
        Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64 and integer scores are read as they are, in any layout. The working type is
    float64 if `input` is float64 or not floating, else float32; sums are float64. At a hinge of exactly 0 the gradient
    is 0. A row without positives, or without others, costs nothing. A class at -inf costs nothing as one of the others,
    and inf as a positive. nan makes its row nan where it meets a hinge. With nothing to average, the mean is nan and
    the gradient 0. The time grows with the number of positives times the number of classes.

    Source: ``torch.nn.functional.multilabel_margin_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.multilabel_margin_loss([[0.1, 0.2, 0.4, 0.8]], [[3, 0, -1, 1]])), 6)
    0.85
    >>> round(float(fl.multilabel_margin_loss([[0.1, 0.2, 0.4, 0.8]], [[True, False, False, True]])), 6)
    0.85
    """
    return _multilabel_margin(input, target, reduction, class_axis, mask, return_grad, grad_output, out, grad_out)
