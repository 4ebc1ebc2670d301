# SPDX-License-Identifier: BSD-3-Clause
"""One call of every public loss, with its gradients: what must survive forks, threads, spawns and repetition.

Every case of cases.py, and what fits no case: CTC, products, overlaps, boxes, distances, rankings, scans, numbers of
tokens. test_every.py holds the list complete. `python every.py` prints a digest of all of their bits.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from cases import CASES, bits

import fastloss as fl

Call = Callable[[], Any]
# What the cases do not call: called below.
OTHERS = """
    batch_all_triplet_loss batch_hard_triplet_loss bits_per_byte box_iou cdist ciou_loss contrastive_loss
    cosine_embedding_loss cosine_similarity ctc_feasible ctc_loss dice_loss diou_loss dqn_loss elbo_loss entropy
    focal_tversky_loss gae gan_discriminator_loss generalized_dice_loss giou_loss gradient_penalty hardest_triplets
    info_nce_loss iou_loss jaccard_loss kl_div_logits linear_cross_entropy logsumexp lovasz_hinge_loss
    lovasz_softmax_loss multiple_negatives_ranking_loss n_step_returns nt_xent_loss pairwise_distance perplexity
    policy_gradient_loss rmse_loss td_error token_log_probs topk_log_probs triplet_margin_loss
    triplet_margin_with_distance_loss tversky_loss wasserstein_distance_1d
""".split()


def of_rows(rng: np.random.Generator, n: int) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """Operands and options of losses of vectors, by the name of the function."""
    a, b, c, d = (rng.normal(size=(n, 24)).astype(np.float32) for _ in range(4))
    each, other = rng.normal(size=(2, n)).astype(np.float32)
    signs, groups = rng.choice([-1, 1], n), rng.integers(0, 9, n)
    few = a[:120]
    vectors = {
        **{name: ((a, b), {}) for name in ("cosine_similarity", "pairwise_distance", "gan_discriminator_loss")},
        **{name: ((few, b[:120]), {}) for name in ("info_nce_loss", "nt_xent_loss")},
        "contrastive_loss": ((a, b, (signs + 1) // 2), {}),
        "cosine_embedding_loss": ((a, b, signs), {}),
        "rmse_loss": ((a, b), {}),
        "elbo_loss": ((a, (b > 0).astype(np.float32), c, d), {}),
        "gradient_penalty": ((a,), {}),
        "multiple_negatives_ranking_loss": ((few, b[:120], c[:120]), {}),
        "triplet_margin_loss": ((a, b, c), {"swap": True}),
        "triplet_margin_with_distance_loss": ((a, b, c), {"distance_function": "cosine"}),
        "batch_all_triplet_loss": ((few[:60], groups[:60]), {}),
        "batch_hard_triplet_loss": ((few, groups[:120]), {}),
        "wasserstein_distance_1d": ((each, other), {}),
        "policy_gradient_loss": ((a, groups, each), {"ent_coef": 0.1}),
        "dqn_loss": ((a, groups, each, b), {"next_q_online": c}),
        "linear_cross_entropy": ((a, b[:90], rng.integers(0, min(n, 90), n)), {}),
    }
    corners = rng.uniform(0, 4, (n, 4)).astype(np.float32)
    return vectors | {f"{kind}_loss": ((corners, corners[::-1]), {}) for kind in ("iou", "giou", "diou", "ciou")}


def of_masks(rng: np.random.Generator, n: int) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    x, labels = rng.normal(size=(2, 5, n)).astype(np.float32), rng.integers(0, 5, (2, n))
    names = ("dice", "jaccard", "tversky", "focal_tversky", "generalized_dice", "lovasz_softmax")
    found: dict[str, Any] = {f"{name}_loss": ((x, labels), {}) for name in names}
    return found | {"lovasz_hinge_loss": ((x[:, 0], labels == 1), {})}


def without_gradients(rng: np.random.Generator, n: int) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    logits, other = (rng.normal(size=(n, 40)).astype(np.float32) for _ in range(2))
    tokens, corners = rng.integers(0, 40, n), rng.uniform(0, 4, (40, 4)).astype(np.float32)
    steps, values = rng.normal(size=(2, n, 3)).astype(np.float32)
    lengths = np.full(6, 9), np.full(6, 4)
    return {
        "box_iou": ((corners, corners[::-1]), {}),
        "cdist": ((logits[:50], other[:30]), {}),
        "ctc_feasible": ((rng.integers(1, 9, (6, 4)), *lengths), {}),
        "hardest_triplets": ((logits[:80], tokens[:80]), {}),
        **{name: ((logits,), {}) for name in ("entropy", "logsumexp")},
        **{name: ((logits, tokens), {}) for name in ("perplexity", "token_log_probs")},
        "bits_per_byte": ((logits, tokens, 4 * n), {}),
        "kl_div_logits": ((logits, other), {}),
        "topk_log_probs": ((logits, 3), {}),
        "gae": ((steps, values, values[-1]), {}),
        "n_step_returns": ((steps, values, values[-1]), {"n": 4}),
        "td_error": ((steps, values, values), {}),
    }


def of_sequences(rng: np.random.Generator) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x, labels = rng.normal(size=(30, 8, 9)).astype(np.float32), rng.integers(1, 9, (8, 7))
    return (x, labels, np.full(8, 30), np.full(8, 7)), {"from_logits": True}


def others(n: int) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """Operands and options of what fits no case, by the name of the function."""
    rng = np.random.default_rng(0)
    found = {**of_rows(rng, n), **of_masks(rng, n), "ctc_loss": of_sequences(rng)}
    found = {name: (operands, {**options, "return_grad": True}) for name, (operands, options) in found.items()}
    return found | without_gradients(rng, n)


def calls(n: int = 500) -> dict[str, Call]:
    """A name -> a call of some `n` rows: a loss's value and its gradients."""
    found: dict[str, Call] = {}
    for case in CASES:
        found[case.name] = functools.partial(case.gradients, case.operands((n, 90), np.float32))
    for name, (operands, options) in others(n).items():
        found[name] = functools.partial(getattr(fl, name), *operands, **options)
    return found


def digests(chosen: dict[str, Call]) -> dict[str, str]:
    """Digests of the bits of all results."""
    return {name: hashlib.sha256(bits(call())).hexdigest() for name, call in chosen.items()}


if __name__ == "__main__":
    print(hashlib.sha256(repr(digests(calls())).encode()).hexdigest())
