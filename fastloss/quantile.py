# SPDX-License-Identifier: BSD-3-Clause
"""Quantile regression: the pinball loss of one quantile or of several."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import as_array, check_broadcast
from ._call import Elementwise, elementwise, share

__all__ = ["quantile_loss"]

QUANTILE = Elementwise("quantile", weighted_mean=True)
QUANTILES = Elementwise("quantiles", ("input", "target", "q"), weighted_mean=True, weak=(2,))


def quantile_loss(
    input: Any, target: Any, weight: Any = None, *, q: Any = 0.5, reduction: str = "mean",
    mask: Any = None, return_grad: bool = False, return_hess: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None, hess_out: Any = None,
) -> Any:  # fmt: skip
    r"""Quantile (pinball) loss, :math:`\max(q (y - x), (q - 1)(y - x))`, least at the q-quantile of y.

    Parameters
    ----------
    input : array_like, any shape; (..., Q) for several quantiles
        Predicted quantiles x. The prediction operand, which gets the gradient -q where x < y, 1 - q where x > y, 0
        where they are equal; `return_hess` gives 1 (the loss has no curvature, and boosting libraries take that).
    target : array_like, broadcastable to `input`; to (...) for several quantiles
        Observations y, in the unit of `input`.
    weight : array_like, broadcastable to `input`, optional
        Factor of each element.
    q : float, or sequence of Q of them, in [0, 1], default 0.5
        The quantile that is predicted, or one for each place of the last axis of `input`.
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
        A q outside [0, 1], a last axis of `input` that is not as long as `q`, a shape that would enlarge `input`, an
        option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    For several quantiles "mean" divides by the number of all elements of `input`, not of `target`.

    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: R. Koenker and G. Bassett, Regression Quantiles (1978); ``sklearn.metrics.mean_pinball_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.quantile_loss([1.0, 4.0], [2.0, 2.0], q=0.75, reduction="none").tolist()
    [0.75, 0.5]
    >>> fl.quantile_loss([[1.0, 2.0, 4.0]], [2.0], q=[0.25, 0.5, 0.75], reduction="none").tolist()
    [[0.25, 0.0, 0.5]]
    """
    q = q if isinstance(q, float) else _listed(q)
    if not isinstance(q, list):
        return elementwise(
            QUANTILE, (input, target), (share(q, "q"),), reduction, return_grad, weight, mask, grad_output, out,
            grad_out, return_hess, hess_out,
        )  # fmt: skip
    several = np.array([share(one, f"q[{k}]") for k, one in enumerate(q)])
    shape = as_array(input, "input").shape
    if shape[-1:] != several.shape:
        raise ValueError(f"input has shape {shape}, expected (..., {several.size}): its last axis is one of quantiles")
    y = as_array(target, "target")
    check_broadcast(y, "target", shape[:-1], "input without its last axis")
    return elementwise(
        QUANTILES, (input, y[..., np.newaxis] if y.ndim else target, several), (), reduction, return_grad, weight, mask,
        grad_output, out, grad_out, return_hess, hess_out,
    )  # fmt: skip


def _listed(q: Any) -> Any:
    """A list of quantiles, or the one that there is: arrays of no axis are numbers."""
    a = np.asarray(q, dtype=object)
    if a.ndim > 1:
        raise ValueError(f"q has shape {a.shape}, expected a number or a sequence of them")
    return a.tolist()
