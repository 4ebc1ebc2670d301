# SPDX-License-Identifier: BSD-3-Clause
"""Hostile labels, weights and lengths: refused by ValueError, TypeError or IndexError, or answered; never a crash.

`attack(n)` makes n seeded calls and prints each before it is made. The suite runs it once per ISA in a process of its
own, so that a crash is a failing test that shows the last call. FASTLOSS_HOSTILE sets n, FASTLOSS_SEED the
seed, FASTLOSS_SIEGE for how many seconds another thread changes labels under running calls.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import threading
import time
from random import Random
from typing import Any

import every
import numpy as np
import pytest
from case import POSITIONAL
from cases import CASES, ELEMENTWISE
from hypothesis import given
from hypothesis import strategies as st

import fastloss as fl

ISAS = [name for name, state in fl.isas().items() if state["compiled"] and state["supported"]]
CALLS = int(os.environ.get("FASTLOSS_HOSTILE", "20000"))
SEED = int(os.environ.get("FASTLOSS_SEED", "0"))
SIEGE = float(os.environ.get("FASTLOSS_SIEGE", "1"))  # seconds
REFUSED = (ValueError, TypeError, IndexError)

EXTREMES = [
    *(-1, -2, -100, -128, -129, 127, 128, 255, 256, -(2**15), 2**15, 2**16 - 1),
    *(2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32 - 1, 2**32, 2**40, -(2**40)),
    *(2**62, 2**63 - 1, -(2**63), -(2**63) + 1, 2**63, 2**64 - 1),
]
INTEGERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i2", ">i4", ">i8", ">u8"]
OTHERS = ["f2", "f4", "f8", "?", "c8", "O", "m8[s]", "U3"]
SHAPES = [(), (1,), (2,), (5,), (16,), (17,), (64,), (65,), (300,), (3, 4), (2, 3, 5), (0,), (2, 0)]
CLASSES = [0, 1, 2, 3, 10, 31, 32, 33, 64, 65, 66, 127, 128, 1000, 1025]
REDUCTIONS = ["none", "mean", "sum"] * 8 + ["median", None]


def hostile_labels(random: Random, shape: tuple[int, ...], classes: int) -> Any:
    """Good labels, of which some are replaced; now and then of a type that is no label."""
    size = math.prod(shape)
    values = (np.arange(size) + random.randrange(1000)) % classes if classes else np.full(size, -100)
    near = [classes, classes + 1, classes - 1, -classes, 2 * classes, *EXTREMES]
    for _ in range(random.choice([0, 0, 0, 1, 2]) if size else 0):
        place = random.choice([0, size - 1, random.randrange(size)])
        values[place] = (random.choice(near) + 2**63) % 2**64 - 2**63
    if random.random() < 0.92:  # what does not fit wraps around, as in a careless cast
        return values.astype(random.choice(INTEGERS)).reshape(shape)
    kind = random.choice(OTHERS)
    if kind[0] == "f":
        odd = [random.choice([math.nan, math.inf, -math.inf, 0.5, float(v)]) for v in values]
        with np.errstate(all="ignore"):
            return np.array(odd, np.float64).astype(kind).reshape(shape)
    if kind == "O":
        return np.array([None, *values.tolist()], object)[1:].reshape(shape)
    return (values % 1000).astype(kind).reshape(shape)


@functools.cache
def zeros(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.zeros(shape, dtype)


def other_length(random: Random, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape near this one that is not it: one more, one fewer, an axis more, an axis fewer, or the axes turned."""
    changed = [*shape] or [1]
    k = random.randrange(len(changed))
    changed[k] = max(0, changed[k] + random.choice([-1, 1]))
    return random.choice([tuple(changed), (*shape, 1), (1, *shape), shape[1:], (2, *shape), shape[::-1]])


