# SPDX-License-Identifier: BSD-3-Clause
"""Cases of adversarial.py: those of one array of scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from case import Case, Operands, Shape
from cases_variational import reduced


def _torch_generator(fake: Any, kind: str = "bce", reduction: str = "mean") -> Any:
    import torch
    import torch.nn.functional as F

    if kind in ("bce", "minimax"):
        sign = 1 if kind == "bce" else -1
        return sign * F.binary_cross_entropy_with_logits(fake, torch.full_like(fake, sign > 0), reduction=reduction)
    return reduced(0.5 * (fake - 1) ** 2 if kind == "lsgan" else -fake, reduction)


def _scores(rng: np.random.Generator, shape: Shape) -> Operands:
    return {"fake": rng.normal(0, 2, shape)}


def _generator(kind: str, kernel: str, label: float) -> Case:
    return Case(
        f"generator-{kind}", "gan_generator_loss", "GANGeneratorLoss", kernel, _scores,
        {"kind": kind} if kind != "bce" else {}, ("fake",), defaults={"label": label}, peer=_torch_generator,
    )  # fmt: skip


CASES = [
    _generator("bce", "logistic", 1.0),
    _generator("lsgan", "least_squares", 1.0),
    _generator("wasserstein", "linear", -1.0),
]
