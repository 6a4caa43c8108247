"""CamVid in eleven classes, stored as 0 to 10, above them void; the frames of a split lie in one folder.

Frames are called SEQUENCE_NUMBER: those of one sequence are one video.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from univs.errors import UserError
from univs.formats.answer_writer import Take, frame_file, wanted_frames
from univs.formats.class_maps import ClassCodes, ClassFolders
from univs.formats.files import list_frames, write_lines
from univs.formats.label_maps import label_files, video_name, write_frames
from univs.formats.lazy import LazyRecordings
from univs.formats.recording import Recording, RecordingSet
from univs.formats.sample import VideoSample
from univs.formats.truth_files import link
from univs.video.pictures import write_picture
from univs.vocabularies.vocabulary import vocabulary


def codes() -> ClassCodes:
    """The eleven classes of SegNet's CamVid."""
    known = vocabulary("camvid")
    classes = dict(enumerate(known.names))
    return ClassCodes(classes, known.things or frozenset(), 1, tuple(range(len(classes), 256)))


def folders(root: Path, split: str) -> tuple[Path, Path]:
    """Where the frames and the label maps of a split lie. Raises UserError if they are nowhere."""
    plain = (root / split / "images", root / split / "labels")
    segnet = (root / split, root / f"{split}annot")
    for images, labels in (plain, segnet):
        if images.is_dir() and labels.is_dir():
            return images, labels
    raise UserError(f"camvid {split}: no folders {segnet[0]} and {segnet[1]} (nor {plain[0]} and {plain[1]})")


def read(root: Path, split: str) -> RecordingSet:
    """A split in `root`: val, test or train. Raises UserError that names what is missing or does not fit."""
    what = f"camvid {split}"
    images, labels = folders(root, split)
    sequences: dict[str, list[Path]] = {}
    for frame in list_frames(images, what):
        sequences.setdefault(frame.stem.rpartition("_")[0] or split, []).append(frame)
    items = tuple((name, tuple(frames)) for name, frames in sequences.items())
    known = codes()
    make = partial(_recording, labels, known, what)
    return RecordingSet("camvid", split, root, LazyRecordings(make, items), known.classes, known.things)


def _recording(labels: Path, known: ClassCodes, what: str, item: tuple[str, tuple[Path, ...]]) -> Recording:
    name, frames = item
    return known.recording(name, frames, label_files(frames, labels, what, all_listed=False))


def write(samples: Iterable[VideoSample], root: Path, split: str) -> None:
    """Writes clips with panoptic maps as a split in the layout of SegNet; classes are borrowed."""
    lines = []
    for place, sample in enumerate(samples):
        stems = [f"{video_name(sample, place)}_{number:06d}" for number in range(len(sample.frames))]
        maps = codes().of(sample)
        write_frames(root / split, sample, stems, ".png")
        for stem, classes in zip(stems, maps, strict=True):
            write_picture(root / f"{split}annot" / f"{stem}.png", classes)
            lines.append(f"/SegNet/CamVid/{split}/{stem}.png /SegNet/CamVid/{split}annot/{stem}.png")
    write_lines(root / f"{split}.txt", lines)


class ClassFiles(ClassFolders):
    """Answers as FRAME.png of all videos in one folder, grey."""

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        super().__init__(folder, data, lowest=0)

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        yield partial(self.write, recording, self.pred)

    def has(self, recording: Recording) -> bool:
        return all((self.pred / frame_file(recording, index)).is_file() for index in wanted_frames(recording))


def truth(data: RecordingSet, recordings: Sequence[Recording], folder: Path) -> Path | None:
    """For the scorer: label maps of all videos in one folder (CamVid)."""
    files = [path for recording in recordings for path in recording.label_files]
    for path in files:
        link(folder / path.name, path)
    return folder if files else None