def label_call(random: Random) -> tuple[Any, list[Any], dict[str, Any]]:
    """A call of a row loss with something wrong somewhere, mostly in the labels."""
    where, classes = random.choice(SHAPES), random.choice(CLASSES)
    axis = random.randrange(len(where) + 1)
    logits = zeros((*where[:axis], classes, *where[axis:]), random.choice(["f4", "f8", "f4", "f2", ">f4"]))
    if random.random() < 0.2:
        logits = logits[..., ::-1]
    target = hostile_labels(random, other_length(random, where) if random.random() < 0.05 else where, classes)
    if random.random() < 0.1:
        target = target.tolist()
    options: dict[str, Any] = {"class_axis": axis if random.random() < 0.97 else random.choice([-1, 1, 5, 2**70, 0.5])}
    if random.random() < 0.3:
        options["ignore_index"] = random.choice([*EXTREMES, 0, classes, 2**70, 1.0])
    if random.random() < 0.4:
        length = classes if random.random() < 0.9 else random.choice([0, 1, classes + 1, max(classes - 1, 0), 7])
        number = random.choice([1.0, 0.0, math.nan, -1.0, math.inf])
        options["weight"] = np.full(length, number, random.choice(["f4", "f8"]))
    if random.random() < 0.2:
        shape = where if random.random() < 0.9 else other_length(random, where)
        options["mask"] = np.full(shape, random.random() < 0.5) if random.random() < 0.95 else np.ones(shape)
    common_options(random, options, where, logits.shape, "float64" if logits.dtype == np.float64 else "float32")
    function = random.choice(list(TAKE_LABELS))
    if function is fl.multilabel_margin_loss:
        target = hostile_labels(random, logits.shape, classes)
    for name in TAKE_LABELS[function]:
        options.pop(name, None)
    return function, [logits, target], options


NO_GRADIENT = ("weight", "reduction", "return_grad", "grad_output", "grad_out")
# What takes labels -> the options of cross_entropy that it does not know. (CTC's calls are in test_ctc_errors.py.)
TAKE_LABELS: dict[Any, tuple[str, ...]] = {
    fl.cross_entropy: (),
    fl.nll_loss: (),
    fl.focal_loss: (),
    fl.multi_margin_loss: ("ignore_index",),
    fl.multilabel_margin_loss: ("ignore_index", "weight"),
    fl.token_log_probs: NO_GRADIENT,
    fl.perplexity: (*NO_GRADIENT, "out"),
}


def linear_call(random: Random) -> tuple[Any, list[Any], dict[str, Any]]:
    """A call of the loss of a matrix product with something wrong in labels or lengths."""
    n, classes, features = random.choice([0, 1, 5, 17]), random.choice(CLASSES), random.choice([1, 3])
    target = hostile_labels(random, (n,) if random.random() < 0.9 else other_length(random, (n,)), classes)
    rows = classes if random.random() < 0.95 else classes + 1
    options: dict[str, Any] = {"return_grad": random.random() < 0.5}
    if random.random() < 0.3:
        options["ignore_index"] = random.choice([*EXTREMES, 0, classes, 2**70, 1.0])
    if random.random() < 0.3:
        options["weight"] = np.ones(random.choice([classes, classes, classes + 1]))
    if random.random() < 0.3:
        options["linear_bias"] = np.zeros(random.choice([classes, classes, rows, classes + 1]), "f4")
    return fl.linear_cross_entropy, [zeros((n, features), "f4"), zeros((rows, features), "f4"), target], options


def common_options(random: Random, options: dict[str, Any], value: Any, grad: Any, dtype: str) -> None:
    """Reduction, gradient and outputs, seldom wrong."""
    if random.random() < 0.7:
        options["reduction"] = random.choice(REDUCTIONS)
    if random.random() < 0.5:
        options["return_grad"] = True
        if random.random() < 0.3:
            options["grad_output"] = np.ones(value if random.random() < 0.9 else other_length(random, value))
        if random.random() < 0.3:
            options["grad_out"] = np.empty(grad if random.random() < 0.9 else other_length(random, grad), dtype)
    if options.get("reduction") == "none" and random.random() < 0.3:
        options["out"] = np.empty(value if random.random() < 0.9 else other_length(random, value), dtype)


