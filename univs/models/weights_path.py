"""Where weights lie; torch is not needed to know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from univs.configuration import configs_folder
from univs.errors import UserError
from univs.files import cache_folder
from univs.models.tensorflow_files import is_checkpoint

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"


RVOS_FILES = ("encoder.pt", "decoder.pt")
"""What the folder of official weights of RVOS holds."""


@dataclass(frozen=True)
class OfficialFile:
    """Weights that others publish, under terms of their own: what their file is called, and where it is to be had.

    parts: files in it, where it is a folder.
    """

    name: str
    page: str
    parts: tuple[str, ...] = ()
    source: str | None = None
    """What is published in its place, and who makes the file of it."""


OFFICIAL = {
    "feelvos": OfficialFile(
        "feelvos.npz",
        "https://github.com/tensorflow/models/tree/archive/research/feelvos",
        source="a checkpoint, model.ckpt-200004, of which tools/variables_to_npz.py makes it where tensorflow is",
    ),
    "mivos": OfficialFile("propagation_model.pth", "https://github.com/hkchengrex/MiVOS"),
    "stm": OfficialFile("STM_weights.pth", "https://github.com/seoungwugoh/STM"),
    "rvos": OfficialFile("rvos_one_shot", "https://github.com/imatge-upc/rvos", RVOS_FILES),
    "rvos_zero_shot": OfficialFile("rvos_zero_shot", "https://github.com/imatge-upc/rvos", RVOS_FILES),
    "siammask": OfficialFile("SiamMask_DAVIS.pth", "https://github.com/foolwood/SiamMask"),
}
"""Name of a model -> its file; these hosts hand files out to people, not to programs."""


FOR_TASK = {("rvos", "zero_shot"): "rvos_zero_shot"}
"""Model and task -> the model of the same family that answers the task."""


def model_for(model: str, task: str) -> str:
    """Which model a person means who names a family and a task."""
    return FOR_TASK.get((model, task), model)


def weights_path(given: str) -> Path:
    """The file behind a built-in name, the name of official weights, or a path; for RVOS the folder of its two files.

    Raises UserError for an unknown name and a file that is not there.
    """
    path = Path(given)
    if given in OFFICIAL:
        return official_path(given)
    built_in = sorted(file.stem for file in WEIGHTS.glob("*.safetensors"))
    if given not in built_in:
        if path.is_dir() and all((path / name).is_file() for name in RVOS_FILES):
            return path
        if path.is_dir():
            raise UserError(f"the weights {given} are a folder; name the file in it")
        if path.is_file() or is_checkpoint(path):
            return path
        if path.suffix in (".safetensors", ".pth", ".pkl", ".npz", ".pt", ".ckpt", ".bin") or len(path.parts) > 1:
            raise UserError(f"no weights file at {given}")
        if (configs_folder() / "model" / f"{given}.yaml").is_file():
            raise UserError(f"no weights of {given} are here: univs models says where they come from; give their file")
        known = ", ".join((*built_in, *OFFICIAL))
        raise UserError(
            f"unknown weights {given!r}: give a name ({known}), a .safetensors file, or an official .pth, .pkl, .npz"
        )
    return WEIGHTS / f"{given}.safetensors"


def official_path(model: str) -> Path:
    """Where the official weights of a model lie. Raises UserError that says how to get them if they are not there."""
    file = OFFICIAL[model]
    path = cache_folder() / "weights" / file.name
    if not all(part.is_file() for part in ([path / name for name in file.parts] or [path])):
        what = f"{' and '.join(file.parts)} from {file.page} and put them" if file.parts else ""
        made = f" ({file.source})" if file.source else ""
        what = what or f"{file.name} from {file.page}{made} and put it"
        raise UserError(
            f"the official weights of {model} are not at {path}: get {what} there, or give the path as the weights"
        )
    return path
