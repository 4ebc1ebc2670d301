# SPDX-License-Identifier: BSD-3-Clause
"""Losses of boxes against torchvision's formulas, restated here in torch and float64, and against differences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cases import assert_close, bits

import fastloss as fl

KINDS = ("iou", "giou", "diou", "ciou")
LOSSES = {kind: getattr(fl, f"{kind}_loss") for kind in KINDS}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_format = pytest.mark.parametrize("fmt", ["xyxy", "cxcywh"])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def boxes(rng, shape, fmt="xyxy"):
    """Predictions and targets of any distance: about half of the pairs meet."""
    center = rng.uniform(0, 4, (2, *shape, 2))
    size = rng.uniform(0.2, 3, (2, *shape, 2))
    last = (center, size) if fmt == "cxcywh" else (center - size / 2, center + size / 2)
    return np.concatenate(last, axis=-1)


def corners(x, fmt):
    """(x1, y1, x2, y2) of a torch tensor."""
    import torch

    return x if fmt == "xyxy" else torch.cat([x[..., :2] - x[..., 2:] / 2, x[..., :2] + x[..., 2:] / 2], -1)


def published(kind, a, b, eps=1e-7):
    """torchvision's formulas (`_loss_inter_union` and what follows it) in its own words."""
    import torch

    x1, y1, x2, y2 = a.unbind(-1)
    u1, v1, u2, v2 = b.unbind(-1)
    left, top = torch.max(x1, u1), torch.max(y1, v1)
    right, bottom = torch.min(x2, u2), torch.min(y2, v2)
    meet = (bottom > top) & (right > left)
    shared = torch.where(meet, (right - left) * (bottom - top), 0.0)
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - shared
    iou = shared / (union + eps)
    if kind == "iou":
        return 1 - iou
    width = torch.max(x2, u2) - torch.min(x1, u1)
    height = torch.max(y2, v2) - torch.min(y1, v1)
    if kind == "giou":
        return 1 - (iou - (width * height - union) / (width * height + eps))
    distance = ((x1 + x2) / 2 - (u1 + u2) / 2) ** 2 + ((y1 + y2) / 2 - (v1 + v2) / 2) ** 2
    loss = 1 - iou + distance / (width**2 + height**2 + eps)
    if kind == "diou":
        return loss
    angles = torch.atan((u2 - u1) / (v2 - v1)) - torch.atan((x2 - x1) / (y2 - y1))
    v = 4 / torch.pi**2 * angles**2
    with torch.no_grad():
        alpha = v / (1 - iou + v + eps)
    return loss + alpha * v


def by_torch(kind, a, b, fmt, eps=1e-7):
    """Values and the gradient of their sum."""
    import torch

    x = torch.tensor(np.asarray(a, np.float64), requires_grad=True)
    value = published(kind, corners(x, fmt), corners(torch.tensor(np.asarray(b, np.float64)), fmt), eps)
    value.sum().backward()
    return value.detach().numpy(), x.grad.numpy()


@each_kind
@each_format
@each_dtype
@pytest.mark.parametrize("shape", [(), (1,), (17,), (5, 7), (2, 3, 700), (4097,)])
def test_values_and_gradients_are_torchvisions(kind, fmt, dtype, shape, rng):
    pytest.importorskip("torch")
    a, b = boxes(rng, shape, fmt).astype(dtype)
    expected, expected_grad = by_torch(kind, a, b, fmt)
    value, grad = LOSSES[kind](a, b, fmt=fmt, reduction="none", return_grad=True)
    assert value.dtype == grad.dtype == dtype and grad.shape == a.shape
    assert_close(value, expected, dtype)
    assert_close(grad, expected_grad, dtype)
    for reduction, by in (("sum", 1), ("mean", max(expected.size, 1))):
        total, grad = LOSSES[kind](a, b, fmt=fmt, reduction=reduction, return_grad=True)
        assert type(total) is np.float64 and total == LOSSES[kind](a, b, fmt=fmt, reduction=reduction)
        assert_close(total, expected.sum() / by, dtype)
        assert_close(grad, expected_grad / by, dtype)


