"""`univs models`: all networks there are, what they do, and where their weights come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from univs.configuration import configs_folder
from univs.errors import UserError
from univs.models.weights_path import OFFICIAL, WEIGHTS, official_path
from univs.terminal import plain_console

HELPERS = ("fusion", "scribble_to_mask", "scribble_to_mask_light")
"""Networks that follow nothing by themselves: parts of interactive sessions."""
SHOWN_BY: dict[str, tuple[str, ...]] = {
    "UniVS": ("mask", "box", "points", "scribble"),
    "SpaceTimeMemory": ("mask",),
    "FEELVOS": ("mask",),
    "RVOS": ("mask",),
    "SiamMask": ("box", "mask"),
    "PortraitNet": (),
    "ScribbleToMask": ("mask", "scribble"),
    "LightScribbleToMask": ("mask", "scribble"),
    "FusionNetwork": ("mask",),
}
"""Network -> what a person can show it."""
UNIVS_PAGE = "https://github.com/MinghanLi/UniVS"


@dataclass(frozen=True)
class Described:
    """A row.

    parameters: in millions. shown_by: prompts that it takes, beside words. weights: where they are, or come from.
    """

    name: str
    parameters: float
    tasks: tuple[str, ...]
    shown_by: tuple[str, ...]
    weights: str


def print_models() -> None:
    """Print a line for each model."""
    rows = [("model", "parameters", "tasks", "shown by", "weights")]
    for row in every_model():
        rows.append((row.name, f"{row.parameters:.2f} M", " ".join(row.tasks), " ".join(row.shown_by), row.weights))
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    console = plain_console()
    for cells in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        console.print(line.rstrip(), highlight=False, soft_wrap=True, markup=False)
    console.print(
        "vos follows what is shown, zero_shot finds it; interactive: parts of univs.interactive.Session. "
        "Speed, memory and multiply-adds: univs benchmark models",
        highlight=False,
        soft_wrap=True,
    )


def every_model() -> list[Described]:
    """All models of configs/model, in the order of their names."""
    return [describe(path.stem) for path in sorted((configs_folder() / "model").glob("*.yaml"))]


def describe(name: str) -> Described:
    """The row of a model; no weights are read."""
    network = network_without_weights(name)
    parameters = sum(value.numel() for value in network.parameters()) / 1e6
    tasks = ("interactive",) if name in HELPERS else tuple(network.trackers())
    shown_by = SHOWN_BY[type(network).__name__]
    return Described(name, parameters, tasks, shown_by if "zero_shot" not in tasks else (), where_weights_are(name))


def network_without_weights(name: str) -> Any:
    """A network of a configuration whose tensors have shapes alone."""
    import torch

    from univs.models import zoo
    from univs.models.fusion import FusionNetwork
    from univs.models.segmenter_files import KINDS, build_segmenter

    numbers = zoo.numbers_of(name)
    with torch.device("meta"):
        if numbers.get("kind") == "fusion":
            return FusionNetwork()
        if numbers.get("kind") in KINDS:
            return build_segmenter(numbers)
        return zoo.build_network(numbers)


def where_weights_are(name: str) -> str:
    """In the package, on this machine, or where a person gets them."""
    if (WEIGHTS / f"{name}.safetensors").is_file():
        return "in the package"
    if name in OFFICIAL:
        try:
            return str(official_path(name))
        except UserError:
            return f"{Path(OFFICIAL[name].name).name}, from {OFFICIAL[name].page}"
    stage = TRAINED.get(name)
    return f"univs train model={name} stage={stage}" if stage else f"official: --weights FILE, from {PAGES[name]}"


TRAINED = {
    "feelvos_light": "feelvos",
    "portrait": "portrait",
    "scribble_to_mask_light": "scribble_to_mask_light",
    "siammask_light": "siammask",
    "stm_light": "propagation_videos",
    "tiny": "clip",
    "fusion": "fusion",
}
"""Models that are trained here -> the stage that does it."""
PAGES = {
    **dict.fromkeys(("r50", "swint", "swinb", "swinl"), UNIVS_PAGE),
    "scribble_to_mask": "https://github.com/hkchengrex/MiVOS",
    "siammask_base": "https://github.com/foolwood/SiamMask",
}
"""Official models whose files have names of their own -> where they are."""
