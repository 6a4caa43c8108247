"""Weights files of ours: safetensors with the plain numbers of their network as JSON in the metadata.

A network is built from its numbers by one function, and no class path is ever read out of a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from univs.errors import UserError
from univs.files import atomic_path
from univs.mistaken_files import other_kind
from univs.models.weight_files import check_numbers

CONFIG_KEY = "univs_config"
COUNTER = "num_batches_tracked"
"""Of BatchNorm: counts steps of training, and nothing here asks."""


def save(model: nn.Module, path: str | os.PathLike[str], config: Mapping[str, Any], half: bool = True) -> None:
    """Write a network's weights and numbers as one safetensors file, whole or not at all.

    Args:
        model: whose state dict is written.
        path: ends in .safetensors.
        config: the plain numbers that the network is made from.
        half: store matrices and kernels as float16 (vectors and batch-norm statistics stay float32).
    """
    tensors = {
        name: (tensor.half() if half and tensor.is_floating_point() and tensor.ndim > 1 else tensor).contiguous().cpu()
        for name, tensor in model.state_dict().items()
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={CONFIG_KEY: json.dumps(config)})


def read_header(path: Path) -> tuple[list[str], dict[str, Any] | None]:
    """Names of the tensors of a safetensors file, and the numbers of its network; None if it does not say them."""
    with _open_safetensors(path) as file:
        names, metadata = list(file.keys()), file.metadata() or {}
    return names, _numbers(path, metadata) if CONFIG_KEY in metadata else None


def read_own(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The numbers of the network that a file of ours is for, and its tensors. UserError for any other file."""
    with _open_safetensors(path) as file:
        metadata = file.metadata() or {}
        tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return _numbers(path, metadata), tensors


def _numbers(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        numbers: dict[str, Any] = json.loads(metadata[CONFIG_KEY])
        return numbers
    except (KeyError, json.JSONDecodeError) as error:
        raise UserError(f"{path} does not say which model it is for: its metadata has no valid {CONFIG_KEY}") from error


def fill(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Give a network the tensors of a file of ours; counters of batch norms are left out.

    Raises UserError, naming one, for tensors that are missing, unknown, of another shape or no numbers.
    """
    expected = model.state_dict()
    given = {name: tensor for name, tensor in tensors.items() if not name.endswith(COUNTER)}
    given.update({name: torch.zeros_like(value) for name, value in expected.items() if name.endswith(COUNTER)})
    for name in sorted(expected.keys() | given.keys()):
        if name not in given or name not in expected:
            raise UserError(
                f"{path} does not fit its own numbers: {name} is {'in the file only' if name in given else 'missing'}"
            )
        if given[name].shape != expected[name].shape:
            shapes = f"{tuple(given[name].shape)} and not {tuple(expected[name].shape)}"
            raise UserError(f"{path} does not fit its own numbers: {name} has shape {shapes}")
    check_numbers(path, given, expected)
    model.load_state_dict(given)


@contextmanager
def _open_safetensors(path: Path) -> Iterator[Any]:
    """The open file. UserError, in one line, if it is another one or damaged."""
    if kind := other_kind(path, "weights"):
        raise UserError(f"{path} is not a whole safetensors file: it {kind}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is not a whole safetensors file{_pickle_hint(path)}: {error}; fetch it again"
        ) from error


def _pickle_hint(path: Path) -> str:
    """A word on files that are pickles by another name."""
    with path.open("rb") as file:
        start = file.read(2)
    return " (it is a pickle)" if start in (b"PK", b"\x80\x02", b"\x80\x04") else ""
