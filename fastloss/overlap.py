# SPDX-License-Identifier: BSD-3-Clause
"""Losses of overlapping masks, as segmentation asks for them: Dice, Jaccard and their relatives; Lovasz's are in
`lovasz`."""

from __future__ import annotations

from typing import Any

from ._call import nonnegative as _nonnegative
from ._call_overlap import CLASS_WEIGHTS as _CLASS_WEIGHTS
from ._call_overlap import generalized_dice as _generalized_dice
from ._call_overlap import one_of as _one_of
from ._call_overlap import overlap_loss as _overlap_loss
from ._call_overlap import tversky as _tversky

__all__ = [
    "dice_loss",
    "focal_tversky_loss",
    "generalized_dice_loss",
    "jaccard_loss",
    "tversky_loss",
]


def dice_loss(
    input: Any, target: Any, *, mode: str = "multiclass", from_logits: bool = True, smooth: float = 0.0,
    class_axis: int = 1, per_image: bool = False, classes: str = "all", ignore_index: int = -100,
    reduction: str = "mean", mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Dice loss, one minus the share of the overlap, :math:`1 - \frac{2 I + s}{P + T + s}`.

    I, P and T are the sums of p t, p and t over the positions, and s is `smooth`.

    Parameters
    ----------
    input : array_like, shape (N, C, d1, ...); of mode "binary" (N, d1, ...)
        Logits, from which softmax ("multiclass") or sigmoid makes the probabilities p; or these, with
        from_logits=False. The prediction operand.
    target : array_like
        Truths t. "multiclass": class indices of any integer type, in the shape of `input` without its class axis,
        never made into masks. Otherwise masks in the shape of `input`, of bool, integers 0 and 1, or probabilities.
    mode : {"multiclass", "multilabel", "binary"}
        One class per position; several, each with a mask of its own; or one mask, without a class axis.
    from_logits : bool, default True
        Whether `input` holds logits; else probabilities, checked to lie in [0, 1].
    smooth : float, default 0.0
        Added above and below the fraction, at least 0.
    class_axis : int, default 1
        Axis of the classes; images lie along axis 0, unless that is the class axis: then there is one image.
    per_image : bool, default False
        Whether sums run over the positions of one image, or of the whole batch.
    classes : {"all", "present"}, default "all"
        Which classes are averaged, in each image or in the batch: all, or those that are true at a position that
        counts. The others are 0 with "none", and get no gradient.
    ignore_index : int, default -100
        A truth whose position (of masks: in its class) does not count.
    reduction : {"mean", "sum", "none"}
        "mean" over classes and, per image, over images.
    mask : array_like of bool, broadcastable to `input` without its class axis, optional
        False leaves a position out of value and gradient (0); its truth may be anything.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or with "none" an array of shape (C,), per image (N, C); without C if binary
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A label out of range (``target[0, 7, 3] = 21 is out of range for 21 classes``), a truth or probability
        outside [0, 1], a shape that does not fit, an option or a dtype that is not one of the above. Nothing is
        written then.

    Notes
    -----
    A class that is true nowhere costs 1 if anything of it is predicted and `smooth` is 0; if nothing is, as without
    any positions, the loss is 0 and has no gradient. A loss none of whose positions count is 0 with "none" and left
    out of the mean; with nothing to average, the mean is nan and the gradient 0. nan makes the losses of its image
    or batch nan. The working type is float64 if `input`, or a floating `target`, is or neither is floating, else
    float32; sums are float64.

    Source: Milletari et al. 2016, "V-Net", without squares in the denominator; as in MONAI and
    segmentation_models_pytorch.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.dice_loss([0.9, 0.2, 0.7], [1, 0, 1], mode="binary", from_logits=False)), 6)
    0.157895
    """
    added = _nonnegative(smooth, "smooth")
    return _overlap_loss(
        "dice", _tversky(0.5, 0.5, added / 2), {"smooth": added}, input, target, mode, from_logits, class_axis,
        per_image, classes, ignore_index, reduction, mask, return_grad, grad_output, out, grad_out,
    )  # fmt: skip


def jaccard_loss(
    input: Any, target: Any, *, mode: str = "multiclass", from_logits: bool = True, smooth: float = 0.0,
    class_axis: int = 1, per_image: bool = False, classes: str = "all", ignore_index: int = -100,
    reduction: str = "mean", mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Jaccard (IoU) loss of masks, :math:`1 - \frac{I + s}{P + T - I + s}`.

    I, P and T are the sums of p t, p and t over the positions, and s is `smooth`.

    Parameters
    ----------
    input : array_like, shape (N, C, d1, ...); of mode "binary" (N, d1, ...)
        Logits, from which softmax ("multiclass") or sigmoid makes the probabilities p; or these, with
        from_logits=False. The prediction operand.
    target : array_like
        Truths t. "multiclass": class indices of any integer type, in the shape of `input` without its class axis,
        never made into masks. Otherwise masks in the shape of `input`, of bool, integers 0 and 1, or probabilities.
    mode : {"multiclass", "multilabel", "binary"}
        One class per position; several, each with a mask of its own; or one mask, without a class axis.
    from_logits : bool, default True
        Whether `input` holds logits; else probabilities, checked to lie in [0, 1].
    smooth : float, default 0.0
        Added above and below the fraction, at least 0.
    class_axis : int, default 1
        Axis of the classes; images lie along axis 0, unless that is the class axis: then there is one image.
    per_image : bool, default False
        Whether sums run over the positions of one image, or of the whole batch.
    classes : {"all", "present"}, default "all"
        Which classes are averaged, in each image or in the batch: all, or those that are true at a position that
        counts. The others are 0 with "none", and get no gradient.
    ignore_index : int, default -100
        A truth whose position (of masks: in its class) does not count.
    reduction : {"mean", "sum", "none"}
        "mean" over classes and, per image, over images.
    mask : array_like of bool, broadcastable to `input` without its class axis, optional
        False leaves a position out of value and gradient (0); its truth may be anything.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or with "none" an array of shape (C,), per image (N, C); without C if binary
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A label out of range (``target[0, 7, 3] = 21 is out of range for 21 classes``), a truth or probability
        outside [0, 1], a shape that does not fit, an option or a dtype that is not one of the above. Nothing is
        written then.

    Notes
    -----
    A class that is true nowhere costs 1 if anything of it is predicted and `smooth` is 0; if nothing is, as without
    any positions, the loss is 0 and has no gradient. A loss none of whose positions count is 0 with "none" and left
    out of the mean; with nothing to average, the mean is nan and the gradient 0. nan makes the losses of its image
    or batch nan. The working type is float64 if `input`, or a floating `target`, is or neither is floating, else
    float32; sums are float64.

    Source: Rahman and Wang 2016, "Optimizing intersection-over-union in deep neural networks".

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.jaccard_loss([0.9, 0.2, 0.7], [1, 0, 1], mode="binary", from_logits=False)), 6)
    0.272727
    """
    added = _nonnegative(smooth, "smooth")
    return _overlap_loss(
        "jaccard", _tversky(1.0, 1.0, added), {"smooth": added}, input, target, mode, from_logits, class_axis,
        per_image, classes, ignore_index, reduction, mask, return_grad, grad_output, out, grad_out,
    )  # fmt: skip


