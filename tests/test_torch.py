# SPDX-License-Identifier: BSD-3-Clause
"""Agreement with PyTorch in float64: 1e-9 relative, values and gradients, over options and shapes."""

from __future__ import annotations

import numpy as np
import pytest
from case import POSITIONAL
from cases import CASES, REDUCTIONS, shapes_of

import fastloss as fl

torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")

each_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


def assert_agrees(actual, expected):
    expected = np.asarray(expected)
    largest = np.abs(expected).max(initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-13 * largest)


@each_case
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.filterwarnings("ignore:reduction:UserWarning")  # torch's about the mean of kl_div
def test_values_and_gradients(case, reduction):
    for shape in shapes_of(case):
        operands = case.operands(shape, seed=1)
        value, grads = case.gradients(operands, reduction=reduction)
        expected, expected_grads = case.torch(operands, reduction)
        assert_agrees(value, expected)
        for grad, expected_grad in zip(grads, expected_grads, strict=True):
            assert_agrees(grad, expected_grad)


@pytest.mark.parametrize("delta", [1e-3, 0.5, 1, 100.0])
def test_huber_delta(delta, rng):
    x, y = rng.normal(0, 3, (2, 200))
    expected = torch.nn.functional.huber_loss(torch.tensor(x), torch.tensor(y), delta=delta)
    assert_agrees(fl.huber_loss(x, y, delta=delta), expected)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("eps", [1e-6, 0.3, 2.0])
@pytest.mark.parametrize("shape", [(4, 3), (3, 3), (2, 4, 3)], ids=str)
def test_gaussian_var_shapes(full, eps, shape, rng):
    x, y = rng.normal(size=(2, *shape))
    for var_shape in (shape, shape[:-1], (*shape[:-1], 1)):
        var = rng.uniform(0, 1, var_shape)
        tensors = [torch.tensor(a, requires_grad=True) for a in (x, y, var)]
        expected = torch.nn.functional.gaussian_nll_loss(*tensors, full=full, eps=eps)
        expected.backward()
        value, (gx, gvar) = fl.gaussian_nll_loss(x, y, var, full=full, eps=eps, return_grad=True)
        assert_agrees(value, expected.detach())
        assert_agrees(gx, tensors[0].grad)
        assert_agrees(gvar, tensors[2].grad)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pos", [None, (), (1,), (5,), (4, 5)], ids=str)
def test_bce_weights(weighted, pos, rng):
    x, y = rng.normal(0, 5, (4, 5)), rng.uniform(0, 1, (4, 5))
    options = {}
    if weighted:
        options["weight"] = rng.uniform(0, 2, (4, 1))
    if pos is not None:
        options["pos_weight"] = rng.uniform(0.5, 3, pos)
    tensors = {k: torch.tensor(v) for k, v in options.items()}
    expected = torch.nn.functional.binary_cross_entropy_with_logits(torch.tensor(x), torch.tensor(y), **tensors)
    assert_agrees(fl.binary_cross_entropy_with_logits(x, y, **options), expected)


@each_case
def test_grad_output_is_what_backward_is_given(case, rng):
    shape = (6, 5, 4)
    operands = case.operands(shape)
    g = rng.normal(size=case.loss_shape(shape))
    _, grads = case.gradients(operands, reduction="none", grad_output=g)
    tensors = {k: torch.tensor(v, requires_grad=k in case.predictions) for k, v in operands.items()}
    if "weight" in tensors and not case.rows:
        tensors["weight"] = tensors["weight"].broadcast_to(shape)
    leaves = [tensors[name] for name in case.predictions]
    arguments = [tensors.pop(k) for k in POSITIONAL if k in tensors]
    loss = case.torch_function()(*arguments, **tensors, reduction="none", **case.options)
    loss.backward(torch.tensor(g))
    for grad, leaf in zip(grads, leaves, strict=True):
        assert_agrees(grad, leaf.grad)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_hostile_logits(reduction):
    """Infinite and huge logits end as in torch, NaN included."""
    inf = np.inf
    x = np.array(
        [[0, -inf, 1], [-inf, 0, 1], [inf, 0, 1], [-inf] * 3, [1e300, -1e300, 0], [700, 0, -700], [1, 2, np.nan]]
    )
    target = np.array([0, 0, 0, 0, 0, 1, 0])
    tensor = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(tensor, torch.tensor(target), reduction=reduction)
    expected.sum().backward()
    value, grad = fl.cross_entropy(x, target, reduction=reduction, return_grad=True)
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-9, atol=1e-16)


def test_all_labels_ignored():
    x = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(x, torch.full((3,), -100))
    value, grad = fl.cross_entropy(np.zeros((3, 4)), np.full(3, -100), return_grad=True)
    assert np.isnan(expected.item()) and np.isnan(value) and not grad.any()


@pytest.mark.parametrize(
    "name",
    [
        "l1_loss",
        "mse_loss",
        "huber_loss",
        "binary_cross_entropy_with_logits",
        "smooth_l1_loss",
        "poisson_nll_loss",
        "kl_div",
        "cross_entropy",
        "nll_loss",
    ],
)
def test_argument_names_and_defaults_are_torchs(name):
    import inspect

    ours = inspect.signature(getattr(fl, name)).parameters
    theirs = inspect.signature(getattr(torch.nn.functional, name)).parameters
    for argument, parameter in theirs.items():
        if argument in ("size_average", "reduce"):
            continue
        assert argument in ours, argument
        assert ours[argument].default == parameter.default, argument
