# SPDX-License-Identifier: BSD-3-Clause
"""Losses on a matrix product, which is never whole."""

from __future__ import annotations

from typing import Any

from ._call_linear import linear_cross_entropy as _linear_cross_entropy

__all__ = ["linear_cross_entropy"]


def linear_cross_entropy(
    input: Any, linear_weight: Any, target: Any, *, linear_bias: Any = None, weight: Any = None,
    reduction: str = "mean", ignore_index: int | None = None, label_smoothing: float = 0.0, options: None = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Softmax cross entropy of the logits :math:`x W^T + b`, which are never held together.

    Parameters
    ----------
    input : array_like, shape (D,) or (N, D)
        Hidden states x. A prediction operand.
    linear_weight : array_like, shape (V, D) or, with a batch, (V, d1, ..., D)
        Matrix W, a row of features for each class; with further axes, a loss for each of their positions. A prediction
        operand.
    target : array_like
        Class indices t in [0, V) or `ignore_index`, of any integer type and the shape (), (N,) or (N, d1, ...); or
        probabilities of the classes, floating and of the shape (V,), (N, V) or (N, V, d1, ...).
    linear_bias : array_like, shape (V,) or (V, d1, ...), optional
        Added to the logits: b. A prediction operand where given.
    weight : array_like, shape (V,), optional
        Factor of each class.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of positions that count, or by the sum of the class weights of their labels; with
        probabilities by the number of positions.
    ignore_index : int, optional
        Positions with this label are left out: None means -100. An error with probabilities.
    label_smoothing : float, default 0.0
        In [0, 1]: this much of each target is spread over all classes.
    options : None
        PyTorch's choice of chunks; there is nothing to choose here.
    return_grad : bool
        Also return d(reduced loss)/d(prediction operand), a tuple; with "none", those of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the unreduced loss into.
    grad_out : tuple of ndarray, optional
        Contiguous arrays of the working type to write the gradients into.

    Returns
    -------
    value : numpy.float64 in nats, or an array with "none", of the shape (), (N,) or (N, d1, ...)
    grad : tuple of arrays, only with `return_grad`: those of `input` and `linear_weight`, and of `linear_bias` if given

    Raises
    ------
    ValueError, TypeError
        A label out of range (``target[37] = 10 is out of range for 10 classes``), a shape that does not fit, an option
        or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    Tiles of the product, at most 16 MB at a time, enter an online log-sum-exp. For gradients the logits of as many rows
    as fit into 128 MB are kept meanwhile; with more than 262 144 classes (float32), fewer than 128 rows would fit, and
    tiles are computed a second time instead. Memory beyond inputs and gradients is that, at most 16 MB of packed
    columns, and a few numbers per row: it does not grow with N * V. The matrix products are our own, in the working
    type: float64 if a floating operand is float64 or none is floating, else float32 (float16 and bfloat16 are converted
    tile by tile); their sums are in parts of 128 terms, all other sums are float64. The bits of a row's loss do not
    depend on threads, on other rows or on whether gradients are asked for.

    Source: ``torch.nn.functional.linear_cross_entropy``.

    Examples
    --------
    >>> import fastloss as fl
    >>> hidden, vocabulary = [[1.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    >>> round(float(fl.linear_cross_entropy(hidden, vocabulary, [0, 1])), 6)
    0.583115
    """
    return _linear_cross_entropy(
        input, linear_weight, target, linear_bias, weight, reduction, ignore_index, label_smoothing, options,
        return_grad, grad_output, out, grad_out,
    )  # fmt: skip
