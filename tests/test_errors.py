# SPDX-License-Identifier: BSD-3-Clause
"""Refusals: both backends raise alike, name the argument, say what was expected and what came, and write nothing."""

from __future__ import annotations

import re

import numpy as np
import pytest
from cases import CASES, ELEMENTWISE, ROWS
from hypothesis import given
from hypothesis import strategies as st

import fastloss as fl

x3 = np.ones((4, 3))
y3 = np.zeros(4, np.int64)


def refusal(call, *expected) -> str:
    """The message with which both backends refuse this call, having checked that they do so alike."""
    messages = []
    for backend in ("native", "reference"):
        with fl.backend(backend), pytest.raises(expected or ValueError) as caught:
            call()
        messages.append((caught.type, str(caught.value)))
    assert messages[0] == messages[1]
    return messages[0][1]


each_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


@pytest.mark.parametrize(
    ("input_shape", "target_shape"),
    [((4, 1), (4,)), ((4,), (4, 1)), ((4, 1), (1, 4)), ((1,), (4,)), ((4,), (3,)), ((4, 3), (4,)), ((), (1,))],
    ids=str,
)
@pytest.mark.parametrize(
    "case", [c for c in ELEMENTWISE if c.name in ("l1", "mse", "huber", "bce")], ids=lambda c: c.name
)
def test_no_operand_may_enlarge_the_first(case, input_shape, target_shape):
    message = refusal(lambda: case.call({"input": np.ones(input_shape), "target": np.ones(target_shape)}))
    assert str(input_shape) in message and str(target_shape) in message
    assert "input" in message and "target" in message


@pytest.mark.parametrize("name", ["target", "weight", "pos_weight", "var", "mask", "grad_output"])
def test_every_operands_shape_is_checked(name):
    options = name in ("mask", "grad_output")
    case = next(c for c in ELEMENTWISE if options or name in c.operands((4, 3)))
    wrong = np.ones((2, 4, 3), bool if name == "mask" else float)
    operands = case.operands((4, 3))
    if options:
        message = refusal(lambda: case.call(operands, return_grad=True, **{name: wrong}))
    else:
        message = refusal(lambda: case.call({**operands, name: wrong}))
    assert name in message and "(2, 4, 3)" in message and "(4, 3)" in message


@pytest.mark.parametrize(
    ("logits", "target"),
    [((4, 3), (3,)), ((4, 3), (4, 1)), ((4, 3), ()), ((3,), (1,)), ((4, 3, 2), (4, 3)), ((4, 3, 2), (4,)), ((), ())],
    ids=str,
)
def test_label_shapes(logits, target):
    message = refusal(lambda: fl.cross_entropy(np.ones(logits), np.zeros(target, int)))
    assert "target" in message or "input" in message
    assert str(logits) in message or str(target) in message


def test_class_weights_are_one_per_class():
    for shape in [(4,), (1,), (), (4, 3), (3, 1)]:
        message = refusal(lambda shape=shape: fl.cross_entropy(x3, y3, np.ones(shape)))
        assert "weight" in message and "3" in message and str(shape) in message


@pytest.mark.parametrize("axis", [2, -3, 10])
def test_class_axis_out_of_range(axis):
    message = refusal(lambda: fl.cross_entropy(x3, y3, class_axis=axis), ValueError, IndexError)
    assert "class_axis" in message and str(axis) in message


def test_no_classes():
    message = refusal(lambda: fl.cross_entropy(np.ones((4, 0)), y3))
    assert "0" in message


@each_case
@pytest.mark.parametrize("reduction", ["average", "batchmean", "", None, 1])
def test_unknown_reduction(case, reduction):
    if case.function == "kl_div" and reduction == "batchmean":
        assert case.call(case.operands((4, 3)), reduction=reduction) == case.call(case.operands((4, 3))) * 3
        return
    message = refusal(lambda: case.call(case.operands((4, 3)), reduction=reduction), ValueError, TypeError)
    assert "reduction" in message and repr(reduction) in message
    assert all(word in message for word in ("none", "mean", "sum"))


@pytest.mark.parametrize("delta", [0, -1.0, float("nan")])
def test_huber_delta_is_positive(delta):
    assert "delta" in refusal(lambda: fl.huber_loss(x3, x3, delta=delta))


