# SPDX-License-Identifier: BSD-3-Clause
"""Losses of regression: distances between predictions and targets."""

from __future__ import annotations

from typing import Any

from ._call import Elementwise, elementwise, real_number

__all__ = ["huber_loss", "l1_loss", "mse_loss"]

L1 = Elementwise("l1", weighted_mean=True)
MSE = Elementwise("mse", weighted_mean=True)
HUBER = Elementwise("huber")


def l1_loss(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Absolute error, :math:`|x - y|`.

    Parameters
    ----------
    input : array_like, any shape
        Predictions x. The prediction operand, which gets the gradient sign(x - y), 0 at x = y.
    target : array_like, broadcastable to `input`
        Targets y, in the unit of `input`.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of elements that count, or by the sum of their weights.
    mask : array_like of bool, broadcastable to `input`, optional
        False leaves an element out of value (0 with "none"), gradient (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or an array of the shape of `input` with "none"
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A shape that would enlarge `input`, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: ``torch.nn.functional.l1_loss``; weighted, it divides by the sum of weights, as there.

    Examples
    --------
    >>> import fastloss as fl
    >>> float(fl.l1_loss([1.0, 2.0, 4.0], [1.0, 0.0, 0.0]))
    2.0
    """
    return elementwise(L1, (input, target), (), reduction, return_grad, weight, mask, grad_output, out, grad_out)


def mse_loss(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, return_hess: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None, hess_out: Any = None,
) -> Any:  # fmt: skip
    r"""Squared error, :math:`(x - y)^2`.

    Parameters
    ----------
    input : array_like, any shape
        Predictions x. The prediction operand, which gets the gradient 2 (x - y); second derivative 2.
    target : array_like, broadcastable to `input`
        Targets y, in the unit of `input`; the loss is in that unit squared.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of elements that count, or by the sum of their weights.
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
    value : numpy.float64, or an array of the shape of `input` with "none"
    grad : array of the shape of `input`, only with `return_grad`
    hess : array of the shape of `input`, only with `return_hess`

    Raises
    ------
    ValueError, TypeError
        A shape that would enlarge `input` (so ``(n, 1)`` against ``(n,)``), an option or a dtype that is not one of the
        above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: ``torch.nn.functional.mse_loss``; weighted, it divides by the sum of weights, as there.

    Examples
    --------
    >>> import fastloss as fl
    >>> value, grad = fl.mse_loss([1.0, 2.0, 4.0], [1.0, 0.0, 0.0], reduction="sum", return_grad=True)
    >>> float(value), grad.tolist()
    (20.0, [0.0, 4.0, 8.0])
    """
    return elementwise(
        MSE, (input, target), (), reduction, return_grad, weight, mask, grad_output, out, grad_out, return_hess,
        hess_out,
    )  # fmt: skip


def huber_loss(
    input: Any, target: Any, weight: Any = None, *, delta: float = 1.0, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, return_hess: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None, hess_out: Any = None,
) -> Any:  # fmt: skip
    r"""Squared error near zero, absolute error beyond: :math:`d^2 / 2` for :math:`|d| \le \delta`, else
    :math:`\delta (|d| - \delta / 2)`, with :math:`d = x - y`.

    Parameters
    ----------
    input : array_like, any shape
        Predictions x. The prediction operand, which gets the gradient d clipped to [-delta, delta]; second
        derivative 1 where abs(d) <= delta, else 0.
    target : array_like, broadcastable to `input`
        Targets y, in the unit of `input`.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    delta : float, positive, default 1.0
        Where the square ends, in the unit of `input`.
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
    value : numpy.float64, or an array of the shape of `input` with "none"
    grad : array of the shape of `input`, only with `return_grad`
    hess : array of the shape of `input`, only with `return_hess`

    Raises
    ------
    ValueError, TypeError
        delta that is not positive, a shape that would enlarge `input`, an option or a dtype that is not one of the
        above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: P. J. Huber, Robust Estimation of a Location Parameter (1964); ``torch.nn.functional.huber_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.huber_loss([0.5, 3.0], [0.0, 0.0], reduction="none").tolist()
    [0.125, 2.5]
    """
    delta = real_number(delta, "delta")
    if not delta > 0:
        raise ValueError(f"delta must be positive, got {delta}")
    return elementwise(
        HUBER, (input, target), (delta,), reduction, return_grad, weight, mask, grad_output, out, grad_out,
        return_hess, hess_out,
    )  # fmt: skip
