"""Prompts as they are written on the command line."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from univs.errors import UserError
from univs.masks.mask_files import read_objects
from univs.prompts import Box, Categories, Mask, Points, Prompt, Scribble, Text, validate_prompts
from univs.texts import read_json
from univs.vocabularies import parse

if TYPE_CHECKING:
    from univs.video.reader import VideoReader

NUMBER = r"\d{1,99}"  # int() refuses thousands of digits in words of its own
SCRIBBLES = '{"scribbles": [[{"path": [[x, y], ...], "object_id": 1}], ...]}, one list for each frame'
PromptSchedule = dict[int, list[Prompt]]  # frame index -> the prompts that come on that frame


def choose_task(task: str | None, *, shown: bool, described: bool, named: bool) -> str:
    """The task that is meant: `task` itself, or what follows from what was given.

    Expressions mean refvos, names of objects pvos, prompts that show an object vos, categories or nothing vis.
    UserError for names that the task has no use for.
    """
    if named and task not in (None, "pvos"):
        raise UserError(f"--name says what the objects of the task pvos are; leave it out for {task}")
    if task is not None:
        return task
    if named:
        return "pvos"
    return "refvos" if described else "vos" if shown else "vis"


def read_categories(text: str | None) -> Categories | None:
    """--categories: names separated by commas, or the name of a vocabulary. UserError for what is neither."""
    if text is None:
        return None
    known = parse(as_written(text, "--categories"))
    return Categories(known.names, known.things)


def read_prompts(
    masks: Sequence[str],
    boxes: Sequence[str],
    points: Sequence[str],
    scribbles: Sequence[str],
    texts: Sequence[str] = (),
    names: Sequence[str] = (),
) -> PromptSchedule:
    """All prompts of a command line by frame; the points of one object on one frame become one prompt.

    masks: PNG[@FRAME]. boxes: ID@FRAME:x0,y0,x1,y1. points: ID@FRAME:x,y[:+|-]. scribbles: paths of DAVIS scribble
    JSON. texts: expressions, asked from frame 0. names: ID:NAME, said where the object is shown first.
    Raises UserError for what cannot be read.
    """
    schedule: PromptSchedule = defaultdict(list)
    for argument in masks:
        _add_masks(schedule, argument)
    for argument in boxes:
        object_id, frame_index, rest = _head(argument, "--box", "ID@FRAME:x0,y0,x1,y1")
        box = Box(object_id, _numbers(rest, 4, argument, "--box", "ID@FRAME:x0,y0,x1,y1"))
        if any(isinstance(other, Box) and other.object_id == object_id for other in schedule[frame_index]):
            raise UserError(
                f"--box {argument!r}: object {object_id} has another box on frame {frame_index}; give each object its "
                "own id, or one box around the whole object"
            )
        schedule[frame_index].append(box)
    for frame_index, clicks in _gather_points(points).items():
        schedule[frame_index] += clicks
    for path in scribbles:
        for frame_index, drawn in _read_scribbles(Path(path)).items():
            schedule[frame_index] += drawn
    _add_texts(schedule, texts)
    _add_names(schedule, names)
    return dict(schedule)


def count_for_prompts(schedule: Mapping[int, Sequence[Prompt]], reader: VideoReader) -> int | None:
    """How many frames `check_prompts` goes by; None: it need not know.

    A header may be off: where a prompt lies past what it says, or it says nothing, the frames up to there are read.
    UserError for a frame that cannot be.
    """
    last = max(schedule, default=0)
    if not reader.announced:
        return reader.num_frames
    return None if last < (reader.num_frames or 1) else sum(1 for _ in islice(reader, last + 1))


def check_prompts(schedule: Mapping[int, Sequence[Prompt]], size: tuple[int, int], num_frames: int | None) -> None:
    """Raise UserError for a prompt that does not fit frames of size (height, width), lies past the last frame, or only
    says what does not belong to an object not shown before."""
    known: set[int | None] = set()
    for frame_index, prompts in sorted(schedule.items()):
        if num_frames is not None and frame_index >= num_frames:
            raise UserError(
                f"there is a prompt on frame {frame_index}, but the video has {num_frames} frames "
                f"(0 to {num_frames - 1})"
            )
        validate_prompts(prompts, *size)
        shown = {p.object_id for p in prompts if not (isinstance(p, Points) and not any(p.labels))}
        for prompt in prompts:
            if prompt.object_id not in known | shown:
                raise UserError(
                    f"object {prompt.object_id} starts on frame {frame_index} with negative points only; "
                    "add a point on the object"
                )
        known |= shown


def as_written(argument: str, option: str) -> str:
    """An argument as text, where the terminal speaks UTF-8 and Python took it for something else.

    Raises UserError for bytes that are no text.
    """
    try:
        return os.fsencode(argument).decode("utf-8") if any(map(_is_undecoded, argument)) else argument
    except UnicodeDecodeError:
        raise UserError(f"{option} {argument!r} holds bytes that are not text in UTF-8") from None


def _is_undecoded(letter: str) -> bool:
    """Whether a character stands for a byte that could not be decoded."""
    return "\udc80" <= letter <= "\udcff"


def _add_texts(schedule: PromptSchedule, arguments: Sequence[str]) -> None:
    """Add expressions, numbered from 1, to frame 0. Raises UserError for one that is given twice."""
    said: list[str] = []
    for number, argument in enumerate(arguments, start=1):
        prompt = Text(as_written(argument, "--text"), number)
        if prompt.text in said:
            raise UserError(f"--text {prompt.text!r} is given twice; give each expression once")
        said.append(prompt.text)
        schedule[0].append(prompt)


def _add_names(schedule: PromptSchedule, arguments: Sequence[str]) -> None:
    first: dict[int | None, int] = {}
    for frame_index in sorted(schedule):
        for prompt in schedule[frame_index]:
            first.setdefault(prompt.object_id, frame_index)
    named: set[int] = set()
    for argument in arguments:
        match = re.fullmatch(rf"({NUMBER}):(.+)", as_written(argument, "--name"))
        if match is None:
            raise UserError(f"--name {argument!r} is not of the form ID:NAME")
        if int(match[1]) not in first:
            raise UserError(f"--name {argument!r}: object {match[1]} is not shown; give its --mask, --box or --point")
        if int(match[1]) in named:
            raise UserError(f"--name {argument!r}: object {match[1]} has another name; give each object one")
        named.add(int(match[1]))
        schedule[first[int(match[1])]].append(Text(match[2], int(match[1])))


def _head(argument: str, option: str, form: str) -> tuple[int, int, str]:
    """Split ID@FRAME:REST; the frame is 0 if left out."""
    match = re.fullmatch(rf"({NUMBER})(?:@({NUMBER}))?:(.+)", argument)
    if match is None:
        raise UserError(f"{option} {argument!r} is not of the form {form}")
    return int(match[1]), int(match[2] or 0), match[3]


def _numbers(text: str, count: int, argument: str, option: str, form: str) -> Any:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count:
        raise UserError(f"{option} {argument!r} is not of the form {form}")
    return values


def _add_masks(schedule: PromptSchedule, argument: str) -> None:
    path, frame_index = argument, 0
    match = re.fullmatch(rf"(.+)@({NUMBER})", argument)
    if match is not None and not Path(argument).exists():
        path, frame_index = match[1], int(match[2])
    labels = read_objects(path).ids
    object_ids = [int(value) for value in np.unique(labels) if value]
    if not object_ids:
        raise UserError(f"the mask {path} is empty; mark at least one pixel of an object")
    taken = {prompt.object_id for prompt in schedule[frame_index] if isinstance(prompt, Mask)}
    for object_id in object_ids:
        if object_id in taken:
            raise UserError(
                f"object {object_id} has two masks on frame {frame_index}; "
                "give several objects as the indices of one indexed PNG"
            )
        schedule[frame_index].append(Mask(object_id, labels == object_id, source=path))


def _gather_points(arguments: Sequence[str]) -> PromptSchedule:
    clicks: dict[tuple[int, int], list[tuple[tuple[float, float], bool]]] = defaultdict(list)
    for argument in arguments:
        form = "ID@FRAME:x,y[:+|-]"
        object_id, frame_index, rest = _head(argument, "--point", form)
        place, _, sign = rest.partition(":")
        if sign not in ("", "+", "-"):
            raise UserError(f"--point {argument!r} is not of the form {form}")
        clicks[frame_index, object_id].append((_numbers(place, 2, argument, "--point", form), sign != "-"))
    schedule: PromptSchedule = defaultdict(list)
    for (frame_index, object_id), found in clicks.items():
        for (x, y), positive in found:
            if ((x, y), not positive) in found:
                raise UserError(
                    f"--point {object_id}@{frame_index}:{x:g},{y:g} is given with + and with -; it is on object "
                    f"{object_id} or not"
                )
        schedule[frame_index].append(Points(object_id, [xy for xy, _ in found], [positive for _, positive in found]))
    return schedule


def _read_scribbles(path: Path) -> PromptSchedule:
    """DAVIS scribbles: `{"scribbles": [[{"path": [[x, y], ...], "object_id": 1}, ...] for each frame]}`."""
    content = read_json(path, SCRIBBLES)
    try:
        frames = [[(line["object_id"], line["path"]) for line in lines] for lines in content["scribbles"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not DAVIS scribble JSON ({type(error).__name__}: {error}); expected {SCRIBBLES}"
        ) from None
    schedule: PromptSchedule = defaultdict(list)
    for frame_index, lines in enumerate(frames):
        strokes: dict[int, list[Any]] = defaultdict(list)
        for object_id, stroke in lines:
            if isinstance(object_id, bool) or not isinstance(object_id, int):
                raise UserError(f"{path} has the object_id {object_id!r}; expected a whole number from 1")
            strokes[object_id].append(stroke)
        for object_id, drawn in strokes.items():
            if object_id == 0:
                raise UserError(f"{path} has a scribble on the background (object 0); draw on objects only")
            schedule[frame_index].append(Scribble(object_id, drawn))
    if not schedule:
        raise UserError(f"{path} holds no scribble; draw at least one stroke")
    return schedule