@pytest.mark.parametrize("delta", ["1", None, [1.0, 2.0]])
def test_huber_delta_is_a_number(delta):
    assert "delta" in refusal(lambda: fl.huber_loss(x3, x3, delta=delta), TypeError, ValueError)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("place", [(0, 0), (3, 1), (4999, 2)])
def test_negative_variance_is_named_by_its_place(dtype, place):
    var = np.ones((5000, 3), dtype)
    var[place] = -2
    var[4999, 2] = min(var[4999, 2], np.asarray(-1, dtype))  # a later one is not what is named
    x = np.ones((5000, 3), np.float32)
    message = refusal(lambda: fl.gaussian_nll_loss(x, x, var))
    first = var[place]
    assert f"var[{place[0]}, {place[1]}] = {first.item()}" in message and "negative" in message


def test_negative_variance_of_other_shapes():
    x = np.ones((4, 3))
    assert "var[2] = -0.5 is negative" in refusal(lambda: fl.gaussian_nll_loss(x, x, [1.0, 1, -0.5, 1]))
    assert "var[2, 0] = -0.5 is negative" in refusal(lambda: fl.gaussian_nll_loss(x, x, [[1.0], [1], [-0.5], [1]]))
    assert "-0.5 is negative" in refusal(lambda: fl.gaussian_nll_loss(x, x, -0.5))


def test_negative_zero_and_nan_variance_are_no_error():
    assert np.isfinite(fl.gaussian_nll_loss(1.0, 1.0, -0.0))
    assert np.isnan(fl.gaussian_nll_loss(1.0, 1.0, np.nan))


LABELS = [-1, 3, 10, 2**31, 2**32, 2**40, -(2**31), -(2**40), 2**63 - 1, -(2**63)]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("index", [0, 37, 4999])
def test_a_bad_label_is_named_by_its_place(label, index):
    target = np.zeros(5000, np.int64)
    target[index] = label
    message = refusal(lambda: fl.cross_entropy(np.ones((5000, 3), np.float32), target), ValueError, IndexError)
    assert message == f"target[{index}] = {label} is out of range for 3 classes"


def test_a_bad_label_of_several_axes():
    target = np.zeros((3, 4, 5), np.int32)
    target[1, 2, 3] = 7
    target[2, 0, 0] = 9
    for x, axis in ((np.ones((3, 6, 4, 5)), 1), (np.ones((3, 4, 5, 6)), -1)):
        message = refusal(lambda x=x, axis=axis: fl.cross_entropy(x, target, class_axis=axis), ValueError, IndexError)
        assert message == "target[1, 2, 3] = 7 is out of range for 6 classes"
    message = refusal(lambda: fl.cross_entropy(np.ones(6), 7), ValueError, IndexError)
    assert "target" in message and "= 7 is out of range for 6 classes" in message


def test_unsigned_labels_beyond_int64():
    target = np.array([0, 2**64 - 1, 2**63], np.uint64)
    message = refusal(lambda: fl.cross_entropy(np.ones((3, 4)), target), ValueError, IndexError)
    assert message == f"target[1] = {2**64 - 1} is out of range for 4 classes"
    # nor does the largest one pass for an ignored label
    message = refusal(lambda: fl.cross_entropy(np.ones((3, 4)), target, ignore_index=2**63 - 1), ValueError, IndexError)
    assert "target[1]" in message


@pytest.mark.parametrize(
    "labels", [[0.0, 1.0, 2.0], [np.nan, 0, 1], np.array([0, 1, 2], np.float16)], ids=["float", "nan", "half"]
)
def test_labels_are_integers(labels):
    message = refusal(lambda: fl.cross_entropy(np.ones((3, 4)), labels), TypeError, ValueError)
    assert "target" in message and "integer" in message and "float" in message


def test_ignore_index_is_an_integer():
    assert "ignore_index" in refusal(lambda: fl.cross_entropy(x3, y3, ignore_index=0.5), TypeError)


@pytest.mark.parametrize(
    "mask", [np.ones((4, 3)), np.ones((4, 3), np.int64), [0.5, 1, 1]], ids=["float", "int", "list"]
)
def test_mask_is_boolean(mask):
    assert "mask" in refusal(lambda: fl.mse_loss(x3, x3, mask=mask), TypeError)


