"""Whether a download of a public set is whole: what is there of each split, and what is missing or unreadable."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from univs.data.public.recording import Recording, RecordingSet
from univs.data.public.sets import find_set, read_set
from univs.errors import UserError

SHOWN = 20
"""So many problems of a split are named; all are counted."""
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
    known = find_set(name)
    if not root.is_dir():
        raise UserError(f"{name}: no folder {root}")
    if split is not None and split not in known.splits:
        raise UserError(f"{name} has no split {split!r}; it has {', '.join(known.splits)}")
    reports = []
    for chosen in known.splits if split is None else (split,):
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
    """Looks at every video: all files must be there, and the first and the last frame readable."""
    for place in range(len(data.recordings)):
        report.videos += 1
        try:
            recording = data.recordings[place]
        except UserError as error:
            report.add(str(error))
        else:
            report.frames += len(recording)
            report.annotated += len(recording.annotated)
            for problem in problems_of(recording):
                report.add(problem)
        advance(place + 1, len(data.recordings))


def problems_of(recording: Recording) -> Iterator[str]:
    """What is missing or unreadable of a video."""
    missing = {path for path in (*recording.frames, *recording.label_files) if not path.is_file()}
    for path in (*recording.frames, *recording.label_files):
        if path in missing:
            yield f"{path} is missing"
    ends = {*_ends(range(len(recording))), *_ends(recording.annotated)}
    for index in sorted(ends):
        if recording.frames[index] in missing:
            continue
        try:
            size = recording.frame(index).shape[:2]
            labels = recording.labels_of(index)
        except UserError as error:
            if not any(str(path) in str(error) for path in missing):
                yield str(error)
            continue
        if labels is not None and labels.objects.shape != size:
            found = "x".join(map(str, labels.objects.shape))
            yield f"the labels of {recording.frames[index]} are {found} (height x width), the frame {size[0]}x{size[1]}"


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


def _ends(places: range | tuple[int, ...]) -> set[int]:
    return {places[0], places[-1]} if len(places) else set()
