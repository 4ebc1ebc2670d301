# SPDX-License-Identifier: BSD-3-Clause
"""Random calls through kernels and reference: equal refusals, close values.

Seeded, and short in the suite: FASTLOSS_FUZZ sets the number of calls (default 1500), FASTLOSS_SEED where they begin.
A failure names the call's own seed: `python test_fuzz.py SEED` makes that call again.
"""

from __future__ import annotations

import os
import sys
import warnings
from random import Random
from typing import Any

import numpy as np
from cases import CASES, bits

import fastloss as fl

CALLS = int(os.environ.get("FASTLOSS_FUZZ", "1500"))
SEED = int(os.environ.get("FASTLOSS_SEED", "0"))

LENGTHS = [1, 1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33]
LONG = [63, 64, 65, 100, 127, 129, 255, 257, 300, 511, 513]
HUGE = [1023, 1025, 2049, 4095, 4097]
FLOATS = ["f4", "f4", "f8", "f8", "f2", ">f4", ">f8", ">f2"]
DATA = [*FLOATS, "i1", "u1", "i4", ">i2", "u8", "?"]
LABELS = ["i1", "i2", "i4", "i8", "i8", "u1", "u4", "u8", ">i4", ">u2"]


def random_shape(random: Random) -> tuple[int, ...]:
    """Up to five axes, at most one of them long, and now and then an empty one."""
    shape = [random.choice(LENGTHS if k else LENGTHS[:8]) for k in range(random.choice([1, 1, 2, 2, 3, 4, 5]))]
    while np.prod(shape) > 2000:
        shape[shape.index(max(shape))] = 2
    if random.random() < 0.4:
        shape[random.randrange(len(shape))] = random.choice(LONG if len(shape) > 1 else HUGE)
    if random.random() < 0.04:
        shape[random.randrange(len(shape))] = 0
    return tuple(shape)


def as_view(random: Random, a: np.ndarray) -> np.ndarray:
    """The same numbers in another layout."""
    if a.ndim == 0 or a.dtype == object:
        return a
    kind = random.choice(["same", "same", "transposed", "gaps", "backwards", "unaligned", "read-only"])
    if kind == "transposed":
        axes = random.sample(range(a.ndim), a.ndim)
        return np.ascontiguousarray(a.transpose(axes)).transpose(np.argsort(axes))
    if kind == "gaps":
        steps = [random.choice([1, 2, 3]) for _ in a.shape]
        memory = np.zeros([n * s for n, s in zip(a.shape, steps, strict=True)], a.dtype)
        view = memory[tuple(slice(None, None, s) for s in steps)]
        view[...] = a
        return view
    if kind == "backwards":
        flip = tuple(slice(None, None, random.choice([1, -1])) for _ in a.shape)
        return a[flip].copy()[flip]
    if kind == "unaligned":
        view = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape) if a.size else a
        view[...] = a
        return view
    if kind == "read-only":
        a = a.copy()
        a.flags.writeable = False
    return a


def narrower(random: Random, a: np.ndarray) -> np.ndarray:
    """Some axes cut to one element, leading ones left out: an operand that is broadcast."""
    a = a[tuple(slice(0, 1) if random.random() < 0.4 else slice(None) for _ in a.shape)]
    while a.ndim and a.shape[0] == 1 and random.random() < 0.5:
        a = a[0]
    return np.asarray(a)


def retyped(random: Random, a: np.ndarray, dtype: str) -> np.ndarray:
    kind = np.dtype(dtype).kind
    if kind in "u?b":
        a = np.abs(a)
    return np.asarray(np.clip(a, -100, 100) if kind in "iu" else a).astype(dtype)


def spoil(random: Random, operands: dict[str, Any], options: dict[str, Any], rows: bool) -> None:
    """Make one thing wrong, or nearly."""
    name = random.choice(list(operands))
    a = operands[name]
    kind = random.choice(["length", "axis", "type", "value", "option", "nan", "mask", "grad_output", "out"])
    if kind == "length" and a.ndim:
        operands[name] = np.concatenate([a, a], axis=random.randrange(a.ndim))
    elif kind == "axis":
        operands[name] = a[random.choice([np.s_[np.newaxis], np.s_[..., np.newaxis]])]
    elif kind == "type":
        operands[name] = a.astype(random.choice(["c8", "O", "m8[s]", "f8", "i8", "?"]))
    elif kind == "value" and a.size and a.dtype != bool:
        operands[name] = a = a.copy()
        a.flat[random.randrange(a.size)] = random.choice([100, 127] + [-1, -50] * (a.dtype.kind != "u"))
    elif kind == "nan" and a.size and a.dtype.kind == "f":
        operands[name] = a = a.copy()
        a.flat[random.randrange(a.size)] = np.nan
    elif kind == "option":
        wrong: dict[str, list] = {
            "reduction": ["median", None],
            "return_grad": [1, None],
            "out": [np.empty(3), []],
            "mask": [1.0, [True] * 9],
        }
        if rows:
            wrong |= {"class_axis": [7, -8, 1.5, 2**70], "ignore_index": [2**63, -(2**70), 0, 1, 2.0, True]}
        chosen = random.choice(list(wrong))
        options[chosen] = random.choice(wrong[chosen])
    elif kind == "mask":
        options["mask"] = np.ones((2, *np.shape(next(iter(operands.values())))), bool)
    elif kind == "grad_output":
        options["grad_output"] = np.ones((2, *np.shape(next(iter(operands.values())))))
    elif kind == "out":
        options["out"] = operands[random.choice(list(operands))]