def wrong_outputs(shape, dtype):
    right = np.empty(shape, dtype)
    locked = right.copy()
    locked.flags.writeable = False
    return {
        "shape": np.empty((*shape, 1), dtype),
        "smaller": np.empty(shape[1:], dtype),
        "dtype": np.empty(shape, np.float32 if dtype == np.float64 else np.float64),
        "integers": np.empty(shape, np.int64),
        "byte order": np.empty(shape, np.dtype(dtype).newbyteorder()),
        "readonly": locked,
        "list": right.tolist(),
    }


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("argument", ["out", "grad_out"])
def test_wrong_outputs(case, dtype, argument):
    operands = case.operands((4, 3), dtype)
    shape = case.loss_shape((4, 3)) if argument == "out" else (4, 3)
    for kind, wrong in wrong_outputs(shape, dtype).items():
        if argument == "out":
            options = {"out": wrong, "reduction": "none"}
        else:
            rest = [np.empty_like(operands[name]) for name in case.predictions[1:]]
            options = {"grad_out": (wrong, *rest) if rest else wrong, "return_grad": True}
        message = refusal(lambda options=options: case.call(operands, **options), ValueError, TypeError)
        assert argument in message, kind


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_are_written_into_arrays_of_their_own(case, dtype):
    """The bits of fresh ones, on the plain path too; memory of an operand or of another gradient is refused."""
    operands = case.operands((4, 3), dtype)
    value, fresh = case.call(operands, return_grad=True)
    several = isinstance(fresh, tuple)
    given = tuple(np.full_like(g, 7) for g in (fresh if several else (fresh,)))
    again, written = case.call(operands, return_grad=True, grad_out=given if several else given[0])
    assert again == value or (np.isnan(again) and np.isnan(value))
    for g, w, expected in zip(given, written if several else (written,), fresh if several else (fresh,), strict=True):
        assert g is w and g.tobytes() == expected.tobytes()
    takes = [operands[name] for name in case.predictions]
    wrong = [(x, *given[1:]) for x in takes if x.shape == given[0].shape and x.dtype == given[0].dtype]
    if several and given[0].shape == given[1].shape:
        wrong.append((given[0], given[0], *given[2:]))
    for outs in wrong:
        message = refusal(
            lambda outs=outs: case.call(operands, return_grad=True, grad_out=outs if several else outs[0]), ValueError
        )
        assert "overlaps" in message


def test_a_target_that_shares_memory_with_a_gradient_is_refused(rng):
    x, y = rng.normal(size=(2, 40, 5))
    grads = (np.empty_like(x), np.empty_like(x))
    target = grads[1].reshape(-1)[7:47]
    target[:] = 1
    with pytest.raises(ValueError, match=r"grad_out\[1\] overlaps"):
        fl.cosine_embedding_loss(x, y, target, return_grad=True, grad_out=grads)


def test_grad_out_of_two_predictions_is_a_pair():
    x = np.ones((4, 3))
    for wrong in (np.empty((4, 3)), (np.empty((4, 3)),), (np.empty((4, 3)),) * 3):
        call = lambda wrong=wrong: fl.gaussian_nll_loss(x, x, x, return_grad=True, grad_out=wrong)  # noqa: E731
        assert "grad_out" in refusal(call, ValueError, TypeError)


