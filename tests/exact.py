# SPDX-License-Identifier: BSD-3-Clause
"""Exact results by mpmath, and how far a kernel's stand from them: the accuracy contract of one element.

The contract: a value or gradient errs by at most 4 ulp of the exact result, plus twice the change in the exact
result when each input moves by half an ulp. `excess` measures what is left of the error, in ulp, once that change is
taken off.
Options (delta, eps) count as rounded to the working type. A float32 cross entropy below about 1e-37 (float64: 1e-307)
is exempt: the exponentials that it is made of are subnormal, and have few digits.

A new elementwise loss needs its definition in the file of its topic, under its kernel's name, and, if differences of
its inputs are not where it is hard, a function `draw_<kernel>` beside it. Shared by test_accuracy.py,
test_reference.py and tools/accuracy.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import exact_adversarial
import exact_binary
import exact_likelihood
import exact_margin
import exact_regression
import exact_reinforcement
import exact_variational
import mpmath
import numpy as np
from cases import ELEMENTWISE, Case
from draw import Draw
from mpmath import mpf

from fastloss.reference import elementwise, softmax

LIMIT_ULP = 4.0
MARGINS = ("multi_margin", "multilabel_margin")
DIGITS = 60  # float64 results keep 16 of them even where terms cancel down to half an ulp of an input

Numbers = list[Any]


_FILES = (
    *(exact_regression, exact_binary, exact_likelihood),
    *(exact_variational, exact_adversarial, exact_reinforcement),
)
TOPICS = {k: v for topic in _FILES for k, v in vars(topic).items()}
EXACT: dict[str, Callable[..., Numbers]] = {case.kernel: TOPICS[case.kernel] for case in ELEMENTWISE}


def cross_entropy(row: list[mpf], target: int) -> Numbers:
    """[value, gradient per class] of one row of finite logits."""
    top = max(row)
    e = [mpmath.exp(x - top) for x in row]
    rest, total = mpmath.fsum(e[:target] + e[target + 1 :]), mpmath.fsum(e)
    value = mpmath.log1p(rest / e[target])
    return [value, *(-rest / total if k == target else e[k] / total for k in range(len(row)))]


# The kernels' results and the contract.


def parameters(case: Case, options: dict[str, Any], dtype: Any) -> list[float]:
    """The loss's parameters in the order of the C table, rounded to the working type."""
    return [float(np.dtype(dtype).type(value)) for value in case.params(**options)]


def kernel(case: Case, operands: dict[str, np.ndarray], options: dict[str, Any]) -> list[np.ndarray]:
    """[value, gradient per prediction] of every element, a row of its own where the loss is one of rows; of rows of
    classes: gradient per class."""
    if case.per_sample:
        alone = {name: a[:, np.newaxis] for name, a in operands.items()}
        value, grads = case.gradients(alone, reduction="none", **options)
        return [value, *(grad[:, 0] for grad in grads)]
    value, grads = case.gradients(operands, reduction="none", **options)
    return [value, *grads] if not case.rows else [value, *np.moveaxis(grads[0], 1, 0)]


def excess(case: Case, operands: dict[str, np.ndarray], options: dict[str, Any]) -> list[np.ndarray]:
    """Error of each result beyond twice its conditioning, in ulp: [of the value, of each gradient]."""
    return excess_of(case, operands, options, kernel(case, operands, options))


def excess_of(case: Case, operands: dict, options: dict, actual: list[np.ndarray]) -> list[np.ndarray]:
    """The same of any results."""
    dtype = operands[case.first].dtype
    if dtype == np.float32:
        return _excess_single(case, operands, options, actual)
    return _excess_double(case, operands, options, actual)


