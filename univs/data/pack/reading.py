"""The sources in a pack: photos, videos and samples of words as their own readers give them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from PIL import Image

from univs.data.pack.archive import Archive
from univs.data.pack.contents import (
    INDEX,
    PackedFrame,
    PackedSource,
    Recorded,
    Use,
    member,
    read_index,
    read_labels,
    read_recorded,
    recordings_member,
)
from univs.data.photo import Photo
from univs.data.source_settings import OpenedSource, SourceSettings
from univs.data.synth import SynthVS
from univs.errors import UserError
from univs.formats.sample import VideoSample
from univs.settings import check, check_value, settings_of
from univs.video.pictures import one_line_errors

STAGES = {"clips": "stage=clip or stage=image", "words": "stage=words"}


class Recordings:
    """The recordings of one source of a pack, each parsed when it is asked for."""

    def __init__(self, archive: Archive, number: int, source: PackedSource) -> None:
        """Raises UserError unless there is a line for each recording."""
        self.archive, self.number, self.source = archive, number, source
        # One text and the places of its lines: a million small objects would be copied in every process of a loader.
        self._lines = archive.read(recordings_member(number))
        self._ends = np.flatnonzero(np.frombuffer(self._lines, np.uint8) == ord("\n"))
        if len(self._ends) != source.recordings:
            raise UserError(
                f"the pack {archive.path} names {len(self._ends)} recordings in {recordings_member(number)}, "
                f"{source.recordings} in {INDEX}; pack it again"
            )

    def __len__(self) -> int:
        return self.source.recordings

    def recorded(self, index: int) -> Recorded:
        """What is known of a recording without its frames."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        start = int(self._ends[index - 1]) + 1 if index else 0
        return read_recorded(
            self._lines[start : int(self._ends[index])],
            f"the pack {self.archive.path}, {recordings_member(self.number)}",
        )

    def frame(self, index: int, frame: int) -> PackedFrame:
        """A frame and its labels. Raises UserError for what is broken, and where the two differ in size."""
        name = member(self.number, index, frame, "webp")
        content = self.archive.read(name)
        with one_line_errors(f"{name} of the pack {self.archive.path}", "picture"):
            with Image.open(io.BytesIO(content), formats=("WEBP",)) as picture:
                image = np.array(picture.convert("RGB"))
        name = member(self.number, index, frame, "json")
        labels, panoptic = read_labels(self.archive.read(name), f"{name} of the pack {self.archive.path}")
        if labels.shape != image.shape[:2]:
            raise UserError(f"the pack {self.archive.path} is broken: {name} is not of the size of its picture")
        return PackedFrame(image, labels, panoptic)


class PackedPhotos:
    """Photos of a pack (a `PhotoSource`)."""

    def __init__(self, recordings: Recordings) -> None:
        self.name, self._recordings = recordings.source.name, recordings

    def __len__(self) -> int:
        return len(self._recordings)

    def nouns(self, index: int) -> frozenset[str]:
        return frozenset(self._recordings.recorded(index).nouns)

    def __getitem__(self, index: int) -> Photo:
        recorded = self._recordings.recorded(index)
        image, labels, _ = self._recordings.frame(index, 0)
        return Photo(image, labels, recorded.categories, recorded.complete, recorded.name)


class PackedVideo:
    """A labelled video of a pack (a `LabelledVideo`)."""

    def __init__(self, recordings: Recordings, index: int) -> None:
        recorded = recordings.recorded(index)
        self.name, self.complete, self.annotated = recorded.name, recorded.complete, range(recorded.frames)
        self._recordings, self._index = recordings, index

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, labels, _ = self._recordings.frame(self._index, index)
        return image, labels


class PackedVideos(Sequence[PackedVideo]):
    """The labelled videos of a source of a pack."""

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings

    def __len__(self) -> int:
        return len(self._recordings)

    @overload
    def __getitem__(self, index: int) -> PackedVideo: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[PackedVideo]: ...

    def __getitem__(self, index: int | slice) -> PackedVideo | Sequence[PackedVideo]:
        if isinstance(index, slice):
            return [self[k] for k in range(len(self))[index]]
        return PackedVideo(self._recordings, index)


class PackedSamples:
    """Labelled images with merged names of a pack, as the sources of words are."""

    def __init__(self, recordings: Recordings) -> None:
        self.names = tuple(recordings.source.names)
        self.stuff_names = frozenset(recordings.source.stuff_names)
        self._recordings = recordings

    def __len__(self) -> int:
        return len(self._recordings)

    def __getitem__(self, index: int) -> VideoSample:
        recorded = self._recordings.recorded(index)
        frames = [self._recordings.frame(index, k) for k in range(recorded.frames)]
        panoptic = [frame.panoptic for frame in frames if frame.panoptic is not None]
        return VideoSample(
            np.stack([frame.image for frame in frames]),
            np.stack([frame.labels for frame in frames]),
            recorded.categories,
            recorded.complete,
            recorded.name,
            np.stack(panoptic) if panoptic else None,
            recorded.stuff,
            recorded.expressions,
        )


SORTS: Mapping[str, Callable[[Recordings], Any]] = {
    "photos": PackedPhotos,
    "videos": PackedVideos,
    "samples": PackedSamples,
}


def open_pack(file: str | Path, use: Use, made: Callable[..., Any] | None = None) -> list[OpenedSource]:
    """The sources of a pack, in the order in which they were packed.

    use: what they are wanted for. made: makes those that are not stored, of their options. Raises UserError for what is
    no pack, is cut off, or was packed for something else.
    """
    path = Path(file)
    archive = Archive(path)
    index, sources = read_index(archive.read(INDEX), str(path))
    if index.use != use:
        raise UserError(f"the pack {path} is for {STAGES[index.use]}; pack its sources again with {STAGES[use]}")
    opened: list[OpenedSource] = []
    for number, source in enumerate(sources):
        settings = SourceSettings("pack", source.weight, (source.gaps[0], source.gaps[1]))
        name = f"pack {path}: {source.name or number}"
        if source.sort == "made":
            if made is None:
                raise UserError(f"the pack {path} has a source for {STAGES['words']} alone")
            opened.append(OpenedSource(settings, made(**source.options), name))
        else:
            recordings = Recordings(archive, number, source)
            opened.append(OpenedSource(settings, SORTS[source.sort](recordings), name))
    return opened


def with_packed_settings(data: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of `data` for clips, with `probabilities` and `synth` of its pack where they are null.

    Raises UserError where they are null and not one source, but none or several, is a pack.
    """
    missing = [name for name in ("probabilities", "synth") if data[name] is None]
    if not missing:
        return dict(data)
    files = [source.get("file") for source in data["sources"] if source.get("kind") == "pack"]
    if len(files) != 1:
        raise UserError(f"data.{missing[0]} is null, which stands for that of a pack; {len(files)} sources are packs")
    check_value("data.sources: file of the pack", files[0], str | Path)
    index, _ = read_index(Archive(Path(files[0])).read(INDEX), str(files[0]))
    found = {name: getattr(index, name) for name in missing}
    if None in found.values():
        raise UserError(f"the pack {files[0]} is for {STAGES[index.use]}; it has no probabilities of clips")
    if "synth" in found:
        check(found["synth"], settings_of(SynthVS, leave_out=("split",)), f"{files[0]}, synth")
    return {**data, **found}