BROKEN = {
    "label": lambda o: {**o, "target": np.where(np.arange(o["target"].size) == 4999, 99, o["target"])},
    "label type": lambda o: {**o, "target": o["target"] * 1.0},
    "label shape": lambda o: {**o, "target": o["target"][:-1]},
    "weight shape": lambda o: {**o, "weight": np.ones(11)},
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("case", ROWS, ids=lambda c: c.name)
def test_nothing_is_written_before_a_refusal_of_labels(kind, case):
    operands = BROKEN[kind](case.operands((5000, 10)))
    out, grad_out = np.full(5000, 7.0), np.full((5000, 10), 7.0)
    refusal(
        lambda: case.call(operands, reduction="none", return_grad=True, out=out, grad_out=grad_out),
        ValueError,
        IndexError,
        TypeError,
    )
    assert (out == 7).all() and (grad_out == 7).all()


@pytest.mark.parametrize("case", ELEMENTWISE, ids=lambda c: c.name)
def test_nothing_is_written_before_a_refusal_of_shapes(case):
    operands = case.operands((50, 4))
    out = np.full((50, 4), 7.0)
    grads = tuple(np.full_like(operands[name], 7.0) for name in case.predictions)
    options = {"reduction": "none", "return_grad": True, "out": out, "grad_out": grads if len(grads) > 1 else grads[0]}
    for broken in ({**operands, "target": np.ones(3)}, {**operands, "target": np.ones((50, 4), complex)}):
        refusal(lambda broken=broken: case.call(broken, **options), ValueError, TypeError)
    refusal(lambda: case.call(operands, mask=np.ones(3, bool), **options))
    assert (out == 7).all() and all((g == 7).all() for g in grads)


def test_options_are_keyword_only():
    with pytest.raises(TypeError):
        fl.mse_loss(x3, x3, None, "mean")
    with pytest.raises(TypeError):
        fl.cross_entropy(x3, y3, None, -100)
    with pytest.raises(TypeError):
        fl.mse_loss(x3, x3, size_average=True)
    with pytest.raises(TypeError):
        fl.mse_loss(x3)


INTEGER_TYPES = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i8", ">u8"]


@given(data=st.data())
def test_hostile_labels(data):
    """Any labels of any integer type: refused, with the first bad one named, exactly if one is out of range."""
    dtype = np.dtype(data.draw(st.sampled_from(INTEGER_TYPES)))
    info = np.iinfo(dtype)
    shape = data.draw(st.sampled_from([(1,), (7,), (40,), (3, 5), (2, 3, 4)]))
    classes = data.draw(st.sampled_from([1, 2, 10, 200]))
    ignore_index = data.draw(st.sampled_from([-100, -1, 0, 255, 2**31, 2**63 - 1]))
    hostile = st.integers(int(info.min), int(info.max)) | st.sampled_from([int(info.min), int(info.max)])
    fine = st.integers(0, min(classes - 1, int(info.max)))
    size = int(np.prod(shape))
    chance = data.draw(st.sampled_from([0, 1, 5]))
    labels = [data.draw(hostile if k % 10 < chance else fine) for k in range(size)]
    target = np.array(labels, dtype).reshape(shape)
    logits = np.zeros((shape[0], classes, *shape[1:]), data.draw(st.sampled_from([np.float32, np.float64])))
    out, grad_out = np.full(shape, 7, logits.dtype), np.full(logits.shape, 7, logits.dtype)

    bad = [k for k, label in enumerate(labels) if label != ignore_index and not 0 <= label < classes]
    options = {"ignore_index": ignore_index, "reduction": "none", "return_grad": True, "out": out, "grad_out": grad_out}
    if bad:
        place = ", ".join(str(i) for i in np.unravel_index(bad[0], shape))
        expected = f"target[{place}] = {labels[bad[0]]} is out of range for {classes} classes"
        with pytest.raises((ValueError, IndexError), match=f"^{re.escape(expected)}$"):
            fl.cross_entropy(logits, target, **options)
        assert (out == 7).all() and (grad_out == 7).all()
    else:
        value, grad = fl.cross_entropy(logits, target, **options)
        kept = np.array([label != ignore_index for label in labels]).reshape(shape)
        np.testing.assert_allclose(value, np.where(kept, np.log(classes), 0), rtol=1e-6)
        np.testing.assert_allclose(grad.sum(axis=1), 0, atol=1e-5)


@given(
    shape=st.lists(st.integers(0, 4), max_size=3).map(tuple),
    other=st.lists(st.integers(0, 4), max_size=3).map(tuple),
)
def test_shapes_are_taken_exactly_if_they_broadcast_to_the_first(shape, other):
    x, y = np.ones(shape), np.zeros(other)
    try:
        fits = np.broadcast_shapes(shape, other) == shape
    except ValueError:
        fits = False
    if fits:
        assert fl.l1_loss(x, y, reduction="none").shape == shape
    else:
        message = refusal(lambda: fl.l1_loss(x, y))
        assert str(shape) in message and str(other) in message


def test_labels_changed_during_the_call_cannot_read_out_of_bounds():
    """Another thread swaps labels under a running call: an error or a result, never a crash."""
    import threading

    x = np.zeros((100_000, 10), np.float32)
    target = np.zeros(100_000, np.int64)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            target[99_999] = 2**40
            target[99_999] = 0

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(30):
            try:
                fl.cross_entropy(x, target)
            except (ValueError, IndexError) as error:
                assert "target" in str(error)
    finally:
        stop.set()
        thread.join()
