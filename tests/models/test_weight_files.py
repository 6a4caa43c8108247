"""Foreign weights files: numbers come out, code stays in."""

from __future__ import annotations

import argparse
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from univs.errors import UserError
from univs.models.weight_files import check_numbers, fill_by_name, read_tensors

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


TENSORS = {"sem_seg_head.predictor.query_feat.weight": torch.ones(2), "backbone.x": torch.zeros(1)}
WRAPPERS = ("module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.model.")


def wrapped(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in TENSORS.items()}


@pytest.mark.parametrize(
    "content",
    [
        *map(wrapped, WRAPPERS),
        {"state_dict": wrapped("model.") | {"criterion.weight": torch.ones(1)}},
        {"model_state_dict": wrapped("module.")},
        {"state_dict": {"model": wrapped("student.")}},
        {"ema": TENSORS, "epoch": 3},
        {"model": TENSORS, "ema": {"sem_seg_head.other": torch.ones(1)}},
        {"model": {}, "state_dict": TENSORS},
        wrapped("student.") | wrapped("teacher."),
        {"sem_seg_head._orig_mod.predictor.query_feat.weight": torch.ones(2), "backbone.module.x": torch.zeros(1)},
    ],
)
def test_names_lose_what_wraps_them(tmp_path: Path, content: dict[str, Any]) -> None:
    torch.save(content, tmp_path / "x.pth")
    found = read_tensors(tmp_path / "x.pth")
    found.pop("criterion.weight", None)
    assert found.keys() == TENSORS.keys()
    assert found["sem_seg_head.predictor.query_feat.weight"].tolist() == [1, 1]


def test_numbers_of_numpy_in_a_checkpoint_are_plain(tmp_path: Path) -> None:
    scalars = [kind(1) for kind in (np.float64, np.float32, np.float16, np.int64, np.int32, np.uint8, np.bool_)]
    for new in (True, False):
        torch.save(
            {"model": {"a": torch.ones(2)}, "best": scalars, "curve": np.arange(3.0)},
            tmp_path / "x.pth",
            _use_new_zipfile_serialization=new,
        )
        assert read_tensors(tmp_path / "x.pth")["a"].tolist() == [1, 1]
    old = (tmp_path / "x.pth").read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in old  # as numpy 1 wrote it
    (tmp_path / "x.pth").write_bytes(old)
    assert read_tensors(tmp_path / "x.pth")["a"].tolist() == [1, 1]


def test_why_a_checkpoint_cannot_be_read(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "whole.pth")
    torch.save(TENSORS, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    torch.save({"model": TENSORS, "args": argparse.Namespace()}, tmp_path / "args.pth")
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        archive.writestr("a.txt", "a")
    cases = {
        "args.pth": "asks for argparse.Namespace, which is not run",
        "other.pth": "a zip archive of other files",
        "cut.pth": "is cut off",
        "oldcut.pth": "damaged or cut off",
        "noise.pth": "damaged or cut off",
        "empty.pth": "is empty: the download broke off",
        "page.pth": "is a web page, not a checkpoint",
        "cut.safetensors": "not a whole safetensors file.*fetch it again",
        "page.safetensors": "is a web page",
        "empty.pkl": "is empty",
    }
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:-40])
    (tmp_path / "oldcut.pth").write_bytes((tmp_path / "old.pth").read_bytes()[:-4])
    (tmp_path / "noise.pth").write_bytes(np.random.default_rng(0).bytes(999))
    save_file(TENSORS, tmp_path / "cut.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "cut.safetensors").read_bytes()[:-3])
    for name in ("empty.pth", "empty.pkl"):
        (tmp_path / name).write_bytes(b"")
    for name in ("page.pth", "page.safetensors"):
        (tmp_path / name).write_bytes(b"<html>Sign in</html>")
    for name, words in cases.items():
        with pytest.raises(UserError, match=words) as error:
            read_tensors(tmp_path / name)
        said = str(error.value)
        assert str(tmp_path / name) in said and "\n" not in said and "\x1b" not in said and "weights_only" not in said


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (torch.tensor([1.0, float("nan")]), "b holds NaN or infinity"),
        (torch.tensor([1.0, float("inf")], dtype=torch.float16), "b holds NaN or infinity"),
        (torch.eye(2).to_sparse(), "b is a packed tensor"),
        (torch.tensor([1j]), "b is a complex tensor"),
    ],
)
def test_numbers_that_are_none_are_named(tensor: torch.Tensor, words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_numbers("x.pth", {"a": torch.ones(1), "b": tensor})
    check_numbers("x.pth", {"a": torch.ones(1, dtype=torch.bfloat16), "b": torch.tensor([1])})
    with pytest.raises(UserError, match=r"b holds torch\.int8 and not floating-point"):
        check_numbers("x.pth", {"b": torch.ones(1, dtype=torch.int8)}, {"b": torch.ones(1)})


def test_networks_are_filled_by_name_or_not_at_all() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.BatchNorm1d(1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    theirs = {f"x.{name}": torch.ones_like(value) for name, value in before.items()}
    del theirs["x.1.num_batches_tracked"]
    ours = {name: name.removeprefix("x.") for name in theirs}
    for change, words in (
        ({"x.9": torch.ones(1)}, "unknown x.9"),
        ({"x.0.weight": torch.ones(2, 1)}, r"x.0.weight has shape \(2, 1\) and not \(1, 2\)"),
        ({"x.0.bias": None, "x.1.bias": None}, "nothing for 0.bias and 1 more"),
    ):
        given = {name: value for name, value in {**theirs, **change}.items() if value is not None}
        with pytest.raises(UserError, match=words):
            fill_by_name(network, given, ours.get)
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    fill_by_name(network, theirs, ours.get)
    assert all(value.eq(1).all() for name, value in network.state_dict().items() if name in ours.values())
