# SPDX-License-Identifier: BSD-3-Clause
"""Losses of yes-or-no targets."""

from __future__ import annotations

from typing import Any

from ._call import UNIT, Elementwise, elementwise, nonnegative, real_number

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multilabel_soft_margin_loss",
    "sigmoid_focal_loss",
    "soft_margin_loss",
]

BCE_LOGITS = Elementwise("bce_logits")
BCE_LOGITS_POS = Elementwise("bce_logits_pos", ("input", "target", "pos_weight"))
BCE = Elementwise("bce", domains=((0, UNIT), (1, UNIT)))
SOFT_MARGIN = Elementwise("soft_margin")
MULTILABEL_SOFT_MARGIN = Elementwise("bce_logits", per_sample=True)
HINGE_EMBEDDING = Elementwise("hinge_embedding")
MARGIN_RANKING = Elementwise("margin_ranking", ("input1", "input2", "target"), (0, 1), same_shape=(1,))
FOCAL = Elementwise("focal", domains=((1, UNIT),))
FOCAL_SQUARE = Elementwise("focal_square", domains=((1, UNIT),))


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, *, pos_weight: Any = None, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, return_hess: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None, hess_out: Any = None,
) -> Any:  # fmt: skip
    r"""Binary cross entropy of logits, :math:`-p\,y \log\sigma(x) - (1 - y) \log(1 - \sigma(x))`.

    Parameters
    ----------
    input : array_like, any shape
        Logits x. The prediction operand, which gets the gradient (1 - y) sigmoid(x) - p y sigmoid(-x);
        second derivative (1 - y + p y) sigmoid(x) sigmoid(-x).
    target : array_like, broadcastable to `input`
        Probabilities y of the positive class, usually 0 or 1; a bool or uint8 mask is read as it is.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    pos_weight : array_like, broadcastable to `input`, optional
        Factor p of the positive class, 1 if not given.
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
        A shape that would enlarge `input`, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: ``torch.nn.functional.binary_cross_entropy_with_logits``.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.binary_cross_entropy_with_logits([0.0, 2.0], [1, 1])), 6)
    0.410038
    """
    spec, operands = BCE_LOGITS, (input, target)
    if pos_weight is not None:
        spec, operands = BCE_LOGITS_POS, (input, target, pos_weight)
    return elementwise(
        spec, operands, (), reduction, return_grad, weight, mask, grad_output, out, grad_out, return_hess, hess_out
    )


def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Binary cross entropy of probabilities, :math:`-y \log p - (1 - y) \log(1 - p)`.

    Parameters
    ----------
    input : array_like, any shape
        Probabilities p in [0, 1]. The prediction operand, which gets the gradient (p - y) / max(p (1 - p), 1e-12).
        Each logarithm counts as at least -100; the gradient does not know of that bound. Both are as in PyTorch.
    target : array_like, broadcastable to `input`
        Probabilities y of the positive class in [0, 1], usually 0 or 1; a bool or uint8 mask is read as it is.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of elements that count, weighted or not.
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
        A shape that would enlarge `input`, an option or a dtype that is not one of the above: nothing is written then.
        A probability or a target outside [0, 1], with its position; nan passes, and makes its own element nan.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    `binary_cross_entropy_with_logits` keeps the digits that probabilities near 1 have lost.

    Source: ``torch.nn.functional.binary_cross_entropy``.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.binary_cross_entropy([0.5, 0.9], [0, 1])), 6)
    0.399254
    """
    return elementwise(BCE, (input, target), (), reduction, return_grad, weight, mask, grad_output, out, grad_out)


def soft_margin_loss(
    input: Any, target: Any, *, weight: Any = None, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Logistic loss of targets 1 and -1, :math:`\log(1 + \exp(-y x))`.

    Parameters
    ----------
    input : array_like, any shape
        Scores x. The prediction operand, which gets the gradient -y sigmoid(-y x).
    target : array_like, broadcastable to `input`
        1 or -1; other numbers y are taken by the formula.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of elements that count, weighted or not.
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
        A shape that would enlarge `input`, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: ``torch.nn.functional.soft_margin_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.soft_margin_loss([0.0, 1e4, -1e4], [1, 1, 1], reduction="none").round(6).tolist()
    [0.693147, 0.0, 10000.0]
    """
    return elementwise(
        SOFT_MARGIN, (input, target), (), reduction, return_grad, weight, mask, grad_output, out, grad_out
    )


