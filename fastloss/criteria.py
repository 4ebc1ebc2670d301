# SPDX-License-Identifier: BSD-3-Clause
"""The class face: a criterion holds a loss's options and calls its function."""

from __future__ import annotations

from typing import Any

from . import _criteria_networks
from ._criteria_networks import *  # noqa: F403
from ._criterion import Criterion
from .binary import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    hinge_embedding_loss,
    margin_ranking_loss,
    multilabel_soft_margin_loss,
    sigmoid_focal_loss,
    soft_margin_loss,
)
from .box import (
    ciou_loss,
    diou_loss,
    giou_loss,
    iou_loss,
)
from .ctc import (
    ctc_loss,
)
from .distance import contrastive_loss, cosine_embedding_loss
from .likelihood import (
    gamma_nll_loss,
    gaussian_nll_loss,
    kl_div,
    poisson_nll_loss,
    tweedie_nll_loss,
)
from .linear import (
    linear_cross_entropy,
)
from .lovasz import lovasz_hinge_loss, lovasz_softmax_loss
from .margin import (
    multi_margin_loss,
    multilabel_margin_loss,
)
from .overlap import (
    dice_loss,
    focal_tversky_loss,
    generalized_dice_loss,
    jaccard_loss,
    tversky_loss,
)
from .quantile import quantile_loss
from .ranking import info_nce_loss, multiple_negatives_ranking_loss, nt_xent_loss
from .regression import (
    huber_loss,
    l1_loss,
    log_cosh_loss,
    mse_loss,
    rmse_loss,
    smooth_l1_loss,
)
from .relative import mape_loss, msle_loss, smape_loss
from .softmax import (
    cross_entropy,
    focal_loss,
    nll_loss,
)
from .triplet import (
    batch_all_triplet_loss,
    batch_hard_triplet_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchAllTripletLoss",
    "BatchHardTripletLoss",
    "CIoULoss",
    "CTCLoss",
    "ContrastiveLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "DIoULoss",
    "DiceLoss",
    "FocalLoss",
    "FocalTverskyLoss",
    "GIoULoss",
    "GammaNLLLoss",
    "GaussianNLLLoss",
    "GeneralizedDiceLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "InfoNCELoss",
    "IoULoss",
    "JaccardLoss",
    "KLDivLoss",
    "L1Loss",
    "LinearCrossEntropyLoss",
    "LogCoshLoss",
    "LovaszHingeLoss",
    "LovaszSoftmaxLoss",
    "MAPELoss",
    "MSELoss",
    "MSLELoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "MultipleNegativesRankingLoss",
    "NLLLoss",
    "NTXentLoss",
    "PoissonNLLLoss",
    "QuantileLoss",
    "RMSELoss",
    "SMAPELoss",
    "SigmoidFocalLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
    "TverskyLoss",
    "TweedieNLLLoss",
    *_criteria_networks.__all__,
]


class L1Loss(Criterion):
    """`l1_loss` with its options held."""

    _function = staticmethod(l1_loss)

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class MSELoss(Criterion):
    """`mse_loss` with its options held."""

    _function = staticmethod(mse_loss)

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class HuberLoss(Criterion):
    """`huber_loss` with its options held."""

    _function = staticmethod(huber_loss)

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction, delta=delta)


class SmoothL1Loss(Criterion):
    """`smooth_l1_loss` with its options held."""

    _function = staticmethod(smooth_l1_loss)

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction, beta=beta)


class RMSELoss(Criterion):
    """`rmse_loss` with its options held."""

    _function = staticmethod(rmse_loss)

    def __init__(self, eps: float = 0.0) -> None:
        super().__init__(eps=eps)


class LogCoshLoss(Criterion):
    """`log_cosh_loss` with its options held."""

    _function = staticmethod(log_cosh_loss)

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class QuantileLoss(Criterion):
    """`quantile_loss` with its options held."""

    _function = staticmethod(quantile_loss)

    def __init__(self, q: Any = 0.5, reduction: str = "mean") -> None:
        super().__init__(q=q, reduction=reduction)


