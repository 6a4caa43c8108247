"""Masks of chosen tracks of `results.json`, frame by frame: they lie in a temporary database, not in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.masks.overlaps import draw
from univs.masks.rle import read_masks

if TYPE_CHECKING:
    from typing_extensions import Self

RESULTS = "results.json"
KEYS = ("object_id", "height", "width", "segmentations")


class SubjectMasks:
    """The union of some tracks. A context manager: closing it deletes the database.

    Args:
        source: a folder of `univs segment`, or its results.json.
        object_ids: of the tracks; none: all.
        size: (height, width) of the frames.
        frames: how many the video has; None: nobody has counted them.
    Raises UserError for a file of another kind or of another video, without tracks, and for ids that it does not have.
    """

    def __init__(
        self, source: Path, object_ids: Sequence[int], size: tuple[int, int], frames: int | None = None
    ) -> None:
        self.path = source / RESULTS if source.is_dir() else source
        self.size, self.num_frames = size, 0
        self._database = sqlite3.connect("")  # on disk, without a name
        self._database.execute("CREATE TABLE masks (frame INTEGER, counts TEXT)")
        known: set[int] = set()
        try:
            for entry in self._entries():
                known.add(self._take(entry, object_ids))
            self._check(known, object_ids, frames)
        except BaseException:
            self.close()
            raise
        self._database.execute("CREATE INDEX by_frame ON masks (frame)")

    def _check(self, known: set[int], object_ids: Sequence[int], frames: int | None) -> None:
        """Raise UserError for what the tracks do not have, and where the video has more or fewer frames."""
        if not known:
            raise UserError(f"{self.path} holds no tracks: nothing was found in the video, and there is no subject")
        if missing := sorted(set(object_ids) - known):
            has = ", ".join(map(str, sorted(known)))
            raise UserError(f"--object {missing[0]}: {self.path} has no track of that id; it has {has}")
        if frames is not None:
            self.ends_with(frames)

    def ends_with(self, frames: int) -> None:
        """Raise UserError if the results are of more or fewer frames than the video, of which there are so many."""
        if frames != self.num_frames:
            raise UserError(
                f"{self.path} is of {self.num_frames} frames and the video has {frames}; give the results of this video"
            )

    def mask(self, index: int) -> NDArray[np.bool_]:
        """H W, where any of the tracks is on a frame. UserError for a frame that the results do not have."""
        if index >= self.num_frames:
            raise UserError(f"{self.path} ends after {self.num_frames} frames and the video goes on; give its results")
        union = np.zeros(self.size, bool)
        for (counts,) in self._database.execute("SELECT counts FROM masks WHERE frame = ?", (index,)):
            union |= draw({"size": list(self.size), "counts": counts})
        return union

    def _entries(self) -> Iterator[Mapping[str, Any]]:
        from univs.evaluation.metrics.json_items import json_arrays

        if not self.path.is_file():
            raise UserError(f"--mask {self.path} does not exist; give the folder of univs segment, or its {RESULTS}")
        for key, items in json_arrays(self.path, "tracks of univs segment"):
            for item in items:
                if key is not None or not isinstance(item.value, dict) or any(name not in item.value for name in KEYS):
                    raise UserError(f"{self.path} is no {RESULTS} of univs segment: its entries lack {', '.join(KEYS)}")
                yield item.value

    def _take(self, entry: Mapping[str, Any], object_ids: Sequence[int]) -> int:
        """Keep the masks of a track that is asked for; its id."""
        object_id, masks = entry["object_id"], entry["segmentations"]
        if not isinstance(object_id, int) or isinstance(object_id, bool) or not isinstance(masks, list):
            raise UserError(f"{self.path} is no {RESULTS} of univs segment: object_id is {object_id!r:.40}")
        if (entry["height"], entry["width"]) != self.size:
            given, own = f"{entry['width']}x{entry['height']}", f"{self.size[1]}x{self.size[0]}"
            raise UserError(f"{self.path} is of frames of {given} pixels, those of the video have {own}")
        self.num_frames = max(self.num_frames, len(masks))
        if not object_ids or object_id in object_ids:
            read = read_masks(masks, self.size, lambda t: f"the mask of object {object_id} on frame {t} of {self.path}")
            rows = ((t, _text(rle["counts"])) for t, rle in enumerate(read.rles) if rle is not None)
            self._database.executemany("INSERT INTO masks VALUES (?, ?)", rows)
        return object_id

    def close(self) -> None:
        """Delete the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _text(counts: str | bytes) -> str:
    return counts if isinstance(counts, str) else counts.decode("ascii")
