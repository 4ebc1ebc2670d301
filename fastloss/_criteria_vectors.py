# SPDX-License-Identifier: BSD-3-Clause
"""Criteria of losses of vectors: pairs, triplets, batches of embeddings."""

from __future__ import annotations

from typing import Any

from ._criterion import Criterion
from .distance import contrastive_loss, cosine_embedding_loss
from .ranking import info_nce_loss, multiple_negatives_ranking_loss, nt_xent_loss
from .triplet import (
    batch_all_triplet_loss,
    batch_hard_triplet_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)

__all__ = [
    "BatchAllTripletLoss",
    "BatchHardTripletLoss",
    "ContrastiveLoss",
    "CosineEmbeddingLoss",
    "InfoNCELoss",
    "MultipleNegativesRankingLoss",
    "NTXentLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]


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