@each_kind
@each_format
def test_edges_that_meet_share_their_gradient(kind, fmt):
    """Integer corners: many equal edges, where torch's maximum gives each a half."""
    pytest.importorskip("torch")
    ends = np.array([p for p in itertools.product(range(4), repeat=4) if p[0] < p[2] and p[1] < p[3]], float)
    a, b = (np.repeat(ends, len(ends), axis=0), np.tile(ends, (len(ends), 1)))
    if fmt == "cxcywh":
        a, b = (np.concatenate([(x[:, :2] + x[:, 2:]) / 2, x[:, 2:] - x[:, :2]], axis=1) for x in (a, b))
    expected, expected_grad = by_torch(kind, a, b, fmt)
    value, grad = LOSSES[kind](a, b, fmt=fmt, reduction="none", return_grad=True)
    assert_close(value, expected, np.float64)
    np.testing.assert_allclose(grad, expected_grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["iou", "giou", "diou"])
@each_format
def test_gradients_by_differences(kind, fmt, rng):
    """Some of the edges are 1e-4 apart, beside the kink; steps are smaller."""
    a, b = boxes(rng, (200,), fmt)
    a[:50] = b[:50] + rng.choice([-1e-4, 1e-4], (50, 4))
    _, grad = LOSSES[kind](a, b, fmt=fmt, reduction="sum", return_grad=True)
    step = 1e-6
    for k in range(4):
        up, down = a.copy(), a.copy()
        up[:, k] += step
        down[:, k] -= step
        options = {"fmt": fmt, "reduction": "none"}
        slope = (LOSSES[kind](up, b, **options) - LOSSES[kind](down, b, **options)) / (2 * step)
        np.testing.assert_allclose(grad[:, k], slope, rtol=1e-5, atol=1e-7)


@each_format
def test_the_aspect_of_ciou_is_constant_in_alpha(fmt, rng):
    """CIoU's gradient by differences of its formula with alpha held: mpmath's angles, none of the code's."""
    mpmath = pytest.importorskip("mpmath")
    a, b = boxes(rng, (20,), fmt)
    options = {"fmt": fmt, "reduction": "none", "return_grad": True}
    extra, grad = (x - y for x, y in zip(fl.ciou_loss(a, b, **options), fl.diou_loss(a, b, **options), strict=True))
    iou = 1 - fl.iou_loss(a, b, fmt=fmt, reduction="none")

    def angle(box):
        w, h = (box[2], box[3]) if fmt == "cxcywh" else (box[2] - box[0], box[3] - box[1])
        return mpmath.atan(mpmath.mpf(w) / mpmath.mpf(h))

    for n in range(len(a)):
        v = 4 / mpmath.pi**2 * (angle(b[n]) - angle(a[n])) ** 2
        alpha = v / (1 - iou[n] + v + 1e-7)
        assert abs(float(alpha * v) - extra[n]) < 1e-13
        for k in range(4):
            up, down = a[n].copy(), a[n].copy()
            up[k] += 1e-6
            down[k] -= 1e-6
            difference = (angle(b[n]) - angle(up)) ** 2 - (angle(b[n]) - angle(down)) ** 2
            slope = float(alpha * 4 / mpmath.pi**2 * difference / (mpmath.mpf(up[k]) - mpmath.mpf(down[k])))
            assert abs(slope - grad[n, k]) < 1e-8


DEGENERATE = [
    [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 2, 0], [0, 0, 0, 2], [2, 2, 0, 0], [0, 2, 2, 0], [2, 0, 0, 2], [0, 0, 2, 2],
    [1e-20, 0, 2e-20, 1e-20], [-5, -5, -5, 5], [1e6, 1e6, 1e6, 1e6],
]  # fmt: skip


