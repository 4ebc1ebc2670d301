# SPDX-License-Identifier: BSD-3-Clause
"""CPUs that the process may use: affinity, and cgroup quotas read from mocked file systems."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import pytest

import fastloss as fl

_native = pytest.importorskip("fastloss._native", reason="the compiled extension is not installed")

linux_only = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks on this system")

V1_LINE = "30 23 0:26 {top} /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:13 - cgroup cgroup rw,cpu,cpuacct\n"
V2_LINE = "31 23 0:27 {top} /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
OTHER_LINES = (
    "23 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
    "29 23 0:25 / /sys/fs/cgroup/cpuset rw shared:12 - cgroup cgroup rw,cpuset\n"
    "32 23 0:31 / /run/odd rw - tmpfs\n"
    "no such line as this\n"
)


class Tree:
    """A mocked root: /proc/self/mountinfo, /proc/self/cgroup and the files of groups."""

    def __init__(self, root: Path):
        self.root = root
        self.write("proc/self/mountinfo", OTHER_LINES)
        self.write("proc/self/cgroup", "")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def append(self, name: str, text: str) -> None:
        self.write(name, (self.root / name).read_text() + text)

    def v1(self, group: str, top: str = "/") -> None:
        self.append("proc/self/mountinfo", V1_LINE.format(top=top))
        self.append("proc/self/cgroup", f"5:cpuset:/elsewhere\n4:cpuacct,cpu:{group}\n1:name=systemd:/x\n")

    def v2(self, group: str, top: str = "/") -> None:
        self.append("proc/self/mountinfo", V2_LINE.format(top=top))
        self.append("proc/self/cgroup", f"0::{group}\n")

    def limit_v1(self, group: str, quota: object, period: object = 100000) -> None:
        self.write(f"sys/fs/cgroup/cpu,cpuacct/{group}/cpu.cfs_quota_us", f"{quota}\n")
        self.write(f"sys/fs/cgroup/cpu,cpuacct/{group}/cpu.cfs_period_us", f"{period}\n")

    def limit_v2(self, group: str, text: str) -> None:
        self.write(f"sys/fs/cgroup/{group}/cpu.max", text)

    def cpus(self) -> float:
        return _native.cgroup_cpus(str(self.root))


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("150000 100000\n", 1.5),
        ("50000 100000\n", 0.5),
        ("800000 200000", 4.0),
        ("250000\n", 2.5),  # the kernel accepts a missing period when written; its default is 100 ms
        ("max 100000\n", 0.0),
        ("max\n", 0.0),
        ("", 0.0),
        ("\n", 0.0),
        ("-1 100000\n", 0.0),
        ("0 100000\n", 0.0),
        ("100000 0\n", 0.0),
        ("100000 -5\n", 0.0),
        ("many 100000\n", 0.0),
    ],
)
def test_v2_file(tree, text, cpus):
    tree.v2("/app")
    tree.limit_v2("app", text)
    assert tree.cpus() == cpus


@pytest.mark.parametrize(
    ("quota", "period", "cpus"),
    [
        (300000, 100000, 3.0),
        (25000, 50000, 0.5),
        (-1, 100000, 0.0),
        (0, 100000, 0.0),
        (100000, 0, 0.0),
        ("", 100000, 0.0),
        ("max", 100000, 0.0),
        (100000, "soon", 0.0),
    ],
)
def test_v1_files(tree, quota, period, cpus):
    tree.v1("/app")
    tree.limit_v1("app", quota, period)
    assert tree.cpus() == cpus


def test_v1_without_its_period(tree):
    tree.v1("/app")
    tree.write("sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_quota_us", "200000\n")
    assert tree.cpus() == 0


@pytest.mark.parametrize("tight", ["", "a", "a/b", "a/b/c"])
def test_the_tightest_group_binds_v2(tree, tight):
    tree.v2("/a/b/c")
    for group in ("", "a", "a/b", "a/b/c"):
        tree.limit_v2(group, "max 100000" if group == "a" else "700000 100000")
    tree.limit_v2(tight, "200000 100000")
    assert tree.cpus() == 2


@pytest.mark.parametrize("tight", ["", "a", "a/b", "a/b/c"])
def test_the_tightest_group_binds_v1(tree, tight):
    tree.v1("/a/b/c")
    for group in ("", "a", "a/b", "a/b/c"):
        tree.limit_v1(group, -1 if group == "a" else 700000)
    tree.limit_v1(tight, 200000)
    assert tree.cpus() == 2


def test_groups_beside_ours_do_not_count(tree):
    tree.v2("/a/b")
    tree.limit_v2("a/b", "400000 100000")
    tree.limit_v2("a/other", "100000 100000")
    tree.limit_v2("a/b/below", "100000 100000")
    assert tree.cpus() == 4


def test_groups_without_files_are_passed_over(tree):
    tree.v2("/a/b/c/d")
    tree.limit_v2("a", "300000 100000")
    assert tree.cpus() == 3


def test_container_whose_mount_shows_its_own_group(tree):
    tree.v1("/docker/0123", top="/docker/0123")
    tree.limit_v1("", 150000)
    tree.limit_v1("docker/0123", 100000)  # not where the mount has it
    assert tree.cpus() == 1.5


def test_group_below_the_one_that_the_mount_shows(tree):
    tree.v2("/docker/0123/job", top="/docker/0123")
    tree.limit_v2("", "800000 100000")
    tree.limit_v2("job", "600000 100000")
    assert tree.cpus() == 6


@pytest.mark.parametrize("group", ["/docker/01234", "/other", "/..", "/../sibling"])
def test_group_outside_the_mount_falls_back_to_its_top(tree, group):
    tree.v2(group, top="/docker/0123" if ".." not in group else "/")
    tree.limit_v2("", "500000 100000")
    tree.limit_v2("sibling", "100000 100000")
    assert tree.cpus() == 5


def test_both_versions_at_once(tree):
    tree.v1("/a")
    tree.v2("/b")
    tree.limit_v1("a", 300000)
    tree.limit_v2("b", "400000 100000")
    assert tree.cpus() == 3
    tree.limit_v2("b", "200000 100000")
    assert tree.cpus() == 2


def test_v1_cpuset_is_not_cpu(tree):
    tree.append("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpuset,cpuacct\n")
    tree.append("proc/self/cgroup", "4:cpu:/a\n")
    tree.limit_v1("a", 100000)
    assert tree.cpus() == 0


def test_escaped_blank_in_the_mount_point(tree):
    tree.append("proc/self/mountinfo", "31 23 0:27 / /sys/my\\040groups rw - cgroup2 cgroup2 rw\n")
    tree.append("proc/self/cgroup", "0::/a:b\n")
    tree.write("sys/my groups/a:b/cpu.max", "100000 50000\n")
    assert tree.cpus() == 2


def test_long_lines_and_paths_are_harmless(tree):
    layers = ":".join(f"/layers/{i:040}" for i in range(400))
    tree.append("proc/self/mountinfo", f"40 1 0:40 / / rw - overlay overlay rw,lowerdir={layers}\n")
    tree.v2("/" + "x" * 9000)
    tree.limit_v2("", "200000 100000")
    assert tree.cpus() == 0  # longer than a path can be: no such group
    tree.write("proc/self/cgroup", "0::/a\n")
    assert tree.cpus() == 2


@pytest.mark.parametrize("missing", ["proc/self/mountinfo", "proc/self/cgroup"])
def test_missing_files(tree, missing):
    tree.v2("/a")
    tree.limit_v2("a", "200000 100000")
    (tree.root / missing).unlink()
    assert tree.cpus() == 0


def test_missing_root(tmp_path):
    assert _native.cgroup_cpus(str(tmp_path / "nothing")) == 0


@linux_only
def test_affinity_is_the_mask_of_the_process():
    assert _native.affinity_cpus() == len(os.sched_getaffinity(0))


def test_usable_is_the_tighter_of_both():
    quota = _native.cgroup_cpus("") or math.inf
    assert quota > 0
    assert _native.usable_cpus() == max(1, min(_native.affinity_cpus(), math.ceil(min(quota, 1e9))))


USABLE = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from fastloss import _native
print(_native.affinity_cpus(), _native.usable_cpus())
"""