def elementwise_call(random: Random) -> tuple[Any, list[Any], dict[str, Any]]:
    """A call of an elementwise loss of which one operand has another length or type."""
    case, shape = random.choice(ELEMENTWISE), random.choice(SHAPES)
    dtype = random.choice(["f4", "f8"])
    options: dict[str, Any] = dict(case.options)
    operands = {name: zeros(a.shape, dtype) for name, a in case.operands(shape or (1,)).items()}
    changed = random.choice(list(operands))
    other = other_length(random, operands[changed].shape) if random.random() < 0.5 else operands[changed].shape
    operands[changed] = zeros(other, random.choice([dtype, dtype, ">f4", "i8", "u1", "?", "c8", "O"]))
    if random.random() < 0.2:
        operands[changed] = operands[changed] - 1.0 if operands[changed].dtype.kind == "f" else None
    options.update({name: a for name, a in operands.items() if name not in POSITIONAL})
    common_options(random, options, case.loss_shape(shape), shape, "float32" if dtype == "f4" else "float64")
    positional = [operands[name] for name in POSITIONAL if name in operands]
    return getattr(fl, case.function), positional, options


other_losses = functools.cache(every.others)


def other_call(random: Random) -> tuple[Any, list[Any], dict[str, Any]]:
    """A call of what fits no case, of which one or two operands have other labels, another length or type."""
    name = random.choice(every.OTHERS)
    given, options = other_losses(random.choice([1, 2, 17, 33]))[name]
    operands, options = list(given), dict(options)
    arrays = [k for k, a in enumerate(operands) if isinstance(a, np.ndarray)]
    labels = [k for k in arrays if operands[k].dtype.kind == "i"]
    for _ in range(random.choice([0, 1, 1, 2])):
        k = random.choice(labels if labels and random.random() < 0.7 else arrays)
        a = operands[k]
        if k in labels and random.random() < 0.9:
            operands[k] = hostile_labels(random, a.shape, int(given[k].max()) + 1)
        elif random.random() < 0.5:
            operands[k] = zeros(other_length(random, a.shape), a.dtype.str)
        elif a.dtype.kind != "O":
            operands[k] = a.astype(random.choice(["f2", "f8", ">f4", "i8", "u1", "?", "O"]))
    shape = operands[arrays[0]].shape
    if random.random() < 0.1:
        options["mask"] = np.ones(random.choice([shape, shape[:1], other_length(random, shape)]), bool)
    if random.random() < 0.2:
        options["reduction"] = random.choice(REDUCTIONS)
    if random.random() < 0.1 and "return_grad" in options:
        options["grad_out"] = np.empty(random.choice([shape, other_length(random, shape)]), "f4")
    if random.random() < 0.2:
        options["ignore_index"] = random.choice([*EXTREMES, 0, 2**70, 1.0])
    return getattr(fl, name), operands, options


def shown(x: Any) -> str:
    return f"{x.dtype.str}{x.shape}{x.ravel()[:8].tolist()}" if isinstance(x, np.ndarray) else repr(x)


def attack(calls: int, seed: int) -> None:
    """Make that many hostile calls; print how many were refused."""
    random = Random(seed)
    refused = 0
    for k in range(calls):
        function, operands, options = (elementwise_call, linear_call, other_call, other_call, label_call)[
            min(k % 8, 4)
        ](random)
        text = ", ".join([*map(shown, operands), *(f"{name}={shown(a)}" for name, a in options.items())])
        print(f"{k}: {function.__name__}({text})", flush=True)
        try:
            function(*operands, **options)
        except REFUSED:
            refused += 1
    print(f"{calls} calls, {refused} refused")


@pytest.mark.parametrize("isa", ISAS)
def test_hostile_calls_end_in_an_error_or_an_answer(run_python, isa):
    result = run_python(
        f"import test_hostile; test_hostile.attack({CALLS}, {SEED})", FASTLOSS_ISA=isa, FASTLOSS_NUM_THREADS="1"
    )
    last = result.stdout.splitlines()[-1] if result.stdout else "nothing"
    assert result.returncode == 0, f"exit status {result.returncode} in {last[:2000]}\n{result.stderr[-2000:]}"
    refused = int(last.split()[2])
    assert CALLS / 4 < refused < CALLS * 3 / 4, last  # both sides are tried


