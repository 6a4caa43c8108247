"""Official weights of space-time memories: the names of STM and MiVOS (also of Mask-Propagation) -> ours.

STM's memory reads RGB, mask and the other objects with three convolutions whose results are added; here that is one
convolution of five channels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from univs.models.weight_files import fill_by_name

Table = tuple[tuple[str, str], ...]


def _trunk(theirs: str, ours: str, stages: str, first: int) -> Table:
    """Names of a trunk whose stages are called `stages`N, N counted from `first`."""
    return (
        (rf"{theirs}\.(conv1|bn1)\.(\w+)", rf"{ours}.\1.\2"),
        *((rf"{theirs}\.{stages}{first + n}\.(.+)", rf"{ours}.stages.{n}.\1") for n in range(3)),
    )


MIVOS: Table = (
    *_trunk("mask_rgb_encoder", "memory_trunk", "layer", 1),
    (r"rgb_encoder\.(conv1|bn1)\.(\w+)", r"query_trunk.\1.\2"),
    (r"rgb_encoder\.res2\.(.+)", r"query_trunk.stages.0.\1"),
    (r"rgb_encoder\.layer2\.(.+)", r"query_trunk.stages.1.\1"),
    (r"rgb_encoder\.layer3\.(.+)", r"query_trunk.stages.2.\1"),
    *(
        (rf"kv_{letter}_f16\.{theirs}_proj\.(\w+)", rf"{part}_heads.{ours}.\1")
        for letter, part in (("m", "memory"), ("q", "query"))
        for theirs, ours in (("key", "key"), ("val", "value"))
    ),
    (r"decoder\.compress\.downsample\.(\w+)", r"decoder.compress.shortcut.\1"),
    (r"decoder\.compress\.(conv\d)\.(\w+)", r"decoder.compress.\1.\2"),
    *(
        row
        for theirs, ours in (("up_16_8", "up8"), ("up_8_4", "up4"))
        for row in (
            (rf"decoder\.{theirs}\.skip_conv1\.(\w+)", rf"decoder.{ours}.skip.\1"),
            (rf"decoder\.{theirs}\.skip_conv2\.(conv\d)\.(\w+)", rf"decoder.{ours}.skip_block.\1.\2"),
            (rf"decoder\.{theirs}\.out_conv\.downsample\.(\w+)", rf"decoder.{ours}.block.shortcut.\1"),
            (rf"decoder\.{theirs}\.out_conv\.(conv\d)\.(\w+)", rf"decoder.{ours}.block.\1.\2"),
        )
    ),
    (r"decoder\.pred\.(\w+)", r"decoder.predict.\1"),
)

STM: Table = (
    *_trunk("Encoder_M", "memory_trunk", "res", 2),
    *_trunk("Encoder_Q", "query_trunk", "res", 2),
    *(
        (rf"KV_{letter}_r4\.{theirs}\.(\w+)", rf"{part}_heads.{ours}.\1")
        for letter, part in (("M", "memory"), ("Q", "query"))
        for theirs, ours in (("Key", "key"), ("Value", "value"))
    ),
    (r"Decoder\.convFM\.(\w+)", r"decoder.narrow.\1"),
    (r"Decoder\.ResMM\.(conv\d)\.(\w+)", r"decoder.compress.\1.\2"),
    *(
        row
        for theirs, ours in (("RF3", "up8"), ("RF2", "up4"))
        for row in (
            (rf"Decoder\.{theirs}\.convFS\.(\w+)", rf"decoder.{ours}.skip.\1"),
            (rf"Decoder\.{theirs}\.ResFS\.(conv\d)\.(\w+)", rf"decoder.{ours}.skip_block.\1.\2"),
            (rf"Decoder\.{theirs}\.ResMM\.(conv\d)\.(\w+)", rf"decoder.{ours}.block.\1.\2"),
        )
    ),
    (r"Decoder\.pred2\.(\w+)", r"decoder.predict.\1"),
)

TABLES = {"mivos": MIVOS, "stm": STM}
KNOWN_BY = {"mivos": "kv_m_f16.", "stm": "KV_M_r4."}
"""Model -> what some names of its tensors begin with, and no others' do."""
STEM = ("Encoder_M.conv1.weight", "Encoder_M.conv1_m.weight", "Encoder_M.conv1_o.weight")
"""STM's three first convolutions, in the order of our channels."""
PIXELS = re.compile(r"Encoder_[MQ]\.(mean|std)")
"""ImageNet's numbers, which ours has as `pixel_mean` and `pixel_std`."""


def official_model(names: Iterable[str]) -> str | None:
    """Which of our models (configs/model/NAME.yaml) tensors of these names are of; None: of neither."""
    known = list(names)
    for model, start in KNOWN_BY.items():
        if any(name.startswith(start) for name in known):
            return model
    return None


def load_space_time(network: nn.Module, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Fill a network from the official tensors of the model `name`.

    Raises UserError that names tensors which are unknown, missing or of another shape; the network is then unchanged.
    """
    left = {official: value for official, value in tensors.items() if not PIXELS.fullmatch(official)}
    if name == "stm" and all(part in left for part in STEM):
        left[STEM[0]] = torch.cat([left.pop(part) for part in STEM], 1)
    fill_by_name(network, left, lambda official: _our_name(TABLES[name], official))


def _our_name(table: Table, official: str) -> str | None:
    for pattern, replacement in table:
        if match := re.fullmatch(pattern, official):
            return match.expand(replacement)
    return None
