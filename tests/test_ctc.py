# SPDX-License-Identifier: BSD-3-Clause
"""`ctc_loss`: operands, reductions, samples without an alignment, outputs, layouts, backends, the class."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cases import assert_close, bits
from ctc_cases import (
    LENGTHS,
    OCR,
    Batch,
    arguments,
    batch_of,
    call,
    draw_labels,
    drawn,
    infeasible,
    needed,
    random_batch,
)
from test_operands import LAYOUTS

import fastloss as fl
from fastloss import cli

each_dtype = pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
each_input = pytest.mark.parametrize("from_logits", [False, True], ids=["log_probs", "logits"])
INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, ">i2", ">i8", ">u4"]


def array_type(dtype):
    return pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else np.dtype(dtype)


# ---- operands --------------------------------------------------------------------------------------------------------


@each_dtype
@each_input
def test_types_and_shapes(dtype, from_logits):
    """Half types are read as they are and computed in float32; a reduced value is float64."""
    batch = drawn()
    x, *rest = arguments(batch, array_type(dtype), from_logits)
    work = np.float64 if dtype == "float64" else np.float32
    loss, grad = fl.ctc_loss(x, *rest, reduction="none", return_grad=True, from_logits=from_logits)
    assert loss.dtype == grad.dtype == work and loss.shape == (4,) and grad.shape == (20, 4, 9)
    assert type(fl.ctc_loss(x, *rest, from_logits=from_logits)) is np.float64
    same = fl.ctc_loss(x.astype(work), *rest, reduction="none", return_grad=True, from_logits=from_logits)
    assert bits((loss, grad)) == bits(same)
    with fl.backend("reference"):
        wanted, wanted_grad = fl.ctc_loss(x, *rest, reduction="none", return_grad=True, from_logits=from_logits)
    assert wanted.dtype == wanted_grad.dtype == work
    np.testing.assert_allclose(loss, wanted, rtol=1e-10 if work == np.float64 else 2e-6)
    np.testing.assert_allclose(grad, wanted_grad, rtol=0, atol=1e-9 if work == np.float64 else 2e-6)


def test_integers_are_computed_in_float64():
    x, *rest = arguments(drawn())
    whole = np.round(x).astype(np.int32)
    loss = fl.ctc_loss(whole, *rest, reduction="none")
    assert loss.dtype == np.float64 and bits(loss) == bits(fl.ctc_loss(whole * 1.0, *rest, reduction="none"))


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_targets_of_any_integer_type_padded_or_in_a_row(dtype, reduction):
    batch = drawn()
    x, padded, *lengths = arguments(batch)
    wanted = bits(fl.ctc_loss(x, padded, *lengths, reduction=reduction, return_grad=True))
    fill = int(np.iinfo(dtype).max)
    for targets in (batch.padded(None, 5, dtype), batch.padded(8, fill, dtype), batch.concatenated.astype(dtype)):
        assert bits(fl.ctc_loss(x, targets, *lengths, reduction=reduction, return_grad=True)) == wanted
    lists = batch.concatenated.tolist(), batch.padded(fill=-1).tolist()
    for targets in lists:
        assert bits(fl.ctc_loss(x, targets, *lengths, reduction=reduction, return_grad=True)) == wanted


@pytest.mark.parametrize("fill", [0, -1, 9, 2**62, -(2**63), 3])
def test_padding_may_be_anything(fill):
    """The blank, what is no class, and labels that would count if they were read."""
    batch = drawn()
    x, padded, *lengths = arguments(batch)
    wanted = bits(fl.ctc_loss(x, padded, *lengths, return_grad=True))
    assert bits(fl.ctc_loss(x, batch.padded(7, fill), *lengths, return_grad=True)) == wanted


@pytest.mark.parametrize("kind", [list, tuple, *INTEGERS], ids=str)
def test_lengths_of_any_kind(kind):
    batch = drawn()
    x, padded, frames, labels = arguments(batch)
    wanted = bits(fl.ctc_loss(x, padded, frames, labels, return_grad=True))
    if kind in (list, tuple):
        frames, labels = kind(frames.tolist()), kind(labels.tolist())
    else:
        frames, labels = frames.astype(kind), labels.astype(kind)
    assert bits(fl.ctc_loss(x, padded, frames, labels, return_grad=True)) == wanted
    assert bits(fl.ctc_loss(x, batch.concatenated, frames, labels, return_grad=True)) == wanted


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    batch = drawn()
    x, padded, frames, labels = arguments(batch, "float32")
    wanted = bits(fl.ctc_loss(x, padded, frames, labels, return_grad=True))
    tensors = [torch.tensor(a) for a in (x, padded, frames, labels)]
    assert bits(fl.ctc_loss(*tensors, return_grad=True)) == wanted
    with pytest.raises(TypeError, match=r"log_probs.*detach"):
        fl.ctc_loss(tensors[0].requires_grad_(), *tensors[1:])


@each_input
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_one_sample_without_a_batch_axis(from_logits, reduction):
    """(T, C) with its target and plain lengths: the sample of a batch of one, without that axis."""
    batch = drawn()
    x, padded, frames, labels = arguments(batch, "float32", from_logits)
    options = {"reduction": reduction, "return_grad": True, "from_logits": from_logits}
    for n in (0, 2):
        loss, grad = fl.ctc_loss(x[:, n : n + 1], padded[n : n + 1], frames[n : n + 1], labels[n : n + 1], **options)
        target = batch.targets[n]
        for f, k in ((int(frames[n]), int(labels[n])), (frames[n], labels[n]), (frames[n : n + 1], labels[n : n + 1])):
            alone, alone_grad = fl.ctc_loss(x[:, n], target, f, k, **options)
            assert alone_grad.shape == (20, 9) and bits(alone_grad) == bits(grad)
            assert np.shape(alone) == () and bits(alone) == bits(loss)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@each_input
def test_layouts_give_the_same_bits(layout, dtype, from_logits):
    batch = drawn()
    x, *rest = arguments(batch, dtype, from_logits)
    concatenated = batch.concatenated
    options = {"reduction": "none", "return_grad": True, "from_logits": from_logits}
    wanted = bits(fl.ctc_loss(x, *rest, **options))
    change = LAYOUTS[layout]
    assert bits(fl.ctc_loss(change(x), *map(change, rest), **options)) == wanted
    assert bits(fl.ctc_loss(change(x), change(concatenated), *map(change, rest[1:]), **options)) == wanted


@pytest.mark.parametrize("classes", [1, 2, 15, 16, 17, 31, 33, 511, 512, 513, 1000, 1023, 1024, 1025, 1030, 2047, 2049])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_of_logits_of_any_length(classes, dtype):
    """Around whole lanes and tiles, read in place and through a copy: the normaliser counts every class once."""
    rng = np.random.default_rng(classes)
    x = rng.normal(0, 3, (9, 2, classes)).astype(dtype)
    targets = [draw_labels(rng, n if classes > 1 else 0, max(classes, 2)) for n in (3, 2)]
    rest = np.concatenate(targets), [9, 8], [len(labels) for labels in targets]
    options = {"reduction": "none", "return_grad": True, "from_logits": True}
    loss, grad = fl.ctc_loss(x, *rest, **options)
    with fl.backend("reference"):
        wanted, wanted_grad = fl.ctc_loss(x, *rest, **options)
    np.testing.assert_allclose(loss, wanted, rtol=1e-10 if dtype == np.float64 else 2e-6, atol=1e-12)
    np.testing.assert_allclose(grad, wanted_grad, rtol=0, atol=1e-9 if dtype == np.float64 else 2e-6)
    assert bits(fl.ctc_loss(np.asfortranarray(x), *rest, **options)) == bits((loss, grad))
    assert bits(fl.ctc_loss(x, *rest, reduction="none", from_logits=True)) == bits(loss)


def test_batch_first_arrays_are_passed_as_views():
    x, *rest = arguments(drawn(), "float32")
    swapped = np.ascontiguousarray(x.transpose(1, 0, 2)).transpose(1, 0, 2)
    wanted = fl.ctc_loss(x, *rest, return_grad=True)
    assert bits(fl.ctc_loss(swapped, *rest, return_grad=True)) == bits(wanted)


def test_inputs_are_not_changed():
    operands = arguments(drawn(), "float32")
    copies = [a.copy() for a in operands]
    fl.ctc_loss(*operands, return_grad=True, from_logits=True)
    assert all(bits(a) == bits(b) for a, b in zip(operands, copies, strict=True))


@pytest.mark.parametrize("blank", range(9))
@each_input
def test_the_blank_may_be_any_class(blank, from_logits):
    """Renumbering the classes changes nothing but the places in the gradient."""
    batch = drawn(blank=0)
    order = [*range(1, blank + 1), 0, *range(blank + 1, 9)]  # new class -> old
    renumbered = [np.argsort(order)[labels] for labels in batch.targets]
    moved = Batch(batch.x[..., order], renumbered, batch.input_lengths, blank)
    loss, grad = call(batch, "float64", from_logits, reduction="none", return_grad=True)
    found, found_grad = call(moved, "float64", from_logits, reduction="none", return_grad=True)
    np.testing.assert_allclose(found, loss, rtol=1e-13)
    np.testing.assert_allclose(found_grad, grad[..., order], rtol=0, atol=1e-13)


# ---- reductions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_input
def test_reductions(dtype, from_logits):
    """The mean divides each loss by its target's length, at least 1, and the sum by the number of samples."""
    batch = drawn()
    loss, grad = call(batch, dtype, from_logits, reduction="none", return_grad=True)
    total, total_grad = call(batch, dtype, from_logits, reduction="sum", return_grad=True)
    assert bits(total_grad) == bits(grad)
    assert_close(total, loss.astype(np.float64).sum(), dtype)
    mean, mean_grad = call(batch, dtype, from_logits, return_grad=True)
    weight = 1 / (4 * np.maximum(LENGTHS[0], 1))
    assert_close(mean, (loss * weight).sum(), dtype)
    assert_close(mean_grad, grad * weight[:, np.newaxis], dtype)
    for reduction in ("none", "mean", "sum"):
        with_gradient = call(batch, dtype, from_logits, reduction=reduction, return_grad=True)[0]
        assert bits(call(batch, dtype, from_logits, reduction=reduction)) == bits(with_gradient)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@each_input
