# SPDX-License-Identifier: BSD-3-Clause
"""The one list of cases: correctness, gradients, ISAs, threads, strides, dtypes, accuracy and benchmarks all walk it.

To add a loss, add its cases to the file of its topic, and its exact definition beside the others.
`python cases.py` prints a digest of every case's results, by which runs under different environments are compared bit
for bit.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import cases_adversarial
import cases_binary
import cases_distance
import cases_likelihood
import cases_margin
import cases_regression
import cases_reinforcement
import cases_softmax
import cases_variational
import numpy as np
from case import Case, Operands, Shape

import fastloss as fl

CASES = [
    *cases_regression.CASES,
    *cases_binary.CASES,
    *cases_likelihood.CASES,
    *cases_softmax.CASES,
    *cases_margin.CASES,
    *cases_variational.CASES,
    *cases_adversarial.CASES,
    *cases_reinforcement.CASES,
    *cases_distance.CASES,
]
ELEMENTWISE = [case for case in CASES if not (case.rows or case.vectors)]
ROWS = [case for case in CASES if case.rows and not case.lists]
SOFTMAX = cases_softmax.CASES
# One case per kernel: weights and options change what is multiplied, not how an element is computed.
_PLAIN_FIRST = sorted(CASES, key=lambda case: bool(case.options))
# Softmax losses beyond labels of logits are held against torch in float64 and against the reference in test_softmax.py.
_BEYOND = {case.kernel for case in SOFTMAX} - {"cross_entropy"} | {case.kernel for case in cases_distance.CASES}
KERNELS = [
    next(c for c in _PLAIN_FIRST if c.kernel == kernel)
    for kernel in dict.fromkeys(c.kernel for c in CASES)
    if kernel not in _BEYOND
]
# Rows of elementwise.def that fit no case: a loss without an unreduced form, and an axis that is the target's not.
OTHER_KERNELS = {"rmse": "test_rmse.py", "quantiles": "test_quantiles.py"} | {
    **dict.fromkeys(("td_error", "ppo_value", "ppo_kl", "ppo_clipped", "score"), "test_reinforcement.py"),
    **{"hinge": "test_adversarial.py", "renyi": "test_variational.py", "renyi_square": "test_variational.py"},
}

REDUCTIONS = ("none", "mean", "sum")
# Around whole lanes (16), tiles (512 doubles, 1024 floats) and blocks (4096).
SIZES = [
    *range(1, 51),
    *(k + d for k in (64, 512, 1024, 2048, 4096, 8192, 12288) for d in (-1, 0, 1)),
]
CLASSES = [1, 2, 3, 4, 7, 10, 16, 17, 33, 35, 63, 64, 65, 100, 1000, 1025, 5000]


def shapes_of(case: Case) -> list[Shape]:
    """A few shapes of every kind that the case takes: small, odd, beyond one block, of several axes."""
    if case.rows:
        return [(5,), (7, 3), (40, 10), (33, 100), (3, 1025), (1200, 10), (2, 17, 5), (3, 4, 2, 37), (2, 10, 700)]
    if case.vectors:  # of one feature, the cosine is 1 or -1 but for rounding
        return [(3,), (17,), (1000,), (4097,), (5, 7), (70, 64), (130, 128), (3, 5, 700)]
    return [(1,), (17,), (1000,), (4097,), (5, 7), (3, 5, 700), (20000,)]


def working_type(dtype: Any) -> np.dtype:
    """What the loss is computed in, where every floating-point operand is of `dtype`."""
    return np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)


def assert_close(actual: Any, expected: Any, dtype: Any, note: str = "") -> None:
    """Equal within rounding of the working type, relative to the element and to the largest one.

    This finds wrong formulas and wrong places; how many ulp a kernel may err is the business of test_accuracy.py.
    """
    eps = float(np.finfo(working_type(dtype)).eps)
    expected = np.asarray(expected, dtype=np.float64)
    finite = np.abs(expected[np.isfinite(expected)])
    largest = float(finite.max()) if finite.size else 0.0
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=32 * eps, atol=32 * eps * largest, err_msg=note)


def against_reference(case: Case, operands: Operands, dtype: Any, note: str = "", **options: Any) -> None:
    """Values and gradients agree with the reference, and their types and shapes with the rules."""
    work = working_type(dtype)
    alone = case.call(operands, **options)
    value, grads = case.gradients(operands, **options)
    assert bits(value) == bits(alone), note
    with fl.backend("reference"):
        expected, expected_grads = case.gradients(operands, **options)
    assert_close(value, expected, dtype, note)
    if options.get("reduction", "mean") == "none":
        assert value.dtype == work and value.shape == case.loss_shape(operands[case.first].shape), note
    else:
        assert type(value) is np.float64, note
    for name, grad, expected_grad in zip(case.predictions, grads, expected_grads, strict=True):
        assert grad.dtype == work and grad.shape == operands[name].shape, f"{note} gradient of {name}"
        assert_close(grad, expected_grad, dtype, f"{note} gradient of {name}")


def bits(result: Any) -> bytes:
    """The bytes of a value, an array, or a nest of tuples of them."""
    if isinstance(result, tuple):
        return b"".join(bits(part) for part in result)
    return np.ascontiguousarray(result).tobytes()


def digests(large: bool = False) -> dict[str, str]:
    """A digest per case of all its values and gradients; `large`: shapes that occupy several threads."""
    found = {}
    for case in CASES:
        digest = hashlib.sha256()
        enough = [(3000, 101), (6, 11, 5000)] if case.rows else [(3000, 101)]
        shapes = enough if large else shapes_of(case)
        for shape in shapes:
            for dtype in (np.float32, np.float64):
                operands = case.operands(shape, dtype)
                for reduction in ("none", "mean") if large else REDUCTIONS:
                    digest.update(bits(case.call(operands, reduction=reduction)))
                    digest.update(bits(case.gradients(operands, reduction=reduction)))
        found[case.name] = digest.hexdigest()
    return found


def disagreement() -> float:
    """Largest relative difference of kernels from the reference over all cases, in eps of the working type. Values of
    vectors' losses, which subtract distances: relative to what those can be."""
    worst = 0.0
    for case in CASES:
        for shape in shapes_of(case):
            for dtype in (np.float32, np.float64):
                operands = case.operands(shape, dtype)
                value, grads = case.gradients(operands, reduction="none")
                with fl.backend("reference"):
                    expected, expected_grads = case.gradients(operands, reduction="none")
                least = max(np.abs(operands[k]).sum(-1).max() for k in case.predictions) if case.vectors else 0.0
                for k, (a, b) in enumerate(zip((value, *grads), (expected, *expected_grads), strict=True)):
                    scale = (
                        float(max(np.max(np.abs(b)), least if k == 0 else 0)) * float(np.finfo(dtype).eps) or math.inf
                    )
                    difference = float(np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))))
                    worst = max(worst, difference / scale)
    return worst


if __name__ == "__main__":
    print(json.dumps({"digests": digests(), "disagreement": disagreement()}))
