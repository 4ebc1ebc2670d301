# SPDX-License-Identifier: BSD-3-Clause
"""What may be passed in: any layout, dtype, byte order and array-like; what may not; and no full-size copies."""

from __future__ import annotations

import array
import sys

import numpy as np
import pytest
from cases import CASES, ELEMENTWISE, REDUCTIONS, assert_close, bits
from hypothesis import given
from hypothesis import strategies as st

import fastloss as fl

each_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


def unaligned(a: np.ndarray) -> np.ndarray:
    a = np.asarray(a)
    memory = np.empty(a.nbytes + 1, np.uint8)
    copy = memory[1:].view(a.dtype).reshape(a.shape) if a.size else a
    copy[...] = a
    return copy


def readonly(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


def every_other(a: np.ndarray) -> np.ndarray:
    """A view with gaps along every axis."""
    memory = np.full([2 * n for n in a.shape], 77, a.dtype)
    view = memory[(slice(None, None, 2),) * a.ndim]
    view[...] = a
    return view


def reversed_axes(a: np.ndarray) -> np.ndarray:
    return a[(slice(None, None, -1),) * a.ndim].copy()[(slice(None, None, -1),) * a.ndim]


def record_field(a: np.ndarray) -> np.ndarray:
    """A field of packed records: an odd stride and no alignment."""
    records = np.zeros(a.shape, [("flag", "u1"), ("value", a.dtype)])
    records["value"] = a
    return records["value"]


LAYOUTS = {
    "fortran": np.asfortranarray,
    "swapped axes": lambda a: np.ascontiguousarray(a.swapaxes(0, -1)).swapaxes(0, -1) if a.ndim else a,
    "gaps": every_other,
    "reversed": reversed_axes,
    "unaligned": unaligned,
    "readonly": readonly,
    "record field": record_field,
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned, other byte order": lambda a: unaligned(a.astype(a.dtype.newbyteorder())),
}


@each_case
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_layouts_give_the_same_bits(case, layout, dtype):
    for shape in [(7, 6), (3, 10, 700), (2, 3, 4, 5)]:
        operands = case.operands(shape, dtype)
        laid = {name: LAYOUTS[layout](a) for name, a in operands.items()}
        for reduction in REDUCTIONS:
            expected = case.gradients(operands, reduction=reduction)
            assert bits(case.gradients(laid, reduction=reduction)) == bits(expected), (shape, reduction)


@pytest.mark.parametrize("dtype", ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("single", [True, False])
def test_every_integer_type_is_data(dtype, order, single, rng):
    """Read exactly beside float64, and rounded to float32 beside float32."""
    dtype = np.dtype(dtype).newbyteorder(order)
    info = np.iinfo(dtype) if dtype.kind in "iu" else None
    low, high = (0, 2) if info is None else (info.min, info.max)
    target = rng.integers(low, high, 100, dtype=dtype.newbyteorder("="), endpoint=info is not None).astype(dtype)
    work = np.float32 if single else np.float64
    x = np.zeros(100, work)
    got = fl.l1_loss(x, target, reduction="none")
    np.testing.assert_array_equal(got, np.abs(target.astype(work)))


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_half_precision_number_is_read_exactly(name, order):
    dtype = np.dtype(np.float16) if name == "float16" else np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    every = np.arange(2**16, dtype=np.uint16)
    numbers = every.view(dtype)
    expected = numbers.astype(np.float32)
    if order == ">":
        if name == "bfloat16":
            pytest.skip("NumPy has no byte-swapped bfloat16")
        numbers = numbers.astype(dtype.newbyteorder(">"))
    for step in (1, 3, -1):
        got = fl.l1_loss(numbers[::step], np.float32(0), reduction="none")
        np.testing.assert_array_equal(got, np.abs(expected[::step]))


@each_case
def test_lists_and_nested_tuples(case):
    operands = case.operands((4, 3))
    as_lists = {name: a.tolist() for name, a in operands.items()}
    assert bits(case.gradients(as_lists)) == bits(case.gradients(operands))


def test_python_scalars():
    assert fl.mse_loss(3, 1) == 4 and type(fl.mse_loss(3.0, 1)) is np.float64
    assert fl.l1_loss([1, 2, 3], 1) == 1
    assert fl.mse_loss(np.float32([1, 2]), 1.5, reduction="none").dtype == np.float32


def behind(a: np.ndarray, protocol: str):
    """An object that offers this array by one protocol only."""
    offers = {
        "__array__": {"__array__": lambda self, dtype=None, copy=None: a},
        "__array_interface__": {"__array_interface__": a.__array_interface__},
        "__dlpack__": {
            "__dlpack__": lambda self, **options: a.__dlpack__(**options),
            "__dlpack_device__": lambda self: a.__dlpack_device__(),
        },
    }
    return type("Offer", (), offers[protocol])()


@pytest.mark.parametrize("protocol", ["__array__", "__array_interface__", "__dlpack__"])
def test_array_protocols(protocol, rng):
    x, y = rng.normal(size=(2, 50))
    assert fl.mse_loss(behind(x, protocol), behind(y, protocol)) == fl.mse_loss(x, y)


def test_buffers(rng):
    x, y = rng.normal(size=(2, 50))
    assert fl.mse_loss(memoryview(x), array.array("d", y)) == fl.mse_loss(x, y)


def test_memory_map(tmp_path, rng):
    x, y = rng.normal(size=(2, 50))
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert fl.mse_loss(mapped, y) == fl.mse_loss(x, y)


def test_subclasses_do_not_leak(rng):
    """Results are plain arrays, whatever subclass came in."""

    class Labelled(np.ndarray):
        """As plotting and unit packages define them."""

    x = rng.normal(size=(3, 4)).view(Labelled)
    value, grad = fl.mse_loss(x, np.asarray(x) + 1, reduction="none", return_grad=True)
    assert type(value) is np.ndarray and type(grad) is np.ndarray


def test_torch_tensors(rng):
    torch = pytest.importorskip("torch")
    x, y = rng.normal(size=(2, 6, 5))
    assert fl.mse_loss(torch.tensor(x), torch.tensor(y)) == fl.mse_loss(x, y)
    assert fl.mse_loss(torch.tensor(x).T, torch.tensor(y).T) == fl.mse_loss(x.T, y.T)
    assert fl.cross_entropy(torch.tensor(x), torch.arange(6) % 5) == fl.cross_entropy(x, np.arange(6) % 5)
    with pytest.raises((TypeError, ValueError), match=r"input.*\.detach\(\)"):
        fl.mse_loss(torch.tensor(x, requires_grad=True), y)


def test_torch_bfloat16(rng):
    """Read as it is, or refused by name: never misread."""
    torch = pytest.importorskip("torch")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = rng.normal(size=50).astype(ml_dtypes.bfloat16)
    tensor = torch.tensor(x.astype(np.float32)).to(torch.bfloat16)
    try:
        value = fl.mse_loss(tensor, np.float32(0))
    except TypeError as error:
        assert "input" in str(error) and "bfloat16" in str(error)
    else:
        assert value == fl.mse_loss(x, np.float32(0))


def test_pandas_columns(rng):
    pandas = pytest.importorskip("pandas", reason="reads pandas columns, and pandas is not installed")
    x, y = rng.normal(size=(2, 50))
    frame = pandas.DataFrame({"x": x, "y": y})
    assert fl.mse_loss(frame["x"], frame["y"]) == fl.mse_loss(x, y)


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_columns_of_other_libraries(library, rng):
    """Values, weights of integers, masks; what is null is nan."""
    column = {"polars": lambda m: m.Series, "pyarrow": lambda m: m.array}[library](
        pytest.importorskip(library, reason=f"reads columns of {library}, which is not installed")
    )
    x, y = rng.normal(size=(2, 50))
    weight, mask = rng.integers(0, 5, 50), rng.random(50) < 0.7
    expected = fl.mse_loss(x, y, weight, mask=mask, return_grad=True)
    got = fl.mse_loss(column(x), column(y), column(weight), mask=column(mask), return_grad=True)
    assert bits(got) == bits(expected)
    assert np.isnan(fl.mse_loss(column([1.0, None]), np.zeros(2), reduction="none")).tolist() == [False, True]
    with pytest.raises(TypeError, match=r"^target has dtype"):
        fl.mse_loss(x[:1], column(["a"]))


REFUSED = {
    "object": np.array([1.0, None], object),
    "complex": np.array([1j, 2]),
    "masked": np.ma.masked_array([1.0, 2.0], [True, False]),
    "text": np.array(["a", "b"]),
    "dates": np.array(["2020-01-01", "2020-01-02"], "M8[D]"),
    "records": np.zeros(2, [("a", "f8")]),
    "ragged": [[1.0], [1.0, 2.0]],
    "none": None,
    "string": "12",
    "mapping": {"a": 1},
}


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("name", ["input", "target"])
def test_refused_with_the_arguments_name(backend, kind, name):
    operands = {"input": np.ones(2), "target": np.ones(2), name: REFUSED[kind]}
    with fl.backend(backend), pytest.raises((TypeError, ValueError), match=name):
        fl.mse_loss(**operands)


@pytest.mark.skipif(np.dtype(np.longdouble) == np.float64, reason="no wider float on this machine")
def test_long_double_is_refused():
    with pytest.raises(TypeError, match=r"input.*longdouble|input.*float128|input.*float96"):
        fl.mse_loss(np.ones(3, np.longdouble), np.ones(3))


DTYPES = st.sampled_from(["f2", "f4", "f8", ">f4", ">f8", ">f2", "i1", "u1", "i4", "i8", ">i2", "u2", "?"])


@st.composite
def strided(draw, shape):
    """An array of `shape` as some view: any order of axes, steps of either sign, offsets, broadcast axes."""
    dtype = np.dtype(draw(DTYPES))
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from([1, 1, 2, 3, -1, -2])) for _ in shape]
    constant = [draw(st.booleans()) and draw(st.booleans()) for _ in shape]
    lengths = [1 if c else n * abs(s) for n, s, c in zip(shape, steps, constant, strict=True)]
    memory = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 2 if dtype == "?" else 9, lengths, np.int64)
    memory = np.array(np.asarray(memory).transpose(order), dtype, order="C").transpose(np.argsort(order))
    if draw(st.booleans()):
        memory = unaligned(memory)
    view = memory[tuple(slice(None) if c else slice(None, None, s) for s, c in zip(steps, constant, strict=True))]
    view = view[tuple(slice(0, 1 if c else n) for n, c in zip(shape, constant, strict=True))]
    return np.broadcast_to(view, shape)


