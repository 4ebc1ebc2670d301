# SPDX-License-Identifier: BSD-3-Clause
"""Inputs that are hard in different ways, by kind: normal, wide (log-uniform), around the kinks, subnormal, and at the
edge: the ends of a domain and of the type."""

from __future__ import annotations

from typing import Any

import numpy as np
from case import Case

KINDS = ("normal", "wide", "kink", "subnormal", "edge")


class Draw:
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

    def one_of(self, *options: float) -> float:
        """An option for the whole draw."""
        return float(self.rng.choice(options))

    def ends(self) -> np.ndarray:
        """Zeros, ones, the smallest and the largest numbers, of either sign."""
        info = self.info
        sizes = [0.0, float(info.smallest_subnormal), float(info.tiny), float(info.eps), 1.0, float(info.max) / 8]
        return self.rng.choice([-1.0, 1.0], self.shape) * self.rng.choice(sizes, self.shape)

    def pair(self, kink: float = 0.0) -> dict[str, np.ndarray]:
        if self.kind == "normal":
            return {"input": self.normal(3), "target": self.normal()}
        if self.kind == "wide":
            return {"input": self.wide(), "target": self.wide()}
        if self.kind == "subnormal":
            return {"input": self.subnormal(), "target": self.subnormal()}
        if self.kind == "edge":
            return {"input": self.ends(), "target": self.ends()}
        target = self.normal()
        return {"input": self.near(target + kink * self.rng.choice([-1, 0, 1], self.shape)), "target": target}

    def plain(self, case: Case) -> tuple[dict, dict]:
        """Hard pairs, and the case's own further operands."""
        drawn = case.draw(self.rng, self.shape)
        return {name: np.broadcast_to(a, self.shape) for name, a in {**drawn, **self.pair()}.items()}, {}
