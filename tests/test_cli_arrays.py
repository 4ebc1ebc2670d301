# SPDX-License-Identifier: BSD-3-Clause
"""Files that are no arrays, or not such as they say: one clear line. (Hostile ones: test_cli_broken.py.)"""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fastloss.cli import loading

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
DIGITS, DIABETES = str(EXAMPLES / "digits.npz"), str(EXAMPLES / "diabetes.npz")


def test_object_arrays_are_refused_and_never_unpickled(refused, npz, npy, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "went_off",))

    objects = np.array([Bomb(), 1], dtype=object)
    assert "'input'" in refused("eval", "mse_loss", npz(input=objects, target=[1.0, 2.0]))
    assert "x.npy" in refused("eval", "mse_loss", DIABETES, "--input", npy("x.npy", objects))
    pickled = tmp_path / "p.npz"
    pickled.write_bytes(objects.dumps())
    assert "is not a .npz file" in refused("eval", "mse_loss", pickled)
    assert not (tmp_path / "went_off").exists()


def test_files_that_are_no_arrays(refused, npy, tmp_path):
    text = tmp_path / "text.npz"
    text.write_text("1,2\n3,4\n")
    empty = tmp_path / "empty.npz"
    empty.touch()
    for path in (text, empty):
        assert f"{path} is not a .npz file" in refused("eval", "mse_loss", path)
        assert f"{path} is not a .npy file" in refused("eval", "mse_loss", DIABETES, "--input", path)
    assert "No such file" in refused("eval", "mse_loss", tmp_path / "absent.npz")
    assert "No such file" in refused("eval", "mse_loss", DIABETES, "--input", tmp_path / "absent.npy")
    assert "directory" in refused("eval", "mse_loss", tmp_path)
    assert "directory" in refused("eval", "mse_loss", DIABETES, "--input", tmp_path)
    assert "but a .npy file" in refused("eval", "mse_loss", npy("a.npy", np.zeros(3)))
    assert "but a .npz file" in refused("eval", "mse_loss", "--input", DIABETES)
    refused("eval", "mse_loss", "a\0b.npz")
    refused("eval", "mse_loss", tmp_path / "two\nlines.npz")
    refused("eval", "mse_loss", "")


def test_truncated_and_damaged_npz(run, refused, tmp_path):
    """Cut anywhere, or with a byte changed: a refusal, or (where the byte was not needed) the right value."""
    whole = Path(DIABETES).read_bytes()
    path = tmp_path / "cut.npz"
    for length in [2, 10, 100, len(whole) // 2, len(whole) - 30, len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused("eval", "mse_loss", path)
    for position in range(0, len(whole), 97):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        status, out, err = run("eval", "mse_loss", path, "--json")
        if status == 0:
            assert json.loads(out)["value"] == pytest.approx(3420.357711638813, rel=1e-12)
        else:
            assert (status, out, err.count("\n"), err[:10]) == (2, "", 1, "fastloss: ")


def npy_bytes(header, body=b"\0" * 64):
    header = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (9,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-8,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999999,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': 'abc'}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4)}",
        "{'descr': '<q99', 'fortran_order': False, 'shape': (8,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (8,)}",
        "{'descr': '<f8', 'shape': (8,)}",
        "[1, 2",
        "__import__('os').getcwd()",
        "",
        "(" * 5000,
    ],
)
def test_headers_that_lie(refused, npy, tmp_path, header):
    content = npy_bytes(header)
    path = tmp_path / "liar.npy"
    path.write_bytes(content)
    assert "liar.npy" in refused("eval", "mse_loss", "--input", path, "--target", "0")
    archive = tmp_path / "liar.npz"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("input.npy", content)
    assert "'input'" in refused("eval", "mse_loss", archive, "--target", "0")


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="needs /dev/fd")
def test_pipes_are_refused(refused):
    read, write = os.pipe()
    with os.fdopen(read), os.fdopen(write, "wb") as end:
        end.write(b"PK\3\4" * 9)
        end.close()
        assert "is a pipe" in refused("eval", "mse_loss", f"/dev/fd/{read}")


def test_member_that_is_no_array(refused, tmp_path):
    path = tmp_path / "odd.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("input", "hello")
        file.writestr("target.npy", "hello")
    assert "is not an array" in refused("eval", "mse_loss", path)


def test_npy_is_mapped_and_not_read(npy):
    array = loading.load_npy(npy("x.npy", np.zeros((3, 0, 2))), "input")
    assert array.shape == (3, 0, 2)
    array = loading.load_npy(npy("y.npy", np.asfortranarray(np.ones((3, 4)))), "input")
    assert isinstance(array, np.memmap) and not array.flags.writeable
    assert loading.load_npy(npy("z.npy", np.float64(2)), "input") == 2
