# SPDX-License-Identifier: BSD-3-Clause
"""Broken and hostile files, in whatever place a file can stand: one clear line, status 2, and little memory."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

LARGEST_PEAK = 256 << 20
# Runs the commands of stdin one by one, and tells of each: status, stdout, stderr, the peak of memory so far.
CHILD = """
import contextlib, io, json, resource, sys
from fastloss import cli
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
for argv in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main(argv)
    with open("/proc/self/status") as lines:
        peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    print(json.dumps([status, out.getvalue(), err.getvalue(), peak]))
"""
GIGABYTE = 1 << 30


def npy(shape, descr="<f8", fortran=False, body=b"", version=1):
    """Bytes of a .npy file with any header."""
    text = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}}}\n".encode()
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + body


def zipped(path, **members):
    """A .npz file of such bytes, or of a bomb: (first bytes, number of megabytes of zeros behind them)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, content in members.items():
            if isinstance(content, tuple):
                archive.writestr(f"{key}.npy", b"")
            else:
                archive.writestr(f"{key}.npy", content if isinstance(content, bytes) else array_bytes(content))
    for key, content in members.items():
        if isinstance(content, tuple):
            bomb(path, f"{key}.npy", *content)
    return str(path)


def array_bytes(array):
    array = np.asarray(array)
    return npy(array.shape, array.dtype.str, body=array.tobytes())


