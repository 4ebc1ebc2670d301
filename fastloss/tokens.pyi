# SPDX-License-Identifier: BSD-3-Clause
# Written by tools/stubs.py from tokens.py; not to be edited.
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

# An array of the working type, a NumPy scalar where the input is 0-d: "or Any" spares callers the distinction.
_Array: TypeAlias = NDArray[np.floating[Any]] | Any

__all__ = ["bits_per_byte", "entropy", "kl_div_logits", "logsumexp", "perplexity", "token_log_probs", "topk_log_probs"]

def token_log_probs(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    ignore_index: int = -100,
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> _Array: ...
def logsumexp(
    logits: ArrayLike,
    *,
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> _Array: ...
def entropy(
    logits: ArrayLike,
    *,
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> _Array: ...
def topk_log_probs(
    logits: ArrayLike,
    k: int,
    *,
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
) -> tuple[_Array, _Array]: ...
def kl_div_logits(
    p_logits: ArrayLike,
    q_logits: ArrayLike,
    *,
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> _Array: ...
def perplexity(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    ignore_index: int = -100,
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
) -> np.float64: ...
def bits_per_byte(
    logits: ArrayLike,
    target: ArrayLike,
    n_bytes: ArrayLike,
    *,
    ignore_index: int = -100,
    class_axis: int = -1,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
) -> np.float64: ...
