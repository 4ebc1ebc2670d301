# SPDX-License-Identifier: BSD-3-Clause
"""One cell: all modes of all contestants, hot and cold, and the limits that hold for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import cells, measure, peers, peers_tokens

Contestants = dict[tuple[str, str], Callable[[], Any]]  # (mode, name) -> call
COLD_ROUNDS = 7
LEAST_READ = 1_000_000  # bytes; a read of fewer is over before the call from Python is
LEAST_MEMORY = 32_000_000  # bytes that are meant to lie beyond the caches, however large these are
NO_MEMORY = ("linear", "ctc-log-probs", "ctc-logits")  # bound by a product; read in parts
COLD_MODES = ("forward", "gradient")


def measure_cell(
    cell: cells.Cell,
    ours: Any,
    others: list[Any],
    machine: Any,
    budget: float,
    rounds: int,
    cold: bool,
    refused: list[str],
) -> dict[str, Any]:
    """Times and ratios by mode and contestant; who fails or disagrees is left out, and `refused` says so."""
    operands = cell.operands()
    contestants = contestants_of(cell, operands, ours, others, refused)
    times, disturbed = measure.measure(contestants, budget, rounds)
    modes: dict[str, Any] = {}
    for mode, name in times:
        entry = {**entry_of(mode, name, times), "disturbed": disturbed[mode, name]}
        if mode == "forward" and cell.group != "small":
            entry["busy_cores"] = round(measure.busy_cores(contestants[mode, name]), 2)
        modes.setdefault(mode, {})[name] = entry
    if cold and cell.group != "linear":  # there the product hides it
        few = {key: call for key, call in contestants.items() if key[0] in COLD_MODES}
        seconds_cold = measure.measure_cold(few, machine.evict, min(rounds, COLD_ROUNDS), budget)
        for mode, name in few:
            modes.setdefault(f"{mode} cold", {})[name] = entry_of(mode, name, seconds_cold)
    arrays = [a for a in operands.values() if a.dtype.kind == "f"]
    size = sum(a.nbytes for a in arrays)
    call = contestants["forward", "fastloss"]
    modes["forward"].update(limits_of(cell, arrays, modes["forward"]["fastloss"], machine))
    modes["forward"].update(memory_of(cell, arrays, call, machine))
    return {"name": cell.name, "group": cell.group, "loss": cell.loss, "shape": list(cell.shape), "dtype": cell.dtype,
            "elements": cell.elements, "bytes": size, "modes": modes}  # fmt: skip


def contestants_of(cell: cells.Cell, operands: Any, ours: Any, others: list[Any], refused: list[str]) -> Contestants:
    calls = ours.calls(cell, operands)
    contestants: Contestants = {(mode, "fastloss"): call for mode, call in calls.items()}
    for peer in others:
        try:
            for mode, call in peer.calls(cell, operands).items():
                expected = ours.compared(cell, operands, peer.name, mode, calls[mode])
                peers.check_agreement(f"{peer.name} ({mode})", cell, call(), expected())
                contestants[mode, peer.name] = call
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            refused.append(f"**Left out**: {peer.name} on {cell.name}: {type(error).__name__}: {reason}")
    if cell.group == "linear":
        contestants["forward", cells.PRODUCT] = peers_tokens.bare_product(operands)
    return contestants


def entry_of(mode: str, name: str, times: dict[Any, list[float]]) -> dict[str, Any]:
    """A contestant's quartiles in microseconds, and those of its time over ours."""
    entry: dict[str, Any] = {"us": measure.quartiles([1e6 * s for s in times[mode, name]])}
    if name != "fastloss":
        paired = zip(times[mode, name], times[mode, "fastloss"], strict=True)
        entry["ratio"] = measure.quartiles([theirs / ours for theirs, ours in paired])
    return entry


def memory_of(cell: cells.Cell, arrays: list[Any], call: Callable[[], Any], machine: Any) -> dict[str, float]:
    """The same read and our call of large cells once more, both from memory: some processors' caches hold them."""
    size = sum(a.nbytes for a in arrays)
    if cell.group in NO_MEMORY or size < LEAST_MEMORY:
        return {}
    found = machine.best_from_memory(arrays, call)
    if found is None:
        return {}
    read, ours = found
    return {"memory_read_us": 1e6 * read, "memory_us": 1e6 * ours, "share_of_memory": read / ours}


def limits_of(cell: cells.Cell, arrays: list[Any], ours: dict[str, Any], machine: Any) -> dict[str, float]:
    """A C read of the same bytes and streams, and the time of one exp where a loss is little else."""
    found: dict[str, float] = {}
    if cell.group == "small" or not arrays:
        return found
    size = sum(a.nbytes for a in arrays)
    seconds = machine.best_read(arrays) if size >= LEAST_READ else None
    if seconds is not None:
        found["read_us"] = 1e6 * seconds
        found["read_gb_per_s"] = size / seconds / 1e9
        found["share_of_read"] = 1e6 * seconds / ours["us"]["best"]
    if cell.loss in cells.ONE_EXP:
        cores = min(max(1.0, ours["busy_cores"]), machine.threads)
        found["ns_per_exp"] = 1e3 * ours["us"]["best"] * cores / cell.elements
    return found
