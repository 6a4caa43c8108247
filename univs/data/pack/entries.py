"""Sources as a pack takes them: recording by recording, each with what is known of it and its frames."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

from univs.data.named_images import Samples, SynthWords
from univs.data.pack.contents import PackedFrame, PackedSource, Recorded
from univs.data.photo import PhotoSource, shrink
from univs.data.source_settings import SourceSettings
from univs.data.video_scenes import LabelledVideo


class Entry(NamedTuple):
    """A recording to be packed; `frame` reads one of its frames, by its place."""

    recorded: Recorded
    frame: Callable[[int], PackedFrame]


class Entries(Protocol):
    """The recordings of a source."""

    @property
    def counts(self) -> Sequence[int]:
        """The frames of each."""
        ...

    def packed(self, settings: SourceSettings) -> PackedSource:
        """What the index says of it."""
        ...

    def __getitem__(self, index: int) -> Entry: ...


class PhotoEntries:
    """Photos; no side is longer than `longest` pixels."""

    def __init__(self, photos: PhotoSource, longest: int) -> None:
        self._photos, self._longest, self.counts = photos, longest, [1] * len(photos)

    def packed(self, settings: SourceSettings) -> PackedSource:
        return PackedSource("photos", self._photos.name, settings.weight, recordings=len(self.counts))

    def __getitem__(self, index: int) -> Entry:
        photo = self._photos[index]
        frame = PackedFrame(*shrink(photo.image, photo.labels, self._longest))
        nouns = tuple(sorted(self._photos.nouns(index)))
        return Entry(Recorded(photo.name, 1, photo.complete, photo.categories, nouns), lambda _: frame)


class NamedVideo(LabelledVideo, Protocol):
    """A labelled video and what its set calls it."""

    @property
    def name(self) -> str: ...


class VideoEntries:
    """The annotated frames of videos."""

    def __init__(self, videos: Sequence[NamedVideo], longest: int) -> None:
        self._videos, self._longest = videos, longest
        self.counts = [len(video.annotated) for video in videos]

    def packed(self, settings: SourceSettings) -> PackedSource:
        folders = {video.name.rpartition("/")[0] for video in self._videos}
        name = folders.pop() if len(folders) == 1 else ""
        return PackedSource("videos", name, settings.weight, settings.gaps, len(self.counts))

    def __getitem__(self, index: int) -> Entry:
        video = self._videos[index]
        recorded = Recorded(video.name, self.counts[index], video.complete)
        return Entry(recorded, lambda place: PackedFrame(*shrink(*video.read(place), self._longest)))


class SampleEntries:
    """Images with names, each a clip of one frame."""

    def __init__(self, samples: Samples, longest: int) -> None:
        self._samples, self._longest, self.counts = samples, longest, [1] * len(samples)

    def packed(self, settings: SourceSettings) -> PackedSource:
        names, stuff = list(self._samples.names), sorted(self._samples.stuff_names)
        number = len(self.counts)
        return PackedSource("samples", "", settings.weight, recordings=number, names=names, stuff_names=stuff)

    def __getitem__(self, index: int) -> Entry:
        sample = self._samples[index]
        said = {number: tuple(texts) for number, texts in sample.expressions.items()}
        recorded = Recorded(sample.name, len(sample.frames), sample.complete, sample.categories, (), sample.stuff, said)

        def frame(place: int) -> PackedFrame:
            image, labels = shrink(sample.frames[place], sample.labels[place], self._longest)
            if sample.panoptic is None:
                return PackedFrame(image, labels)
            return PackedFrame(image, labels, shrink(sample.frames[place], sample.panoptic[place], self._longest)[1])

        return Entry(recorded, frame)


class MadeEntries:
    """A source that is made anew wherever it is read: nothing of it is stored."""

    def __init__(self, source: SynthWords) -> None:
        self._options = source.options
        self.counts: tuple[int, ...] = ()

    def packed(self, settings: SourceSettings) -> PackedSource:
        return PackedSource("made", "synth", settings.weight, options=self._options)

    def __getitem__(self, index: int) -> Entry:
        raise IndexError(index)


def entries_of(source: Any, longest: int) -> Entries:
    """The recordings of what a reader opened."""
    if isinstance(source, SynthWords):
        return MadeEntries(source)
    if isinstance(source, Sequence):
        return VideoEntries(source, longest)
    if hasattr(source, "stuff_names"):
        return SampleEntries(source, longest)
    return PhotoEntries(source, longest)


def spread_frames(sources: Sequence[Entries], count: int) -> list[tuple[int, int, int]]:
    """So many frames (source, recording, frame) evenly spread over all, or all where there are fewer."""
    every = [(source, recording) for source, one in enumerate(sources) for recording in range(len(one.counts))]
    ends = list(accumulate(sources[source].counts[recording] for source, recording in every))
    total = ends[-1] if ends else 0
    chosen, taken = [], min(count, total)
    for place in (number * total // taken for number in range(taken)):
        k = bisect_right(ends, place)
        chosen.append((*every[k], place - (ends[k - 1] if k else 0)))
    return chosen
