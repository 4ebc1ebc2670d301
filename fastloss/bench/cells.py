# SPDX-License-Identifier: BSD-3-Clause
"""The frozen list of cells: one loss on one shape and dtype each. operands.py draws what goes in.

Adding a cell is a commit of its own with the reason, so that nobody can choose the cells after the results.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

GROUPS = (
    "small",
    "in-cache",
    "beyond-cache",
    "ctc-log-probs",
    "ctc-logits",
    "tokens",
    "linear",
    "boxes",
    "masks",
    "networks",
    "vectors",
)

ELEMENTWISE = ("l1", "mse", "huber", "bce_with_logits", "gaussian_nll")
BINARY = ("bce", "soft_margin", "hinge_embedding", "margin_ranking", "focal")
REGRESSION = ("smooth_l1", "rmse", "log_cosh", "quantile", "mape", "smape", "msle")
COUNTS = ("poisson_nll", "kl_div", "gamma_nll", "tweedie_nll")
TOKENS = ("token_log_probs", "logsumexp", "entropy", "topk_log_probs", "kl_div_logits")
TOP_K = 10
ONE_EXP = ("cross_entropy", "logsumexp", "token_log_probs", "poisson_nll", "gamma_nll")  # per element, and little else
BOXES = ("giou", "ciou", "box_iou")
MASKS = ("dice", "tversky", "focal_tversky", "generalized_dice", "lovasz_softmax")  # of class indices
ONE_MASK = ("dice_binary", "jaccard_multilabel", "lovasz_hinge")
ONE_OPERAND = ("cross_entropy", "multi_margin", "multilabel_margin", "batch_hard")
THREE_OPERANDS = ("gaussian_nll", "margin_ranking", "triplet")
VECTOR_GRADIENTS = {"triplet": 3, "cosine_embedding": 2, "batch_hard": 1, "info_nce": 2}
SIZE_GROUPS = {"100": "small", "10k": "in-cache", "1M": "in-cache", "16M": "beyond-cache"}
SIZES = {"1": 1, "100": 100, "10k": 10_000, "1M": 1_000_000, "16M": 16_000_000}


@dataclass(frozen=True)
class Cell:
    """One loss of inputs of one shape and dtype.

    `shape` is that of `input`, `group` the class of its size, `labels` how long CTC's targets are, and how many classes
    of a row are positive; a linear loss has the shape (rows, features, classes).
    """

    name: str
    loss: str
    shape: tuple[int, ...]
    dtype: str
    group: str
    labels: int = 0

    @property
    def elements(self) -> int:
        """What the table's nanoseconds are counted by: elements of the input, or CTC's pairs of a frame and a state."""
        if self.is_ctc:
            return math.prod(self.shape[:2]) * (2 * self.labels + 1)
        if self.group == "linear":
            return self.shape[0] * self.shape[2]
        return math.prod(self.shape)

    @property
    def is_ctc(self) -> bool:
        return self.loss in ("ctc", "ctc_logits")

    @property
    def is_tokens(self) -> bool:
        return self.group in ("tokens", "linear")

    @property
    def is_vision(self) -> bool:
        return self.group in ("boxes", "masks")

    @property
    def is_network(self) -> bool:
        """Whether it is one of the losses around networks, whose operands peers_networks.py draws."""
        return self.group == "networks"

    @property
    def is_vectors(self) -> bool:
        """Whether it is one of the losses on vectors, whose operands peers_vectors.py draws."""
        return self.group == "vectors"

    @property
    def streams(self) -> int:
        """Floating-point operands of the size of `input` that a call reads."""
        if self.group == "masks":
            return 1  # beside labels, or bools
        return 1 if self.loss in ONE_OPERAND or self.is_ctc else 3 if self.loss in THREE_OPERANDS else 2

    @property
    def gradients(self) -> int:
        return VECTOR_GRADIENTS[self.loss] if self.is_vectors else 2 if self.loss in THREE_OPERANDS else 1

    def operands(self) -> dict[str, Any]:
        """Seeded operands, floating-point ones in the cell's dtype."""
        from . import operands

        return operands.of_cell(self)


