"""Where weights lie; torch is not needed to know."""

from __future__ import annotations

from pathlib import Path

from univs.errors import UserError

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"


def weights_path(given: str) -> Path:
    """The file behind a built-in name or a path. Raises UserError for an unknown name and a file that is not there."""
    path = Path(given)
    built_in = sorted(file.stem for file in WEIGHTS.glob("*.safetensors"))
    if given not in built_in:
        if path.is_dir():
            raise UserError(f"the weights {given} are a folder; name the file in it")
        if path.is_file():
            return path
        if path.suffix in (".safetensors", ".pth", ".pkl", ".pt", ".ckpt", ".bin") or len(path.parts) > 1:
            raise UserError(f"no weights file at {given}")
        known = ", ".join(built_in) or "none is built in"
        raise UserError(
            f"unknown weights {given!r}: give a name ({known}), a .safetensors file, or an official .pth or .pkl file"
        )
    return WEIGHTS / f"{given}.safetensors"
