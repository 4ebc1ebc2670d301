# SPDX-License-Identifier: BSD-3-Clause
"""Losses on triplets: an anchor, a vector that belongs to it, and one that does not."""

from __future__ import annotations

from typing import Any

from ._call import boolean
from ._call_distance import general_vectors, norm_of, positive

__all__ = ["triplet_margin_loss"]


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
    return general_vectors(
        "triplet", measure, (anchor, positive_vectors, negative), ("anchor", "positive", "negative"), None,
        positive(margin, "margin"), boolean(swap, "swap"), -1, *options,
    )  # fmt: skip