class MAPELoss(Criterion):
    """`mape_loss` with its options held."""

    _function = staticmethod(mape_loss)

    def __init__(self, reduction: str = "mean", eps: float = 2.220446049250313e-16) -> None:
        super().__init__(reduction=reduction, eps=eps)


class SMAPELoss(Criterion):
    """`smape_loss` with its options held."""

    _function = staticmethod(smape_loss)

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class MSLELoss(Criterion):
    """`msle_loss` with its options held."""

    _function = staticmethod(msle_loss)

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class BCEWithLogitsLoss(Criterion):
    """`binary_cross_entropy_with_logits` with its options held."""

    _function = staticmethod(binary_cross_entropy_with_logits)

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(weight=weight, reduction=reduction, pos_weight=pos_weight)


class GaussianNLLLoss(Criterion):
    """`gaussian_nll_loss` with its options held; called with (input, target, var)."""

    _function = staticmethod(gaussian_nll_loss)

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(full=full, eps=eps, reduction=reduction)


class PoissonNLLLoss(Criterion):
    """`poisson_nll_loss` with its options held."""

    _function = staticmethod(poisson_nll_loss)

    def __init__(self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean") -> None:
        super().__init__(log_input=log_input, full=full, eps=eps, reduction=reduction)


class KLDivLoss(Criterion):
    """`kl_div` with its options held."""

    _function = staticmethod(kl_div)

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction=reduction, log_target=log_target)


class GammaNLLLoss(Criterion):
    """`gamma_nll_loss` with its options held."""

    _function = staticmethod(gamma_nll_loss)

    def __init__(self, reduction: str = "mean", log_input: bool = True) -> None:
        super().__init__(reduction=reduction, log_input=log_input)


class TweedieNLLLoss(Criterion):
    """`tweedie_nll_loss` with its options held."""

    _function = staticmethod(tweedie_nll_loss)

    def __init__(self, power: float = 1.5, reduction: str = "mean", log_input: bool = True) -> None:
        super().__init__(power=power, reduction=reduction, log_input=log_input)


class CrossEntropyLoss(Criterion):
    """`cross_entropy` with its options held."""

    _function = staticmethod(cross_entropy)

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0, *,
        from_logits: bool = True, z_loss: float = 0.0, class_axis: int = 1,
    ) -> None:  # fmt: skip
        super().__init__(
            weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing,
            from_logits=from_logits, z_loss=z_loss, class_axis=class_axis,
        )  # fmt: skip


class NLLLoss(Criterion):
    """`nll_loss` with its options held."""

    _function = staticmethod(nll_loss)

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", *, class_axis: int = 1
    ) -> None:
        super().__init__(weight=weight, ignore_index=ignore_index, reduction=reduction, class_axis=class_axis)


class FocalLoss(Criterion):
    """`focal_loss` with its options held."""

    _function = staticmethod(focal_loss)

    def __init__(
        self, weight: Any = None, gamma: float = 2.0, ignore_index: int = -100, reduction: str = "mean", *,
        from_logits: bool = True, class_axis: int = 1,
    ) -> None:  # fmt: skip
        super().__init__(
            weight=weight, gamma=gamma, ignore_index=ignore_index, reduction=reduction, from_logits=from_logits,
            class_axis=class_axis,
        )  # fmt: skip


class MultiMarginLoss(Criterion):
    """`multi_margin_loss` with its options held."""

    _function = staticmethod(multi_margin_loss)

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean", *, class_axis: int = 1
    ) -> None:
        super().__init__(p=p, margin=margin, weight=weight, reduction=reduction, class_axis=class_axis)


class MultiLabelMarginLoss(Criterion):
    """`multilabel_margin_loss` with its options held."""

    _function = staticmethod(multilabel_margin_loss)

    def __init__(self, reduction: str = "mean", *, class_axis: int = 1) -> None:
        super().__init__(reduction=reduction, class_axis=class_axis)


