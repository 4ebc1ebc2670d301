# SPDX-License-Identifier: BSD-3-Clause
"""Losses of boxes, as detectors predict them: intersection over union and its relatives."""

from __future__ import annotations

from typing import Any

from ._call_box import all_pairs as _all_pairs
from ._call_box import pair_loss as _pair_loss

__all__ = ["box_iou", "ciou_loss", "diou_loss", "giou_loss", "iou_loss"]


def box_iou(boxes1: Any, boxes2: Any, *, fmt: str = "xyxy", out: Any = None) -> Any:
    r"""Intersection over union of all pairs of boxes, :math:`\frac{|A_i \cap B_j|}{|A_i \cup B_j|}`.

    Parameters
    ----------
    boxes1, boxes2 : array_like, shapes (N, 4) and (M, 4)
        Boxes A and B.
    fmt : {"xyxy", "cxcywh"}
        What the four numbers are: two opposite corners, the low one first, or center, width and height.
    out : ndarray, shape (N, M), optional
        Contiguous array of the working type to write the result into.

    Returns
    -------
    array of shape (N, M), in [0, 1]

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    A box whose second corner lies before its first, or with a negative width or height, is empty. The IoU is 0
    where neither box has an area. nan makes its row or column nan. Matched pairs: ``1 - iou_loss(a, b, eps=0,
    reduction="none")`` is the diagonal. The working type is float64 if either operand is or neither is floating,
    else float32.

    Source: ``torchvision.ops.box_iou``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.box_iou([[0, 0, 2, 2]], [[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]]).round(3)
    array([[1.   , 0.333, 0.   ]])
    """
    return _all_pairs(boxes1, boxes2, fmt, out)


def iou_loss(
    input: Any, target: Any, *, fmt: str = "xyxy", eps: float = 1e-7, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Intersection over union of matched boxes, as a loss, :math:`1 - \frac{|A \cap B|}{|A \cup B| + \text{eps}}`.

    Parameters
    ----------
    input : array_like, shape (..., 4)
        Predicted boxes A. The prediction operand.
    target : array_like, shape (..., 4), that of `input`
        True boxes B, one for each of `input`.
    fmt : {"xyxy", "cxcywh"}
        What the four numbers of a box are: two opposite corners, the low one first, or center, width and height.
    eps : float, default 1e-7
        Added to what is divided by, at least 0.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of pairs that count.
    mask : array_like of bool, broadcastable to `input` without its last axis, optional
        False leaves a pair out of value (0 with "none"), gradient (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or an array of the shape of `input` without its last axis with "none"
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    Boxes that do not meet have a loss of 1 and no gradient. A box whose second corner lies before its first, or
    with a negative width or height, is empty, and its area has no gradient; where eps is 0, what is divided by 0 is
    0. So values and gradients are finite for every finite box whose squares do not overflow. Where two edges meet,
    as with equal boxes, each takes half of the gradient; lengths of exactly 0 pass it. The working type is float64
    if either operand is or neither is floating, else float32; sums are float64. nan makes its own pair nan. With
    nothing to average, the mean is nan and the gradient 0.

    Source: Yu et al. 2016, "UnitBox: an advanced object detection network" (the linear form); eps as in the next three.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.iou_loss([[0.0, 0.0, 2.0, 2.0]], [[1.0, 0.0, 3.0, 2.0]])), 6)
    0.666667
    """
    return _pair_loss("iou", input, target, fmt, eps, reduction, mask, return_grad, grad_output, out, grad_out)


def giou_loss(
    input: Any, target: Any, *, fmt: str = "xyxy", eps: float = 1e-7, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Generalised IoU of matched boxes, as a loss, :math:`1 - \text{IoU} + \frac{|C| - |A \cup B|}{|C| + \text{eps}}`.

    C is the smallest box around A and B, and :math:`\text{IoU} = |A \cap B| / (|A \cup B| + \text{eps})`.

    Parameters
    ----------
    input : array_like, shape (..., 4)
        Predicted boxes A. The prediction operand.
    target : array_like, shape (..., 4), that of `input`
        True boxes B, one for each of `input`.
    fmt : {"xyxy", "cxcywh"}
        What the four numbers of a box are: two opposite corners, the low one first, or center, width and height.
    eps : float, default 1e-7
        Added to what is divided by, at least 0.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of pairs that count.
    mask : array_like of bool, broadcastable to `input` without its last axis, optional
        False leaves a pair out of value (0 with "none"), gradient (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or an array of the shape of `input` without its last axis with "none"
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    In [0, 2]; boxes that do not meet have a gradient too. A box whose second corner lies before its first, or with
    a negative width or height, is empty, and its area has no gradient; where eps is 0, what is divided by 0 is 0.
    So values and gradients are finite for every finite box whose squares do not overflow. Where two edges meet, as
    with equal boxes, each takes half of the gradient; lengths of exactly 0 pass it. The working type is float64 if
    either operand is or neither is floating, else float32; sums are float64. nan makes its own pair nan. With
    nothing to average, the mean is nan and the gradient 0.

    Source: Rezatofighi et al. 2019; ``torchvision.ops.generalized_box_iou_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.giou_loss([[0.0, 0.0, 2.0, 2.0]], [[1.0, 0.0, 3.0, 2.0]])), 6)
    0.666667
    """
    return _pair_loss("giou", input, target, fmt, eps, reduction, mask, return_grad, grad_output, out, grad_out)


