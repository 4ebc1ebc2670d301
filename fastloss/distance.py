# SPDX-License-Identifier: BSD-3-Clause
"""Distances of vectors, and losses on pairs of them."""

from __future__ import annotations

from typing import Any

from ._call import nonnegative
from ._call_distance import Measure, every_pair, finite, norm_of, pairwise, positive, vectors

__all__ = ["cdist", "contrastive_loss", "cosine_embedding_loss", "cosine_similarity", "pairwise_distance"]


def pairwise_distance(
    x1: Any, x2: Any, *, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False, return_grad: bool = False,
    grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Distance of pairs of vectors, :math:`\|x_1 - x_2 + \text{eps}\|_p`.

    Parameters
    ----------
    x1 : array_like, shape (D,), (N, D) or (..., D)
        First vectors of the pairs. A prediction operand.
    x2 : array_like of as many features as `x1`
        A prediction operand. Leading axes broadcast against those of `x1`.
    p : float, default 2.0
        Power of the norm, positive: 1, 2, inf or any other.
    eps : float, default 1e-6
        Added to every difference, as PyTorch does.
    keepdim : bool
        Keep the last axis, with length 1.
    return_grad : bool
        Also return the gradients of the distances' sum by both operands.
    grad_output : scalar or array broadcastable to the distances, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the distances into.
    grad_out : tuple of ndarray, optional
        Contiguous arrays of the working type, in the operands' shapes, to write the gradients into.

    Returns
    -------
    distance : array of the common leading shape
    grad : tuple of two arrays, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64 and integer vectors are read as they are, in any layout. The working type is
    float64 if an operand is float64 or neither is floating, else float32; sums are float64, and huge or tiny
    differences neither overflow nor vanish on the way. The gradient is 0 where ``x1 - x2 + eps`` is the zero vector;
    with p < 1 also at each feature where it is 0; with p = inf the features that are largest share it.

    Source: ``torch.nn.functional.pairwise_distance``.

    Examples
    --------
    >>> import fastloss as fl
    >>> float(fl.pairwise_distance([0.0, 0.0], [3.0, 4.0], eps=0.0))
    5.0
    """
    return pairwise(norm_of(p, eps), x1, x2, -1, keepdim, return_grad, grad_output, out, grad_out)


def cosine_similarity(
    x1: Any, x2: Any, *, dim: int = 1, eps: float = 1e-8, return_grad: bool = False, grad_output: Any = None,
    out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Cosine of the angle of pairs of vectors, :math:`x_1 x_2 / (\max(\|x_1\|, \epsilon) \max(\|x_2\|, \epsilon))`.

    Parameters
    ----------
    x1 : array_like with the features along `dim`
        A prediction operand.
    x2 : array_like of as many features as `x1`
        A prediction operand. The other axes broadcast against those of `x1`.
    dim : int, default 1
        Axis of the features in the common shape; 1 is also that of a single vector.
    eps : float, default 1e-8
        Norms are taken to be no less.
    return_grad : bool
        Also return the gradients of the cosines' sum by both operands.
    grad_output : scalar or array broadcastable to the cosines, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the cosines into.
    grad_out : tuple of ndarray, optional
        Contiguous arrays of the working type, in the operands' shapes, to write the gradients into.

    Returns
    -------
    similarity : array of the common shape without `dim`; within [-1, 1]
    grad : tuple of two arrays, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    Operands and working type as in `pairwise_distance`. The cosine of a vector of zeros is 0, with a finite gradient.
    As in PyTorch a norm's own derivative passes also where it is below `eps`.

    Source: ``torch.nn.functional.cosine_similarity``.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.cosine_similarity([1.0, 0.0], [1.0, 1.0])), 6)
    0.707107
    """
    measure = Measure("similarity", eps=nonnegative(eps, "eps"))
    return pairwise(measure, x1, x2, dim, False, return_grad, grad_output, out, grad_out)


def cdist(x: Any, y: Any, metric: str = "euclidean", *, p: float = 2.0, out: Any = None) -> Any:
    r"""Distances of all vectors of one set to all of another.

    Parameters
    ----------
    x : array_like, shape (N, D)
        First set.
    y : array_like, shape (M, D)
        Second set.
    metric : str, default "euclidean"
        "euclidean", "sqeuclidean", "manhattan", "chebyshev", "cosine" (1 - cos), or "minkowski" with the power `p`.
    p : float, default 2.0
        Power of "minkowski", positive.
    out : ndarray, shape (N, M), optional
        Contiguous array of the working type to write the distances into.

    Returns
    -------
    distance : array of shape (N, M)

    Raises
    ------
    ValueError, TypeError
        A shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    Every distance is measured directly, not by a matrix product: near vectors keep their distance, equal ones have 0,
    and bits do not depend on threads or on the build of NumPy. Dtypes as in `pairwise_distance`.

    Source: ``torch.cdist``, ``scipy.spatial.distance.cdist``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.cdist([[0.0, 0.0], [3.0, 0.0]], [[3.0, 4.0]]).tolist()
    [[5.0], [4.0]]
    """
    return every_pair(x, y, metric, p, out)


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, *, margin: float = 0.0, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Cosine loss of pairs, :math:`1 - \cos` if they belong together, else :math:`\max(0, \cos - \text{margin})`.

    Parameters
    ----------
    input1 : array_like, shape (D,), (N, D) or (..., D)
        First vectors of the pairs. A prediction operand.
    input2 : array_like of as many features as `input1`
        Second vectors of the pairs. A prediction operand. Leading axes broadcast against those of `input1`.
    target : array_like, broadcastable to the pairs
        1 where a pair belongs together, -1 where it does not.
    margin : float, default 0.0
        Cosines of other pairs cost nothing up to here.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of pairs that count.
    mask : array_like of bool, broadcastable to the pairs, optional
        False leaves a pair out of value (0 with "none"), gradients (0) and denominator; its target may be anything.
    return_grad : bool
        Also return d(reduced loss)/d(operand) for both; with "none", those of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the unreduced loss into.
    grad_out : tuple of ndarray, optional
        Contiguous arrays of the working type, in the operands' shapes, to write the gradients into.

    Returns
    -------
    value : numpy.float64, or an array with "none"
    grad : tuple of two arrays, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A target that is neither 1 nor -1 (``target[3] = 0 is neither 1 nor -1``), a shape that does not fit, an option
        or a dtype that is not one of the above.

    Notes
    -----
    Operands and working type as in `pairwise_distance`. As in PyTorch 1e-12 is added to the squared norms, so that the
    cosine of a vector of zeros is 0. A hinge of exactly 0 passes the gradient.

    Source: ``torch.nn.functional.cosine_embedding_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.cosine_embedding_loss([[1.0, 0.0], [0.0, 2.0]], [[0.0, 1.0], [0.0, 1.0]], [1, -1])), 6)
    1.0
    """
    return vectors(
        "cosine_embedding", Measure("shifted_similarity"), (input1, input2), ("input1", "input2", "target"), target,
        finite(margin, "margin"), False, -1, reduction, mask, return_grad, grad_output, out, grad_out,
    )  # fmt: skip


def contrastive_loss(
    input1: Any, input2: Any, target: Any, *, margin: float = 1.0, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Contrastive loss of pairs at distance d, :math:`\tfrac12 (1 - y) d^2 + \tfrac12 y \max(0, \text{margin} - d)^2`.

    Parameters
    ----------
    input1 : array_like, shape (D,), (N, D) or (..., D)
        First vectors of the pairs. A prediction operand.
    input2 : array_like of as many features as `input1`
        Second vectors of the pairs. A prediction operand. Leading axes broadcast against those of `input1`.
    target : array_like, broadcastable to the pairs
        y: 0 where a pair belongs together, 1 where it does not, as in the paper; in between a mixture.
    margin : float, default 1.0
        How far apart other pairs should be; positive.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of pairs that count.
    mask : array_like of bool, broadcastable to the pairs, optional
        False leaves a pair out of value (0 with "none"), gradients (0) and denominator; its target may be anything.
    return_grad : bool
        Also return d(reduced loss)/d(operand) for both; with "none", those of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the unreduced loss into.
    grad_out : tuple of ndarray, optional
        Contiguous arrays of the working type, in the operands' shapes, to write the gradients into.

    Returns
    -------
    value : numpy.float64, or an array with "none"
    grad : tuple of two arrays, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A target outside [0, 1], with its position, a shape that does not fit, an option or a dtype that is not one of
        the above.

    Notes
    -----
    The distance is Euclidean, without eps. Operands and working type as in `pairwise_distance`. The gradient of pairs
    at distance 0 is 0: they have no direction to part in.

    Source: Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping", CVPR 2006.
    Many libraries name the label the other way round: 1 where a pair belongs together. Pass ``1 - label`` then.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.contrastive_loss([[0.0, 0.0], [0.0, 0.0]], [[0.3, 0.4], [0.3, 0.4]], [0, 1], reduction="none").tolist()
    [0.125, 0.125]
    """
    return vectors(
        "contrastive", Measure("euclidean"), (input1, input2), ("input1", "input2", "target"), target,
        positive(margin, "margin"), False, -1, reduction, mask, return_grad, grad_output, out, grad_out,
    )  # fmt: skip
