# SPDX-License-Identifier: BSD-3-Clause
"""Train LightGBM with a loss of fastloss as its objective: python examples/boosting.py (pip install fastloss[examples])

A boosting library asks for the gradient and the second derivative of the loss by each prediction. Here the classes are
out of balance, one sample in twenty is positive, and two losses are tried beside LightGBM's own: the same logistic loss,
which must give the same model, and the focal loss, which has no like among LightGBM's objectives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm as lgb
import numpy as np

import fastloss as fl


def objective(loss: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """The loss as LightGBM calls it: raw scores and data in, gradient and second derivative out.

    The focal loss is not convex: LightGBM needs a positive second derivative, so a small bound keeps its steps finite.
    """

    def derivatives(scores: np.ndarray, data: lgb.Dataset) -> tuple[np.ndarray, np.ndarray]:
        _, grad, hess = loss(
            scores, data.get_label(), weight=data.get_weight(), reduction="sum", return_grad=True, return_hess=True,
            **options,
        )  # fmt: skip
        return grad, np.maximum(hess, 1e-6)

    return derivatives


def samples(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten features, of which the answer depends on three and on chance; about one in twenty is positive."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 10)).astype(np.float32)
    logit = 1.5 * x[:, 0] * x[:, 1] + np.abs(x[:, 2]) * 1.2 - 5.2
    return x, (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.float32)


def train(x: np.ndarray, y: np.ndarray, chosen: Any) -> lgb.Booster:
    settings = {"objective": chosen, "num_leaves": 15, "learning_rate": 0.1, "seed": 1, "deterministic": True}
    fixed = {"boost_from_average": False, "num_threads": 1, "verbosity": -1}
    return lgb.train({**settings, **fixed}, lgb.Dataset(x, y), num_boost_round=100)


def average_precision(scores: np.ndarray, y: np.ndarray) -> float:
    """Precision at each positive, from the highest score down, averaged."""
    hits = y[np.argsort(-scores)] > 0
    return float(np.mean((np.cumsum(hits) / np.arange(1, hits.size + 1))[hits]))


def main() -> None:
    x, y = samples(20_000, seed=0)
    x_test, y_test = samples(20_000, seed=1)
    objectives = {
        "LightGBM's binary": "binary",
        "fastloss, logistic": objective(fl.binary_cross_entropy_with_logits),
        "fastloss, focal": objective(fl.sigmoid_focal_loss, alpha=0.75, gamma=2.0),
    }
    scores = {name: train(x, y, chosen).predict(x_test, raw_score=True) for name, chosen in objectives.items()}
    print(f"{'objective':20s} log loss  average precision")
    for name, s in scores.items():
        loss = fl.binary_cross_entropy_with_logits(s, y_test)
        print(f"{name:20s} {loss:8.5f}  {average_precision(s, y_test):.4f}")
    apart = np.max(np.abs(scores["LightGBM's binary"] - scores["fastloss, logistic"]))
    print(f"the two logistic models differ by at most {apart:.2g} in their scores")


if __name__ == "__main__":
    main()
