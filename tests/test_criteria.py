# SPDX-License-Identifier: BSD-3-Clause
"""The class face holds options and calls the function: the same bits. And the package's other switches."""

from __future__ import annotations

import inspect
import pickle
import threading

import numpy as np
import pytest
from cases import CASES, assert_close, bits

import fastloss as fl

HELD = ("weight", "pos_weight")  # operands that a criterion is built with
CALLED = ("l1", "mse", "huber", "quantile", "td_huber")  # whose weight goes with the call
plain = [c for c in CASES if not ("weight" in c.name and c.kernel in CALLED)]


def build(case, operands, **options):
    held = {name: operands[name] for name in HELD if name in operands}
    called = [operands[name] for name in operands if name not in held]
    return getattr(fl, case.criterion)(**held, **case.options, **options), called


@pytest.mark.parametrize("case", plain, ids=lambda c: c.name)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_a_criterion_is_its_function(case, reduction):
    operands = case.operands((6, 10))
    criterion, called = build(case, operands, reduction=reduction)
    value, grad = case.call(operands, reduction=reduction, return_grad=True)
    assert bits(criterion(*called)) == bits(value)
    assert bits(criterion.value_and_grad(*called)) == bits((value, grad))


@pytest.mark.parametrize("case", plain, ids=lambda c: c.name)
def test_a_criterion_averages_by_default_and_shows_its_options(case):
    operands = case.operands((6, 10))
    criterion, called = build(case, operands)
    assert criterion(*called) == case.call(operands)
    assert case.criterion in repr(criterion)


def test_bad_options_are_refused_no_later_than_the_call():
    for make in (lambda: fl.L1Loss(reduction="average"), lambda: fl.HuberLoss(delta=-1.0)):
        with pytest.raises(ValueError, match=r"reduction|delta"):
            make()(np.ones(3), np.ones(3))


@pytest.mark.parametrize("name", sorted({case.criterion for case in CASES if case.peer is None}))
def test_constructors_take_torchs_order(name):
    torch = pytest.importorskip("torch")
    deprecated = ("size_average", "reduce", "self")
    theirs = [p for p in inspect.signature(getattr(torch.nn, name)).parameters if p not in deprecated]
    ours = list(inspect.signature(getattr(fl, name)).parameters)
    shared = [p for p in ours if p in theirs]
    assert shared == [p for p in theirs if p in ours]
    assert not set(theirs) - set(ours)


@pytest.mark.parametrize("name", fl.criteria.__all__)
def test_criteria_are_pickled_under_their_public_name(name):
    kind = getattr(fl, name)
    assert kind.__module__ == "fastloss.criteria" and pickle.loads(pickle.dumps(kind)) is kind


def test_a_pickled_criterion_keeps_its_options():
    again = pickle.loads(pickle.dumps(fl.DiceLoss(smooth=1.0)))
    assert repr(again) == repr(fl.DiceLoss(smooth=1.0)) and type(again) is fl.DiceLoss


def test_verify_measures_kernel_against_reference(rng):
    x, y = rng.normal(size=(2, 1000))
    assert fl.verify(fl.huber_loss, x, y, delta=2.0) is not None
    labels = rng.integers(0, 10, 100)
    assert fl.verify(fl.cross_entropy, x.reshape(100, 10), labels, reduction="none") is not None


@pytest.fixture
def spied(monkeypatch):
    """Counts the calls of the reference's mse."""
    from fastloss.reference import elementwise

    calls = []
    original = elementwise.mse
    monkeypatch.setattr(elementwise, "mse", lambda *a: (calls.append(1), original(*a))[1])
    return calls


def test_backend_switches_and_switches_back(spied):
    x, y = np.ones(5), np.zeros(5)
    fl.mse_loss(x, y)
    assert len(spied) == 0, "the native extension answers by default"
    with fl.backend("reference"):
        fl.mse_loss(x, y)
        assert len(spied) == 1
        with fl.backend("native"):
            fl.mse_loss(x, y)
            assert len(spied) == 1
        fl.mse_loss(x, y)
        assert len(spied) == 2
    fl.mse_loss(x, y)
    assert len(spied) == 2


def test_backend_is_restored_after_an_error(spied):
    with pytest.raises(RuntimeError, match="inside"), fl.backend("reference"):
        raise RuntimeError("inside")
    fl.mse_loss([1.0], [2.0])
    assert not spied


def test_backend_holds_for_its_context_only(spied):
    """Another thread keeps the default."""
    with fl.backend("reference"):
        thread = threading.Thread(target=lambda: fl.mse_loss([1.0], [2.0]))
        thread.start()
        thread.join()
        assert not spied


@pytest.mark.parametrize("name", ["numpy", "", None])
def test_unknown_backend(name):
    with pytest.raises((ValueError, TypeError), match="native"), fl.backend(name):
        pass


@pytest.mark.parametrize(("name", "calls"), [("reference", 1), ("native", 0), ("", 0)])
def test_backend_from_the_environment(run_python, name, calls):
    program = (
        "from fastloss.reference import elementwise; calls = []; original = elementwise.mse\n"
        "elementwise.mse = lambda *a: (calls.append(1), original(*a))[1]\n"
        "import fastloss as fl; assert fl.mse_loss([1.0], [3.0]) == 4; print(len(calls))"
    )
    result = run_python(program, FASTLOSS_BACKEND=name)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) == calls


def test_unknown_backend_in_the_environment(run_python):
    result = run_python("import fastloss as fl; fl.mse_loss([1.0], [3.0])", FASTLOSS_BACKEND="numpy")
    assert result.returncode != 0 and "FASTLOSS_BACKEND" in result.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_reference_has_the_types_and_shapes_of_the_kernels(case):
    for dtype in (np.float32, np.float64):
        for reduction in ("none", "mean"):
            operands = case.operands((6, 10), dtype)
            value, grads = case.gradients(operands, reduction=reduction)
            with fl.backend("reference"):
                expected, expected_grads = case.gradients(operands, reduction=reduction)
            for a, b in zip((value, *grads), (expected, *expected_grads), strict=True):
                assert type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape
                assert_close(a, b, dtype)


def test_public_names():
    assert set(fl.__all__) <= set(dir(fl))
    for name in fl.__all__:
        assert hasattr(fl, name), name
    for case in CASES:
        assert {case.function, case.criterion} <= set(fl.__all__)
        assert getattr(fl, case.function).__doc__ and getattr(fl, case.criterion).__doc__
