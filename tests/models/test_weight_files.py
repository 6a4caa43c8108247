"""Foreign weights files: numbers come out, code stays in."""

from __future__ import annotations

import argparse
import pickle
import pickletools
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from univs.errors import UserError
from univs.models.weight_files import check_numbers, fill_by_name, read_plain, read_tensors

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

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.call = function, arguments, state

    def __reduce__(self) -> tuple[Any, tuple[Any, ...], Any]:
        return self.call


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_code_is_not_run(tmp_path: Path, suffix: str) -> None:
    import os

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
    with pytest.raises(UserError, match="holds an array of 'O8' and not of numbers"):
        read_tensors(objects)
    named = tmp_path / "dotted.pkl"
    named.write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.")
    with pytest.raises(UserError, match="which is not run"):
        read_tensors(named)
    huge = tmp_path / "huge.pkl"
    huge.write_bytes(pickle.dumps(Bomb(np.ndarray, (2**50,)), 2))
    with pytest.raises(UserError, match=r"asks for numpy\.ndarray, which is not run"):
        read_tensors(huge)


ADDRESS = b"A" * 8
"""What crashes whoever takes it for the address of an object."""
FLOAT = np.dtype(np.float32)
SCALAR, BUFFER = np.float64(0).__reduce__()[0], np.zeros(1).__reduce_ex__(5)[0]
POINTER = Bomb(np.dtype, "V8", False, True, state=(3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0))
"""A kind of arrays of objects that says it holds none."""
FORGED = {
    "called": (Bomb(np.ndarray, (1,), "O", ADDRESS), "asks for numpy.ndarray, which is not run"),
    "strides": (Bomb(np.ndarray, (9,), "f4", ADDRESS, 0, (0,)), "asks for numpy.ndarray, which is not run"),
    "buffer": (Bomb(BUFFER, ADDRESS, POINTER, (1,), "C"), "holds an array of 'V8'"),
    "scalar": (Bomb(SCALAR, POINTER, ADDRESS), "holds an array of 'V8'"),
    "objects": (np.array([1, None], object), "holds an array of 'O8'"),
    "several": (Bomb(BUFFER, ADDRESS, Bomb(np.dtype, "f4, O"), (1,), "C"), "holds an array of 'f4, O'"),
    "fields": (
        Bomb(SCALAR, Bomb(np.dtype, "f8", state=(3, "<", None, ("a",), {"a": (FLOAT, 0)}, 8, 8, 0)), ADDRESS),
        "holds an array of structures",
    ),
    "short": (Bomb(BUFFER, ADDRESS, FLOAT, (3,), "C"), "an array that is not whole"),
    "long": (Bomb(SCALAR, FLOAT, ADDRESS), "an array that is not whole"),
    "number": (Bomb(BUFFER, ADDRESS, "f4", (2,), "C"), "an array of objects"),
    "twice": (Bomb(BUFFER, ADDRESS, FLOAT, (2,), "C", state=(1, (2,), FLOAT, False, ADDRESS)), "fills an array twice"),
}
READ = """
import sys
from pathlib import Path
from univs.errors import UserError
from univs.models.weight_files import read_plain

for path in sys.argv[1:]:
    try:
        print("read", path, type(read_plain(Path(path))["x"]), flush=True)
    except UserError as error:
        print(error, flush=True)
"""


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_arrays_beside_the_weights_come_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    arrays = {
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "one": np.array(7, np.uint8),
        "turned": np.arange(4, dtype=">i4"),
        "large": np.arange(2000, dtype=np.float16),
        "flags": np.array([True, False]),
        "names": np.array(["cat", "", "über"]),
    }
    content = {"a": torch.ones(1).numpy(), **arrays, "best": np.float32(2), "name": np.str_("x")}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1) if suffix == ".pkl" else (2,):
        if suffix == ".pkl":
            (tmp_path / "x.pkl").write_bytes(pickle.dumps(content, protocol))
        else:
            torch.save(content, tmp_path / "x.pth")
        found = read_plain(tmp_path / f"x{suffix}")
        assert found.keys() == content.keys() and found["best"] == 2 and found["name"] == "x"
        for name, array in arrays.items():
            assert isinstance(found[name], np.ndarray) and np.array_equal(found[name], array)
            kinds = {one.dtype.newbyteorder("=") for one in (found[name], array)}
            assert len(kinds) == 1 and found[name].strides == array.strides
            assert type(pickle.loads(pickle.dumps(found[name]))) is np.ndarray


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="they are ordinary numbers here")
def test_numbers_of_more_bits_than_torch_has_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": np.ones(2, np.longdouble)}, 2))
    with pytest.raises(UserError, match="a holds float.* and not numbers"):
        read_tensors(tmp_path / "x.pkl")


def test_bytes_are_never_taken_for_addresses(repository: Path, tmp_path: Path) -> None:
    words = {}
    for name, (value, why) in FORGED.items():
        content = {"x": Bomb(OrderedDict, value)}  # which looks at what it is given
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(content, 2))
        torch.save(content, tmp_path / f"{name}.pth")
        words |= {str(tmp_path / f"{name}{suffix}"): why for suffix in (".pkl", ".pth")}
    command = [sys.executable, "-c", READ, *words]  # which dies where one is
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    said = done.stdout.splitlines()
    assert done.returncode == 0 and len(said) == len(words), f"it ended with {done.returncode} after {said}"
    for (path, why), line in zip(words.items(), said, strict=True):
        assert line.startswith(path) and why in line


def test_arrays_are_made_in_no_other_way(tmp_path: Path) -> None:
    """As a new object of the class, filled again after a tensor shares the memory, and of another class."""
    array = "cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    state = "(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4\x85R\x89c_codecs\nencode\nU\x08AAAAAAAAU\x06latin1\x86Rtb"
    tensor = "ctorch._utils\n_rebuild_device_tensor_from_numpy\n(h\x01ctorch\nfloat32\nU\x03cpu\x89tR"
    cases = {
        "new": ("cnumpy\nndarray\nK\x01\x85\x85\x81.", "asks for numpy.ndarray"),
        "again": (f"{array}{state}{state}.", "fills an array twice"),
        "shared": (f"({array}q\x01{state}{tensor}h\x01{state}t.", "fills an array twice|_from_numpy, which is not run"),
        "other": ("cnumpy._core.multiarray\n_reconstruct\nccollections\nOrderedDict\n\x85R.", "of a class of its own"),
    }
    for suffix in (".pkl", ".pth"):
        for name, (code, words) in cases.items():
            path = tmp_path / f"{name}{suffix}"
            path.write_bytes(b"\x80\x02" + code.encode("latin1"))
            with pytest.raises(UserError, match=words):
                read_plain(path)


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