# Integers put hinges of vectors at their kinks, and one feature has no angle: test_distance.py draws its own vectors.
DRAWN = [case for case in CASES if not case.vectors]


def random_call(seed: int) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Case, operands and options of a call, by its seed."""
    random = Random(seed)
    case, shape = random.choice(DRAWN), random_shape(random)
    options: dict[str, Any] = {"reduction": random.choice(["none", "mean", "sum"])}
    if case.rows and 0 in (shape[1:2] if len(shape) > 1 else shape):
        shape = (*shape[:1], 3, *shape[2:])
    operands: dict[str, Any] = case.operands(shape, np.float64, seed)
    where = case.loss_shape(shape)
    dtype = random.choice(FLOATS)
    for name, a in operands.items():
        if case.rows and name == "target":
            fits = a.dtype.kind == "i" and a.size and a.min() >= 0 and a.max() < 128
            operands[name] = a.astype(random.choice(LABELS) if fits else a.dtype)
        elif not case.rows and name != "input" and random.random() < 0.3:
            a = narrower(random, a)
            operands[name] = retyped(random, a, random.choice(DATA) if name != "var" else dtype)
        else:
            operands[name] = retyped(random, a, dtype if random.random() < 0.9 else random.choice(DATA))
    if case.rows and len(shape) > 1 and random.random() < 0.5:  # the classes elsewhere
        axis = random.randrange(len(shape))
        for name in ("input", "target") if case.lists else ("input",):
            operands[name] = np.moveaxis(operands[name], 1, axis)
        options["class_axis"] = axis - random.choice([0, len(shape)])
    rng = np.random.default_rng(seed)
    if random.random() < 0.3:
        options["mask"] = narrower(random, rng.random(where) < random.choice([0.0, 0.5, 0.9]))
    if random.random() < 0.3:
        options["ignore_index"] = random.choice([0, 1, -100, 127])
    if random.random() < 0.3:
        options["grad_output"] = retyped(random, narrower(random, rng.normal(size=where)), random.choice(FLOATS))
    if case.kernel != "cross_entropy":
        options.pop("ignore_index", None)
    if random.random() < 0.25:
        spoil(random, operands, options, case.rows)
    operands = {name: as_view(random, a) for name, a in operands.items()}
    return case, operands, options


def outcome(case: Any, operands: dict[str, Any], options: dict[str, Any]) -> Any:
    """Value and gradients, or the refusal."""
    try:
        if "return_grad" in options:
            return case.call(operands, **options)
        value, grads = case.gradients(operands, **options)
        return value, *grads
    except (ValueError, TypeError, IndexError) as error:
        return error


def assert_near(got: Any, expected: Any, unit: float, eps: float) -> None:
    """NaN in the same places, and else as close as rounding leaves numbers that are differences of `unit` or larger."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype and got.shape == expected.shape
    largest = float(np.max(np.abs(expected), initial=unit, where=np.isfinite(expected)))
    np.testing.assert_allclose(got, expected, rtol=64 * eps, atol=64 * eps * largest)


def compare(seed: int) -> bool:
    """One call on both backends; whether it was refused."""
    case, operands, options = random_call(seed)
    inputs = {name: bits(a) for name, a in operands.items() if a.dtype != object}
    got = outcome(case, operands, options)
    with fl.backend("reference"):
        expected = outcome(case, operands, options)
    assert {name: bits(a) for name, a in operands.items() if a.dtype != object} == inputs, "an input was written"
    if isinstance(expected, Exception) or isinstance(got, Exception):
        assert type(got) is type(expected) and str(got) == str(expected), (got, expected)
        return True
    unit = 1 / max(1, np.size(operands[case.first])) if options.get("reduction") == "mean" else 1.0
    parts = list(zip(got, expected, strict=True)) if isinstance(got, tuple) else [(got, expected)]
    eps = float(np.finfo(parts[-1][0].dtype).eps) if len(parts) > 1 else 2.0**-23  # of the working type
    for a, b in parts:
        assert_near(a, b, unit, eps)
    return False


def described(seed: int) -> str:
    case, operands, options = random_call(seed)
    shown = {k: f"{a.dtype}{a.shape}" if isinstance(a, np.ndarray) else a for k, a in {**operands, **options}.items()}
    return f"seed {seed}: {case.name} {shown}"


def test_random_calls_agree_with_the_reference():
    refused = 0
    for seed in range(SEED, SEED + CALLS):
        try:
            refused += compare(seed)
        except Exception as error:
            raise AssertionError(described(seed)) from error
    assert CALLS / 20 < refused < CALLS / 3, refused  # both sides are tried


if __name__ == "__main__":
    for chosen in map(int, sys.argv[1:]):
        warnings.simplefilter("error")
        print(described(chosen))
        print("refused" if compare(chosen) else "close")
