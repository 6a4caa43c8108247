"""Checkpoints of a run: everything needed to go on where it stopped, written atomically, read without pickles."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from univs.errors import UserError
from univs.models.weight_files import read_plain


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain containers) so that a killed run leaves the previous checkpoint whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".partial")
    torch.save(state, temporary)
    os.replace(temporary, path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state at `path`, or None where there is none yet.

    Raises:
        UserError: the file is not a checkpoint of `univs train`.
    """
    if not path.exists():
        return None
    try:
        state = read_plain(path)
    except UserError as error:
        raise UserError(f"{path} is not a readable checkpoint; delete it to start anew ({error})") from error
    if not isinstance(state, dict) or "step" not in state:
        raise UserError(f"{path} is not a checkpoint of univs train; delete it or choose another out=")
    return state


def check_origin(path: Path, state: Mapping[str, Any], origin: Mapping[str, str]) -> None:
    """Raise UserError where the run of a checkpoint was begun with other settings; those of which it, or `origin`, says
    nothing are not compared."""
    for name, value in state.get("origin", {}).items():  # checkpoints of earlier versions have none
        if origin.get(name, value) != value:
            raise UserError(
                f"{path} is of a run with {name}={value}, not {origin[name]}; choose another out=, or give what it was "
                "begun with to go on"
            )
