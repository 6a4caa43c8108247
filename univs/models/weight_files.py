"""Foreign weights files as plain tensors: torch's .pth, detectron2's .pkl, safetensors. No code in them is run."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from univs.errors import UserError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name (a bare one has the name ""); what else is in it (optimizer, counters) is left out.

    Raises UserError, in one line, for a file of another kind, a damaged one, and one that asks for code to be run.
    """
    content: Any
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (safetensors.SafetensorError, OSError) as error:
            raise UserError(f"{path} is not a whole safetensors file: {error}") from error
    if path.suffix == ".pkl":
        content = _read_arrays(path)
    else:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a damaged or foreign pickle makes of torch.load
            raise UserError(f"{path} is not a checkpoint of plain tensors: {str(error).splitlines()[0]}") from error
    named = {"": content} if _is_numbers(content) else content
    for entry in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(entry), Mapping):
            named = content[entry]
    if not isinstance(named, Mapping):
        raise UserError(f"{path} holds no tensors by name")
    return {str(name): _tensor(path, str(name), value) for name, value in named.items() if _is_numbers(value)}


def _is_numbers(value: object) -> bool:
    return isinstance(value, (Tensor, np.ndarray))


def _tensor(path: Path, name: str, value: Tensor | np.ndarray) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if value.dtype.kind not in "biuf":
        raise UserError(f"{path} is not a file of weights: {name} holds {value.dtype} and not numbers")
    return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))


def _read_arrays(path: Path) -> Any:
    """The content of a pickle of numpy arrays and plain containers."""
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="latin1").load()
    except UserError:
        raise
    except Exception as error:  # whatever damaged bytes make of the unpickler
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a whole pickle of arrays: {reason}") from error


class _ArrayUnpickler(pickle.Unpickler):
    """Finds only what numpy arrays are made of, whatever else the bytes ask for."""

    def __init__(self, file: IO[bytes], *, encoding: str) -> None:
        super().__init__(file, encoding=encoding)
        self._name = getattr(file, "name", "the file")

    def find_class(self, module: str, name: str) -> Any:
        admitted = _admitted().get((module.replace("numpy.core", "numpy._core"), name))
        if admitted is None:
            raise UserError(f"{self._name} is not a file of weights: it asks for {module}.{name}, which is not run")
        return admitted


def _admitted() -> dict[tuple[str, str], object]:
    """What may be found: made anew for each question, so that no file can change it for the next."""
    # wherever this numpy keeps them
    reconstruct, scalar = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]

    def from_buffer(buffer: bytes, dtype: np.dtype, shape: tuple[int, ...], order: Literal["C", "F"]) -> np.ndarray:
        """How the newest protocol makes arrays."""
        return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)

    def encode(text: str, encoding: str = "latin1") -> bytes:
        """How old protocols write bytes."""
        if not isinstance(text, str) or encoding != "latin1":
            raise pickle.UnpicklingError(f"bytes in {encoding!r}")
        return text.encode("latin1")

    return {
        ("numpy._core.multiarray", "_reconstruct"): reconstruct,
        ("numpy._core.multiarray", "scalar"): scalar,
        ("numpy._core.numeric", "_frombuffer"): from_buffer,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("collections", "OrderedDict"): OrderedDict,
        ("_codecs", "encode"): encode,
    }