def tversky_loss(
    input: Any, target: Any, *, mode: str = "multiclass", from_logits: bool = True, alpha: float = 0.5,
    beta: float = 0.5, smooth: float = 0.0, class_axis: int = 1, per_image: bool = False, classes: str = "all",
    ignore_index: int = -100, reduction: str = "mean", mask: Any = None, return_grad: bool = False,
    grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Tversky loss, errors of two kinds, :math:`1 - \frac{I + s}{I + \alpha (P - I) + \beta (T - I) + s}`.

    I, P and T are the sums of p t, p and t, and s is `smooth`. With both factors at 0.5 it is `dice_loss` (of twice
    the `smooth`), at 1 `jaccard_loss`.

    Parameters
    ----------
    input : array_like, shape (N, C, d1, ...); of mode "binary" (N, d1, ...)
        Logits, from which softmax ("multiclass") or sigmoid makes the probabilities p; or these, with
        from_logits=False. The prediction operand.
    target : array_like
        Truths t. "multiclass": class indices of any integer type, in the shape of `input` without its class axis,
        never made into masks. Otherwise masks in the shape of `input`, of bool, integers 0 and 1, or probabilities.
    mode : {"multiclass", "multilabel", "binary"}
        One class per position; several, each with a mask of its own; or one mask, without a class axis.
    from_logits : bool, default True
        Whether `input` holds logits; else probabilities, checked to lie in [0, 1].
    alpha, beta : float, at least 0
        Factors of what is predicted and not true, and of what is true and not predicted.
    smooth : float, default 0.0
        Added above and below the fraction, at least 0.
    class_axis : int, default 1
        Axis of the classes; images lie along axis 0, unless that is the class axis: then there is one image.
    per_image : bool, default False
        Whether sums run over the positions of one image, or of the whole batch.
    classes : {"all", "present"}, default "all"
        Which classes are averaged, in each image or in the batch: all, or those that are true at a position that
        counts. The others are 0 with "none", and get no gradient.
    ignore_index : int, default -100
        A truth whose position (of masks: in its class) does not count.
    reduction : {"mean", "sum", "none"}
        "mean" over classes and, per image, over images.
    mask : array_like of bool, broadcastable to `input` without its class axis, optional
        False leaves a position out of value and gradient (0); its truth may be anything.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or with "none" an array of shape (C,), per image (N, C); without C if binary
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A label out of range (``target[0, 7, 3] = 21 is out of range for 21 classes``), a truth or probability
        outside [0, 1], a shape that does not fit, an option or a dtype that is not one of the above. Nothing is
        written then.

    Notes
    -----
    A class that is true nowhere costs 1 if anything of it is predicted and `smooth` is 0; if nothing is, as without
    any positions, the loss is 0 and has no gradient. A loss none of whose positions count is 0 with "none" and left
    out of the mean; with nothing to average, the mean is nan and the gradient 0. nan makes the losses of its image
    or batch nan. The working type is float64 if `input`, or a floating `target`, is or neither is floating, else
    float32; sums are float64.

    Source: Salehi et al. 2017, "Tversky loss function for image segmentation using 3D fully convolutional deep
    networks".

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.tversky_loss([0.9, 0.2, 0.7], [1, 0, 1], mode="binary", from_logits=False, beta=1.0)), 6)
    0.238095
    """
    params = {
        "alpha": _nonnegative(alpha, "alpha"),
        "beta": _nonnegative(beta, "beta"),
        "smooth": _nonnegative(smooth, "smooth"),
    }
    return _overlap_loss(
        "tversky", _tversky(**params), params, input, target, mode, from_logits, class_axis, per_image, classes,
        ignore_index, reduction, mask, return_grad, grad_output, out, grad_out,
    )  # fmt: skip


def focal_tversky_loss(
    input: Any, target: Any, *, mode: str = "multiclass", from_logits: bool = True, alpha: float = 0.3,
    beta: float = 0.7, gamma: float = 0.75, smooth: float = 0.0, class_axis: int = 1, per_image: bool = False,
    classes: str = "all", ignore_index: int = -100, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Focal Tversky loss of masks, :math:`(1 - \frac{I + s}{I + \alpha (P - I) + \beta (T - I) + s})^\gamma`.

    I, P and T are the sums of p t, p and t, and s is `smooth`.

    Parameters
    ----------
    input : array_like, shape (N, C, d1, ...); of mode "binary" (N, d1, ...)
        Logits, from which softmax ("multiclass") or sigmoid makes the probabilities p; or these, with
        from_logits=False. The prediction operand.
    target : array_like
        Truths t. "multiclass": class indices of any integer type, in the shape of `input` without its class axis,
        never made into masks. Otherwise masks in the shape of `input`, of bool, integers 0 and 1, or probabilities.
    mode : {"multiclass", "multilabel", "binary"}
        One class per position; several, each with a mask of its own; or one mask, without a class axis.
    from_logits : bool, default True
        Whether `input` holds logits; else probabilities, checked to lie in [0, 1].
    alpha, beta : float, at least 0
        Factors of what is predicted and not true, and of what is true and not predicted.
    gamma : float, default 0.75
        Power, at least 0: below 1, small losses count for more.
    smooth : float, default 0.0
        Added above and below the fraction, at least 0.
    class_axis : int, default 1
        Axis of the classes; images lie along axis 0, unless that is the class axis: then there is one image.
    per_image : bool, default False
        Whether sums run over the positions of one image, or of the whole batch.
    classes : {"all", "present"}, default "all"
        Which classes are averaged, in each image or in the batch: all, or those that are true at a position that
        counts. The others are 0 with "none", and get no gradient.
    ignore_index : int, default -100
        A truth whose position (of masks: in its class) does not count.
    reduction : {"mean", "sum", "none"}
        "mean" over classes and, per image, over images.
    mask : array_like of bool, broadcastable to `input` without its class axis, optional
        False leaves a position out of value and gradient (0); its truth may be anything.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or with "none" an array of shape (C,), per image (N, C); without C if binary
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A label out of range (``target[0, 7, 3] = 21 is out of range for 21 classes``), a truth or probability
        outside [0, 1], a shape that does not fit, an option or a dtype that is not one of the above. Nothing is
        written then.

    Notes
    -----
    A class that is true nowhere costs 1 if anything of it is predicted and `smooth` is 0; if nothing is, as without
    any positions, the loss is 0 and has no gradient. At a loss of exactly 0 the gradient is 0 unless gamma is 1. A
    loss none of whose positions count is 0 with "none" and left out of the mean; with nothing to average, the mean
    is nan and the gradient 0. nan makes the losses of its image or batch nan. The working type is float64 if
    `input`, or a floating `target`, is or neither is floating, else float32; sums are float64.

    Source: Abraham and Khan 2019, "A novel focal Tversky loss function"; their gamma of 4/3 is the inverse of this
    one, their alpha the factor of what is missed.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.focal_tversky_loss([0.9, 0.2, 0.7], [1, 0, 1], mode="binary", from_logits=False)), 6)
    0.270868
    """
    params = {
        "alpha": _nonnegative(alpha, "alpha"),
        "beta": _nonnegative(beta, "beta"),
        "gamma": _nonnegative(gamma, "gamma"),
        "smooth": _nonnegative(smooth, "smooth"),
    }
    return _overlap_loss(
        "focal_tversky", _tversky(**params), params, input, target, mode, from_logits, class_axis, per_image, classes,
        ignore_index, reduction, mask, return_grad, grad_output, out, grad_out,
    )  # fmt: skip


