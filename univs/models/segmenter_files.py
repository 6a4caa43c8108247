"""The networks that make a mask of interactions with one frame, from plain numbers and from weights files.

Files are ours (`own_files.py`) or official ones of S2M and f-BRS, which are known by the names of their tensors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from univs.errors import UserError
from univs.models.fbrs import ClickNetwork, official_name
from univs.models.own_files import COUNTER, fill, read_header, read_own
from univs.models.scribble_to_mask import ScribbleToMask
from univs.models.scribble_to_mask_light import LightScribbleToMask
from univs.models.unset_weights import UnsetWeights
from univs.models.weight_files import check_numbers, read_tensors
from univs.models.weights_path import weights_path

SegmenterNetwork = ScribbleToMask | LightScribbleToMask | ClickNetwork


@dataclass(frozen=True)
class Kind:
    """How a kind of network is built from its numbers, and our name of each of its official tensors."""

    build: Callable[..., SegmenterNetwork]
    official: Callable[[str], str] = str


KINDS: dict[str, Kind] = {
    "scribble_to_mask": Kind(ScribbleToMask),
    "scribble_to_mask_light": Kind(LightScribbleToMask),
    "fbrs": Kind(ClickNetwork, official_name),
}
OFFICIAL = ("scribble_to_mask", "fbrs")
"""Kinds of which there are official files."""


def build_segmenter(config: Mapping[str, Any]) -> SegmenterNetwork:
    """A network with initial weights from plain numbers: `kind`, of `KINDS`, and under its name what it is built with.

    Raises UserError for an unknown kind and for impossible numbers.
    """
    kind = config.get("kind")
    if kind not in KINDS:
        raise UserError(f"{config.get('name', 'the model')} is no network for masks of one frame: {', '.join(KINDS)}")
    try:
        return KINDS[kind].build(**(config.get(kind) or {}))
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        name, why = config.get("name", kind), str(error).splitlines()[0]
        raise UserError(f"cannot build the model {name}: {why}; see configs/model/{kind}.yaml") from error


def is_segmenter(name_or_path: str | os.PathLike[str]) -> bool:
    """Whether weights are of such a network. Raises UserError for an unknown name and files that cannot be read."""
    path = weights_path(str(name_or_path))
    if path.suffix == ".safetensors" and (numbers := read_header(path)[1]) is not None:
        return numbers.get("kind") in KINDS
    names = {name for name in read_tensors(path) if not name.endswith(COUNTER)}
    return any({KINDS[kind].official(name) for name in names} == _expected(kind).keys() for kind in OFFICIAL)


def load_segmenter(name_or_path: str | os.PathLike[str], device: str = "cpu") -> SegmenterNetwork:
    """A network with its weights, in eval mode: of built-in weights, a file of ours, or an official one.

    Raises UserError for an unknown name, a missing, foreign or damaged file, and a device that is not there.
    """
    path = weights_path(str(name_or_path))
    ours = path.suffix == ".safetensors" and read_header(path)[1] is not None
    network = _ours(path) if ours else _official(path)
    try:
        return network.eval().to(device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"cannot use device {device!r}: {str(error).splitlines()[0]}") from error


def _ours(path: Path) -> SegmenterNetwork:
    config, tensors = read_own(path)
    try:
        with UnsetWeights():  # every one of them gets its value
            network = build_segmenter(config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    fill(network, tensors, path)
    return network


def _official(path: Path) -> SegmenterNetwork:
    tensors = {name: tensor for name, tensor in read_tensors(path).items() if not name.endswith(COUNTER)}
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    for kind in OFFICIAL:
        expected = _expected(kind)
        named = {KINDS[kind].official(name): name for name in shapes}
        if named.keys() != expected.keys():
            continue
        for name, shape in expected.items():
            if shapes[named[name]] != shape:
                given = tuple(shapes[named[name]])
                raise UserError(f"{path}: {named[name]} has shape {given} and not {tuple(shape)}, that of {kind}")
        check_numbers(path, tensors)
        return _filled(kind, {name: tensors[theirs] for name, theirs in named.items()})
    raise UserError(f"{path} holds no weights of S2M or f-BRS (ResNet-50, 128 channels): give such a file")


def _expected(kind: str) -> dict[str, torch.Size]:
    """Our names and the shapes of the tensors of official weights."""
    with torch.device("meta"):
        state = KINDS[kind].build().state_dict()
    return {name: value.shape for name, value in state.items() if not name.endswith(COUNTER)}


def _filled(kind: str, tensors: Mapping[str, Tensor]) -> SegmenterNetwork:
    network = KINDS[kind].build()
    network.load_state_dict({**network.state_dict(), **tensors})
    return network
