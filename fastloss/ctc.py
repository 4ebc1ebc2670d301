# SPDX-License-Identifier: BSD-3-Clause
"""Connectionist temporal classification."""

from __future__ import annotations

from typing import Any

from ._call_ctc import ctc_loss as _ctc_loss
from ._call_ctc import feasible as _feasible

__all__ = ["ctc_feasible", "ctc_loss"]


def ctc_loss(
    log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, *, blank: int = 0, reduction: str = "mean",
    zero_infinity: bool = False, from_logits: bool = False, return_grad: bool = False, grad_output: Any = None,
    out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Connectionist temporal classification, :math:`-\log \sum_\pi \prod_t p_t(\pi_t)` over all alignments.

    An alignment π gives each frame a label or the blank, so that merging repeats and then dropping blanks leaves the
    target.

    Parameters
    ----------
    log_probs : array_like, shape (T, N, C) or (T, C)
        Log-probabilities of C classes at T frames of N samples, or logits if `from_logits`. The prediction operand.
        Frames beyond a sample's input length may hold anything.
    targets : array_like of any integer type, shape (N, S), or all labels in a row
        Labels in [0, C) other than `blank`. What stands beyond a target's length may be anything.
    input_lengths, target_lengths : array_like of any integer type, shape (N,)
        Frames and labels that count in each sample; plain integers for (T, C).
    blank : int, default 0
        The class that stands for no label.
    reduction : {"mean", "sum", "none"}
        "mean" divides each loss by its target length, at least 1, then averages over the samples.
    zero_infinity : bool, default False
        Count an infinite loss as 0.
    from_logits : bool, default False
        `log_probs` holds logits: their log-softmax is part of the loss.
    return_grad : bool
        Also return d(reduced loss)/d(log_probs); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64 in nats, or an array of shape (N,) with "none"
    grad : array of the shape of `log_probs`, only with `return_grad`
        Minus the probability of each label at each frame, given the target; with `from_logits` the softmax is added.
        0 beyond a sample's input length, and wherever there is no alignment.

    Raises
    ------
    ValueError, TypeError
        A label out of range or equal to `blank` (``targets[3, 7] = 40 is out of range for 32 classes``), a length out
        of range, a row of labels of the wrong total, a `blank` out of range, labels or lengths that are not integers,
        a shape that does not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32 and float64 are read as they are, in any layout; recursions and sums are float64. The
    working type is float64 if `log_probs` is float64 or of integers, else float32. An empty target costs minus the sum
    of the blank's log-probabilities. A sample without an alignment (see `ctc_feasible`) costs inf.

    Source: ``torch.nn.functional.ctc_loss``; Graves et al., 2006.

    Examples
    --------
    >>> import fastloss as fl
    >>> import numpy as np
    >>> uniform = np.full((3, 1, 4), np.log(0.25))
    >>> round(float(fl.ctc_loss(uniform, [[1, 2]], [3], [2], reduction="sum")), 6)
    2.549445
    """
    return _ctc_loss(
        log_probs, targets, input_lengths, target_lengths, blank=blank, reduction=reduction,
        zero_infinity=zero_infinity, from_logits=from_logits, return_grad=return_grad, grad_output=grad_output,
        out=out, grad_out=grad_out,
    )  # fmt: skip


def ctc_feasible(targets: Any, input_lengths: Any, target_lengths: Any) -> Any:
    """Which samples can be aligned: at least as many frames as labels and repeats of the label before.

    Where this is False, `ctc_loss` is inf whatever the model says: a way to clean data before it is used.

    Parameters
    ----------
    targets, input_lengths, target_lengths : array_like of any integer type
        As of `ctc_loss`.

    Returns
    -------
    ndarray of bool, shape (N,), or a single one for plain integers

    Raises
    ------
    ValueError, TypeError
        Lengths out of range, a row of labels of the wrong total, shapes that do not fit, no integers.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.ctc_feasible([[1, 2], [1, 1]], [2, 2], [2, 2])
    array([ True, False])
    """
    return _feasible(targets, input_lengths, target_lengths)