SHAPES = st.lists(st.integers(0, 9) | st.sampled_from([16, 17, 40]), max_size=4).map(tuple)


@given(data=st.data(), shape=SHAPES)
def test_any_elementwise_view_gives_the_bits_of_its_copy(data, shape):
    case = data.draw(st.sampled_from([c for c in ELEMENTWISE if not (c.bounds or c.per_sample)]))
    operands = {name: data.draw(strided(a.shape)) for name, a in case.operands(shape).items()}
    copies = {name: a.astype(a.dtype.newbyteorder("="), order="C") for name, a in operands.items()}
    reduction = data.draw(st.sampled_from(REDUCTIONS))
    assert bits(case.gradients(operands, reduction=reduction)) == bits(case.gradients(copies, reduction=reduction))


@given(data=st.data(), shape=st.lists(st.integers(1, 40), min_size=1, max_size=4).map(tuple), axis=st.integers(0, 3))
def test_any_view_of_logits_gives_the_bits_of_its_copy(data, shape, axis):
    axis %= len(shape)
    logits = data.draw(strided(shape))
    where = shape[:axis] + shape[axis + 1 :]
    labels = np.random.default_rng(0).integers(0, shape[axis], where)
    options = {"class_axis": axis, "return_grad": True, "reduction": data.draw(st.sampled_from(REDUCTIONS))}
    copy = logits.astype(logits.dtype.newbyteorder("="), order="C")
    got = fl.cross_entropy(logits, labels, **options)
    assert bits(got) == bits(fl.cross_entropy(copy, labels, **options))
    with fl.backend("reference"):
        assert_close(got[0], fl.cross_entropy(copy, labels, **options)[0], got[1].dtype)