def _elementwise(size: str, group: str, dtype: str = "float32", losses: tuple[str, ...] = ELEMENTWISE) -> list[Cell]:
    suffix = "" if dtype == "float32" else " " + dtype
    return [Cell(f"{loss} {size}{suffix}", loss, (SIZES[size],), dtype, group) for loss in losses]


def _rows(shape: tuple[int, ...], group: str, dtype: str = "float32", loss: str = "cross_entropy") -> Cell:
    suffix = "" if dtype == "float32" else " " + dtype
    return Cell(f"{loss} {'x'.join(map(str, shape))}{suffix}", loss, shape, dtype, group)


def _binary() -> list[Cell]:
    """Losses of yes-or-no targets, several labels per sample among them."""
    sides = {"100": 10, "10k": 100, "1M": 1000, "16M": 4000}
    return [
        cell
        for size, group in SIZE_GROUPS.items()
        for cell in (
            *_elementwise(size, group, losses=BINARY),
            _rows((sides[size], sides[size]), group, loss="multilabel_soft_margin"),
        )
    ]


def _ctc(frames: int, samples: int, classes: int, labels: int) -> list[Cell]:
    size, shape = f"T{frames} N{samples} C{classes} L{labels}", (frames, samples, classes)
    return [
        Cell(f"ctc {size}", "ctc", shape, "float32", "ctc-log-probs", labels),
        Cell(f"ctc_logits {size}", "ctc_logits", shape, "float32", "ctc-logits", labels),
    ]


CTC = [
    *_ctc(50, 16, 20, 10),
    *_ctc(200, 32, 32, 40),
    *_ctc(500, 32, 1000, 60),
    *_ctc(1000, 32, 128, 200),
    *_ctc(1500, 16, 5000, 120),
]

TOKEN_CELLS = [
    *(_rows(shape, "tokens", loss=loss) for shape in ((512, 50257), (1024, 1000)) for loss in TOKENS),
    *(
        _rows(shape, "linear", loss="linear_cross_entropy")
        for shape in ((2048, 1024, 50257), (256, 256, 8000), (1, 1024, 8000))
    ),
]

MARGINS = [
    _rows((1024, 1000), "in-cache", loss="multi_margin"),
    Cell("multilabel_margin 1024x1000", "multilabel_margin", (1024, 1000), "float32", "in-cache", labels=20),
]

DTYPES = [  # dumps of half precision, and what is computed in double
    *_elementwise("100", "small", "float16", ("mse", "bce_with_logits")),
    *_elementwise("100", "small", "float64", ("mse", "bce_with_logits")),
    *_elementwise("1M", "in-cache", "float16", ("mse", "bce_with_logits")),
    _rows((1024, 1000), "in-cache", "float16"),
    *_elementwise("16M", "beyond-cache", "float16", ("mse", "bce_with_logits")),
    *_elementwise("16M", "beyond-cache", "float64", ("mse", "bce_with_logits")),
    _rows((512, 50257), "beyond-cache", "float16"),
]

VISION = [
    *(Cell(f"{loss} {n}", loss, (n, 4), "float32", "boxes") for loss in BOXES[:2] for n in (100, 10_000, 1_000_000)),
    *(Cell(f"box_iou {n}x{n}", "box_iou", (n, 4), "float32", "boxes") for n in (100, 1000)),
    *(_rows(shape, "masks", loss=loss) for loss in MASKS for shape in ((2, 4, 32, 32), (8, 21, 128, 128))),
    *(_rows(shape, "masks", loss=loss) for loss in ONE_MASK for shape in ((2, 1, 32, 32), (8, 1, 256, 256))),
]

