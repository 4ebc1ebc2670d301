# SPDX-License-Identifier: BSD-3-Clause
"""Exact results by mpmath, and how far a kernel's stand from them: the accuracy contract of one element.

The contract: a value or gradient errs by at most 4 ulp of the exact result, plus twice the change in the exact
result when each input moves by half an ulp. `excess` measures what is left of the error, in ulp, once that change is
taken off.
Options (delta, eps) count as rounded to the working type. A float32 cross entropy below about 1e-37 (float64: 1e-307)
is exempt: the exponentials that it is made of are subnormal, and have few digits.

A new elementwise loss needs its definition here, under its kernel's name, and, if differences of its inputs are not
where it is hard, a method of that name in `_Draw`. Shared by test_accuracy.py, test_reference.py and
tools/accuracy.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import exact_margin
import mpmath
import numpy as np
from cases import ELEMENTWISE, Case
from mpmath import mpf

from fastloss.reference import elementwise, softmax

LIMIT_ULP = 4.0
MARGINS = ("multi_margin", "multilabel_margin")
DIGITS = 60  # float64 results keep 16 of them even where terms cancel down to half an ulp of an input

Numbers = list[Any]


# Definitions: operands and parameters as mpf -> [value, gradient per prediction].


def l1(x: mpf, y: mpf) -> Numbers:
    return [abs(x - y), mpmath.sign(x - y)]


def mse(x: mpf, y: mpf) -> Numbers:
    return [(x - y) ** 2, 2 * (x - y)]


def huber(x: mpf, y: mpf, delta: mpf) -> Numbers:
    d = x - y
    if abs(d) <= delta:
        return [d * d / 2, d]
    return [delta * (abs(d) - delta / 2), delta * mpmath.sign(d)]


def bce_logits(x: mpf, y: mpf) -> Numbers:
    return bce_logits_pos(x, y, mpf(1))


def bce_logits_pos(x: mpf, y: mpf, pos_weight: mpf) -> Numbers:
    z = mpmath.exp(-abs(x))
    near, far = 1 / (1 + z), z / (1 + z)  # the larger and the smaller of p and 1 - p
    p, q = (near, far) if x >= 0 else (far, near)
    value = pos_weight * y * (mpmath.log1p(z) + max(-x, 0)) + (1 - y) * (mpmath.log1p(z) + max(x, 0))
    return [value, (1 - y) * p - pos_weight * y * q]


def gaussian_nll(x: mpf, y: mpf, var: mpf, eps: mpf, full: mpf) -> Numbers:
    d, v = x - y, max(var, eps)
    value = (mpmath.log(v) + d * d / v) / 2 + (mpmath.log(2 * mpmath.pi) / 2 if full else 0)
    return [value, d / v, (1 - d * d / v) / v / 2]


EXACT: dict[str, Callable[..., Numbers]] = {case.kernel: globals()[case.kernel] for case in ELEMENTWISE}


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
    """[value, gradient per prediction] of every element; of rows: gradient per class."""
    value, grads = case.gradients(operands, reduction="none", **options)
    return [value, *grads] if not case.rows else [value, *np.moveaxis(grads[0], 1, 0)]


def excess(case: Case, operands: dict[str, np.ndarray], options: dict[str, Any]) -> list[np.ndarray]:
    """Error of each result beyond twice its conditioning, in ulp: [of the value, of each gradient]."""
    dtype = operands["input"].dtype
    actual = kernel(case, operands, options)
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
                    ends = [results({**wide, name: wide[name] + s * half[name]})[k] for s in (1, -1)]
                    slack[k] += 2 * np.maximum(*(np.abs(end - exact[k]) for end in ends))
    return [_beyond(a, e, s) for a, e, s in zip(actual, exact, slack, strict=True)]


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
    size = operands["input"].shape[0]
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
                exact, slack = exact_element(case, arrays, params, i)
            for k, part in enumerate(actual):
                found[k][i] = _beyond_exactly(float(part[i]), exact[k], slack[k])
    return found


def exact_element(case: Case, arrays: list[np.ndarray], params: list[float], i: int) -> tuple[Numbers, Numbers]:
    """[value, gradient per prediction] of element i, and twice the change of each when inputs move by half an ulp."""
    function = EXACT[case.kernel]
    at = [mpf(float(a[i])) for a in arrays]
    exact = function(*at, *map(mpf, params))
    slack = [mpf(0)] * len(exact)
    for k, a in enumerate(arrays):
        half = mpf(float(_spacing(a[i]))) / 2
        ends = [function(*at[:k], at[k] + s * half, *at[k + 1 :], *map(mpf, params)) for s in (1, -1)]
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


def _beyond_exactly(actual: float, exact: mpf, slack: mpf) -> float:
    largest = float(np.finfo(np.float64).max)
    if actual != actual:
        return float("inf")
    clipped = max(min(exact, mpf(largest)), mpf(-largest))
    error = abs(mpf(max(min(actual, largest), -largest)) - clipped)
    return float(max(error - slack, mpf(0)) / mpf(float(_spacing(np.float64(float(clipped))))))


# Inputs that are hard in different ways. Each gives (operands, options).

KINDS = ("normal", "wide", "kink", "subnormal")


def sample(case: Case, kind: str, n: int, dtype: Any, rng: np.random.Generator, classes: int = 5) -> tuple[dict, dict]:
    """`n` elements (or rows of `classes`) of one kind for the loss of `case`, rounded to `dtype`."""
    draw = _Draw(kind, (n, classes) if case.rows else (n,), np.dtype(dtype), rng)
    if case.kernel in MARGINS:
        operands, options = exact_margin.draw(draw, case.kernel)
    elif case.rows:
        operands, options = draw.logits()
    else:
        operands, options = getattr(draw, case.kernel, lambda: draw.plain(case))()
    return {k: v if v.dtype.kind == "i" else v.astype(dtype) for k, v in operands.items()}, options


class _Draw:
    def __init__(self, kind: str, shape: tuple[int, ...], dtype: np.dtype, rng: np.random.Generator) -> None:
        self.kind, self.shape, self.dtype, self.rng = kind, shape, dtype, rng
        self.info = np.finfo(dtype)

    def normal(self, scale: float = 1.0) -> np.ndarray:
        return self.rng.normal(0, scale, self.shape)

    def wide(self, low: float | None = None, high: float | None = None) -> np.ndarray:
        """Of either sign, with a log-uniform magnitude between powers of ten; by default nearly all there are."""
        low = np.log10(float(self.info.tiny)) if low is None else low
        high = np.log10(float(self.info.max) / 8) if high is None else high  # differences do not overflow
        return self.rng.choice([-1.0, 1.0], self.shape) * 10 ** self.rng.uniform(low, high, self.shape)

    def subnormal(self) -> np.ndarray:
        return self.rng.uniform(-1, 1, self.shape) * float(self.info.tiny)

    def near(self, x: Any) -> np.ndarray:
        """A few ulp of the working type around x, itself included."""
        x = np.broadcast_to(np.asarray(x, self.dtype), self.shape)
        return x.astype(np.float64) + self.rng.integers(-4, 5, self.shape) * np.spacing(x).astype(np.float64)

    def pair(self, kink: float = 0.0) -> dict[str, np.ndarray]:
        if self.kind == "normal":
            return {"input": self.normal(3), "target": self.normal()}
        if self.kind == "wide":
            return {"input": self.wide(), "target": self.wide()}
        if self.kind == "subnormal":
            return {"input": self.subnormal(), "target": self.subnormal()}
        target = self.normal()
        return {"input": self.near(target + kink * self.rng.choice([-1, 0, 1], self.shape)), "target": target}

    def plain(self, case: Case) -> tuple[dict, dict]:
        """Hard pairs, and the case's own further operands."""
        drawn = case.draw(self.rng, self.shape)
        return {name: np.broadcast_to(a, self.shape) for name, a in {**drawn, **self.pair()}.items()}, {}

    def huber(self) -> tuple[dict, dict]:
        return self.pair(kink=0.7), {"delta": 0.7}

    def bce_logits(self) -> tuple[dict, dict]:
        target = self.rng.uniform(0, 1, self.shape)
        certain = self.rng.integers(0, 2, self.shape).astype(np.float64)
        if self.kind == "normal":
            return {"input": self.normal(4), "target": np.where(self.rng.random(self.shape) < 0.5, target, certain)}, {}
        if self.kind == "wide":
            x = np.where(self.rng.random(self.shape) < 0.5, self.wide(), self.wide(-2, 3))
            return {"input": x, "target": np.where(self.rng.random(self.shape) < 0.5, target, certain)}, {}
        if self.kind == "subnormal":
            return {"input": self.subnormal(), "target": np.abs(self.subnormal())}, {}
        x = self.normal(3)  # where the gradient vanishes
        return {"input": x, "target": np.clip(self.near(1 / (1 + np.exp(-x))), 0, 1)}, {}

    def bce_logits_pos(self) -> tuple[dict, dict]:
        operands, options = self.bce_logits()
        return {**operands, "pos_weight": np.abs(self.wide(-3, 3))}, options

    def gaussian_nll(self) -> tuple[dict, dict]:
        operands, eps = self.pair(), 1e-6
        if self.kind == "normal":
            var = self.rng.uniform(0.01, 3, self.shape)
        elif self.kind == "wide":
            var, eps = np.abs(self.wide()), float(self.info.tiny) * 8
        elif self.kind == "subnormal":
            var = np.maximum(np.abs(self.subnormal()), float(self.info.smallest_subnormal))
        else:  # the clamp, log(1), and where the gradient in var vanishes, or the value
            operands = {"input": self.normal(3), "target": self.normal()}
            v = self.rng.uniform(0.01, 1, self.shape)
            which = self.rng.integers(0, 4, self.shape)
            zero = operands["target"] + np.sqrt(-v * np.log(v)) * self.rng.choice([-1, 1], self.shape)
            operands["input"] = np.where(which == 3, zero, operands["input"])
            d = operands["input"].astype(self.dtype) - operands["target"].astype(self.dtype)
            var = np.choose(which, [self.near(eps), self.near(1.0), self.near(d * d), self.near(v)])
        if self.kind != "kink" and self.rng.random() < 0.5:
            eps = 0.0  # no clamp: the smallest variances are divided by
        return {**operands, "var": np.abs(var)}, {"eps": eps, "full": bool(self.rng.integers(0, 2))}

    def logits(self) -> tuple[dict, dict]:
        target = self.rng.integers(0, self.shape[1], self.shape[0])
        rows = np.arange(self.shape[0])
        if self.kind == "normal":
            x = self.normal(4)
        elif self.kind == "wide":
            x = np.where(self.rng.random(self.shape) < 0.5, self.wide(-30, 6), self.wide(-2, 2))
        elif self.kind == "subnormal":
            x = self.subnormal()
        else:  # ties, and sure and right predictions
            x = self.near(self.normal()[:, :1])
            x[rows, target] += self.rng.choice([0.0, 1.0], self.shape[0]) * self.rng.uniform(0, 90, self.shape[0])
        return {"input": x, "target": target}, {}
