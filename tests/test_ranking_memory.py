# SPDX-License-Identifier: BSD-3-Clause
"""Losses over whole batches need less than 64 MB with their gradients: all distances of these 4096 vectors are 64 MB of
floats, and 128 MB of doubles."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import fastloss as fl

N, LIMIT = 4096, 64 * 2**20
CALLS = {
    "hard": lambda x, labels, **o: fl.batch_hard_triplet_loss(x, labels, **o),
    "all": lambda x, labels, **o: fl.batch_all_triplet_loss(x, labels, **o),
    "info_nce": lambda x, labels, **o: fl.info_nce_loss(x, x[::-1], **o),
    "nt_xent": lambda x, labels, **o: fl.nt_xent_loss(x[: N // 2], x[N // 2 :], **o),
    "ranking": lambda x, labels, **o: fl.multiple_negatives_ranking_loss(x, x[::-1], **o),
}


@pytest.mark.parametrize("with_gradient", [False, True], ids=["value", "gradient"])
@pytest.mark.parametrize("name", CALLS)
def test_no_matrix_of_all_pairs(name, with_gradient, rng):
    x, labels = rng.standard_normal((N, 128), np.float32), rng.integers(0, 64, N)
    tracemalloc.start()
    try:
        CALLS[name](x, labels, return_grad=with_gradient)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < LIMIT, f"{peak / 2**20:.1f} MB"
