# SPDX-License-Identifier: BSD-3-Clause
"""Token quantities: against the reference, mpmath and a stable sort, over layouts, masks, lengths and hostile input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from cases import assert_close, bits
from test_errors import refusal

import fastloss as fl

inf, nan = math.inf, math.nan

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# (shape, class axis): one row, rows done one by one and lanes over rows, tiles and blocks of each, a class axis inside.
LAYOUTS = [
    *(((n,), -1) for n in (1, 2, 17, 64, 65, 1030)),
    *(((n, c), -1) for n in (1, 15, 16, 17, 300) for c in (1, 2, 10, 16, 17, 33, 64)),
    *(((n, c), -1) for n in (1, 3, 40) for c in (65, 100, 1024, 1025, 5000)),
    *(((3, c, n), 1) for c in (1, 2, 17, 40, 65) for n in (1, 15, 16, 300)),
    *(((4, 6, 70), 2), ((4, 6, 70), 0), ((2, 3, 65, 33), -2), ((5, 2, 3, 4), 1)),
]
PER_POSITION = ("logsumexp", "entropy")


def draw(shape: tuple[int, ...], axis: int, dtype: Any, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Two sets of logits and targets."""
    rng = np.random.default_rng([seed, *shape])
    x, y = (rng.normal(0, 4, shape).astype(dtype) for _ in range(2))
    positions = np.moveaxis(x, axis, -1).shape[:-1]
    return x, y, np.asarray(rng.integers(0, shape[axis], positions))


def everything(x: Any, y: Any, target: Any, k: int = 3, **options: Any) -> dict[str, Any]:
    """All quantities of one set of operands."""
    axis = options.get("class_axis", -1)
    values, indices = fl.topk_log_probs(x, min(k, x.shape[axis]), **options)
    return {
        "token_log_probs": fl.token_log_probs(x, target, **options),
        "logsumexp": fl.logsumexp(x, **options),
        "entropy": fl.entropy(x, **options),
        "kl_div_logits": fl.kl_div_logits(x, y, **options),
        "topk values": values,
        "topk indices": indices,
        "perplexity": fl.perplexity(x, target, **options),
        "bits_per_byte": fl.bits_per_byte(x, target, 77, **options),
    }


def against_reference(x: Any, y: Any, target: Any, **options: Any) -> dict[str, Any]:
    found = everything(x, y, target, **options)
    with fl.backend("reference"):
        expected = everything(x, y, target, **options)
    for name, value in found.items():
        assert np.shape(value) == np.shape(expected[name]) and type(value) is type(expected[name]), name
        assert np.asarray(value).dtype == np.asarray(expected[name]).dtype, name
        if name == "topk indices":
            np.testing.assert_array_equal(value, expected[name])
        else:
            assert_close(value, expected[name], x.dtype, name)
    return found