class CTCLoss(Criterion):
    """`ctc_loss` with its options held; called with (log_probs, targets, input_lengths, target_lengths)."""

    _function = staticmethod(ctc_loss)

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False, *, from_logits: bool = False
    ) -> None:
        super().__init__(blank=blank, reduction=reduction, zero_infinity=zero_infinity, from_logits=from_logits)


class BCELoss(Criterion):
    """`binary_cross_entropy` with its options held."""

    _function = staticmethod(binary_cross_entropy)

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(weight=weight, reduction=reduction)


class SoftMarginLoss(Criterion):
    """`soft_margin_loss` with its options held."""

    _function = staticmethod(soft_margin_loss)

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class MultiLabelSoftMarginLoss(Criterion):
    """`multilabel_soft_margin_loss` with its options held."""

    _function = staticmethod(multilabel_soft_margin_loss)

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(weight=weight, reduction=reduction)


class HingeEmbeddingLoss(Criterion):
    """`hinge_embedding_loss` with its options held."""

    _function = staticmethod(hinge_embedding_loss)

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(margin=margin, reduction=reduction)


class MarginRankingLoss(Criterion):
    """`margin_ranking_loss` with its options held; called with (input1, input2, target)."""

    _function = staticmethod(margin_ranking_loss)

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(margin=margin, reduction=reduction)


class SigmoidFocalLoss(Criterion):
    """`sigmoid_focal_loss` with its options held."""

    _function = staticmethod(sigmoid_focal_loss)

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean") -> None:
        super().__init__(alpha=alpha, gamma=gamma, reduction=reduction)


class LinearCrossEntropyLoss(Criterion):
    """`linear_cross_entropy` with its options held; called with (input, linear_weight, target, linear_bias=...)."""

    _function = staticmethod(linear_cross_entropy)

    def __init__(
        self, *, reduction: str = "mean", weight: Any = None, ignore_index: int | None = None,
        label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(reduction=reduction, weight=weight, ignore_index=ignore_index, label_smoothing=label_smoothing)


class IoULoss(Criterion):
    """`iou_loss` with its options held."""

    _function = staticmethod(iou_loss)

    def __init__(self, reduction: str = "mean", *, fmt: str = "xyxy", eps: float = 1e-7) -> None:
        super().__init__(reduction=reduction, fmt=fmt, eps=eps)


class GIoULoss(Criterion):
    """`giou_loss` with its options held."""

    _function = staticmethod(giou_loss)

    def __init__(self, reduction: str = "mean", *, fmt: str = "xyxy", eps: float = 1e-7) -> None:
        super().__init__(reduction=reduction, fmt=fmt, eps=eps)


class DIoULoss(Criterion):
    """`diou_loss` with its options held."""

    _function = staticmethod(diou_loss)

    def __init__(self, reduction: str = "mean", *, fmt: str = "xyxy", eps: float = 1e-7) -> None:
        super().__init__(reduction=reduction, fmt=fmt, eps=eps)


class CIoULoss(Criterion):
    """`ciou_loss` with its options held."""

    _function = staticmethod(ciou_loss)

    def __init__(self, reduction: str = "mean", *, fmt: str = "xyxy", eps: float = 1e-7) -> None:
        super().__init__(reduction=reduction, fmt=fmt, eps=eps)


class CosineEmbeddingLoss(Criterion):
    """`cosine_embedding_loss` with its options held; called with (input1, input2, target)."""

    _function = staticmethod(cosine_embedding_loss)

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(margin=margin, reduction=reduction)


class ContrastiveLoss(Criterion):
    """`contrastive_loss` with its options held; called with (input1, input2, target)."""

    _function = staticmethod(contrastive_loss)

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(margin=margin, reduction=reduction)


class TripletMarginLoss(Criterion):
    """`triplet_margin_loss` with its options held; called with (anchor, positive, negative)."""

    _function = staticmethod(triplet_margin_loss)

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, reduction: str = "mean"
    ) -> None:
        super().__init__(margin=margin, p=p, eps=eps, swap=swap, reduction=reduction)