@linux_only
def test_pinned_to_one_cpu(run_python):
    result = run_python(USABLE)
    assert result.stdout.split() == ["1", "1"], result.stderr


@linux_only
@pytest.mark.parametrize("setting", ["OMP_PROC_BIND", "OMP_PLACES"])
def test_threads_bound_by_openmp_do_not_hide_the_other_cpus(run_python, setting):
    """OpenMP then pins the importing thread to one CPU: its mask is no longer that of the process."""
    if _native.parallel_backend() != "openmp":
        pytest.skip(f"OpenMP, whose binding of threads this tests, is not in this {_native.parallel_backend()} build")
    expected = str(len(os.sched_getaffinity(0)))
    value = {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"}[setting]
    result = run_python("from fastloss import _native; print(_native.affinity_cpus())", **{setting: value})
    assert result.stdout.strip() == expected, result.stderr


def _processor_flags() -> set[str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":")[1].split())
    return set()


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="reads /proc/cpuinfo of x86-64")
def test_isas_are_those_that_the_kernel_reports():
    """Linux clears a flag whose registers it does not save, as our test of XCR0 does."""
    flags = _processor_flags()
    avx2 = set("avx avx2 fma f16c bmi1 bmi2 abm movbe".split()) <= flags
    avx512 = avx2 and set("avx512f avx512bw avx512cd avx512dq avx512vl".split()) <= flags
    supported = {name: row["supported"] for name, row in fl.isas().items()}
    assert supported == {"baseline": True, "avx2": avx2, "avx512": avx512}
