# SPDX-License-Identifier: BSD-3-Clause
"""Errors of regression in proportion to the target: percentages and logarithms."""

from __future__ import annotations

from typing import Any

from ._call import ABOVE_MINUS_ONE, Elementwise, elementwise, real_number

__all__ = ["mape_loss", "msle_loss", "smape_loss"]

MAPE = Elementwise("mape", weighted_mean=True)
SMAPE = Elementwise("smape", weighted_mean=True)
MSLE = Elementwise("msle", weighted_mean=True, domains=((0, ABOVE_MINUS_ONE), (1, ABOVE_MINUS_ONE)))


def mape_loss(
    input: Any, target: Any, weight: Any = None, *, eps: float = 2.220446049250313e-16, reduction: str = "mean",
    mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Absolute error relative to the target, :math:`|x - y| / \max(|y|, \epsilon)`: a fraction, not per cent.

    Parameters
    ----------
    input : array_like, any shape
        Predictions x. The prediction operand, which gets the gradient sign(x - y) / max(abs(y), eps), 0 at x = y.
    target : array_like, broadcastable to `input`
        Targets y, in the unit of `input`.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    eps : float, positive, default 2.220446049250313e-16 (float64's machine epsilon)
        Lower bound of abs(y), in the unit of `target`: a target of 0 gives an error of abs(x) / eps.
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
        eps that is not positive, a shape that would enlarge `input`, an option or a dtype that is not one of the above.
        Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: ``sklearn.metrics.mean_absolute_percentage_error``, whose eps this is.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.mape_loss([3.0, -1.0], [4.0, -2.0], reduction="none").tolist()
    [0.25, 0.5]
    """
    eps = real_number(eps, "eps")
    if not eps > 0:
        raise ValueError(f"eps must be positive, got {eps}")
    return elementwise(
        MAPE, (input, target), (eps,), reduction, return_grad, weight, mask, grad_output, out, grad_out,
    )  # fmt: skip


def smape_loss(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Absolute error relative to the mean size of prediction and target, :math:`2 |x - y| / (|x| + |y|)`.

    Parameters
    ----------
    input : array_like, any shape
        Predictions x. The prediction operand, which gets the gradient 4 sign(x - y) abs(y) / (abs(x) + abs(y))^2 where
        the signs of x and y agree, 0 where they differ or x = y, and at x = 0 half of what stands beside it.
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
    Of the variants in use this is the one from 0 to 2 (twice the one from 0 to 1; a hundredth of the one from 0 to 200
    per cent); its denominator is never negative. It is 0 where x = y = 0, and 2 wherever the signs differ.

    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: S. Makridakis and M. Hibon, The M3-Competition (2000).

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.smape_loss([3.0, 0.0, 1.0], [1.0, 0.0, -5.0], reduction="none").tolist()
    [1.0, 0.0, 2.0]
    """
    return elementwise(
        SMAPE, (input, target), (), reduction, return_grad, weight, mask, grad_output, out, grad_out,
    )  # fmt: skip


def msle_loss(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, return_hess: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None, hess_out: Any = None,
) -> Any:  # fmt: skip
    r"""Squared error of logarithms, :math:`(\log(1 + x) - \log(1 + y))^2`.

    Parameters
    ----------
    input : array_like, any shape
        Predictions x > -1. The prediction operand, which gets the gradient 2 l / (1 + x) with l = log(1 + x) - log(1 +
        y); second derivative 2 (1 - l) / (1 + x)^2.
    target : array_like, broadcastable to `input`
        Targets y > -1, usually counts or amounts.
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
        A number that is not greater than -1 (with its position), a shape that would enlarge `input`, an option or a
        dtype that is not one of the above. A number outside of its domain is found during the pass: `out` is then
        unspecified.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: ``sklearn.metrics.mean_squared_log_error``. Differences of nearly equal numbers keep their digits.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(float(fl.msle_loss([3.0, 5.0], [2.5, 5.0])), 6)
    0.008915
    """
    return elementwise(
        MSLE, (input, target), (), reduction, return_grad, weight, mask, grad_output, out, grad_out, return_hess,
        hess_out,
    )  # fmt: skip
