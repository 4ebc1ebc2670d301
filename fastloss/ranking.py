# SPDX-License-Identifier: BSD-3-Clause
"""Losses that rank the vector that belongs to a query before all others of the batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._call_batch import embeddings_of
from ._call_distance import positive as above_zero
from ._call_ranking import check_alike, ranked

__all__ = ["info_nce_loss", "multiple_negatives_ranking_loss", "nt_xent_loss"]


def info_nce_loss(
    query: Any, key: Any, *, temperature: float = 0.1, normalize: bool = True, reduction: str = "mean",
    mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Cross entropy of a query's similarities to all keys, :math:`-\log \text{softmax}_j(q_i k_j / \tau)` at j = i.

    Parameters
    ----------
    query : array_like, shape (N, D)
        Vectors q. A prediction operand.
    key : array_like, shape (N, D)
        Vectors k, the i-th of which belongs to the i-th query; the others are its negatives. A prediction operand.
    temperature : float, default 0.1
        The similarities are divided by it: tau, positive.
    normalize : bool, default True
        Take the cosine: both vectors over their lengths (which are taken to be at least 1e-12). False: the product.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of queries that count.
    mask : array_like of bool, shape (N,), optional
        False leaves a query out; its key still is the others' negative.
    return_grad : bool
        Also return d(reduced loss)/d(operand) for both; with "none", those of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the unreduced loss into.
    grad_out : tuple of ndarray, optional
        Contiguous arrays of the working type to write the gradients into.

    Returns
    -------
    value : numpy.float64 in nats, or an array of one loss per query with "none"
    grad : tuple of two arrays, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    The matrix of similarities is never whole: tiles of at most 16 MB enter an online log-sum-exp, as in
    `linear_cross_entropy`, whose notes on bits apply. Dtypes as in `pairwise_distance`.

    Source: van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.info_nce_loss([[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [0.0, 3.0]], temperature=1.0)), 6)
    0.313262
    """
    tau = above_zero(temperature, "temperature")
    arrays = [embeddings_of(query, "query"), embeddings_of(key, "key")]
    check_alike(arrays, ("query", "key"))
    return ranked(
        (query,), (key,), ("query", "key"), 1 / tau, normalize, np.arange(len(arrays[0])), None, reduction, mask,
        return_grad, grad_output, out, grad_out,
    )  # fmt: skip


def nt_xent_loss(
    input1: Any, input2: Any, *, temperature: float = 0.5, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Normalised, temperature-scaled cross entropy of two views of a batch (SimCLR).

    Of the 2 N vectors z each is to recognise its other view among all but itself:
    :math:`-\log \text{softmax}_{j \ne i}(\cos(z_i, z_j) / \tau)` at that view.

    Parameters
    ----------
    input1 : array_like, shape (N, D)
        First views. A prediction operand.
    input2 : array_like, shape (N, D)
        Second views of the same samples. A prediction operand.
    temperature : float, default 0.5
        The cosines are divided by it: tau, positive.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of vectors that count, 2 N without a mask.
    mask : array_like of bool, shape (2 N,), optional
        False leaves a vector out as a query; it still is the others' negative.
    return_grad : bool
        Also return d(reduced loss)/d(operand) for both; with "none", those of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the unreduced loss into.
    grad_out : tuple of ndarray, optional
        Contiguous arrays of the working type to write the gradients into.

    Returns
    -------
    value : numpy.float64 in nats, or with "none" an array of 2 N losses, those of `input1` first
    grad : tuple of two arrays, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    As `info_nce_loss`: the matrix of similarities is never whole.

    Source: Chen, Kornblith, Norouzi and Hinton, "A Simple Framework for Contrastive Learning of Visual
    Representations", 2020.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.nt_xent_loss([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], temperature=1.0)), 6)
    0.551445
    """
    tau = above_zero(temperature, "temperature")
    arrays = [embeddings_of(input1, "input1"), embeddings_of(input2, "input2")]
    check_alike(arrays, ("input1", "input2"))
    n = len(arrays[0])
    own = np.arange(2 * n)
    return ranked(
        (input1, input2), (), ("input1", "input2"), 1 / tau, True, np.roll(own, n), own, reduction, mask, return_grad,
        grad_output, out, grad_out,
    )  # fmt: skip


def multiple_negatives_ranking_loss(
    anchor: Any, positive: Any, negative: Any = None, *, scale: float = 20.0, normalize: bool = True,
    reduction: str = "mean", mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Cross entropy of an anchor's similarities, :math:`-\log \text{softmax}_j(s \cos(a_i, p_j))` at j = i.

    Parameters
    ----------
    anchor : array_like, shape (N, D)
        Vectors. A prediction operand.
    positive : array_like, shape (N, D)
        The i-th belongs to the i-th anchor; the others are its negatives. A prediction operand.
    negative : array_like, shape (M, D), optional
        Further vectors that belong to no anchor. A prediction operand where given.
    scale : float, default 20.0
        Factor s of the similarities, positive: one over the temperature.
    normalize : bool, default True
        Similarity is the cosine. False: the product.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of anchors that count.
    mask : array_like of bool, shape (N,), optional
        False leaves an anchor out; its positive still is the others' negative.
    return_grad : bool
        Also return d(reduced loss)/d(operand) for all that are given, a tuple; with "none", those of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the unreduced loss into.
    grad_out : tuple of ndarray, optional
        Contiguous arrays of the working type to write the gradients into.

    Returns
    -------
    value : numpy.float64 in nats, or an array of one loss per anchor with "none"
    grad : tuple of arrays, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    As `info_nce_loss`: the matrix of similarities is never whole.

    Source: Henderson et al., "Efficient Natural Language Response Suggestion for Smart Reply", 2017. The default
    scale is that of the library sentence-transformers.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.multiple_negatives_ranking_loss([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.5], [0.5, 1.0]])), 6)
    0.00013
    """
    factor = above_zero(scale, "scale")
    arrays = [embeddings_of(anchor, "anchor"), embeddings_of(positive, "positive")]
    check_alike(arrays, ("anchor", "positive"))
    keys, names = (positive,), ("anchor", "positive")
    if negative is not None:
        check_alike([arrays[0], embeddings_of(negative, "negative")], ("anchor", "negative"), rows=False)
        keys, names = (positive, negative), ("anchor", "positive", "negative")
    return ranked(
        (anchor,), keys, names, factor, normalize, np.arange(len(arrays[0])), None, reduction, mask, return_grad,
        grad_output, out, grad_out,
    )  # fmt: skip
