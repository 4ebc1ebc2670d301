# SPDX-License-Identifier: BSD-3-Clause
"""Reinforcement learning: losses of policies."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import _compose
from ._arrays import as_array, as_mask, check_broadcast
from ._call import Elementwise, Unfinished, boolean, check_options, elementwise, nonnegative
from ._call_rows import POLICY, POLICY_OF_LOG_PROBS, general_rows

__all__ = ["PPOParts", "policy_gradient_loss", "ppo_loss"]

SCORE = Elementwise("score", ("input", "advantages"))
SURROGATE = Elementwise("ppo_policy", ("log_probs", "old_log_probs", "advantages"))
CLIPPED_VALUE = Elementwise("ppo_value", ("values", "returns", "old_values"))
PLAIN_VALUE = Elementwise("mse", ("values", "returns"))
ENTROPY = Elementwise("linear", ("entropy",))
SPREAD = Elementwise("least_squares", ("advantages",))
RATIO = ("log_probs", "old_log_probs")
CLIPPED = Elementwise("ppo_clipped", RATIO, ())
APPROXIMATE_KL = Elementwise("ppo_kl", RATIO, ())


def policy_gradient_loss(
    input: Any, actions: Any, advantages: Any, *, from_logits: bool = True, ent_coef: float = 0.0,
    reduction: str = "mean", class_axis: int = -1, mask: Any = None, return_grad: bool = False, grad_output: Any = None,
    out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Loss whose gradient is the policy gradient, :math:`-A \log \pi(a) - c\, H(\pi)`, with an entropy bonus.

    Parameters
    ----------
    input : array_like, shape (C,), (N, C) or (..., C)
        Logits of the actions, or, without `from_logits`, their log-probabilities. The prediction operand, which gets
        the gradient A (p - [c = a]) + ent_coef p (log p + H), or -A [c = a] + ent_coef p (log p + 1).
    actions : array_like of any integer type, the shape of `input` without its axis of actions; or None
        Actions a taken, in [0, C). None, without `from_logits`: `input` holds the log-probabilities of the actions
        taken alone, which are numbers or vectors, in the shape of `advantages`.
    advantages : array_like, broadcastable to `actions`
        Advantages A, or returns. They get no gradient.
    from_logits : bool, default True
        False: `input` holds log-probabilities.
    ent_coef : float, not negative, default 0.0
        Factor c of the entropy H, which needs all actions.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of steps that count.
    class_axis : int, default -1
        Axis of the actions.
    mask : array_like of bool, broadcastable to `actions`, optional
        False leaves a step out of value (0 with "none"), gradient (0) and denominator; its action may be anything.
    return_grad : bool
        Also return d(reduced loss)/d(input); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or an array of the shape of `actions` with "none"
    grad : array of the shape of `input`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        An action out of range (with its position), a negative `ent_coef`, one other than 0 without actions, shapes that
        do not fit, an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    The value is no measure of success: only its gradient means something. An action whose logit is -inf is masked: it
    has no probability and no gradient. Rows are read once.

    float16, bfloat16, float32, float64 and integer arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: R. J. Williams, Simple statistical gradient-following algorithms (1992); V. Mnih et al., Asynchronous
    Methods for Deep Reinforcement Learning (2016); ``ent_coef`` as in Stable-Baselines3's ``A2C``.

    Examples
    --------
    >>> import fastloss as fl
    >>> value, grad = fl.policy_gradient_loss([[0.0, 0.0]], [1], [2.0], return_grad=True)
    >>> round(float(value), 6), grad.tolist()
    (1.386294, [[1.0, -1.0]])
    >>> float(fl.policy_gradient_loss([-0.5, -2.0], None, [1.0, 3.0], from_logits=False))
    3.25
    """
    coefficient = nonnegative(ent_coef, "ent_coef")
    logits = boolean(from_logits, "from_logits")
    if actions is not None:
        return general_rows(
            POLICY if logits else POLICY_OF_LOG_PROBS, input, actions, None, None, reduction, class_axis, mask,
            return_grad, grad_output, out, grad_out, advantages, entropy=coefficient,
        )  # fmt: skip
    if logits or coefficient:
        wanted = "from_logits is True" if logits else "ent_coef is not 0"
        raise ValueError(f"actions is None, but {wanted}: that needs one number for each action")
    return elementwise(SCORE, (input, advantages), (), reduction, return_grad, None, mask, grad_output, out, grad_out)


class PPOParts(NamedTuple):
    """Parts of `ppo_loss`: loss = policy_loss + vf_coef value_loss - ent_coef entropy; and how far the policy has
    moved."""

    policy_loss: Any
    value_loss: Any  # None without values
    entropy: Any  # None without entropies
    approx_kl: np.float64
    clip_fraction: np.float64


