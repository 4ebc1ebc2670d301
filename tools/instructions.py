# SPDX-License-Identifier: BSD-3-Clause
"""Instructions per element of the main kernels, counted by callgrind: the same in every run, however busy the machine.

    python tools/instructions.py --check        # the built extension against tools/instructions.json, within 3 %
    python tools/instructions.py --write        # replace what stands there for this compiler

Records are keyed by the compiler that built the extension, for AVX2 and the baseline: valgrind knows no AVX-512. A
count is the difference of two calls whose sizes differ by many elements, so that Python's own work drops out.
Without valgrind, or without a record of this compiler, a line says so and the exit status is 0.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("instructions.json")
ISAS = ("avx2", "baseline")
TOLERANCE = 0.03
STEP = 1 << 16  # elements between the two calls
# Bytes of one operand of gradients of few operations, so that all stays in level 2 as callgrind has it: with more, it
# would depend on a processor's level 3 whether they go past the caches.
STEP_INSIDE = 80 << 10
STREAMED = [f"{loss}_loss float{size} gradient" for loss in ("l1", "mse", "huber") for size in (32, 64)]
CLIENT = r"""
#include <valgrind/callgrind.h>
void zero(void) { CALLGRIND_ZERO_STATS; }
void dump(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }
void start(void) { CALLGRIND_START_INSTRUMENTATION; }
"""


# ---- the counted process ---------------------------------------------------------------------------------------------


def counted_calls() -> dict[str, tuple[int, Callable[[int], Callable[[], Any]]]]:
    """Name -> elements per unit of size, and what makes the call of a size (units)."""
    import numpy as np

    import fastloss as fl

    rng = np.random.default_rng(0)

    def elementwise(function: Any, dtype: Any, third: bool = False, **options: Any) -> Callable[[int], Any]:
        def make(n: int) -> Callable[[], Any]:
            x, y, z = (rng.uniform(0.1, 0.9, n).astype(dtype) for _ in range(3))
            grads = tuple(np.zeros_like(x) for _ in range(2 if third else 1))
            out = {"grad_out": grads if third else grads[0]} if options else {}
            return partial(function, x, y, *([z] if third else []), **options, **out)

        return make

    def rows(function: Any, classes: int, dtype: Any, gradient: bool) -> Callable[[int], Any]:
        def make(n: int) -> Callable[[], Any]:
            x = rng.normal(0, 3, (n, classes)).astype(dtype)
            labels = rng.integers(0, classes, n)
            options = {"return_grad": True, "grad_out": np.zeros_like(x)} if gradient else {}
            return partial(function, x, labels, **options)

        return make

    def tokens(function: Any, classes: int) -> Callable[[int], Any]:
        return lambda n: partial(function, rng.normal(0, 3, (n, classes)).astype(np.float32))

    def ctc(n: int, gradient: bool) -> Callable[[], Any]:
        x = rng.normal(0, 3, (n, 4, 64)).astype(np.float32)
        labels = rng.integers(1, 64, (4, 20))
        options = {"return_grad": True} if gradient else {}
        return partial(fl.ctc_loss, x, labels, np.full(4, n), np.full(4, 20), from_logits=True, **options)

    found: dict[str, tuple[int, Callable[[int], Callable[[], Any]]]] = {}
    for dtype in (np.float32, np.float64):
        for function in (
            fl.l1_loss, fl.mse_loss, fl.huber_loss, fl.binary_cross_entropy_with_logits, fl.binary_cross_entropy,
            fl.gaussian_nll_loss, fl.poisson_nll_loss, fl.sigmoid_focal_loss,
        ):  # fmt: skip
            third = function is fl.gaussian_nll_loss
            name = f"{function.__name__} {dtype.__name__}"
            found[name] = (1, elementwise(function, dtype, third))
            found[f"{name} gradient"] = (1, elementwise(function, dtype, third, return_grad=True))
        for classes in (10, 1000):
            for gradient in (False, True):
                name = f"cross_entropy {classes} {dtype.__name__}{' gradient' * gradient}"
                found[name] = (classes, rows(fl.cross_entropy, classes, dtype, gradient))
    found["mse_loss float16"] = (1, elementwise(fl.mse_loss, np.float16))
    found["multi_margin_loss 1000 float32"] = (1000, rows(fl.multi_margin_loss, 1000, np.float32, False))
    found["logsumexp 1000 float32"] = (1000, tokens(fl.logsumexp, 1000))
    found["entropy 1000 float32"] = (1000, tokens(fl.entropy, 1000))
    for gradient in (False, True):
        found[f"ctc_loss 64 float32{' gradient' * gradient}"] = (256, partial(ctc, gradient=gradient))
    return found


def count_here(client: str) -> None:
    """Two sizes of each call, each followed by a dump of what it took; callgrind.out.N are numbered in this order."""
    library = ctypes.CDLL(client)
    prepared = []
    for name, (elements, make) in counted_calls().items():
        units = max(1, STEP // elements)
        if name in STREAMED:
            units = STEP_INSIDE // (8 if "float64" in name else 4)
        for size in (units, 2 * units):
            call = make(size)
            call()  # what is done once only, such as parsing of signatures
            prepared.append((f"{name}|{size * elements}", call))
    library.start()
    for name, call in prepared:
        library.zero()
        call()
        library.dump(name.encode())


# ---- the tool --------------------------------------------------------------------------------------------------------


def compiler_of_extension() -> str:
    """The compiler that built the extension, as it wrote itself into it: "gcc 12.2.0", "clang 14.0.6"."""
    from fastloss import _native

    data = Path(_native.__file__).read_bytes()
    for name, pattern in (("clang", rb"clang version (\d+\.\d+\.\d+)"), ("gcc", rb"GCC: \([^)]*\) (\d+\.\d+\.\d+)")):
        if found := re.search(pattern, data):
            return f"{name} {found[1].decode()}"
    return "unknown"


def build_client(folder: Path) -> Path | None:
    """A library that talks to callgrind; None where there is no compiler or no valgrind/callgrind.h."""
    source, target = folder / "client.c", folder / "client.so"
    source.write_text(CLIENT)
    command = [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", str(source), "-o", str(target)]
    try:
        return target if subprocess.run(command, capture_output=True, check=False).returncode == 0 else None
    except OSError:
        return None


def count(isa: str, client: Path, folder: Path) -> dict[str, float]:
    """Instructions per element of every call, by callgrind."""
    where = folder / isa
    where.mkdir()
    command = [
        "valgrind",
        "--tool=callgrind",
        "--instr-atstart=no",
        f"--callgrind-out-file={where}/out",
        sys.executable,
    ]
    command += [__file__, "--client", str(client)]
    environment = {**os.environ, "FASTLOSS_ISA": isa, "FASTLOSS_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
                   "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path[1:]))}  # fmt: skip
    done = subprocess.run(command, env=environment, cwd=where, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the counted process failed:\n{done.stderr[-3000:]}")
    totals: dict[str, list[tuple[int, int]]] = {}
    for path in where.glob("out.*"):
        text = path.read_text()
        trigger = re.search(r"^desc: Trigger: Client Request: (.+)\|(\d+)$", text, re.M)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
        if trigger and total:
            totals.setdefault(trigger[1], []).append((int(trigger[2]), int(total[1])))
    found = {}
    for name, pair in totals.items():
        (n, first), (m, second) = sorted(pair)
        found[name] = round((second - first) / (m - n), 4)
    return dict(sorted(found.items()))


def compared(counted: dict[str, dict[str, float]], stored: dict[str, dict[str, float]]) -> list[str]:
    """What differs by more than the tolerance, or stands on one side only."""
    wrong = []
    for isa, counts in counted.items():
        for name in sorted({*counts, *stored.get(isa, {})}):
            now, before = counts.get(name), stored.get(isa, {}).get(name)
            if now is None or before is None:
                wrong.append(f"{isa}: {name}: {'not counted any more' if now is None else 'not in the record'}")
            elif abs(now / before - 1) > TOLERANCE:
                change = f"{now:.4g} instructions per element, recorded {before:.4g} ({now / before - 1:+.1%})"
                wrong.append(f"{isa}: {name}: {change}")
    return wrong


def left_out(reason: str) -> None:
    print(f"LEFT OUT: instruction counts: {reason}")


def main() -> int | None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="against the record")
    action.add_argument("--write", action="store_true", help="replace the record of this compiler")
    action.add_argument("--client", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        return count_here(options.client)
    records = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    compiler = compiler_of_extension()
    if shutil.which("valgrind") is None:
        return left_out("valgrind is not installed")
    if options.check and compiler not in records:
        return left_out(f"no record of {compiler} (there are {', '.join(records) or 'none'})")
    with tempfile.TemporaryDirectory(prefix="fastloss-instructions-") as folder:
        client = build_client(Path(folder))
        if client is None:
            return left_out("no C compiler, or no valgrind/callgrind.h")
        counted = {isa: count(isa, client, Path(folder)) for isa in available()}
    if options.write:
        records[compiler] = counted
        RECORD.write_text(json.dumps(dict(sorted(records.items())), indent=1) + "\n")
        print(f"{RECORD.name}: {sum(map(len, counted.values()))} counts of {compiler}")
        return None
    wrong = compared(counted, records[compiler])
    kept = f"{sum(map(len, counted.values()))} instruction counts within {TOLERANCE:.0%} ({compiler})"
    print("\n".join(wrong) or kept)
    return 1 if wrong else None


def available() -> list[str]:
    import fastloss as fl

    return [isa for isa in ISAS if fl.isas().get(isa, {}).get("compiled")]


if __name__ == "__main__":
    sys.exit(main())
