# SPDX-License-Identifier: BSD-3-Clause
"""Losses of regression: distances between predictions and targets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._arrays import as_array
from ._call import Elementwise, check_options, elementwise, nonnegative, real_number
from ._rms import RMSE, root_mean_square

__all__ = [
    "huber_loss",
    "l1_loss",
    "log_cosh_loss",
    "mse_loss",
    "rmse_loss",
    "smooth_l1_loss",
]

L1 = Elementwise("l1", weighted_mean=True)
MSE = Elementwise("mse", weighted_mean=True)
HUBER = Elementwise("huber")
SMOOTH_L1 = Elementwise("smooth_l1")
LOG_COSH = Elementwise("log_cosh", weighted_mean=True)


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


def smooth_l1_loss(
    input: Any, target: Any, *, beta: float = 1.0, weight: Any = None, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, return_hess: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None, hess_out: Any = None,
) -> Any:  # fmt: skip
    r"""Squared error near zero, absolute error beyond: :math:`d^2 / (2 \beta)` for :math:`|d| < \beta`, else
    :math:`|d| - \beta / 2`, with :math:`d = x - y`.

    Parameters
    ----------
    input : array_like, any shape
        Predictions x. The prediction operand, which gets the gradient d / beta clipped to [-1, 1]; second derivative 1
        / beta where abs(d) < beta, else 0.
    target : array_like, broadcastable to `input`
        Targets y, in the unit of `input`.
    beta : float, not negative, default 1.0
        Where the square ends, in the unit of `input`; 0 is `l1_loss`.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
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
        beta that is negative, a shape that would enlarge `input`, an option or a dtype that is not one of the above.
        Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: R. Girshick, Fast R-CNN (2015); ``torch.nn.functional.smooth_l1_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.smooth_l1_loss([0.5, 3.0], [0.0, 0.0], beta=2.0, reduction="none").tolist()
    [0.0625, 2.0]
    """
    beta = real_number(beta, "beta")
    if beta < 0:
        raise ValueError(f"beta must not be negative, got {beta}")
    return elementwise(
        SMOOTH_L1, (input, target), (beta,), reduction, return_grad, weight, mask, grad_output, out, grad_out,
        return_hess, hess_out,
    )  # fmt: skip


def rmse_loss(
    input: Any, target: Any, weight: Any = None, *, eps: float = 0.0, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Root of the mean squared error, :math:`\sqrt{\mathrm{mean}((x - y)^2) + \epsilon}`.

    Parameters
    ----------
    input : array_like, any shape
        Predictions x. The prediction operand, which gets the gradient (x - y) / (n rmse), n the number of elements that
        count; 0 where all errors are 0.
    target : array_like, broadcastable to `input`
        Targets y, in the unit of `input`, which is also that of the loss.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    eps : float, not negative, default 0.0
        Added to the mean of squares, in the unit of `input` squared.
    reduction : {"mean"}
        The mean under the root: of the elements that count, or their weighted mean. There is no other: the root of a
        single square is its absolute value, `l1_loss`.
    mask : array_like of bool, broadcastable to `input`, optional
        False leaves an element out of value, gradient (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(input).
    grad_output : scalar, optional
        Multiplies the gradient, so that losses compose.
    grad_out : ndarray, optional
        Contiguous array of the working type to write the gradient into.

    Returns
    -------
    value : numpy.float64
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        eps that is negative or infinite, another reduction, a shape that would enlarge `input`, an option or a dtype
        that is not one of the above. Nothing is written then.

    Notes
    -----
    One pass over the operands gives the value, a second one the gradient. Where squares overflow or vanish in the
    working type, the value is taken once more of scaled differences.

    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: the definition; ``sklearn.metrics.root_mean_squared_error``.

    Examples
    --------
    >>> import fastloss as fl
    >>> value, grad = fl.rmse_loss([1.0, 2.0, 4.0, 4.0], [1.0, 0.0, 0.0, 0.0], return_grad=True)
    >>> float(value), [round(g, 6) for g in grad.tolist()]
    (3.0, [0.0, 0.166667, 0.333333, 0.333333])
    """
    eps = nonnegative(eps, "eps")
    if not isinstance(reduction, str) or reduction != "mean":
        raise ValueError(f"reduction must be 'mean' (not 'none' or 'sum': the root is of a mean), got {reduction!r}")
    check_options(reduction, return_grad, grad_output, None, grad_out)
    root = root_mean_square(input, target, weight, mask)
    value = np.float64(math.hypot(root, math.sqrt(eps)) if eps else root)
    if not return_grad:
        return value
    factor = 1.0
    if grad_output is not None:
        g = as_array(grad_output, "grad_output")
        if g.ndim:
            raise ValueError(f"grad_output has shape {g.shape}, expected a scalar: the loss is one number")
        factor = float(g)
    # Differences and root times one power of two: the reciprocal of the root alone might not be a normal number.
    scale = 2.0 ** max(-126, min(-math.frexp(value)[1], 126))
    factor = factor / (float(value) * scale) if value != 0 else 0.0
    _, grad = elementwise(RMSE, (input, target), (scale,), "mean", True, weight, mask, factor, None, grad_out)
    return value, grad


def log_cosh_loss(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, return_hess: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None, hess_out: Any = None,
) -> Any:  # fmt: skip
    r"""Logarithm of the hyperbolic cosine of the error, :math:`\log\cosh(x - y)`: half the square near zero, the
    absolute value less log(2) beyond.

    Parameters
    ----------
    input : array_like, any shape
        Predictions x. The prediction operand, which gets the gradient tanh(x - y); second derivative 1 - tanh(x - y)^2.
    target : array_like, broadcastable to `input`
        Targets y. `input` and `target` are numbers without a unit, or divided by a scale.
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
        A shape that would enlarge `input`, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: the definition; no function of PyTorch. Accurate near 0 and beyond the range of cosh.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.log_cosh_loss([0.0, 1e-4, 1000.0], 0.0, reduction="none").round(12).tolist()
    [0.0, 5e-09, 999.30685281944]
    """
    return elementwise(
        LOG_COSH, (input, target), (), reduction, return_grad, weight, mask, grad_output, out, grad_out, return_hess,
        hess_out,
    )  # fmt: skip