def diou_loss(
    input: Any, target: Any, *, fmt: str = "xyxy", eps: float = 1e-7, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Distance IoU of matched boxes, as a loss, :math:`1 - \text{IoU} + \frac{d^2}{c^2 + \text{eps}}`.

    d is the distance of the centers of A and B, c the diagonal of the smallest box around both, and
    :math:`\text{IoU} = |A \cap B| / (|A \cup B| + \text{eps})`.

    Parameters
    ----------
    input : array_like, shape (..., 4)
        Predicted boxes A. The prediction operand.
    target : array_like, shape (..., 4), that of `input`
        True boxes B, one for each of `input`.
    fmt : {"xyxy", "cxcywh"}
        What the four numbers of a box are: two opposite corners, the low one first, or center, width and height.
    eps : float, default 1e-7
        Added to what is divided by, at least 0.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of pairs that count.
    mask : array_like of bool, broadcastable to `input` without its last axis, optional
        False leaves a pair out of value (0 with "none"), gradient (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or an array of the shape of `input` without its last axis with "none"
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    In [0, 2] for boxes that are not reversed. A box whose second corner lies before its first, or with a negative
    width or height, is empty, and its area has no gradient; where eps is 0, what is divided by 0 is 0. So values
    and gradients are finite for every finite box whose squares do not overflow. Where two edges meet, as with equal
    boxes, each takes half of the gradient; lengths of exactly 0 pass it. The working type is float64 if either
    operand is or neither is floating, else float32; sums are float64. nan makes its own pair nan. With nothing to
    average, the mean is nan and the gradient 0.

    Source: Zheng et al. 2020, "Distance-IoU loss"; ``torchvision.ops.distance_box_iou_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.diou_loss([[0.0, 0.0, 2.0, 2.0]], [[1.0, 0.0, 3.0, 2.0]])), 6)
    0.74359
    """
    return _pair_loss("diou", input, target, fmt, eps, reduction, mask, return_grad, grad_output, out, grad_out)


def ciou_loss(
    input: Any, target: Any, *, fmt: str = "xyxy", eps: float = 1e-7, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Complete IoU of matched boxes, as a loss, :math:`1 - \text{IoU} + \frac{d^2}{c^2 + \text{eps}} + \alpha v`.

    The first terms are those of `diou_loss`; :math:`v = \frac{4}{\pi^2} (\arctan \frac{w_B}{h_B} - \arctan
    \frac{w_A}{h_A})^2` compares the aspects, and :math:`\alpha = v / (1 - \text{IoU} + v + \text{eps})`.

    Parameters
    ----------
    input : array_like, shape (..., 4)
        Predicted boxes A. The prediction operand.
    target : array_like, shape (..., 4), that of `input`
        True boxes B, one for each of `input`.
    fmt : {"xyxy", "cxcywh"}
        What the four numbers of a box are: two opposite corners, the low one first, or center, width and height.
    eps : float, default 1e-7
        Added to what is divided by, at least 0.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of pairs that count.
    mask : array_like of bool, broadcastable to `input` without its last axis, optional
        False leaves a pair out of value (0 with "none"), gradient (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or an array of the shape of `input` without its last axis with "none"
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    The gradient takes alpha as constant, as in the source. v is 0 where a box has neither width nor height. A box
    whose second corner lies before its first, or with a negative width or height, is empty, and its area has no
    gradient; where eps is 0, what is divided by 0 is 0. So values and gradients are finite for every finite box
    whose squares do not overflow. Where two edges meet, as with equal boxes, each takes half of the gradient;
    lengths of exactly 0 pass it. The working type is float64 if either operand is or neither is floating, else
    float32; sums are float64. nan makes its own pair nan. With nothing to average, the mean is nan and the gradient
    0.

    Source: Zheng et al. 2020, "Distance-IoU loss"; ``torchvision.ops.complete_box_iou_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.ciou_loss([[0.0, 0.0, 2.0, 2.0]], [[1.0, 0.0, 3.0, 2.0]])), 6)
    0.74359
    """
    return _pair_loss("ciou", input, target, fmt, eps, reduction, mask, return_grad, grad_output, out, grad_out)
