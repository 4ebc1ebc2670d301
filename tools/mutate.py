# SPDX-License-Identifier: BSD-3-Clause
"""Mutation testing of csrc/: plant small faults one by one, and see whether the tests notice.

``python tools/mutate.py --count 100 --seed 1`` draws mutations (an operator at a place of a line, over all files),
compiles the one object that each changes, links a copy of the package and runs the tests that match the file. Needs an
in-place build (``python setup.py build_ext --inplace``) of this checkout. A mutant is

- killed, if a test fails, crashes or hangs, or if its code does not compile;
- nothing, if the compiler makes the same object of it, or it is not compiled here: another is drawn in its place;
- a survivor else. EQUIVALENT lists survivors that were read and found harmless, with the reason.

Writes one line per mutant, and after each the file of ``--json``, which tools/reliability.py reads. What stands in that
file already is not drawn again: a long run can be made in portions (``--minutes 2``, and ``--folder`` to keep the copy
that was built and found sound). Exit status 1 if fewer than 95 % of those that are not equivalent are killed.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from flags import COMMON, ISAS, KERNEL

ROOT = Path(__file__).resolve().parent.parent
PLAIN = ("blocks.c", "dispatch.c", "parallel.c", "cpus.c")
SECONDS = 240  # a mutant that takes longer hangs

# Tests by file, the quickest first.
ELEMENTWISE = "elementwise fuzz hessian rmse quantiles extremes accuracy"
SOFTMAX = "softmax cross_entropy fuzz extremes"
TESTS = {
    "blocks.c": "operands fuzz guard_pages ctc_errors",
    "load.h": "operands fuzz",
    "dispatch.c": "cpus bits build",
    "parallel.c": "threads bits",
    "cpus.c": "cpus threads",
    "tile.h": f"fuzz {SOFTMAX} elementwise",
    "real.h": "fuzz softmax accuracy ctc_accuracy",
    "vecmath.h": "fuzz vecmath accuracy extremes",
    "softmax": f"{SOFTMAX} accuracy",
    "margin": "margin fuzz",
    "multilabel": "margin fuzz",
    "fold.h": "tokens token_numbers linear",
    "tokens.h": "tokens token_numbers",
    "linear.h": "linear",
    "ctc": "ctc ctc_limits ctc_errors ctc_accuracy ctc_bits",
    "distance": "distance margin",
    "triplet": "ranking distance",
    "mining": "ranking",
    "directions": "ranking",
    "box": "box overlap_guard",
    "overlap": "overlap overlap_guard",
    "lovasz": "lovasz overlap_guard",
    "workspace.h": "lovasz ctc ctc_errors",
    "actions.h": "reinforcement guard_pages",
    "scan.h": "reinforcement guard_pages",
    "ops_reinforcement.h": f"reinforcement {ELEMENTWISE}",
    "ops_adversarial.h": f"adversarial {ELEMENTWISE}",
    "ops_variational.h": f"variational {ELEMENTWISE}",
    "": ELEMENTWISE,
}
# (file, what stands in the line, mutation) -> why no test can see it.
EQUIVALENT: dict[tuple[str, str, str], str] = {
    ("ctc.h", "s->exact = 1;", "1 -> 2"): "a truth value",
    ("ctc_emissions.h", "y[k] = d < -0x1p50 && mass > 0 ? 1.0 : mass;", "0 -> 1"): (
        "at an exponent beyond 2^50, whose spacing is a quarter, a factor below sqrt(2) is rounding"
    ),
    ("vecmath.h", "const real bounded = x > V_EXP_MAX ? R_INFINITY : scaled;", "> -> >="): (
        "exp(89) and exp(710) overflow by themselves"
    ),
    ("cpus.c", "return quota > 0 && period > 0 ? (double)quota / (double)period : 0;", "> -> >="): (
        "a quota of 0 gives 0 either way"
    ),
    ("softmax_state.h", "for (ptrdiff_t k = n; k < lanes; k++) s->out[k] = 0;", "0 -> 1"): (
        "what the padding is multiplied with, before the next line sets it to 0"
    ),
    **dict.fromkeys(
        [("load.h", f"DO({dtype}, 1)", "1 -> 2") for dtype in ("FL_BOOL", "FL_INT8", "FL_UINT8")],
        "the size only chooses a loop: it is the stride in the one that multiplies by it",
    ),
    ("multilabel.h", "if (found < 0) {", "< -> <="): "the loop around it ends at 0",
    (
        "dispatch.c",
        "LEAF1_ECX_V2 = 1 << 0 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 23, "
        "/* sse3 ssse3 cx16 sse4.1 sse4.2 popcnt */",
        "1 -> 0",
    ): "one feature of the level is not asked for; no processor has the others without it",
}

OPERATORS = [
    (r" < ", [" <= ", " >= "]),
    (r" <= ", [" < "]),
    (r" > ", [" >= ", " <= "]),
    (r" >= ", [" > "]),
    (r" == ", [" != "]),
    (r" != ", [" == "]),
    (r" \+ ", [" - "]),
    (r" - ", [" + "]),
    (r" \* ", [" + "]),
    (r" / ", [" * "]),
    (r" \+= ", [" -= "]),
    (r" -= ", [" += "]),
    (r" && ", [" || "]),
    (r" \|\| ", [" && "]),
    (r"(?<![\w.])0(?![\w.])", ["1"]),
    (r"(?<![\w.])1(?![\w.])", ["2", "0"]),
    (r"(?<![\w.])[2-9](?![\w.])", ["1"]),
    (r"\+\+(?=[\w)\]])|(?<=[\w\]])\+\+", ["--"]),
    (r"^ +[\w>.\[\]-]+ [+*-]?= [^;]*;$", [";"]),  # the statement goes
    (r"(?<=\()-(?=\w)|(?<== )-(?=\w)", [""]),
]


class Mutation(NamedTuple):
    file: str
    line: int
    start: int
    end: int
    replacement: str

    def apply(self, text: str) -> str:
        lines = text.split("\n")
        old = lines[self.line]
        lines[self.line] = old[: self.start] + self.replacement + old[self.end :]
        return "\n".join(lines)

    def described(self, text: str) -> str:
        old = text.split("\n")[self.line]
        return f"{old[self.start : self.end].strip()} -> {self.replacement.strip() or 'nothing'}"


def code_lines(text):
    """(number, line) of the lines that hold code, comments blanked."""
    blank = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.S)
    blank = re.sub(r'"[^"\n]*"', lambda m: "_" * len(m[0]), blank)
    for number, line in enumerate(blank.split("\n")):
        if not re.match(r"\s*(#|_Static_assert|ROW\(|$)", line) and "fl_planted" not in line:
            yield number, line


def all_mutations():
    """File -> its possible mutations."""
    found = {}
    for path in sorted([*ROOT.glob("csrc/*.h"), *ROOT.glob("csrc/*.c")]):
        if path.name in ("fastloss.h", "kernels.c"):
            continue
        places = [
            Mutation(path.name, number, match.start(), match.end(), other)
            for number, line in code_lines(path.read_text())
            for pattern, others in OPERATORS
            for match in re.finditer(pattern, line)
            for other in others
        ]
        if places:
            found[path.name] = places
    return found


def drawn(found, rng):
    """Mutations without end: file by file, each as often as the root of its size, in a random order."""
    pools = {name: rng.sample(places, len(places)) for name, places in found.items()}
    while any(pools.values()):
        names = [name for name, places in pools.items() if places]
        name = rng.choices(names, [len(found[name]) ** 0.5 for name in names])[0]
        yield pools[name].pop()


class Workshop:
    """A copy of the checkout in which one mutant at a time is built and tested."""

    def __init__(self, folder, isa):
        self.folder, self.isa = Path(folder), isa
        self.is_sound = (self.folder / "sound").exists()
        if not self.is_sound:
            self.copy()
        self.objects = sorted((self.folder / "objects").rglob("*.o"))
        if not any(path.parts[-3] == f"{isa}_32" for path in self.objects):
            sys.exit(f"mutate: no objects of {isa} under build/: run python setup.py build_ext --inplace first")
        self.cc = shlex.split(os.environ.get("CC", "cc"))
        self.march = next(flags[isa] for flags in ISAS.values() if isa in flags)
        self.extension = self.folder / "fastloss" / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"

    def copy(self):
        for name in ("csrc", "tests", "tools", "fastloss", "examples", "docs", "benchmarks"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        for name in ("pyproject.toml", "setup.py", "README.md"):
            shutil.copy(ROOT / name, self.folder / name)
        built = max(ROOT.glob("build/temp*"), key=lambda path: path.stat().st_mtime, default=None)
        if built:  # a copy: the checkout may be built anew meanwhile
            shutil.copytree(built, self.folder / "objects")

    def flags(self, source, real):
        if source == "kernels.c":
            return [*COMMON, *KERNEL, *self.march, "-O1", f"-DFL_ISA={self.isa}", f"-DFL_REAL={real}"]
        baseline = next(iter(next(flags for flags in ISAS.values() if self.isa in flags).values()))
        have = [f"-DFL_HAVE_{isa.upper()}" for isa in ("avx2", "avx512") if self.built(isa)]
        return [*COMMON, *baseline, *have, "-fopenmp"]

    def built(self, isa):
        return any(path.parts[-3] == f"{isa}_32" for path in self.objects)

    def compile(self, source, real, target):
        command = [*self.cc, *self.flags(source, real), "-w", "-I", str(self.folder / "csrc")]
        command += ["-c", str(self.folder / "csrc" / source), "-o", str(target)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def object_of(self, source, real):
        """The built object that a mutant's takes the place of."""
        place = f"{self.isa}_{real}" if source == "kernels.c" else "plain"
        return next(p for p in self.objects if p.parts[-3] == place and p.name == source.replace(".c", ".o"))

    def unchanged(self, source, real):
        """What the compiler makes of the file as it stands."""
        target = self.folder / f"original_{real}_{source}.o"
        if not target.exists():
            assert self.compile(source, real, target), f"{source} does not compile"
        return target.read_bytes()

    def link(self, replaced, by):
        objects = [str(by if path == replaced else path) for path in self.objects]
        command = [*self.cc, "-shared", *objects, "-fopenmp", "-pthread", "-o", str(self.extension)]
        subprocess.run(command, check=True, capture_output=True)

    def test(self, file):
        """The names of what failed, or None."""
        prefixes = (key for key in TESTS if "." not in key and file.startswith(key))  # "" is one of all
        stem = file if file in TESTS else next(prefixes)
        tests = [f"tests/test_{name}.py" for name in TESTS[stem].split()]
        environment = {
            **os.environ,
            "FASTLOSS_ISA": self.isa,
            "PYTHONPATH": str(self.folder),
            "FASTLOSS_HOSTILE": "2000",
        }
        if file in PLAIN:
            del environment["FASTLOSS_ISA"]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *tests]
        command += ["--deselect", "tests/test_build.py::test_kernel_objects"]
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return "a hang"
        failed = re.search(r"^(?:FAILED|ERROR) (?:tests/)?(\S+)", done.stdout, re.M)
        if done.returncode:
            return failed[1] if failed else f"exit status {done.returncode}"
        return None

    def judge(self, mutation):
        """What killed it; "" if nothing did; None if there is nothing to kill."""
        path = self.folder / "csrc" / mutation.file
        text = path.read_text()
        source = mutation.file if mutation.file in PLAIN else "kernels.c"
        try:
            path.write_text(mutation.apply(text))
            for real in (32, 64) if source == "kernels.c" else (32,):
                path.write_text(text)
                before = self.unchanged(source, real)
                path.write_text(mutation.apply(text))
                target = self.folder / "mutant.o"
                if not self.compile(source, real, target):
                    return "the compiler"
                if target.read_bytes() != before:
                    self.link(self.object_of(source, real), target)
                    return self.test(mutation.file) or ""
            return None
        finally:
            path.write_text(text)


