"""Answers as PNG: masks of objects by id, masks of expressions, maps of classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.evaluation.benchmarks.asking import ClassNames
from univs.evaluation.benchmarks.form import Take, atomic_folders
from univs.formats import Recording, RecordingSet
from univs.formats.files import inside, write_image
from univs.masks.mask_files import write_objects
from univs.results import FrameResult

VOID = 255


class MaskFolders:
    """VIDEO/FRAME.png, indexed by object id (DAVIS, YouTube-VOS, MOSE, VIPOSeg)."""

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        self.pred = folder

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        with atomic_folders([inside(self.pred, recording.name)]) as (folder,):

            def take(result: FrameResult) -> None:
                write_objects(folder / frame_file(recording, result.frame_index), result.labels)

            yield take

    def has(self, recording: Recording) -> bool:
        return (self.pred / recording.name).is_dir()

    def finish(self, recordings: Sequence[Recording]) -> None:
        """Every file is of one video."""


class ExpressionFolders:
    """VIDEO/EXPRESSION/FRAME.png, 255 inside (Ref-YouTube-VOS)."""

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        self.pred = folder

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        with atomic_folders([inside(self.pred, recording.name)]) as (folder,):

            def take(result: FrameResult) -> None:
                for number, said in enumerate(recording.expressions, 1):
                    mask = mask_of(result, number).astype(np.uint8) * 255
                    write_image(inside(folder, said.key) / frame_file(recording, result.frame_index), mask)

            yield take

    def has(self, recording: Recording) -> bool:
        return (self.pred / recording.name).is_dir()

    def finish(self, recordings: Sequence[Recording]) -> None:
        """Every file is of one video."""


class AnnotatorFolders:
    """ANNOTATOR/VIDEO/FRAME.png, indexed by expression (Ref-DAVIS17), whose keys are ANNOTATOR/EXPRESSION.

    An annotator's expressions are numbered from 1 in their order. Where masks overlap the more certain one wins.
    """

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        self.pred = folder

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        spoken = spoken_by(recording)
        with atomic_folders([inside(self.pred, f"{name}/{recording.name}") for name in spoken]) as folders:

            def take(result: FrameResult) -> None:
                for folder, numbers in zip(folders, spoken.values(), strict=True):
                    labels = np.zeros(result.labels.shape, np.uint16)
                    certain = sorted(range(len(numbers)), key=lambda k: result.scores.get(numbers[k], 0.0))
                    for place in certain:
                        labels[mask_of(result, numbers[place])] = place + 1
                    write_objects(folder / frame_file(recording, result.frame_index), labels)

            yield take

    def has(self, recording: Recording) -> bool:
        return all((self.pred / name / recording.name).is_dir() for name in spoken_by(recording))

    def finish(self, recordings: Sequence[Recording]) -> None:
        """Every file is of one video."""


class ClassMaps:
    """VIDEO/FRAME.png, grey, the official id of the class less `lowest` (VSPW)."""

    def __init__(self, folder: Path, data: RecordingSet, lowest: int = 1) -> None:
        self.pred = folder
        self._names, self._lowest = ClassNames.of(data), lowest

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        with atomic_folders([inside(self.pred, recording.name)]) as (folder,):

            def take(result: FrameResult) -> None:
                write_image(folder / frame_file(recording, result.frame_index), self.classes(recording, result))

            yield take

    def has(self, recording: Recording) -> bool:
        return (self.pred / recording.name).is_dir()

    def finish(self, recordings: Sequence[Recording]) -> None:
        """Every file is of one video."""

    def classes(self, recording: Recording, result: FrameResult) -> NDArray[np.uint8]:
        """H W numbers of classes, 255 where none was answered."""
        table = np.full(max(result.object_ids, default=0) + 1, VOID, np.uint8)
        for number in result.object_ids:
            table[number] = self._names.id_of(result.names[number], recording.name) - self._lowest
        return table[result.labels]


class FlatClassMaps(ClassMaps):
    """FRAME.png of all videos in one folder, grey (CamVid)."""

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        def take(result: FrameResult) -> None:
            write_image(self.pred / frame_file(recording, result.frame_index), self.classes(recording, result))

        yield take

    def has(self, recording: Recording) -> bool:
        return all((self.pred / frame_file(recording, index)).is_file() for index in wanted_frames(recording))


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


def spoken_by(recording: Recording) -> dict[str, list[int]]:
    """Annotator -> the objects that its expressions ask for. UserError for expressions of nobody."""
    found: dict[str, list[int]] = {}
    for number, said in enumerate(recording.expressions, 1):
        annotator, slash, _ = said.key.partition("/")
        if not slash:
            raise UserError(f"{recording.name}: the expression {said.key!r} is of no annotator; expected anno_0/NUMBER")
        found.setdefault(annotator, []).append(number)
    return found