@each_kind
@each_format
@each_dtype
@pytest.mark.parametrize("eps", [1e-7, 0.0, 1e-3])
def test_degenerate_boxes_are_finite_and_as_the_reference_says(kind, fmt, dtype, eps):
    a = np.array([x for x in DEGENERATE for _ in DEGENERATE], dtype)
    b = np.array(DEGENERATE * len(DEGENERATE), dtype)
    value, grad = LOSSES[kind](a, b, fmt=fmt, eps=eps, reduction="none", return_grad=True)
    assert np.isfinite(value).all() and np.isfinite(grad).all()
    if dtype == np.float64:
        with fl.backend("reference"):
            expected, expected_grad = LOSSES[kind](a, b, fmt=fmt, eps=eps, reduction="none", return_grad=True)
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-14)
        largest = max(1.0, float(np.abs(expected_grad).max()))  # derivatives cancel where boxes are equal
        np.testing.assert_allclose(grad, expected_grad, rtol=1e-11, atol=1e-14 * largest)


def test_a_reversed_box_is_empty():
    """No area of its own, none shared: GIoU compares the area around with the other's alone."""
    value, grad = fl.iou_loss([[2.0, 2.0, 0.0, 0.0]], [[0.0, 0.0, 2.0, 2.0]], return_grad=True)
    assert value == 1 and not grad.any()
    around = [[3.0, 0.0, 1.0, 1.0]]  # (min(3, 0), max(1, 2)) x (0, 2): 2 by 2
    assert fl.giou_loss(around, [[0.0, 0.0, 2.0, 2.0]], eps=0) == 1


@each_format
@each_dtype
@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0), (1, 1), (7, 33), (9, 600), (20, 1025)])
def test_all_pairs_are_matched_pairs(fmt, dtype, n, m, rng):
    a, b = boxes(rng, (n,), fmt)[0].astype(dtype), boxes(rng, (m,), fmt)[1].astype(dtype)
    found = fl.box_iou(a, b, fmt=fmt)
    assert found.shape == (n, m) and found.dtype == dtype
    with fl.backend("reference"):
        assert_close(found, fl.box_iou(a, b, fmt=fmt), dtype)
    paired = 1 - fl.iou_loss(np.repeat(a, m, axis=0), np.tile(b, (n, 1)), fmt=fmt, eps=0, reduction="none")
    assert_close(found.ravel(), paired, dtype)
    out = np.empty((n, m), dtype)
    assert fl.box_iou(a, b, fmt=fmt, out=out) is out and bits(out) == bits(found)


@each_kind
def test_masks_and_grad_outputs(kind, rng):
    a, b = boxes(rng, (40, 30))
    mask, given = rng.random((40, 1)) < 0.7, rng.normal(size=(40, 30))
    plain, grad = LOSSES[kind](a, b, reduction="none", return_grad=True)
    a[~mask[:, 0]] = np.nan
    value, masked = LOSSES[kind](a, b, mask=mask, grad_output=given, return_grad=True)
    count = 30 * mask.sum()
    assert_close(value, np.where(mask, plain, 0).sum() / count, np.float64)
    assert_close(masked, np.where(mask[..., None], grad * given[..., None] / count, 0), np.float64)
    value, masked = LOSSES[kind](a, b, mask=np.zeros(30, bool), return_grad=True)
    assert np.isnan(value) and not masked.any()
    out, grad_out = np.empty((40, 30)), np.empty((40, 30, 4))
    found = LOSSES[kind](b, b, reduction="none", return_grad=True, out=out, grad_out=grad_out)
    assert found[0] is out and found[1] is grad_out


@each_kind
def test_bits_do_not_depend_on_threads_or_layout(kind, rng):
    for dtype in (np.float32, np.float64, np.float16):
        a, b = boxes(rng, (9000,)).astype(dtype)
        expected = bits(LOSSES[kind](a, b, return_grad=True))
        matrix = bits(fl.box_iou(a[:300], b))
        for threads in (1, 2, 3, 7, 16):
            with fl.num_threads(threads):
                assert bits(LOSSES[kind](a, b, return_grad=True)) == expected
                assert bits(fl.box_iou(a[:300], b)) == matrix
        wide = np.empty((9000, 9), dtype)[:, ::2][:, :4]
        for other in (np.asfortranarray(a), a[::-1][::-1], a.astype(a.dtype.newbyteorder()), wide):
            other[...] = a
            assert bits(LOSSES[kind](other, b, return_grad=True)) == expected
        alone = LOSSES[kind](a[17:18], b[17:18], reduction="none", return_grad=True)
        value, grad = LOSSES[kind](a, b, reduction="none", return_grad=True)
        assert bits(alone) == bits((value[17:18], grad[17:18]))


