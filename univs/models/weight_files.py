"""Foreign weights files as plain tensors: torch's .pth, detectron2's .pkl, safetensors. No code in them is run."""

from __future__ import annotations

import math
import os
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from univs.errors import UserError
from univs.mistaken_files import other_kind

STATES = (
    *("model", "state_dict", "model_state_dict", "model_state", "net", "network", "module", "student"),
    *("ema", "model_ema", "ema_state_dict", "teacher", "weights", "params"),
)
"""Entries of checkpoints under which the tensors lie, the first one that is there."""
WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "student.", "ema.", "teacher.")
"""What DistributedDataParallel, torch.compile and training frameworks put before all names."""
DEEPEST = 4
"""So many entries within each other are looked into."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name (a bare one has the name ""); what else is in it (optimizer, counters) is left out.

    Names lose what wrappers of networks put before them. Raises UserError, in one line, for a file of another kind, a
    damaged one, and one that asks for code to be run.
    """
    content = read_plain(path)
    named = _state(content)
    if named is None:
        raise UserError(f"{path} holds no tensors by name")
    numbers = {str(name): value for name, value in named.items() if _is_numbers(value)}
    return unwrapped({name: _tensor(path, name, value) for name, value in numbers.items()})


def read_plain(path: Path) -> Any:
    """What a file of tensors, arrays and plain values holds: safetensors, a checkpoint of torch, or a pickle of arrays.

    Known by its content; numpy's scalars are plain values. Raises UserError as `read_tensors` does.
    """
    try:
        if kind := other_kind(path, "a checkpoint"):
            raise UserError(f"{path} {kind}")
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        try:
            return load_file(path)
        except (safetensors.SafetensorError, OSError) as error:
            raise UserError(f"{path} is not a whole safetensors file: {error}; fetch it again") from error
    if start.startswith(b"PK") or LEGACY in start or path.suffix != ".pkl":
        return _read_checkpoint(path)
    return _read_arrays(path)


LEGACY = b"l\xfc\x9cF\xf9 j\xa8P\x19"
"""The number at the start of what torch wrote before version 1.6."""


def _read_checkpoint(path: Path) -> Any:
    """The content of what `torch.save` wrote, read without running anything in it."""
    try:
        with torch.serialization.safe_globals(_names_of_numpy()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of programs, old formats: words to programmers
            return torch.load(path, map_location="cpu", weights_only=True)
    except _Refused as error:
        raise UserError(f"{path} is not a file of weights: {error}") from error
    except Exception as error:  # whatever a damaged or foreign pickle makes of torch.load
        raise UserError(f"{path} is not a checkpoint of plain tensors: {_why_not(path, error)}") from error


ASKED_FOR = re.compile(r"(?:GLOBAL|global|class|function) [`'\"]?<?(?:class |built-in function )?'?([A-Za-z_][\w.]*)")
"""Where torch's message names what a pickle asks for."""


def _why_not(path: Path, error: Exception) -> str:
    """Why a checkpoint could not be read, in our words: torch's speak to programmers, in colours."""
    if found := ASKED_FOR.search(str(error)):
        return f"it asks for {found[1]}, which is not run; save the tensors alone: torch.save(model.state_dict(), FILE)"
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    if zipped and not zipfile.is_zipfile(path):
        return "it is cut off; fetch it again"
    if zipped:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith("constants.pkl") or "/code/" in name for name in names):
            return "it is a TorchScript program; give the state dict of the model"
        if not any(name.endswith("data.pkl") for name in names):
            return "it is a zip archive of other files; unpack it"
    return "it is damaged or cut off, or of another kind; fetch it again"


def _names_of_numpy() -> list[Any]:
    """What numpy's scalars and arrays ask for, for torch's reader of plain values."""
    named = [(found, f"{module}.{name}") for (module, name), found in _admitted().items() if "numpy" in module]
    older = [(found, name.replace("numpy._core", "numpy.core")) for found, name in named if "numpy._core" in name]
    return [*named, *older]


