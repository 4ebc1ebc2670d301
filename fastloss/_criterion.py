# SPDX-License-Identifier: BSD-3-Clause
"""What the classes of `criteria` have in common."""

from __future__ import annotations

from typing import Any


class Criterion:
    """A loss with its options: ``criterion(input, target)``, ``criterion.value_and_grad(input, target)``.

    Options of a single call (`mask`, `grad_output`, `out`, `grad_out`, `hess_out`) are passed with it.
    """

    _function: Any

    def __init__(self, **options: Any) -> None:
        self.options = options

    def __call__(self, *operands: Any, **call: Any) -> Any:
        return type(self)._function(*operands, **self.options, **call)

    def value_and_grad(self, *operands: Any, **call: Any) -> Any:
        """The loss and its gradient, or tuple of gradients, with respect to the prediction operands."""
        return type(self)._function(*operands, return_grad=True, **self.options, **call)

    def value_grad_hess(self, *operands: Any, **call: Any) -> Any:
        """The loss, its gradient and its second derivative, where the function has `return_hess`."""
        function = type(self)._function
        if "return_hess" not in function.__kwdefaults__:
            raise TypeError(
                f"{type(self).__name__}: {function.__name__} gives no second derivative (it has no return_hess)"
            )
        return function(*operands, return_grad=True, return_hess=True, **self.options, **call)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{type(self).__name__}({shown})"


class ReducedCriterion(Criterion):
    """One without options but the reduction."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
