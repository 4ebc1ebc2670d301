# SPDX-License-Identifier: BSD-3-Clause
"""Two revisions of fastloss against each other: both are built in temporary folders and timed in interleaved bursts.

    python benchmarks/compare.py BASE [--head REV] [--cells WORD ...] [--threads N] [--rounds N]

Without --head this working tree is compared, with its changes that are not committed. Each revision lives in a process
of its own, which waits while the other is timed. A ratio is BASE's time over the other's: above 1 BASE is slower.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MODES = ("forward", "gradient", "grad_out")
SAME = (0.95, 1.05)  # two processes of equal code lie up to 3 % apart, by where their memory lies


def harness() -> ModuleType:
    """fastloss/bench of this tree under another name, whichever fastloss is imported."""
    if "fastloss_bench" not in sys.modules:
        folder = ROOT / "fastloss" / "bench"
        spec = importlib.util.spec_from_file_location(
            "fastloss_bench", folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["fastloss_bench"] = module
        spec.loader.exec_module(module)
    return sys.modules["fastloss_bench"]


def part(name: str) -> Any:
    harness()
    return importlib.import_module(f"fastloss_bench.{name}")


# ---- the process of one revision -------------------------------------------------------------------------------------


def serve(folder: str, threads: int) -> None:
    """Answer requests, one JSON line each: ["cell", name] gives the modes and calls per burst; ["burst", mode, calls]
    the seconds per call, after calls that are not timed."""
    sys.path.insert(0, folder)
    measure, cells = part("measure"), part("cells")
    ours = part("peers").Fastloss(threads)
    assert Path(ours.module.__file__).is_relative_to(folder), ours.module.__file__
    by_name = {cell.name: cell for cell in cells.CELLS}
    calls: dict[str, Callable[[], Any]] = {}
    for line in sys.stdin:
        request, *words = json.loads(line)
        try:
            if request == "cell":
                cell = by_name[words[0]]
                calls = ours.calls(cell, cell.operands())
                answer: Any = {mode: measure.calls_per_burst(call) for mode, call in calls.items() if mode in MODES}
            else:
                mode, n = words
                measure.burst(calls[mode], 1 + n // 4)
                answer = measure.undisturbed(calls[mode], n)[0]
        except Exception as error:  # a revision may lack a loss of this tree's cells
            answer = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)


@contextlib.contextmanager
def server(folder: Path, threads: int) -> Iterator[Callable[..., Any]]:
    """A function that asks the process of one revision."""
    command = [sys.executable, __file__, "--serve", str(folder), "--threads", str(threads)]
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        def ask(*request: Any) -> Any:
            print(json.dumps(request), file=process.stdin, flush=True)
            line = process.stdout.readline()  # type: ignore[union-attr]
            if not line:
                raise RuntimeError(f"the process of {folder.name} has ended")
            return json.loads(line)

        try:
            yield ask
        finally:
            process.stdin.close()


# ---- both ------------------------------------------------------------------------------------------------------------


def unpack(revision: str | None, folder: Path) -> None:
    """The files of a revision, or of this working tree as git sees it."""
    folder.mkdir()
    if revision is not None:
        archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        return
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())


def build(folder: Path) -> None:
    """In place, with the kernels that run here alone, unless FASTLOSS_BUILD_ISAS says more."""
    environment = {"FASTLOSS_BUILD_ISAS": wanted_isa(), **os.environ}
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{folder.name} does not build:\n{done.stdout}{done.stderr}")


def wanted_isa() -> str:
    """FASTLOSS_ISA, or what the installed package would choose here; nothing: all."""
    try:
        import fastloss

        return fastloss._config.config()["isa"] or ""
    except ImportError:
        return os.environ.get("FASTLOSS_ISA", "")


def compare(base: Callable[..., Any], head: Callable[..., Any], name: str, rounds: int) -> dict[str, Any] | str:
    """Quartiles of both times in us and of their ratio, by mode; or why there are none."""
    settle, quartiles = part("measure").settle, part("measure").quartiles
    asked = [one("cell", name) for one in (base, head)]
    if errors := [answer for answer in asked if isinstance(answer, str)]:
        return errors[0]
    found = {}
    for mode in [mode for mode in asked[1] if mode in asked[0]]:
        calls, times = max(1, min(answer[mode] for answer in asked)), ([], [])  # type: tuple[list[float], list[float]]
        for k in range(rounds):
            for which in (0, 1) if k % 2 else (1, 0):
                settle()
                times[which].append((base, head)[which]("burst", mode, calls))
        found[mode] = {
            "base_us": quartiles([1e6 * s for s in times[0]]),
            "head_us": quartiles([1e6 * s for s in times[1]]),
            "ratio": quartiles([b / h for b, h in zip(*times, strict=True)]),
        }
    return found


def verdict(ratio: dict[str, float]) -> str:
    if ratio["median"] < SAME[0] and ratio["high"] < 1:
        return "**slower**"
    return "faster" if ratio["median"] > SAME[1] and ratio["low"] > 1 else ""


def rows_of(name: str, found: dict[str, Any] | str) -> list[list[str]]:
    digits = part("report").digits
    if isinstance(found, str):
        return [[name, "", "", "", f"not compared: {found[:80]}"]]
    return [
        [
            f"{name}, {mode}",
            digits(one["base_us"]["median"]),
            digits(one["head_us"]["median"]),
            f"{one['ratio']['median']:.3f} ({one['ratio']['low']:.3f}–{one['ratio']['high']:.3f})",
            verdict(one["ratio"]),
        ]
        for mode, one in found.items()
    ]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("base", metavar="BASE", nargs="?", help="a revision: a commit, branch or tag")
    parser.add_argument("--head", metavar="REV", help="compared with it; default: this working tree")
    parser.add_argument(
        "--cells", nargs="+", default=[], metavar="WORD", help="default: those of fastloss bench --quick"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.base and not options.serve:
        parser.error("which BASE? make bench-compare BASE=main")
    return options


def main() -> None:
    options = parse()
    if options.serve:
        return serve(options.serve, options.threads)
    cells = part("cells")
    names = [cell.name for cell in (cells.select(options.cells) if options.cells else cells.quick())]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="fastloss-compare-") as work, contextlib.ExitStack() as stack:
        asks = []
        for name, revision in (("base", options.base), ("head", options.head)):
            folder = Path(work).resolve() / name
            unpack(revision, folder)
            print(f"building {revision or 'this tree'}", file=sys.stderr, flush=True)
            build(folder)
            asks.append(stack.enter_context(server(folder, options.threads)))
        for name in names:
            print(name, file=sys.stderr, flush=True)
            found[name] = compare(*asks, name, options.rounds)
    head = [f"{options.base} over {options.head or 'this tree'}", "us", "us", "ratio (quartiles)", ""]
    print(part("report").table(head, [row for name, one in found.items() for row in rows_of(name, one)]), end="")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