@each_dtype
@pytest.mark.parametrize(("shape", "axis"), LAYOUTS, ids=str)
def test_every_layout(dtype, shape, axis):
    x, y, target = draw(shape, axis, dtype)
    found = against_reference(x, y, target, class_axis=axis)
    for name in ("token_log_probs", "logsumexp", "entropy", "kl_div_logits"):
        assert np.asarray(found[name]).dtype == dtype and np.shape(found[name]) == target.shape, name
    wanted = list(x.shape)
    wanted[axis] = min(3, x.shape[axis])
    assert found["topk values"].shape == tuple(wanted) and found["topk indices"].dtype == np.int64
    assert type(found["perplexity"]) is type(found["bits_per_byte"]) is np.float64


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", ">f4", ">f8", "int8", "uint16", "int64", "bool"])
def test_dtypes_are_read_as_they_are(dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    for shape in ((40, 10), (7, 300)):
        x, y, target = draw(shape, -1, np.float64)
        x, y = (np.abs(a).astype(dtype) if np.dtype(dtype).kind in "biu" else a.astype(dtype) for a in (x, y))
        work = np.float64 if np.dtype(dtype).kind in "biu" or np.dtype(dtype).itemsize == 8 else np.float32
        expected = everything(x.astype(work), y.astype(work), target)
        for name, value in everything(x, y, target).items():
            assert bits(value) == bits(expected[name]), name


def test_lists_are_welcome():
    assert fl.logsumexp([0.0, 0.0]) == np.log(2.0) and type(fl.entropy([[0.0]])[0]) is np.float64
    assert type(fl.logsumexp(np.zeros(3, np.float32))) is np.float32


@each_dtype
@pytest.mark.parametrize("shape", [(50, 10), (6, 700), (3, 20, 90)], ids=str)
def test_threads_strides_and_alignment_do_not_show(dtype, shape):
    x, y, target = draw(shape, -1, dtype)
    expected = {name: bits(value) for name, value in everything(x, y, target).items()}
    swapped = np.swapaxes(np.ascontiguousarray(np.swapaxes(x, 0, -1)), 0, -1)
    gaps = np.repeat(x, 2, axis=-1)[..., ::2]
    memory = np.empty(x.nbytes + 1, np.uint8)
    unaligned = memory[1:].view(np.uint8).reshape(-1)
    unaligned[:] = np.frombuffer(x.tobytes(), np.uint8)
    for variant in (swapped, gaps, x[::-1, ...][::-1, ...], unaligned.view(dtype).reshape(shape)):
        found = everything(variant, np.asfortranarray(y), target)
        assert {name: bits(value) for name, value in found.items()} == expected


@each_dtype
def test_thread_counts(dtype):
    for shape, axis in (((3000, 40), -1), ((300, 1100), -1), ((4, 30, 3000), 1)):
        x, y, target = draw(shape, axis, dtype)
        with fl.num_threads(1):
            expected = {name: bits(value) for name, value in everything(x, y, target, class_axis=axis).items()}
        for n in (2, 3, 7):
            with fl.num_threads(n):
                found = everything(x, y, target, class_axis=axis)
            assert {name: bits(value) for name, value in found.items()} == expected, n


DIGEST = """
import hashlib, numpy as np
from cases import bits
from test_tokens import draw, everything
digest = hashlib.sha256()
for shape, axis in (((300, 17), -1), ((20, 1030), -1), ((3, 40, 50), 1)):
    for dtype in (np.float32, np.float64):
        for value in everything(*draw(shape, axis, dtype), class_axis=axis).values():
            digest.update(bits(value))
print(digest.hexdigest())
"""


def test_equal_bits_on_every_isa_with_fused_multiply_add(run_python):
    fused = [n for n, s in fl.isas().items() if s["compiled"] and s["supported"] and n != "baseline"]
    found = {isa: run_python(DIGEST, FASTLOSS_ISA=isa) for isa in fused}
    assert all(result.returncode == 0 for result in found.values()), found
    assert len({result.stdout for result in found.values()}) <= 1


def test_the_baseline_answers_too(run_python):
    result = run_python(
        "from test_tokens import *\nfor layout in LAYOUTS[::3]:\n"
        "    for dtype in (np.float32, np.float64): against_reference(*draw(*layout, dtype), class_axis=layout[1])",
        FASTLOSS_ISA=next(iter(fl.isas())),
    )
    assert result.returncode == 0, result.stderr


# ---- what is left out ------------------------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("classes", [5, 100])
def test_masks_lengths_and_ignored_labels(dtype, classes, rng):
    """Left out: 0 (index -1), whatever stands there; and the rest as if it were alone."""
    x, y, target = draw((4, 6, classes), -1, dtype)
    lengths = np.array([6, 0, 3, 5], np.uint8)
    mask = rng.random((4, 6)) < 0.7
    counted = mask & (np.arange(6) < lengths[:, None])
    x[~counted], y[~counted], target[~counted] = nan, nan, 10_000
    options = {"mask": mask, "lengths": lengths}
    found = against_reference(x, y, target, **options)
    alone = everything(x[counted], y[counted], target[counted])
    for name in ("token_log_probs", "logsumexp", "entropy", "kl_div_logits", "topk values", "topk indices"):
        assert bits(found[name][counted]) == bits(alone[name]), name
        assert (found[name][~counted] == (-1 if name == "topk indices" else 0)).all(), name
    assert found["perplexity"] == pytest.approx(alone["perplexity"], rel=1e-6)
    assert found["bits_per_byte"] == pytest.approx(alone["bits_per_byte"], rel=1e-6)
    ignored = np.where(counted, target, -7)
    assert bits(fl.token_log_probs(x, ignored, ignore_index=-7)) == bits(found["token_log_probs"])
    assert fl.perplexity(x, ignored, ignore_index=-7) == found["perplexity"]


def test_lengths_of_other_shapes(rng):
    x = rng.normal(size=(3, 7, 4, 5))  # classes on axis 1: positions (3, 4, 5)
    lengths = rng.integers(0, 6, (3, 4))
    found = fl.entropy(x, class_axis=1, lengths=lengths)
    assert bits(found == 0) == bits(np.arange(5) >= lengths[..., None])
    assert fl.entropy(x[0, :, 0].T, lengths=2).tolist()[2:] == [0, 0, 0]


def test_nothing_counts():
    for shape in ((0, 5), (3, 0, 5)):
        x, target = np.zeros(shape), np.zeros(shape[:-1], int)
        assert fl.entropy(x).shape == target.shape and fl.topk_log_probs(x, 2)[1].shape == (*target.shape, 2)
        assert math.isnan(fl.perplexity(x, target)) and math.isnan(fl.bits_per_byte(x, target, 0))
    x, target = np.zeros((3, 5)), np.full(3, -100)
    assert math.isnan(fl.perplexity(x, target)) and fl.bits_per_byte(x, target, 9) == 0
    assert fl.token_log_probs(x, target).tolist() == [0, 0, 0]
    for backend in ("native", "reference"):
        with fl.backend(backend):
            assert fl.logsumexp(np.zeros((2, 0))).tolist() == [-inf, -inf]
            assert np.isnan(fl.entropy(np.zeros((2, 0)))).all()


def test_perplexity_and_bits_per_byte(rng):
    x = np.zeros((2, 3, 8))
    target = rng.integers(0, 8, (2, 3))
    assert fl.perplexity(x, target) == pytest.approx(8, rel=1e-14)
    assert fl.bits_per_byte(x, target, 6) == pytest.approx(3, rel=1e-14)
    per_token = np.array([[1, 2, 3], [4, 5, 6]])
    assert fl.bits_per_byte(x, target, per_token) == pytest.approx(18 / 21, rel=1e-14)
    assert fl.bits_per_byte(x, target, per_token, lengths=[1, 2]) == pytest.approx(9 / 10, rel=1e-14)
    assert fl.bits_per_byte(x, np.where(per_token > 3, -100, target), per_token) == pytest.approx(9 / 6, rel=1e-14)
    assert fl.perplexity([[0.0, 2000.0]], [0]) == inf
    assert fl.bits_per_byte(x, target, 0) == inf


def test_out_is_written(rng):
    x, y, target = draw((4, 5, 20), -1, np.float32)
    out = np.empty((4, 5), np.float32)
    for call in (
        lambda **o: fl.logsumexp(x, **o),
        lambda **o: fl.entropy(x, **o),
        lambda **o: fl.token_log_probs(x, target, **o),
        lambda **o: fl.kl_div_logits(x, y, **o),
    ):
        assert call(out=out) is out and bits(out) == bits(call())


# ---- refusals --------------------------------------------------------------------------------------------------------

x45 = np.ones((2, 4, 5))
t4 = np.zeros((2, 4), int)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fl.logsumexp(1.0), ["logits has shape ()"]),
        (lambda: fl.entropy(x45, class_axis=3), ["class_axis = 3 is out of range for logits of shape (2, 4, 5)"]),
        (lambda: fl.entropy(x45, mask=np.ones((4, 2), bool)), ["mask", "(4, 2)", "(2, 4)"]),
        (lambda: fl.entropy(x45, lengths=[1, 2, 3]), ["lengths has shape (3,)", "(2,)"]),
        (lambda: fl.entropy(x45, lengths=[4, 5]), ["lengths[1] = 5 is out of range for 4 positions"]),
        (lambda: fl.entropy(x45, lengths=[-1, 4]), ["lengths[0] = -1 is out of range"]),
        (lambda: fl.entropy(np.ones(4), lengths=1), ["lengths", "one row"]),
        (lambda: fl.topk_log_probs(x45, 0), ["k = 0 is out of range for 5 classes"]),
        (lambda: fl.topk_log_probs(x45, 6), ["k = 6 is out of range for 5 classes"]),
        (lambda: fl.kl_div_logits(x45, x45[..., :4]), ["q_logits has shape (2, 4, 4)", "(2, 4, 5)"]),
        (lambda: fl.token_log_probs(x45, t4 + 5), ["target[0, 0] = 5 is out of range for 5 classes"]),
        (lambda: fl.perplexity(x45, np.where(np.eye(2, 4) > 0, -3, 0)), ["target[0, 0] = -3 is out of range"]),
        (lambda: fl.token_log_probs(x45, t4[0]), ["target has shape (4,)", "(2, 4)"]),
        (lambda: fl.token_log_probs(x45, t4, ignore_index=2**63), ["ignore_index", "64 bits"]),
        (lambda: fl.bits_per_byte(x45, t4, [1, 2]), ["n_bytes has shape (2,)", "(2, 4)"]),
        (lambda: fl.bits_per_byte(x45, t4, -1), ["n_bytes = -1 is negative"]),
        (lambda: fl.logsumexp(x45, out=np.empty(3)), ["out has shape (3,)", "(2, 4)"]),
        (lambda: fl.token_log_probs(x45, t4, out=np.empty((2, 5))[:, :4]), ["out must be C-contiguous"]),
    ],
)
def test_refused_values(call, words):
    message = refusal(call)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fl.logsumexp("text"), ["logits has dtype", "expected"]),
        (lambda: fl.kl_div_logits(x45, x45 + 1j), ["q_logits has dtype complex128"]),
        (lambda: fl.token_log_probs(x45, t4 * 1.0), ["target has dtype float64", "integer"]),
        (lambda: fl.entropy(x45, mask=np.ones((2, 4))), ["mask has dtype float64", "bool"]),
        (lambda: fl.entropy(x45, lengths=[1.0, 2.0]), ["lengths has dtype float64", "integers"]),
        (lambda: fl.topk_log_probs(x45, 2.0), ["k must be an integer", "float"]),
        (lambda: fl.bits_per_byte(x45, t4, 2.5), ["n_bytes has dtype float64", "integers"]),
        (lambda: fl.entropy(x45, class_axis="last"), ["class_axis must be an integer"]),
        (lambda: fl.logsumexp(x45, out=np.empty((2, 4), np.float32)), ["out has dtype float32", "float64"]),
    ],
)
def test_refused_types(call, words):
    message = refusal(call, TypeError)
    assert all(word in message for word in words), message


