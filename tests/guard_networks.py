# SPDX-License-Identifier: BSD-3-Clause
"""Guard pages of the kernels that walk no case: scans along trajectories, policy gradients, action values.

`python guard_networks.py` runs them with every array in fenced memory, as guard.py does; test_guard_pages.py runs it
once per ISA.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from cases import bits
from guard import LAYOUTS, SIDES, Yard

import fastloss as fl

LENGTHS = [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 255, 256, 257, 300]


def calls() -> Iterator[tuple[str, Any, dict[str, np.ndarray], list[tuple[int, ...]]]]:
    """(name, function of the arrays and of outputs, arrays, shapes of the outputs)."""
    for dtype in (np.float32, np.float64):
        for n in LENGTHS:
            for shape in ((3, n), (n, 2)):
                rng = np.random.default_rng(shape)
                names = ("rewards", "values", "next_value")
                steps = {name: rng.normal(size=shape).astype(dtype) for name in names}
                flags = {"done": rng.random(shape) < 0.2, "truncated": rng.random(shape) < 0.1}
                last = {**steps, "next_value": steps["next_value"][-1].copy(), "done": flags["done"]}
                yield f"gae {shape}", lambda out, **a: fl.gae(**a, out=out), {**steps, **flags}, [shape, shape]
                yield f"gae {shape}", lambda out, **a: fl.gae(**a, out=out), last, [shape, shape]
                yield f"n-step {shape}", lambda out, **a: fl.n_step_returns(**a, n=2, out=out[0]), last, [shape]
            for shape in ((n, 3), (2, 40 + n), (2, 3, n)):
                yield from rows(shape, dtype)


def rows(shape: tuple[int, ...], dtype: Any) -> Iterator[Any]:
    """Rows of actions: few, many, along an inner axis."""
    axis = 1
    rng = np.random.default_rng(shape)
    positions = shape[:axis] + shape[axis + 1 :]
    actions, each = np.asarray(rng.integers(0, shape[axis], positions)), rng.normal(size=positions).astype(dtype)
    x, following, online = (rng.normal(size=shape).astype(dtype) for _ in range(3))
    mask = np.asarray(rng.random(positions) < 0.8)
    policy = {"input": x, "actions": actions, "advantages": each, "mask": mask}
    yield (
        f"policy {shape}",
        lambda out, **a: fl.policy_gradient_loss(**a, ent_coef=0.1, class_axis=1, return_grad=True, grad_out=out[0]),
        policy,
        [shape],
    )
    values = {"q_values": x, "actions": actions, "reward": each, "next_q_values": following, "next_q_online": online}
    yield (
        f"dqn {shape}",
        lambda out, **a: fl.dqn_loss(**a, class_axis=1, return_grad=True, grad_out=out[0]),
        {**values, "mask": mask},
        [shape],
    )


def walk() -> int:
    """Run all; the number of calls."""
    count = 0
    yards = {(layout, side): Yard(LAYOUTS[layout], side) for layout in LAYOUTS for side in SIDES}
    for name, function, arrays, shapes in calls():
        dtype = next(a.dtype for a in arrays.values() if a.dtype.kind == "f")
        expected = bits(function([np.empty(shape, dtype) for shape in shapes], **arrays))
        for (layout, side), yard in yards.items():
            print(name, dtype, layout, side, flush=True)
            inside = {key: yard.put(key, a) for key, a in arrays.items()}
            out = tuple(yard.output(f"out{k}", shape, dtype) for k, shape in enumerate(shapes))
            assert bits(function(out, **inside)) == expected, "other bits in fenced memory"
            count += 1
    return count


if __name__ == "__main__":
    print(walk(), "calls")
