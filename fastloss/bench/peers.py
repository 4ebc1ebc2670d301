# SPDX-License-Identifier: BSD-3-Clause
"""The same calls in fastloss and in what people use otherwise. A peer that is not installed is left out.

Each peer turns the operands of a cell into calls without arguments: "forward" (the mean loss), "gradient" (loss and
gradients in fresh arrays), and for fastloss "grad_out" (gradients into arrays that exist). Conversions to a peer's own
arrays are done before, outside of the measured time. The formulas are those that the peer's users write.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from . import (
    peers_counts,
    peers_ctc,
    peers_jax,
    peers_margin,
    peers_networks,
    peers_numba,
    peers_numpy,
    peers_scipy,
    peers_tokens,
    peers_torch,
    peers_vectors,
    peers_vision,
)
from .cells import Cell
from .half import widened

Calls = dict[str, Callable[[], Any]]

OPERANDS = {
    "gaussian_nll": ("input", "target", "var"),
    "margin_ranking": ("input1", "input2", "target"),
}
PREDICTIONS = {
    "gaussian_nll": ("input", "var"),
    "margin_ranking": ("input1", "input2"),
}
PLACES = {"gaussian_nll": (0, 2), "margin_ranking": (0, 1)}  # of predictions among the operands
FUNCTIONS = {  # torch.nn.functional's names, and so ours
    "l1": "l1_loss",
    "mse": "mse_loss",
    "huber": "huber_loss",
    "bce_with_logits": "binary_cross_entropy_with_logits",
    "gaussian_nll": "gaussian_nll_loss",
    "bce": "binary_cross_entropy",
    "soft_margin": "soft_margin_loss",
    "multilabel_soft_margin": "multilabel_soft_margin_loss",
    "hinge_embedding": "hinge_embedding_loss",
    "margin_ranking": "margin_ranking_loss",
    "focal": "sigmoid_focal_loss",
    "cross_entropy": "cross_entropy",
    **peers_counts.FUNCTIONS,
    **peers_margin.FUNCTIONS,
}


def _positional(cell: Cell, operands: dict[str, Any]) -> list[Any]:
    return [operands[name] for name in OPERANDS.get(cell.loss, ("input", "target"))]


def _predictions(cell: Cell) -> tuple[str, ...]:
    return PREDICTIONS.get(cell.loss, ("input",))


class Fastloss:
    """The package itself."""

    name = "fastloss"

    def __init__(self, threads: int) -> None:
        import fastloss as fl

        self.module = fl
        self.version = fl.__version__
        fl.set_num_threads(threads)

    def calls(self, cell: Cell, operands: dict[str, np.ndarray]) -> Calls:
        if cell.is_ctc:
            return peers_ctc.fastloss_calls(self.module, cell, operands)
        if cell.is_tokens:
            return peers_tokens.fastloss_calls(self.module, cell, operands)
        if cell.is_vision:
            return peers_vision.fastloss_calls(self.module, cell, operands)
        if cell.is_network:
            return peers_networks.fastloss_calls(self.module, cell, operands)
        if cell.is_vectors:
            return peers_vectors.fastloss_calls(self.module, cell, operands)
        function = getattr(self.module, FUNCTIONS[cell.loss])
        args = _positional(cell, operands)
        kind = "float32" if cell.dtype == "float16" else cell.dtype  # what is computed in
        outs = tuple(np.zeros(operands[name].shape, kind) for name in _predictions(cell))
        grad_out = outs if len(outs) > 1 else outs[0]
        return {
            "forward": partial(function, *args),
            "gradient": partial(function, *args, return_grad=True),
            "grad_out": partial(function, *args, return_grad=True, grad_out=grad_out),
        }

    def compared(self, cell: Cell, operands: dict[str, np.ndarray], peer: str, mode: str, call: Any) -> Any:
        """What a peer's result must agree with: our call, or for CTC one with the gradient that the others give."""
        return peers_ctc.fastloss_compared(self.module, operands, peer, mode) if cell.is_ctc else call


class Torch:
    """PyTorch, eager: torch.nn.functional and autograd."""

    name = "torch"
    module = "torch"

    def __init__(self, threads: int) -> None:
        import torch

        self.torch = torch
        self.version = torch.__version__
        torch.set_num_threads(threads)

    def calls(self, cell: Cell, operands: dict[str, np.ndarray]) -> Calls:
        if cell.is_ctc:
            return peers_ctc.torch_calls(self.torch, cell, operands)
        if cell.is_tokens:
            return peers_tokens.torch_calls(self.torch, cell, operands)
        if cell.is_vision:
            return peers_vision.torch_calls(self.torch, cell, operands)
        if cell.is_network:
            return peers_networks.torch_calls(self.torch, cell, operands)
        if cell.is_vectors:
            return peers_vectors.torch_calls(self.torch, cell, operands)
        function = peers_torch.of_cell(self.torch, cell.loss, FUNCTIONS[cell.loss])
        plain = {k: self.torch.from_numpy(v) for k, v in operands.items()}
        if cell.dtype == "float16":
            return {"forward": lambda: function(*widened(_positional(cell, plain)))}
        leaves = [plain[name].detach().clone().requires_grad_() for name in _predictions(cell)]
        args = _positional(cell, {**plain, **dict(zip(_predictions(cell), leaves, strict=True))})
        autograd = self.torch.autograd.grad

        def gradient() -> Any:
            value = function(*args)
            return value.detach(), autograd(value, leaves)

        return {"forward": partial(function, *_positional(cell, plain)), "gradient": gradient}


