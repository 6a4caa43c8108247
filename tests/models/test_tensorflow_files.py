"""Variables of TensorFlow: archives of arrays, checkpoints without tensorflow, and what is neither."""

from __future__ import annotations

import runpy
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from univs.errors import UserError
from univs.models.tensorflow_files import is_checkpoint, is_tensorflow, read_variables
from univs.models.weights_path import weights_path

VALUES = {"a/weights": np.ones((2, 3), np.float32), "global_step": np.array(7)}


def checkpoint(folder: Path) -> Path:
    for ending in ("index", "data-00000-of-00001"):
        (folder / f"model.ckpt-7.{ending}").write_bytes(b"\0")
    return folder / "model.ckpt-7"


def test_an_archive_of_variables(tmp_path: Path) -> None:
    path = tmp_path / "variables.npz"
    np.savez(path, **{f"{name}:0": values for name, values in VALUES.items()})
    assert is_tensorflow(path) and not is_checkpoint(path)
    found = read_variables(path)
    assert found.keys() == VALUES.keys() and all(np.array_equal(found[name], VALUES[name]) for name in VALUES)


def test_what_is_no_archive_of_variables(tmp_path: Path) -> None:
    path = tmp_path / "variables.npz"
    np.savez(path, a=np.ones(100), **{"a:0": np.ones(1)})
    with pytest.raises(UserError, match="two variables of the name a"):
        read_variables(path)
    whole = path.read_bytes()
    np.savez(path, a=np.array(["text"]))
    with pytest.raises(UserError, match="a holds <U4 and not numbers"):
        read_variables(path)
    np.savez(path, a=np.array([Path("x")], dtype=object))
    with pytest.raises(UserError, match="not a whole .npz file of arrays"):
        read_variables(path)
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(UserError, match="but a single array"):
        read_variables(path)
    for damaged in (b"", whole[:100], b"<html>"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="not a whole .npz file of arrays") as caught:
            read_variables(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_with_one_wrong_byte(tmp_path: Path, save: Callable[..., None]) -> None:
    """It is read as it was, where the byte says nothing, or refused."""
    path, kinds = tmp_path / "variables.npz", set()
    save(path, **VALUES)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            found = read_variables(path)
        except UserError as error:
            assert "not a whole .npz file of arrays" in str(error) and "\n" not in str(error)
            kinds.add(type(error.__cause__))
        else:
            assert all(np.array_equal(values, VALUES[name]) for name, values in found.items())
    assert zipfile.BadZipFile in kinds and (zlib.error in kinds) == (save is np.savez_compressed)


def test_an_archive_of_other_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "variables.npz", "w") as archive:
        archive.writestr("notes.txt", "text")
    with pytest.raises(UserError, match=r"notes\.txt holds \|S4 and not numbers"):
        read_variables(tmp_path / "variables.npz")


def test_checkpoints_are_read_by_tensorflow(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = checkpoint(tmp_path)
    assert is_checkpoint(path) and is_tensorflow(path) and weights_path(str(path)) == path
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setitem(sys.modules, "tensorflow.train", None)
    with pytest.raises(UserError, match="tensorflow, which is not installed: install it, or give an .npz") as caught:
        read_variables(path)
    assert "\n" not in str(caught.value)

    class Reader:
        """As `tf.train.load_checkpoint` gives it."""

        def get_variable_to_shape_map(self) -> dict[str, list[int]]:
            return {name: list(values.shape) for name, values in VALUES.items()}

        def get_tensor(self, name: str) -> np.ndarray:
            return VALUES[name]

    opened: list[str] = []
    train = ModuleType("tensorflow.train")
    train.load_checkpoint = lambda name: opened.append(name) or Reader()  # type: ignore[attr-defined]
    package = ModuleType("tensorflow")
    package.train = train  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorflow", package)
    monkeypatch.setitem(sys.modules, "tensorflow.train", train)
    found = read_variables(path)
    assert opened == [str(path)] and all(np.array_equal(found[name], VALUES[name]) for name in VALUES)

    converter = runpy.run_path(str(repository / "tools" / "variables_to_npz.py"))
    assert converter["main"]([str(path), str(tmp_path / "made.npz")]) == 0 and converter["main"]([]) == 2
    made = read_variables(tmp_path / "made.npz")
    assert all(np.array_equal(made[name], VALUES[name]) for name in VALUES)

    def damaged(name: str) -> None:
        raise RuntimeError("Data loss\nmore")

    train.load_checkpoint = damaged  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="not a whole checkpoint of tensorflow: Data loss$"):
        read_variables(path)
