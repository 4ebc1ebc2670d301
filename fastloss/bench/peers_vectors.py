# SPDX-License-Identifier: BSD-3-Clause
"""Losses on vectors in fastloss, PyTorch, JAX and NumPy, as their users write them; peers.py asks here for their cells.
Operands are drawn here too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .cells import Cell

Calls = dict[str, Callable[[], Any]]
Operands = dict[str, np.ndarray]
NAMES = {
    "triplet": "triplet_margin_loss",
    "cosine_embedding": "cosine_embedding_loss",
    "batch_hard": "batch_hard_triplet_loss",
    "info_nce": "info_nce_loss",
}
PREDICTIONS = {
    "triplet": ("anchor", "positive", "negative"),
    "cosine_embedding": ("input1", "input2"),
    "batch_hard": ("embeddings",),
    "info_nce": ("query", "key"),
}
CLASSES = 64  # of a batch that is mined
TEMPERATURE = 0.1


def draw(cell: Cell) -> Operands:
    """Seeded operands in the order in which the function takes them."""
    rng = np.random.default_rng(cell.shape)
    drawn: Operands = {name: rng.standard_normal(cell.shape, np.float32) for name in PREDICTIONS[cell.loss]}
    if cell.loss == "cosine_embedding":
        drawn["target"] = rng.choice([-1, 1], cell.shape[0])
    if cell.loss == "batch_hard":
        drawn["labels"] = rng.integers(0, CLASSES, cell.shape[0])
    return drawn


def fastloss_calls(module: Any, cell: Cell, operands: Operands) -> Calls:
    function = partial(getattr(module, NAMES[cell.loss]), *operands.values())
    outs = tuple(np.zeros_like(operands[name]) for name in PREDICTIONS[cell.loss])
    grad_out = outs if len(outs) > 1 else outs[0]
    return {
        "forward": function,
        "gradient": partial(function, return_grad=True),
        "grad_out": partial(function, return_grad=True, grad_out=grad_out),
    }


def torch_calls(torch: Any, cell: Cell, operands: Operands) -> Calls:
    functional = torch.nn.functional
    function = {
        "triplet": functional.triplet_margin_loss,
        "cosine_embedding": functional.cosine_embedding_loss,
        "batch_hard": partial(_batch_hard, torch),
        "info_nce": partial(_info_nce, torch),
    }[cell.loss]
    tensors = {name: torch.from_numpy(a) for name, a in operands.items()}
    leaves = {name: tensors[name].detach().clone().requires_grad_() for name in PREDICTIONS[cell.loss]}

    def gradient() -> Any:
        value = function(*{**tensors, **leaves}.values())
        return value.detach(), torch.autograd.grad(value, list(leaves.values()))

    return {"forward": partial(function, *tensors.values()), "gradient": gradient}


def _batch_hard(torch: Any, embeddings: Any, labels: Any) -> Any:
    """The usual composition: all distances, and masks."""
    distance = torch.cdist(embeddings, embeddings)
    same = labels[:, None] == labels
    alike = same & ~torch.eye(len(labels), dtype=torch.bool)
    positive = distance.masked_fill(~alike, -torch.inf).max(dim=1)[0]
    negative = distance.masked_fill(same, torch.inf).min(dim=1)[0]
    return torch.clamp(1 + positive - negative, min=0).mean()


def _info_nce(torch: Any, query: Any, key: Any) -> Any:
    functional = torch.nn.functional
    logits = functional.normalize(query) @ functional.normalize(key).T / TEMPERATURE
    return functional.cross_entropy(logits, torch.arange(len(query)))


def jax_calls(jax: Any, cell: Cell, operands: Operands) -> Calls:
    """jax.jit of what optax users write."""
    jnp = jax.numpy

    def triplet(a: Any, p: Any, n: Any) -> Any:
        near, far = (jnp.sqrt(jnp.sum((a - x + 1e-6) ** 2, axis=1)) for x in (p, n))
        return jnp.mean(jnp.maximum(near - far + 1, 0))

    def cosine_embedding(x: Any, y: Any, target: Any) -> Any:
        norms = jnp.sqrt(jnp.sum(x * x, axis=1)) * jnp.sqrt(jnp.sum(y * y, axis=1))
        cosine = jnp.sum(x * y, axis=1) / norms
        return jnp.mean(jnp.where(target == 1, 1 - cosine, jnp.maximum(cosine, 0)))

    def info_nce(query: Any, key: Any) -> Any:
        q, k = (x / jnp.sqrt(jnp.sum(x * x, axis=1, keepdims=True)) for x in (query, key))
        logits = q @ k.T / TEMPERATURE
        return jnp.mean(jax.nn.logsumexp(logits, axis=1) - jnp.diagonal(logits))

    functions = {"triplet": triplet, "cosine_embedding": cosine_embedding, "info_nce": info_nce}
    if cell.loss not in functions:
        return {}
    function, ready = functions[cell.loss], jax.block_until_ready
    args = [jnp.asarray(a) for a in operands.values()]
    value = jax.jit(function)
    both = jax.jit(jax.value_and_grad(function, argnums=tuple(range(len(PREDICTIONS[cell.loss])))))
    return {"forward": lambda: ready(value(*args)), "gradient": lambda: ready(both(*args))}


def numpy_calls(cell: Cell, operands: Operands) -> Calls:
    """What is written without a library; of the value only."""
    functions = {"triplet": _triplet, "cosine_embedding": _cosine_embedding}
    if cell.loss not in functions:
        return {}
    return {"forward": partial(functions[cell.loss], *operands.values())}


def _triplet(a: np.ndarray, p: np.ndarray, n: np.ndarray) -> Any:
    near, far = (np.linalg.norm(a - x + np.float32(1e-6), axis=1) for x in (p, n))
    return np.maximum(near - far + 1, 0).mean()


def _cosine_embedding(x: np.ndarray, y: np.ndarray, target: np.ndarray) -> Any:
    cosine = (x * y).sum(axis=1) / (np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1))
    return np.where(target == 1, 1 - cosine, np.maximum(cosine, 0)).mean()
