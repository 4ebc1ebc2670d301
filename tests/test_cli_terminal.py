# SPDX-License-Identifier: BSD-3-Clause
"""The command on a terminal, a pseudo-terminal here: progress, Ctrl-C, signals, and what they leave behind."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import numpy as np
import pytest

from fastloss import cli
from fastloss.cli.progress import plain_lines, short

pty = pytest.importorskip("pty")

# The command as the leader of a session whose terminal it is, so that a typed Ctrl-C reaches it.
LEADER = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
if sys.argv[1] == "without rich":
    sys.modules["rich"] = sys.modules["rich.console"] = None
from fastloss import cli
sys.exit(cli.main(sys.argv[2:]))
"""


class Terminal:
    """A command on a pseudo-terminal, and all that it wrote to it."""

    def __init__(self, *argv, rich="with rich", stdout=None, **environment):
        self.main, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 110, 0, 0))
        self.before = termios.tcgetattr(other)
        self.other, self.shown = other, b""
        words = [sys.executable, "-c", LEADER, rich, *map(str, argv)]
        env = {**os.environ, "TERM": "xterm-256color", **environment}
        self.child = subprocess.Popen(words, stdin=other, stdout=stdout or other, stderr=other, env=env)

    def read(self, seconds):
        if select.select([self.main], [], [], seconds)[0]:
            self.shown += os.read(self.main, 65536)

    def wait_for(self, pattern, seconds=60):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.shown) and self.child.poll() is None and time.monotonic() < end:
            self.read(0.1)
        assert re.search(pattern, self.shown), self.shown

    def end(self, seconds=60):
        """The exit status; the terminal's attributes must be those of before."""
        end = time.monotonic() + seconds
        while self.child.poll() is None and time.monotonic() < end:
            self.read(0.05)
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
            pytest.fail(f"it does not end: {self.shown!r}")
        while select.select([self.main], [], [], 0)[0]:
            self.read(0)
        assert termios.tcgetattr(self.other) == self.before
        os.close(self.other)
        os.close(self.main)
        return self.child.returncode

    def cursor_shows(self):
        """Whether the last that was said of the cursor, if anything, is that it shall show."""
        said = re.findall(rb"\x1b\[\?25([lh])", self.shown)
        return not said or said[-1] == b"h"


@pytest.fixture
def endless(tmp_path):
    """Arguments of an evaluation that takes a minute and more: a sparse file of 2^36 zeros, long samples."""
    path = tmp_path / "input.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (2**20, 2**16))
    return "log_cosh_loss", "--input", path, "--target", "1"


@pytest.mark.parametrize("rich", ["with rich", "without rich"])
def test_ctrl_c_leaves_nothing_behind(endless, rich, tmp_path):
    if rich == "with rich":
        pytest.importorskip("rich")
    out = tmp_path / "losses.npy"
    out.write_bytes(b"of before")
    terminal = Terminal("eval", *endless, "--per-sample", out, rich=rich)
    terminal.wait_for(rb"samples, ")  # the progress has begun
    assert [p for p in os.listdir(tmp_path) if p.endswith(".part")]
    os.write(terminal.main, b"\x03")  # as typed
    assert terminal.end() == 130
    assert terminal.cursor_shows()
    assert b"Traceback" not in terminal.shown and b"fastloss:" not in terminal.shown
    assert sorted(os.listdir(tmp_path)) == ["input.npy", "losses.npy"] and out.read_bytes() == b"of before"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_clean_up_too(endless, number, tmp_path):
    # The suite itself may run under nohup: what is ignored there stays ignored in the command, as it should.
    heard = f"import signal; signal.signal({int(number)}, signal.SIG_DFL); from fastloss.cli import main; exit(main())"
    argv = [sys.executable, "-c", heard, "eval", *map(str, endless), "--per-sample", str(tmp_path / "losses.npy")]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as child:
        end = time.monotonic() + 60
        while len(os.listdir(tmp_path)) == 1 and time.monotonic() < end:
            time.sleep(0.02)
        child.send_signal(number)
        assert child.wait(60) == 128 + number and child.stderr.read() == b""
    assert os.listdir(tmp_path) == ["input.npy"]


def test_error_leaves_no_partial_file(tmp_path, capsys):
    target = np.zeros(3000, int)
    target[2999] = 7
    np.savez(tmp_path / "x.npz", input=np.zeros((3000, 5, 700), np.float16), target=target[:, None].repeat(700, 1))
    words = ["--per-sample", tmp_path / "losses.npy", "--plot", tmp_path / "losses.png"]
    assert cli.main(["eval", "cross_entropy", *map(str, [tmp_path / "x.npz", *words])]) == 2
    assert "target[2999, 0] = 7 is out of range for 5 classes" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["x.npz"]


def small(tmp_path):
    np.savez(tmp_path / "x.npz", input=np.ones((40, 3)), target=np.zeros((40, 3)))
    return "mse_loss", tmp_path / "x.npz"


def test_bar_shows_rates_and_goes_away(tmp_path):
    pytest.importorskip("rich")
    terminal = Terminal("eval", *small(tmp_path), "--json", stdout=subprocess.PIPE)
    assert terminal.end() == 0
    assert json.loads(terminal.child.communicate()[0])["n"] == 40
    assert b"40 samples" in terminal.shown and terminal.cursor_shows()
    assert terminal.shown.rstrip(b"\r\n").endswith(b"\x1b[2K")  # the bar's line is erased


@pytest.mark.parametrize(
    ("words", "rich", "environment"),
    [
        (["--quiet"], "with rich", {}),
        ([], "without rich", {}),  # done before the first line would come
        ([], "with rich", {"TERM": "dumb"}),
    ],
)
def test_nothing_of_progress_where_none_is_wanted(tmp_path, words, rich, environment):
    terminal = Terminal("eval", *small(tmp_path), "--json", *words, rich=rich, stdout=subprocess.PIPE, **environment)
    assert (terminal.end(), terminal.shown) == (0, b"")
    assert json.loads(terminal.child.communicate()[0])["n"] == 40


def test_nothing_of_progress_in_a_pipe(tmp_path, capsys):
    assert cli.main(["eval", *map(str, small(tmp_path))]) == 0
    assert capsys.readouterr().err == ""


def test_plain_lines():
    stream, now = io.StringIO(), [100.0]
    show = plain_lines(stream, lambda: now[0])
    for k in range(1, 9):  # a megabyte and a thousand samples per second
        now[0] = 100.0 + k
        show("mse_loss", 1000 * k, 1_000_000 * k, 10_000_000)
    now[0] = 111.0
    show("bootstrap", 500, 0, 0)
    assert stream.getvalue().splitlines() == [
        "mse_loss: 20%, 2k samples, 1k/s, 1 MB/s, 8 s left",
        "mse_loss: 40%, 4k samples, 1k/s, 1 MB/s, 6 s left",
        "mse_loss: 60%, 6k samples, 1k/s, 1 MB/s, 4 s left",
        "mse_loss: 80%, 8k samples, 1k/s, 1 MB/s, 2 s left",
        "bootstrap: 500 samples",
    ]


def test_short_numbers():
    assert [short(n) for n in (0, 7, 999, 999.7, 1234, 45_600_000, 7e12)] == [
        "0",
        "7",
        "999",
        "1k",
        "1.23k",
        "45.6M",
        "7T",
    ]
