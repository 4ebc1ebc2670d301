# SPDX-License-Identifier: BSD-3-Clause
"""Mutation testing of csrc/: plant small faults one by one, and see whether the tests notice.

``python tools/mutate.py --count 100 --seed 1`` draws mutations (an operator at a place of a line, over all files),
compiles the one object that each changes, links a copy of the package and runs the tests that match the file. Needs an
in-place build (``python setup.py build_ext --inplace``) of this checkout. A mutant is

- killed, if a test fails, crashes or hangs, or if its code does not compile;
- nothing, if the compiler makes the same object of it for every processor and backend: another is drawn in its place;
- a survivor else. equivalent.py lists survivors that were read and found harmless, with the reason.

Writes one line per mutant, and after each the file of ``--json``, which tools/reliability.py reads. What stands in that
file already is not drawn again: a long run can be made in portions (``--minutes 2``, and ``--folder`` to keep the copy
that was built and found sound). A row whose line is no longer in csrc/ is dropped, and one of its file drawn instead;
``--again`` judges anew those that nothing killed and nothing explains. Exit status 1 if fewer than 95 % of those that
are not equivalent are killed.
"""

import argparse
import contextlib
import hashlib
import itertools
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

from equivalent import EQUIVALENT
from flags import COMMON, ISAS, KERNEL

ROOT = Path(__file__).resolve().parent.parent
PLAIN = ("blocks.c", "dispatch.c", "parallel.c", "cpus.c")
SECONDS = 600  # a mutant that takes longer hangs

