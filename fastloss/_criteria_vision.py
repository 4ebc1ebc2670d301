# SPDX-License-Identifier: BSD-3-Clause
"""Criteria of losses of masks and boxes."""

from __future__ import annotations

from ._criterion import Criterion
from .box import ciou_loss, diou_loss, giou_loss, iou_loss
from .lovasz import lovasz_hinge_loss, lovasz_softmax_loss
from .overlap import dice_loss, focal_tversky_loss, generalized_dice_loss, jaccard_loss, tversky_loss

__all__ = [
    "CIoULoss",
    "DIoULoss",
    "DiceLoss",
    "FocalTverskyLoss",
    "GIoULoss",
    "GeneralizedDiceLoss",
    "IoULoss",
    "JaccardLoss",
    "LovaszHingeLoss",
    "LovaszSoftmaxLoss",
    "TverskyLoss",
]


class _MaskCriterion(Criterion):
    """Of a measure of two masks that has no numbers of its own."""

    def __init__(
        self, reduction: str = "mean", *, mode: str = "multiclass", from_logits: bool = True, smooth: float = 0.0,
        class_axis: int = 1, per_image: bool = False, classes: str = "all", ignore_index: int = -100,
    ) -> None:  # fmt: skip
        super().__init__(
            reduction=reduction, mode=mode, from_logits=from_logits, smooth=smooth, class_axis=class_axis,
            per_image=per_image, classes=classes, ignore_index=ignore_index,
        )  # fmt: skip


class DiceLoss(_MaskCriterion):
    """`dice_loss` with its options held."""

    _function = staticmethod(dice_loss)


class JaccardLoss(_MaskCriterion):
    """`jaccard_loss` with its options held."""

    _function = staticmethod(jaccard_loss)


class TverskyLoss(Criterion):
    """`tversky_loss` with its options held."""

    _function = staticmethod(tversky_loss)

    def __init__(
        self, reduction: str = "mean", *, mode: str = "multiclass", from_logits: bool = True, alpha: float = 0.5,
        beta: float = 0.5, smooth: float = 0.0, class_axis: int = 1, per_image: bool = False, classes: str = "all",
        ignore_index: int = -100,
    ) -> None:  # fmt: skip
        super().__init__(
            reduction=reduction, mode=mode, from_logits=from_logits, alpha=alpha, beta=beta, smooth=smooth,
            class_axis=class_axis, per_image=per_image, classes=classes, ignore_index=ignore_index,
        )  # fmt: skip


class FocalTverskyLoss(Criterion):
    """`focal_tversky_loss` with its options held."""

    _function = staticmethod(focal_tversky_loss)

    def __init__(
        self, reduction: str = "mean", *, mode: str = "multiclass", from_logits: bool = True, alpha: float = 0.3,
        beta: float = 0.7, gamma: float = 0.75, smooth: float = 0.0, class_axis: int = 1, per_image: bool = False,
        classes: str = "all", ignore_index: int = -100,
    ) -> None:  # fmt: skip
        super().__init__(
            reduction=reduction, mode=mode, from_logits=from_logits, alpha=alpha, beta=beta, gamma=gamma,
            smooth=smooth, class_axis=class_axis, per_image=per_image, classes=classes, ignore_index=ignore_index,
        )  # fmt: skip


class GeneralizedDiceLoss(Criterion):
    """`generalized_dice_loss` with its options held."""

    _function = staticmethod(generalized_dice_loss)

    def __init__(
        self, reduction: str = "mean", *, mode: str = "multiclass", from_logits: bool = True,
        weighting: str = "square", smooth: float = 0.0, class_axis: int = 1, per_image: bool = False,
        ignore_index: int = -100,
    ) -> None:  # fmt: skip
        super().__init__(
            reduction=reduction, mode=mode, from_logits=from_logits, weighting=weighting, smooth=smooth,
            class_axis=class_axis, per_image=per_image, ignore_index=ignore_index,
        )  # fmt: skip


class LovaszSoftmaxLoss(Criterion):
    """`lovasz_softmax_loss` with its options held."""

    _function = staticmethod(lovasz_softmax_loss)

    def __init__(
        self, reduction: str = "mean", *, from_logits: bool = True, class_axis: int = 1, per_image: bool = False,
        classes: str = "present", ignore_index: int = -100,
    ) -> None:  # fmt: skip
        super().__init__(
            reduction=reduction, from_logits=from_logits, class_axis=class_axis, per_image=per_image,
            classes=classes, ignore_index=ignore_index,
        )  # fmt: skip


class LovaszHingeLoss(Criterion):
    """`lovasz_hinge_loss` with its options held."""

    _function = staticmethod(lovasz_hinge_loss)

    def __init__(
        self, reduction: str = "mean", *, mode: str = "binary", class_axis: int = 1, per_image: bool = False,
        classes: str = "all", ignore_index: int = -100,
    ) -> None:  # fmt: skip
        super().__init__(
            reduction=reduction, mode=mode, class_axis=class_axis, per_image=per_image, classes=classes,
            ignore_index=ignore_index,
        )  # fmt: skip


class _BoxCriterion(Criterion):
    """Of any measure of two boxes."""

    def __init__(self, reduction: str = "mean", *, fmt: str = "xyxy", eps: float = 1e-7) -> None:
        super().__init__(reduction=reduction, fmt=fmt, eps=eps)


class IoULoss(_BoxCriterion):
    """`iou_loss` with its options held."""

    _function = staticmethod(iou_loss)


class GIoULoss(_BoxCriterion):
    """`giou_loss` with its options held."""

    _function = staticmethod(giou_loss)


class DIoULoss(_BoxCriterion):
    """`diou_loss` with its options held."""

    _function = staticmethod(diou_loss)


class CIoULoss(_BoxCriterion):
    """`ciou_loss` with its options held."""

    _function = staticmethod(ciou_loss)
