# SPDX-License-Identifier: BSD-3-Clause
"""Losses of overlapping masks as users write them in torch: one-hot masks, broadcasts, sums. No code of the package."""

from __future__ import annotations

from typing import Any


def masks_of(target: Any, classes: int, axis: int) -> Any:
    """Class indices as masks; an index that is no class is in none."""
    import torch

    return torch.stack([target == c for c in range(classes)], dim=axis)


def probabilities(x: Any, mode: str, axis: int, from_logits: bool) -> Any:
    if not from_logits:
        return x
    return x.softmax(axis) if mode == "multiclass" else x.sigmoid()


def sums(p: Any, t: Any, axis: int | None, per_image: bool) -> Any:
    """Sums of p t, p and t over all axes but the classes' and, per image, the images'."""
    kept = {axis} if axis is not None else set()
    if per_image:
        kept.add(0)
    over = [k for k in range(p.ndim) if k not in kept]
    return tuple(a.sum(over) for a in (p * t, p, t)) if over else (p * t, p, t)


def formula(
    name: str, shared: Any, predicted: Any, true: Any, smooth: float = 0.0, alpha: float = 0.5, beta: float = 0.5,
    gamma: float = 0.75, weighting: str = "square",
) -> Any:  # fmt: skip
    """The unreduced loss; classes on the last axis."""
    import torch

    if name == "dice":
        return 1 - (2 * shared + smooth) / (predicted + true + smooth)
    if name == "jaccard":
        return 1 - (shared + smooth) / (predicted + true - shared + smooth)
    if name == "generalized_dice":
        weight = {"square": 1 / true**2, "simple": 1 / true, "uniform": torch.ones_like(true)}[weighting]
        for row in weight.reshape(-1, weight.shape[-1] if weight.ndim else 1):
            absent = torch.isinf(row)
            row[absent] = 1.0 if absent.all() else row[~absent].max()
        over = -1 if weight.ndim else ()
        return 1 - (2 * (weight * shared).sum(over) + smooth) / ((weight * (predicted + true)).sum(over) + smooth)
    wrong = alpha * (predicted - shared) + beta * (true - shared)
    tversky = 1 - (shared + smooth) / (shared + wrong + smooth)
    return tversky if name == "tversky" else tversky**gamma


def jaccard_growth(truths: Any) -> Any:
    """Of the published code of Berman et al.: `lovasz_grad`."""
    import torch

    total = truths.sum()
    intersection = total - truths.cumsum(0)
    union = total + (1 - truths).cumsum(0)
    jaccard = 1 - intersection / union
    return torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])


def lovasz(errors: Any, truths: Any) -> Any:
    """The Lovasz extension of one class, flat."""
    import torch

    order = torch.argsort(errors, descending=True, stable=True)
    return torch.dot(torch.relu(errors[order]), jaccard_growth(truths[order]))


def lovasz_softmax(p: Any, target: Any, classes: str = "present") -> Any:
    """`lovasz_softmax_flat` of the published code: (positions, classes) and (positions,); -100 is left out."""
    import torch

    kept = target != -100
    p, target = p[kept], target[kept]
    losses = [
        lovasz((t - p[:, c]).abs(), t)
        for c in range(p.shape[1])
        if (t := (target == c).to(p.dtype)).sum() > 0 or classes == "all"
    ]
    return torch.stack(losses).mean()


def lovasz_hinge(x: Any, target: Any) -> Any:
    """`lovasz_hinge_flat`."""
    return lovasz(1 - x * (2 * target - 1), target)