# Tests by file, the quickest first.
ELEMENTWISE = "elementwise fuzz hessian rmse quantiles extremes accuracy"
SOFTMAX = "softmax cross_entropy fuzz extremes"
TESTS = {
    "blocks.c": "operands fuzz guard_pages ctc_errors",
    "load.h": "operands fuzz",
    "dispatch.c": "dispatch cpus bits build",
    "parallel.c": "threads bits",
    "cpus.c": "cpus threads",
    "tile.h": f"fuzz {SOFTMAX} elementwise",
    "real.h": "fuzz softmax accuracy ctc_accuracy",
    "vecmath.h": "fuzz vecmath accuracy extremes",
    "packet.h": f"vecmath {SOFTMAX}",
    "wide.h": "distance ranking",
    "unsigned_sums.h": "elementwise fuzz",
    "stream.h": f"bits {ELEMENTWISE}",
    "softmax": f"{SOFTMAX} accuracy",
    "margin": "margin fuzz",
    "multilabel": "margin fuzz",
    "fold.h": "tokens token_numbers linear",
    "tokens.h": "tokens token_numbers",
    "linear.h": "linear",
    "ctc": "ctc ctc_limits ctc_errors ctc_accuracy ctc_bits ctc_memory",
    "distance": "distance margin",
    "triplet": "ranking distance",
    "mining": "ranking",
    "directions": "ranking",
    "panels.h": "product linear",
    "product": "product linear",
    "reals.h": "product",
    "shuffle.h": "product distance cross_entropy",
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


def drawn(found, rng, owed):
    """Mutations without end, in a random order: of the files of the list `owed` as long as it names any, then file by
    file, each as often as the root of its size."""
    pools = {name: rng.sample(places, len(places)) for name, places in found.items()}
    while any(pools.values()):
        names = [name for name, places in pools.items() if places]
        name = owed[-1] if owed else rng.choices(names, [len(found[name]) ** 0.5 for name in names])[0]
        if pools.get(name):
            yield pools[name].pop()
        else:
            owed.pop()


def fingerprint():
    """Of what a copy is made of: another one is needed when it changes."""
    files = sorted(p for name in ("csrc", "tests", "fastloss") for p in (ROOT / name).rglob("*.[chp]*"))
    return hashlib.sha256(
        b"".join(p.read_bytes() for p in files if p.suffix in (".c", ".h", ".py", ".pyx"))
    ).hexdigest()


class Object(NamedTuple):
    """One compilation of a source."""

    source: str
    place: str  # its folder under build/
    isa: str  # whose kernels it holds; "" where it serves all
    flags: tuple[str, ...]


class Workshop:
    """A copy of the checkout in which one mutant at a time is built and tested."""

    def __init__(self, folder, isa):
        self.folder, self.isa = Path(folder), isa
        self.mark = self.folder / "sound"
        self.is_sound = self.mark.exists() and self.mark.read_text() == fingerprint()
        if not self.is_sound:
            self.copy()
        self.objects = sorted((self.folder / "objects").rglob("*.o"))
        if not any(path.parts[-3] == f"{isa}_32" for path in self.objects):
            sys.exit(f"mutate: no objects of {isa} under build/: run python setup.py build_ext --inplace first")
        self.cc = shlex.split(os.environ.get("CC", "cc"))
        self.extension = self.folder / "fastloss" / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"

    def copy(self):
        if self.mark.exists():
            shutil.rmtree(self.folder)
        elif self.folder.exists() and any(self.folder.iterdir()):
            sys.exit(f"mutate: {self.folder} holds something else")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.mark.write_text("")
        for name in ("csrc", "tests", "tools", "fastloss", "examples", "docs", "benchmarks"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        for name in ("pyproject.toml", "setup.py", "README.md"):
            shutil.copy(ROOT / name, self.folder / name)
        built = max(ROOT.glob("build/temp*"), key=lambda path: path.stat().st_mtime, default=None)
        if built:  # a copy: the checkout may be built anew meanwhile
            shutil.copytree(built, self.folder / "objects")

    def built(self, isa):
        return any(path.parts[-3] == f"{isa}_32" for path in self.objects)

    def objects_of(self, file):
        """The objects that a mutant of this file may change, in the order in which they are tried."""
        marches = next(flags for flags in ISAS.values() if self.isa in flags)
        baseline = next(iter(marches))
        if file not in PLAIN:
            isas = [isa for isa in dict.fromkeys((self.isa, baseline)) if self.built(isa)]
            flags = {isa: [*COMMON, *KERNEL, *marches[isa], "-O1", f"-DFL_ISA={isa}"] for isa in isas}
            return [
                Object("kernels.c", f"{isa}_{real}", isa, (*flags[isa], f"-DFL_REAL={real}"))
                for isa in isas
                for real in (32, 64)
            ]
        have = [f"-DFL_HAVE_{isa.upper()}" for isa in ("avx2", "avx512") if self.built(isa)]
        flags = [*COMMON, *marches[baseline], *have]
        backends = [["-fopenmp"], ["-DFL_PTHREADS"]] if file == "parallel.c" else [["-fopenmp"]]
        return [Object(file, "plain", "", (*flags, *backend)) for backend in backends]

    def compile(self, what, target):
        command = [*self.cc, *what.flags, "-w", "-I", str(self.folder / "csrc")]
        command += ["-c", str(self.folder / "csrc" / what.source), "-o", str(target)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def built_object(self, what):
        """The built object that a mutant's takes the place of."""
        name = what.source.replace(".c", ".o")
        return next(p for p in self.objects if p.parts[-3] == what.place and p.name == name)

    def unchanged(self, what):
        """What the compiler makes of the file as it stands."""
        target = self.folder / f"original_{what.place}{what.flags[-1]}_{what.source}.o"
        if not target.exists():
            assert self.compile(what, target), f"{what.source} does not compile"
        return target.read_bytes()

    def link(self, replaced, by):
        objects = [str(by if path == replaced else path) for path in self.objects]
        command = [*self.cc, "-shared", *objects, "-fopenmp", "-pthread", "-o", str(self.extension)]
        subprocess.run(command, check=True, capture_output=True)

    def test(self, file, isa):
        """The name of what failed, or None."""
        prefixes = (key for key in TESTS if "." not in key and file.startswith(key))  # "" is one of all
        stem = file if file in TESTS else next(prefixes)
        tests = [f"tests/test_{name}.py" for name in TESTS[stem].split()]
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "FASTLOSS_HOSTILE": "2000"}
        if isa:
            environment["FASTLOSS_ISA"] = isa
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
        target = self.folder / "mutant.o"
        try:
            for what in self.objects_of(mutation.file):
                path.write_text(text)
                before = self.unchanged(what)
                path.write_text(mutation.apply(text))
                if not self.compile(what, target):
                    return "the compiler"
                if target.read_bytes() != before:
                    self.link(self.built_object(what), target)
                    return self.test(mutation.file, what.isa) or ""
            return None
        finally:
            path.write_text(text)


def sound(shop):
    """The tests pass on the copy without a mutation; else every mutant would be killed."""
    for file in ("elementwise.h", "cpus.c"):
        what = shop.objects_of(file)[0]
        target = shop.folder / "same.o"
        target.write_bytes(shop.unchanged(what))
        shop.link(shop.built_object(what), target)
        if failed := shop.test(file, what.isa):
            sys.exit(f"mutate: without a mutation {failed} fails")
    shop.mark.write_text(fingerprint())


def row_of(mutation):
    """What the file says of a mutation, but for its fate."""
    text = (ROOT / "csrc" / mutation.file).read_text()
    line = text.split("\n")[mutation.line].strip(" \\")
    return {"file": mutation.file, "line": mutation.line + 1, "text": line, "what": mutation.described(text)}


def named(row):
    """By what a row is known; not by its number, which changes with the lines before it."""
    return row["file"], row["text"].strip(" \\"), row["what"]


def outcome(shop, mutation):
    """What became of one mutant: a row of the file. `killer` is None where there is nothing to kill."""
    row = row_of(mutation)
    killer = shop.judge(mutation)
    reason = "the same machine code" if killer is None else EQUIVALENT.get(named(row), "")
    verdict = f"killed by {killer}" if killer else reason or "SURVIVED"
    print(f"{row['file']}:{row['line']}: {row['what']}: {verdict}\n    {row['text']}", flush=True)
    return {**row, "killer": killer, "reason": reason}


def judged(outcomes):
    """Those that had an effect, with the reasons that are known by now."""
    found = [o for o in outcomes if o["killer"] is not None]
    return [{**o, "reason": EQUIVALENT.get(named(o), "")} for o in found]


def still_there(outcomes):
    """The rows whose line still stands in csrc/, with today's number and reason; and the files of the others."""
    kept, gone = [], []
    for o in outcomes:
        path = ROOT / "csrc" / o["file"]
        lines = [line.strip(" \\") for line in path.read_text().split("\n")] if path.exists() else []
        places = [number for number, line in enumerate(lines, 1) if line == o["text"].strip(" \\")]
        if places:
            reason = o["reason"] if o["killer"] is None else EQUIVALENT.get(named(o), "")
            kept.append({**o, "line": min(places, key=lambda number: abs(number - o["line"])), "reason": reason})
        elif o["killer"] is not None:
            gone.append(o["file"])
    return kept, gone


def is_open(o):
    """Whether nothing killed it and nothing explains that."""
    return not o["reason"] if o["killer"] is None else not o["killer"] and named(o) not in EQUIVALENT


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="mutants to judge, those of the file included")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--isa", default="avx2", help="whose kernels are mutated")
    parser.add_argument("--minutes", type=float, default=600, help="draw no more when this time is over")
    parser.add_argument("--json", type=Path, help="the outcomes: taken up, and written after each mutant")
    parser.add_argument("--again", action="store_true", help="judge anew what nothing killed and nothing explains")
    parser.add_argument("--folder", help="keep the copy here, for the next portion of a run")
    arguments = parser.parse_args()
    found = all_mutations()
    total = sum(map(len, found.values()))
    print(f"seed {arguments.seed}: {arguments.count} of {total} mutations of {len(found)} files, {arguments.isa}")
    path = arguments.json
    outcomes, owed = still_there(json.loads(path.read_text()) if path and path.exists() else [])
    again = [named(o) for o in outcomes if arguments.again and is_open(o)]
    outcomes = [o for o in outcomes if named(o) not in again]
    first = [m for places in found.values() for m in places if again and named(row_of(m)) in again]
    start = time.monotonic()
    with contextlib.nullcontext(arguments.folder) if arguments.folder else tempfile.TemporaryDirectory() as folder:
        shop = Workshop(folder, arguments.isa)
        if not shop.is_sound:
            sound(shop)
        for mutation in itertools.chain(first, drawn(found, random.Random(arguments.seed), owed)):
            enough = mutation not in first and not owed and len(judged(outcomes)) >= arguments.count
            if enough or time.monotonic() - start > 60 * arguments.minutes:
                break
            if named(row_of(mutation)) in map(named, outcomes):
                continue
            outcomes.append(outcome(shop, mutation))
            if owed and owed[-1] == mutation.file and outcomes[-1]["killer"] is not None:
                owed.pop()
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