def ppo_loss(
    log_probs: Any, old_log_probs: Any, advantages: Any, values: Any = None, returns: Any = None,
    old_values: Any = None, entropy: Any = None, *, clip_range: float = 0.2, clip_range_vf: float | None = None,
    vf_coef: float = 0.5, ent_coef: float = 0.0, normalize_advantage: bool = False, reduction: str = "mean",
    mask: Any = None, return_grad: bool = False, return_parts: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Loss of proximal policy optimisation,
    :math:`-\min(\rho A, \mathrm{clip}(\rho, 1 - \epsilon, 1 + \epsilon) A) + c_v L_v - c_e H`.

    :math:`\rho = e^{\log \pi(a) - \log \pi_\mathrm{old}(a)}`. The value's loss L is half the squared error of v against
    the return R, or, with `clip_range_vf`, half the larger of (v - R)^2 and (w - R)^2, w being v kept within that range
    of the old value.

    Parameters
    ----------
    log_probs : array_like, any shape
        Log-probabilities of the actions taken by the new policy. A prediction operand, which gets the gradient -A rho,
        0 where the clipped term is less.
    old_log_probs : array_like, broadcastable to `log_probs`
        Those by the policy that took them.
    advantages : array_like, broadcastable to `log_probs`
        Advantages A, as of `gae`.
    values : array_like of the shape of `log_probs`, optional
        Values v of the states. A prediction operand where given, which gets vf_coef (v - R), 0 where the clipped term
        is larger.
    returns : array_like, broadcastable to `log_probs`
        Returns R; with `values`.
    old_values : array_like, broadcastable to `log_probs`
        Values by which the returns were made; with `clip_range_vf`.
    entropy : array_like of the shape of `log_probs`, optional
        Entropies H of the new policy. A prediction operand where given, which gets -ent_coef.
    clip_range : float, not negative, default 0.2
        Range epsilon of the ratio.
    clip_range_vf : float, not negative, optional
        Range of the values; None does not clip them.
    vf_coef : float, not negative, default 0.5
        Factor of the value's loss.
    ent_coef : float, not negative, default 0.0
        Factor of the entropy.
    normalize_advantage : bool
        Use (A - mean) / (deviation + 1e-8) of those that count, as the deviation of a sample (n - 1) has it.
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of steps that count.
    mask : array_like of bool, broadcastable to `log_probs`, optional
        False leaves a step out of value (0 with "none"), gradients (0) and denominator.
    return_grad : bool
        Also return the gradients of the reduced loss; with "none", those of the sum.
    return_parts : bool
        Also return `PPOParts`: the reduced parts, each without its factor; the mean of exp(t) - 1 - t, t the change of
        the log-probability, which estimates the divergence of the policies; and the share of clipped ratios.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradients, so that losses compose.
    out : ndarray, optional
        Contiguous array of the working type to write the unreduced loss into.
    grad_out : ndarray, or tuple of them, optional
        The same for the gradients, in the order of the prediction operands that are given.

    Returns
    -------
    value : numpy.float64, or an array of the shape of `log_probs` with "none"
    grads : tuple of arrays of the shape of `log_probs`, one for each of `log_probs`, `values` and `entropy` that is
    given,
        only with `return_grad`
    parts : PPOParts, only with `return_parts`

    Raises
    ------
    ValueError, TypeError
        `values` without `returns`, `clip_range_vf` without `old_values`, a negative range or factor, shapes that do not
        fit, an option or a dtype that is not one of the above.

    Notes
    -----
    At the ends of the range the gradient passes; where both squares are equal beyond it, it is halved, as PyTorch's
    maximum has it. Each operand is read once, the advantages three times to normalise them, and the log-probabilities
    twice more for the last two parts. Normalised advantages depend on the whole batch: such a loss does not accumulate.

    float16, bfloat16, float32, float64 and integer arrays are read as they are. The working type of each part is
    float64 if a floating operand of it is float64 or none is floating, else float32; sums are float64. Mean over
    nothing is nan.

    Source: J. Schulman et al., Proximal Policy Optimization Algorithms (2017); values are clipped as in OpenAI
    Baselines and CleanRL, options are named, and their defaults those, of Stable-Baselines3's ``PPO``, but for
    `normalize_advantage`. Stable-Baselines3 and RLlib take the whole square of the value's error: for them double
    `vf_coef`.

    Examples
    --------
    >>> import fastloss as fl
    >>> value, parts = fl.ppo_loss([0.0, 0.5], [0.0, 0.0], [1.0, 1.0], [1.0, 2.0], [2.0, 2.0], return_parts=True)
    >>> round(float(value), 6), round(float(parts.policy_loss), 6), float(parts.value_loss), float(parts.clip_fraction)
    (-0.975, -1.1, 0.25, 0.5)
    """
    check_options(reduction, return_grad, grad_output, out, grad_out)
    epsilon, critic, bonus = (
        nonnegative(x, name) for x, name in ((clip_range, "clip_range"), (vf_coef, "vf_coef"), (ent_coef, "ent_coef"))
    )
    shape = _check_ppo(log_probs, values, returns, old_values, entropy, clip_range_vf)
    given = [x for x in (log_probs, old_log_probs, advantages, values, returns, old_values, entropy) if x is not None]
    out = _compose.checked(out, shape, ((x, as_array(x, "operand")) for x in given))
    mean, inverse = 0.0, 1.0
    if boolean(normalize_advantage, "normalize_advantage"):
        if isinstance(reduction, Unfinished):
            raise ValueError("normalize_advantage needs the whole batch in one call: its parts do not add up")
        mean, inverse = _moments(advantages, mask, shape)
    low, high = 1.0 - epsilon, 1.0 + epsilon
    terms = [(1.0, SURROGATE, (log_probs, old_log_probs, advantages), (low, high, mean, inverse))]
    if values is not None:
        clip = None if clip_range_vf is None else nonnegative(clip_range_vf, "clip_range_vf")
        clipped = (critic, CLIPPED_VALUE, (values, returns, old_values), (clip,))
        terms.append((0.5 * critic, PLAIN_VALUE, (values, returns), ()) if clip is None else clipped)
    if entropy is not None:
        terms.append((-bonus, ENTROPY, (entropy,), (1.0,)))
    results, grads = [], []
    for (factor, spec, operands, params), to in zip(terms, _compose.split(grad_out, len(terms)), strict=True):
        part, grad = _compose.run(
            lambda return_grad, grad_output=None, grad_out=None, spec=spec, operands=operands, params=params:
            elementwise(
                spec, operands, params, reduction, return_grad, None, mask, grad_output, None, grad_out
            ),
            return_grad, factor, grad_output, to,
        )  # fmt: skip
        results.append((factor, part))
        grads.append(grad)
    value = _compose.total(results, out)
    parts = None
    if boolean(return_parts, "return_parts"):
        shown = [_compose.value_of(part) for _, part in results]
        halved = 0.5 if clip_range_vf is None else 1.0
        parts = PPOParts(
            shown[0], None if values is None else shown[1] * shown[1].dtype.type(halved),
            None if entropy is None else shown[-1], *_drift(log_probs, old_log_probs, mask, low, high),
        )  # fmt: skip
    return _compose.result(value, grads if return_grad else None, parts, return_parts)


def _check_ppo(
    log_probs: Any, values: Any, returns: Any, old_values: Any, entropy: Any, clip_range_vf: Any
) -> tuple[int, ...]:  # fmt: skip
    shape = as_array(log_probs, "log_probs").shape
    if (values is None) != (returns is None):
        present, missing = ("returns", "values") if values is None else ("values", "returns")
        raise ValueError(f"{present} is given, but {missing} is None")
    if values is not None and clip_range_vf is not None and old_values is None:
        raise ValueError("clip_range_vf is given, but old_values is None")
    for name, x in (("values", values), ("entropy", entropy)):
        if x is not None and (found := as_array(x, name).shape) != shape:
            raise ValueError(f"{name} has shape {found}, expected that of log_probs, {shape}")
    return shape


def _moments(advantages: Any, mask: Any, shape: tuple[int, ...]) -> tuple[float, float]:
    """Mean and inverse deviation of the advantages that count; alone, one is not moved."""
    a, counts = as_array(advantages, "advantages"), as_mask(mask)
    check_broadcast(a, "advantages", shape, "log_probs")
    check_broadcast(counts, "mask", shape, "log_probs")
    spread = np.broadcast_to(a, shape)
    n = spread.size if counts is None else int(np.count_nonzero(np.broadcast_to(counts, shape)))
    if n < 2:
        return 0.0, 1.0
    own, options = (advantages if a.shape == shape else spread,), ("mean", False, None, mask, None, None, None)
    mean = float(elementwise(ENTROPY, own, (1.0,), *options))
    half = float(elementwise(SPREAD, own, (mean,), *options))
    return mean, 1.0 / ((2.0 * half * n / (n - 1)) ** 0.5 + 1e-8)


def _drift(log_probs: Any, old_log_probs: Any, mask: Any, low: float, high: float) -> tuple[Any, Any]:
    """How far the policy has moved: the estimated divergence, and the share of ratios out of range."""
    return tuple(
        elementwise(spec, (log_probs, old_log_probs), params, "mean", False, None, mask, None, None, None)
        for spec, params in ((APPROXIMATE_KL, ()), (CLIPPED, (low, high)))
    )