# Batches as they are trained on, and ones beyond the caches.
NETWORK_SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "gaussian_kl": ((128, 32), (65536, 64)),
    "elbo": ((128, 784), (4096, 784)),
    "js": ((128, 100), (8192, 512)),
    "renyi": ((128, 100), (8192, 512)),
    "td": ((256,), (4_000_000,)),
    "dqn": ((256, 6), (1_000_000, 6)),
    "policy_gradient": ((256, 6), (1_000_000, 6), (1024, 1000)),
    "ppo": ((256,), (16384,), (4_000_000,)),
    "gae": ((128, 8), (2048, 64), (256, 16384)),
    "n_step": ((128, 8), (2048, 64), (256, 16384)),
    "discriminator": ((64,), (1_000_000,)),
    "generator": ((64,), (1_000_000,)),
    "penalty": ((64, 3, 32, 32), (64, 3, 256, 256)),
    "wasserstein": ((1000,), (1_000_000,)),
}
NETWORKS = [_rows(shape, "networks", loss=loss) for loss, shapes in NETWORK_SHAPES.items() for shape in shapes]

# In cache, many short vectors, and long ones; a batch that is mined, and one that is ranked.
VECTOR_SHAPES = ((1024, 128), (65536, 128), (16384, 768))
VECTORS = [
    *(_rows(shape, "vectors", loss=loss) for loss in ("triplet", "cosine_embedding") for shape in VECTOR_SHAPES),
    _rows((4096, 128), "vectors", loss="batch_hard"),
    _rows((1024, 128), "vectors", loss="info_nce"),
]

CELLS = [
    *_elementwise("1", "small"),
    *_elementwise("100", "small"),
    _rows((32, 10), "small"),
    *_elementwise("10k", "in-cache"),
    *_elementwise("1M", "in-cache"),
    _rows((1024, 1000), "in-cache"),
    _rows((1024, 128), "in-cache"),
    *_elementwise("1M", "in-cache", "float64", ("mse", "bce_with_logits")),
    _rows((1024, 1000), "in-cache", "float64"),
    *_elementwise("16M", "beyond-cache"),
    _rows((512, 50257), "beyond-cache"),
    _rows((100_000, 10), "beyond-cache"),
    _rows((8, 21, 128, 128), "beyond-cache"),
    _rows((65536, 128), "beyond-cache"),
    *_binary(),
    *(cell for size, group in SIZE_GROUPS.items() for cell in _elementwise(size, group, losses=REGRESSION + COUNTS)),
    *CTC,
    *TOKEN_CELLS,
    *MARGINS,
    *DTYPES,
    *VISION,
    *NETWORKS,
    *VECTORS,
]


@dataclass(frozen=True)
class Floor:
    """What a cell must reach: a paired median ratio to a peer at 2 threads, microseconds at most, or a share of the
    speed at which C reads the same arrays, both from memory where caches can be flushed. A group's name in place of a
    cell's asks for the group's geometric mean.
    """

    cell: str
    mode: str
    ratio: float | None = None
    microseconds: float | None = None
    share_of_read: float | None = None
    peer: str = "torch"


SOFTMAX_FLOORS = (
    ("1024x1000", 1.6, 2.5),
    ("512x50257", 3.5, 4.0),
    ("100000x10", 10.0, 6.0),
    ("8x21x128x128", 3.0, 3.0),
)
NO_LOSS = 0.97  # a paired median below is a loss
PRODUCT = "bare product"  # NumPy's product of a linear loss's operands, into an array that exists: the loss's own limit