@given(
    labels=st.lists(st.integers(-(2**63), 2**64 - 1) | st.sampled_from(EXTREMES) | st.integers(0, 9), max_size=40),
    classes=st.sampled_from([1, 10, 65]),
    ignore_index=st.integers(-(2**70), 2**70) | st.sampled_from(EXTREMES) | st.integers(-100, 10),
    return_grad=st.booleans(),
)
def test_any_integers_as_labels(labels, classes, ignore_index, return_grad):
    """A list of Python integers of any size: an answer exactly if every one is a class or is left out."""
    fine = all(0 <= label < classes or label == ignore_index for label in labels)
    logits = np.zeros((len(labels), classes), np.float32)
    target = np.array(labels) if labels else np.zeros(0, int)
    try:
        fl.cross_entropy(logits, target, ignore_index=ignore_index, return_grad=return_grad)
    except REFUSED:
        assert not fine or not -(2**63) <= ignore_index < 2**63 or max(labels, default=0) >= 2**63
    else:
        assert fine


def besieged(calls: list, change: Any, seconds: float) -> int:
    """Make the calls in turn while another thread keeps changing what they read; how many were answered or refused."""
    stop = threading.Event()

    def keep_changing() -> None:
        while not stop.is_set():
            change()

    thread = threading.Thread(target=keep_changing)
    thread.start()
    made = 0
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for call in calls:
                with contextlib.suppress(REFUSED):
                    call()
                made += 1
    finally:
        stop.set()
        thread.join()
    return made


