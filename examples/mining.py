# SPDX-License-Identifier: BSD-3-Clause
"""Mine the hardest triplets of the digits' embedding: python examples/mining.py (draws them if there is matplotlib)

Each of the 1797 digits has an embedding of nine numbers. For every one of them the farthest digit of its own class and
the nearest of another are found; the triplets with the largest losses show where the embedding fails: which digits look
like another's class, and which classes run into each other.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import fastloss as fl

HERE = Path(__file__).resolve().parent
SHOWN = 8


def mine(embedding: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positive, negative and loss of each anchor."""
    positive, negative = fl.hardest_triplets(embedding, label)
    loss = fl.batch_hard_triplet_loss(embedding, label, reduction="none")
    return positive, negative, loss


def table(
    embedding: np.ndarray, label: np.ndarray, positive: np.ndarray, negative: np.ndarray, loss: np.ndarray
) -> None:
    print("anchor          farthest of its class   nearest of another     loss")
    for a in np.argsort(-loss)[:SHOWN]:
        p, n = positive[a], negative[a]
        near, far = (float(fl.pairwise_distance(embedding[a], embedding[k], eps=0.0)) for k in (p, n))
        nearest = f"{n:5d} (a {label[n]}) at {far:4.2f}"
        print(f"{a:5d} (a {label[a]})   {p:5d} at {near:5.2f}          {nearest}   {loss[a]:6.2f}")
    confused, count = np.unique(np.sort(np.stack([label, label[negative]], axis=1)), axis=0, return_counts=True)
    print("nearest neighbours of other classes, by classes:")
    for k in np.argsort(-count)[:5]:
        print(f"  {confused[k][0]} and {confused[k][1]}: {count[k]}")


def picture(
    embedding: np.ndarray, label: np.ndarray, positive: np.ndarray, negative: np.ndarray, loss: np.ndarray
) -> None:
    """The embedding's first two axes, and lines from the hardest anchors to their positives and negatives."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    figure, axes = plt.subplots(figsize=(8, 7))
    axes.scatter(embedding[:, 0], embedding[:, 1], c=label, cmap="tab10", s=6, alpha=0.5)
    for a in np.argsort(-loss)[:SHOWN]:
        for other, colour in ((positive[a], "tab:green"), (negative[a], "tab:red")):
            axes.plot(*embedding[[a, other], :2].T, color=colour, linewidth=1)
        axes.annotate(str(label[a]), embedding[a, :2], fontsize=11, weight="bold")
    axes.set_title("hardest triplets: green to the positive, red to the negative")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("mining.png")
    figure.savefig(target, dpi=120)
    print(f"wrote {target}")


def main() -> None:
    data = np.load(HERE / "digits.npz")
    embedding, label = data["embedding"], data["target"]
    positive, negative, loss = mine(embedding, label)
    table(embedding, label, positive, negative, loss)
    whole = fl.batch_hard_triplet_loss(embedding, label), fl.batch_all_triplet_loss(embedding, label)
    print(f"batch-hard {whole[0]:.4f}, all triplets {whole[1]:.4f}")
    picture(embedding, label, positive, negative, loss)


if __name__ == "__main__":
    main()
