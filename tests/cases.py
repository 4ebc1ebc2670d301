# SPDX-License-Identifier: BSD-3-Clause
"""The one list of cases: correctness, gradients, ISAs, threads, strides, dtypes, accuracy and benchmarks all walk it.

To add a loss, add its cases here, and its exact definition in exact.py. `python cases.py` prints a digest of every
case's results, by which runs under different environments are compared bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cases_margin
import numpy as np

import fastloss as fl

Shape = tuple[int, ...]
Operands = dict[str, np.ndarray]

# Passed by position, in this order; every other operand goes by keyword.
POSITIONAL = ("input", "target", "var")


@dataclass(frozen=True)
class Case:
    """One loss with one set of operands and options.

    `draw(rng, shape)` gives float64 (and integer) operands inside the loss's domain; `shape` is that of `input`.
    `kernel` is the row of the C table and the name of the reference function; `predictions` are the operands that get
    gradients; `defaults` are the kernel's parameters in the order of its row in elementwise.def.
    """

    name: str
    function: str
    criterion: str
    kernel: str
    draw: Callable[[np.random.Generator, Shape], Operands]
    options: dict[str, Any] = field(default_factory=dict)
    predictions: tuple[str, ...] = ("input",)
    rows: bool = False
    lists: bool = False  # the target has the class axis too: a list of labels, or a bool per class, at each position
    defaults: dict[str, Any] = field(default_factory=dict)

    def params(self, **options: Any) -> list[float]:
        """The kernel's parameters: defaults, the case's own options, and further ones."""
        chosen = {**self.defaults, **self.options, **options}
        return [float(chosen[name]) for name in self.defaults]

    def operands(self, shape: Shape, dtype: Any = np.float64, seed: int = 0) -> Operands:
        """Seeded operands; floating-point ones are rounded to `dtype`, labels stay integers."""
        rng = np.random.default_rng([seed, *shape])
        drawn = {k: np.asarray(v) for k, v in self.draw(rng, shape).items()}
        return {k: v if v.dtype.kind in "ib" else v.astype(dtype) for k, v in drawn.items()}

    def call(self, operands: dict[str, Any], **options: Any) -> Any:
        """The loss of these operands with the case's options, and further ones."""
        positional = [operands[name] for name in POSITIONAL if name in operands]
        keywords = {name: operands[name] for name in operands if name not in POSITIONAL}
        return getattr(fl, self.function)(*positional, **keywords, **{**self.options, **options})

    def gradients(self, operands: dict[str, Any], **options: Any) -> tuple[Any, tuple[np.ndarray, ...]]:
        """Value, and the gradients always as a tuple."""
        value, grad = self.call(operands, return_grad=True, **options)
        return value, grad if isinstance(grad, tuple) else (grad,)

    def loss_shape(self, shape: Shape) -> Shape:
        """Shape of the unreduced loss for an input of `shape`."""
        return shape[:1] * (len(shape) > 1) + shape[2:] if self.rows else shape

    def torch(self, operands: Operands, reduction: str = "mean") -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Value and gradients (of the sum, for "none") by the function of the same name in PyTorch."""
        import torch

        shape, flat = operands["input"].shape, self.rows and self.kernel != "cross_entropy"
        if flat:  # PyTorch takes (N, C) only
            operands = cases_margin.for_torch(operands)
        tensors = {k: torch.tensor(v) for k, v in operands.items()}
        for name in self.predictions:
            tensors[name].requires_grad_()
        if "weight" in tensors and not self.rows:  # torch does not broadcast it
            tensors["weight"] = tensors["weight"].broadcast_to(tensors["input"].shape).contiguous()
        positional = [tensors.pop(name) for name in POSITIONAL if name in tensors]
        function = getattr(torch.nn.functional, self.function)
        value = function(*positional, **tensors, reduction=reduction, **self.options)
        value.sum().backward()
        by_name = dict(zip((name for name in POSITIONAL if name in operands), positional, strict=True))
        result, grads = value.detach().numpy(), tuple(by_name[name].grad.numpy() for name in self.predictions)
        if not flat:
            return result, grads
        axis = 1 if len(shape) > 1 else 0
        where = self.loss_shape(shape)
        grad = np.moveaxis(grads[0].reshape(*where, shape[axis]), -1, axis)
        return result.reshape(where if reduction == "none" else ()), (grad,)


def _pair(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"input": rng.normal(0, 3, shape), "target": rng.normal(0, 1, shape)}


def _weighted(rng: np.random.Generator, shape: Shape) -> Operands:
    return {**_pair(rng, shape), "weight": rng.uniform(0, 2, shape)}


def _logits(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"input": rng.normal(0, 4, shape), "target": rng.uniform(0, 1, shape)}


def _logits_weighted(rng: np.random.Generator, shape: Shape) -> Operands:
    return {**_logits(rng, shape), "weight": rng.uniform(0, 2, shape)}


def _logits_pos_weight(rng: np.random.Generator, shape: Shape) -> Operands:
    """One weight of the positive answers per last axis, as for several labels per sample."""
    return {**_logits(rng, shape), "pos_weight": rng.uniform(0.5, 3, shape[-1:])}


def _gaussian(rng: np.random.Generator, shape: Shape) -> Operands:
    return {**_pair(rng, shape), "var": rng.uniform(0.1, 3, shape)}


def _gaussian_per_row(rng: np.random.Generator, shape: Shape) -> Operands:
    """One variance for the whole last axis."""
    return {**_pair(rng, shape), "var": rng.uniform(0.1, 3, (*shape[:-1], 1) if shape else ())}


def _labels(rng: np.random.Generator, shape: Shape) -> Operands:
    classes = shape[1] if len(shape) > 1 else shape[0]
    where = (shape[0], *shape[2:]) if len(shape) > 1 else ()
    return {"input": rng.normal(0, 4, shape), "target": np.asarray(rng.integers(0, classes, where))}


def _labels_weighted(rng: np.random.Generator, shape: Shape) -> Operands:
    operands = _labels(rng, shape)
    return {**operands, "weight": rng.uniform(0.1, 2, shape[1] if len(shape) > 1 else shape[0])}


def _labels_ignored(rng: np.random.Generator, shape: Shape) -> Operands:
    """About a quarter of the labels, but never the first, are to be left out."""
    operands = _labels_weighted(rng, shape)
    ignored = np.asarray(rng.random(operands["target"].shape) < 0.25)
    ignored[(slice(0, 1),) * ignored.ndim] = False
    return {**operands, "target": np.where(ignored, -1, operands["target"])}


_NLL = ("input", "var")
_HUBER_DEFAULTS = {"delta": 1.0}
_NLL_DEFAULTS = {"eps": 1e-6, "full": False}

CASES = [
    Case("l1", "l1_loss", "L1Loss", "l1", _pair),
    Case("l1-weight", "l1_loss", "L1Loss", "l1", _weighted),
    Case("mse", "mse_loss", "MSELoss", "mse", _pair),
    Case("mse-weight", "mse_loss", "MSELoss", "mse", _weighted),
    Case("huber", "huber_loss", "HuberLoss", "huber", _pair, defaults=_HUBER_DEFAULTS),
    Case(
        "huber-delta-weight",
        "huber_loss",
        "HuberLoss",
        "huber",
        _weighted,
        {"delta": 2.5},
        defaults=_HUBER_DEFAULTS,
    ),
    Case("bce", "binary_cross_entropy_with_logits", "BCEWithLogitsLoss", "bce_logits", _logits),
    Case("bce-weight", "binary_cross_entropy_with_logits", "BCEWithLogitsLoss", "bce_logits", _logits_weighted),
    Case("bce-pos", "binary_cross_entropy_with_logits", "BCEWithLogitsLoss", "bce_logits_pos", _logits_pos_weight),
    Case(
        "gaussian",
        "gaussian_nll_loss",
        "GaussianNLLLoss",
        "gaussian_nll",
        _gaussian,
        {},
        _NLL,
        defaults=_NLL_DEFAULTS,
    ),
    Case(
        "gaussian-full-eps",
        "gaussian_nll_loss",
        "GaussianNLLLoss",
        "gaussian_nll",
        _gaussian,
        {"full": True, "eps": 0.5},
        _NLL,
        defaults=_NLL_DEFAULTS,
    ),
    Case(
        "gaussian-row",
        "gaussian_nll_loss",
        "GaussianNLLLoss",
        "gaussian_nll",
        _gaussian_per_row,
        {},
        _NLL,
        defaults=_NLL_DEFAULTS,
    ),
    Case("ce", "cross_entropy", "CrossEntropyLoss", "cross_entropy", _labels, rows=True),
    Case("ce-weight", "cross_entropy", "CrossEntropyLoss", "cross_entropy", _labels_weighted, rows=True),
    Case(
        "ce-ignore",
        "cross_entropy",
        "CrossEntropyLoss",
        "cross_entropy",
        _labels_ignored,
        {"ignore_index": -1},
        rows=True,
    ),
    *(Case(**row) for row in cases_margin.CASES),
]
ELEMENTWISE = [case for case in CASES if not case.rows]
ROWS = [case for case in CASES if case.rows and not case.lists]
# One case per kernel: weights and options change what is multiplied, not how an element is computed.
KERNELS = list({case.kernel: case for case in reversed(CASES) if not case.options}.values())[::-1]

REDUCTIONS = ("none", "mean", "sum")
# Around whole lanes (16), tiles (512 doubles, 1024 floats) and blocks (4096).
SIZES = [
    *range(1, 51),
    *(k + d for k in (64, 512, 1024, 2048, 4096, 8192, 12288) for d in (-1, 0, 1)),
]
CLASSES = [1, 2, 3, 10, 16, 17, 33, 64, 65, 100, 1000, 1025, 5000]


def shapes_of(case: Case) -> list[Shape]:
    """A few shapes of every kind that the case takes: small, odd, beyond one block, of several axes."""
    if case.rows:
        return [(5,), (7, 3), (40, 10), (33, 100), (3, 1025), (1200, 10), (2, 17, 5), (3, 4, 2, 37), (2, 10, 700)]
    return [(1,), (17,), (1000,), (4097,), (5, 7), (3, 5, 700), (20000,)]


def working_type(dtype: Any) -> np.dtype:
    """What the loss is computed in, where every floating-point operand is of `dtype`."""
    return np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)


def assert_close(actual: Any, expected: Any, dtype: Any, note: str = "") -> None:
    """Equal within rounding of the working type, relative to the element and to the largest one.

    This finds wrong formulas and wrong places; how many ulp a kernel may err is the business of test_accuracy.py.
    """
    eps = float(np.finfo(working_type(dtype)).eps)
    expected = np.asarray(expected, dtype=np.float64)
    finite = np.abs(expected[np.isfinite(expected)])
    largest = float(finite.max()) if finite.size else 0.0
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=32 * eps, atol=32 * eps * largest, err_msg=note)


def against_reference(case: Case, operands: Operands, dtype: Any, note: str = "", **options: Any) -> None:
    """Values and gradients agree with the reference, and their types and shapes with the rules."""
    work = working_type(dtype)
    alone = case.call(operands, **options)
    value, grads = case.gradients(operands, **options)
    assert bits(value) == bits(alone), note
    with fl.backend("reference"):
        expected, expected_grads = case.gradients(operands, **options)
    assert_close(value, expected, dtype, note)
    if options.get("reduction", "mean") == "none":
        assert value.dtype == work and value.shape == case.loss_shape(operands["input"].shape), note
    else:
        assert type(value) is np.float64, note
    for name, grad, expected_grad in zip(case.predictions, grads, expected_grads, strict=True):
        assert grad.dtype == work and grad.shape == operands[name].shape, f"{note} gradient of {name}"
        assert_close(grad, expected_grad, dtype, f"{note} gradient of {name}")


def bits(result: Any) -> bytes:
    """The bytes of a value, an array, or a nest of tuples of them."""
    if isinstance(result, tuple):
        return b"".join(bits(part) for part in result)
    return np.ascontiguousarray(result).tobytes()


def digests(large: bool = False) -> dict[str, str]:
    """A digest per case of all its values and gradients; `large`: shapes that occupy several threads."""
    found = {}
    for case in CASES:
        digest = hashlib.sha256()
        enough = [(3000, 101), (6, 11, 5000)] if case.rows else [(3000, 101)]
        shapes = enough if large else shapes_of(case)
        for shape in shapes:
            for dtype in (np.float32, np.float64):
                operands = case.operands(shape, dtype)
                for reduction in ("none", "mean") if large else REDUCTIONS:
                    digest.update(bits(case.call(operands, reduction=reduction)))
                    digest.update(bits(case.gradients(operands, reduction=reduction)))
        found[case.name] = digest.hexdigest()
    return found


def disagreement() -> float:
    """Largest relative difference of kernels from the reference over all cases, in eps of the working type."""
    worst = 0.0
    for case in CASES:
        for shape in shapes_of(case):
            for dtype in (np.float32, np.float64):
                operands = case.operands(shape, dtype)
                value, grads = case.gradients(operands, reduction="none")
                with fl.backend("reference"):
                    expected, expected_grads = case.gradients(operands, reduction="none")
                for a, b in zip((value, *grads), (expected, *expected_grads), strict=True):
                    scale = float(np.max(np.abs(b))) * float(np.finfo(dtype).eps) or math.inf
                    difference = float(np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))))
                    worst = max(worst, difference / scale)
    return worst


if __name__ == "__main__":
    print(json.dumps({"digests": digests(), "disagreement": disagreement()}))
