# SPDX-License-Identifier: BSD-3-Clause
"""What the evaluation of language models asks of rows of logits: values of each token, without gradients.

Every function reads the logits once and needs memory for its result only. The classes (the vocabulary) stand on the
last axis unless `class_axis` says otherwise; what is left without that axis are the positions. Positions that `mask`,
`lengths` or `ignore_index` leave out get 0, whatever stands there. A token whose logit is -inf is masked: its
probability is 0 and it contributes nothing. A row that holds nan or +inf, or nothing above -inf, has no probabilities:
nan.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _call_tokens as _call

__all__ = [
    "bits_per_byte",
    "entropy",
    "kl_div_logits",
    "logsumexp",
    "perplexity",
    "token_log_probs",
    "topk_log_probs",
]


def token_log_probs(
    logits: Any, target: Any, *, ignore_index: int = -100, class_axis: int = -1, mask: Any = None, lengths: Any = None,
    out: Any = None,
) -> Any:  # fmt: skip
    r"""Log-probability of given tokens, :math:`x_t - \log \sum_c \exp x_c`.

    Parameters
    ----------
    logits : array_like, shape (V,), (N, V), (batch, sequence, V) or any other
        Logits x.
    target : array_like of any integer type, the shape of `logits` without its class axis
        Tokens t in [0, V), or `ignore_index`.
    ignore_index : int
        Positions with this label are left out. It may lie inside or outside [0, V).
    class_axis : int, default -1
        Axis of the classes.
    mask : array_like of bool, broadcastable to `target`, optional
        False leaves a position out; its label may be anything.
    lengths : array_like of integers, the shape of `target` without its last axis, optional
        How many positions of each sequence count, from the first on; the rest is left out, as by `mask`.
    out : ndarray, optional
        Contiguous array of the working type and the shape of `target` to write into.

    Returns
    -------
    array of the shape of `target`, in nats; 0 where a position is left out

    Raises
    ------
    ValueError, TypeError
        A label out of range (``target[3, 37] = 10 is out of range for 10 classes``), labels that are not integers, a
        shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64 and integer logits are read as they are, in any layout. The working type is
    float64 if `logits` is float64 or not floating, else float32. A log-probability near 0 keeps its digits. A masked
    token (-inf) as target gives -inf.

    Source: ``torch.log_softmax`` and ``torch.gather``; minus ``cross_entropy(..., reduction="none")``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.token_log_probs([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [0, 1]).round(6).tolist()
    [-0.239545, -1.551445]
    """
    return _call.log_probs(logits, target, ignore_index, class_axis, mask, lengths, out)


def logsumexp(logits: Any, *, class_axis: int = -1, mask: Any = None, lengths: Any = None, out: Any = None) -> Any:
    r"""Logarithm of the sum of exponentials, :math:`\log \sum_c \exp x_c`.

    Parameters
    ----------
    logits : array_like, shape (V,), (N, V), (batch, sequence, V) or any other
        Logits x.
    class_axis : int, default -1
        Axis of the classes.
    mask : array_like of bool, broadcastable to the shape of `logits` without its class axis, optional
        False leaves a position out.
    lengths : array_like of integers, that shape without its last axis, optional
        How many positions of each sequence count, from the first on; the rest is left out, as by `mask`.
    out : ndarray, optional
        Contiguous array of the working type and of the result's shape to write into.

    Returns
    -------
    array of the shape of `logits` without its class axis; 0 where a position is left out

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64 and integer logits are read as they are, in any layout. The working type is
    float64 if `logits` is float64 or not floating, else float32. Neither large logits nor a result near 0 lose digits.
    Unlike a probability, the sum of a row without any is defined: -inf where all logits are -inf, inf where one is inf.

    Source: ``torch.logsumexp``, ``scipy.special.logsumexp``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.logsumexp([[0.0, 0.0], [1000.0, 1000.0]]).round(6).tolist()
    [0.693147, 1000.693147]
    """
    return _call.per_position("logsumexp", logits, class_axis, mask, lengths, out)


def entropy(logits: Any, *, class_axis: int = -1, mask: Any = None, lengths: Any = None, out: Any = None) -> Any:
    r"""Entropy of the softmax of each row, :math:`-\sum_c p_c \log p_c`, p = softmax(x).

    Parameters
    ----------
    logits : array_like, shape (V,), (N, V), (batch, sequence, V) or any other
        Logits x.
    class_axis : int, default -1
        Axis of the classes.
    mask : array_like of bool, broadcastable to the shape of `logits` without its class axis, optional
        False leaves a position out.
    lengths : array_like of integers, that shape without its last axis, optional
        How many positions of each sequence count, from the first on; the rest is left out, as by `mask`.
    out : ndarray, optional
        Contiguous array of the working type and of the result's shape to write into.

    Returns
    -------
    array of the shape of `logits` without its class axis, in nats; 0 where a position is left out

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64 and integer logits are read as they are, in any layout. The working type is
    float64 if `logits` is float64 or not floating, else float32. All terms that are added are positive, so that the
    small entropy of a sure prediction keeps its digits. A masked token (-inf) contributes 0.

    Source: ``torch.distributions.Categorical(logits=...).entropy()``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.entropy([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, -float("inf"), -float("inf")]]).round(6).tolist()
    [1.386294, 0.693147]
    """
    return _call.per_position("entropy", logits, class_axis, mask, lengths, out)


def topk_log_probs(
    logits: Any, k: int, *, class_axis: int = -1, mask: Any = None, lengths: Any = None
) -> tuple[Any, Any]:  # fmt: skip
    r"""The k most probable tokens of each row: their log-probabilities :math:`x_i - \log \sum_c \exp x_c` and indices.

    Parameters
    ----------
    logits : array_like, shape (V,), (N, V), (batch, sequence, V) or any other
        Logits x.
    k : int
        How many, in [1, V].
    class_axis : int, default -1
        Axis of the classes, and of the k best in the result.
    mask : array_like of bool, broadcastable to the shape of `logits` without its class axis, optional
        False leaves a position out.
    lengths : array_like of integers, that shape without its last axis, optional
        How many positions of each sequence count, from the first on; the rest is left out, as by `mask`.

    Returns
    -------
    values : array of the shape of `logits` with k in place of V, descending, in nats; 0 where a position is left out
    indices : int64 array of that shape; -1 where a position is left out

    Raises
    ------
    ValueError, TypeError
        `k` out of range, a shape that does not fit, an option or a dtype that is not one of the above.

    Notes
    -----
    Of equal logits the one with the lowest index comes first. nan ranks as -inf does; the values of its row are nan.
    float16, bfloat16, float32, float64 and integer logits are read as they are, in any layout. The working type is
    float64 if `logits` is float64 or not floating, else float32.

    Source: ``torch.log_softmax`` and ``torch.topk``, with an order of ties that does not depend on the machine.

    Examples
    --------
    >>> import fastloss as fl
    >>> values, indices = fl.topk_log_probs([[1.0, 3.0, 2.0, 3.0]], 3)
    >>> values.round(6).tolist(), indices.tolist()
    ([[-0.917576, -0.917576, -1.917576]], [[1, 3, 2]])
    """
    return _call.topk(logits, k, class_axis, mask, lengths)


def kl_div_logits(
    p_logits: Any, q_logits: Any, *, class_axis: int = -1, mask: Any = None, lengths: Any = None, out: Any = None
) -> Any:  # fmt: skip
    r"""Kullback-Leibler divergence of two rows of logits, :math:`\sum_c p_c \log \frac{p_c}{q_c}` of their softmaxes.

    Parameters
    ----------
    p_logits : array_like, shape (V,), (N, V), (batch, sequence, V) or any other
        Logits of p, by which the logarithms are weighed.
    q_logits : array_like of the same shape
        Logits of q.
    class_axis : int, default -1
        Axis of the classes.
    mask : array_like of bool, broadcastable to the shape of `p_logits` without its class axis, optional
        False leaves a position out.
    lengths : array_like of integers, that shape without its last axis, optional
        How many positions of each sequence count, from the first on; the rest is left out, as by `mask`.
    out : ndarray, optional
        Contiguous array of the working type and of the result's shape to write into.

    Returns
    -------
    array of the shape of `p_logits` without its class axis, in nats, never negative; 0 where a position is left out

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64 and integer logits are read as they are, in any layout. The working type is
    float64 if one of the two is float64 or neither is floating, else float32. It is summed as p (exp(t) - 1 - t),
    t = log(q / p), so that the divergence of nearly equal distributions keeps its digits. A token that p masks (-inf)
    contributes 0 to the sum above; one that q alone masks makes it inf.

    Source: ``torch.distributions.kl_divergence`` of two ``Categorical(logits=...)``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.kl_div_logits([[0.0, 0.0], [1.0, 2.0]], [[1.0, 0.0], [1.0, 2.0]]).round(6).tolist()
    [0.120115, 0.0]
    """
    return _call.divergence(p_logits, q_logits, class_axis, mask, lengths, out)


def perplexity(
    logits: Any, target: Any, *, ignore_index: int = -100, class_axis: int = -1, mask: Any = None, lengths: Any = None
) -> np.float64:  # fmt: skip
    r"""Perplexity of given tokens, :math:`\exp(-\frac{1}{n} \sum \log p_t)`: e to the mean cross entropy.

    Parameters
    ----------
    logits : array_like, shape (V,), (N, V), (batch, sequence, V) or any other
        Logits of the next token.
    target : array_like of any integer type, the shape of `logits` without its class axis
        Tokens t in [0, V), or `ignore_index`.
    ignore_index : int
        Positions with this label are left out. It may lie inside or outside [0, V).
    class_axis : int, default -1
        Axis of the classes.
    mask : array_like of bool, broadcastable to `target`, optional
        False leaves a position out; its label may be anything.
    lengths : array_like of integers, the shape of `target` without its last axis, optional
        How many positions of each sequence count, from the first on; the rest is left out, as by `mask`.

    Returns
    -------
    numpy.float64, over all positions that count; nan where there is none

    Raises
    ------
    ValueError, TypeError
        A label out of range (``target[3, 37] = 10 is out of range for 10 classes``), labels that are not integers, a
        shape that does not fit, an option or a dtype that is not one of the above.

    Notes
    -----
    The n tokens of all sequences have equal weight; the perplexity of each sequence is e to minus the mean of its
    `token_log_probs`. Sums are float64.

    Source: Jelinek, Mercer, Bahl and Baker, "Perplexity, a measure of the difficulty of speech recognition tasks",
    1977.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.perplexity([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]], [2, 3])), 6)
    4.0
    """
    return _call.perplexity(logits, target, ignore_index, class_axis, mask, lengths)


def bits_per_byte(
    logits: Any, target: Any, n_bytes: Any, *, ignore_index: int = -100, class_axis: int = -1, mask: Any = None,
    lengths: Any = None,
) -> np.float64:  # fmt: skip
    r"""Bits per byte of the text that tokens stand for, :math:`-\frac{1}{\text{bytes}} \sum \log_2 p_t`.

    Unlike perplexity it compares models whose tokens differ.

    Parameters
    ----------
    logits : array_like, shape (V,), (N, V), (batch, sequence, V) or any other
        Logits of the next token.
    target : array_like of any integer type, the shape of `logits` without its class axis
        Tokens t in [0, V), or `ignore_index`.
    n_bytes : int, or array_like of integers of the shape of `target`
        Bytes of the text whose tokens count; or those of each token, left out together with its position.
    ignore_index : int
        Positions with this label are left out. It may lie inside or outside [0, V).
    class_axis : int, default -1
        Axis of the classes.
    mask : array_like of bool, broadcastable to `target`, optional
        False leaves a position out; its label may be anything.
    lengths : array_like of integers, the shape of `target` without its last axis, optional
        How many positions of each sequence count, from the first on; the rest is left out, as by `mask`.

    Returns
    -------
    numpy.float64, over all positions that count; nan where there is neither a token nor a byte

    Raises
    ------
    ValueError, TypeError
        A label out of range (``target[3, 37] = 10 is out of range for 10 classes``), a negative number of bytes, labels
        or bytes that are not integers, a shape that does not fit, an option or a dtype that is not one of the above.

    Source: Gao et al., "The Pile: an 800GB dataset of diverse text for language modeling", 2020, section 3.1.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.bits_per_byte([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]], [2, 3], 8)), 6)
    0.5
    """
    return _call.bits_per_byte(logits, target, n_bytes, ignore_index, class_axis, mask, lengths)
