# SPDX-License-Identifier: BSD-3-Clause
"""Row losses by definition, on logits of shape (outer, classes, inner) and labels of shape (outer, inner)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@np.errstate(all="ignore")
def cross_entropy(logits: Array, target: NDArray[Any]) -> tuple[Array, Array]:
    """-log softmax(logits)[target] at each position, and its gradient in the logits.

    With S = sum over k != target of exp(x_k - x_target), the loss is log(1 + S): the target is kept out of the sum, so
    that the small loss of a sure and right prediction is not rounded away. Labels are in range: the caller saw to it,
    and to ignored positions.

    Returns
    -------
    value : (outer, inner)
    grad : (outer, classes, inner), softmax(logits) - onehot(target)
    """
    classes = np.arange(logits.shape[1]).reshape(1, -1, 1)
    is_target = classes == target[:, np.newaxis, :]
    at_target = np.sum(np.where(is_target, logits, 0.0), axis=1)

    # log of the sum over the other classes, shifted by their largest logit (0 where they are all at -inf, or none)
    others = np.where(is_target, -np.inf, logits)
    shift = np.max(others, axis=1, keepdims=True)
    shift = np.where(np.isneginf(shift), 0.0, shift)
    log_others = shift[:, 0, :] + np.log(np.sum(np.exp(others - shift), axis=1))
    value = np.logaddexp(0.0, log_others - at_target)

    # the softmax; its entry at the target, less 1, is minus the sum of the other entries
    e = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    total = np.sum(e, axis=1, keepdims=True)
    rest = np.sum(np.where(is_target, 0.0, e), axis=1, keepdims=True)
    grad = np.where(is_target, -rest, e) / total

    # a row that holds +inf has no softmax
    value = np.where(np.isposinf(logits).any(axis=1), np.nan, value)
    return value, grad