@pytest.mark.parametrize("classes", [10, 200])
def test_labels_and_weights_that_change_while_we_run(classes):
    """In rows and in columns: labels are compared after they are loaded, so that the one used is the one compared."""
    n = 200_000 // classes * 4
    x, out, grad = np.zeros((n, classes), np.float32), np.empty(n, np.float32), np.empty((n, classes), np.float32)
    inner = np.zeros((4, classes, n // 4), np.float32)
    labels, weight = np.zeros(n, np.int64), np.ones(classes, np.float32)
    hostile = np.random.default_rng(0).choice([0, 1, -1, classes, 2**31, 2**40, -(2**63)], n)
    calls = [
        lambda: fl.cross_entropy(x, labels),
        lambda: fl.cross_entropy(x, labels, return_grad=True),
        lambda: fl.cross_entropy(x, labels, reduction="none", return_grad=True, out=out, grad_out=grad),
        lambda: fl.cross_entropy(x, labels, weight, return_grad=True, reduction="none"),
        lambda: fl.cross_entropy(inner, labels.reshape(4, -1), weight, return_grad=True),
    ]

    def change() -> None:
        np.copyto(labels[n // 2 :], hostile[n // 2 :])
        weight[:] = np.nan
        labels[:] = 0

    made = besieged(calls, change, seconds=SIEGE)
    assert made > 0
    print(f"{made} calls of rows of {classes} classes in {SIEGE:g} s")


def test_labels_of_every_loss_that_change_while_we_run():
    """All losses of integer operands, each with labels of its own that another thread changes."""
    calls, changed, hostile = [], [], np.array([-1, 5, 90, 2**31, 2**40, 2**63 - 1, -(2**63)])
    for case in CASES:
        operands = case.operands((4000, 24), np.float32)
        changed += [a for a in operands.values() if a.dtype.kind == "i"]
        if any(a.dtype.kind == "i" for a in operands.values()):
            calls.append(functools.partial(case.gradients, operands))
    for name, (operands, options) in every.others(4000).items():
        changed += [a for a in operands if isinstance(a, np.ndarray) and a.dtype.kind == "i"]
        if any(isinstance(a, np.ndarray) and a.dtype.kind == "i" for a in operands):
            calls.append(functools.partial(getattr(fl, name), *operands, **options))
    good = [a.copy() for a in changed]
    random = Random(SEED)
    assert len(calls) > 20

    def change() -> None:
        k = random.randrange(len(changed))
        changed[k].reshape(-1)[random.randrange(changed[k].size) :] = random.choice(hostile)
        changed[k][...] = good[k]

    made = besieged(calls, change, seconds=SIEGE)
    assert made >= len(calls)
    print(f"{made} calls of {len(calls)} losses in {SIEGE:g} s")


def test_resizing_while_we_run_is_refused():
    """NumPy refuses to move memory that others refer to, and buffers are held for the length of a call."""
    import array

    x, labels = np.zeros((50_000, 10), np.float32), array.array("q", [0] * 50_000)
    moved = 0

    def change() -> None:
        nonlocal moved
        try:
            labels.append(0)
            labels.pop()
            moved += 1
        except BufferError:
            pass

    assert besieged([lambda: fl.cross_entropy(x, labels)], change, seconds=0.5) > 0
    assert moved


# ndarray.resize to another shape of the same size moves nothing, so NumPy allows it at any time. A call that took the
# shape before such a resize and the strides after it, or the other way round, would read or write far outside.
RESHAPED = """
import random, sys
import numpy as np
import fastloss as fl
from test_hostile import besieged

sys.setswitchinterval(1e-5)
n, classes = 400_000, 4
x, labels = np.zeros((n, classes), np.float32), np.zeros(n, np.int64)
y, weight, grad = np.zeros_like(x), np.ones_like(x), np.empty_like(x)
CALLS = {
    "labels": lambda: fl.cross_entropy(x, labels, reduction="none", return_grad=True, grad_out=grad),
    "logits": lambda: fl.cross_entropy(x, labels, return_grad=True),
    "strided logits": lambda: fl.cross_entropy(x, labels, np.ones(classes), return_grad=True),
    "weighted": lambda: fl.mse_loss(x, y, weight),
}

def change():
    array, shapes = (labels, [(1, n), (n,)]) if KIND == "labels" else (x, [(classes, n), (n, classes)])
    array.resize(random.choice(shapes), refcheck=False)

print(besieged([CALLS[KIND]], change, seconds=0.5))
"""


@pytest.mark.parametrize("kind", ["labels", "logits", "strided logits", "weighted"])
def test_arrays_that_are_reshaped_while_we_run(run_python, kind):
    result = run_python(f"KIND = {kind!r}\n{RESHAPED}")
    assert result.returncode == 0 and int(result.stdout) > 0, (result.returncode, result.stderr[-2000:])


def test_eight_bit_floats_are_refused():
    """NumPy calls float8_e5m2 a float ("f"), of one byte: read as a wider one, it would be read past its end."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    eight = [
        getattr(ml_dtypes, name) for name in dir(ml_dtypes) if name.startswith(("float8", "float6", "float4", "int4"))
    ]
    assert eight
    for kind in eight:
        a = np.ones(3, kind)
        with pytest.raises(TypeError, match="input has dtype"):
            fl.mse_loss(a, np.zeros(3))
        with pytest.raises(TypeError, match="weight has dtype"):
            fl.cross_entropy(np.zeros((2, 3)), [0, 1], weight=a)


@pytest.mark.parametrize("huge", [2**63, -(2**63) - 1, 2**70, 10**400], ids=["2^63", "-2^63-1", "2^70", "10^400"])
def test_integers_beyond_64_bits_are_refused_by_name(huge):
    """On the fast path too, and no OverflowError."""
    for logits in (np.zeros((2, 3)), [[0.0, 0.0, 0.0]] * 2):
        with pytest.raises(ValueError, match="ignore_index"):
            fl.cross_entropy(logits, np.zeros(2, int), ignore_index=huge)
    with pytest.raises((ValueError, IndexError), match="class_axis"):
        fl.cross_entropy(np.zeros((2, 3)), np.zeros(2, int), class_axis=huge)


def test_a_parameter_beyond_float64_is_refused_by_name():
    with pytest.raises(ValueError, match="delta"):
        fl.huber_loss([1.0], [0.0], delta=10**400)
    with pytest.raises(ValueError, match="eps"):
        fl.gaussian_nll_loss([1.0], [0.0], [1.0], eps=10**400)


def test_any_number_of_threads_that_is_taken_can_be_used():
    x = np.zeros(1_000_000, np.float32)
    for n in (2**31 - 1, 2**31, 2**40):
        try:
            context = fl.num_threads(n)
        except ValueError:
            continue
        with context:
            assert fl.mse_loss(x, x) == 0
