"""Official weights of SiamMask: the names of its own program and of PySOT -> ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from univs.models.weight_files import fill_by_name

PYSOT = (
    (r"backbone\.", "features.features."),
    (r"neck\.downsample\.downsample\.", "features.downsample.downsample."),
    (r"rpn_head\.", "rpn_model."),
    (r"mask_head\.", "mask_model.mask."),
    (r"refine_head\.", "refine_model."),
)
"""How PySOT's names begin, and the official ones."""
MERGES = ("2", "1", "0")
"""Numbers of the stages that are merged, from coarse to fine."""
TABLE = (
    (r"features\.features\.(conv1|bn1)\.(\w+)", r"trunk.\1.\2"),
    *((rf"features\.features\.layer{n + 1}\.(.+)", rf"trunk.stages.{n}.\1") for n in range(3)),
    (r"features\.downsample\.downsample\.([01])\.(\w+)", r"neck.\1.\2"),
    *(
        row
        for theirs, ours in ((r"rpn_model\.cls", "cls"), (r"rpn_model\.loc", "loc"), (r"mask_model\.mask", "mask"))
        for row in (
            (rf"{theirs}\.conv_kernel\.([01])\.(\w+)", rf"{ours}.kernel.\1.\2"),
            (rf"{theirs}\.conv_search\.([01])\.(\w+)", rf"{ours}.crop.\1.\2"),
            (rf"{theirs}\.head\.([01])\.(\w+)", rf"{ours}.head.\1.\2"),
            (rf"{theirs}\.head\.3\.(\w+)", rf"{ours}.head.2.\1"),
        )
    ),
    (r"refine_model\.deconv\.(\w+)", r"refinement.deconv.\1"),
    *(
        row
        for place, merge in enumerate(MERGES)
        for row in (
            (rf"refine_model\.v{merge}\.([02])\.(\w+)", rf"refinement.beside.{place}.\1.\2"),
            (rf"refine_model\.h{merge}\.([02])\.(\w+)", rf"refinement.running.{place}.\1.\2"),
            (rf"refine_model\.post{place}\.(\w+)", rf"refinement.after.{place}.\1"),
        )
    ),
)
BEGINNINGS = ("mask_model.mask.", "refine_model.")
"""Of names that the base model and the refined one have, and of those that the refined one alone has."""


def official_siammask(names: Iterable[str]) -> str | None:
    """Which of our models (configs/model/NAME.yaml) tensors of these names are of; None: of none of them."""
    known = [official_name(name) for name in names]
    coarse, refined = (any(name.startswith(beginning) for name in known) for beginning in BEGINNINGS)
    if not coarse or not any(name.startswith("features.downsample.") for name in known):
        return None
    return "siammask" if refined else "siammask_base"


def official_name(name: str) -> str:
    """The name in the official program of a tensor that PySOT may call otherwise."""
    for beginning, official in PYSOT:
        if match := re.match(beginning, name):
            return official + name[match.end() :]
    return name


def load_siammask(network: nn.Module, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Fill a network from the official tensors of the model `name` (`official_siammask`).

    Raises UserError that names tensors which are unknown, missing or of another shape; the network is then unchanged.
    """
    assert name in ("siammask", "siammask_base")
    fill_by_name(network, tensors, our_name)


def our_name(name: str) -> str | None:
    """Our name of an official tensor; None: it has none."""
    official = official_name(name)
    for pattern, replacement in TABLE:
        if match := re.fullmatch(pattern, official):
            return match.expand(replacement)
    return None
