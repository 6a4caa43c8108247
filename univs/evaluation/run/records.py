"""What a model's run over one video left behind: one JSON file per video, with the settings it was made under."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from univs.formats.files import write_json

BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""What reading a record may raise: there is no such file, it is no record, or of something else."""


def read_record(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A record in plain values. Raises one of BROKEN if there is none that was made under these settings."""
    content: dict[str, Any] = json.loads(path.read_text())
    if content["settings"] != settings:
        raise ValueError("made under other settings")
    return content


def of_other_runs(folder: Path, names: Iterable[str]) -> str:
    """A sentence on the records in a folder that are not of the run over `names`; empty if there is none."""
    own = {f"{name}.json" for name in names}
    count = sum(path.relative_to(folder).as_posix() not in own for path in folder.rglob("[!.]*.json"))
    return f"{folder} also holds {count} of other runs, which no figure here counts" if count else ""


@dataclass(frozen=True)
class VideoRecord:
    """What is known of a video that has been answered."""

    name: str
    num_frames: int  # that the model looked at
    seconds: float  # spent in the model
    first_ious: Mapping[str, float] = field(default_factory=dict)
    """Object id -> IoU of its answer with its true mask on the frame on which it was shown."""

    @property
    def speed(self) -> float:
        """Frames a second."""
        return self.num_frames / self.seconds if self.seconds > 0 else math.nan

    def write(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Writes the record with the settings it was made under, whole or not at all."""
        write_json(path, {"settings": settings, **asdict(self)}, indent=1)

    @classmethod
    def read(cls, path: Path, settings: Mapping[str, Any]) -> VideoRecord | None:
        """The record in a file; None if there is none, or it cannot be read, or was made under other settings."""
        try:
            content = read_record(path, settings)
            ious = {str(number): float(iou) for number, iou in content["first_ious"].items()}
            return cls(str(content["name"]), int(content["num_frames"]), float(content["seconds"]), ious)
        except BROKEN:
            return None
