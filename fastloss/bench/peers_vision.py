# SPDX-License-Identifier: BSD-3-Clause
"""Losses of boxes and of masks in fastloss and in PyTorch; peers.py asks here for their cells.

PyTorch has no such functions: its users write torchvision's formulas, one-hot masks and sums, and the published code of
the Lovasz losses. Other peers are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .cells import Cell

Calls = dict[str, Callable[[], Any]]
BINARY = {"mode": "binary"}
# Loss of a cell -> function of fastloss, and its options.
FUNCTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "box_iou": ("box_iou", {}),
    "giou": ("giou_loss", {}),
    "ciou": ("ciou_loss", {}),
    "dice": ("dice_loss", {}),
    "dice_binary": ("dice_loss", BINARY),
    "jaccard_multilabel": ("jaccard_loss", {"mode": "multilabel"}),
    "tversky": ("tversky_loss", {}),
    "focal_tversky": ("focal_tversky_loss", {}),
    "generalized_dice": ("generalized_dice_loss", {}),
    "lovasz_softmax": ("lovasz_softmax_loss", {}),
    "lovasz_hinge": ("lovasz_hinge_loss", {}),
}


def fastloss_calls(module: Any, cell: Cell, operands: dict[str, np.ndarray]) -> Calls:
    name, options = FUNCTIONS[cell.loss]
    function = partial(getattr(module, name), *operands.values(), **options)
    if cell.loss == "box_iou":
        return {"forward": function}
    out = np.zeros_like(operands["input"])
    return {
        "forward": function,
        "gradient": partial(function, return_grad=True),
        "grad_out": partial(function, return_grad=True, grad_out=out),
    }


def torch_calls(torch: Any, cell: Cell, operands: dict[str, np.ndarray]) -> Calls:
    function = _torch_functions(torch)[cell.loss]
    args = [torch.from_numpy(a) for a in operands.values()]
    calls: Calls = {"forward": partial(function, *args)}
    if cell.loss == "box_iou":
        return calls
    leaf = args[0].detach().clone().requires_grad_()

    def gradient() -> Any:
        value = function(leaf, *args[1:])
        return value.detach(), torch.autograd.grad(value, [leaf])

    return {**calls, "gradient": gradient}


def _torch_functions(torch: Any) -> dict[str, Callable[..., Any]]:
    return {**_torch_boxes(torch), **_torch_masks(torch), **_torch_lovasz(torch)}


def _torch_boxes(torch: Any) -> dict[str, Callable[..., Any]]:
    """As torchvision writes them."""

    def all_pairs(a: Any, b: Any) -> Any:
        areas = [(x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (a, b)]
        low, high = torch.max(a[:, None, :2], b[:, :2]), torch.min(a[:, None, 2:], b[:, 2:])
        shared = (high - low).clamp(min=0).prod(2)
        return shared / (areas[0][:, None] + areas[1] - shared)

    def parts(a: Any, b: Any) -> Any:
        x1, y1, x2, y2 = a.unbind(-1)
        u1, v1, u2, v2 = b.unbind(-1)
        left, top, right, bottom = torch.max(x1, u1), torch.max(y1, v1), torch.min(x2, u2), torch.min(y2, v2)
        shared = torch.zeros_like(x1)
        meet = (bottom > top) & (right > left)
        shared[meet] = (right[meet] - left[meet]) * (bottom[meet] - top[meet])
        union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - shared
        sides = torch.max(x2, u2) - torch.min(x1, u1), torch.max(y2, v2) - torch.min(y1, v1)
        return shared / (union + 1e-7), union, sides

    def giou(a: Any, b: Any) -> Any:
        iou, union, (width, height) = parts(a, b)
        area = width * height
        return (1 - (iou - (area - union) / (area + 1e-7))).mean()

    def ciou(a: Any, b: Any) -> Any:
        iou, _, (width, height) = parts(a, b)
        apart = ((a[:, :2] + a[:, 2:]) / 2 - (b[:, :2] + b[:, 2:]) / 2).square().sum(-1)
        loss = 1 - iou + apart / (width**2 + height**2 + 1e-7)
        (w, h), (v, u) = (a[:, 2:] - a[:, :2]).unbind(-1), (b[:, 2:] - b[:, :2]).unbind(-1)
        aspect = 4 / torch.pi**2 * (torch.atan(v / u) - torch.atan(w / h)) ** 2
        with torch.no_grad():
            alpha = aspect / (1 - iou + aspect + 1e-7)
        return (loss + alpha * aspect).mean()

    return {"box_iou": all_pairs, "giou": giou, "ciou": ciou}


def _torch_masks(torch: Any) -> dict[str, Callable[..., Any]]:
    def sums(p: Any, t: Any, over: tuple[int, ...]) -> Any:
        return (p * t).sum(over), p.sum(over), t.sum(over)

    def multiclass(x: Any, target: Any) -> Any:
        p = x.softmax(1)
        hot = torch.nn.functional.one_hot(target, x.shape[1]).movedim(-1, 1).to(p.dtype)
        return sums(p, hot, (0, 2, 3))

    def dice(x: Any, target: Any) -> Any:
        shared, predicted, true = multiclass(x, target)
        return (1 - 2 * shared / (predicted + true)).mean()

    def dice_binary(x: Any, target: Any) -> Any:
        shared, predicted, true = sums(x.sigmoid(), target.to(x.dtype), tuple(range(x.ndim)))
        return 1 - 2 * shared / (predicted + true)

    def jaccard_multilabel(x: Any, target: Any) -> Any:
        shared, predicted, true = sums(x.sigmoid(), target.to(x.dtype), (0, 2, 3))
        return (1 - shared / (predicted + true - shared)).mean()

    def tversky(x: Any, target: Any, alpha: float = 0.5, beta: float = 0.5, gamma: float = 1.0) -> Any:
        shared, predicted, true = multiclass(x, target)
        kept = shared / (shared + alpha * (predicted - shared) + beta * (true - shared))
        return ((1 - kept) ** gamma).mean()

    def generalized_dice(x: Any, target: Any) -> Any:
        shared, predicted, true = multiclass(x, target)
        weight = 1 / true**2
        return 1 - 2 * (weight * shared).sum() / (weight * (predicted + true)).sum()

    return {
        "dice": dice,
        "dice_binary": dice_binary,
        "jaccard_multilabel": jaccard_multilabel,
        "tversky": tversky,
        "focal_tversky": partial(tversky, alpha=0.3, beta=0.7, gamma=0.75),
        "generalized_dice": generalized_dice,
    }


def _torch_lovasz(torch: Any) -> dict[str, Callable[..., Any]]:
    """The published code of Berman et al., flat."""

    def growth(truths: Any) -> Any:
        total = truths.sum()
        jaccard = 1 - (total - truths.cumsum(0)) / (total + (1 - truths).cumsum(0))
        jaccard[1:] = jaccard[1:] - jaccard[:-1].clone()
        return jaccard

    def extension(errors: Any, truths: Any) -> Any:
        ordered, order = torch.sort(errors, descending=True)
        return torch.dot(torch.relu(ordered), growth(truths[order]))

    def softmax(x: Any, target: Any) -> Any:
        p, target = x.softmax(1).movedim(1, -1).reshape(-1, x.shape[1]), target.reshape(-1)
        truths = [(target == c).to(p.dtype) for c in range(p.shape[1])]
        return torch.stack([extension((t - p[:, c]).abs(), t) for c, t in enumerate(truths) if t.sum() > 0]).mean()

    def hinge(x: Any, target: Any) -> Any:
        truths = target.reshape(-1).to(x.dtype)
        return extension(1 - x.reshape(-1) * (2 * truths - 1), truths)

    return {"lovasz_softmax": softmax, "lovasz_hinge": hinge}