def test_grad_output_multiplies_the_gradient(reduction, from_logits):
    batch = drawn()
    _, grad = call(batch, "float64", from_logits, reduction=reduction, return_grad=True)
    _, doubled = call(batch, "float64", from_logits, reduction=reduction, return_grad=True, grad_output=-2.5)
    np.testing.assert_allclose(doubled, -2.5 * grad, rtol=1e-13, atol=1e-16)
    g = np.array([2.0, -1.0, 0.0, 0.5])
    for given in (g, g.astype(np.float32), g.astype(">f8"), g.tolist()):
        _, scaled = call(batch, "float64", from_logits, reduction=reduction, return_grad=True, grad_output=given)
        np.testing.assert_allclose(scaled, g[:, np.newaxis] * grad, rtol=1e-13, atol=1e-16)


def test_the_loss_of_log_softmax_composes():
    """Minus occupancy, taken through the log-softmax's Jacobian, is softmax minus occupancy."""
    batch = drawn()
    p = np.exp(batch.inputs("float64", False))
    _, through = call(batch, "float64", False, return_grad=True)
    _, fused = call(batch, "float64", True, return_grad=True)
    np.testing.assert_allclose(through - p * through.sum(axis=-1, keepdims=True), fused, rtol=0, atol=1e-14)


