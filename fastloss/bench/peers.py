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
    peers_margin,
    peers_networks,
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
        self.functions = _jax_functions(jax)

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


def _jax_functions(jax: Any) -> dict[str, Callable[..., Any]]:
    jnp = jax.numpy

    def huber(x: Any, y: Any) -> Any:
        a = jnp.abs(x - y)
        c = jnp.minimum(a, 1.0)
        return jnp.mean(0.5 * c**2 + (a - c))

    def bce(x: Any, y: Any) -> Any:
        return jnp.mean(-y * jax.nn.log_sigmoid(x) - (1.0 - y) * jax.nn.log_sigmoid(-x))

    def gaussian(x: Any, y: Any, var: Any) -> Any:
        v = jnp.maximum(var, 1e-6)
        return jnp.mean(0.5 * (jnp.log(v) + (x - y) ** 2 / v))

    def probabilities(p: Any, y: Any) -> Any:
        yes, no = jnp.maximum(jnp.log(p), -100.0), jnp.maximum(jnp.log1p(-p), -100.0)
        return jnp.mean(-y * yes - (1.0 - y) * no)

    def focal(x: Any, y: Any) -> Any:
        p = jax.nn.sigmoid(x)
        ce = -y * jax.nn.log_sigmoid(x) - (1.0 - y) * jax.nn.log_sigmoid(-x)
        off = p * (1.0 - y) + (1.0 - p) * y
        return jnp.mean((0.25 * y + 0.75 * (1.0 - y)) * off**2 * ce)

    def cross_entropy(x: Any, target: Any) -> Any:
        at_target = jnp.take_along_axis(x, jnp.expand_dims(target, 1), axis=1).squeeze(1)
        return jnp.mean(jax.nn.logsumexp(x, axis=1) - at_target)

    return {
        "l1": lambda x, y: jnp.mean(jnp.abs(x - y)),
        "mse": lambda x, y: jnp.mean((x - y) ** 2),
        "huber": huber,
        "bce_with_logits": bce,
        "gaussian_nll": gaussian,
        "bce": probabilities,
        "soft_margin": lambda x, y: jnp.mean(jax.nn.softplus(-y * x)),
        "multilabel_soft_margin": bce,
        "hinge_embedding": lambda x, y: jnp.mean(jnp.where(y == 1, x, jnp.maximum(1.0 - x, 0.0))),
        "margin_ranking": lambda x1, x2, y: jnp.mean(jnp.maximum(-y * (x1 - x2), 0.0)),
        "focal": focal,
        "cross_entropy": cross_entropy,
        **peers_counts.jax_functions(jax),
        **peers_margin.jax_functions(jax),
    }


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
        return peers_scipy.pair_of(cell, *NUMPY[cell.loss], args)


def _np_l1(x: Any, y: Any) -> Any:
    return np.mean(np.abs(x - y))


def _np_l1_grad(x: Any, y: Any) -> Any:
    d = x - y
    return np.mean(np.abs(d)), (np.sign(d) / d.dtype.type(d.size),)


def _np_mse(x: Any, y: Any) -> Any:
    return np.mean(np.square(x - y))


def _np_mse_grad(x: Any, y: Any) -> Any:
    d = x - y
    return np.mean(np.square(d)), (d * d.dtype.type(2 / d.size),)


def _np_huber(x: Any, y: Any) -> Any:
    a = np.abs(x - y)
    c = np.minimum(a, 1)
    return np.mean(c * (a - 0.5 * c))


def _np_huber_grad(x: Any, y: Any) -> Any:
    d = x - y
    c = np.clip(d, -1, 1)
    return np.mean(c * (d - 0.5 * c)), (c / d.dtype.type(d.size),)


def _np_bce(x: Any, y: Any) -> Any:
    return np.mean(np.maximum(x, 0) - x * y + np.log1p(np.exp(-np.abs(x))))


def _np_bce_grad(x: Any, y: Any) -> Any:
    z = np.exp(-np.abs(x))
    sigmoid = np.where(x >= 0, 1, z) / (1 + z)
    return np.mean(np.maximum(x, 0) - x * y + np.log1p(z)), ((sigmoid - y) / x.dtype.type(x.size),)


def _np_gaussian(x: Any, y: Any, var: Any) -> Any:
    v = np.maximum(var, var.dtype.type(1e-6))
    return np.mean(0.5 * (np.log(v) + np.square(x - y) / v))


def _np_gaussian_grad(x: Any, y: Any, var: Any) -> Any:
    v, d = np.maximum(var, var.dtype.type(1e-6)), x - y
    q = d / v
    n = x.dtype.type(x.size)
    return np.mean(0.5 * (np.log(v) + d * q)), (q / n, 0.5 * (1 / v - q * q) / n)