FLOORS = [
    *(Floor(f"{loss} {size}", "forward", 4.0) for loss in ("mse", "huber") for size in ("10k", "1M")),
    *(Floor(f"{loss} 16M", "forward", 3.0) for loss in ("mse", "huber")),
    *(Floor(f"{loss} 16M", "forward", share_of_read=0.9) for loss in ("mse", "l1", "huber")),
    Floor("bce_with_logits 1M", "forward", 3.0),
    Floor("bce 1M", "forward", 12.0),
    *(Floor(f"{loss} {size}", mode, 1.5) for loss in BINARY for size in SIZES for mode in ("forward", "gradient")),
    *(
        Floor(f"{loss} {size}", mode, 1.5)
        for loss in REGRESSION + COUNTS
        for size in SIZES
        for mode in ("forward", "gradient")
    ),
    *(
        floor
        for shape, forward, gradient in SOFTMAX_FLOORS
        for floor in (
            Floor(f"cross_entropy {shape}", "forward", forward),
            Floor(f"cross_entropy {shape}", "gradient", gradient),
            *(Floor(f"cross_entropy {shape}", mode, NO_LOSS, peer="jax") for mode in ("forward", "gradient")),
        )
    ),
    Floor("cross_entropy 512x50257", "forward", share_of_read=0.8),
    Floor("cross_entropy 32x10", "forward", microseconds=1.6),
    Floor("multi_margin 1024x1000", "forward", 25.0),
    Floor("multilabel_margin 1024x1000", "forward", 50.0),
    Floor("linear_cross_entropy 2048x1024x50257", "forward", 1 / 1.15, peer=PRODUCT),
    *(Floor(f"{loss} 100", "forward", microseconds=1.5) for loss in ELEMENTWISE),
    Floor("ctc-log-probs", "forward", 12.0),
    Floor("ctc-log-probs", "gradient", 14.0),
    Floor("ctc-logits", "forward", 8.0),
    Floor("ctc-logits", "gradient", 12.0),
    *(Floor(group, mode, 5.0) for group in ("boxes", "masks") for mode in ("forward", "gradient")),
    *(Floor(cell.name, "forward", NO_LOSS) for cell in VISION),
    *(Floor(cell.name, "gradient", NO_LOSS) for cell in VISION if cell.loss != "box_iou"),
    Floor("triplet 1024x128", "forward", 5.0),
    Floor("triplet 1024x128", "gradient", 8.0),
    *(Floor(f"triplet {shape}", "forward", 6.0) for shape in ("65536x128", "16384x768")),
    *(Floor(f"triplet {shape}", "gradient", 5.0) for shape in ("65536x128", "16384x768")),
    Floor("triplet 65536x128", "forward", share_of_read=0.8),
    *(Floor(f"cosine_embedding {'x'.join(map(str, shape))}", "forward", 5.0) for shape in VECTOR_SHAPES),
    Floor("batch_hard 4096x128", "forward", 3.0),
    *(Floor(cell.name, mode, 4.0) for cell in CTC for mode in ("forward", "gradient")),
    *(Floor(cell.name, mode, 6.0, peer="jax") for cell in CTC for mode in ("forward", "gradient")),
]


QUICK = (  # a run over these ends within two minutes; classes alternate, in case time is up, and the longest come last
    "mse 100", "cross_entropy 1024x1000", "cross_entropy 100000x10", "ctc T50 N16 C20 L10", "bce_with_logits 1M",
    "bce_with_logits 100", "ctc_logits T200 N32 C32 L40", "mse 1M", "cross_entropy 32x10", "mse 10k",
    "logsumexp 1024x1000", "bce_with_logits 10k", "mse 1M float64", "mse 1M float16", "mse 16M", "bce_with_logits 16M",
)  # fmt: skip


def quick() -> list[Cell]:
    by_name = {cell.name: cell for cell in CELLS}
    return [by_name[name] for name in QUICK]


def select(words: list[str]) -> list[Cell]:
    """Cells whose group, loss, dtype or name is, or whose name contains, one of the words; a whole name is that cell
    alone; all of them for no word or "all"."""
    if not words or "all" in words:
        return CELLS
    names = {cell.name for cell in CELLS}
    for word in words:
        if not any(_matches(cell, word, names) for cell in CELLS):
            raise ValueError(f"no cell matches {word!r}; groups are {', '.join(GROUPS)}")
    return [cell for cell in CELLS if any(_matches(cell, word, names) for word in words)]


def _matches(cell: Cell, word: str, names: set[str]) -> bool:
    if word in names:
        return word == cell.name
    return word in (cell.group, cell.loss, cell.dtype) or word in cell.name
