# SPDX-License-Identifier: BSD-3-Clause
"""Negative log-likelihoods of real and count targets."""

from __future__ import annotations

from typing import Any

from ._call import NONNEGATIVE, Elementwise, boolean, elementwise, real_number

__all__ = ["gaussian_nll_loss"]

GAUSSIAN_NLL = Elementwise(
    "gaussian_nll", ("input", "target", "var"), (0, 2), domains=((2, NONNEGATIVE),), per_row=(2,)
)


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
