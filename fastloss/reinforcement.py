# SPDX-License-Identifier: BSD-3-Clause
"""Reinforcement learning: temporal differences, returns and advantages of trajectories; losses of policies are in
`policy`."""

from __future__ import annotations

from typing import Any

from . import _call_actions
from ._call import INT32_MAX, Elementwise, elementwise, integer, real_number, share

__all__ = ["dqn_loss", "gae", "n_step_returns", "td_error", "td_loss"]

TRANSITION = ("value", "reward", "next_value", "done")
TD_ERROR, TD_SQUARED, TD_HUBER = (Elementwise(name, TRANSITION) for name in ("td_error", "td_squared", "td_huber"))


def _gamma(gamma: Any) -> float:
    return share(gamma, "gamma")


def _kind(kind: Any, delta: Any) -> float:
    """The Huber loss's delta; 0 for squares."""
    if not isinstance(kind, str) or kind not in ("huber", "squared"):
        raise ValueError(f"kind must be 'huber' or 'squared', got {kind!r}")
    bound = real_number(delta, "delta")
    if bound <= 0:
        raise ValueError(f"delta must be positive, got {delta!r}")
    return bound if kind == "huber" else 0.0


def td_error(
    value: Any, reward: Any, next_value: Any, done: Any = None, *, gamma: float = 0.99, mask: Any = None,
    out: Any = None,
) -> Any:  # fmt: skip
    r"""Temporal-difference errors, :math:`\delta = r + \gamma (1 - d)\, v' - v`.

    Parameters
    ----------
    value : array_like, any shape
        Values v of the states.
    reward : array_like, broadcastable to `value`
        Rewards r of the steps.
    next_value : array_like, broadcastable to `value`
        Values v' of the next states. Where the episode is done they count for nothing.
    done : array_like of bool or numbers, broadcastable to `value`, optional
        d, 1 where the step ended its episode (terminated; after a mere time limit the next state still has its value).
    gamma : float in [0, 1], default 0.99
        Discount; gamma^n for returns of n steps.
    mask : array_like of bool, broadcastable to `value`, optional
        False leaves a step out: 0.
    out : ndarray, optional
        Contiguous array of the working type and the shape of `value` to write into.

    Returns
    -------
    array of the shape of `value`

    Raises
    ------
    ValueError, TypeError
        A `gamma` outside [0, 1], a shape that would enlarge `value`, an option or a dtype that is not one of the above.
        Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32.

    Source: R. S. Sutton and A. G. Barto, Reinforcement Learning, 2nd edition (2018), equation 6.5.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.td_error([1.0, 2.0], [1.0, 1.0], [2.0, 5.0], [False, True], gamma=0.5).tolist()
    [1.0, -1.0]
    """
    ends = False if done is None else done
    return elementwise(
        TD_ERROR, (value, reward, next_value, ends), (_gamma(gamma),), "none", False, None, mask, None, out, None
    )


