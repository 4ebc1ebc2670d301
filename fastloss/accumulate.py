# SPDX-License-Identifier: BSD-3-Clause
"""Losses of data that come in parts: sums, weights and counts are added, never means of means."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ._arrays import Array
from ._call import Sums, Unfinished, UnfinishedWithValues, boolean, integer, reduced
from .samples import Samples, counted_positions, sample_means

__all__ = ["Accumulator"]

NOT_ACCUMULATED = frozenset(
    {"return_grad", "return_hess", "grad_output", "out", "grad_out", "hess_out", "return_parts"}
)
# Names of losses in which every sample depends on the others: no parts add up to their value, so that all data must
# come in one `update`, and `evaluate` makes one call of it.
WHOLE_BATCH: frozenset[str] = frozenset()


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
        Also keep the loss of every sample, for `statistics` and `losses`: 8 bytes per sample. A sample is an index of
        axis 0 of the unreduced loss; its loss is the mean over the other axes of the positions that count.
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
        self._samples = Samples() if self.per_sample else None
        self._updated = False

    def update(self, *operands: Any, **call: Any) -> None:
        """Add a part of the data: the loss's operands, and per-part keywords such as `mask`. After an error nothing is
        added."""
        arguments = {**self.options, **call}
        self._refuse_parts(self._updated)
        if self._root:
            arguments.pop("eps", None)
        wanted = Unfinished if self._samples is None else UnfinishedWithValues
        sums = self._summed(*operands, **arguments, reduction=wanted(self.reduction))
        if self._samples is not None:
            self._samples.append(*self._sample_losses(np.asarray(sums.values), operands, arguments))
        self._add(sums)
        self._updated = True

    def _refuse_parts(self, parts: bool) -> None:
        if parts and self.function.__name__ in WHOLE_BATCH:
            raise ValueError(f"{self.function.__name__} needs the whole batch in one call: its parts do not add up")

    def _add(self, sums: Sums) -> None:
        self._total = self._total.plus(sums.total)
        self._denominator = self._denominator.plus(sums.denominator)

    def _sample_losses(
        self, values: Array, operands: tuple[Any, ...], arguments: dict[str, Any]
    ) -> tuple[Array, Array]:
        bound = inspect.signature(self._summed).bind(*operands, **arguments)
        bound.apply_defaults()
        means, counts = sample_means(values, counted_positions(bound.arguments, values.shape))
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
        if self._samples is not None and other._samples is not None:
            self._samples.extend(other._samples)

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
        samples = self._need_samples()
        if integer(worst, "worst") < 0:
            raise ValueError(f"worst = {worst} must be at least 0")
        index, losses = samples.worst(int(worst))
        return {**samples.statistics(), "worst": list(zip(index.tolist(), losses.tolist(), strict=True))}

    def losses(self, first: int = 0, last: int | None = None) -> Array:
        """(samples,) float64: the loss of every sample, or of samples [first, last), in order; nan where nothing in the
        sample counts."""
        return self._need_samples().losses(first, last)

    def counted(self, first: int = 0, last: int | None = None) -> Array:
        """(samples,) bool: whether anything in the sample counts; of all, or of samples [first, last)."""
        return self._need_samples().counted(first, last)

    def samples(self) -> int:
        """Number of samples so far, with those in which nothing counts."""
        return len(self._need_samples())

    def latest(self) -> Array:
        """(samples,) float64: the losses of the part added last; nan where nothing in the sample counts."""
        return self._need_samples().latest()

    def _need_samples(self) -> Samples:
        if self._samples is None:
            raise ValueError("this accumulator keeps no losses of samples: make it with per_sample=True")
        return self._samples

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
