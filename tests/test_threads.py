# SPDX-License-Identifier: BSD-3-Clause
"""Threads: the scheduler alone (a C program), who decides their number, and forks and workers that must not hang."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import numpy as np
import pytest

import fastloss as fl
from fastloss import _threads

_native = pytest.importorskip("fastloss._native", reason="the compiled extension is not installed")

ROOT = Path(__file__).parent.parent
BACKEND = _native.parallel_backend()

threaded = pytest.mark.skipif(BACKEND == "serial", reason="a serial build has one thread")
openmp = pytest.mark.skipif(BACKEND != "openmp", reason=f"about OpenMP; this build is {BACKEND}")


@pytest.fixture(autouse=True)
def default_threads():
    """Leave no setting behind."""
    yield
    fl.set_num_threads(None)


# The scheduler alone ------------------------------------------------------------------------------------------------


def _compiler() -> list[str]:
    """CC, else the compiler that built Python, else cc."""
    for command in (os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc"):
        words = shlex.split(command or "")
        if words and shutil.which(words[0]):
            return words
    pytest.skip("no C compiler here")


def _build(folder: Path, flags: list[str], sources: list[str]) -> tuple[Path, subprocess.CompletedProcess]:
    binary = folder / "program"
    command = [*_compiler(), "-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'csrc'}"]
    command += [*sources, *flags, "-o", str(binary), "-lm", "-pthread"]
    return binary, subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def _run(*command: str) -> subprocess.CompletedProcess:
    # OpenMP may nest here, so that it is our doing if it does not.
    environment = {**os.environ, "OMP_MAX_ACTIVE_LEVELS": "2"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


@pytest.fixture
def build(tmp_path):
    """Build a C program with some flags, or skip if these flags do not work for an empty one."""

    def build(flags: list[str], *sources: str) -> Path:
        if not (ROOT / "csrc" / "parallel.c").exists():
            pytest.skip("the C sources are not beside the tests")
        (tmp_path / "empty").mkdir()
        empty = tmp_path / "empty" / "empty.c"
        empty.write_text("int main(void) { return 0; }\n")
        binary, result = _build(tmp_path / "empty", flags, [str(empty)])
        if result.returncode or _run(str(binary)).returncode:
            pytest.skip(f"{' '.join(flags)} does not compile, link and run here")
        binary, result = _build(tmp_path, flags, [str(ROOT / source) for source in sources])
        assert result.returncode == 0, result.stderr
        return binary

    return build


@pytest.mark.parametrize(
    ("backend", "flags"),
    [
        pytest.param("openmp", ["-fopenmp"], id="openmp"),
        pytest.param("pthreads", ["-DFL_PTHREADS"], id="pthreads"),
        pytest.param("serial", [], id="serial"),
        pytest.param("pthreads", ["-DFL_PTHREADS", "-fsanitize=thread"], id="thread-sanitizer"),
    ],
)
def test_scheduler_alone(build, backend, flags):
    """Folds, offenders, non-finite sums, nesting and forks, at 1 to 5000 threads."""
    program = build(flags, "tests/c/parallel_check.c", "csrc/parallel.c", "csrc/cpus.c")
    result = _run(str(program))
    assert (result.returncode, result.stdout.split()) == (0, ["ok", backend]), result.stdout + result.stderr


@pytest.mark.parametrize(
    ("plant", "flags"),
    [
        pytest.param("fold", ["-fopenmp"], id="fold"),
        pytest.param("fork", ["-fopenmp"], id="fork"),
        pytest.param("race", ["-DFL_PTHREADS", "-fsanitize=thread"], id="race"),
    ],
)
def test_scheduler_check_finds_planted_bugs(build, plant, flags, monkeypatch):
    """A unit that is not folded, a child that takes itself for its parent, an unguarded write."""
    sources = ("tests/c/parallel_check.c", "csrc/parallel.c", "csrc/cpus.c", "csrc/blocks.c")
    program = build([*flags, "-DFL_PLANT"], *sources)
    monkeypatch.setenv("FASTLOSS_PLANT", plant)
    result = _run(str(program))
    assert result.returncode != 0 and result.stdout.split()[:1] != ["ok"], result.stdout + result.stderr


# Who decides --------------------------------------------------------------------------------------------------------


@threaded
def test_explicit_number_is_honoured_above_the_cpus():
    many = _native.usable_cpus() + 5
    fl.set_num_threads(many)
    assert fl.get_num_threads() == many == _threads.thread_limit()
    assert _threads.describe() == (many, "set_num_threads")
    fl.set_num_threads(None)
    assert fl.get_num_threads() == min(_native.runtime_max_threads(), _native.usable_cpus())


@threaded
def test_context_wins_over_process_and_nests():
    fl.set_num_threads(3)
    with fl.num_threads(2):
        assert _threads.describe() == (2, "num_threads")
        with fl.num_threads(np.int64(4)):
            assert fl.get_num_threads() == 4
        assert fl.get_num_threads() == 2
        fl.set_num_threads(5)
        assert fl.get_num_threads() == 2
    assert _threads.describe() == (5, "set_num_threads")


@threaded
def test_context_is_restored_after_an_exception():
    fl.set_num_threads(3)
    with pytest.raises(ZeroDivisionError), fl.num_threads(2):
        1 / 0  # noqa: B018
    assert fl.get_num_threads() == 3


@threaded
def test_each_python_thread_has_its_own_number():
    """Two threads inside their blocks at the same time, as under Dask; a block left in one does not end the other's."""
    both_inside, first_left = threading.Barrier(2, timeout=30), threading.Event()
    seen = {}

    def first():
        with fl.num_threads(2):
            both_inside.wait()
            seen["first"] = fl.get_num_threads()
        seen["first after"] = fl.get_num_threads()
        first_left.set()

    def second():
        with fl.num_threads(3):
            both_inside.wait()
            assert first_left.wait(30)
            seen["second"] = fl.get_num_threads()

    fl.set_num_threads(7)
    threads = [threading.Thread(target=f) for f in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == {"first": 2, "first after": 7, "second": 3}
    assert fl.get_num_threads() == 7


@pytest.mark.parametrize("function", [fl.set_num_threads, fl.num_threads])
@pytest.mark.parametrize("n", [0, -1, np.int32(-3)])
def test_numbers_below_one_are_refused(function, n):
    with pytest.raises(ValueError, match=rf"^n must be an integer >= 1, got {int(n)}$"):
        function(n)


@pytest.mark.parametrize("function", [fl.set_num_threads, fl.num_threads])
@pytest.mark.parametrize("n", [1.0, "2", True, [2]])
def test_other_types_are_refused(function, n):
    with pytest.raises(TypeError, match=r"^n must be an integer >= 1, got .* of type "):
        function(n)


def test_context_takes_no_none():
    with pytest.raises(TypeError, match="got None of type NoneType"):
        fl.num_threads(None)


def test_a_refused_number_changes_nothing():
    fl.set_num_threads(2)
    before = _threads.describe()
    with pytest.raises(ValueError):
        fl.set_num_threads(0)
    assert _threads.describe() == before


DESCRIBE = "import fastloss as fl; from fastloss import _threads; print(*_threads.describe(), sep='|')"


def _described(result: subprocess.CompletedProcess) -> tuple[int, str]:
    assert result.returncode == 0, result.stderr
    number, source = result.stdout.strip().split("|")
    return int(number), source


@threaded
def test_environment_variable(run_python):
    assert _described(run_python(DESCRIBE, FASTLOSS_NUM_THREADS="1")) == (1, "FASTLOSS_NUM_THREADS")
    most = _native.usable_cpus()
    result = run_python(DESCRIBE, FASTLOSS_NUM_THREADS=" 100000 ", OMP_NUM_THREADS="1")
    assert _described(result) == (most, "FASTLOSS_NUM_THREADS")


@pytest.mark.parametrize("value", ["0", "-2", "1.5", "two", "0x2", "²", "9" * 5000], ids=lambda value: value[:9])
def test_invalid_environment_variable_warns_once(run_python, value):
    result = run_python(DESCRIBE, FASTLOSS_NUM_THREADS=value, PYTHONWARNINGS="always", PYTHONIOENCODING="utf-8")
    assert _described(result)[1] != "FASTLOSS_NUM_THREADS"
    assert result.stderr.count("RuntimeWarning") == 1, result.stderr
    assert f"FASTLOSS_NUM_THREADS must be an integer >= 1, got {value!r}; ignored" in result.stderr


def test_empty_environment_variable_is_none(run_python):
    result = run_python(DESCRIBE, FASTLOSS_NUM_THREADS="")
    assert _described(result)[1] != "FASTLOSS_NUM_THREADS"
    assert result.stderr == ""


@openmp
def test_default_follows_openmp_up_to_the_usable_cpus(run_python):
    assert _described(run_python(DESCRIBE, OMP_NUM_THREADS="1")) == (1, "OpenMP default")
    assert _described(run_python(DESCRIBE, OMP_NUM_THREADS="1000")) == (_native.usable_cpus(), "affinity/cgroup")


@openmp
def test_threadpoolctl_works():
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    before = fl.get_num_threads()
    with threadpoolctl.threadpool_limits(1, user_api="openmp"):
        assert _threads.describe() == (1, "OpenMP default")
    assert fl.get_num_threads() == before


def test_without_the_extension_there_is_one_thread(run_python):
    program = "import sys; sys.modules['fastloss._native'] = None\n" + DESCRIBE + "\nfl.set_num_threads(4)\n"
    assert _described(run_python(program)) == (1, "no native extension")


# Forks, workers, affinity: equal bits, no hang -----------------------------------------------------------------------

# A million elements each; every process ends by itself if it hangs (SIGALRM kills even inside the OpenMP library).
WORK = """
import hashlib, os, signal, sys
import numpy as np
import fastloss as fl
from fastloss import _threads

rng = np.random.default_rng(0)
x, y = (rng.standard_normal((1024, 1024)).astype(np.float32) for _ in range(2))
labels = rng.integers(0, 1024, 1024)

def bits():
    signal.alarm(60)
    digest = hashlib.sha256()
    for value, grad in (fl.mse_loss(x, y, return_grad=True), fl.cross_entropy(x, labels, return_grad=True)):
        digest.update(value.tobytes() + grad.tobytes())
    signal.alarm(0)
    return digest.hexdigest()

def tasks():  # operating system threads of this process
    return len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 0

def worker(n):
    if n:
        fl.set_num_threads(n)
    return bits(), _threads.describe()
"""


@pytest.fixture
def run_work(run_python, tmp_path):
    """Run WORK and what follows (`first` precedes) as a file: a spawned worker imports its parent's main module."""

    def run(program: str, first: str = "", **environment: str) -> subprocess.CompletedProcess:
        path = tmp_path / "work.py"
        path.write_text(first + WORK + program)
        # NumPy's OpenBLAS ends its own threads around a fork: without any, those that we count are ours.
        result = run_python(str(path), OPENBLAS_NUM_THREADS="1", **environment)
        assert result.returncode == 0, result.stdout + result.stderr
        return result

    return run


def test_bits_do_not_depend_on_threads(run_work):
    run_work(
        """
expected = worker(1)[0]
for n in (2, 3, 7, 16):
    assert worker(n)[0] == expected, n
with fl.num_threads(2):
    assert bits() == expected
"""
    )


@openmp
@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_large_calls_start_threads_and_others_do_not(run_work):
    run_work(
        """
import threading
before = tasks()
fl.set_num_threads(1)
bits()
assert tasks() == before
fl.set_num_threads(3)
fl.mse_loss(x[0, :100], y[0, :100])
assert tasks() == before
bits()
assert tasks() == before + 2, (before, tasks())
"""
    )


FORK = """
fl.set_num_threads(NUMBER)
expected, before = bits(), (tasks(), _threads.describe())
for _ in range(3):
    child = os.fork()
    if child == 0:
        started = tasks()
        with fl.num_threads(4):
            ok = _threads.describe() == (1, SOURCE) and fl.get_num_threads() == 1
        ok = ok and bits() == expected and tasks() == started
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
assert bits() == expected
assert (tasks(), _threads.describe()) == before
"""


@pytest.mark.parametrize("number", ["None", "2"])
def test_fork(run_work, number):
    """A child is serial even where a number is set, and its parent keeps its threads."""
    source = "serial build" if BACKEND == "serial" else "forked child"
    run_work(FORK.replace("NUMBER", number).replace("SOURCE", repr(source)))


WORKERS = """
if __name__ == "__main__":
    import multiprocessing
    expected, before = bits(), _threads.describe()
    with multiprocessing.get_context(METHOD).Pool(2) as pool:
        for found, described in pool.map_async(worker, [EXPLICIT] * 2, chunksize=1).get(90):
            assert found == expected
            print(*described, sep="|")
    assert bits() == expected and _threads.describe() == before
"""


@threaded
@pytest.mark.parametrize(
    ("method", "explicit", "environment", "described"),
    [
        ("fork", 0, "", (1, "forked child")),
        ("fork", 2, "", (1, "forked child")),
        ("fork", 0, "2", (1, "forked child")),
        ("spawn", 0, "", (1, "multiprocessing worker")),
        ("spawn", 2, "", (2, "set_num_threads")),
        ("spawn", 0, "2", (min(2, _native.usable_cpus()), "FASTLOSS_NUM_THREADS")),
        ("forkserver", 0, "", (1, "multiprocessing worker")),
    ],
)
def test_multiprocessing_workers(run_work, method, explicit, environment, described):
    program = WORKERS.replace("METHOD", repr(method)).replace("EXPLICIT", str(explicit))
    result = run_work(program, FASTLOSS_NUM_THREADS=environment)
    assert result.stdout.split("\n") == ["|".join(map(str, described))] * 2 + [""]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks on this system")
def test_one_cpu_by_affinity(run_work):
    """As under `taskset -c 0`, set before anything is loaded; an explicit number goes above it."""
    pin = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})\n"
    result = run_work("assert fl.get_num_threads() == 1; print(bits(), worker(2)[0], worker(3)[0])", first=pin)
    free = run_work("print(bits())")
    assert result.stdout.split() == free.stdout.split() * 3


def test_python_threads_at_once(run_work):
    """Large calls from several Python threads, each with its own number."""
    run_work(
        """
from concurrent.futures import ThreadPoolExecutor

def call(n):
    with fl.num_threads(n):
        return bits()

expected = worker(1)[0]
signal.alarm(60)
signal.alarm = lambda seconds: None  # that one alarm is for all of them
with ThreadPoolExecutor(4) as pool:
    assert set(pool.map(call, [1, 2, 3, 4] * 3)) == {expected}
"""
    )
