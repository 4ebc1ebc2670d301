# SPDX-License-Identifier: BSD-3-Clause
"""Kernels of boxes and masks stay within their arrays, on every ISA; hostile labels that change while they run."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

import fastloss as fl

ISAS = [name for name, state in fl.isas().items() if state["compiled"] and state["supported"]]


@pytest.mark.parametrize("isa", ISAS)
def test_every_kernel_stays_within_its_arrays(run_python, isa):
    result = run_python("overlap_guard.py", FASTLOSS_ISA=isa)
    lines = result.stdout.splitlines()
    assert result.returncode == 0, f"in {lines[-1] if lines else 'nothing'}\n{result.stderr[-2000:]}"
    assert int(result.stdout.split()[-2]) > 1_000


DIGESTS = """
import hashlib, json
import numpy as np
import fastloss as fl
from cases import bits
rng = np.random.default_rng(0)
found = {}
for dtype in ("f4", "f8"):
    x, labels = rng.normal(0, 2, (3, 21, 37, 11)).astype(dtype), rng.integers(0, 21, (3, 37, 11))
    wide, many = rng.normal(0, 2, (2, 70, 300)).astype(dtype), rng.integers(0, 70, (2, 300))
    boxes = np.sort(rng.normal(0, 2, (2, 700, 2, 2)), axis=2).reshape(2, 700, 4).astype(dtype)
    for name in ("dice", "jaccard", "tversky", "generalized_dice", "lovasz_softmax"):
        loss = getattr(fl, name + "_loss")
        found[name, dtype] = [loss(x, labels, return_grad=True), loss(wide, many, return_grad=True)]
    found["masks", dtype] = [fl.dice_loss(x, x > 1, mode=m, return_grad=True) for m in ("binary", "multilabel")]
    found["hinge", dtype] = [fl.lovasz_hinge_loss(x, x > 1, mode=m, return_grad=True) for m in ("binary", "multilabel")]
    for name in ("iou", "giou", "diou", "ciou"):
        found[name, dtype] = [getattr(fl, name + "_loss")(*boxes, fmt=f, return_grad=True) for f in ("xyxy", "cxcywh")]
    found["matrix", dtype] = [fl.box_iou(*boxes)]
print(json.dumps({" ".join(k): hashlib.sha256(b"".join(map(bits, v))).hexdigest() for k, v in found.items()}))
"""


def test_fma_isas_give_equal_bits(run_python):
    fused = [isa for isa in ISAS if isa != "baseline"]
    if len(fused) < 2:
        pytest.skip(f"this machine runs {ISAS}: no two ISAs with fused multiply-add")
    first, *others = (json.loads(run_python(DIGESTS, FASTLOSS_ISA=isa).stdout) for isa in fused)
    for other in others:
        assert other == first


@pytest.mark.parametrize("loss", [fl.dice_loss, fl.lovasz_softmax_loss])
def test_labels_that_change_during_the_call(loss):
    """Either a right result, of whatever the labels were, or an error; never a read out of bounds."""
    x = np.random.default_rng(0).normal(size=(4, 5, 20_000)).astype(np.float32)
    target = np.zeros((4, 20_000), np.int64)
    done = threading.Event()

    def meddle():
        while not done.is_set():
            target[2] = 2**62
            target[2] = -(2**62)
            target[2] = 1

    thread = threading.Thread(target=meddle)
    thread.start()
    try:
        for _ in range(60):
            try:
                value = loss(x, target, return_grad=True)[0]
                assert np.isfinite(value)
            except ValueError as error:
                assert "is out of range for 5 classes" in str(error)
    finally:
        done.set()
        thread.join()
