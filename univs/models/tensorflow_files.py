"""Weights that TensorFlow programs published: variables by name, from an .npz file of them or from a checkpoint.

An .npz needs numpy alone. A checkpoint (NAME.index beside NAME.data-...) is read by tensorflow, where it is installed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError

SUFFIX = ".npz"


def is_tensorflow(path: Path) -> bool:
    """Whether a path names an .npz of variables or a checkpoint."""
    return path.suffix == SUFFIX or is_checkpoint(path)


def is_checkpoint(path: Path) -> bool:
    """Whether a path is what the files of a checkpoint begin with."""
    return not path.exists() and path.with_name(f"{path.name}.index").is_file()


def read_variables(path: Path) -> dict[str, NDArray[np.generic]]:
    """Name (without ":0") -> values of the variables of a file that `is_tensorflow`.

    Raises UserError for a damaged file, one that holds anything but arrays of numbers, two variables of one name, and a
    checkpoint without tensorflow.
    """
    named = _read_checkpoint(path) if is_checkpoint(path) else _read_archive(path)
    variables: dict[str, NDArray[np.generic]] = {}
    for name, values in named.items():
        plain = name.removesuffix(":0")
        if plain in variables:
            raise UserError(f"{path} holds two variables of the name {plain}")
        if values.dtype.kind not in "biuf":
            raise UserError(f"{path} is not a file of weights: {name} holds {values.dtype} and not numbers")
        variables[plain] = values
    return variables


def _read_archive(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise UserError(f"{path} is not an .npz file of variables by name, but a single array")
        with archive:
            return {name: np.asarray(archive[name]) for name in archive.files}
    except UserError:
        raise
    except Exception as error:  # whatever damaged bytes make of zipfile, zlib and numpy
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a whole .npz file of arrays: {reason}") from error


def _read_checkpoint(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        from tensorflow.train import load_checkpoint
    except ImportError as error:
        raise UserError(
            f"{path} is a checkpoint of tensorflow, which is not installed: install it, or give an {SUFFIX} file of "
            "its variables, which tools/variables_to_npz.py writes where it is"
        ) from error
    try:
        reader = load_checkpoint(str(path))
        return {name: np.asarray(reader.get_tensor(name)) for name in reader.get_variable_to_shape_map()}
    except Exception as error:  # whatever a damaged checkpoint makes of tensorflow
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a whole checkpoint of tensorflow: {reason}") from error
