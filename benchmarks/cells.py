# SPDX-License-Identifier: BSD-3-Clause
"""The frozen list of cells: one loss on one shape and dtype each. Operands are drawn as in tests/cases.py.

Adding a cell is a commit of its own with the reason, so that nobody can choose the cells after the results.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

GROUPS = ("small", "in-cache", "beyond-cache", "ctc-log-probs", "ctc-logits", "tokens", "linear", "networks")

# Loss of a cell -> name of its case in tests/cases.py.
CASES = {
    "l1": "l1",
    "mse": "mse",
    "huber": "huber",
    "bce_with_logits": "bce",
    "gaussian_nll": "gaussian",
    "bce": "bce-probabilities",
    "soft_margin": "soft-margin",
    "multilabel_soft_margin": "multilabel",
    "hinge_embedding": "hinge",
    "margin_ranking": "ranking",
    "focal": "focal",
    "smooth_l1": "smooth-l1",
    "rmse": "mse",
    "log_cosh": "log-cosh",
    "quantile": "quantile",
    "mape": "mape",
    "smape": "smape",
    "msle": "msle",
    "poisson_nll": "poisson",
    "kl_div": "kl",
    "gamma_nll": "gamma",
    "tweedie_nll": "tweedie",
    "cross_entropy": "ce",
    "multi_margin": "multi-margin",
    "multilabel_margin": "multilabel-margin",
}
ELEMENTWISE = ("l1", "mse", "huber", "bce_with_logits", "gaussian_nll")
BINARY = ("bce", "soft_margin", "hinge_embedding", "margin_ranking", "focal")
REGRESSION = ("smooth_l1", "rmse", "log_cosh", "quantile", "mape", "smape", "msle")
COUNTS = ("poisson_nll", "kl_div", "gamma_nll", "tweedie_nll")
TOKENS = ("token_log_probs", "logsumexp", "entropy", "topk_log_probs", "kl_div_logits")
TOP_K = 10
ONE_OPERAND = ("cross_entropy", "multi_margin", "multilabel_margin")
THREE_OPERANDS = ("gaussian_nll", "margin_ranking")
SIZE_GROUPS = {"100": "small", "10k": "in-cache", "1M": "in-cache", "16M": "beyond-cache"}
SIZES = {"100": 100, "10k": 10_000, "1M": 1_000_000, "16M": 16_000_000}


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
    def is_network(self) -> bool:
        """Whether it is one of the losses around networks, whose operands peers_networks.py draws."""
        return self.group == "networks"

    @property
    def streams(self) -> int:
        """Floating-point operands of the size of `input` that a call reads."""
        return 1 if self.loss in ONE_OPERAND or self.is_ctc else 3 if self.loss in THREE_OPERANDS else 2

    @property
    def gradients(self) -> int:
        return 2 if self.loss in THREE_OPERANDS else 1

    def operands(self) -> dict[str, Any]:
        """Seeded operands of the cell's case, floating-point ones in the cell's dtype."""
        if self.is_ctc:
            return _ctc_operands(self)
        if self.is_tokens:
            return _token_operands(self)
        if self.is_network:
            import peers_networks

            return peers_networks.draw(self)
        if self.loss == "multilabel_margin":
            return _label_lists(self)
        return self.case.operands(self.shape, self.dtype)

    @property
    def case(self) -> Any:
        """The case of tests/cases.py."""
        return _case(CASES[self.loss])

    def torch_function(self) -> Any:
        """The loss in PyTorch: its function, or what its users write; rmse has no case of its own."""
        case = self.case
        return sys.modules["case"].written_out("rmse_loss") if self.loss == "rmse" else case.torch_function()


def _case(name: str) -> Any:
    """A case by name from tests/cases.py, which is no package and not on sys.path."""
    module = sys.modules.get("fastloss_cases")
    if module is None:
        path = Path(__file__).resolve().parents[1] / "tests" / "cases.py"
        sys.path.append(str(path.parent))  # for the lists that it is made of
        spec = importlib.util.spec_from_file_location("fastloss_cases", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up by name
        sys.path.append(str(path.parent))  # it imports its neighbours
        spec.loader.exec_module(module)
    return next(case for case in module.CASES if case.name == name)


def _ctc_operands(cell: Cell) -> dict[str, Any]:
    """Normal logits, or their log-softmax, and labels drawn evenly; every sample of full length."""
    import numpy as np  # not before run.py has limited its threads

    frames, samples, classes = cell.shape
    rng = np.random.default_rng(cell.shape)
    x = rng.standard_normal(cell.shape, np.float32)
    if cell.loss == "ctc":
        for frame in x:
            frame -= np.log(np.exp(frame).sum(axis=-1, keepdims=True))
    return {
        "log_probs": x.astype(cell.dtype, copy=False),
        "targets": rng.integers(1, classes, (samples, cell.labels)),
        "input_lengths": np.full(samples, frames),
        "target_lengths": np.full(samples, cell.labels),
    }


def _token_operands(cell: Cell) -> dict[str, Any]:
    """Normal logits and labels drawn evenly; for a linear loss normal factors whose product has a variance of 1."""
    import numpy as np

    rng = np.random.default_rng(cell.shape)
    draw = partial(rng.standard_normal, dtype=np.float32)
    rows, classes = cell.shape[0], cell.shape[-1]
    labels = {"target": rng.integers(0, classes, rows)}
    if cell.group == "linear":
        features = cell.shape[1]
        matrix = draw((classes, features)) / np.float32(math.sqrt(features))
        return {"input": draw((rows, features)), "linear_weight": matrix, **labels}
    second = {"q_logits": draw(cell.shape)} if cell.loss == "kl_div_logits" else {}
    return {"logits": draw(cell.shape), **second, **(labels if cell.loss == "token_log_probs" else {})}


def _label_lists(cell: Cell) -> dict[str, Any]:
    """Normal scores and lists of so many different positives, in the shape that PyTorch wants: -1 behind the end."""
    import numpy as np

    rng = np.random.default_rng(cell.shape)
    x = rng.standard_normal(cell.shape).astype(cell.dtype)
    target = np.full(cell.shape, -1)
    target[:, : cell.labels] = np.argsort(rng.random(cell.shape), axis=1)[:, : cell.labels]
    return {"input": x, "target": target}


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
    *(_rows(shape, "linear", loss="linear_cross_entropy") for shape in ((2048, 1024, 50257), (256, 256, 8000))),
]

MARGINS = [
    _rows((1024, 1000), "in-cache", loss="multi_margin"),
    Cell("multilabel_margin 1024x1000", "multilabel_margin", (1024, 1000), "float32", "in-cache", labels=20),
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

CELLS = [
    *_elementwise("100", "small"),
    _rows((32, 10), "small"),
    *_elementwise("10k", "in-cache"),
    *_elementwise("1M", "in-cache"),
    _rows((1024, 1000), "in-cache"),
    *_elementwise("1M", "in-cache", "float64", ("mse", "bce_with_logits")),
    _rows((1024, 1000), "in-cache", "float64"),
    *_elementwise("16M", "beyond-cache"),
    _rows((512, 50257), "beyond-cache"),
    _rows((100_000, 10), "beyond-cache"),
    _rows((8, 21, 128, 128), "beyond-cache"),
    *_binary(),
    *(cell for size, group in SIZE_GROUPS.items() for cell in _elementwise(size, group, losses=REGRESSION + COUNTS)),
    *CTC,
    *TOKEN_CELLS,
    *MARGINS,
    *NETWORKS,
]


@dataclass(frozen=True)
class Floor:
    """What a cell must reach: a paired median ratio to a peer at 2 threads, microseconds at most, or a share of the
    speed at which C reads the same arrays. A group's name in place of a cell's asks for the group's geometric mean.
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
    *(Floor(cell.name, mode, 4.0) for cell in CTC for mode in ("forward", "gradient")),
    *(Floor(cell.name, mode, 6.0, peer="jax") for cell in CTC for mode in ("forward", "gradient")),
]


def select(words: list[str]) -> list[Cell]:
    """Cells whose group, loss or name is, or whose name contains, one of the words; all of them for no word."""
    if not words:
        return CELLS
    for word in words:
        if not any(_matches(cell, word) for cell in CELLS):
            raise ValueError(f"no cell matches {word!r}; groups are {', '.join(GROUPS)}")
    return [cell for cell in CELLS if any(_matches(cell, word) for word in words)]


def _matches(cell: Cell, word: str) -> bool:
    return word in (cell.group, cell.loss, cell.dtype) or word in cell.name