@each_kind
def test_nan_stays_in_its_pair(kind, rng):
    a, b = boxes(rng, (64,))
    for where in (a, b):
        for k in range(4):
            where[4 * k, k] = np.nan
    value, grad = LOSSES[kind](a, b, reduction="none", return_grad=True)
    hit = np.isnan(a).any(axis=1) | np.isnan(b).any(axis=1)
    assert np.isnan(value[hit]).all() and np.isfinite(value[~hit]).all() and np.isfinite(grad[~hit]).all()
    assert np.isnan(fl.box_iou(a, b)[hit]).all()


@pytest.mark.parametrize(
    ("operands", "options", "words"),
    [
        ((np.zeros((3, 5)), np.zeros((3, 5))), {}, r"input has shape \(3, 5\), expected \(\.\.\., 4\)"),
        ((np.zeros((3, 4)), np.zeros((2, 4))), {}, r"target has shape \(2, 4\), expected that of input, \(3, 4\)"),
        ((np.zeros((3, 4)), np.zeros(4)), {}, r"target has shape \(4,\)"),
        ((np.zeros((3, 4)), np.zeros((3, 4))), {"fmt": "xywh"}, "fmt must be 'xyxy' or 'cxcywh', got 'xywh'"),
        ((np.zeros((3, 4)), np.zeros((3, 4))), {"eps": -1.0}, "eps must be at least 0"),
        ((np.zeros((3, 4)), np.zeros((3, 4))), {"reduction": "median"}, "reduction must be"),
        ((np.zeros((3, 4)), np.zeros((3, 4))), {"mask": np.ones((3, 4), bool)}, r"mask has shape \(3, 4\)"),
        ((np.zeros((3, 4)), np.zeros((3, 4))), {"out": np.empty(3)}, "out takes the unreduced loss"),
    ],
)
def test_refusals(operands, options, words):
    for backend in ("native", "reference"):
        for loss in LOSSES.values():
            with fl.backend(backend), pytest.raises(ValueError, match=words):
                loss(*operands, **options)


def test_refusals_of_all_pairs():
    for a, options in ((np.zeros((2, 3, 4)), {}), (np.zeros((3, 2)), {}), (np.zeros((3, 4)), {"fmt": None})):
        with pytest.raises(ValueError, match=r"boxes1 has shape|fmt must be"):
            fl.box_iou(a, np.zeros((5, 4)), **options)
    with pytest.raises(TypeError, match="boxes2 has dtype"):
        fl.box_iou(np.zeros((3, 4)), np.zeros((5, 4), complex))


@pytest.mark.parametrize("name", ["IoULoss", "GIoULoss", "DIoULoss", "CIoULoss"])
def test_classes_hold_options(name, rng):
    a, b = boxes(rng, (6,), "cxcywh")
    criterion = getattr(fl, name)("sum", fmt="cxcywh")
    function = LOSSES[name.removesuffix("Loss").lower()]
    expected = function(a, b, fmt="cxcywh", reduction="sum", return_grad=True)
    assert bits(criterion.value_and_grad(a, b)) == bits(expected) and "cxcywh" in repr(criterion)


def test_accumulated_parts_are_the_whole(rng):
    a, b = boxes(rng, (1000,))
    total = fl.Accumulator(fl.giou_loss, per_sample=True)
    for part in (slice(0, 300), slice(300, None)):
        total.update(a[part], b[part])
    np.testing.assert_allclose(total.compute(), fl.giou_loss(a, b), rtol=1e-13)
    np.testing.assert_allclose(total.losses(), fl.giou_loss(a, b, reduction="none"))
