"""Foreign weights files: numbers come out, code stays in."""

from __future__ import annotations

import pickle
import pickletools
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from univs.errors import UserError
from univs.models.weight_files import read_tensors

ARRAYS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a.index": np.arange(4, dtype=np.int64),
    "scalar": np.float64(2.5),
    "big.endian": np.array([1, 2], dtype=">f4"),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "x.pkl"
    content = {"model": OrderedDict(ARRAYS), "__author__": "somebody", "iteration": 3}
    path.write_bytes(pickle.dumps(content, protocol))
    tensors = read_tensors(path)
    assert tensors.keys() == {"a.weight", "a.index", "big.endian"}
    assert torch.equal(tensors["a.weight"], torch.arange(6.0).view(2, 3))
    assert tensors["a.index"].dtype == torch.int64 and tensors["big.endian"].tolist() == [1, 2]


def test_arrays_that_python_2_wrote(tmp_path: Path) -> None:
    # numpy.core and byte strings, as the files that detectron2 publishes have them
    path = tmp_path / "old.pkl"
    array = np.arange(3, dtype=np.float32)
    old = (
        b"\x80\x02}U\x05modelcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x03\x85"
        b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x0c"
        + array.tobytes()
        + b"tbs."
    )
    pickletools.dis(old, out=(tmp_path / "dis.txt").open("w"))
    path.write_bytes(old.replace(b"U\x05model", b"U\x05a.bcd"))
    assert read_tensors(path)["a.bcd"].tolist() == [0, 1, 2]


class Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_code_is_not_run(tmp_path: Path, suffix: str) -> None:
    import os
    import subprocess

    mark = tmp_path / "mark"
    bombs = {
        "system": Bomb(os.system, f"touch {mark}"),
        "eval": Bomb(eval, f"open({str(mark)!r}, 'w')"),
        "open": Bomb(open, str(mark), "w"),
        "call": Bomb(subprocess.call, ["touch", str(mark)]),
        "getattr": Bomb(getattr, "a", "format"),
        "load": Bomb(np.load, str(mark)),
        "codec": Bomb(__import__("_codecs").decode, b"cos", "rot13"),
    }
    for name, bomb in bombs.items():
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(pickle.dumps({"model": {**ARRAYS, "x": bomb}}, 2))
        with pytest.raises(UserError) as caught:
            read_tensors(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)
        assert suffix == ".pth" or "which is not run" in str(caught.value)
        assert not mark.exists()


def test_what_is_admitted_cannot_be_bent(tmp_path: Path) -> None:
    objects = tmp_path / "objects.pkl"
    objects.write_bytes(pickle.dumps({"x": np.array(["a", None], dtype=object)}, 2))
    with pytest.raises(UserError, match="x holds object and not numbers"):
        read_tensors(objects)
    named = tmp_path / "dotted.pkl"
    named.write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.")
    with pytest.raises(UserError, match="which is not run"):
        read_tensors(named)
    huge = tmp_path / "huge.pkl"
    huge.write_bytes(pickle.dumps(Bomb(np.ndarray, (2**50,)), 2))
    with pytest.raises(UserError, match="not a whole pickle of arrays"):
        read_tensors(huge)


def test_other_formats(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    torch.save({"model": {"a": torch.ones(2)}, "optimizer": {}, "iteration": 3}, tmp_path / "x.pth")
    torch.save({"a": torch.ones(2), "step": 4}, tmp_path / "y.pth")
    for name in ("x.safetensors", "x.pth", "y.pth"):
        tensors = read_tensors(tmp_path / name)
        assert tensors.keys() == {"a"} and tensors["a"].tolist() == [1, 1]
    torch.save(torch.ones(3), tmp_path / "bare.pth")
    assert read_tensors(tmp_path / "bare.pth")[""].shape == (3,)
