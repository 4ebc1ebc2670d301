# SPDX-License-Identifier: BSD-3-Clause
"""The path of losses over action values and of scans along trajectories, the same for both backends."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import _config, _reference
from ._arrays import Array, as_array, as_mask, as_optional, check_broadcast, check_output, where, working_dtype
from ._call import check_options, integer, outputs, reduced, result, scale_of, split_grad_output
from ._call_rows import INT32_MAX, as_labels, bad_label, class_axis_of
from ._record import Record

# ---- rows of action values -------------------------------------------------------------------------------------------


class ActionJob(Record):
    """One checked call, for either backend."""

    real: np.dtype[Any]
    q: Array
    axis: int
    actions: Array
    reward: Array
    next_q: Array
    done: Array | None
    judge: Array | None  # scores by which the next action is chosen
    weight: Array | None
    mask: Array | None
    grad_output: Array | None
    discount: float
    delta: float  # of the Huber loss; 0: squares
    scale: float = 1.0
    value: Array | None = None
    grad: Array | None = None


def _same_positions(x: Any, name: str, q: Array, axis: int) -> Array:
    """Values of a next state: as many positions, any number of actions."""
    a = as_array(x, name)
    positions = q.shape[:axis] + q.shape[axis + 1 :]
    if a.ndim != q.ndim or a.shape[:axis] + a.shape[axis + 1 :] != positions or a.shape[axis] == 0:
        raise ValueError(f"{name} has shape {a.shape}, expected that of q_values, {q.shape}")
    return a


def run_actions(job: ActionJob, labels_only: bool) -> tuple[float, float]:
    """(sum of the values, rows that count); with `labels_only` nothing is written."""
    engine: Callable[[ActionJob, bool], tuple[float, float, int]] = _reference.run_actions
    if _config.get_backend() == "native":
        assert _config.native is not None
        engine = _config.native.run_actions
    total, counted, bad = engine(job, labels_only)
    if bad >= 0:
        error = bad_label(job.actions, where(bad, job.actions.shape), job.q.shape[job.axis])
        raise ValueError(str(error).replace("target", "actions", 1).replace("classes", "actions"))
    return total, counted


def action_values(
    q_values: Any, actions: Any, reward: Any, next_q_values: Any, done: Any, judge: Any, weight: Any, discount: float,
    delta: float, reduction: Any, class_axis: Any, mask: Any, return_grad: Any, grad_output: Any, out: Any,
    grad_out: Any,
) -> Any:  # fmt: skip
    """Temporal differences of the values of actions taken."""
    check_options(reduction, return_grad, grad_output, out, grad_out)
    q = as_array(q_values, "q_values")
    if q.ndim == 0:
        raise ValueError("q_values has shape (), expected (A,), (N, A) or (..., A)")
    axis = class_axis_of(q, class_axis)
    shape = q.shape[:axis] + q.shape[axis + 1 :]
    if q.shape[axis] > INT32_MAX:
        raise ValueError(f"q_values has {q.shape[axis]} actions, at most {INT32_MAX} are supported")
    labels = _as_actions(actions, shape, q, axis)
    following = _same_positions(next_q_values, "next_q_values", q, axis)
    judging = None if judge is None else _same_positions(judge, "next_q_online", q, axis)
    if judging is not None and judging.shape != following.shape:
        raise ValueError(f"next_q_online has shape {judging.shape}, expected that of next_q_values, {following.shape}")
    rewards, ends, weights = as_array(reward, "reward"), as_optional(done, "done"), as_optional(weight, "weight")
    mask_array = as_mask(mask)
    for name, a in (("reward", rewards), ("done", ends), ("weight", weights), ("mask", mask_array)):
        check_broadcast(a, name, shape, "actions")
    factor, grad_output_array = split_grad_output(grad_output, shape)
    real = working_dtype((q_values, q), (reward, rewards), (next_q_values, following), (judge, judging), (done, ends),
                         (weight, weights))  # fmt: skip
    read = (q, labels, rewards, following, judging, ends, weights, mask_array, grad_output_array)
    inputs = [a for a in read if a is not None]
    value, grads = outputs(out, grad_out, shape, [q.shape], real, inputs, reduction, return_grad)
    job = ActionJob(
        real, q, axis, labels, rewards, following, ends, judging, weights, mask_array, grad_output_array, discount,
        delta, factor, None if value is None else value[...], None if grads is None else grads[0][...],
    )  # fmt: skip
    if grads is not None or out is not None:
        job.scale *= scale_of(reduction, run_actions(job, True)[1])
    total, counted = run_actions(job, False)
    return result(reduced(total, reduction, counted, value), grads)


def _as_actions(actions: Any, shape: tuple[int, ...], q: Array, axis: int) -> Array:
    try:
        return as_labels(as_array(actions, "actions"), shape, q, axis)
    except (TypeError, ValueError) as error:
        text = str(error).replace("target", "actions").replace("of input", "of q_values")
        raise type(error)(text.replace("class indices", "indices of actions").replace("class axis", "axis")) from None


# ---- scans -----------------------------------------------------------------------------------------------------------


class ScanJob(Record):
    """One checked scan, for either backend; arrays of one shape, `axis` that of the steps, which `next_value` may
    lack."""

    real: np.dtype[Any]
    axis: int
    reward: Array
    value: Array | None
    next_value: Array
    done: Array | None
    cut: Array | None
    horizon: int  # 0: advantages
    discount: float
    trace: float
    advantage: Array | None
    target: Array


def scan(
    rewards: Any, values: Any, next_value: Any, done: Any, truncated: Any, horizon: int, discount: float, trace: float,
    time_axis: Any, outs: tuple[Any, ...],
) -> tuple[Array, ...]:  # fmt: skip
    """The arrays that the scan writes: (advantages, returns), or the n-step returns alone."""
    reward = as_array(rewards, "rewards")
    axis = integer(time_axis, "time_axis")
    if reward.ndim == 0:
        raise ValueError("rewards has shape (), expected (T,), (T, N) or (T, ...)")
    if not -reward.ndim <= axis < reward.ndim:
        raise ValueError(f"time_axis = {axis} is out of range for rewards of shape {reward.shape}")
    axis %= reward.ndim
    value = as_optional(values, "values")
    each = {"values": value, "done": as_optional(done, "done"), "truncated": as_optional(truncated, "truncated")}
    for name, a in each.items():
        if a is not None and a.shape != reward.shape:
            raise ValueError(f"{name} has shape {a.shape}, expected that of rewards, {reward.shape}")
    behind = as_array(next_value, "next_value")
    last = reward.shape[:axis] + reward.shape[axis + 1 :]
    if behind.shape != reward.shape:
        if behind.ndim and behind.shape != last:
            raise ValueError(
                f"next_value has shape {behind.shape}, expected {last}, one per trajectory, or {reward.shape}, one per "
                "step"
            )
        if truncated is not None:
            raise ValueError(f"truncated needs the value of each next state: next_value of shape {reward.shape}")
        if value is None:
            raise ValueError(f"values is None: without it next_value must have the shape of rewards, {reward.shape}")
        behind = np.broadcast_to(behind, last)
    real = working_dtype((rewards, reward), (values, value), (next_value, behind))
    inputs = [a for a in (reward, behind, *each.values()) if a is not None]
    written: list[Array] = []
    for k, given in enumerate(outs):
        name = "out" if len(outs) == 1 else f"out[{k}]"
        fresh = np.empty(reward.shape, real) if given is None else None
        written.append(
            fresh if fresh is not None else check_output(given, name, reward.shape, real, [*inputs, *written])
        )
    job = ScanJob(
        real, axis, reward, value, behind, each["done"], each["truncated"], horizon, discount, trace,
        None if horizon else written[0][...], written[-1][...],
    )  # fmt: skip
    if _config.get_backend() == "reference":
        _reference.scan(job)
    elif math.prod(reward.shape):
        assert _config.native is not None
        _config.native.run_scan(
            real.itemsize, axis, reward, value, behind, job.done, job.cut, job.advantage, job.target, horizon, discount,
            trace,
        )  # fmt: skip
    return tuple(written)
