# SPDX-License-Identifier: BSD-3-Clause
"""Reinforcement learning: against the reference, PyTorch, loops and central differences; layouts, masks, refusals."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from cases import assert_close, bits
from test_errors import refusal

import fastloss as fl

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
REDUCTIONS = ("none", "mean", "sum")


def both(function: Any, *operands: Any, dtype: Any = np.float64, **options: Any) -> Any:
    """A result of the kernels, which agrees with that of the reference."""
    found = function(*operands, **options)
    with fl.backend("reference"):
        expected = function(*operands, **options)
    for a, b in zip(flat(found), flat(expected), strict=True):
        assert np.shape(a) == np.shape(b) and np.asarray(a).dtype == np.asarray(b).dtype
        assert_close(a, b, dtype)
    return found


def flat(result: Any) -> list[Any]:
    if isinstance(result, (tuple, list)):
        return [a for part in result for a in flat(part)]
    return [] if result is None else [result]


def slopes(value: Any, x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences of `value(x)`, one coordinate after the other."""
    found = np.empty_like(x)
    for place in np.ndindex(*x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[place] += sign * step
            ends.append(float(np.sum(value(moved))))
        found[place] = (ends[0] - ends[1]) / (2 * step)
    return found


# ---- scans -----------------------------------------------------------------------------------------------------------

SHAPES = [
    ((1,), 0),
    ((7,), 0),
    ((40, 3), 0),
    ((5, 16), 0),
    ((9, 300), 0),
    ((3, 50), 1),
    ((4, 6, 5), 1),
    ((2, 3, 17), -1),
]


def trajectories(shape: tuple[int, ...], dtype: Any = np.float64, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng([seed, *shape])
    drawn = {name: rng.normal(0, 1, shape).astype(dtype) for name in ("rewards", "values", "following")}
    return {**drawn, "done": rng.random(shape) < 0.2, "truncated": rng.random(shape) < 0.1}


def behind(a: np.ndarray, axis: int) -> np.ndarray:
    """One value per trajectory."""
    return np.take(a, -1, axis=axis)


@each_dtype
@pytest.mark.parametrize(("shape", "axis"), SHAPES, ids=str)
def test_scans_agree_with_their_definitions(dtype, shape, axis):
    t = trajectories(shape, dtype)
    r, v, following = t["rewards"], t["values"], t["following"]
    last = behind(following, axis)
    for done, (next_value, cut) in itertools.product((None, t["done"]), ((last, None), (following, t["truncated"]))):
        options = {"truncated": cut, "time_axis": axis}
        advantages, returns = both(fl.gae, r, v, next_value, done, dtype=dtype, **options)
        assert advantages.dtype == returns.dtype == dtype and advantages.shape == shape
        for n in (1, 2, 5, 1000):
            both(fl.n_step_returns, r, v, next_value, done, n=n, dtype=dtype, **options)


@each_dtype
@pytest.mark.parametrize("n", [1, 5, 8, 9, 16, 17, 40, 699, 700, 5000])
def test_returns_of_any_horizon_over_spans_of_steps(dtype, n):
    """Steps are cut into spans for threads, and columns into blocks; a step is kept for 8 or 16 returns."""
    t = trajectories((700, 131), dtype)
    some = [0, 1, 17, 64, 126, 127, 128, 130]  # of each kind, in a block: the reference is slow

    def returns(t, threads=2):
        with fl.num_threads(threads):
            found = fl.n_step_returns(t["rewards"], t["values"], t["following"][-1], t["done"], n=n)
            cut = fl.n_step_returns(t["rewards"], t["values"], t["following"], None, n=n, truncated=t["truncated"])
        return np.stack([found, cut])

    found = returns(t)
    assert found.dtype == dtype and found.shape == (2, 700, 131)
    with fl.backend("reference"):
        assert_close(found[..., some], returns({name: a[:, some] for name, a in t.items()}), dtype)
    for threads in (1, 7):
        assert bits(returns(t, threads)) == bits(found)


def test_a_scan_is_the_usual_loop(rng):
    """The loop of CleanRL and Stable-Baselines3, whose flags say that an episode starts with a step."""
    steps, envs = 50, 7
    r, v = rng.normal(size=(2, steps, envs))
    starts = rng.random((steps + 1, envs)) < 0.1
    last = rng.normal(size=envs)
    expected, tail = np.zeros((steps, envs)), np.zeros(envs)
    for t in reversed(range(steps)):
        going_on = 1.0 - starts[t + 1]
        following = last if t == steps - 1 else v[t + 1]
        delta = r[t] + 0.99 * following * going_on - v[t]
        tail = delta + 0.99 * 0.95 * going_on * tail
        expected[t] = tail
    advantages, returns = fl.gae(r, v, last, starts[1:])
    np.testing.assert_allclose(advantages, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(returns, expected + v, rtol=1e-12, atol=1e-13)


def test_the_ends_of_lambda():
    """0: temporal differences; 1: returns of all that is left, less the values."""
    t = trajectories((30, 4))
    r, v, last, done = t["rewards"], t["values"], t["following"][-1], t["done"]
    errors = fl.td_error(v, r, np.concatenate([v[1:], last[None]]), done)
    np.testing.assert_allclose(fl.gae(r, v, last, done, gae_lambda=0.0)[0], errors, rtol=1e-12, atol=1e-14)
    whole = fl.n_step_returns(r, v, last, done, n=30)
    np.testing.assert_allclose(fl.gae(r, v, last, done, gae_lambda=1.0)[1], whole, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(fl.n_step_returns(r, v, last, done, n=1) - v, errors, rtol=1e-12, atol=1e-14)


def test_nothing_crosses_the_end_of_an_episode():
    """Not even nan: what follows is of another one."""
    t = trajectories((12, 3))
    done = np.zeros((12, 3), bool)
    done[5] = True
    spoilt = {k: t[k].copy() for k in ("rewards", "values")}
    spoilt["rewards"][6:], spoilt["values"][6:] = np.nan, np.inf
    for scan in (lambda a, **o: fl.gae(*a, done)[1], lambda a, **o: fl.n_step_returns(*a, done, n=4)):
        clean = scan((t["rewards"], t["values"], 0.0))
        assert bits(scan((spoilt["rewards"], spoilt["values"], 0.0))[:6]) == bits(clean[:6])


@each_dtype
def test_layouts_threads_and_outputs_of_scans(dtype):
    t = trajectories((20, 1000), dtype)
    arrays = [t["rewards"], t["values"], t["following"]]
    expected = bits(fl.gae(*arrays, t["done"])), bits(fl.n_step_returns(*arrays, t["done"], n=3))
    fortran = [np.asfortranarray(a) for a in arrays]
    gaps = [np.repeat(a, 2, axis=0)[::2] for a in arrays]
    turned = [np.ascontiguousarray(a.T).T for a in arrays]
    backwards = [np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1] for a in arrays]
    for variant in (fortran, gaps, turned, backwards):
        assert bits(fl.gae(*variant, t["done"])) == expected[0]
        assert bits(fl.n_step_returns(*variant, t["done"].astype(np.uint8), n=3)) == expected[1]
    for n in (1, 2, 3, 7):
        with fl.num_threads(n):
            assert bits(fl.gae(*arrays, t["done"])) == expected[0]
    outs = tuple(np.full((20, 1000), np.nan, dtype) for _ in range(2))
    found = fl.gae(*arrays, t["done"], out=outs)
    assert found[0] is outs[0] and found[1] is outs[1] and bits(outs) == expected[0]
    half = fl.gae(*(a.astype(np.float16) for a in arrays))
    assert half[0].dtype == np.float32
    assert bits(half) == bits(fl.gae(*(a.astype(np.float16).astype(np.float32) for a in arrays)))


def test_scans_of_nothing():
    empty = np.zeros((0, 3))
    assert fl.gae(empty, empty, np.zeros(3))[0].shape == (0, 3)
    assert fl.n_step_returns(np.zeros((3, 0)), np.zeros((3, 0)), np.zeros(0), n=2).shape == (3, 0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fl.gae(np.ones(3), np.ones(4), 0.0), ["values", "(4,)", "(3,)"]),
        (lambda: fl.gae(np.ones((3, 2)), np.ones((3, 2)), np.ones(3)), ["next_value", "(3,)", "(2,)"]),
        (lambda: fl.gae(np.ones(3), np.ones(3), 0.0, np.ones(2, bool)), ["done", "(2,)"]),
        (lambda: fl.gae(np.ones(3), np.ones(3), 0.0, truncated=np.ones(3, bool)), ["truncated", "next_value"]),
        (lambda: fl.gae(np.ones(3), np.ones(3), 0.0, gamma=1.5), ["gamma", "1.5"]),
        (lambda: fl.gae(np.ones(3), np.ones(3), 0.0, gae_lambda=-0.1), ["gae_lambda", "-0.1"]),
        (lambda: fl.gae(np.ones(3), np.ones(3), 0.0, time_axis=1), ["time_axis", "1"]),
        (lambda: fl.gae(1.0, 1.0, 0.0), ["rewards", "()"]),
        (lambda: fl.gae(np.ones(3), None, 0.0), ["values"]),
        (lambda: fl.gae(np.ones(3), np.ones(3), 0.0, out=np.ones(3)), ["out", "tuple"]),
        (lambda: fl.n_step_returns(np.ones(3), np.ones(3), 0.0, n=0), ["n", "0"]),
        (lambda: fl.n_step_returns(np.ones(3), np.ones(3), 0.0, n=1.5), ["n", "float"]),
        (lambda: fl.n_step_returns(np.ones(3), None, 0.0, n=1), ["values", "next_value"]),
    ],
)
def test_refusals_of_scans(call, words):
    message = refusal(call, ValueError, TypeError)
    assert all(word in message for word in words), message


# ---- temporal differences --------------------------------------------------------------------------------------------


@each_dtype
def test_td_error(dtype, rng):
    v, r, following = rng.normal(size=(3, 5000)).astype(dtype)
    done = rng.random(5000) < 0.3
    found = both(fl.td_error, v, r, following, done, dtype=dtype, gamma=0.9)
    np.testing.assert_allclose(found, r + dtype(0.9) * (1 - done) * following - v, rtol=1e-5, atol=1e-6)
    assert found.dtype == dtype
    assert bits(fl.td_error(v, r, following)) == bits(fl.td_error(v, r, following, np.zeros(5000, bool)))
    assert fl.td_error([1.0], [1.0], [np.inf], [True]).tolist() == [0.0]


LAYOUTS = [((4,), -1), ((7, 3), -1), ((300, 4), -1), ((33, 70), -1), ((5, 6, 9), -1), ((3, 41, 20), 1), ((2, 2000), -1)]


def states(shape: tuple[int, ...], axis: int, dtype: Any = np.float64, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng([seed, *shape])
    positions = np.moveaxis(np.empty(shape), axis, -1).shape[:-1]
    drawn = {name: rng.normal(0, 1, shape).astype(dtype) for name in ("q", "next_q", "online")}
    return {
        **drawn,
        "actions": np.asarray(rng.integers(0, shape[axis], positions)),
        "reward": np.asarray(0.5 + rng.gamma(1, 1, positions), dtype),
        "done": np.asarray(rng.random(positions) < 0.3),
        "weight": np.asarray(rng.uniform(0, 1, positions), dtype),
        "mask": np.asarray(rng.random(positions) < 0.8),
        "grad_output": np.asarray(rng.normal(0, 1, positions), dtype),
    }


@each_dtype
@pytest.mark.parametrize(("shape", "axis"), LAYOUTS, ids=str)
def test_dqn_agrees_with_its_definition(dtype, shape, axis):
    s = states(shape, axis, dtype)
    arrays = s["q"], s["actions"], s["reward"], s["next_q"], s["done"]
    for reduction, kind, online in itertools.product(REDUCTIONS, ("huber", "squared"), (None, s["online"])):
        options = {"reduction": reduction, "kind": kind, "next_q_online": online, "class_axis": axis, "dtype": dtype}
        value, grad = both(fl.dqn_loss, *arrays, return_grad=True, **options)
        assert bits(value) == bits(fl.dqn_loss(*arrays, **{k: o for k, o in options.items() if k != "dtype"}))
        extra = {name: s[name] for name in ("mask", "grad_output")}
        both(fl.dqn_loss, *arrays, s["weight"], return_grad=True, **options, **extra)
        assert grad.shape == shape and grad.dtype == dtype


@pytest.mark.parametrize("kind", ["huber", "squared"])
@pytest.mark.parametrize("double", [False, True])
def test_dqn_in_torch(kind, double):
    torch = pytest.importorskip("torch")
    s = states((64, 6), -1)
    t = {name: torch.tensor(a) for name, a in s.items()}
    q = t["q"].requires_grad_()
    chosen = (t["online"] if double else t["next_q"]).argmax(1, keepdim=True)
    target = t["reward"] + 0.99 * (~t["done"]).double() * t["next_q"].gather(1, chosen)[:, 0]
    picked = q.gather(1, t["actions"][:, None])[:, 0]
    functional = torch.nn.functional
    loss = (functional.smooth_l1_loss if kind == "huber" else functional.mse_loss)(picked, target)
    loss.backward()
    online = s["online"] if double else None
    value, grad = fl.dqn_loss(
        s["q"], s["actions"], s["reward"], s["next_q"], s["done"], next_q_online=online, kind=kind, return_grad=True
    )
    assert value == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(grad, q.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_dqn_gradient_by_differences():
    s = states((12, 4), -1)
    rest = s["actions"], s["reward"], s["next_q"], s["done"]
    _, grad = fl.dqn_loss(s["q"], *rest, return_grad=True)
    np.testing.assert_allclose(grad, slopes(lambda q: fl.dqn_loss(q, *rest), s["q"]), rtol=1e-6, atol=1e-9)


def test_dqn_of_equal_and_of_unknown_scores():
    """Of equal scores the first action counts; nan is the largest, as in PyTorch."""
    q, actions, reward = np.zeros((2, 3)), [0, 0], [0.0, 0.0]
    following = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    online = np.array([[5.0, 5.0, 1.0], [1.0, np.nan, 9.0]])
    found = both(fl.dqn_loss, q, actions, reward, following, next_q_online=online, gamma=1.0, kind="squared",
                 reduction="none")  # fmt: skip
    assert found.tolist() == [1.0, 4.0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fl.dqn_loss(np.ones((3, 2)), [0, 2, 0], np.ones(3), np.ones((3, 2))), ["actions[1] = 2", "2 actions"]),
        (lambda: fl.dqn_loss(np.ones((3, 2)), [0, 1], np.ones(3), np.ones((3, 2))), ["actions", "(2,)", "(3,)"]),
        (lambda: fl.dqn_loss(np.ones((3, 2)), [0.0, 1, 1], np.ones(3), np.ones((3, 2))), ["actions", "float64"]),
        (lambda: fl.dqn_loss(np.ones((3, 2)), [0, 1, 1], np.ones(4), np.ones((3, 2))), ["reward", "(4,)"]),
        (lambda: fl.dqn_loss(np.ones((3, 2)), [0, 1, 1], np.ones(3), np.ones((4, 2))), ["next_q_values", "(4, 2)"]),
        (lambda: fl.dqn_loss(np.ones((3, 2)), [0, 1, 1], np.ones(3), np.ones((3, 2)), delta=0), ["delta", "0"]),
        (lambda: fl.dqn_loss(np.ones((3, 2)), [0, 1, 1], np.ones(3), np.ones((3, 2)), kind="l2"), ["kind", "l2"]),
        (lambda: fl.td_loss(np.ones(3), np.ones(4), np.ones(3)), ["reward", "(4,)"]),
        (lambda: fl.td_loss(np.ones(3), 1.0, np.ones(3), gamma=2.0), ["gamma", "2.0"]),
    ],
)
def test_refusals_of_temporal_differences(call, words):
    message = refusal(call, ValueError, TypeError)
    assert all(word in message for word in words), message


def test_a_refused_call_writes_nothing():
    out = np.full((3, 2), 7.0)
    with pytest.raises(ValueError, match=r"actions\[1\]"):
        fl.dqn_loss(np.ones((3, 2)), [0, 5, 0], np.ones(3), np.ones((3, 2)), return_grad=True, grad_out=out)
    with pytest.raises(ValueError, match=r"target\[1\]"):
        fl.policy_gradient_loss(np.ones((3, 2)), [0, 5, 0], np.ones(3), return_grad=True, grad_out=out)
    assert (out == 7).all()


# ---- policies --------------------------------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize(("shape", "axis"), LAYOUTS, ids=str)
@pytest.mark.parametrize("from_logits", [True, False])
def test_policy_gradients_agree_with_their_definition(dtype, shape, axis, from_logits):
    s = states(shape, axis, dtype)
    x = s["q"] * 3
    if not from_logits:
        x = (x - np.log(np.exp(x.astype(np.float64)).sum(axis=axis, keepdims=True))).astype(dtype)
    for reduction, coefficient in itertools.product(REDUCTIONS, (0.0, 0.3)):
        options = {"reduction": reduction, "ent_coef": coefficient, "from_logits": from_logits, "class_axis": axis}
        value, grad = both(
            fl.policy_gradient_loss, x, s["actions"], s["reward"], dtype=dtype, return_grad=True, **options
        )
        assert bits(value) == bits(fl.policy_gradient_loss(x, s["actions"], s["reward"], **options))
        assert grad.shape == shape and grad.dtype == dtype
        extra = {name: s[name] for name in ("mask", "grad_output")}
        both(fl.policy_gradient_loss, x, s["actions"], s["reward"], dtype=dtype, return_grad=True, **options, **extra)


@pytest.mark.parametrize("shape", [(50, 6), (9, 100)], ids=str)
def test_policy_gradient_in_torch(shape):
    torch = pytest.importorskip("torch")
    s = states(shape, -1)
    x = torch.tensor(s["q"], requires_grad=True)
    policy = torch.distributions.Categorical(logits=x)
    loss = (
        -(policy.log_prob(torch.tensor(s["actions"])) * torch.tensor(s["reward"])).mean()
        - 0.01 * policy.entropy().mean()
    )
    loss.backward()
    value, grad = fl.policy_gradient_loss(s["q"], s["actions"], s["reward"], ent_coef=0.01, return_grad=True)
    assert value == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(grad, x.grad.numpy(), rtol=1e-9, atol=1e-16)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("shape", [(4, 5), (2, 60)], ids=str)
def test_policy_gradient_by_differences(shape, from_logits):
    s = states(shape, -1)
    options = {"ent_coef": 0.5, "from_logits": from_logits}
    x = s["q"] if from_logits else s["q"] - 2
    _, grad = fl.policy_gradient_loss(x, s["actions"], s["reward"], return_grad=True, **options)
    found = slopes(lambda x: fl.policy_gradient_loss(x, s["actions"], s["reward"], **options), x)
    np.testing.assert_allclose(grad, found, rtol=2e-6, atol=1e-9)


def test_without_bonus_a_policy_gradient_is_a_weighted_cross_entropy(rng):
    x, actions, a = rng.normal(size=(40, 9)), rng.integers(0, 9, 40), rng.normal(size=40)
    value, grad = fl.policy_gradient_loss(x, actions, a, return_grad=True, reduction="none")
    rows, expected = fl.cross_entropy(x, actions, reduction="none", return_grad=True, grad_output=a)
    np.testing.assert_allclose(value, rows * a, rtol=1e-12)
    np.testing.assert_allclose(grad, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("classes", [3, 70])
def test_a_masked_action_has_no_share(classes, rng):
    x = rng.normal(size=(6, classes))
    x[:, 1] = -np.inf
    value, grad = fl.policy_gradient_loss(x, np.zeros(6, int), np.ones(6), ent_coef=0.1, return_grad=True)
    kept = np.delete(x, 1, axis=1)
    expected, kept_grad = fl.policy_gradient_loss(kept, np.zeros(6, int), np.ones(6), ent_coef=0.1, return_grad=True)
    assert value == pytest.approx(expected, rel=1e-14) and (grad[:, 1] == 0).all()
    np.testing.assert_allclose(np.delete(grad, 1, axis=1), kept_grad, rtol=1e-12)


def test_log_probabilities_of_the_actions_alone(rng):
    x, a = -rng.gamma(2, 1, (3, 40)), rng.normal(size=(3, 40))
    value, grad = both(fl.policy_gradient_loss, x, None, a, from_logits=False, return_grad=True)
    assert value == pytest.approx(-(x * a).mean(), rel=1e-12)
    np.testing.assert_allclose(grad, -a / 120, rtol=1e-14)
    for options in ({}, {"from_logits": False, "ent_coef": 0.1}):
        with pytest.raises(ValueError, match="actions is None"):
            fl.policy_gradient_loss(x, None, a, **options)


@each_dtype
def test_bits_of_rows_do_not_depend_on_threads_or_layout(dtype):
    for shape in ((3000, 6), (300, 900)):
        s = states(shape, -1, dtype)
        wide = np.repeat(s["q"], 2, axis=1)[:, ::2]
        for call in (
            lambda q, s=s: fl.policy_gradient_loss(q, s["actions"], s["reward"], ent_coef=0.1, return_grad=True),
            lambda q, s=s: fl.dqn_loss(q, s["actions"], s["reward"], s["next_q"], s["done"], return_grad=True),
        ):
            with fl.num_threads(1):
                expected = bits(call(s["q"]))
            for n in (2, 3, 7):
                with fl.num_threads(n):
                    assert bits(call(s["q"])) == expected
            assert bits(call(wide)) == bits(call(np.asfortranarray(s["q"]))) == expected


# ---- proximal policy optimisation ------------------------------------------------------------------------------------


def batch(n: int, dtype: Any = np.float64, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([seed, n])
    old = -rng.gamma(2, 1, n)
    old_values = rng.normal(size=n)
    drawn = {
        "log_probs": old + rng.normal(0, 0.3, n),
        "old_log_probs": old,
        "advantages": rng.normal(size=n),
        "values": old_values + rng.normal(0, 0.4, n),
        "returns": rng.normal(size=n),
        "old_values": old_values,
        "entropy": rng.gamma(2, 1, n),
    }
    return {name: a.astype(dtype) for name, a in drawn.items()}


OPTIONS = [
    {},
    {"clip_range": 0.1, "clip_range_vf": 0.2, "vf_coef": 0.7, "ent_coef": 0.01},
    {"clip_range_vf": 0.3, "normalize_advantage": True, "ent_coef": 0.1},
]


def torch_ppo(torch: Any, t: dict[str, Any], clip_range: float = 0.2, clip_range_vf: float | None = None,
              vf_coef: float = 0.5, ent_coef: float = 0.0, normalize_advantage: bool = False) -> Any:  # fmt: skip
    """As CleanRL's ppo.py has it."""
    a = t["advantages"]
    if normalize_advantage:
        a = (a - a.mean()) / (a.std() + 1e-8)
    ratio = (t["log_probs"] - t["old_log_probs"]).exp()
    policy = torch.max(-a * ratio, -a * torch.clamp(ratio, 1 - clip_range, 1 + clip_range)).mean()
    squares = (t["values"] - t["returns"]) ** 2
    if clip_range_vf is not None:
        moved = torch.clamp(t["values"] - t["old_values"], -clip_range_vf, clip_range_vf)
        squares = torch.max(squares, (t["old_values"] + moved - t["returns"]) ** 2)
    value, entropy = 0.5 * squares.mean(), t["entropy"].mean()
    return policy - ent_coef * entropy + vf_coef * value, policy, value, entropy


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_ppo_in_torch(options):
    torch = pytest.importorskip("torch")
    b = batch(500)
    t = {name: torch.tensor(a) for name, a in b.items()}
    predictions = [t[name].requires_grad_() for name in ("log_probs", "values", "entropy")]
    loss, *expected = torch_ppo(torch, t, **options)
    wanted = torch.autograd.grad(loss, predictions, allow_unused=True)
    value, grads, parts = fl.ppo_loss(*b.values(), return_grad=True, return_parts=True, **options)
    assert value == pytest.approx(loss.item(), rel=1e-12)
    for found, part in zip(parts[:3], expected, strict=True):
        assert found == pytest.approx(part.item(), rel=1e-12)
    for found, grad in zip(grads, wanted, strict=True):
        np.testing.assert_allclose(found, 0.0 if grad is None else grad.numpy(), rtol=1e-9, atol=1e-16)
    ratio = np.exp(b["log_probs"] - b["old_log_probs"])
    outside = np.abs(ratio - 1) > options.get("clip_range", 0.2)
    assert parts.clip_fraction == pytest.approx(outside.mean(), abs=1e-15)
    assert parts.approx_kl == pytest.approx(np.mean(ratio - 1 - np.log(ratio)), rel=1e-9)


@each_dtype
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_ppo_agrees_with_its_definition(dtype, reduction, options):
    b = batch(3000, dtype)
    mask = np.random.default_rng(1).random(3000) < 0.7
    for extra in ({}, {"mask": mask}):
        both(fl.ppo_loss, *b.values(), dtype=dtype, reduction=reduction, return_grad=True, return_parts=True, **options,
             **extra)  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_ppo_gradients_by_differences(options):
    b = batch(60)
    _, grads = fl.ppo_loss(*b.values(), return_grad=True, **options)
    for name, grad in zip(("log_probs", "values", "entropy"), grads, strict=True):
        found = slopes(lambda x, name=name: fl.ppo_loss(*{**b, name: x}.values(), **options), b[name])
        np.testing.assert_allclose(grad, found, rtol=1e-6, atol=1e-9, err_msg=name)


def test_ppo_near_its_kinks():
    """On either side of the ends of the ranges the gradient is the slope of that side."""
    low, high = np.log(0.8), np.log(1.2)
    for t, a, clipped in [
        *((high + s, a, s > 0 and a > 0) for s in (-1e-4, 1e-4) for a in (1.0, -1.0)),
        *((low + s, a, s < 0 and a < 0) for s in (-1e-4, 1e-4) for a in (1.0, -1.0)),
    ]:
        _, grad = fl.ppo_loss([t], [0.0], [a], return_grad=True)
        assert grad[0] == (0.0 if clipped else pytest.approx(-a * np.exp(t), rel=1e-14))
    for v in (0.2 - 1e-6, 0.2 + 1e-6):  # clipped at 0.2: the larger square counts
        _, (_, grad) = fl.ppo_loss(
            [0.0], [0.0], [0.0], [v], [1.0], [0.0], clip_range_vf=0.2, return_grad=True, vf_coef=1.0
        )
        assert grad[0] == (pytest.approx(v - 1.0) if v < 0.2 else 0.0)
    _, (_, grad) = fl.ppo_loss(
        [0.0], [0.0], [0.0], [1.5], [1.0], [0.0], clip_range_vf=0.5, return_grad=True, vf_coef=1.0
    )
    assert grad[0] == 0.25  # both squares equal: half, as PyTorch's maximum


def test_ppo_takes_outputs_and_refuses_what_does_not_fit():
    b = batch(40)
    outs = tuple(np.full(40, np.nan) for _ in range(3))
    expected = fl.ppo_loss(*b.values(), return_grad=True)
    value, grads = fl.ppo_loss(*b.values(), return_grad=True, grad_out=outs)
    assert all(a is o for a, o in zip(grads, outs, strict=True)) and bits((value, grads)) == bits(expected)
    first = [b[name] for name in ("log_probs", "old_log_probs", "advantages")]
    for call, words in [
        (lambda: fl.ppo_loss(*first, b["values"]), ["values", "returns"]),
        (lambda: fl.ppo_loss(*first, b["values"], b["returns"], clip_range_vf=0.1), ["clip_range_vf", "old_values"]),
        (lambda: fl.ppo_loss(*first, np.ones(3), np.ones(3)), ["values", "(3,)", "(40,)"]),
        (lambda: fl.ppo_loss(*first, clip_range=-1.0), ["clip_range", "-1.0"]),
        (lambda: fl.ppo_loss(*b.values(), return_grad=True, grad_out=outs[:2]), ["grad_out", "3"]),
        (
            lambda: fl.ppo_loss(*b.values(), return_grad=True, grad_out=(outs[0], outs[1], outs[0])),
            ["grad_out", "overlaps"],
        ),
        (lambda: fl.ppo_loss(*first, return_parts=1), ["return_parts", "int"]),
    ]:
        message = refusal(call, ValueError, TypeError)
        assert all(word in message for word in words), message


def test_ppo_accumulates_unless_it_is_normalised():
    b = batch(100)
    total = fl.Accumulator(fl.ppo_loss, ent_coef=0.1)
    names = list(b)
    for part in (slice(0, 30), slice(30, 100)):
        total.update(*(b[name][part] for name in names))
    assert total.compute() == pytest.approx(fl.ppo_loss(*b.values(), ent_coef=0.1), rel=1e-14)
    with pytest.raises(ValueError, match="normalize_advantage"):
        fl.Accumulator(fl.ppo_loss, normalize_advantage=True).update(*b.values())