def bomb(path, name, start, megabytes):
    """Write the archive of one member anew, whose packed bytes say the same megabyte of zeros again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    one = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed, size = head + one * megabytes + packer.flush(), len(start) + (megabytes << 20)
    with zipfile.ZipFile(path) as archive:
        others = {i.filename: archive.read(i) for i in archive.infolist() if i.filename != name}
    with zipfile.ZipFile(path, "w") as archive:
        for other, content in others.items():
            archive.writestr(other, content)
    content = path.read_bytes()
    end = content.rindex(b"PK\5\6")
    directory_at, number = struct.unpack_from("<I", content, end + 16)[0], len(others)
    fields = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(packed), min(size, 0xFFFFFFFF), len(name), 0)
    local = b"PK\3\4" + fields + name.encode() + packed
    entry = b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, directory_at) + name.encode()
    directory = content[directory_at:end] + entry
    tail = struct.pack("<HHHHIIH", 0, 0, number + 1, number + 1, len(directory), directory_at + len(local), 0)
    path.write_bytes(content[:directory_at] + local + directory + b"PK\5\6" + tail)


def corpus(folder):
    """Name -> (arguments after `fastloss eval`, words of the message)."""
    x, zeros = np.arange(6.0), np.zeros(6)
    good = zipped(folder / "good.npz", input=x, target=zeros)
    whole = Path(good).read_bytes()

    def file(name, content):
        (folder / name).write_bytes(content)
        return str(folder / name)

    class Evil:
        def __reduce__(self):
            return Path.touch, (folder / "went_off",)

    def objects(name):
        np.save(folder / name, np.array([Evil(), 1], dtype=object), allow_pickle=True)
        return folder / name

    os.mkfifo(folder / "pipe.npz")
    os.symlink(folder / "loop.npz", folder / "loop.npz")
    os.symlink(folder / "nowhere.npy", folder / "dangling.npy")
    (folder / "folder.npz").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(folder)  # names of sockets are short
        listener.bind("socket.npz")
    sparse = folder / "sparse.npy"  # 4 GB that would be read as one header
    with open(sparse, "wb") as stream:
        stream.write(b"\x93NUMPY\2\0" + (4 * GIGABYTE - 100).to_bytes(4, "little"))
        stream.truncate(4 * GIGABYTE)
    zero, pickled = ["--target", "0"], objects("objects.npy").read_bytes()
    files = {  # given as FILE
        "empty": (file("empty.npz", b""), "is not a .npz file"),
        "text": (file("text.npz", b"a,b\n1,2\n"), "is not a .npz file"),
        "directory": (folder / "folder.npz", "directory"),
        "pipe": (folder / "pipe.npz", "is a pipe"),
        "socket": (folder / "socket.npz", "is a device or socket"),
        "device": ("/dev/zero", "is a device or socket"),
        "loop": (folder / "loop.npz", "symbolic links"),
        "absent": (folder / "absent.npz", "No such file"),
        "npy as npz": (file("a.npz", array_bytes(x)), "but a .npy file"),
        "pickle": (file("pickle.npz", pickled[pickled.index(b"\n") + 1 :]), "is not a .npz file"),
        "only the first bytes": (file("start.npz", b"PK\3\4"), "cannot be read"),
        "half": (file("half.npz", whole[: len(whole) // 2]), "cannot be read"),
        "without its last byte": (file("last.npz", whole[:-1]), "cannot be read"),
        "objects inside": (zipped(folder / "o.npz", input=pickled, target=zeros), "never unpickled"),
        "member is text": (zipped(folder / "m.npz", input=b"hello", target=zeros), "not an array"),
        "member is empty": (zipped(folder / "e.npz", input=b"", target=zeros), "not an array"),
        "member is cut": (zipped(folder / "c.npz", input=array_bytes(x)[:-9], target=zeros), "declares 48 bytes"),
        "header is cut": (zipped(folder / "h.npz", input=array_bytes(x)[:30], target=zeros), "too early"),
        "longer than said": (zipped(folder / "l.npz", input=npy((5,), body=x.tobytes()), target=zeros), "40 bytes"),
        "says terabytes": (zipped(folder / "t.npz", input=npy((1 << 40,)), target=zeros), "declares"),
        "says more than numbers": (zipped(folder / "n.npz", input=npy((1 << 70, 1 << 70)), target=zeros), "declares"),
        "negative": (zipped(folder / "g.npz", input=npy((-6,), body=x.tobytes()), target=zeros), "shape (-6,)"),
        "bomb as header": (
            zipped(folder / "b1.npz", input=(b"\x93NUMPY\2\0\xff\xff\xff\xff", 3000), target=zeros),
            "its header has 4294967295 bytes",
        ),
        "bomb as one sample": (
            zipped(folder / "b2.npz", input=(npy((1, 3000 << 17)), 3000), target=np.zeros(1)),
            "unpacks",
        ),
        "bomb in Fortran order": (
            zipped(folder / "b3.npz", input=(npy((1000, 1 << 17), fortran=True), 1000), target=np.zeros(1)),
            "unpacks",
        ),
        "bomb as weight": (zipped(folder / "b4.npz", input=x, target=zeros, weight=(npy((900 << 17,)), 900)), "weight"),
        "bomb as option": (
            zipped(folder / "b5.npz", input=x, target=zeros, mask=(npy((), f"|S{900 << 20}"), 900)),
            "",
        ),
        "bomb that says little": (zipped(folder / "b6.npz", input=(npy((6,)), 900), target=zeros), "declares 48 bytes"),
        "complex": (zipped(folder / "z.npz", input=x.astype(complex), target=zeros), "complex128"),
        "strings": (zipped(folder / "s.npz", input=np.array(["a"] * 6), target=zeros), "input"),
        "dates": (zipped(folder / "d.npz", input=x.astype("M8[s]"), target=zeros), "input"),
        "records": (zipped(folder / "r.npz", input=np.zeros(6, "f8,i4"), target=zeros), "input"),
        "void": (zipped(folder / "v.npz", input=np.zeros(6, "V16"), target=zeros), "input"),
    }
    arrays = {  # given as --input
        "empty array": (file("empty.npy", b""), "is not a .npy file"),
        "array is a directory": (folder / "folder.npz", "directory"),
        "array is a pipe": (folder / "pipe.npz", "is a pipe"),
        "array is a loop": (folder / "loop.npz", "symbolic links"),
        "dangling link": (folder / "dangling.npy", "No such file"),
        "array of objects": (folder / "objects.npy", "cannot be read as an array"),
        "npz as npy": (good, "but a .npz file"),
        "huge header": (sparse, "its header has 4294967196 bytes"),
        "long header": (file("long.npy", npy((6,))[:8] + b"\xff\xff" + b"(" * 65535), "cannot be read as an array"),
        "array says terabytes": (file("tera.npy", npy((1 << 40,))), "cannot be read as an array"),
        "array is cut": (file("cut.npy", array_bytes(x)[:-9]), "cannot be read as an array"),
        "no such version": (file("v9.npy", npy((6,), version=9)), "cannot be read as an array"),
        "no such type": (file("type.npy", npy((6,), "<q77", body=bytes(48))), "cannot be read as an array"),
    }
    found = {name: (["mse_loss", str(path)], words) for name, (path, words) in files.items()}
    found |= {name: (["mse_loss", "--input", str(path), *zero], words) for name, (path, words) in arrays.items()}
    huge_text = zipped(folder / "k.npz", input=x, target=zeros, key=(npy((6,), f"|S{100 << 20}"), 600))
    found |= {
        "bomb as key": (["mse_loss", huge_text, "--group-by", "key"], "integers or text"),
        "key is a pipe": (["mse_loss", good, "--group-by", str(folder / "pipe.npz") + ".npy"], "No such file"),
        "key of objects": (["mse_loss", good, "--group-by", str(folder / "objects.npy")], "cannot be read as an array"),
        "other is cut": (["mse_loss", good, "--compare", str(folder / "half.npz")], "cannot be read"),
        "other is a pipe": (["mse_loss", good, "--compare", str(folder / "pipe.npz")], "is a pipe"),
        "other is a bomb": (["mse_loss", good, "--compare", str(folder / "b3.npz")], "target has shape (1,)"),
        "other's target is a bomb": (
            ["mse_loss", good, "--compare", zipped(folder / "b7.npz", input=x, target=(npy((3000 << 17,)), 3000))],
            "target has shape (393216000,)",
        ),
    }  # fmt: skip
    return found


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads VmHWM")
def test_corpus(tmp_path):
    cases = corpus(tmp_path)
    os.chdir(Path(__file__).parent)
    stdin = json.dumps([["eval", *argv] for argv, _ in cases.values()])
    done = subprocess.run([sys.executable, "-c", CHILD], input=stdin, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    wrong = []
    for (name, (_, words)), line in zip(cases.items(), done.stdout.splitlines(), strict=True):
        status, out, err, peak = json.loads(line)
        one_line = err.startswith("fastloss: ") and err.count("\n") == 1 and len(err) < 1000
        if not (status == 2 and out == "" and one_line and words in err and peak < LARGEST_PEAK):
            wrong.append(f"{name}: status {status}, peak {peak >> 20} MB, {out[:100]!r} {err[:300]!r}")
    assert not wrong, "\n".join(wrong)
    assert not (tmp_path / "went_off").exists()


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads VmHWM")
def test_bomb_that_is_honest_data_is_read_in_little_memory(tmp_path):
    """Zeros are data too, where samples come one after the other; only the checksum is wrong, which is not ours."""
    path = zipped(tmp_path / "x.npz", input=(npy((300, 1 << 17)), 300), target=np.zeros(1))
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=json.dumps([["eval", "mse_loss", path, "--target", "1"]]),
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    status, _, err, peak = json.loads(done.stdout)
    assert status == 2 and "Bad CRC-32" in err and peak < LARGEST_PEAK