def _excess_single(case: Case, operands: dict, options: dict, actual: list[np.ndarray]) -> list[np.ndarray]:
    """Against the float64 reference, whose own error is nothing beside an ulp of float32."""
    wide = {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in operands.items()}
    half = {k: 0.5 * _spacing(v).astype(np.float64) for k, v in operands.items() if v.dtype.kind == "f"}
    if case.kernel in MARGINS:
        positives = exact_margin.positives_of(operands["target"])
        parts = exact_margin.exact_rows(wide["input"], positives, half["input"])
        exact, slack = ([part / wide["input"].shape[1] for part in some] for some in parts)
    elif case.rows:
        exact, slack = _rows(wide["input"], wide["target"], half["input"])
    else:
        function = getattr(elementwise, case.kernel)
        params = parameters(case, options, np.float32)

        def results(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
            value, grads, _ = function(*arrays.values(), *params)
            return [value, *grads]

        exact = results(wide)
        slack = [np.zeros_like(part) for part in exact]
        with np.errstate(all="ignore"):
            for name in wide:
                for k in range(len(exact)):
                    ends = [
                        results({**wide, name: within(case, name, wide[name] + s * half[name])})[k] for s in (1, -1)
                    ]
                    moved = np.fmax(*(np.abs(end - exact[k]) for end in ends))
                    slack[k] += 2 * np.nan_to_num(moved, nan=0.0)  # nan: beyond float64
    return [_beyond(a, e, s) for a, e, s in zip(actual, exact, slack, strict=True)]


def within(case: Case, name: str, a: Any) -> Any:
    """No input moves out of its domain."""
    if name not in case.bounds:
        return a
    low, high = case.bounds[name]
    return np.clip(a, low, high) if isinstance(a, np.ndarray) else min(max(a, low), high)


def _rows(x: np.ndarray, target: np.ndarray, half: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Exact results of (rows, classes), and twice their change to first order: dp_j/dx_k = p_j (1[j=k] - p_k)."""
    value, grad = softmax.cross_entropy(x[:, :, np.newaxis], target[:, np.newaxis])
    value, grad = value[:, 0], grad[:, :, 0]
    p = grad + (np.arange(x.shape[1]) == target[:, np.newaxis])
    slack = 2 * p * (_others(p) * half + _others(p * half))
    return [value, *grad.T], [2 * np.sum(np.abs(grad) * half, axis=1), *slack.T]


def _others(terms: np.ndarray) -> np.ndarray:
    """The sum of each row's other terms, added up from both ends since a difference would lose small ones."""
    right = np.cumsum(terms[:, :0:-1], axis=1)[:, ::-1]
    left = np.cumsum(terms[:, :-1], axis=1)
    return np.pad(left, [(0, 0), (1, 0)]) + np.pad(right, [(0, 0), (0, 1)])


def _beyond(actual: np.ndarray, exact: np.ndarray, slack: np.ndarray) -> np.ndarray:
    largest = float(np.finfo(np.float32).max)
    with np.errstate(all="ignore"):
        ulp = _spacing(np.clip(exact, -largest, largest).astype(np.float32)).astype(np.float64)
        error = np.abs(np.clip(actual.astype(np.float64), -largest, largest) - np.clip(exact, -largest, largest))
        beyond = np.maximum(error - slack, 0.0) / ulp
    return np.where(np.isnan(actual), np.inf, beyond)


def _spacing(x: np.ndarray) -> np.ndarray:
    """One ulp at |x|; that of the largest number too."""
    x = np.minimum(np.abs(x), np.nextafter(np.finfo(x.dtype).max, x.dtype.type(0)))
    return np.spacing(x)


def _excess_double(case: Case, operands: dict, options: dict, actual: list[np.ndarray]) -> list[np.ndarray]:
    size = operands[case.first].shape[0]
    found = [np.empty(size) for _ in actual]
    params = parameters(case, options, np.float64)
    arrays = list(operands.values())
    with mpmath.workdps(DIGITS):
        for i in range(size):
            if case.kernel in MARGINS:
                row = arrays[0][i]
                exact, slack = exact_margin.exactly(row, arrays[1][i], 0.5 * _spacing(row))
            elif case.rows:
                exact, slack = _exact_row(arrays[0][i], int(arrays[1][i]))
            else:
                exact, slack = exact_element(case, operands, params, i)
            for k, part in enumerate(actual):
                found[k][i] = _beyond_exactly(float(part[i]), exact[k], slack[k])
    return found


def exact_element(case: Case, operands: dict[str, np.ndarray], params: list[float], i: int) -> tuple[Numbers, Numbers]:
    """[value, gradient per prediction] of element i, and twice the change of each when inputs move by half an ulp."""
    function = EXACT[case.kernel]
    at = [mpf(float(a[i])) for a in operands.values()]
    exact = function(*at, *map(mpf, params))
    slack = [mpf(0)] * len(exact)
    for k, (name, a) in enumerate(operands.items()):
        half = mpf(float(_spacing(a[i]))) / 2
        moved = [within(case, name, at[k] + s * half) for s in (1, -1)]
        ends = [function(*at[:k], x, *at[k + 1 :], *map(mpf, params)) for x in moved]
        for j, e in enumerate(exact):
            slack[j] += 2 * max(abs(end[j] - e) for end in ends)
    return exact, slack


def _exact_row(row: np.ndarray, target: int) -> tuple[Numbers, Numbers]:
    exact = cross_entropy([mpf(float(x)) for x in row], target)
    half = [mpf(float(_spacing(x))) / 2 for x in row]
    grads = exact[1:]
    p = [g + 1 if k == target else g for k, g in enumerate(grads)]
    slack = [2 * mpmath.fsum(abs(g) * h for g, h in zip(grads, half, strict=True))]
    for k in range(len(row)):  # 1 - p_k as a sum: it may be far smaller than an ulp of 1
        rest = [j for j in range(len(row)) if j != k]
        moved = mpmath.fsum(p[j] * half[j] for j in rest)
        slack.append(2 * p[k] * (mpmath.fsum(p[j] for j in rest) * half[k] + moved))
    return exact, slack


def excess_of_root(x: np.ndarray, y: np.ndarray, value: float, grad: np.ndarray) -> list[float]:
    """Of rmse_loss, which has no elements of its own: the largest error of its value and of its gradient beyond twice
    their conditioning (to first order), in ulp."""
    with mpmath.workdps(DIGITS):
        d = [mpf(float(a)) - mpf(float(b)) for a, b in zip(x, y, strict=True)]
        half = [mpf(float(h)) / 2 for h in _spacing(x).astype(np.float64) + _spacing(y)]
        root = mpmath.sqrt(mpmath.fsum(e * e for e in d) / len(d))
        slope = [e / root / len(d) if root else mpf(0) for e in d]
        moved = mpmath.fsum(abs(g) * h for g, h in zip(slope, half, strict=True))
        slack = [2 * (h / len(d) + abs(g) * moved) / root if root else mpf(0) for g, h in zip(slope, half, strict=True)]
        beyond = [_beyond_exactly(float(g), e, s, x.dtype) for g, e, s in zip(grad, slope, slack, strict=True)]
        return [_beyond_exactly(float(value), root, 2 * moved, x.dtype), max(beyond)]


def _beyond_exactly(actual: float, exact: mpf, slack: mpf, dtype: Any = np.float64) -> float:
    largest = float(np.finfo(dtype).max)
    if actual != actual:
        return float("inf")
    clipped = max(min(exact, mpf(largest)), mpf(-largest))
    error = abs(mpf(max(min(actual, largest), -largest)) - clipped)
    return float(max(error - slack, mpf(0)) / mpf(float(_spacing(np.dtype(dtype).type(float(clipped))))))


def sample(case: Case, kind: str, n: int, dtype: Any, rng: np.random.Generator, classes: int = 5) -> tuple[dict, dict]:
    """`n` elements (or rows of `classes`) of one kind for the loss of `case`, rounded to `dtype`."""
    draw = Draw(kind, (n, classes) if case.rows else (n,), np.dtype(dtype), rng)
    if case.kernel in MARGINS:
        operands, options = exact_margin.draw(draw, case.kernel)
    elif case.rows:
        operands, options = _draw_logits(draw)
    else:
        chosen = TOPICS.get(f"draw_{case.kernel}")
        operands, options = chosen(draw) if chosen else draw.plain(case)
    return {k: v if v.dtype.kind == "i" else v.astype(dtype) for k, v in operands.items()}, options


def _draw_logits(draw: Draw) -> tuple[dict, dict]:
    target = draw.rng.integers(0, draw.shape[1], draw.shape[0])
    rows = np.arange(draw.shape[0])
    if draw.kind == "normal":
        x = draw.normal(4)
    elif draw.kind == "wide":
        x = np.where(draw.rng.random(draw.shape) < 0.5, draw.wide(-30, 6), draw.wide(-2, 2))
    elif draw.kind == "subnormal":
        x = draw.subnormal()
    elif draw.kind == "edge":
        x = draw.rng.choice([0.0, 1e4, -1e4, float(draw.info.max) / 16, -float(draw.info.max) / 16], draw.shape)
    else:  # ties, and sure and right predictions
        x = draw.near(draw.normal()[:, :1])
        x[rows, target] += draw.rng.choice([0.0, 1.0], draw.shape[0]) * draw.rng.uniform(0, 90, draw.shape[0])
    return {"input": x, "target": target}, {}
