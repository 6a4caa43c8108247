"""Whether a download of a public set is whole: what is there of each split, and what is missing or unreadable."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from univs.devices import cores
from univs.errors import UserError
from univs.formats.recording import Recording, RecordingSet
from univs.formats.sets import read_set, splits_to_read
from univs.video.pictures import check_picture

SHOWN = 20
"""So many problems of a split are named; all are counted."""
BATCH = 64
"""Videos that wait for a thread at once; a set may have millions."""
DEPTH = 3
"""Folders below the root in which the files of a split are looked for."""
CONTENT = re.compile(r"JPEGImages|Annotations.*|images?|labels?|masks?", re.IGNORECASE)
"""Folders of videos, whose names say nothing about splits."""

Advance = Callable[[int, int], object]
"""Called with the number of videos done and of all videos."""


@dataclass
class SplitReport:
    """What was found of a split.

    frames: named by the set. annotated: those that have labels. problems: the first SHOWN things that are missing or
    unreadable; count: all of them.
    """

    split: str
    there: bool = True
    videos: int = 0
    frames: int = 0
    annotated: int = 0
    count: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, problem: str) -> None:
        """One more thing that is wrong."""
        self.count += 1
        if self.count <= SHOWN:
            self.problems.append(problem)


def check(
    name: str, root: Path, split: str | None = None, advance: Advance = lambda done, total: None
) -> list[SplitReport]:
    """What is there and what is wrong of a split, or of each.

    A split is not there if it cannot be read and nothing in `root` bears its name. Raises UserError for an unknown set
    or split and for a missing folder.
    """
    reports = []
    for chosen in splits_to_read(name, root, split):
        report = SplitReport(chosen)
        try:
            data = read_set(name, root, chosen)
        except UserError as error:
            report.there = split is not None or bears_name(root, chosen)
            if report.there:
                report.add(str(error))
        else:
            check_split(data, report, advance)
        reports.append(report)
    return reports


def check_split(data: RecordingSet, report: SplitReport, advance: Advance) -> None:
    """Looks at every video: all files must be there and readable to their end."""
    for found in check_videos(data.recordings):
        report.videos += 1
        report.frames += found.frames
        report.annotated += found.annotated
        for problem in found.problems:
            report.add(problem)
        advance(report.videos, len(data.recordings))


def need_whole(recordings: Sequence[Recording], advance: Advance = lambda done, total: None, command: str = "") -> None:
    """Raises UserError for the first thing that is missing or unreadable of some videos, before hours go into them.

    command: what lists everything of the kind, if anything does.
    """
    for place, found in enumerate(check_videos(recordings), 1):
        if found.problems:
            more = f" ({command} lists everything of the kind)" if command else ""
            raise UserError(f"{found.problems[0]}{more}")
        advance(place, len(recordings))


class VideoReport(NamedTuple):
    """What was found of a video."""

    frames: int
    annotated: int
    problems: list[str]


def check_videos(recordings: Sequence[Recording]) -> Iterator[VideoReport]:
    """What is missing or unreadable of each video, in their order."""
    count = len(recordings)
    with ThreadPoolExecutor(cores()) as pool:  # Pillow decodes outside of Python's lock
        for start in range(0, count, BATCH):
            yield from pool.map(partial(_check_video, recordings), range(start, min(start + BATCH, count)))


def _check_video(recordings: Sequence[Recording], place: int) -> VideoReport:
    try:
        recording = recordings[place]
    except UserError as error:
        return VideoReport(0, 0, [str(error)])
    return VideoReport(len(recording), len(recording.annotated), list(problems_of(recording)))


def problems_of(recording: Recording) -> Iterator[str]:
    """What is missing or unreadable of a video. Every frame is decoded, every mask read; one frame is in memory.

    Nothing can be wrong with frames that are drawn.
    """
    if recording.drawn is not None:
        return
    missing = {path for path in (*recording.frames, *recording.label_files) if not path.is_file()}
    for path in (*recording.frames, *recording.label_files):
        if path in missing:
            yield f"{path} is missing"
    first: tuple[int, int] | None = None
    for index, path in enumerate(recording.frames):
        if path in missing:
            continue
        try:
            size = check_picture(path)
            labels = recording.labels_of(index)
            if labels is not None:
                recording.check_size(index, size, labels)
        except UserError as error:
            if not any(str(other) in str(error) for other in missing):
                yield str(error)
            continue
        first = first or size
        if size != first:
            yield f"{path} is {size[0]}x{size[1]} (height x width), the frames before it {first[0]}x{first[1]}"


def bears_name(root: Path, split: str) -> bool:
    """Whether a file or folder of the first few levels is called after the split."""
    named = re.compile(rf"(?:^|[^a-z]){re.escape(split.lower())}(?:[^a-z]|$)")

    def found(folder: Path, depth: int) -> bool:
        for path in sorted(folder.iterdir()):
            if named.search(path.name.lower()):
                return True
            if depth > 1 and path.is_dir() and not CONTENT.fullmatch(path.name) and found(path, depth - 1):
                return True
        return False

    return found(root, DEPTH)
