"""Packing sources into one file, no larger than it may be."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from univs.data.pack.contents import (
    INDEX,
    LARGEST_SIDE,
    Index,
    PackedSource,
    Use,
    index_text,
    labels_text,
    member,
    recorded_line,
    recordings_member,
)
from univs.data.pack.entries import Entries, entries_of, spread_frames
from univs.data.source_settings import OpenedSource, Reader, SourceSettings
from univs.errors import UserError
from univs.files import atomic_path

FLOOR = 40
"""Below this quality of WebP a pack is not lowered to fit: blocks and smeared edges would be learnt."""
STEP = 5
SAMPLED = 200
"""So many frames, spread over all, tell how large a pack would be: of 7,161 pictures of 25 sources within 0.3 %."""
MARGIN = 0.99
"""Of the limit: what is guessed to be larger is not tried, since to write it all in vain takes minutes."""
MOST_SOURCES = 1000
"""What the names of members have room for."""
_RECORD = 30 + 46
"""Bytes that a zip file needs for a member beside its content and twice its name."""
Progress = Callable[[str, int, int], None]
"""Told what is being done, how many frames there are and how many are done."""


@dataclass(frozen=True)
class Packed:
    """What was written. size: bytes of the file. pictures: in it. quality: of WebP."""

    size: int
    pictures: int
    sources: int
    quality: int


class _TooLargeError(Exception):
    """The file would be larger than it may be."""


def with_longest(sources: Sequence[Mapping[str, Any]], readers: Mapping[str, Reader], longest: int) -> list[Any]:
    """Descriptions of the same sources, whose readers shrink photos to `longest` themselves where they can.

    So a photo is resized once, and the pack holds what the source would give with this `longest`.
    """
    lowered: list[Any] = []
    for source in sources:
        reader = readers.get(source.get("kind", ""))
        taken = signature(reader.opens).parameters.get("longest") if reader else None
        own = source.get("longest", taken.default) if taken else None
        lowered.append({**source, "longest": longest} if isinstance(own, int) and own > longest else source)
    return lowered


def write_pack(
    path: Path,
    use: Use,
    opened: Sequence[OpenedSource],
    *,
    longest: int = LARGEST_SIDE,
    quality: int = 80,
    limit: int | None = None,
    probabilities: Mapping[str, float] | None = None,
    synth: Mapping[str, Any] | None = None,
    progress: Progress = lambda *_: None,
) -> Packed:
    """Writes sources that have been opened to a pack, whole or not at all.

    Sources without recordings or of weight 0, which are never drawn from, are left out.

    Args:
        longest: pixels of a side; larger pictures are shrunk.
        quality: of WebP, 0 to 100.
        limit: bytes that the file may have. The quality is then lowered as far as it must be, to FLOOR at the least.
        probabilities, synth: settings of `data` to be kept with the sources.
    Raises UserError where nothing is left to pack, for what a source cannot read, and where even the lowest quality is
    too large.
    """
    chosen = [(own, entries_of(source, longest)) for own, source, _ in opened if own.weight > 0 and len(source)]
    sources = [entries for _, entries in chosen]
    total = sum(sum(entries.counts) for entries in sources)
    if not total:
        raise UserError("there is nothing to pack: no source has a labelled picture and a weight above 0")
    if len(sources) > MOST_SOURCES:
        raise UserError(f"{len(sources)} sources are more than the {MOST_SOURCES} that a pack has room for")
    qualities = [quality] if limit is None else [quality, *range(quality - STEP, FLOOR - 1, -STEP)]
    if limit is not None:
        guesses = _guess_sizes(sources, total, qualities, progress)
        if guesses[-1] > limit:
            raise UserError(too_large(path, f"about {megabytes(guesses[-1])}", qualities[-1], limit, longest))
        fitting = [one for one, guess in zip(qualities, guesses, strict=True) if guess <= MARGIN * limit]
        qualities = fitting or qualities[-1:]
    packed = [entries.packed(own) for own, entries in chosen]
    for one in qualities:
        index = Index(use, [vars(source) for source in packed], longest, one, probabilities, synth)
        try:
            with atomic_path(path) as temporary:
                _write(temporary, index, packed, sources, limit, partial(progress, f"quality {one}", total))
        except _TooLargeError:
            continue
        return Packed(path.stat().st_size, total, len(sources), one)
    assert limit is not None
    raise UserError(too_large(path, f"a little more than {megabytes(limit)}", qualities[-1], limit, longest))


def too_large(path: Path, size: str, quality: int, limit: int, longest: int) -> str:
    """That a pack of some size does not fit, and what would make it smaller."""
    side = f" (now {longest})" if longest < LARGEST_SIDE else " (such as 288)"
    return (
        f"{path} would have {size} at quality {quality}, and --limit allows {megabytes(limit)}; "
        f"a smaller --longest{side}, fewer sources or a larger --limit would do"
    )


def megabytes(size: int) -> str:
    """Bytes in words."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def picture_bytes(image: np.ndarray, quality: int) -> bytes:
    """H W 3 uint8 as WebP."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


def _guess_sizes(sources: Sequence[Entries], total: int, qualities: Sequence[int], progress: Progress) -> list[int]:
    """Bytes that the file would have at each quality, from some of its frames."""
    places = spread_frames(sources, SAMPLED)
    pictures, rest, lines = np.zeros(len(qualities)), 0, b""
    for done, (source, recording, frame) in enumerate(places):
        progress("measuring", len(places), done)
        entry = sources[source][recording]
        image, labels, panoptic = entry.frame(frame)
        pictures += [len(picture_bytes(image, one)) for one in qualities]
        rest += len(_deflated(labels_text(labels, panoptic))) + 2 * (_RECORD + 2 * len(member(0, 0, 0, "webp")))
        lines += recorded_line(entry.recorded)
    recordings = sum(len(entries.counts) for entries in sources)
    whole = (pictures + rest) * total / len(places) + len(_deflated(lines)) * recordings / len(places)
    index = index_text(Index("clips", [vars(entries.packed(SourceSettings(""))) for entries in sources], 1, 1))
    return [int(size) + len(_deflated(index)) for size in whole]


def _deflated(content: bytes) -> bytes:
    """What a zip file stores of a member that is compressed: the content itself where that is smaller."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return min(content, packer.compress(content) + packer.flush(), key=len)


