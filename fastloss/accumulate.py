# SPDX-License-Identifier: BSD-3-Clause
"""Losses of data that come in parts: sums, weights and counts are added, never means of means."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ._arrays import Array
from ._call import Sums, Unfinished, UnfinishedWithValues, boolean, integer, reduced
from ._rms import exponent_for, root, roots, scales_of, squares
from .samples import Samples, counted_positions, sample_means

__all__ = ["Accumulator"]

NOT_ACCUMULATED = frozenset(
    {"return_grad", "return_hess", "grad_output", "out", "grad_out", "hess_out", "return_parts"}
)
# Names of losses in which every sample depends on the others: no parts add up to their value, so that all data must
# come in one `update`, and `evaluate` makes one call of it.
WHOLE_BATCH: frozenset[str] = frozenset(
    {
        "batch_all_triplet_loss",
        "batch_hard_triplet_loss",
        "dice_loss",
        "focal_tversky_loss",
        "generalized_dice_loss",
        "info_nce_loss",
        "jaccard_loss",
        "lovasz_hinge_loss",
        "lovasz_softmax_loss",
        "multiple_negatives_ranking_loss",
        "nt_xent_loss",
        "tversky_loss",
    }
)

ROOTED = ("input", "target", "weight", "mask")  # arguments of the squares whose mean's root is taken
APART = 100  # between the exponents of sums of squares that overflow and that do not


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
        self._exponent = 0  # of the root's total, which is one of squares of differences times 2^exponent
        self._samples = Samples() if self.per_sample else None
        self._updated = False

    def update(self, *operands: Any, **call: Any) -> None:
        """Add a part of the data: the loss's operands, and per-part keywords such as `mask`. After an error nothing is
        added."""
        self._refuse_parts(self._updated)
        self.add(self.part_of(*operands, **call))

    def part_of(self, *operands: Any, **call: Any) -> Part:
        """What `add` adds: in threads of their own, several at a time."""
        arguments = {**self.options, **call}
        if self._root:
            arguments.pop("eps", None)
        wanted = (Unfinished if self._samples is None else UnfinishedWithValues)(self.reduction)
        sums, exponent = self._summed(*operands, **arguments, reduction=wanted), 0
        values, bound = sums.values, self._bound(operands, arguments)
        if self._root:
            sums, exponent = self._without_overflow(sums, bound)
        samples = None if self._samples is None else self._sample_losses(np.asarray(values), bound)
        return Part(sums.total, sums.denominator, exponent, samples)

    def add(self, part: Part) -> None:
        """A part of the data, behind what there is."""
        if self._samples is not None and part.samples is not None:
            self._samples.append(*part.samples)
        self._plus(Compensated(part.total), part.exponent)
        self._denominator = self._denominator.plus(part.denominator)
        self._updated = True

    def _bound(self, operands: tuple[Any, ...], arguments: dict[str, Any]) -> dict[str, Any]:
        """A call's arguments by name; none where nobody asks."""
        if self._samples is None and not self._root:
            return {}
        bound = inspect.signature(self._summed).bind(*operands, **arguments)
        bound.apply_defaults()
        return bound.arguments

    def _refuse_parts(self, parts: bool) -> None:
        if parts and self.function.__name__ in WHOLE_BATCH:
            raise ValueError(f"{self.function.__name__} needs the whole batch in one call: its parts do not add up")

    def _without_overflow(self, sums: Sums, bound: dict[str, Any]) -> tuple[Sums, int]:
        """Of the root: the sum of squares of differences times 2^exponent, and the exponent."""
        given = [bound[n] for n in ROOTED]
        exponent = exponent_for(float(reduced(sums.total, "mean", sums.denominator)), *given[:3])
        return (squares(exponent, Unfinished("mean"), *given) if exponent else sums), exponent

    def _plus(self, total: Compensated, exponent: int) -> None:
        """Of two exponents the sum has that of the larger squares."""
        if exponent != self._exponent and total.value() != 0:
            common = min(exponent, self._exponent) if self._total.value() != 0 else exponent
            self._total = self._total.times(2 * (common - self._exponent))
            total = total.times(2 * (common - exponent))
            self._exponent = common
        found = self._total.plus(total.high).plus(total.low)
        if self._root and found.high == math.inf > max(total.high, self._total.high):  # parts that overflow together
            self._total, self._exponent = self._total.times(-2 * APART), self._exponent - APART
            return self._plus(total, exponent)
        self._total = found

    def _sample_losses(self, values: Array, bound: dict[str, Any]) -> tuple[Array, Array]:
        """(n,) loss of each sample, and whether anything in it counts."""
        whole = self.function.__name__ in WHOLE_BATCH  # whose losses are not those of positions
        counted = None if whole else counted_positions(bound, values.shape)
        means, counts = sample_means(values, counted)
        if self._root:
            means = self._sample_roots(means, counted, *(bound[n] for n in ROOTED))
        return means, counts > 0

    def _sample_roots(self, means: Array, counted: Array | None, *given: Any) -> Array:
        """(n,) roots of means of squares; those that leave the working type are taken once more, scaled."""
        found = roots(means, 0)
        large, small, least = scales_of(*given[:3])
        for exponent, chosen in ((large, means == math.inf), (small, (means >= 0) & (means < least))):
            if chosen.any():
                values = np.asarray(squares(exponent, "none", *given))
                found[chosen] = roots(sample_means(values, counted)[0][chosen], exponent)
        return np.hypot(found, math.sqrt(self.options.get("eps", 0.0)))

    def merge(self, other: Accumulator) -> None:
        """Add the data of another accumulator, behind this one's."""
        self._merge_sums(other)
        if self._samples is not None and other._samples is not None:
            self._samples.extend(other._samples)

    def _merge_sums(self, other: Accumulator) -> None:
        if not isinstance(other, Accumulator):
            raise TypeError(f"other must be an Accumulator, got {type(other).__name__}")
        ours, theirs = (f"{a.function.__name__}, reduction={a.reduction!r}" for a in (self, other))
        if ours != theirs or self.per_sample != other.per_sample:
            raise ValueError(f"accumulators of different losses: {ours} and {theirs}")
        self._refuse_parts(self._updated and other._updated)
        self._updated |= other._updated
        self._plus(other._total, other._exponent)
        self._denominator = self._denominator.plus(other._denominator.high).plus(other._denominator.low)

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
        mean = reduced(self._total.value(), "mean", self._denominator.value())
        if not self._root:
            return mean
        return np.float64(math.hypot(root(mean, self._exponent), math.sqrt(self.options.get("eps", 0.0))))

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
        """(samples,) float64: the losses of the part added last; nan where nothing in the sample counts (of the bits
        `samples.LEFT_OUT`)."""
        return self._need_samples().latest()

    def _need_samples(self) -> Samples:
        if self._samples is None:
            raise ValueError("this accumulator keeps no losses of samples: make it with per_sample=True")
        return self._samples

    # What `evaluate` and the command need so that no loss of a sample stands in memory twice.

    def follow(self, other: Accumulator) -> None:
        """Go on behind the data of another, before there are any of one's own; its losses of samples are no longer its
        own."""
        self._merge_sums(other)
        self._samples, other._samples = other._samples, None

    def keep_latest(self) -> None:
        """Of losses of samples keep those of the part added last alone."""
        if self._samples is not None:
            self._samples.keep = False

    def forget_samples(self) -> None:
        """Keep sums alone."""
        self._samples, self.per_sample = None, False

    def pieces(self) -> Iterator[Array]:
        """The losses of all samples, marked, in pieces that are not to be kept."""
        return self._need_samples().pieces()

    def counting(self) -> Iterator[Array]:
        """The losses of samples that count, piece by piece."""
        return (losses for _, losses in self._need_samples().counting())

    def give_losses(self) -> Array:
        """(samples,) float64, marked (see `fastloss.samples`): the array itself, which is the caller's from now on."""
        samples, self._samples = self._need_samples(), None
        return samples.give()

    def __repr__(self) -> str:
        return f"Accumulator({self.function.__name__}, reduction={self.reduction!r}): {float(self.compute())!r}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "function": self.function.__name__, "_summed": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._find(state["function"])


class Part(NamedTuple):
    """Sums of one part of the data, and the losses of its samples with whether anything in them counts."""

    total: float
    denominator: float
    exponent: int
    samples: tuple[Array, Array] | None


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

    def times(self, exponent: int) -> Compensated:
        """Times 2^exponent, which is at most 0."""
        return Compensated(math.ldexp(self.high, exponent), math.ldexp(self.low, exponent))

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