class Jax:
    """jax.jit on the CPU; cross entropy and the others as in optax, and CTC by optax itself."""

    name = "jax"
    module = "jax"

    def __init__(self, threads: int) -> None:
        import jax

        self.jax = jax
        self.version = jax.__version__
        self.functions = peers_jax.jax_functions(jax)

    def calls(self, cell: Cell, operands: dict[str, np.ndarray]) -> Calls:
        jax = self.jax
        jax.config.update("jax_enable_x64", cell.dtype == "float64")  # float32 cells keep its 32-bit labels
        if cell.is_ctc:
            return peers_ctc.jax_calls(jax, operands)
        if cell.is_tokens:
            return peers_tokens.jax_calls(jax, cell, operands)
        if cell.is_vision or cell.is_network:
            return {}
        if cell.is_vectors:
            return peers_vectors.jax_calls(jax, cell, operands)
        args = [jax.numpy.asarray(x) for x in _positional(cell, operands)]
        if cell.loss == "multilabel_margin":
            args[1] = args[1][:, : cell.labels]
        function, ready = self.functions[cell.loss], jax.block_until_ready
        if cell.dtype == "float16":
            half = jax.jit(lambda *a: function(*widened(list(a))))
            return {"forward": lambda: ready(half(*args))}
        value = jax.jit(function)
        both = jax.jit(jax.value_and_grad(function, argnums=PLACES.get(cell.loss, (0,))))
        return {"forward": lambda: ready(value(*args)), "gradient": lambda: ready(both(*args))}


class Numpy:
    """Plain NumPy expressions; always one thread."""

    name = "numpy"
    module = "numpy"

    def __init__(self, threads: int) -> None:
        self.version = np.__version__

    def calls(self, cell: Cell, operands: dict[str, np.ndarray]) -> Calls:
        if cell.is_vectors:
            return peers_vectors.numpy_calls(cell, operands)
        if cell.is_ctc or cell.is_tokens or cell.is_vision or cell.is_network:
            return {}
        args = _positional(cell, operands)
        return peers_scipy.pair_of(cell, *peers_numpy.NUMPY[cell.loss], args)


class Numba:
    """Loops compiled by numba with fastmath over all threads; elementwise losses and rows of classes."""

    name = "numba"
    module = "numba"

    def __init__(self, threads: int) -> None:
        import numba

        self.numba = numba
        self.version = numba.__version__
        numba.set_num_threads(threads)
        self.functions = peers_numba.numba_functions(numba)

    def calls(self, cell: Cell, operands: dict[str, np.ndarray]) -> Calls:
        if len(cell.shape) > 2 or cell.loss not in self.functions or cell.dtype == "float16":
            return {}
        args = _positional(cell, operands)
        if cell.loss != "cross_entropy":
            args = [a.reshape(-1) for a in args]
        value, gradient = self.functions[cell.loss]
        if cell.loss == "gaussian_nll":
            return {"forward": partial(value, *args), "gradient": partial(gradient, *args)}
        return {
            "forward": partial(value, *args),
            "gradient": lambda: _one_gradient(gradient(*args)),
        }


def _one_gradient(result: Any) -> Any:
    return result[0], (result[1],)


PEERS = {
    peer.name: peer for peer in (Torch, Jax, Numpy, peers_scipy.Scipy, peers_scipy.Sklearn, peers_scipy.Numexpr, Numba)
}


def installed(names: list[str], threads: int) -> tuple[list[Any], list[str]]:
    """The peers of these names that can be imported, and the names of those that cannot."""
    missing = [name for name in names if importlib.util.find_spec(PEERS[name].module) is None]
    return [PEERS[name](threads) for name in names if name not in missing], missing


def flat(result: Any) -> list[np.ndarray]:
    """Value and gradients of any peer's result as arrays."""
    if isinstance(result, (tuple, list)):
        return [a for part in result for a in flat(part)]
    return [np.asarray(result)]


TINY = 1e-7  # of a single element the loss may be near 0


def tolerance(cell: Cell, is_value: bool) -> float:
    """How far peers may be away, in the mean of absolute values: libraries choose different subgradients at the few
    elements where x = y. CTC's peers add logarithms in float32: PyTorch's gradient of 200 labels is 1.3e-3 away from
    its own in float64. The published Lovasz code has its gradient as differences of losses near 1, each about one over
    the number of positions: float32's last place of the former, 2^-24, is that number times larger of the latter. In
    float64 the same code agrees with us to 1e-7 (tests/test_lovasz.py)."""
    if "lovasz" in cell.loss and not is_value:
        return max(1e-3, 2.0**-24 * cell.elements / cell.shape[1])
    return 1e-2 if cell.is_ctc else 1e-3


def check_agreement(name: str, cell: Cell, result: Any, expected: Any) -> None:
    """A comparison of speed means something only between calls that compute the same."""
    parts, expected_parts = flat(result), flat(expected)
    if len(parts) != len(expected_parts):
        raise AssertionError(f"{name} on {cell.name}: {len(parts)} results, fastloss has {len(expected_parts)}")
    for k, (part, wanted) in enumerate(zip(parts, expected_parts, strict=True)):
        difference, scale = (
            float(np.mean(np.abs(a), dtype=np.float64)) for a in (part.reshape(wanted.shape) - wanted, wanted)
        )
        if not difference <= tolerance(cell, k == 0) * scale + TINY:
            raise AssertionError(f"{name} on {cell.name}: differs from fastloss by {difference:.3g} of {scale:.3g}")
