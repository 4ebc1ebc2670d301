# SPDX-License-Identifier: BSD-3-Clause
"""Calls that once went wrong, or nearly: huge and tiny scales and options, odd types, odd memory, long single units."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import pytest

import fastloss as fl

F4 = np.float32
HUGE = F4(2e38)


@pytest.fixture(params=["native", "reference"])
def each_backend(request):
    if request.param == "native":
        pytest.importorskip("fastloss._native", reason="needs the compiled extension")
    with fl.backend(request.param):
        yield request.param


# ---- sums beyond float32 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [16, 64, 1000, 5000])
@pytest.mark.usefixtures("each_backend")
def test_a_sum_of_huge_floats_does_not_overflow(n):
    """No partial sum of elements or weights may be float32."""
    x = np.full(n, HUGE)
    assert fl.l1_loss(x, F4(0)) == pytest.approx(2e38, rel=1e-7)
    assert fl.l1_loss(-x, F4(0), reduction="sum") == pytest.approx(float(HUGE) * n, rel=1e-12)
    assert fl.l1_loss(np.full(n, F4(0.5)), F4(0), x) == pytest.approx(0.5, rel=1e-7)
    labels = np.zeros(n, np.int64)
    value = fl.cross_entropy(np.zeros((n, 2), F4), labels, np.full(2, HUGE))
    assert value == pytest.approx(np.log(2), rel=1e-7)


@pytest.mark.usefixtures("each_backend")
def test_a_broadcast_gradient_of_huge_terms_does_not_overflow_on_the_way():
    x = np.where(np.arange(64) % 2 == 0, HUGE, -HUGE).astype(F4)
    g = np.where(np.arange(64) < 32, HUGE, -HUGE).astype(F4)
    _, (_, grad) = fl.gaussian_nll_loss(x * 0, x * 0, F4(0.5), reduction="none", return_grad=True, grad_output=g)
    assert grad == 0  # the terms cancel, partial sums of 32 of them do not fit in float32


# ---- the working type ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", ["target", "weight"])
@pytest.mark.usefixtures("each_backend")
def test_a_numpy_double_decides_the_working_type_and_a_python_float_does_not(position):
    x = np.ones(20, F4)
    for number, expected in ((np.float64(0.1), np.float64), (0.1, np.float32), (F4(0.1), np.float32)):
        operands = {"target": 0, position: number}
        value, grad = fl.mse_loss(x, **operands, reduction="none", return_grad=True)
        assert value.dtype == grad.dtype == expected, type(number)


@pytest.mark.parametrize("n", [1, 100, 5000])
@pytest.mark.usefixtures("each_backend")
def test_narrow_weights_of_a_wide_job_are_summed_in_its_type(n, rng):
    x, y = rng.normal(size=(2, n))
    weight = rng.uniform(0.1, 2, n).astype(F4)
    wide = weight.astype(np.float64)
    expected = np.sum((x - y) ** 2 * wide) / np.sum(wide)
    assert fl.mse_loss(x, y, weight) == pytest.approx(expected, rel=1e-14)
    logits, labels = rng.normal(size=(n, 3)), rng.integers(0, 3, n)
    few = np.array([0.1, 0.7, 1.3], F4)
    expected = fl.cross_entropy(logits, labels, few.astype(np.float64))
    assert fl.cross_entropy(logits, labels, few) == pytest.approx(expected, rel=1e-14)


# ---- scales and options beyond the working type ----------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "var"), [(np.float32, 5e-39), (np.float64, 5e-309)])
@pytest.mark.parametrize("deviations", [0.0, 0.5, 1.5])
def test_gradient_of_a_subnormal_variance(dtype, var, deviations):
    pytest.importorskip("fastloss._native", reason="needs the compiled extension")
    var = np.array([var], dtype)
    x = (deviations * np.sqrt(var)).astype(dtype)
    wider = np.float64 if dtype == np.float32 else np.longdouble  # holds all that leads to the results
    if np.finfo(wider).maxexp <= np.finfo(dtype).maxexp:
        pytest.skip("this platform's long double has no wider exponent")
    d, v = x.astype(wider), var.astype(wider)
    expected = [(d / v).astype(dtype), ((1 - d * d / v) / v / 2).astype(dtype)]
    for backend in ("native", "reference"):
        with fl.backend(backend):
            value, grads = fl.gaussian_nll_loss(x, dtype(0), var, eps=0.0, reduction="none", return_grad=True)
        assert np.isfinite(value).all(), backend
        for grad, known in zip(grads, expected, strict=True):
            np.testing.assert_allclose(grad, known, rtol=8 * np.finfo(dtype).eps, err_msg=backend)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_powers_of_tweedie_that_overflow_where_results_do_not(dtype):
    """A power of a subnormal mean; the smallest target beside a huge power."""
    pytest.importorskip("fastloss._native", reason="needs the compiled extension")
    mpmath = pytest.importorskip("mpmath", reason="exact results need mpmath")
    least, largest = np.finfo(dtype).smallest_subnormal, float(np.finfo(dtype).max)
    mean, y = least * dtype(5e4), least * dtype(1e5)
    for power in (1.1, 1.9, 2.0):
        options = {"power": power, "log_input": False, "reduction": "none", "return_grad": True}
        _, grad = fl.tweedie_nll_loss(np.full(3, mean), y, **options)
        exact = mpmath.mpf(float(mean)) ** -float(dtype(power)) * (float(mean) - mpmath.mpf(float(y)))
        np.testing.assert_allclose(grad, float(exact) if exact > -largest else -np.inf, rtol=1e-6)
    value = fl.tweedie_nll_loss(np.full(3, -1e4, dtype), least, power=3.0, reduction="none")
    assert value.tolist() == [np.inf] * 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("power", [1.001, 1.25, 1.5, 1.999])
def test_gradients_of_tweedie_whose_means_are_no_numbers(dtype, power):
    """Means beyond what a number holds beside targets of any size: none, subnormal, near the mean, the largest."""
    pytest.importorskip("fastloss._native", reason="needs the compiled extension")
    mpmath = pytest.importorskip("mpmath", reason="exact results need mpmath")
    info, p = np.finfo(dtype), float(dtype(power))
    reach = float(np.log(np.float64(info.max)))
    with np.errstate(all="ignore"):
        x = np.concatenate([np.linspace(-2, 2, 41) * reach, [-1e-3, 1e-30]]).astype(dtype)
        near = np.exp(x.astype(np.longdouble)).astype(dtype)
    targets = [
        dtype(0),
        info.smallest_subnormal,
        dtype(3) * info.smallest_subnormal,
        dtype(8) * info.tiny,
        dtype(1),
        info.max,
    ]
    x = np.tile(x, len(targets) + 1)
    y = np.concatenate([*(np.full(near.size, t) for t in targets), np.minimum(near, info.max)]).astype(dtype)
    grad = fl.tweedie_nll_loss(x, y, power=power, reduction="sum", return_grad=True)[1]
    with mpmath.workprec(300), np.errstate(over="ignore"):
        for mean, target, found in zip(x, y, grad, strict=True):
            u, v = mpmath.mpf(float(mean)), mpmath.mpf(float(target))
            first, second = mpmath.exp((2 - p) * u), v * mpmath.exp((1 - p) * u)
            exact, half_ulp = first - second, float(np.spacing(abs(mean))) / 2
            if abs(exact) > float(info.max):
                assert np.isinf(found) and (found > 0) == (exact > 0), (mean, target)
                continue
            if 0 < target < info.tiny and (p - 1) * abs(mean) > 1.9 * reach:
                continue  # r_exp_product says so
            moved = abs((2 - p) * first - (1 - p) * second) * half_ulp
            moved += abs(second / v) * float(np.spacing(min(target, info.max / 2))) / 2 if target else 0
            bound = 4 * float(np.spacing(dtype(abs(float(exact))))) + 2 * moved
            assert abs(float(found) - exact) <= bound, (mean, target, found, exact)


@pytest.mark.parametrize(("dtype", "x"), [(np.float32, 25.413753509521484), (np.float64, 202.9)])
def test_terms_of_tweedie_that_overflow_where_their_difference_does_not(dtype, x):
    pytest.importorskip("fastloss._native", reason="needs the compiled extension")
    mpmath = pytest.importorskip("mpmath", reason="exact results need mpmath")
    x, power = float(dtype(x)), -1.5
    y = float(dtype(float(mpmath.exp(x) * 0.4)))  # gradient: 0.6 of the first term
    first, second = mpmath.exp((2 - power) * x), y * mpmath.exp((1 - power) * x)
    assert first > float(np.finfo(dtype).max) > first - second
    options = {"power": power, "reduction": "none", "return_grad": True}
    value, grad = fl.tweedie_nll_loss(np.full(3, x, dtype), np.full(3, y, dtype), **options)
    np.testing.assert_allclose(grad, float(first - second), rtol=1e-4 if dtype == np.float32 else 1e-12)
    exact = float(first / (2 - power) - second / (1 - power))
    np.testing.assert_allclose(value, exact, rtol=1e-4 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.usefixtures("each_backend")
def test_root_mean_squares_without_a_reciprocal(dtype):
    for size in (np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max / 2):
        value, grad = fl.rmse_loss(np.full(4, size, dtype), dtype(0), return_grad=True)
        assert value == pytest.approx(float(size), rel=1e-6) and grad.tolist() == [0.25] * 4


@pytest.mark.usefixtures("each_backend")
def test_weights_whose_sum_is_beyond_float32():
    n = 1_000_000
    value, grad = fl.mse_loss(np.full(n, 1.5, F4), F4(0), np.full(n, 1e37, F4), return_grad=True)
    assert value == pytest.approx(2.25, rel=1e-7)
    np.testing.assert_allclose(grad, 3e-6, rtol=1e-6)


@pytest.mark.parametrize("n", [1, 40, 5000])
@pytest.mark.usefixtures("each_backend")
def test_grad_output_beyond_float32(n):
    """The gradient itself is an ordinary number."""
    _, grad = fl.mse_loss(np.full(n, 1e-10, F4), F4(0), reduction="sum", return_grad=True, grad_output=1e45)
    np.testing.assert_allclose(grad, 2e35, rtol=1e-6)
    _, grad = fl.mse_loss(
        np.ones(n, F4), F4(0), np.full(n, 1e30, F4), reduction="sum", return_grad=True, grad_output=1e-44
    )
    np.testing.assert_allclose(grad, 2e-14, rtol=1e-6)
    logits, labels = np.zeros((n, 2), F4), np.zeros(n, np.int64)
    _, grad = fl.cross_entropy(
        logits, labels, np.full(2, 1e30, F4), reduction="sum", return_grad=True, grad_output=1e-44
    )
    np.testing.assert_allclose(grad, [[-5e-15, 5e-15]] * n, rtol=1e-6)


def test_a_scale_below_the_floats_beside_all_parameters():
    """The scale stands behind the parameters, of which this loss has as many as there is room for."""
    rng = np.random.default_rng(0)
    new, old = F4(rng.normal(0, 0.01, (2, 40)))
    large = F4(rng.normal(0, 1e30, 40))
    _, grad = fl.ppo_loss(new, old, large, reduction="sum", return_grad=True, grad_output=1e-43)
    with fl.backend("reference"):
        _, expected = fl.ppo_loss(new, old, large, reduction="sum", return_grad=True, grad_output=1e-43)
    assert expected.all()
    np.testing.assert_allclose(grad, expected, rtol=16 * np.finfo(F4).eps)


@pytest.mark.usefixtures("each_backend")
def test_weights_whose_reciprocal_is_beyond_float32():
    value, grad = fl.l1_loss(F4([1, 2]), F4([0, 2]), F4([1e-42] * 2), return_grad=True)
    assert value == 0.5 and grad.tolist() == [0.5, 0]


@pytest.mark.parametrize("shape", [(2, 2), (40, 7), (3, 5, 30), (4, 1030)])
@pytest.mark.usefixtures("each_backend")
def test_class_weights_whose_reciprocal_is_beyond_float32(shape, rng):
    """Equal weights cancel in the gradient of the mean, tiny as they are."""
    x, labels = rng.normal(size=shape).astype(F4), rng.integers(0, shape[1], (shape[0], *shape[2:]))
    _, expected = fl.cross_entropy(x, labels, return_grad=True)
    value, grad = fl.cross_entropy(x, labels, np.full(shape[1], 1e-42, F4), return_grad=True)
    np.testing.assert_allclose(grad, expected, rtol=1e-5)
    assert value == pytest.approx(fl.cross_entropy(x, labels), rel=1e-3)  # each element is rounded to a subnormal


@pytest.mark.parametrize("delta", [1e-60, 1e-46, 1e-44])
def test_a_tiny_delta_stays_positive(delta):
    pytest.importorskip("fastloss._native", reason="needs the compiled extension")
    x = F4([1, -1, 3e38, 1e-30, 0, np.inf])
    value, grad = fl.huber_loss(x, F4(0), delta=delta, reduction="none", return_grad=True)
    with fl.backend("reference"):
        expected, expected_grad = fl.huber_loss(x, F4(0), delta=delta, reduction="none", return_grad=True)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_array_equal(grad, expected_grad)
    assert value[0] > 0 and grad[0] > 0 and grad[1] < 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.usefixtures("each_backend")
def test_an_infinite_delta_at_an_infinite_distance(dtype):
    x = np.array([np.inf, -np.inf, 2], dtype)
    value, grad = fl.huber_loss(x, dtype(0), delta=np.inf, reduction="none", return_grad=True)
    assert value.tolist() == [np.inf, np.inf, 2] and grad.tolist() == [np.inf, -np.inf, 2]


# ---- kinds of errors -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("each_backend")
def test_integers_that_no_machine_number_holds():
    with pytest.raises(ValueError, match="ignore_index"):
        fl.cross_entropy(np.zeros((2, 3)), np.zeros(2, int), ignore_index=2**70)
    with pytest.raises(ValueError, match="delta"):
        fl.huber_loss(np.zeros(2), 0.0, delta=10**400)
    with pytest.raises(ValueError, match="eps"):
        fl.gaussian_nll_loss(np.zeros(2), 0.0, 1.0, eps=10**400)


def test_more_threads_than_an_int_holds():
    try:
        fl.set_num_threads(2**40)
        assert fl.mse_loss(np.ones(1_000_000, F4), F4(0)) == 1
    finally:
        fl.set_num_threads(None)


@pytest.mark.usefixtures("each_backend")
def test_a_numpy_bool_is_a_bool():
    with_constant = fl.gaussian_nll_loss([0.0], 0.0, 1.0, full=np.True_)
    assert with_constant == fl.gaussian_nll_loss([0.0], 0.0, 1.0, full=True)
    value, grad = fl.l1_loss([1.0], 0.0, return_grad=np.True_)
    assert (value, grad.tolist()) == (1, [1])


@pytest.mark.parametrize("name", ["float8_e5m2", "float8_e4m3fn", "longdouble"])
@pytest.mark.parametrize("position", ["input", "target", "weight"])
@pytest.mark.usefixtures("each_backend")
def test_floats_that_no_kernel_reads_are_refused_by_name(name, position):
    kind = np.longdouble if name == "longdouble" else getattr(pytest.importorskip("ml_dtypes"), name)
    operands = {"input": np.ones(3), "target": np.ones(3), "weight": np.ones(3), position: np.ones(3, kind)}
    with pytest.raises(TypeError, match=f"^{position} has dtype"):
        fl.mse_loss(**operands)


class Refusing:
    def __init__(self, error):
        self.error = error

    def __array__(self, *_, **__):
        raise self.error


@pytest.mark.parametrize("kind", [ValueError, TypeError, RuntimeError, KeyError, OSError, ZeroDivisionError])
@pytest.mark.parametrize("position", ["input", "target", "weight"])
@pytest.mark.usefixtures("each_backend")
def test_whatever_an_objects_own_conversion_raises_names_the_argument(kind, position):
    error = kind("not today")
    operands = {"input": np.ones(3), "target": np.ones(3), "weight": np.ones(3), position: Refusing(error)}
    with pytest.raises(TypeError, match=rf"^{position} cannot be read as an array: .*not today") as caught:
        fl.mse_loss(**operands)
    assert caught.value.__cause__ is error


@pytest.mark.usefixtures("each_backend")
def test_a_torch_tensor_that_is_a_negative_view():
    torch = pytest.importorskip("torch")
    negative = torch.ones(3, dtype=torch.complex64).conj().imag
    assert negative.is_neg()
    with pytest.raises(TypeError, match=r"^target cannot be read as an array"):
        fl.mse_loss(np.ones(3), negative)


# ---- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("each_backend")
def test_outputs_in_the_same_memory_as_the_input():
    """Apart in one array is fine; one element in common is not, and leaves everything as it was."""
    base = np.arange(100.0)
    value, grad = fl.mse_loss(base[:30], 0.0, reduction="none", out=base[30:60], return_grad=True, grad_out=base[60:90])
    assert value is not None and np.array_equal(base[30:60], np.arange(30.0) ** 2)
    assert np.shares_memory(value, base) and np.array_equal(grad, 2 * np.arange(30.0))
    before = base.copy()
    for out in (base[:30], base[29:59]):
        with pytest.raises(ValueError, match=r"^out overlaps"):
            fl.mse_loss(base[:30], 0.0, reduction="none", out=out)
    with pytest.raises(ValueError, match=r"^grad_out overlaps"):
        fl.mse_loss(base[:30], 0.0, reduction="none", out=base[30:60], return_grad=True, grad_out=base[59:89])
    with pytest.raises(ValueError, match=r"^out overlaps"):
        fl.mse_loss(base[0:60:2], 0.0, reduction="none", out=base[30:60])
    assert np.array_equal(base, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [3, 40])
@pytest.mark.usefixtures("each_backend")
def test_class_weights_at_an_odd_address(dtype, classes, rng):
    weight = np.zeros(classes * np.dtype(dtype).itemsize + 1, np.uint8)[1:].view(dtype)
    weight[:] = rng.uniform(0.1, 2, classes)
    assert not weight.flags.aligned
    x, labels = rng.normal(size=(50, classes)).astype(dtype), rng.integers(0, classes, 50)
    value, grad = fl.cross_entropy(x, labels, weight, return_grad=True)
    expected, expected_grad = fl.cross_entropy(x, labels, weight.copy(), return_grad=True)
    assert value == expected and np.array_equal(grad, expected_grad)


# ---- other threads ---------------------------------------------------------------------------------------------------


def test_one_long_unit_runs_without_the_interpreter():
    """A call that is a single unit of work: another Python thread goes on meanwhile.

    Were the interpreter held, the main thread could wake a few times around the call, but not ten times in it.
    """
    pytest.importorskip("fastloss._native", reason="needs the compiled extension")
    x, labels = np.zeros((1, 1_200_000, 64), F4), np.zeros((1, 64), np.int64)
    best = 0
    for _ in range(10):  # a busy machine may keep the main thread from waking
        running, done = threading.Event(), threading.Event()

        def work(running=running, done=done):
            running.set()
            with fl.num_threads(1):
                fl.cross_entropy(x, labels)
            done.set()

        worker = threading.Thread(target=work)
        worker.start()
        running.wait()
        ticks = 0
        while not done.is_set():
            time.sleep(0.001)
            ticks += 1
        worker.join()
        best = max(best, ticks)
        if best >= 10:
            break
    assert best >= 10, (best, sys.getswitchinterval())