def _write(
    path: Path,
    index: Index,
    packed: Sequence[PackedSource],
    sources: Sequence[Entries],
    limit: int | None,
    progress: Callable[[int], None],
) -> None:
    """Writes all members. Raises _TooLargeError as soon as there are more bytes than the limit."""
    done = 0
    with zipfile.ZipFile(path, "w") as file:
        members = _Members(file, limit)
        for number, entries in enumerate(sources):
            lines = []
            for recording in range(len(entries.counts)):
                entry = entries[recording]
                lines.append(recorded_line(entry.recorded))
                for frame in range(entry.recorded.frames):
                    image, labels, panoptic = entry.frame(frame)
                    members.add(member(number, recording, frame, "webp"), picture_bytes(image, index.quality))
                    members.add(member(number, recording, frame, "json"), labels_text(labels, panoptic))
                    done += 1
                    progress(done)
            if packed[number].sort != "made":
                members.add(recordings_member(number), b"".join(lines))
        members.add(INDEX, index_text(index))


class _Members:
    """Members of a zip file that may not have more bytes than a limit."""

    def __init__(self, file: zipfile.ZipFile, limit: int | None) -> None:
        self._file, self._limit = file, limit
        self._listed = 22 + 76
        """Bytes of the list of members at the end of the file; the 76 where it is so large that they are needed."""

    def add(self, name: str, content: bytes) -> None:
        """Adds a member, compressed if it is text and that makes it smaller. Raises _TooLargeError."""
        small = not name.endswith(".webp") and len(_deflated(content)) < len(content)
        info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # no time of day: the same sources make the same file
        info.external_attr = 0o644 << 16
        self._file.writestr(info, content, zipfile.ZIP_DEFLATED if small else zipfile.ZIP_STORED, 9)
        self._listed += 46 + len(name)
        if self._limit is not None and self._file.start_dir + self._listed > self._limit:
            raise _TooLargeError
