"""What answers are written as: the layout that a benchmark's scorer or server takes; what these share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from univs.files import atomic_path
from univs.formats.files import inside
from univs.formats.recording import Recording, RecordingSet
from univs.masks.mask_files import write_objects
from univs.results import FrameResult, write_json_array

Take = Callable[[FrameResult], None]
"""Takes the answer of the next frame; its frame index is the place in the recording."""


class AnswerWriter(Protocol):
    """A layout of answers below a folder; nothing but the current video is in memory.

    pred: what the scorer takes as predictions.
    """

    pred: Path

    def writing(self, recording: Recording) -> AbstractContextManager[Take]:
        """Takes the answers of a video in the order of its frames; they appear once the block ends without an error."""
        ...

    def has(self, recording: Recording) -> bool:
        """Whether the answers of a video are there."""
        ...

    def finish(self, recordings: Sequence[Recording]) -> None:
        """Writes the files that hold all videos, where there are any; all videos have been answered."""
        return


@contextmanager
def atomic_folders(folders: Sequence[Path]) -> Iterator[list[Path]]:
    """Hidden folders beside those given, which take their names once the block ends without an error.

    Folders that are there already are replaced. After an error the hidden ones are removed.
    """
    hidden = [folder.with_name(f".{folder.name}.part") for folder in folders]
    try:
        for path in hidden:
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
        yield hidden
        for path, folder in zip(hidden, folders, strict=True):
            shutil.rmtree(folder, ignore_errors=True)
            path.rename(folder)
    except BaseException:
        for path in hidden:
            shutil.rmtree(path, ignore_errors=True)
        raise


class JsonAnswers(AnswerWriter):
    """Answers that all are in FOLDER/NAME in the end, a JSON with a list between two pieces of text.

    Until then the entries of each video lie in a file of its own, so that they are never held all at once.
    """

    def __init__(self, folder: Path, name: str, before: str = "", after: str = "") -> None:
        self.pred = self._file = folder / name
        self._around = before, after
        self._parts = folder.with_name("parts")

    def keep(self, recording: Recording, entries: Iterable[Mapping[str, Any]]) -> None:
        """Writes the entries of a video, one a line, whole or not at all."""
        path = self._part(recording)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            for entry in entries:
                file.write(json.dumps(entry) + "\n")

    def entries(self, recordings: Sequence[Recording]) -> Iterator[Mapping[str, Any]]:
        """The entries of all videos in their order, each read when asked for."""
        for recording in recordings:
            with open(self._part(recording), encoding="utf-8") as file:
                for line in file:
                    yield json.loads(line)

    def has(self, recording: Recording) -> bool:
        return self._part(recording).is_file()

    def finish(self, recordings: Sequence[Recording]) -> None:
        """Writes the file, whole or not at all."""
        before, after = self._around
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(self._file) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.write(before)
            write_json_array(file, self.entries(recordings))
            file.write(after)

    def _part(self, recording: Recording) -> Path:
        return inside(self._parts, f"{recording.name}.jsonl")


class VideoFolders(AnswerWriter):
    """A folder of files for each video, which appears when the video has been answered."""

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        self.pred = folder

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        with atomic_folders([inside(self.pred, recording.name)]) as (folder,):
            yield partial(self.write, recording, folder)

    def write(self, recording: Recording, folder: Path, result: FrameResult) -> None:
        """Writes the answer of a frame to the folder of its video."""
        raise NotImplementedError

    def has(self, recording: Recording) -> bool:
        return (self.pred / recording.name).is_dir()


class MaskFolders(VideoFolders):
    """VIDEO/FRAME.png, indexed by object id (DAVIS, YouTube-VOS, MOSE, VIPOSeg)."""

    def write(self, recording: Recording, folder: Path, result: FrameResult) -> None:
        write_objects(folder / frame_file(recording, result.frame_index), result.labels)


def frame_file(recording: Recording, index: int) -> str:
    """The name of the PNG that answers a frame."""
    return f"{recording.frames[index].stem}.png"


def wanted_frames(recording: Recording) -> tuple[int, ...]:
    """The frames whose answers are asked for."""
    return tuple(range(len(recording))) if recording.wanted is None else recording.wanted


def mask_of(result: FrameResult, number: int) -> NDArray[np.bool_]:
    """H W mask of an object, empty where it is not followed yet."""
    if number in result.object_ids:
        return result.mask(number)
    return np.zeros(result.labels.shape, bool)