def generalized_dice_loss(
    input: Any, target: Any, *, mode: str = "multiclass", from_logits: bool = True, weighting: str = "square",
    smooth: float = 0.0, class_axis: int = 1, per_image: bool = False, ignore_index: int = -100,
    reduction: str = "mean", mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Generalised Dice loss of all classes, :math:`1 - \frac{2 \sum_c w_c I_c + s}{\sum_c w_c (P_c + T_c) + s}`.

    I, P and T are the sums of p t, p and t of each class, s is `smooth`, and w makes up for the sizes of the
    classes.

    Parameters
    ----------
    input : array_like, shape (N, C, d1, ...); of mode "binary" (N, d1, ...)
        Logits, from which softmax ("multiclass") or sigmoid makes the probabilities p; or these, with
        from_logits=False. The prediction operand.
    target : array_like
        Truths t. "multiclass": class indices of any integer type, in the shape of `input` without its class axis,
        never made into masks. Otherwise masks in the shape of `input`, of bool, integers 0 and 1, or probabilities.
    mode : {"multiclass", "multilabel", "binary"}
        One class per position; several, each with a mask of its own; or one mask, without a class axis.
    from_logits : bool, default True
        Whether `input` holds logits; else probabilities, checked to lie in [0, 1].
    weighting : {"square", "simple", "uniform"}
        w = 1 / T^2, 1 / T or 1. A class that is true nowhere gets the largest weight of the others, or 1 if there
        is none.
    smooth : float, default 0.0
        Added above and below the fraction, at least 0.
    class_axis : int, default 1
        Axis of the classes; images lie along axis 0, unless that is the class axis: then there is one image.
    per_image : bool, default False
        Whether sums run over the positions of one image, or of the whole batch.
    ignore_index : int, default -100
        A truth whose position (of masks: in its class) does not count.
    reduction : {"mean", "sum", "none"}
        "mean" over images, if per image.
    mask : array_like of bool, broadcastable to `input` without its class axis, optional
        False leaves a position out of value and gradient (0); its truth may be anything.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or with "none" an array of shape (N,) per image, else ()
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A label out of range (``target[0, 7, 3] = 21 is out of range for 21 classes``), a truth or probability
        outside [0, 1], a shape that does not fit, an option or a dtype that is not one of the above. Nothing is
        written then.

    Notes
    -----
    Where nothing is true and nothing is predicted, the loss is 0 and has no gradient. A loss none of whose
    positions count is 0 with "none" and left out of the mean; with nothing to average, the mean is nan and the
    gradient 0. nan makes the losses of its image or batch nan. The working type is float64 if `input`, or a
    floating `target`, is or neither is floating, else float32; sums are float64.

    Source: Sudre et al. 2017, "Generalised Dice overlap as a deep learning loss function for highly unbalanced
    segmentations"; the weight of absent classes is MONAI's.

    Examples
    --------
    >>> import fastloss as fl
    >>> p = [[0.9, 0.2, 0.7], [0.1, 0.8, 0.3]]
    >>> round(float(fl.generalized_dice_loss(p, [0, 1, 0], class_axis=0, from_logits=False)), 6)
    0.238095
    """
    params = {
        "weighting": _one_of(weighting, "weighting", tuple(_CLASS_WEIGHTS)),
        "smooth": _nonnegative(smooth, "smooth"),
    }
    return _overlap_loss(
        "generalized_dice", _generalized_dice(**params), params, input, target, mode, from_logits, class_axis,
        per_image, "all", ignore_index, reduction, mask, return_grad, grad_output, out, grad_out,
    )  # fmt: skip
