# SPDX-License-Identifier: BSD-3-Clause
"""CTC with every operand and output between unreadable pages: `python ctc_guard.py`, which prints each call before it.

The companion of guard.py: lengths of targets and frames, numbers of classes and layouts, the operands in fenced memory
as small as their shapes allow, labels at both ends of their range. test_ctc_memory.py runs it once per ISA.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from cases import bits
from ctc_cases import Batch, draw_labels, needed
from guard import LAYOUTS, SIDES, Yard

import fastloss as fl
from fastloss import _call_ctc

LABELS = [*range(20), 31, 32, 33, 47, 48, 49, 64, 65]
CLASSES = [2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65]


def drawn(frames: int, samples: int, classes: int, longest: int, blank: int) -> Batch:
    """Targets of which the last is the longest, and labels of which one is the first class and one the last."""
    rng = np.random.default_rng([frames, samples, classes, longest])
    targets = [draw_labels(rng, max(0, longest - 3 * k), classes, blank, 0.1) for k in range(samples)][::-1]
    for labels in targets:
        if len(labels) > 2:
            labels[[0, -1]] = [0 if blank else 1, classes - 2 if blank == classes - 1 else classes - 1]
    lengths = [max(1, frames - 2 * k) for k in range(samples)][::-1]
    return Batch(rng.normal(0, 3, (frames, samples, classes)), targets, np.array(lengths), blank)


def shapes() -> Iterator[tuple[int, int, int, int, int]]:
    """Frames, samples, classes, the longest target, the blank."""
    for labels in LABELS:
        yield labels + labels % 3 or 1, 2, CLASSES[labels % len(CLASSES)], labels, 0
    for classes in CLASSES:
        for samples in (1, 3):
            yield 18, samples, classes, 9, classes - 1
    for frames in (1, 2, 15, 16, 17, 18, 31, 32, 33, 34, 65):
        yield frames, 2, 5, min(frames // 2, 8), 2


def fenced_call(yard: Yard, batch: Batch, dtype: Any, from_logits: bool, forced: bool, padded: bool) -> Any:
    x = batch.inputs(dtype, from_logits)
    work = np.float64 if np.dtype(dtype) == np.float64 else np.float32
    operands = {
        "log_probs": yard.put("log_probs", x),
        "targets": yard.put("targets", batch.padded(fill=-1) if padded else batch.concatenated),
        "input_lengths": yard.put("input_lengths", batch.input_lengths),
        "target_lengths": yard.put("target_lengths", batch.target_lengths),
    }
    options = {
        "blank": batch.blank,
        "reduction": "none",
        "zero_infinity": False,
        "from_logits": from_logits,
        "grad_output": yard.put("grad_output", np.ones(len(batch.targets))),
        "out": yard.output("out", (len(batch.targets),), work),
        "grad_out": yard.output("grad_out", x.shape, work),
    }
    if forced:
        return _call_ctc.general_ctc(*operands.values(), **options, return_grad=True, exact=True)
    fl.ctc_loss(*operands.values(), blank=batch.blank, from_logits=from_logits)
    return fl.ctc_loss(*operands.values(), **options, return_grad=True)


def walk() -> int:
    """Every shape in both types, contiguous at both sides; some in every other layout and in float16."""
    calls = 0
    for k, shape in enumerate(shapes()):
        batch = drawn(*shape)
        assert all(needed(labels) >= len(labels) for labels in batch.targets)
        layouts = list(LAYOUTS) if k % 7 == 0 else ["contiguous"]
        for dtype in (np.float32, np.float64, np.float16) if k % 7 == 0 else (np.float32, np.float64):
            for from_logits in (False, True):
                for forced in (False, True):
                    expected = None
                    for layout in layouts:
                        for side in SIDES:
                            yard = yards.setdefault((layout, side), Yard(LAYOUTS[layout], side))
                            print(shape, np.dtype(dtype), from_logits, forced, layout, side, flush=True)
                            got = bits(fenced_call(yard, batch, dtype, from_logits, forced, bool(k % 2)))
                            expected = expected or got
                            assert got == expected, "other bits in fenced memory"
                            calls += 1
    return calls


yards: dict[tuple[str, str], Yard] = {}

if __name__ == "__main__":
    print(walk(), "calls")