def test_nothing_is_written_after_a_bad_label(rng):
    x, target = rng.normal(size=(5000, 7)), rng.integers(0, 7, 5000)
    target[4999] = 7
    out = np.full(5000, 3.0)
    assert "target[4999] = 7" in refusal(lambda: fl.token_log_probs(x, target, out=out))
    assert (out == 3.0).all()


@pytest.mark.parametrize("dtype", ["i1", "u1", ">i2", "u4", "i8", "u8"])
def test_any_integer_target(dtype):
    x, _, target = draw((50, 100), -1, np.float32)
    assert bits(fl.token_log_probs(x, target.astype(dtype))) == bits(fl.token_log_probs(x, target))


FENCED = """
import numpy as np
from cases import bits
from guard import LAYOUTS, SIDES, Yard
from test_tokens import draw, everything

for shape, axis in (((17, 3), -1), ((16, 16), -1), ((3, 65), -1), ((2, 1025), -1), ((2, 3, 17), 1), ((1, 70, 9), 1)):
    for dtype in (np.float32, np.float64, np.float16):
        x, y, target = draw(shape, axis, dtype)
        mask = np.asarray(target % 5 > 0)
        expected = {name: bits(value) for name, value in everything(x, y, target, class_axis=axis, mask=mask).items()}
        for name, layout in LAYOUTS.items():
            for side in SIDES:
                print(shape, np.dtype(dtype), name, side, flush=True)
                yard = Yard(layout, side)
                inside = [yard.put(str(k), a) for k, a in enumerate((x, y, target, mask))]
                found = everything(*inside[:3], class_axis=axis, mask=inside[3])
                assert {name: bits(value) for name, value in found.items()} == expected
print("done")
"""


