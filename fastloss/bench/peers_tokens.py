# SPDX-License-Identifier: BSD-3-Clause
"""Token quantities and linear cross entropy in fastloss, PyTorch and jax.jit; peers.py asks here for their cells.

The formulas of the peers are those that their users write. Token quantities have no gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .cells import TOP_K, Cell

Calls = dict[str, Callable[[], Any]]


def fastloss_calls(module: Any, cell: Cell, operands: dict[str, np.ndarray]) -> Calls:
    function = partial(getattr(module, cell.loss), *operands.values(), *[TOP_K] * (cell.loss == "topk_log_probs"))
    if cell.loss != "linear_cross_entropy":
        return {"forward": function}
    outs = (np.zeros_like(operands["input"]), np.zeros_like(operands["linear_weight"]))
    return {
        "forward": function,
        "gradient": partial(function, return_grad=True),
        "grad_out": partial(function, return_grad=True, grad_out=outs),
    }


def bare_product(operands: dict[str, np.ndarray]) -> Callable[[], Any]:
    """What a linear loss cannot do without: the logits, into memory that is there."""
    x, matrix = operands["input"], operands["linear_weight"]
    return partial(np.matmul, x, matrix.T, out=np.zeros((len(x), len(matrix)), x.dtype))


def torch_calls(torch: Any, cell: Cell, operands: dict[str, np.ndarray]) -> Calls:
    args = [torch.from_numpy(a) for a in operands.values()]
    if cell.loss == "linear_cross_entropy":
        function = getattr(torch.nn.functional, "linear_cross_entropy", None)
        return _torch_linear(torch, function, args) if function else {}

    def entropy(x: Any) -> Any:
        log_p = torch.log_softmax(x, -1)
        return -(log_p.exp() * log_p).sum(-1)

    def divergence(x: Any, y: Any) -> Any:
        log_p, log_q = torch.log_softmax(x, -1), torch.log_softmax(y, -1)
        return torch.nn.functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)

    functions: dict[str, Callable[..., Any]] = {
        "token_log_probs": lambda x, t: torch.log_softmax(x, -1).gather(-1, t[:, None])[:, 0],
        "logsumexp": lambda x: torch.logsumexp(x, -1),
        "entropy": entropy,
        "topk_log_probs": lambda x: tuple(torch.topk(torch.log_softmax(x, -1), TOP_K)),
        "kl_div_logits": divergence,
    }
    return {"forward": partial(functions[cell.loss], *args)}


def _torch_linear(torch: Any, function: Any, args: list[Any]) -> Calls:
    leaves = [a.detach().clone().requires_grad_() for a in args[:2]]

    def gradient() -> Any:
        value = function(*leaves, args[2])
        return value.detach(), torch.autograd.grad(value, leaves)

    return {"forward": partial(function, *args), "gradient": gradient}


def jax_calls(jax: Any, cell: Cell, operands: dict[str, np.ndarray]) -> Calls:
    jnp, nn = jax.numpy, jax.nn

    def divergence(x: Any, y: Any) -> Any:
        log_p = nn.log_softmax(x)
        return jnp.sum(jnp.exp(log_p) * (log_p - nn.log_softmax(y)), -1)

    def entropy(x: Any) -> Any:
        log_p = nn.log_softmax(x)
        return -jnp.sum(jnp.exp(log_p) * log_p, -1)

    def linear(x: Any, w: Any, t: Any) -> Any:
        logits = x @ w.T
        return jnp.mean(nn.logsumexp(logits, -1) - jnp.take_along_axis(logits, t[:, None], -1)[:, 0])

    functions = {
        "token_log_probs": lambda x, t: jnp.take_along_axis(nn.log_softmax(x), t[:, None], -1)[:, 0],
        "logsumexp": lambda x: nn.logsumexp(x, -1),
        "entropy": entropy,
        "topk_log_probs": lambda x: tuple(jax.lax.top_k(nn.log_softmax(x), TOP_K)),
        "kl_div_logits": divergence,
        "linear_cross_entropy": linear,
    }
    args = [jnp.asarray(a) for a in operands.values()]
    value, ready = jax.jit(functions[cell.loss]), jax.block_until_ready
    calls = {"forward": lambda: ready(value(*args))}
    if cell.loss == "linear_cross_entropy":
        both = jax.jit(jax.value_and_grad(linear, argnums=(0, 1)))
        calls["gradient"] = lambda: ready(both(*args))
    return calls
