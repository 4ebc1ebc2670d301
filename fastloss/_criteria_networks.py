# SPDX-License-Identifier: BSD-3-Clause
"""Criteria of the losses around networks: variational, adversarial, reinforcement."""

from __future__ import annotations

from typing import Any

from ._criterion import Criterion, ReducedCriterion
from .adversarial import gan_discriminator_loss, gan_generator_loss, gradient_penalty, wasserstein_distance_1d
from .policy import policy_gradient_loss, ppo_loss
from .reinforcement import dqn_loss, td_loss
from .variational import elbo_loss, gaussian_kl_loss, js_divergence, renyi_divergence

__all__ = [
    "DQNLoss",
    "ELBOLoss",
    "GANDiscriminatorLoss",
    "GANGeneratorLoss",
    "GaussianKLLoss",
    "GradientPenalty",
    "JSDivergence",
    "PPOLoss",
    "PolicyGradientLoss",
    "RenyiDivergence",
    "TDLoss",
    "WassersteinDistance1D",
]


class GaussianKLLoss(ReducedCriterion):
    """`gaussian_kl_loss` with its options held; called with (mu, log_var), or with a prior's too."""

    _function = staticmethod(gaussian_kl_loss)


class ELBOLoss(Criterion):
    """`elbo_loss` with its options held; called with (input, target, mu, log_var)."""

    _function = staticmethod(elbo_loss)

    def __init__(
        self, beta: float = 1.0, reconstruction: str = "bce_with_logits", reduction: str = "mean"
    ) -> None:  # fmt: skip
        super().__init__(beta=beta, reconstruction=reconstruction, reduction=reduction)


class JSDivergence(ReducedCriterion):
    """`js_divergence` with its options held."""

    _function = staticmethod(js_divergence)


class RenyiDivergence(Criterion):
    """`renyi_divergence` with its options held."""

    _function = staticmethod(renyi_divergence)

    def __init__(self, alpha: float = 2.0, reduction: str = "mean") -> None:
        super().__init__(alpha=alpha, reduction=reduction)


class GANDiscriminatorLoss(Criterion):
    """`gan_discriminator_loss` with its options held; called with (real, fake)."""

    _function = staticmethod(gan_discriminator_loss)

    def __init__(self, kind: str = "bce", reduction: str = "mean") -> None:
        super().__init__(kind=kind, reduction=reduction)


class GANGeneratorLoss(Criterion):
    """`gan_generator_loss` with its options held; called with (fake)."""

    _function = staticmethod(gan_generator_loss)

    def __init__(self, kind: str = "bce", reduction: str = "mean") -> None:
        super().__init__(kind=kind, reduction=reduction)


class GradientPenalty(Criterion):
    """`gradient_penalty` with its options held; called with (gradients)."""

    _function = staticmethod(gradient_penalty)

    def __init__(self, target: float = 1.0, one_sided: bool = False, reduction: str = "mean") -> None:
        super().__init__(target=target, one_sided=one_sided, reduction=reduction)


class WassersteinDistance1D(Criterion):
    """`wasserstein_distance_1d`; called with (input, target) and weights."""

    _function = staticmethod(wasserstein_distance_1d)

    def __init__(self) -> None:
        super().__init__()


class TDLoss(Criterion):
    """`td_loss` with its options held; called with (value, reward, next_value, done, weight)."""

    _function = staticmethod(td_loss)

    def __init__(
        self, gamma: float = 0.99, kind: str = "huber", delta: float = 1.0, reduction: str = "mean"
    ) -> None:  # fmt: skip
        super().__init__(gamma=gamma, kind=kind, delta=delta, reduction=reduction)


class DQNLoss(Criterion):
    """`dqn_loss` with its options held; called with (q_values, actions, reward, next_q_values, done, weight)."""

    _function = staticmethod(dqn_loss)

    def __init__(
        self, gamma: float = 0.99, kind: str = "huber", delta: float = 1.0, reduction: str = "mean", *,
        class_axis: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(gamma=gamma, kind=kind, delta=delta, reduction=reduction, class_axis=class_axis)


class PolicyGradientLoss(Criterion):
    """`policy_gradient_loss` with its options held; called with (input, actions, advantages)."""

    _function = staticmethod(policy_gradient_loss)

    def __init__(
        self, ent_coef: float = 0.0, reduction: str = "mean", *, from_logits: bool = True, class_axis: int = -1
    ) -> None:
        super().__init__(ent_coef=ent_coef, reduction=reduction, from_logits=from_logits, class_axis=class_axis)


class PPOLoss(Criterion):
    """`ppo_loss` with its options held; called with its operands."""

    _function = staticmethod(ppo_loss)

    def __init__(
        self, clip_range: float = 0.2, clip_range_vf: float | None = None, vf_coef: float = 0.5, ent_coef: float = 0.0,
        normalize_advantage: bool = False, reduction: str = "mean",
    ) -> None:  # fmt: skip
        options: dict[str, Any] = {
            "clip_range": clip_range, "clip_range_vf": clip_range_vf, "vf_coef": vf_coef, "ent_coef": ent_coef,
            "normalize_advantage": normalize_advantage,
        }  # fmt: skip
        super().__init__(**options, reduction=reduction)
