# SPDX-License-Identifier: BSD-3-Clause
"""The Lovasz extensions of the Jaccard loss of masks, which `overlap` has."""

from __future__ import annotations

from typing import Any

from ._call_overlap import lovasz_loss as _lovasz_loss

__all__ = ["lovasz_hinge_loss", "lovasz_softmax_loss"]


def lovasz_softmax_loss(
    input: Any, target: Any, *, from_logits: bool = True, class_axis: int = 1, per_image: bool = False,
    classes: str = "present", ignore_index: int = -100, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Lovasz-softmax loss, the Lovasz extension of the Jaccard loss, :math:`\sum_k e_{(k)} (J_k - J_{k-1})`.

    Of each class, e are the errors \|t - p\| of its positions, the largest first, and J_k is the Jaccard loss if
    the first k positions are wrong and all others right: 1 - (T - hits) / (T + misses), with T true positions in
    all, hits of them among the first k, and misses = k - hits.

    Parameters
    ----------
    input : array_like, shape (N, C, d1, ...)
        Logits, from which softmax makes the probabilities p; or these, with from_logits=False. The
        prediction operand.
    target : array_like of any integer type, the shape of `input` without its class axis
        Class indices, never made into masks.
    from_logits : bool, default True
        Whether `input` holds logits; else probabilities, checked to lie in [0, 1].
    class_axis : int, default 1
        Axis of the classes; images lie along axis 0, unless that is the class axis: then there is one image.
    per_image : bool, default False
        Whether sums run over the positions of one image, or of the whole batch.
    classes : {"all", "present"}, default "present"
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
    value : numpy.float64, or with "none" an array of shape (C,), per image (N, C)
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A label out of range (``target[0, 7, 3] = 21 is out of range for 21 classes``), a truth or probability
        outside [0, 1], a shape that does not fit, an option or a dtype that is not one of the above. Nothing is
        written then.

    Notes
    -----
    Of a class that is true nowhere ("all") the loss is its largest error. Equal errors keep their order, which the
    gradient depends on, not the value. Beside inputs and gradients the call takes 16 bytes (float64: 24) for each
    position of an image or the batch, and per thread as long as those of all stay below 16 MB; and for logits 8
    (16) more for each position. A loss none of whose positions count is 0 with "none" and left out of the mean;
    with nothing to average, the mean is nan and the gradient 0. nan makes the losses of its image or batch nan. The
    working type is float64 if `input`, or a floating `target`, is or neither is floating, else float32; sums are
    float64.

    Source: Berman, Rannen Triki and Blaschko 2018, "The Lovasz-softmax loss", and its published code:
    `classes="present"`.

    Examples
    --------
    >>> import fastloss as fl
    >>> p = [[0.9, 0.2, 0.7], [0.1, 0.8, 0.3]]
    >>> round(float(fl.lovasz_softmax_loss(p, [0, 1, 0], class_axis=0, from_logits=False)), 6)
    0.233333
    """
    return _lovasz_loss(
        False, input, target, "multiclass", from_logits, class_axis, per_image, classes, ignore_index, reduction, mask,
        return_grad, grad_output, out, grad_out,
    )  # fmt: skip


def lovasz_hinge_loss(
    input: Any, target: Any, *, mode: str = "binary", class_axis: int = 1, per_image: bool = False,
    classes: str = "all", ignore_index: int = -100, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Lovasz hinge loss of masks, an extension of the Jaccard loss, :math:`\sum_k \max(0, e_{(k)}) (J_k - J_{k-1})`.

    e are the hinges 1 - x (2 t - 1), the largest first; J_k is the Jaccard loss if the first k positions are wrong
    and all others right, as in `lovasz_softmax_loss`.

    Parameters
    ----------
    input : array_like, shape (N, d1, ...); of mode "multilabel" (N, C, d1, ...)
        Logits x. The prediction operand.
    target : array_like, the shape of `input`
        Masks of bool or of the numbers 0 and 1.
    mode : {"binary", "multilabel"}
        One mask, without a class axis; or a mask for each class.
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
        A label out of range (``target[0, 7, 3] = 21 is out of range for 21 classes``), a truth other than 0 and 1,
        a shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    Where nothing is true the loss is the largest hinge. At a hinge of exactly 0 the gradient is 0. Equal hinges
    keep their order, which the gradient depends on, not the value. Beside inputs and gradients the call takes 16
    bytes (float64: 24) for each position of an image or the batch, and per thread as long as those of all stay
    below 16 MB. A loss none of whose positions count is 0 with "none" and left out of the mean; with nothing to
    average, the mean is nan and the gradient 0. nan makes the losses of its image or batch nan. The working type is
    float64 if `input`, or a floating `target`, is or neither is floating, else float32; sums are float64.

    Source: Yu and Blaschko 2015, "Learning submodular losses with the Lovasz hinge"; Berman et al. 2018, and their
    published code.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.lovasz_hinge_loss([2.0, -0.5, 0.4], [1, 0, 1])), 6)
    0.383333
    """
    return _lovasz_loss(
        True, input, target, mode, True, class_axis, per_image, classes, ignore_index, reduction, mask, return_grad,
        grad_output, out, grad_out,
    )  # fmt: skip