PEAK = """
import sys
import numpy as np
import fastloss as fl

def resident(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key + ":")) * 1024

n = 6000
inputs = {
    "float16": lambda: (np.ones((n, n), np.float16), np.ones((n, n), np.float16)),
    "uint8": lambda: (np.ones((n, n), np.float32), np.ones((n, n), np.uint8)),
    "transposed": lambda: (np.ones((n, n), np.float32).T, np.ones((n, n), np.float32)),
    "byte order": lambda: (np.ones((n, n), ">f4"), np.ones((n, n), np.float32)),
    "broadcast": lambda: (np.ones((n, n), np.float32), np.ones(n, np.float64)),
    "mask": lambda: (np.ones((n, n), np.float32), np.ones((n, n), np.float32)),
}
x, y = inputs[sys.argv[1]]()
mask = {"mask": np.ones((n, n), bool)} if sys.argv[1] == "mask" else {}
fl.mse_loss(x[:2], x[:2])  # start the threads
before = resident("VmRSS")
assert fl.mse_loss(x, y, **mask) == 0
if sys.argv[1] in ("float16", "transposed"):
    fl.cross_entropy(x, np.zeros(n, np.uint8))
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the resident set from /proc")
@pytest.mark.parametrize("kind", ["float16", "uint8", "transposed", "byte order", "broadcast", "mask"])
def test_no_full_size_copy(kind, run_python, tmp_path):
    """The peak of a call stays below 32 MB beyond its inputs, of which a float32 copy would take 144 MB."""
    (tmp_path / "peak.py").write_text(PEAK)
    program = f"import sys, runpy; sys.argv[1:] = [{kind!r}]; runpy.run_path({str(tmp_path / 'peak.py')!r})"
    result = run_python(program)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 32 * 2**20


def test_gradient_only_memory_is_the_gradient(rng):
    """Nothing but the result and the gradient is made of NumPy arrays."""
    import tracemalloc

    x, y = rng.normal(size=(2, 1_000_000)).astype(np.float32)
    fl.mse_loss(x[:10], y[:10], return_grad=True)
    tracemalloc.start()
    try:
        fl.mse_loss(x, y, return_grad=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < x.nbytes + 2**20
