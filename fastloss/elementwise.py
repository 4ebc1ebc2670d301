# SPDX-License-Identifier: BSD-3-Clause
"""Elementwise losses. Each function checks what is its own and names its row; the rest is one common path."""

from __future__ import annotations

from typing import Any

from ._call import NONNEGATIVE, Elementwise, boolean, elementwise, real_number

__all__ = ["binary_cross_entropy_with_logits", "gaussian_nll_loss", "huber_loss", "l1_loss", "mse_loss"]

L1 = Elementwise("l1", weighted_mean=True)
MSE = Elementwise("mse", weighted_mean=True)
HUBER = Elementwise("huber")
BCE_LOGITS = Elementwise("bce_logits")
BCE_LOGITS_POS = Elementwise("bce_logits_pos", ("input", "target", "pos_weight"))
GAUSSIAN_NLL = Elementwise(
    "gaussian_nll", ("input", "target", "var"), (0, 2), domains=((2, NONNEGATIVE),), per_row=(2,)
)


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
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Squared error, :math:`(x - y)^2`.

    Parameters
    ----------
    input : array_like, any shape
        Predictions x. The prediction operand, which gets the gradient 2 (x - y).
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
    return elementwise(MSE, (input, target), (), reduction, return_grad, weight, mask, grad_output, out, grad_out)


def huber_loss(
    input: Any, target: Any, weight: Any = None, *, delta: float = 1.0, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Squared error near zero, absolute error beyond: :math:`d^2 / 2` for :math:`|d| \le \delta`, else
    :math:`\delta (|d| - \delta / 2)`, with :math:`d = x - y`.

    Parameters
    ----------
    input : array_like, any shape
        Predictions x. The prediction operand, which gets the gradient d clipped to [-delta, delta].
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
        HUBER, (input, target), (delta,), reduction, return_grad, weight, mask, grad_output, out, grad_out
    )


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, *, pos_weight: Any = None, reduction: str = "mean", mask: Any = None,
    return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Binary cross entropy of logits, :math:`-p\,y \log\sigma(x) - (1 - y) \log(1 - \sigma(x))`.

    Parameters
    ----------
    input : array_like, any shape
        Logits x. The prediction operand, which gets the gradient (1 - y) sigmoid(x) - p y sigmoid(-x).
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
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64 in nats, or an array of the shape of `input` with "none"
    grad : array of the shape of `input`, only with `return_grad`

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
    if pos_weight is None:
        return elementwise(
            BCE_LOGITS, (input, target), (), reduction, return_grad, weight, mask, grad_output, out, grad_out
        )
    return elementwise(
        BCE_LOGITS_POS, (input, target, pos_weight), (), reduction, return_grad, weight, mask, grad_output, out,
        grad_out,
    )  # fmt: skip


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean",
    mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Gaussian negative log-likelihood, :math:`\frac12 (\log v + (x - y)^2 / v)` with
    :math:`v = \max(\mathrm{var}, \mathrm{eps})`.

    Parameters
    ----------
    input : array_like, any shape
        Predicted means x. A prediction operand, which gets the gradient (x - y) / v.
    target : array_like, broadcastable to `input`
        Observations y, in the unit of `input`.
    var : array_like
        Predicted variances, in that unit squared, none negative. A prediction operand, which gets
        (1 - (x - y)^2 / v) / (2 v), clamped or not, summed over the axes along which `var` was broadcast.
        A scalar, the shape of `input`, ``input.shape[:-1]`` (one variance per row), or any shape that broadcasts to
        `input`.
    full : bool
        Add the constant log(2 pi) / 2.
    eps : float, not negative, default 1e-6
        Lower bound of the variance.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of elements that count.
    mask : array_like of bool, broadcastable to `input`, optional
        False leaves an element out of value (0 with "none"), gradients (0) and denominator.
    return_grad : bool
        Also return the gradients of the reduced loss; with "none", those of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the unreduced loss into.
    grad_out : tuple of two ndarrays, optional
        The same for the gradients, of the shapes of `input` and `var`.

    Returns
    -------
    value : numpy.float64 in nats, or an array of the shape of `input` with "none"
    grads : tuple of two arrays, of the shapes of `input` and `var`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A negative variance (with its position; found during the pass, so `out` is then unspecified), a negative `eps`,
        a shape that would enlarge `input`, an option or a dtype that is not one of the above.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: D. A. Nix and A. S. Weigend, Estimating the mean and variance of the target probability distribution (1994);
    ``torch.nn.functional.gaussian_nll_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> value, (g_input, g_var) = fl.gaussian_nll_loss([1.0, 2.0], [0.0, 2.0], 2.0, return_grad=True)
    >>> round(float(value), 6), g_input.tolist(), float(g_var)
    (0.471574, [0.25, 0.0], 0.1875)
    """
    eps = real_number(eps, "eps")
    if eps < 0:
        raise ValueError(f"eps must not be negative, got {eps}")
    params = (eps, float(boolean(full, "full")))
    return elementwise(
        GAUSSIAN_NLL, (input, target, var), params, reduction, return_grad, None, mask, grad_output, out, grad_out
    )
