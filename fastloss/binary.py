# SPDX-License-Identifier: BSD-3-Clause
"""Losses of yes-or-no targets."""

from __future__ import annotations

from typing import Any

from ._call import Elementwise, elementwise

__all__ = ["binary_cross_entropy_with_logits"]

BCE_LOGITS = Elementwise("bce_logits")
BCE_LOGITS_POS = Elementwise("bce_logits_pos", ("input", "target", "pos_weight"))


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, *, pos_weight: Any = None, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, return_hess: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None, hess_out: Any = None,
) -> Any:  # fmt: skip
    r"""Binary cross entropy of logits, :math:`-p\,y \log\sigma(x) - (1 - y) \log(1 - \sigma(x))`.

    Parameters
    ----------
    input : array_like, any shape
        Logits x. The prediction operand, which gets the gradient (1 - y) sigmoid(x) - p y sigmoid(-x);
        second derivative (1 - y + p y) sigmoid(x) sigmoid(-x).
    target : array_like, broadcastable to `input`
        Probabilities y of the positive class, usually 0 or 1; a bool or uint8 mask is read as it is.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    pos_weight : array_like, broadcastable to `input`, optional
        Factor p of the positive class, 1 if not given.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of elements that count, weighted or not.
    mask : array_like of bool, broadcastable to `input`, optional
        False leaves an element out of value (0 with "none"), gradient (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    return_hess : bool
        Also return the second derivative by each element of `input`, scaled as the gradient; needs `return_grad`.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the derivatives, so that losses compose.
    out, grad_out, hess_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the derivatives into.

    Returns
    -------
    value : numpy.float64 in nats, or an array of the shape of `input` with "none"
    grad : array of the shape of `input`, only with `return_grad`
    hess : array of the shape of `input`, only with `return_hess`

    Raises
    ------
    ValueError, TypeError
        A shape that would enlarge `input`, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: ``torch.nn.functional.binary_cross_entropy_with_logits``.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.binary_cross_entropy_with_logits([0.0, 2.0], [1, 1])), 6)
    0.410038
    """
    spec, operands = BCE_LOGITS, (input, target)
    if pos_weight is not None:
        spec, operands = BCE_LOGITS_POS, (input, target, pos_weight)
    return elementwise(
        spec, operands, (), reduction, return_grad, weight, mask, grad_output, out, grad_out, return_hess, hess_out
    )
