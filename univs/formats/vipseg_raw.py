"""VIPSeg as it is downloaded: videos in `imgs`, their label maps in `panomasks` as grey PNG of 16 bits.

A value below 125 is a class, counted from 1, as a whole; any other is 100 times a class and the number of an instance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from univs.errors import UserError
from univs.formats.files import expecting, first_file, inside, list_frames, read_json, read_lines
from univs.formats.label_maps import label_files
from univs.formats.lazy import LazyRecordings
from univs.formats.panoptic_png import OurSegments, Segment, things_in
from univs.formats.recording import FrameLabels, Recording, RecordingSet
from univs.masks.mask_files import read_values
from univs.vocabularies.vocabulary import vocabulary

TITLE = "VIPSeg"
CATEGORIES = "panoVIPSeg_categories.json"
WHOLE = 125
"""Values from here on are those of instances."""


def read_raw(root: Path, split: str, what: str) -> RecordingSet:
    """A split. Without `panoVIPSeg_categories.json` the classes are the 124 known ones. what: heads an error."""
    videos = read_lines(first_file(root, [f"{split}.txt"], what), TITLE)
    names, things = raw_classes(root)
    make = partial(make_raw, root=root, names=names, things=things, unlabelled=split == "test")
    return RecordingSet("vipseg", split, root, LazyRecordings(make, videos), names, things)


def raw_classes(root: Path) -> tuple[dict[int, str], frozenset[int]]:
    """Names of the classes from 0, and which are things."""
    path = root / CATEGORIES
    if path.is_file():
        content = read_json(path, TITLE)
        with expecting(path, "a list of id, name, isthing"):
            return things_in(content)
    known = vocabulary("vipseg")
    return dict(enumerate(known.names)), known.things or frozenset()


def make_raw(video: str, *, root: Path, names: dict[int, str], things: frozenset[int], unlabelled: bool) -> Recording:
    """The recording of a video; its label maps are looked through when its categories are asked for."""
    frames = list_frames(inside(root / "imgs", video), f"{TITLE} frames")
    maps = inside(root / "panomasks", video)
    if unlabelled and not maps.is_dir():
        return Recording(video, frames, key=video)
    files = label_files(frames, maps, TITLE)
    scanned = RawVideo(files, names, things)
    return Recording(
        name=video,
        frames=frames,
        annotated=tuple(files),
        labels=scanned.labels,
        label_files=tuple(files.values()),
        key=video,
        categories=RawNames(scanned, 0),
        stuff=RawNames(scanned, 1),
        complete=True,
    )


@dataclass(frozen=True)
class RawVideo:
    """The label maps of a video, frame -> file, and the classes from 0."""

    files: Mapping[int, Path]
    names: Mapping[int, str]
    things: frozenset[int]

    @cached_property
    def segments(self) -> list[Segment]:
        """Every segment of every frame; read when first asked for. Raises UserError for values of no class."""
        found = []
        for path in self.files.values():
            pixels = np.bincount(read_values(path).reshape(-1))
            for value in np.flatnonzero(pixels).tolist():
                category = (value if value < WHOLE else value // 100) - 1
                if value and category not in self.names:
                    raise UserError(f"{path} holds the value {value}, which is of no class of {TITLE}")
                if value:
                    found.append(Segment(value, category, category in self.things, float(pixels[value])))
        return found

    @cached_property
    def numbered(self) -> OurSegments:
        """The same under our ids."""
        return OurSegments.of(self.segments, self.names)

    def labels(self, index: int) -> FrameLabels:
        """The labels of a frame."""
        return self.numbered.labels(read_values(self.files[index]))


class RawNames(Mapping[int, str]):
    """Names of the things (part 0) or of the stuff (1) of a video, known once its label maps have been read."""

    def __init__(self, video: RawVideo, part: int) -> None:
        self._video, self._part = video, part

    @property
    def _names(self) -> dict[int, str]:
        return (self._video.numbered.categories, self._video.numbered.stuff)[self._part]

    def __getitem__(self, number: int) -> str:
        return self._names[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