def sound(shop):
    """The tests pass on the copy without a mutation; else every mutant would be killed."""
    for file, source in (("elementwise.h", "kernels.c"), ("cpus.c", "cpus.c")):
        target = shop.folder / "same.o"
        target.write_bytes(shop.unchanged(source, 32))
        shop.link(shop.object_of(source, 32), target)
        if failed := shop.test(file):
            sys.exit(f"mutate: without a mutation {failed} fails")
    (shop.folder / "sound").touch()


def outcome(shop, mutation):
    """What became of one mutant: a row of the file. `killer` is None where there is nothing to kill."""
    text = (shop.folder / "csrc" / mutation.file).read_text()
    line, what = text.split("\n")[mutation.line].strip(" \\"), mutation.described(text)
    killer = shop.judge(mutation)
    reason = EQUIVALENT.get((mutation.file, line, what), "")
    verdict = f"killed by {killer}" if killer else "no effect" if killer is None else reason or "SURVIVED"
    print(f"{mutation.file}:{mutation.line + 1}: {what}: {verdict}\n    {line}", flush=True)
    return {"file": mutation.file, "line": mutation.line + 1, "text": line, "what": what, "killer": killer,
            "reason": reason}  # fmt: skip


def judged(outcomes):
    """Those that had an effect, with the reasons that are known by now."""
    found = [o for o in outcomes if o["killer"] is not None]
    return [{**o, "reason": EQUIVALENT.get((o["file"], o["text"].strip(" \\"), o["what"]), "")} for o in found]


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="mutants to judge, those of the file included")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--isa", default="avx2", help="whose kernels are mutated")
    parser.add_argument("--minutes", type=float, default=600, help="draw no more when this time is over")
    parser.add_argument("--json", type=Path, help="the outcomes: taken up, and written after each mutant")
    parser.add_argument("--folder", help="keep the copy here, for the next portion of a run")
    arguments = parser.parse_args()
    found = all_mutations()
    total = sum(map(len, found.values()))
    print(f"seed {arguments.seed}: {arguments.count} of {total} mutations of {len(found)} files, {arguments.isa}")
    path = arguments.json
    outcomes = json.loads(path.read_text()) if path and path.exists() else []
    known = {(o["file"], o["line"], o["what"]) for o in outcomes}
    start = time.monotonic()
    with contextlib.nullcontext(arguments.folder) if arguments.folder else tempfile.TemporaryDirectory() as folder:
        shop = Workshop(folder, arguments.isa)
        if not shop.is_sound:
            sound(shop)
        for mutation in drawn(found, random.Random(arguments.seed)):
            if len(judged(outcomes)) >= arguments.count or time.monotonic() - start > 60 * arguments.minutes:
                break
            text = (shop.folder / "csrc" / mutation.file).read_text()
            if (mutation.file, mutation.line + 1, mutation.described(text)) in known:
                continue
            outcomes.append(outcome(shop, mutation))
            if path:
                path.write_text(json.dumps(outcomes, indent=1) + "\n")
    return summary(outcomes)


def summary(outcomes):
    """Print the score; the exit status."""
    rows = judged(outcomes)
    killed = sum(bool(o["killer"]) for o in rows)
    equivalent = sum(bool(o["reason"]) and not o["killer"] for o in rows)
    print(
        f"{killed} of {len(rows) - equivalent} killed, {equivalent} equivalent, {len(outcomes) - len(rows)} no effect"
    )
    return 0 if rows and killed >= 0.95 * (len(rows) - equivalent) else 1


if __name__ == "__main__":
    sys.exit(main())
