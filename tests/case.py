# SPDX-License-Identifier: BSD-3-Clause
"""What a case is; the list of them stands in cases.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import fastloss as fl
from fastloss.bench.operands import pair, seeded

Shape = tuple[int, ...]
Operands = dict[str, np.ndarray]

# Passed by position, in this order; every other operand goes by keyword.
POSITIONAL = (
    *("input", "input1", "input2", "target", "var", "mu", "log_var", "prior_mu", "prior_log_var", "fake"),
    *("anchor", "positive", "negative"),
    *("value", "reward", "next_value", "done", "log_probs", "old_log_probs", "advantages"),
)


@dataclass(frozen=True)
class Case:
    """One loss with one set of operands and options.

    `draw(rng, shape)` gives float64 (and integer) operands inside the loss's domain; `shape` is that of `input`.
    `kernel` is the row of the C table and the name of the reference function; `predictions` are the operands that get
    gradients; `defaults` are the kernel's parameters in the order of its row in elementwise.def. `lists`: the target of
    a row loss has the class axis too. `bounds`: of operands that have a domain. `per_sample`: the unreduced loss is a
    mean over the last axis. `peer` stands for the function of the same name in PyTorch where there is none.
    """

    name: str
    function: str
    criterion: str
    kernel: str
    draw: Callable[[np.random.Generator, Shape], Operands]
    options: dict[str, Any] = field(default_factory=dict)
    predictions: tuple[str, ...] = ("input",)
    rows: bool = False
    lists: bool = False  # the target has the class axis too
    defaults: dict[str, Any] = field(default_factory=dict)
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    per_sample: bool = False
    vectors: bool = False  # a loss of distances of vectors, which are no elements
    peer: Callable[..., Any] | None = None

    def params(self, **options: Any) -> list[float]:
        """The kernel's parameters: defaults, the case's own options, and further ones."""
        chosen = {**self.defaults, **self.options, **options}
        return [float(chosen[name]) for name in self.defaults]

    def operands(self, shape: Shape, dtype: Any = np.float64, seed: int = 0) -> Operands:
        """Seeded operands; floating-point ones are rounded to `dtype`, labels stay integers."""
        return seeded(self.draw, shape, dtype, seed)

    def call(self, operands: dict[str, Any], **options: Any) -> Any:
        """The loss of these operands with the case's options, and further ones."""
        positional = [operands[name] for name in POSITIONAL if name in operands]
        keywords = {name: operands[name] for name in operands if name not in POSITIONAL}
        return getattr(fl, self.function)(*positional, **keywords, **{**self.options, **options})

    def gradients(self, operands: dict[str, Any], **options: Any) -> tuple[Any, tuple[np.ndarray, ...]]:
        """Value, and the gradients always as a tuple."""
        value, grad = self.call(operands, return_grad=True, **options)
        return value, grad if isinstance(grad, tuple) else (grad,)

    @property
    def first(self) -> str:
        """The name of the first operand."""
        return self.predictions[0]

    @property
    def smallest(self) -> Shape:
        """An input whose unreduced loss is 0-d."""
        return (5,) if self.rows or self.per_sample else ()

    def spread(self, a: np.ndarray) -> np.ndarray:
        """An array of the unreduced loss's shape as one that broadcasts to the input's."""
        return np.expand_dims(a, 1 if self.rows else -1) if self.rows or self.per_sample else a

    def loss_shape(self, shape: Shape) -> Shape:
        """Shape of the unreduced loss for an input of `shape`."""
        if self.per_sample:
            return shape[:-1]
        return shape[:1] * (len(shape) > 1) + shape[2:] if self.rows else shape

    def torch_function(self) -> Callable[..., Any]:
        """The function of the same name in PyTorch, or what stands for it."""
        import torch

        return self.peer or getattr(torch.nn.functional, self.function)

    def torch(self, operands: Operands, reduction: str = "mean") -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Value and gradients (of the sum, for "none") by the function of the same name in PyTorch, or its formula."""
        import torch

        tensors = {k: torch.tensor(v) for k, v in operands.items()}
        for name in self.predictions:
            tensors[name].requires_grad_()
        if "weight" in tensors and not self.rows:  # torch does not broadcast it
            tensors["weight"] = tensors["weight"].broadcast_to(tensors[self.first].shape).contiguous()
        positional = [tensors.pop(name) for name in POSITIONAL if name in tensors]
        value = self.torch_function()(*positional, **tensors, reduction=reduction, **self.options)
        value.sum().backward()
        by_name = dict(zip((name for name in POSITIONAL if name in operands), positional, strict=True))
        return value.detach().numpy(), tuple(by_name[name].grad.numpy() for name in self.predictions)


def written_out(name: str) -> Callable[..., Any]:
    """What stands for a loss that PyTorch does not have: see torch_formulas.py."""

    def peer(*operands: Any, **options: Any) -> Any:
        import torch_formulas

        return torch_formulas.loss(name, *operands, **options)

    return peer


def weighted(rng: np.random.Generator, shape: Shape) -> Operands:
    return {**pair(rng, shape), "weight": rng.uniform(0, 2, shape)}