def td_loss(
    value: Any, reward: Any, next_value: Any, done: Any = None, weight: Any = None, *, gamma: float = 0.99,
    kind: str = "huber", delta: float = 1.0, reduction: str = "mean", mask: Any = None, return_grad: bool = False,
    grad_output: Any = None, out: Any = None, grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Loss of temporal-difference errors, Huber's or the square of :math:`\delta = r + \gamma (1 - d)\, v' - v`.

    The target r + gamma (1 - d) v' is never stored, and gets no gradient (a semi-gradient).

    Parameters
    ----------
    value : array_like, any shape
        Values v of the states, or of the actions taken. The prediction operand, which gets the gradient minus
        min(max(delta_t, -delta), delta), or -2 delta_t, of the error delta_t.
    reward : array_like, broadcastable to `value`
        Rewards r of the steps.
    next_value : array_like, broadcastable to `value`
        Values v' of the next states, of a target network; for Q-learning the largest over the actions; for the double
        form that of the action which the online network takes (`dqn_loss` finds both).
    done : array_like of bool or numbers, broadcastable to `value`, optional
        d, 1 where the step ended its episode: `next_value` counts for nothing there.
    weight : array_like, broadcastable to `value`, optional
        Factor of each step: the importance weights of prioritised replay.
    gamma : float in [0, 1], default 0.99
        Discount; gamma^n for rewards of n steps.
    kind : {"huber", "squared"}
        "huber" is quadratic, half the square, up to `delta` and linear beyond; "squared" is the square, as `mse_loss`.
    delta : float, positive, default 1.0
        Bound of the Huber loss; not used with "squared".
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of steps that count, whatever their weights.
    mask : array_like of bool, broadcastable to `value`, optional
        False leaves a step out of value (0 with "none"), gradient (0) and denominator.
    return_grad : bool
        Also return d(reduced loss)/d(value); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type and the shape of `value` to write the unreduced loss and the gradient
        into.

    Returns
    -------
    value : numpy.float64, or an array of the shape of `value` with "none"
    grad : array of the shape of `value`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        A `gamma` outside [0, 1], a `delta` that is not positive, an unknown `kind`, a shape that would enlarge `value`,
        an option or a dtype that is not one of the above. Nothing is written then.

    Notes
    -----
    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: V. Mnih et al., Human-level control through deep reinforcement learning (2015). Stable-Baselines3 takes the
    Huber loss with delta 1 (``smooth_l1_loss``), CleanRL the square (``mse_loss``).

    Examples
    --------
    >>> import fastloss as fl
    >>> value, grad = fl.td_loss([1.0, 2.0], [1.0, 5.0], [2.0, 9.0], [0, 1], gamma=0.5, return_grad=True)
    >>> float(value), grad.tolist()
    (1.5, [-0.5, -0.5])
    """
    bound, discount = _kind(kind, delta), _gamma(gamma)
    spec, params = (TD_HUBER, (discount, bound)) if bound else (TD_SQUARED, (discount,))
    operands = (value, reward, next_value, False if done is None else done)
    return elementwise(spec, operands, params, reduction, return_grad, weight, mask, grad_output, out, grad_out)


def dqn_loss(
    q_values: Any, actions: Any, reward: Any, next_q_values: Any, done: Any = None, weight: Any = None, *,
    next_q_online: Any = None, gamma: float = 0.99, kind: str = "huber", delta: float = 1.0, reduction: str = "mean",
    class_axis: int = -1, mask: Any = None, return_grad: bool = False, grad_output: Any = None, out: Any = None,
    grad_out: Any = None,
) -> Any:  # fmt: skip
    r"""Loss of deep Q-learning, Huber's or the square of
    :math:`\delta = r + \gamma (1 - d) \max_b Q'(s', b) - Q(s, a)`.

    With `next_q_online` it is double Q-learning: the online network chooses the next action, the target network values
    it.

    Parameters
    ----------
    q_values : array_like, shape (A,), (N, A) or (..., A)
        Values Q of all actions in the states s. The prediction operand, which gets the gradient of `td_loss` at the
        action taken and 0 elsewhere.
    actions : array_like of any integer type, the shape of `q_values` without its axis of actions
        Actions a taken, in [0, A).
    reward : array_like, broadcastable to `actions`
        Rewards r of the steps.
    next_q_values : array_like, shape of `q_values`
        Values Q' of all actions in the next states, by the target network.
    done : array_like of bool or numbers, broadcastable to `actions`, optional
        d, 1 where the step ended its episode: the next state counts for nothing there.
    weight : array_like, broadcastable to `actions`, optional
        Factor of each step: the importance weights of prioritised replay.
    next_q_online : array_like, shape of `next_q_values`, optional
        Values of all actions in the next states by the online network, whose largest names the action to be valued; of
        equal ones the first.
    gamma : float in [0, 1], default 0.99
        Discount; gamma^n for rewards of n steps.
    kind : {"huber", "squared"}
        "huber" is quadratic, half the square, up to `delta` and linear beyond; "squared" is the square.
    delta : float, positive, default 1.0
        Bound of the Huber loss; not used with "squared".
    reduction : {"mean", "sum", "none"}
        "mean" divides by the number of steps that count, whatever their weights.
    class_axis : int, default -1
        Axis of the actions.
    mask : array_like of bool, broadcastable to `actions`, optional
        False leaves a step out of value (0 with "none"), gradient (0) and denominator; its action may be anything.
    return_grad : bool
        Also return d(reduced loss)/d(q_values); with "none", that of the sum.
    grad_output : scalar or array broadcastable to the unreduced loss, optional
        Multiplies the gradient, so that losses compose.
    out, grad_out : ndarray, optional
        Contiguous arrays of the working type to write the unreduced loss and the gradient into.

    Returns
    -------
    value : numpy.float64, or an array of the shape of `actions` with "none"
    grad : array of the shape of `q_values`, only with `return_grad`

    Raises
    ------
    ValueError, TypeError
        An action out of range (``actions[37] = 10 is out of range for 4 actions``), a `gamma` outside [0, 1], a `delta`
        that is not positive, shapes that do not fit, an option or a dtype that is not one of the above. Nothing is
        written then.

    Notes
    -----
    One pass over each array; no array of targets is stored.

    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32; sums are float64. Mean over nothing is nan.

    Source: V. Mnih et al., Human-level control through deep reinforcement learning (2015); H. van Hasselt, A. Guez and
    D. Silver, Deep Reinforcement Learning with Double Q-learning (2016); defaults as Stable-Baselines3's ``DQN``.

    Examples
    --------
    >>> import fastloss as fl
    >>> q, next_q = [[1.0, 2.0], [0.0, 3.0]], [[4.0, 2.0], [9.0, 9.0]]
    >>> value, grad = fl.dqn_loss(q, [1, 0], [0.5, 1.0], next_q, [0, 1], gamma=0.5, return_grad=True)
    >>> float(value), grad.tolist()
    (0.3125, [[0.0, -0.25], [-0.5, 0.0]])
    >>> float(fl.dqn_loss(q, [1, 0], [0.5, 1.0], next_q, [0, 1], next_q_online=[[0.0, 1.0]] * 2, gamma=0.5))
    0.3125
    """
    return _call_actions.action_values(
        q_values, actions, reward, next_q_values, done, next_q_online, weight, _gamma(gamma), _kind(kind, delta),
        reduction, class_axis, mask, return_grad, grad_output, out, grad_out,
    )  # fmt: skip


def n_step_returns(
    rewards: Any, values: Any, next_value: Any, done: Any = None, *, n: int, truncated: Any = None, gamma: float = 0.99,
    time_axis: int = 0, out: Any = None,
) -> Any:  # fmt: skip
    r"""Returns of n steps, :math:`G_t = \sum_{k<n} \gamma^k r_{t+k} + \gamma^n v_{t+n}`, cut off at the end of the
    episode.

    Parameters
    ----------
    rewards : array_like, shape (T,), (T, N) or (T, ...)
        Rewards r of T steps of each trajectory.
    values : array_like of the shape of `rewards`, or None
        Values v of the states before the steps; None where `next_value` has the shape of `rewards`.
    next_value : array_like
        Value of the state behind the last step, shape () or (N,); or of the state behind each step, the shape of
        `rewards`.
    done : array_like of bool or numbers, of the shape of `rewards`, optional
        1 where the step ended its episode: nothing behind it counts.
    n : int, at least 1
        Steps; from T on, all that are left (Monte Carlo with bootstrapping).
    truncated : array_like of bool or numbers, of the shape of `rewards`, optional
        1 where the episode was cut off though it had not ended: the sum ends there with the next state's value, so that
        `next_value` must have one for each step.
    gamma : float in [0, 1], default 0.99
        Discount.
    time_axis : int, default 0
        Axis of the steps.
    out : ndarray, optional
        Contiguous array of the working type and the shape of `rewards` to write into.

    Returns
    -------
    array of the shape of `rewards`

    Raises
    ------
    ValueError, TypeError
        An `n` below 1, a `gamma` outside [0, 1], shapes that do not fit, an option or a dtype that is not one of the
        above. Nothing is written then.

    Notes
    -----
    Sums are float64. Each return of n < T steps is summed by itself: n times the work of one scan, but no difference of
    large sums.

    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32.

    Source: R. S. Sutton and A. G. Barto, Reinforcement Learning, 2nd edition (2018), equation 7.1.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.n_step_returns([1.0, 1.0, 1.0], [9.0, 8.0, 4.0], 2.0, n=2, gamma=0.5).tolist()
    [2.5, 2.0, 2.0]
    >>> fl.n_step_returns([1.0, 1.0, 1.0], [9.0, 8.0, 4.0], 2.0, [0, 1, 0], n=2, gamma=0.5).tolist()
    [1.5, 1.0, 2.0]
    """
    steps = integer(n, "n")
    if steps < 1:
        raise ValueError(f"n must be at least 1, got {n!r}")
    (returns,) = _call_actions.scan(
        rewards, values, next_value, done, truncated, min(steps, INT32_MAX), _gamma(gamma), 0.0, time_axis, (out,)
    )
    return returns


def gae(
    rewards: Any, values: Any, next_value: Any, done: Any = None, *, truncated: Any = None, gamma: float = 0.99,
    gae_lambda: float = 0.95, time_axis: int = 0, out: Any = None,
) -> tuple[Any, Any]:  # fmt: skip
    r"""Generalised advantage estimates, :math:`A_t = \delta_t + \gamma \lambda (1 - d_t) A_{t+1}`, and the returns A +
    v.

    :math:`\delta_t = r_t + \gamma (1 - d_t)\, v_{t+1} - v_t` are the errors of `td_error`.

    Parameters
    ----------
    rewards : array_like, shape (T,), (T, N) or (T, ...)
        Rewards r of T steps of each trajectory.
    values : array_like of the shape of `rewards`
        Values v of the states before the steps.
    next_value : array_like
        Value of the state behind the last step, shape () or (N,); or of the state behind each step, the shape of
        `rewards`.
    done : array_like of bool or numbers, of the shape of `rewards`, optional
        d, 1 where the step ended its episode: nothing behind it counts. (Stable-Baselines3 and CleanRL store whether an
        episode starts with a step: that is d of the step before.)
    truncated : array_like of bool or numbers, of the shape of `rewards`, optional
        1 where the episode was cut off though it had not ended: the next state has its value, but what follows is of
        another episode, so that `next_value` must have one for each step.
    gamma : float in [0, 1], default 0.99
        Discount.
    gae_lambda : float in [0, 1], default 0.95
        0 gives the errors themselves, 1 Monte Carlo returns less the values.
    time_axis : int, default 0
        Axis of the steps.
    out : tuple of two ndarrays, optional
        Contiguous arrays of the working type and the shape of `rewards` to write the results into.

    Returns
    -------
    advantages, returns : arrays of the shape of `rewards`

    Raises
    ------
    ValueError, TypeError
        A `gamma` or `gae_lambda` outside [0, 1], shapes that do not fit, an option or a dtype that is not one of the
        above. Nothing is written then.

    Notes
    -----
    One backward scan, lanes over trajectories; sums are float64.

    float16, bfloat16, float32, float64, integer and bool arrays are read as they are. The working type is float64 if a
    floating operand is float64 or none is floating, else float32.

    Source: J. Schulman et al., High-Dimensional Continuous Control Using Generalized Advantage Estimation (2016);
    defaults as Stable-Baselines3's ``PPO`` and CleanRL's.

    Examples
    --------
    >>> import fastloss as fl
    >>> advantages, returns = fl.gae([1.0, 1.0], [0.5, 1.0], 2.0, gamma=0.5, gae_lambda=0.5)
    >>> advantages.tolist(), returns.tolist()
    ([1.25, 1.0], [1.75, 2.0])
    """
    if values is None:
        raise TypeError("values is None, expected the values of the states")
    outs = (None, None) if out is None else out
    if not (isinstance(outs, (tuple, list)) and len(outs) == 2):
        raise TypeError("out must be a tuple of two arrays, for the advantages and the returns")
    trace = share(gae_lambda, "gae_lambda")
    advantages, returns = _call_actions.scan(
        rewards, values, next_value, done, truncated, 0, _gamma(gamma), trace, time_axis, tuple(outs)
    )
    return advantages, returns