@each_input
def test_gradient_by_central_differences(from_logits):
    batch = drawn()
    _, grad = call(batch, "float64", from_logits, reduction="sum", return_grad=True)
    x, step = batch.inputs("float64", from_logits), 1e-5
    for place in [(0, 0, 0), (3, 1, 4), (16, 1, 2), (5, 2, 0), (19, 3, 8), *((7, 0, c) for c in range(9))]:
        ends = []
        for change in (step, -step):
            moved = x.copy()
            moved[place] += change
            ends.append(call(Batch(moved, batch.targets, batch.input_lengths, 0, True), "float64", from_logits))
        weight = 1 / (4 * max(LENGTHS[0][place[1]], 1))
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(grad[place] * weight, abs=1e-8)


# ---- outputs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stale", [np.nan, np.inf, 1e30])
@each_input
def test_outputs_are_overwritten(dtype, stale, from_logits):
    """Whatever they held, in frames beyond a length and samples without an alignment too."""
    for batch in (drawn(), infeasible(), batch_of("tight")):
        wanted = bits(call(batch, dtype, from_logits, reduction="none", return_grad=True))
        out, grad_out = np.full(len(batch.targets), stale, dtype), np.full(batch.x.shape, stale, dtype)
        options = {"reduction": "none", "return_grad": True, "out": out, "grad_out": grad_out}
        loss, grad = call(batch, dtype, from_logits, **options)
        assert loss is out and grad is grad_out and bits((out, grad_out)) == wanted
        grad_out[...] = stale
        mean = call(batch, dtype, from_logits, return_grad=True)
        assert bits(call(batch, dtype, from_logits, return_grad=True, grad_out=grad_out)) == bits(mean)
        assert bits(grad_out) == bits(mean[1])


# ---- backends, the class, cleaning data ------------------------------------------------------------------------------