def test_kernels_stay_within_their_arrays(run_python):
    result = run_python(FENCED)
    assert result.stdout.endswith("done\n"), (result.stdout[-200:], result.stderr[-1000:])


MAPPED = """
import resource, sys
import numpy as np
import fastloss as fl

def data():  # private writable memory; pages of a mapped file are no part of it
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmData:")) * 1024

x = np.memmap(sys.argv[1], np.float32, "w+", shape=(64, 200_000))  # a sparse file: its pages read as zeros
target = np.zeros(64, np.uint8)
fl.mse_loss(np.zeros((999, 99), np.float32), 0.0)  # start the threads
soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
resource.setrlimit(resource.RLIMIT_DATA, (data() + 16 * 2**20, hard))
for value in (fl.logsumexp(x), fl.entropy(x), -fl.token_log_probs(x, target), -fl.topk_log_probs(x, 1)[0]):
    assert np.allclose(value, np.log(200_000))
assert not fl.kl_div_logits(x, x).any() and abs(fl.perplexity(x, target) - 200_000) < 0.1
try:
    x + 1
except MemoryError:
    print("a copy is refused")
"""


@pytest.mark.skipif("sys.platform != 'linux'", reason="limits private memory only, as Linux does")
def test_memory_is_that_of_the_result(run_python, tmp_path):
    """With 16 MB to spare, 51 MB of logits are read."""
    result = run_python(f"import sys; sys.argv[1:] = [{str(tmp_path / 'x')!r}]\n{MAPPED}", OPENBLAS_NUM_THREADS="1")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "a copy is refused\n"