class TripletMarginWithDistanceLoss(Criterion):
    """`triplet_margin_with_distance_loss` with its options held; called with (anchor, positive, negative)."""

    _function = staticmethod(triplet_margin_with_distance_loss)

    def __init__(
        self, *, distance_function: Any = "pairwise", margin: float = 1.0, swap: bool = False, reduction: str = "mean"
    ) -> None:
        super().__init__(distance_function=distance_function, margin=margin, swap=swap, reduction=reduction)


class BatchHardTripletLoss(Criterion):
    """`batch_hard_triplet_loss` with its options held; called with (embeddings, labels)."""

    _function = staticmethod(batch_hard_triplet_loss)

    def __init__(self, margin: float = 1.0, metric: str = "euclidean", reduction: str = "mean") -> None:
        super().__init__(margin=margin, metric=metric, reduction=reduction)


class BatchAllTripletLoss(Criterion):
    """`batch_all_triplet_loss` with its options held; called with (embeddings, labels)."""

    _function = staticmethod(batch_all_triplet_loss)

    def __init__(
        self, margin: float = 1.0, metric: str = "euclidean", active_only: bool = False, reduction: str = "mean"
    ) -> None:
        super().__init__(margin=margin, metric=metric, active_only=active_only, reduction=reduction)


class InfoNCELoss(Criterion):
    """`info_nce_loss` with its options held; called with (query, key)."""

    _function = staticmethod(info_nce_loss)

    def __init__(self, temperature: float = 0.1, normalize: bool = True, reduction: str = "mean") -> None:
        super().__init__(temperature=temperature, normalize=normalize, reduction=reduction)


class NTXentLoss(Criterion):
    """`nt_xent_loss` with its options held; called with (input1, input2)."""

    _function = staticmethod(nt_xent_loss)

    def __init__(self, temperature: float = 0.5, reduction: str = "mean") -> None:
        super().__init__(temperature=temperature, reduction=reduction)


class MultipleNegativesRankingLoss(Criterion):
    """`multiple_negatives_ranking_loss` with its options held; called with (anchor, positive) or a negative too."""

    _function = staticmethod(multiple_negatives_ranking_loss)

    def __init__(self, scale: float = 20.0, normalize: bool = True, reduction: str = "mean") -> None:
        super().__init__(scale=scale, normalize=normalize, reduction=reduction)


class DiceLoss(Criterion):
    """`dice_loss` with its options held."""

    _function = staticmethod(dice_loss)

    def __init__(
        self, reduction: str = "mean", *, mode: str = "multiclass", from_logits: bool = True, smooth: float = 0.0,
        class_axis: int = 1, per_image: bool = False, classes: str = "all", ignore_index: int = -100,
    ) -> None:  # fmt: skip
        super().__init__(
            reduction=reduction, mode=mode, from_logits=from_logits, smooth=smooth, class_axis=class_axis,
            per_image=per_image, classes=classes, ignore_index=ignore_index,
        )  # fmt: skip


class JaccardLoss(Criterion):
    """`jaccard_loss` with its options held."""

    _function = staticmethod(jaccard_loss)

    def __init__(
        self, reduction: str = "mean", *, mode: str = "multiclass", from_logits: bool = True, smooth: float = 0.0,
        class_axis: int = 1, per_image: bool = False, classes: str = "all", ignore_index: int = -100,
    ) -> None:  # fmt: skip
        super().__init__(
            reduction=reduction, mode=mode, from_logits=from_logits, smooth=smooth, class_axis=class_axis,
            per_image=per_image, classes=classes, ignore_index=ignore_index,
        )  # fmt: skip


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