def _state(content: Any, depth: int = 0) -> Mapping[Any, Any] | None:
    """The tensors by name in whatever a checkpoint holds; None if there are none."""
    if _is_numbers(content):
        return {"": content}
    if not isinstance(content, Mapping):
        return None
    for entry in STATES if depth < DEEPEST else ():
        if isinstance(content.get(entry), Mapping):
            found = _state(content[entry], depth + 1)
            if found:
                return found
    return content


def unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under the names that the network itself gives them.

    `module` and `_orig_mod` go wherever they stand; what else wraps goes where all tensors have it, or those of an
    official network do. Beside a wrapped network, others that are wrapped otherwise (a teacher) are left out.
    """
    found = {re.sub(r"(^|\.)(?:(?:module|_orig_mod)\.)+", r"\1", name): tensor for name, tensor in tensors.items()}
    while prefix := next((prefix for prefix in WRAPPERS if _wraps(prefix, found)), None):
        others = tuple(other for other in WRAPPERS if other != prefix)
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items() if not name.startswith(others)}
    return found


def _wraps(prefix: str, names: Iterable[str]) -> bool:
    """Whether a prefix stands before all names, or before those of an official network."""
    names = list(names)
    wrapped = [name for name in names if name.startswith(prefix)]
    return bool(wrapped) and (
        len(wrapped) == len(names) or any(name.startswith(f"{prefix}sem_seg_head.") for name in wrapped)
    )


def check_numbers(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor] | None = None
) -> None:
    """Raise UserError, naming one, unless all tensors are dense numbers and none is NaN or infinite.

    expected: tensors of the same names; where they hold fractions, whole numbers (quantised weights) are refused.
    """
    for name, tensor in tensors.items():
        if expected is not None and expected[name].is_floating_point() and not tensor.is_floating_point():
            raise UserError(f"{path}: {name} holds {tensor.dtype} and not floating-point numbers: quantised weights?")
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            kind = "complex" if tensor.is_complex() else "packed"
            raise UserError(f"{path}: {name} is a {kind} tensor, not one of plain numbers")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise UserError(f"{path}: {name} holds NaN or infinity: weights of a run that diverged, or a broken file")


def fill_by_name(network: nn.Module, tensors: Mapping[str, Tensor], our_name: Callable[[str], str | None]) -> None:
    """Fill a network from official tensors.

    Args:
        our_name: of a tensor that has this official name; None: it has none.
    Raises UserError that names tensors which are unknown, missing or of another shape; the network is then unchanged.
    Counters of batch norms (`num_batches_tracked`) may be missing.
    """
    expected, found = network.state_dict(), {}
    for official, value in tensors.items():
        ours = our_name(official)
        if ours is None or ours not in expected:
            raise UserError(f"official weights do not fit: unknown {official}")
        if value.shape != expected[ours].shape:
            shapes = f"{tuple(value.shape)} and not {tuple(expected[ours].shape)}"
            raise UserError(f"official weights do not fit: {official} has shape {shapes}")
        found[ours] = value
    missing = [ours for ours in expected if ours not in found and not ours.endswith("num_batches_tracked")]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"official weights are incomplete: nothing for {missing[0]}{more}")
    network.load_state_dict(found, strict=False)


def _is_numbers(value: object) -> bool:
    return isinstance(value, (Tensor, np.ndarray))


def _tensor(path: Path, name: str, value: Tensor | np.ndarray) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
        raise UserError(f"{path} is not a file of weights: {name} holds {value.dtype} and not numbers")
    return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))


def _read_arrays(path: Path) -> Any:
    """The content of a pickle of numpy arrays and plain containers."""
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="latin1").load()
    except _Refused as error:
        raise UserError(f"{path} is not a file of weights: {error}") from error
    except Exception as error:  # whatever damaged bytes make of the unpickler
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a whole pickle of arrays: {reason}") from error


class _Refused(Exception):
    """A pickle asks for more than arrays of numbers; says what for."""


class _ArrayUnpickler(pickle.Unpickler):
    """Finds only what numpy arrays are made of, whatever else the bytes ask for."""

    def find_class(self, module: str, name: str) -> Any:
        admitted = _admitted().get((module.replace("numpy.core", "numpy._core"), name))
        if admitted is None:
            raise _Refused(f"it asks for {module}.{name}, which is not run")
        return admitted


KINDS = re.compile(r"[biufcSU][0-9]{1,9}")
"""Of the arrays that are read: numbers and text."""


class _Kind:
    """What a pickle finds as numpy.dtype. The real one can be made to take bytes for addresses of objects."""

    def __init__(self, code: str, align: object = False, copy: object = True) -> None:
        if not (isinstance(code, str) and KINDS.fullmatch(code)):
            raise _Refused(f"it holds an array of {code!r:.40} and not of numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Takes the order of the bytes alone; sizes and flags follow from the code."""
        order, *within = state[1:5]
        if order not in ("<", ">", "=", "|") or within != [None] * 3:
            raise _Refused("it holds an array of structures and not of numbers")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """What a pickle finds as numpy.ndarray: made by our functions alone, and filled once.

    The real one makes objects of bytes if it is called, and filled anew it frees what a tensor may share.
    """

    is_open = False

    def __new__(cls, *_: object, **__: object) -> _Array:
        """For those who call it, as no array that was saved does. Raises _Refused."""
        raise _Refused("it asks for numpy.ndarray, which is not run")

    @staticmethod
    def empty() -> _Array:
        """One that waits for its content."""
        made = np.ndarray.__new__(_Array, 0)
        made.is_open = True
        return made

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if not self.is_open:
            raise _Refused("it fills an array twice")
        self.is_open = False
        *_, shape, kind, by_columns, content = state
        values = _values(content, kind, shape)
        whole: Any = (1, values.shape, values.dtype, bool(by_columns), content)
        super().__setstate__(whole)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Whoever saves it on saves a plain array."""
        return np.asarray(self).__reduce_ex__(protocol)


def _values(content: object, kind: object, shape: Any, order: Literal["C", "F"] = "C") -> np.ndarray:
    """An array over bytes, in Python 2 text. Raises unless they are just as many as fit."""
    content = content.encode("latin1") if isinstance(content, str) else content
    if not (isinstance(kind, _Kind) and isinstance(content, bytes | bytearray)):
        raise _Refused("it holds an array of objects and not of numbers")
    if len(content) != math.prod(shape) * kind.dtype.itemsize:
        raise _Refused("it holds an array that is not whole")
    return np.ndarray(shape, kind.dtype, content, order=order)


def _admitted() -> dict[tuple[str, str], object]:
    """What may be found: made anew for each question, so that no file can change it for the next."""

    def reconstruct(kind: object, *_: object) -> np.ndarray:
        """How all protocols but the newest begin an array."""
        if kind is not _Array:
            raise _Refused("it asks for an array of a class of its own, which is not run")
        return _Array.empty()

    def scalar(kind: object, content: object) -> object:
        """A number of numpy's."""
        return _values(content, kind, ())[()]

    def from_buffer(buffer: object, kind: object, shape: tuple[int, ...], order: Literal["C", "F"]) -> np.ndarray:
        """How the newest protocol makes arrays."""
        return _values(buffer, kind, shape, order).view(_Array)

    def encode(text: str, encoding: str = "latin1") -> bytes:
        """How old protocols write bytes."""
        if not isinstance(text, str) or encoding != "latin1":
            raise pickle.UnpicklingError(f"bytes in {encoding!r}")
        return text.encode("latin1")

    return {
        ("numpy._core.multiarray", "_reconstruct"): reconstruct,
        ("numpy._core.multiarray", "scalar"): scalar,
        ("numpy._core.numeric", "_frombuffer"): from_buffer,
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Kind,
        ("collections", "OrderedDict"): OrderedDict,
        ("_codecs", "encode"): encode,
    }