def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Binary cross entropy of logits, one per class, averaged over a sample's classes:
    :math:`-\frac1C \sum_c w_c\,(y_c \log\sigma(x_c) + (1 - y_c) \log(1 - \sigma(x_c)))`.

    Parameters
    ----------
    input : array_like, shape (N, C), (C,) or (..., C)
        Logits x. The prediction operand, which gets the gradient w (sigmoid(x) - y) / C.
    target : array_like, broadcastable to `input`
        1 for each class that applies, else 0; a bool or uint8 array is read as it is.
    weight : array_like, shape (C,) or broadcastable to `input`, optional
        Factor w of each class.
    reduction : {"mean", "sum", "none"}
        Over samples, each the mean over its C classes, weighted or not. "mean" divides by the number that count.
    mask : array_like of bool, broadcastable to the unreduced loss, optional
        False leaves a sample out of value (0 with "none"), gradient (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64 in nats, or an array of shape ``input.shape[:-1]`` with "none"
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        No classes, a shape that would enlarge `input`, an option or a dtype that is not one of the above. Nothing is
        written then.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: ``torch.nn.functional.multilabel_soft_margin_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.multilabel_soft_margin_loss([[0.0, 0.0], [9.0, -9.0]], [[1, 0], [1, 0]], reduction="none").round(6).tolist()
    [0.693147, 0.000123]
    """
    return elementwise(
        MULTILABEL_SOFT_MARGIN, (input, target), (), reduction, return_grad, weight, mask, grad_output, out, grad_out
    )


def hinge_embedding_loss(
    input: Any, target: Any, *, margin: float = 1.0, weight: Any = None, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""A distance, or how far it is below a margin: :math:`x` where y = 1, :math:`\max(0, \mathrm{margin} - x)` where
    y = -1.

    Parameters
    ----------
    input : array_like, any shape
        Distances x. The prediction operand, which gets the gradient 1 where y = 1; where y = -1, -1 for x <= margin,
        else 0.
    target : array_like, broadcastable to `input`
        1 for pairs that are alike, -1 for others. As in PyTorch, any other number gives the sum of both terms, which is
        max(x, margin), with the sum of their gradients.
    margin : float, default 1.0
        How far apart pairs that are not alike should be, in the unit of `input`.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of elements that count, weighted or not.
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
    value : numpy.float64, or an array of the shape of `input` with "none"
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A shape that would enlarge `input`, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: ``torch.nn.functional.hinge_embedding_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.hinge_embedding_loss([0.25, 0.25, 3.0], [1, -1, -1], reduction="none").tolist()
    [0.25, 0.75, 0.0]
    """
    margin = real_number(margin, "margin")
    return elementwise(
        HINGE_EMBEDDING, (input, target), (margin,), reduction, return_grad, weight, mask, grad_output, out, grad_out
    )


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, *, margin: float = 0.0, weight: Any = None, reduction: str = "mean",
    mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Hinge loss of the order of two scores, :math:`\max(0, -y\,(x_1 - x_2) + \mathrm{margin})`.

    Parameters
    ----------
    input1 : array_like, any shape
        Scores x1. A prediction operand, which gets the gradient -y where -y (x1 - x2) + margin >= 0, else 0.
    input2 : array_like, of the shape of `input1`
        Scores x2. A prediction operand, which gets the opposite gradient.
    target : array_like, broadcastable to `input1`
        1 where x1 should be the larger, -1 where x2 should; other numbers y are taken by the formula.
    margin : float, default 0.0
        By how much, in the unit of the scores.
    weight : array_like, broadcastable to `input1`, optional
        Factor of each element.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of elements that count, weighted or not.
    mask : array_like of bool, broadcastable to `input1`, optional
        False leaves an element out of value (0 with "none"), gradients (0) and denominator.
    return_grad : bool
        Also return the gradients of the reduced loss; with "none", those of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the unreduced loss into.
    grad_out : tuple of two ndarrays, optional
        The same for the gradients.

    Returns
    -------
    value : numpy.float64, or an array of the shape of `input1` with "none"
    grads : tuple of two arrays of the shape of `input1`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        `input2` of another shape, a shape that would enlarge `input1`, an option or a dtype that is not one of the
        above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: ``torch.nn.functional.margin_ranking_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> value, (g1, g2) = fl.margin_ranking_loss([3.0, 1.0], [1.0, 1.5], [1, 1], reduction="sum", return_grad=True)
    >>> float(value), g1.tolist(), g2.tolist()
    (0.5, [0.0, -1.0], [0.0, 1.0])
    """
    margin = real_number(margin, "margin")
    return elementwise(
        MARGIN_RANKING, (input1, input2, target), (margin,), reduction, return_grad, weight, mask, grad_output, out,
        grad_out,
    )  # fmt: skip


def sigmoid_focal_loss(
    input: Any, target: Any, *, alpha: float = 0.25, gamma: float = 2.0, weight: Any = None, reduction: str = "mean",
    mask: Any = None, return_grad: bool = False, return_hess: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None, hess_out: Any = None,
) -> Any:  # fmt: skip
    r"""Focal loss of logits, :math:`a\,(1 - p_t)^\gamma\,\mathrm{BCE}(x, y)`: binary cross entropy, less of it the
    better the prediction already is.

    Parameters
    ----------
    input : array_like, any shape
        Logits x. The prediction operand, which gets the derivative of the whole product, (1 - p_t)^gamma included, as
        does the second derivative.
    target : array_like, broadcastable to `input`
        Probabilities y of the positive class in [0, 1], usually 0 or 1; a bool or uint8 mask is read as it is. With
        p = sigmoid(x), p_t = p y + (1 - p) (1 - y).
    alpha : float, at most 1, default 0.25
        Factor of the positive class; that of the negative one is 1 - alpha: a = alpha y + (1 - alpha) (1 - y). If it is
        negative, a = 1.
    gamma : float, not negative, default 2.0
        How much less good predictions count; 0 is binary cross entropy.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of elements that count, weighted or not.
    mask : array_like of bool, broadcastable to `input`, optional
        False leaves an element out of value (0 with "none"), gradient (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    return_hess : bool
        Also return the second derivative by each element of `input`, scaled as the gradient; needs `return_grad`. The
        loss is not convex: it may be negative.
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
        alpha above 1, a negative or infinite gamma, a shape that would enlarge `input`, an option or a dtype that is
        not one of the above: nothing is written then. A target outside [0, 1], with its position.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: T.-Y. Lin et al., Focal Loss for Dense Object Detection (2017); ``torchvision.ops.sigmoid_focal_loss``,
    whose default reduction is "none".

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.sigmoid_focal_loss([0.0, 2.0], [0, 1])), 6)
    0.065208
    """
    alpha, gamma = real_number(alpha, "alpha"), nonnegative(gamma, "gamma")
    if alpha > 1:
        raise ValueError(f"alpha must be at most 1 (negative: no weights), got {alpha}")
    alpha = max(alpha, -1.0) + 0.0  # any negative number means the same; -0.0 is none
    spec, params = (FOCAL_SQUARE, (alpha,)) if gamma == 2 else (FOCAL, (alpha, gamma))
    return elementwise(
        spec, (input, target), params, reduction, return_grad, weight, mask, grad_output, out, grad_out, return_hess,
        hess_out,
    )  # fmt: skip
