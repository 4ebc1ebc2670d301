# SPDX-License-Identifier: BSD-3-Clause
"""Losses of data that come in parts: sums, weights and counts are added, never means of means."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ._arrays import Array
from ._call import Sums, Unfinished, boolean, integer, reduced

__all__ = ["Accumulator"]

NOT_ACCUMULATED = frozenset({"return_grad", "return_hess", "grad_output", "out", "grad_out", "hess_out"})
# Names of losses in which every sample depends on the others: no parts add up to their value, so that all data must
# come in one `update`, and `evaluate` makes one call of it.
WHOLE_BATCH: frozenset[str] = frozenset()
QUANTILES = ("0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99")


class Accumulator:
    r"""Value of a loss over data that come in parts, and optionally the losses of its samples.

    It holds the sum of the losses and what "mean" divides by (a count, or a sum of weights) in float64 with their
    rounding errors, so that any split of the data gives the value of one call to within 1e-13. Two accumulators of
    parts of the data add up to that of the whole, in other threads, processes or machines: they pickle.

    Parameters
    ----------
    loss : callable or str
        A loss function of this package, or its name.
    per_sample : bool
        Also keep the loss of every sample, for `statistics` and `losses`: 9 bytes per sample, and the loss is computed
        twice. A sample is an index of axis 0 of the unreduced loss; its loss is the mean over the other axes of the
        positions that count.
    **options
        Options of the loss (`reduction`, "mean" or "sum", among them) and operands that are the same for every part,
        such as class weights.

    Raises
    ------
    ValueError, TypeError
        An unknown loss or option, or a reduction that has no single value.

    Examples
    --------
    >>> import fastloss as fl
    >>> total = fl.Accumulator(fl.mse_loss)
    >>> total.update([1.0, 2.0], [1.0, 0.0])
    >>> total.update([4.0], [0.0])
    >>> float(total.compute())
    6.666666666666667
    """

    def __init__(self, loss: Any, *, per_sample: bool = False, **options: Any) -> None:
        self._find(loss)
        self.per_sample = boolean(per_sample, "per_sample")
        known = inspect.signature(self.function).parameters
        for name in options:
            if name not in known or name in NOT_ACCUMULATED:
                raise TypeError(f"{self.function.__name__} accumulates no option {name!r}")
        self.reduction = options.pop("reduction", "mean")
        if self._root and self.reduction != "mean":
            raise ValueError(f"reduction must be 'mean' for {self.function.__name__}, got {self.reduction!r}")
        if not isinstance(self.reduction, str) or self.reduction == "none":
            raise ValueError(f"reduction must be 'mean' or 'sum' to accumulate, got {self.reduction!r}")
        self.options = options
        self.reset()

    def _find(self, loss: Any) -> None:
        """The function, the one whose losses add up, and whether the root of their mean is taken."""
        self.function = find_loss(loss)
        self._root = self.function.__name__ == "rmse_loss"
        self._summed = find_loss("mse_loss") if self._root else self.function

    def reset(self) -> None:
        """Forget all data."""
        self._total = self._denominator = Compensated()
        self._losses: list[Array] = []
        self._counted: list[Array] = []
        self._updated = False

    def update(self, *operands: Any, **call: Any) -> None:
        """Add a part of the data: the loss's operands, and per-part keywords such as `mask`. After an error nothing is
        added."""
        arguments = {**self.options, **call}
        self._refuse_parts(self._updated)
        if self._root:
            arguments.pop("eps", None)
        sums = self._summed(*operands, **arguments, reduction=Unfinished(self.reduction))
        if self.per_sample:
            losses, counted = self._samples(operands, arguments)
            self._losses.append(losses)
            self._counted.append(counted)
        self._add(sums)
        self._updated = True

    def _refuse_parts(self, parts: bool) -> None:
        if parts and self.function.__name__ in WHOLE_BATCH:
            raise ValueError(f"{self.function.__name__} needs the whole batch in one call: its parts do not add up")

    def _add(self, sums: Sums) -> None:
        self._total = self._total.plus(sums.total)
        self._denominator = self._denominator.plus(sums.denominator)

    def _samples(self, operands: tuple[Any, ...], arguments: dict[str, Any]) -> tuple[Array, Array]:
        values = np.asarray(self._summed(*operands, **arguments, reduction="none"))
        bound = inspect.signature(self._summed).bind(*operands, **arguments)
        bound.apply_defaults()
        counted = counted_positions(bound.arguments, values.shape)
        means, counts = sample_means(values, counted)
        return self._finish(means), counts > 0

    def _finish(self, means: Any) -> Any:
        return np.sqrt(means + self.options.get("eps", 0.0)) if self._root else means

    def merge(self, other: Accumulator) -> None:
        """Add the data of another accumulator, behind this one's."""
        if not isinstance(other, Accumulator):
            raise TypeError(f"other must be an Accumulator, got {type(other).__name__}")
        ours, theirs = (f"{a.function.__name__}, reduction={a.reduction!r}" for a in (self, other))
        if ours != theirs or self.per_sample != other.per_sample:
            raise ValueError(f"accumulators of different losses: {ours} and {theirs}")
        self._refuse_parts(self._updated and other._updated)
        self._updated |= other._updated
        self._total = self._total.plus(other._total.high).plus(other._total.low)
        self._denominator = self._denominator.plus(other._denominator.high).plus(other._denominator.low)
        self._losses += other._losses
        self._counted += other._counted

    def __add__(self, other: Accumulator) -> Accumulator:
        if not isinstance(other, Accumulator):
            return NotImplemented
        result = Accumulator(self.function, per_sample=self.per_sample, reduction=self.reduction, **self.options)
        result.merge(self)
        result.merge(other)
        return result

    def compute(self) -> Any:
        """The loss of all data so far, as one call would give it: np.float64, nan for the mean of nothing."""
        if self.reduction == "sum":
            return np.float64(self._total.value())
        return self._finish(reduced(self._total.value(), "mean", self._denominator.value()))

    def statistics(self, worst: int = 0) -> dict[str, Any]:
        """Of the samples that count: their number, mean, standard deviation (of the population), smallest and largest
        loss and quantiles; and the `worst` samples as (index, loss), nan first, equal losses in the data's order."""
        losses = self.losses()
        index = np.flatnonzero(self.counted())
        losses = losses[index]
        order = worst_first(losses)[: integer(worst, "worst")]
        listed = list(zip(index[order].tolist(), losses[order].tolist(), strict=True))
        least, most = (float(losses.min()), float(losses.max())) if len(losses) else (math.nan, math.nan)
        return {"n": len(losses), **distribution(losses), "min": least, "max": most, "worst": listed}

    def losses(self) -> Array:
        """(samples,) float64: the loss of every sample in order; nan where nothing in the sample counts."""
        self._need_samples()
        losses = np.concatenate([np.empty(0), *self._losses])
        losses[~self.counted()] = np.nan
        return losses

    def counted(self) -> Array:
        """(samples,) bool: whether anything in the sample counts."""
        self._need_samples()
        return np.concatenate([np.empty(0, np.bool_), *self._counted])

    def latest(self) -> Array:
        """(samples,) float64: the losses of the part added last; nan where nothing in the sample counts."""
        self._need_samples()
        return np.where(self._counted[-1], self._losses[-1], np.nan)

    def _need_samples(self) -> None:
        if not self.per_sample:
            raise ValueError("this accumulator keeps no losses of samples: make it with per_sample=True")

    def __repr__(self) -> str:
        return f"Accumulator({self.function.__name__}, reduction={self.reduction!r}): {float(self.compute())!r}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "function": self.function.__name__, "_summed": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._find(state["function"])


