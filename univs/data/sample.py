"""The one type that every data set of videos yields."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

IGNORE = 255


@dataclass(frozen=True)
class VideoSample:
    """Frames of one clip with the objects labelled on them.

    T frames of H x W pixels. Labels hold object ids 1..254, 0 where there is background (or nothing labelled, see
    `complete`) and 255 where nothing is known and no loss or score may be taken.
    """

    frames: np.ndarray  # T H W 3 uint8 RGB
    labels: np.ndarray  # T H W uint8
    categories: dict[int, str] = field(default_factory=dict)  # object id -> noun; may be empty
    complete: bool = False  # True: every object is labelled, so label 0 is background
    name: str = ""

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[-1] != 3 or self.frames.dtype != np.uint8:
            raise ValueError(f"frames must be T H W 3 uint8, not {self.frames.shape} {self.frames.dtype}")
        if self.labels.shape != self.frames.shape[:3] or self.labels.dtype != np.uint8:
            raise ValueError(f"labels must be T H W uint8 like the frames, not {self.labels.shape} {self.labels.dtype}")

    def object_ids(self, frame: int | None = None) -> list[int]:
        """Ids (ascending) of the objects seen on one frame, or on any frame."""
        labels = self.labels if frame is None else self.labels[frame]
        return [int(i) for i in np.unique(labels) if i not in (0, IGNORE)]