def _np_probabilities(p: Any, y: Any) -> Any:
    return np.mean(-y * np.maximum(np.log(p), -100) - (1 - y) * np.maximum(np.log1p(-p), -100))


def _np_probabilities_grad(p: Any, y: Any) -> Any:
    w = np.maximum(p * (1 - p), p.dtype.type(1e-12)) * p.dtype.type(p.size)
    return _np_probabilities(p, y), ((p - y) / w,)


def _np_soft_margin(x: Any, y: Any) -> Any:
    t = y * x
    return np.mean(np.maximum(-t, 0) + np.log1p(np.exp(-np.abs(t))))


def _np_soft_margin_grad(x: Any, y: Any) -> Any:
    t = y * x
    z = np.exp(-np.abs(t))
    slope = np.where(t >= 0, z, 1) / (1 + z)
    return np.mean(np.maximum(-t, 0) + np.log1p(z)), (-y * slope / x.dtype.type(x.size),)


def _np_hinge(x: Any, y: Any) -> Any:
    return np.mean(np.where(y == 1, x, np.maximum(1 - x, 0)))


def _np_hinge_grad(x: Any, y: Any) -> Any:
    slope = np.where(y == 1, np.float32(1), -(x <= 1).astype(x.dtype))
    return _np_hinge(x, y), (slope / x.dtype.type(x.size),)


def _np_ranking(x1: Any, x2: Any, y: Any) -> Any:
    return np.mean(np.maximum(-y * (x1 - x2), 0))


def _np_ranking_grad(x1: Any, x2: Any, y: Any) -> Any:
    v = -y * (x1 - x2)
    g = np.where(v >= 0, y, 0) / x1.dtype.type(x1.size)
    return np.mean(np.maximum(v, 0)), (-g, g)


def _np_focal_parts(x: Any, y: Any) -> Any:
    z = np.exp(-np.abs(x))
    p = np.where(x >= 0, 1, z) / (1 + z)
    ce = np.maximum(x, 0) - x * y + np.log1p(z)
    off = p * (1 - y) + (1 - p) * y
    return p, ce, off, (y / 4 + (1 - y) * x.dtype.type(0.75)) * off


def _np_focal(x: Any, y: Any) -> Any:
    _, ce, off, weight = _np_focal_parts(x, y)
    return np.mean(weight * off * ce)


def _np_focal_grad(x: Any, y: Any) -> Any:
    p, ce, off, weight = _np_focal_parts(x, y)
    slope = 2 * (1 - 2 * y) * p * (1 - p) * ce + off * (p - y)
    return np.mean(weight * off * ce), (weight * slope / x.dtype.type(x.size),)


def _np_cross_entropy(x: Any, target: Any) -> Any:
    shifted = x - x.max(axis=1, keepdims=True)
    at_target = np.take_along_axis(shifted, np.expand_dims(target, 1), axis=1)
    return np.mean(np.log(np.exp(shifted).sum(axis=1, keepdims=True)) - at_target)


def _np_cross_entropy_grad(x: Any, target: Any) -> Any:
    shifted = x - x.max(axis=1, keepdims=True)
    labels = np.expand_dims(target, 1)
    at_target = np.take_along_axis(shifted, labels, axis=1)
    p = np.exp(shifted)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    np.put_along_axis(p, labels, np.take_along_axis(p, labels, axis=1) - 1, axis=1)
    p /= x.dtype.type(target.size)
    return np.mean(np.log(total) - at_target), (p,)


NUMPY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "l1": (_np_l1, _np_l1_grad),
    "mse": (_np_mse, _np_mse_grad),
    "huber": (_np_huber, _np_huber_grad),
    "bce_with_logits": (_np_bce, _np_bce_grad),
    "gaussian_nll": (_np_gaussian, _np_gaussian_grad),
    "bce": (_np_probabilities, _np_probabilities_grad),
    "soft_margin": (_np_soft_margin, _np_soft_margin_grad),
    "multilabel_soft_margin": (_np_bce, _np_bce_grad),
    "hinge_embedding": (_np_hinge, _np_hinge_grad),
    "margin_ranking": (_np_ranking, _np_ranking_grad),
    "focal": (_np_focal, _np_focal_grad),
    "cross_entropy": (_np_cross_entropy, _np_cross_entropy_grad),
    **peers_counts.NUMPY,
    **peers_margin.NUMPY,
}