def test_verify():
    x, *rest = arguments(drawn())
    differences = fl.verify(fl.ctc_loss, x, *rest, reduction="none")
    assert [d.name for d in differences] == ["value", "grad[0]"] and max(d.absolute for d in differences) < 1e-12


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_the_reference_takes_every_option(reduction, zero_infinity):
    for batch in (drawn(), infeasible(), drawn(blank=8)):
        g = np.linspace(-1, 2, len(batch.targets))
        options = {"reduction": reduction, "zero_infinity": zero_infinity, "return_grad": True, "grad_output": g}
        for from_logits in (False, True):
            found = call(batch, "float64", from_logits, **options)
            with fl.backend("reference"):
                wanted = call(batch, "float64", from_logits, **options)
            np.testing.assert_allclose(found[0], wanted[0], rtol=1e-12)
            np.testing.assert_allclose(found[1], wanted[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_the_class(reduction):
    batch = infeasible()
    x, *rest = arguments(batch, from_logits=True)
    moved = [x, np.where(rest[0] > 0, rest[0] - 1, rest[0]), *rest[1:]]
    criterion = fl.CTCLoss(5, reduction, True, from_logits=True)
    options = {"blank": 5, "reduction": reduction, "zero_infinity": True, "from_logits": True}
    assert bits(criterion(*moved)) == bits(fl.ctc_loss(*moved, **options))
    assert bits(criterion.value_and_grad(*moved)) == bits(fl.ctc_loss(*moved, return_grad=True, **options))
    assert all(f"{name}={value!r}" in repr(criterion) for name, value in options.items())
    assert bits(fl.CTCLoss()(x, *rest)) == bits(fl.ctc_loss(x, *rest))


def test_feasible():
    """One frame per label and a blank between equal ones."""
    batch = infeasible()
    for targets in (batch.padded(), batch.concatenated, batch.padded().tolist(), batch.padded().astype(np.int16)):
        found = fl.ctc_feasible(targets, batch.input_lengths, batch.target_lengths)
        assert found.dtype == bool and found.tolist() == [False, False, False, True, True]
    assert fl.ctc_feasible([1, 1], 3, 2) and not fl.ctc_feasible([1, 1], 2, 2)
    rng = np.random.default_rng(3)
    targets = [draw_labels(rng, int(n), 5, 0, 0.4) for n in rng.integers(0, 12, 200)]
    frames = rng.integers(0, 15, 200)
    many = Batch(rng.normal(size=(15, 200, 5)), targets, frames)
    found = fl.ctc_feasible(many.concatenated, frames, many.target_lengths)
    assert found.tolist() == [needed(labels) <= n for labels, n in zip(targets, frames, strict=True)]
    assert found.tolist() == np.isfinite(call(many, "float32", True, reduction="none")).tolist()
    assert 0 < found.sum() < 200


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_in_parts(reduction):
    """Samples lie on axis 1 of the frames: any split of them adds up to the value of one call."""
    batch = random_batch(np.random.default_rng(10), 23)
    options = {"blank": batch.blank, "zero_infinity": True, "from_logits": True, "reduction": reduction}
    names = ("log_probs", "targets", "input_lengths", "target_lengths")
    operands = dict(zip(names, arguments(batch, from_logits=True), strict=True))
    wanted = fl.ctc_loss(**operands, **options)
    total = fl.Accumulator(fl.ctc_loss, **options)
    for part in (slice(0, 1), slice(1, 14), slice(14, 14), slice(14, 23)):
        total.update(operands["log_probs"][:, part], *(operands[name][part] for name in names[1:]))
    assert total.compute() == pytest.approx(wanted, rel=1e-13)
    for chunk_size in (1, 5, 23, 100):
        found = fl.evaluate(fl.ctc_loss, operands, chunk_size=chunk_size, per_sample=True, **options)
        assert found.compute() == pytest.approx(wanted, rel=1e-13)
        losses = fl.ctc_loss(**operands, **{**options, "reduction": "none"})
        assert found.losses().tolist() == losses.tolist()


# ---- real posteriors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_ocr_lines(backend):
    """The mislabelled line stands out."""
    with np.load(OCR) as data, fl.backend(backend):
        operands = [data[name] for name in ("log_probs", "targets", "input_lengths", "target_lengths")]
        loss = fl.ctc_loss(*operands, reduction="none")
        assert loss[4] == pytest.approx(100.87, abs=0.01)
        others = np.delete(loss, 4)
        assert others.min() == pytest.approx(0.35, abs=0.01) and others.max() == pytest.approx(2.58, abs=0.01)
        assert fl.ctc_feasible(*operands[1:]).all()


def test_ocr_lines_by_the_command(capsys):
    assert cli.main(["eval", "ctc_loss", str(OCR), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    worst = report["worst"][0]
    assert worst["index"] == 4 and worst["loss"] == pytest.approx(100.87, abs=0.01)
    assert worst["text"] == "KEEP OUT OF REACH" and report["n"] == 6
