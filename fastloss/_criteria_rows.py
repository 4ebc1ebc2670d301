# SPDX-License-Identifier: BSD-3-Clause
"""Criteria of losses of a row of class scores, or of a sequence of them: classification, margins, CTC."""

from __future__ import annotations

from typing import Any

from ._criterion import Criterion
from .ctc import ctc_loss
from .linear import linear_cross_entropy
from .margin import multi_margin_loss, multilabel_margin_loss
from .softmax import cross_entropy, focal_loss, nll_loss

__all__ = [
    "CTCLoss",
    "CrossEntropyLoss",
    "FocalLoss",
    "LinearCrossEntropyLoss",
    "MultiLabelMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
]


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


class LinearCrossEntropyLoss(Criterion):
    """`linear_cross_entropy` with its options held; called with (input, linear_weight, target, linear_bias=...)."""

    _function = staticmethod(linear_cross_entropy)

    def __init__(
        self, *, reduction: str = "mean", weight: Any = None, ignore_index: int | None = None,
        label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(reduction=reduction, weight=weight, ignore_index=ignore_index, label_smoothing=label_smoothing)


class CTCLoss(Criterion):
    """`ctc_loss` with its options held; called with (log_probs, targets, input_lengths, target_lengths)."""

    _function = staticmethod(ctc_loss)

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False, *, from_logits: bool = False
    ) -> None:
        super().__init__(blank=blank, reduction=reduction, zero_infinity=zero_infinity, from_logits=from_logits)
