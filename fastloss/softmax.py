# SPDX-License-Identifier: BSD-3-Clause
"""Losses over rows of classes."""

from __future__ import annotations

from typing import Any

from ._call import cross_entropy as _cross_entropy

__all__ = ["cross_entropy"]


def cross_entropy(
    input: Any, target: Any, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean",
    class_axis: int = 1, mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Softmax cross entropy with class indices, :math:`-w_t \log \frac{\exp x_t}{\sum_c \exp x_c}`.

    Parameters
    ----------
    input : array_like, shape (C,), (N, C) or (N, C, d1, ...)
        Logits x. The prediction operand, which gets the gradient w_t (softmax(x) - onehot(t)).
    target : array_like of any integer type, the shape of `input` without its class axis
        Class indices t in [0, C), or `ignore_index`.
    weight : array_like, shape (C,), optional
        Factor w of each class.
    ignore_index : int
        Positions with this label are left out, as by `mask`. It may lie inside or outside [0, C).
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of positions that count, or by the sum of the class weights of their labels.
    class_axis : int, default 1
        Axis of the classes: torch's place is 1 (0 for a single row); -1 for (batch, sequence, vocabulary).
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
    value : numpy.float64 in nats, or an array of the shape of `target` with "none"
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A label out of range (``target[37] = 10 is out of range for 10 classes``), labels that are not integers, a shape
        that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64 and integer logits are read as they are, in any layout. The working type is
    float64 if `input` or `weight` is float64 or neither is floating, else float32; sums are float64. A loss near 0
    keeps its digits: the target is left out of the sum of exponentials. A row that holds nan, or all -inf, is nan; a
    target at -inf costs inf. With nothing to average, the mean is nan and the gradient 0.

    Source: ``torch.nn.functional.cross_entropy``.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.cross_entropy([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [0, 1])), 6)
    0.895495
    """
    return _cross_entropy(
        input, target, weight, ignore_index, reduction, class_axis, mask, return_grad, grad_output, out, grad_out
    )
