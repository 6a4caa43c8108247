"""Official weights of RVOS: two files, encoder.pt and decoder.pt, or one that holds the tensors of both.

The encoder is torchvision's ResNet-101 with a classifier that nothing reads; old decoders have a stop unit, which no
released program reads either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from univs.errors import UserError
from univs.models.weight_files import fill_by_name, read_tensors
from univs.models.weights_path import RVOS_FILES

TABLE = (
    (r"base\.(conv1|bn1)\.(\w+)", r"trunk.\1.\2"),
    *((rf"base\.layer{n + 1}\.(.+)", rf"trunk.stages.{n}.\1") for n in range(4)),
    *(
        row
        for n in range(4)
        for row in ((rf"sk{5 - n}\.(\w+)", rf"skips.{n}.0.\1"), (rf"bn{5 - n}\.(\w+)", rf"skips.{n}.1.\1"))
    ),
    (r"clstm_list\.(\d)\.Gates\.(\w+)", r"decoder.levels.\1.gates.\2"),
    (r"conv_out\.(\w+)", r"decoder.predict.\1"),
)
UNREAD = re.compile(r"base\.fc\.(weight|bias)|fc_stop\.\w+")
"""What official files hold and no answer depends on: the classifier and the stop unit."""
ENCODER, DECODER = "sk5.weight", "clstm_list.0.Gates.weight"
"""Tensors that no other official network has."""


def official_rvos(tensors: Mapping[str, Tensor]) -> str | None:
    """Which of our models (configs/model/NAME.yaml) these tensors are of; None: of neither.

    The decoder tells one-shot from zero-shot by the channel of the mask; an encoder alone counts as one-shot.
    """
    if DECODER in tensors:
        width = tensors[DECODER].shape[1:2]
        return "rvos_zero_shot" if width and width[0] % 2 == 0 else "rvos"
    return "rvos" if ENCODER in tensors else None


def read_rvos_folder(folder: Path) -> dict[str, Tensor]:
    """The tensors of encoder.pt and decoder.pt. Raises UserError as `read_tensors` does."""
    tensors: dict[str, Tensor] = {}
    for name in RVOS_FILES:
        tensors.update(read_tensors(folder / name))
    return tensors


def load_rvos(network: nn.Module, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Fill the network of a model (`official_rvos`) from its official tensors.

    Raises UserError that names tensors which are unknown, missing or of another shape; the network is then unchanged.
    """
    for part, mark in (("encoder", ENCODER), ("decoder", DECODER)):
        if mark not in tensors:
            other = "decoder" if part == "encoder" else "encoder"
            raise UserError(
                f"this is the {other} of {name} alone; name the folder that has both {' and '.join(RVOS_FILES)}"
            )
    read = {official: value for official, value in tensors.items() if not UNREAD.fullmatch(official)}
    fill_by_name(network, read, our_name)


def trunk_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a ResNet of torchvision, by itself, under the names that they have in our trunk; no classifier."""
    named = {f"base.{name}": value for name, value in tensors.items()}
    renamed = {our_name(name): value for name, value in named.items() if not UNREAD.fullmatch(name)}
    return {str(name).removeprefix("trunk."): value for name, value in renamed.items()}


def our_name(official: str) -> str | None:
    """Of an official tensor that is read; None: unknown."""
    for pattern, replacement in TABLE:
        if match := re.fullmatch(pattern, official):
            return match.expand(replacement)
    return None