class Numba:
    """Loops compiled by numba with fastmath over all threads; elementwise losses and rows of classes."""

    name = "numba"
    module = "numba"

    def __init__(self, threads: int) -> None:
        import numba

        self.numba = numba
        self.version = numba.__version__
        numba.set_num_threads(threads)
        self.functions = _numba_functions(numba)

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


def _numba_functions(numba: Any) -> dict[str, tuple[Callable[..., Any], Callable[..., Any]]]:
    prange = numba.prange
    parallel = numba.njit(parallel=True, fastmath=True)
    inline = numba.njit(fastmath=True, inline="always")

    def loops(value_of: Any, gradient_of: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
        @parallel
        def value(x: Any, y: Any) -> Any:
            total = 0.0
            for i in prange(x.size):
                total += value_of(x[i], y[i])
            return total / x.size

        @parallel
        def both(x: Any, y: Any) -> Any:
            total = 0.0
            g = np.empty_like(x)
            for i in prange(x.size):
                total += value_of(x[i], y[i])
                g[i] = gradient_of(x[i], y[i]) / np.float32(x.size)
            return total / x.size, g

        return value, both

    @parallel
    def gaussian(x: Any, y: Any, var: Any) -> Any:
        total = 0.0
        for i in prange(x.size):
            v = max(var[i], np.float32(1e-6))
            d = x[i] - y[i]
            total += np.float32(0.5) * (np.log(v) + d * d / v)
        return total / x.size

    @parallel
    def gaussian_both(x: Any, y: Any, var: Any) -> Any:
        total = 0.0
        g, h = np.empty_like(x), np.empty_like(x)
        n = np.float32(x.size)
        for i in prange(x.size):
            v = max(var[i], np.float32(1e-6))
            d = x[i] - y[i]
            q = d / v
            total += np.float32(0.5) * (np.log(v) + d * q)
            g[i] = q / n
            h[i] = np.float32(0.5) * (np.float32(1) / v - q * q) / n
        return total / x.size, (g, h)

    @parallel
    def rows(x: Any, target: Any) -> Any:
        total = 0.0
        for r in prange(x.shape[0]):
            row = x[r]
            top = row.max()
            s = np.float32(0)
            for c in range(row.size):
                s += np.exp(row[c] - top)
            total += np.log(s) + top - row[target[r]]
        return total / x.shape[0]

    @parallel
    def rows_both(x: Any, target: Any) -> Any:
        total = 0.0
        g = np.empty_like(x)
        n = np.float32(x.shape[0])
        for r in prange(x.shape[0]):
            row = x[r]
            top = row.max()
            s = np.float32(0)
            for c in range(row.size):
                g[r, c] = np.exp(row[c] - top)
                s += g[r, c]
            for c in range(row.size):
                g[r, c] /= s * n
            g[r, target[r]] -= np.float32(1) / n
            total += np.log(s) + top - row[target[r]]
        return total / x.shape[0], g

    one, half, zero = np.float32(1), np.float32(0.5), np.float32(0)
    bce = loops(
        inline(lambda x, y: max(x, zero) - x * y + np.log1p(np.exp(-abs(x)))),
        inline(lambda x, y: one / (one + np.exp(-x)) - y),
    )
    return {
        "l1": loops(inline(lambda x, y: abs(x - y)), inline(lambda x, y: np.sign(x - y))),
        "mse": loops(inline(lambda x, y: (x - y) * (x - y)), inline(lambda x, y: np.float32(2) * (x - y))),
        "huber": loops(
            inline(lambda x, y: min(abs(x - y), one) * (abs(x - y) - half * min(abs(x - y), one))),
            inline(lambda x, y: min(max(x - y, -one), one)),
        ),
        "bce_with_logits": bce,
        "multilabel_soft_margin": bce,
        "bce": loops(
            inline(
                lambda p, y: -y * max(np.log(p), np.float32(-100)) - (one - y) * max(np.log1p(-p), np.float32(-100))
            ),
            inline(lambda p, y: (p - y) / max(p * (one - p), np.float32(1e-12))),
        ),
        "soft_margin": loops(
            inline(lambda x, y: max(-x * y, zero) + np.log1p(np.exp(-abs(x * y)))),
            inline(lambda x, y: -y / (one + np.exp(x * y))),
        ),
        "hinge_embedding": loops(
            inline(lambda x, y: x if y == one else max(one - x, zero)),
            inline(lambda x, y: one if y == one else (-one if x <= one else zero)),
        ),
        "gaussian_nll": (gaussian, gaussian_both),
        "cross_entropy": (rows, rows_both),
        **peers_counts.numba_functions(numba, loops),
    }


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
