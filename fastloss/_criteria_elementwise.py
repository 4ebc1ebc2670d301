# SPDX-License-Identifier: BSD-3-Clause
"""Criteria of elementwise losses: regression, likelihoods, binary targets."""

from __future__ import annotations

from typing import Any

from ._criterion import Criterion, ReducedCriterion
from .binary import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    hinge_embedding_loss,
    margin_ranking_loss,
    multilabel_soft_margin_loss,
    sigmoid_focal_loss,
    soft_margin_loss,
)
from .likelihood import gamma_nll_loss, gaussian_nll_loss, kl_div, poisson_nll_loss, tweedie_nll_loss
from .quantile import quantile_loss
from .regression import huber_loss, l1_loss, log_cosh_loss, mse_loss, rmse_loss, smooth_l1_loss
from .relative import mape_loss, msle_loss, smape_loss

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "GammaNLLLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "LogCoshLoss",
    "MAPELoss",
    "MSELoss",
    "MSLELoss",
    "MarginRankingLoss",
    "MultiLabelSoftMarginLoss",
    "PoissonNLLLoss",
    "QuantileLoss",
    "RMSELoss",
    "SMAPELoss",
    "SigmoidFocalLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "TweedieNLLLoss",
]


class L1Loss(ReducedCriterion):
    """`l1_loss` with its options held."""

    _function = staticmethod(l1_loss)


class MSELoss(ReducedCriterion):
    """`mse_loss` with its options held."""

    _function = staticmethod(mse_loss)


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


class LogCoshLoss(ReducedCriterion):
    """`log_cosh_loss` with its options held."""

    _function = staticmethod(log_cosh_loss)


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


class SMAPELoss(ReducedCriterion):
    """`smape_loss` with its options held."""

    _function = staticmethod(smape_loss)


class MSLELoss(ReducedCriterion):
    """`msle_loss` with its options held."""

    _function = staticmethod(msle_loss)


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


class BCEWithLogitsLoss(Criterion):
    """`binary_cross_entropy_with_logits` with its options held."""

    _function = staticmethod(binary_cross_entropy_with_logits)

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(weight=weight, reduction=reduction, pos_weight=pos_weight)


class BCELoss(Criterion):
    """`binary_cross_entropy` with its options held."""

    _function = staticmethod(binary_cross_entropy)

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(weight=weight, reduction=reduction)


class SoftMarginLoss(ReducedCriterion):
    """`soft_margin_loss` with its options held."""

    _function = staticmethod(soft_margin_loss)


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
