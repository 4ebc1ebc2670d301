# SPDX-License-Identifier: BSD-3-Clause
"""The class face: a criterion holds a loss's options and calls its function."""

from __future__ import annotations

from typing import Any

from .elementwise import binary_cross_entropy_with_logits, gaussian_nll_loss, huber_loss, l1_loss, mse_loss
from .linear import linear_cross_entropy
from .softmax import cross_entropy

__all__ = [
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HuberLoss",
    "L1Loss",
    "LinearCrossEntropyLoss",
    "MSELoss",
]


class Criterion:
    """A loss with its options: ``criterion(input, target)``, ``criterion.value_and_grad(input, target)``.

    Options of a single call (`mask`, `grad_output`, `out`, `grad_out`) are passed with it.
    """

    _function: Any

    def __init__(self, **options: Any) -> None:
        self.options = options

    def __call__(self, *operands: Any, **call: Any) -> Any:
        return type(self)._function(*operands, **self.options, **call)

    def value_and_grad(self, *operands: Any, **call: Any) -> Any:
        """The loss and its gradient, or tuple of gradients, with respect to the prediction operands."""
        return type(self)._function(*operands, return_grad=True, **self.options, **call)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{type(self).__name__}({shown})"


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


class CrossEntropyLoss(Criterion):
    """`cross_entropy` with its options held."""

    _function = staticmethod(cross_entropy)

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", *, class_axis: int = 1
    ) -> None:
        super().__init__(weight=weight, ignore_index=ignore_index, reduction=reduction, class_axis=class_axis)


class LinearCrossEntropyLoss(Criterion):
    """`linear_cross_entropy` with its options held; called with (input, linear_weight, target, linear_bias=...)."""

    _function = staticmethod(linear_cross_entropy)

    def __init__(
        self, *, reduction: str = "mean", weight: Any = None, ignore_index: int | None = None,
        label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(reduction=reduction, weight=weight, ignore_index=ignore_index, label_smoothing=label_smoothing)
