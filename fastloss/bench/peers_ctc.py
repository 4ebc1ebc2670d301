# SPDX-License-Identifier: BSD-3-Clause
"""CTC in fastloss, in PyTorch and in optax under jax.jit; peers.py asks here for cells of that loss.

Cells of log-probabilities and of logits hold the same kind of array, (T, N, C). Everybody's users put a log-softmax
below the loss where they have logits; optax always computes one itself.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .cells import Cell

Calls = dict[str, Callable[[], Any]]
OPERANDS = ("log_probs", "targets", "input_lengths", "target_lengths")


def fastloss_calls(module: Any, cell: Cell, operands: dict[str, np.ndarray]) -> Calls:
    function = partial(module.ctc_loss, *operands.values(), from_logits=cell.loss == "ctc_logits")
    grad_out = np.zeros_like(operands["log_probs"])
    return {
        "forward": function,
        "gradient": partial(function, return_grad=True),
        "grad_out": partial(function, return_grad=True, grad_out=grad_out),
    }


def fastloss_compared(module: Any, operands: dict[str, np.ndarray], peer: str, mode: str) -> Callable[[], Any]:
    """What a peer's result is held against: the gradient in log-probabilities is for all of them the one below a
    log-softmax, and optax's has the batch first.
    """

    def compared() -> Any:
        result = module.ctc_loss(*operands.values(), from_logits=True, return_grad=mode == "gradient")
        return result if mode == "forward" or peer == "torch" else (result[0], result[1].transpose(1, 0, 2))

    return compared


def torch_calls(torch: Any, cell: Cell, operands: dict[str, np.ndarray]) -> Calls:
    x, *rest = (torch.from_numpy(operands[name]) for name in OPERANDS)
    leaf = x.detach().clone().requires_grad_()

    def loss(x: Any) -> Any:
        log_probs = torch.log_softmax(x, -1) if cell.loss == "ctc_logits" else x
        return torch.nn.functional.ctc_loss(log_probs, *rest)

    def gradient() -> Any:
        value = loss(leaf)
        return value.detach(), torch.autograd.grad(value, leaf)

    return {"forward": partial(loss, x), "gradient": gradient}


def jax_calls(jax: Any, operands: dict[str, np.ndarray]) -> Calls:
    """optax.ctc_loss, which wants the batch first; the transposed copy is made before, like all conversions."""
    if importlib.util.find_spec("optax") is None:
        return {}
    import optax

    x = jax.numpy.asarray(np.ascontiguousarray(operands["log_probs"].transpose(1, 0, 2)))
    labels = jax.numpy.asarray(operands["targets"])
    no_frames, no_labels = jax.numpy.zeros(x.shape[:2]), jax.numpy.zeros(labels.shape)

    def loss(x: Any, labels: Any) -> Any:
        return jax.numpy.mean(optax.ctc_loss(x, no_frames, labels, no_labels)) / labels.shape[1]

    value, both = jax.jit(loss), jax.jit(jax.value_and_grad(loss))

    def gradient() -> Any:
        return jax.block_until_ready(both(x, labels))

    return {"forward": lambda: jax.block_until_ready(value(x, labels)), "gradient": gradient}
