# SPDX-License-Identifier: BSD-3-Clause
"""Losses on triplets: an anchor, a vector that belongs to it, and one that does not."""

from __future__ import annotations

from typing import Any

from ._call import boolean
from ._call_batch import batch_all, batch_hard, batch_of, hardest
from ._call_distance import norm_of, positive, vectors
from ._call_triplet import with_distance

__all__ = [
    "batch_all_triplet_loss",
    "batch_hard_triplet_loss",
    "hardest_triplets",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def triplet_margin_loss(
    anchor: Any, positive: Any, negative: Any, *, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
    swap: bool = False, reduction: str = "mean", mask: Any = None, return_grad: bool = False, grad_output: Any = None,
    out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Triplet loss, :math:`\max(0, \text{margin} + d(a, p) - d(a, n))` with d a p-norm.

    Parameters
    ----------
    anchor : array_like, shape (D,), (N, D) or (..., D)
        Vectors a. A prediction operand.
    positive : array_like of as many features as `anchor`
        Vectors p that belong to the anchors. A prediction operand.
    negative : array_like of as many features as `anchor`
        Vectors n that do not. A prediction operand. Leading axes of all three broadcast against each other.
    margin : float, default 1.0
        By how much the negative should be farther away than the positive; positive.
    p : float, default 2.0
        Power of the norm, positive: 1, 2, inf or any other.
    eps : float, default 1e-6
        Added to every difference, as PyTorch does.
    swap : bool, default False
        Take d(p, n) in place of d(a, n) where it is smaller (the distance swap of Balntas et al.).
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of triplets that count.
    mask : array_like of bool, broadcastable to the triplets, optional
        False leaves a triplet out of value (0 with "none"), gradients (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(operand) for all three; with "none", those of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the unreduced loss into.
    grad_out : tuple of ndarray, optional
        Contiguous arrays of the working type, in the operands' shapes, to write the gradients into.

    Returns
    -------
    value : numpy.float64, or an array with "none"
    grad : tuple of three arrays, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    d(x, y) is the p-norm of ``x - y + eps``. Operands, working type and the gradient of distances are as in
    `pairwise_distance`. A hinge of exactly 0 passes the gradient; where both distances of `swap` are equal each gets
    half of it.

    Source: ``torch.nn.functional.triplet_margin_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.triplet_margin_loss([[0.0, 0.0]], [[0.0, 2.0]], [[1.5, 0.0]])), 4)
    1.5
    """
    return _triplets(
        norm_of(p, eps), anchor, positive, negative, margin, swap, reduction, mask, return_grad, grad_output, out,
        grad_out,
    )  # fmt: skip


def _triplets(
    measure: Any, anchor: Any, positive_vectors: Any, negative: Any, margin: Any, swap: Any, *options: Any
) -> Any:
    """Triplets under one of the built-in measures."""
    return vectors(
        "triplet", measure, (anchor, positive_vectors, negative), ("anchor", "positive", "negative"), None,
        positive(margin, "margin"), boolean(swap, "swap"), -1, *options,
    )  # fmt: skip


def triplet_margin_with_distance_loss(
    anchor: Any, positive: Any, negative: Any, *, distance_function: Any = "pairwise", margin: float = 1.0,
    swap: bool = False, reduction: str = "mean", mask: Any = None, return_grad: bool = False, grad_output: Any = None,
    out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Triplet loss under any distance, :math:`\max(0, \text{margin} + d(a, p) - d(a, n))`.

    Parameters
    ----------
    anchor : array_like, shape (D,), (N, D) or (..., D)
        Vectors a. A prediction operand.
    positive : array_like of as many features as `anchor`
        Vectors p that belong to the anchors. A prediction operand.
    negative : array_like of as many features as `anchor`
        Vectors n that do not. A prediction operand. Leading axes of all three broadcast against each other.
    distance_function : str or callable, default "pairwise"
        "euclidean", "sqeuclidean" (the textbook's triplet loss), "manhattan", "chebyshev", "cosine" (1 - cos), or
        "pairwise", PyTorch's default: `pairwise_distance` with its eps of 1e-6, as also None means. Or a function of
        two arrays that returns their distances; for gradients it is called as
        ``f(x, y, return_grad=True, grad_output=g)`` and returns
        (distances, (gradient by x, gradient by y)), as `pairwise_distance` and `cosine_similarity` do.
    margin : float, default 1.0
        By how much the negative should be farther away than the positive; positive.
    swap : bool, default False
        Take d(p, n) in place of d(a, n) where it is smaller.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of triplets that count.
    mask : array_like of bool, broadcastable to the triplets, optional
        False leaves a triplet out of value (0 with "none"), gradients (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(operand) for all three; with "none", those of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the unreduced loss into.
    grad_out : tuple of ndarray, optional
        Contiguous arrays of the working type, in the operands' shapes, to write the gradients into.

    Returns
    -------
    value : numpy.float64, or an array with "none"
    grad : tuple of three arrays, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A name that is no distance, a function whose results have other shapes than expected, a shape that does not fit,
        an option or a dtype that is not one of the above.

    Notes
    -----
    As `triplet_margin_loss`, at the same speed under the named distances. A function is called with the operands as
    arrays, and for gradients once more.

    Source: ``torch.nn.functional.triplet_margin_with_distance_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> a, p, n = [[0.0, 0.0]], [[0.0, 2.0]], [[1.0, 0.0]]
    >>> float(fl.triplet_margin_with_distance_loss(a, p, n, distance_function="sqeuclidean"))
    4.0
    """
    return with_distance(
        distance_function, anchor, positive, negative, margin, swap, reduction, mask, return_grad, grad_output, out,
        grad_out,
    )  # fmt: skip


def hardest_triplets(embeddings: Any, labels: Any) -> tuple[Any, Any]:
    """Index of the farthest embedding with the same label, and of the nearest with another, for every embedding.

    Parameters
    ----------
    embeddings : array_like, shape (N, D)
        Vectors.
    labels : array_like of integers, shape (N,)
        Which of them belong together.

    Returns
    -------
    positive, negative : arrays of int64, shape (N,)
        Among equally hard ones the lowest index; -1 where there is none.

    Notes
    -----
    Distances are Euclidean. Candidates come from a matrix product in blocks of at most 16 MB and are then measured
    exactly, so that near-identical vectors are told apart. nan is harder than any number.

    Examples
    --------
    >>> import fastloss as fl
    >>> positive, negative = fl.hardest_triplets([[0.0], [1.0], [3.0], [4.0]], [0, 0, 0, 1])
    >>> positive.tolist(), negative.tolist()
    ([2, 2, 0, -1], [3, 3, 3, 2])
    """
    return hardest(batch_of(embeddings, labels))


def batch_hard_triplet_loss(
    embeddings: Any, labels: Any, *, margin: float = 1.0, metric: str = "euclidean", reduction: str = "mean",
    mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Triplet loss of each embedding with its hardest partners, :math:`\max(0, m + \max_p d(a, p) - \min_n d(a, n))`.

    Parameters
    ----------
    embeddings : array_like, shape (N, D)
        Vectors, each an anchor. The prediction operand.
    labels : array_like of integers, shape (N,)
        Which of them belong together.
    margin : float, default 1.0
        By how much the negative should be farther away than the positive; positive.
    metric : {"euclidean", "sqeuclidean"}
        Distance in the hinge.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of anchors that have a positive and a negative, whatever their loss.
    mask : array_like of bool, shape (N,), optional
        False leaves an anchor out; it may still be another's positive or negative.
    return_grad : bool
        Also return d(reduced loss)/d(embeddings); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or with "none" an array of one loss per anchor: 0 where there is no triplet
    grad : array of the shape of `embeddings`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, labels that are not integers, an option or a dtype that is not one of the above.

    Notes
    -----
    Which triplets these are says `hardest_triplets`. Memory beyond inputs and gradient is some 24 MB and a few times
    the embeddings. Dtypes as in `pairwise_distance`.

    Source: Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.batch_hard_triplet_loss([[0.0], [1.0], [3.0], [4.0]], [0, 0, 0, 1], reduction="none").tolist()
    [0.0, 0.0, 3.0, 0.0]
    """
    return batch_hard(
        embeddings, labels, positive(margin, "margin"), metric, reduction, mask, return_grad, grad_output,
        out, grad_out,
    )  # fmt: skip


def batch_all_triplet_loss(
    embeddings: Any, labels: Any, *, margin: float = 1.0, metric: str = "euclidean", active_only: bool = False,
    reduction: str = "mean", mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Triplet loss of all triplets of a batch, the mean of :math:`\max(0, \text{margin} + d(a, p) - d(a, n))`.

    Parameters
    ----------
    embeddings : array_like, shape (N, D)
        Vectors. The prediction operand.
    labels : array_like of integers, shape (N,)
        A triplet is valid if anchor and positive are different vectors of one label, and the negative has another.
    margin : float, default 1.0
        By how much the negative should be farther away than the positive; positive.
    metric : {"euclidean", "sqeuclidean"}
        Distance in the hinge.
    active_only : bool, default False
        "mean" divides by the number of triplets whose loss is not 0, as if the others did not exist.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of valid triplets.
    mask : array_like of bool, shape (N,), optional
        False leaves out an anchor with its triplets; it may still be another's positive or negative.
    return_grad : bool
        Also return d(reduced loss)/d(embeddings); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or with "none" an array: for each anchor the sum over its triplets
    grad : array of the shape of `embeddings`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, labels that are not integers, an option or a dtype that is not one of the above.

    Notes
    -----
    The time grows with N^2 (D + log N), not with the number of triplets: an anchor's positives are sorted, and each
    negative is looked up among them. Distances are measured directly, in blocks of anchors; memory does not grow with
    N^2. Where the gradient is a matrix product, pairs so near that it would lose their difference are added one by one.
    A hinge of exactly 0 passes the gradient. Dtypes as in `pairwise_distance`.

    Source: Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017.

    Examples
    --------
    >>> import fastloss as fl
    >>> float(fl.batch_all_triplet_loss([[0.0], [1.0], [3.0], [4.0]], [0, 0, 0, 1], reduction="sum"))
    5.0
    """
    return batch_all(
        embeddings, labels, positive(margin, "margin"), metric, boolean(active_only, "active_only"),
        reduction, mask, return_grad, grad_output, out, grad_out,
    )  # fmt: skip