class Compensated:
    """A float64 sum with what its additions rounded away (Neumaier)."""

    __slots__ = ("high", "low")

    def __init__(self, high: float = 0.0, low: float = 0.0) -> None:
        self.high, self.low = high, low

    def plus(self, x: float) -> Compensated:
        total = self.high + x
        if not math.isfinite(total):
            return Compensated(total, 0.0)
        larger, smaller = (self.high, x) if abs(self.high) >= abs(x) else (x, self.high)
        return Compensated(total, self.low + ((larger - total) + smaller))

    def value(self) -> float:
        return self.high + self.low

    def __reduce__(self) -> tuple[Any, ...]:
        return Compensated, (self.high, self.low)


def find_loss(loss: Any) -> Callable[..., Any]:
    """A loss function of this package by name, or itself."""
    import fastloss as fl

    name = loss if isinstance(loss, str) else getattr(loss, "__name__", "")
    function = getattr(fl, name, None) if name in fl.__all__ else None
    if function is None or inspect.isclass(function) or (callable(loss) and loss is not function):
        raise ValueError(f"loss must be a loss function of fastloss or its name, got {loss!r}")
    if "reduction" not in inspect.signature(function).parameters:
        raise ValueError(f"{name} is not a loss that can be accumulated: it has no reduction")
    return function


def counted_positions(arguments: dict[str, Any], shape: tuple[int, ...]) -> Array | None:
    """Which positions of the unreduced loss `mask` and `ignore_index` leave in; None for all."""
    counted = None
    if arguments.get("mask") is not None:
        counted = np.broadcast_to(np.asarray(arguments["mask"]).astype(bool), shape)
    target = np.asarray(arguments.get("target"))
    if "ignore_index" in arguments and target.shape == shape and target.dtype.kind in "iu":
        labelled = target != arguments["ignore_index"]
        counted = labelled if counted is None else counted & labelled
    return counted


def sample_means(values: Array, counted: Array | None) -> tuple[Array, Array]:
    """Mean loss (float64) and number of counted positions of each sample; positions that do not count are 0."""
    samples = values.shape[0] if values.ndim else 1
    width = math.prod(values.shape[1:])
    sums = values.reshape(samples, width).sum(axis=1, dtype=np.float64)
    counts = np.full(samples, width) if counted is None else counted.reshape(samples, width).sum(axis=1)
    return sums / np.maximum(counts, 1), counts


def worst_first(losses: Array) -> Array:
    """Indices: nan first, then from the largest down; equal losses in the data's order."""
    return np.lexsort((-losses, ~np.isnan(losses)))


def distribution(losses: np.ndarray) -> dict[str, Any]:
    """Mean, standard deviation (of the population) and quantiles; nan for no samples, and where a sample is nan."""
    if not len(losses):
        return {"mean": math.nan, "std": math.nan, "quantiles": dict.fromkeys(QUANTILES, math.nan)}
    at = [float(q) for q in QUANTILES]
    with np.errstate(invalid="ignore", over="ignore"):
        mean, std, values = losses.mean(), losses.std(), np.quantile(losses, at)
        # between two infinities, or next to one, interpolation says inf - inf
        values = np.where(np.isnan(values), np.quantile(losses, at, method="higher"), values)
    return {"mean": float(mean), "std": float(std), "quantiles": dict(zip(QUANTILES, values.tolist(), strict=True))}
