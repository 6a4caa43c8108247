"""`univs segment`: a video and prompts in, a folder of masks out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from univs.commands.output_folder import OutputFolder
from univs.errors import UserError
from univs.prompts import Categories, Prompt
from univs.results import FrameResult
from univs.terminal import plain_console, progress_bar
from univs.video import VideoReader
from univs.video.reader import Frame

if TYPE_CHECKING:
    from univs.trackers.tracker import VideoModel


SAID_OTHERWISE = {
    "task": "--task says it",
    "size": "--size says it",
    "short_side": "--size says it",
    "precision": "--precision says it",
    "compiled": "--compile says it",
    "categories": "--categories says it",
    "model": "--weights says it",
    "source": "the video is the first argument",
    "prompts": "--mask, --box, --point, --scribble, --text and --name say them",
    "keep_results": "results are always kept in the folder",
}
"""What `--set` cannot set."""


@dataclass(frozen=True)
class Summary:
    """What a run gave: frames done, seconds they took (the model's work alone: `model_seconds`), tracks."""

    frames: int
    seconds: float
    model_seconds: float
    scores: Mapping[int, float]
    visible: Mapping[int, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        objects = [
            {"object_id": object_id, "score": score, "visible_frames": self.visible[object_id]}
            for object_id, score in self.scores.items()
        ]
        return {
            "frames": self.frames,
            "seconds": round(self.seconds, 3),
            "model_seconds": round(self.model_seconds, 3),
            "objects": objects,
        }


def check_question(task: str, prompts: Mapping[int, Sequence[Prompt]], categories: Categories | None) -> None:
    """Raise UserError for an unknown task, and where it does not go together with what was asked."""
    from univs.streaming.tasks import TASKS

    if task not in TASKS:
        raise UserError(f"unknown task {task!r}; known: {', '.join(sorted(TASKS))}")
    if categories is not None and not TASKS[task].takes_categories:
        raise UserError(f"the task {task} takes no categories; leave out --categories, or --task for vis")
    if not prompts and TASKS[task].needs_prompts:
        raise UserError("there is nothing to follow; give at least one --mask, --box, --point, --scribble or --text")
    for said in prompts.values():
        TASKS[task].prompts_in(said)


def read_settings(arguments: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE -> the value as JSON reads it (3, 0.5, true, null), else as it stands. UserError for other forms."""
    settings: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or not name.isidentifier():
            raise UserError(f"--set {argument}: give NAME=VALUE, such as dense_frames=8")
        if name in SAID_OTHERWISE:
            raise UserError(f"--set {argument}: {name} is no setting; {SAID_OTHERWISE[name]}")
        if name in settings:
            raise UserError(f"--set {argument}: {name} is given twice")
        try:
            settings[name] = json.loads(text)
        except ValueError:
            settings[name] = text
    return settings


def segment_to_folder(
    model: VideoModel,
    reader: VideoReader,
    prompts: Mapping[int, Sequence[Prompt]],
    folder: Path,
    *,
    task: str = "vos",
    size: int | None = None,
    with_overlay: bool = True,
    title: str = "",
    categories: Categories | None = None,
    precision: str = "float32",
    compiled: bool = False,
    unfinished: bool = False,
    settings: Mapping[str, Any] | None = None,
    watch: Callable[[FrameResult], None] | None = None,
) -> Summary:
    """Follow objects through a video and write everything to a folder, with a progress bar on stderr.

    size: short side in pixels at which the model looks at the frames. categories: what is looked for, by the tasks
    that look for something. precision, compiled: of the networks (`Session`). unfinished: whether an earlier run was
    killed in the folder (`Claim`). settings: of who follows the objects (`Session`). watch: is shown the result of each
    frame.
    Raises UserError and OSError; what is done by then stays.
    """
    from univs.streaming import segment
    from univs.streaming.tasks import TASKS

    waiting: dict[int, Frame] = {}

    def remember() -> Iterator[Frame]:
        for index, frame in enumerate(reader):
            waiting[index] = frame
            yield frame

    start, model_seconds = time.perf_counter(), 0.0
    options: dict[str, Any] = {"precision": precision, "compiled": compiled, **(settings or {})}
    if categories is not None:
        options["categories"] = categories
    answers = segment(model, remember(), prompts, task=task, size=size, **options)
    with (
        OutputFolder(
            folder,
            reader.fps,
            title,
            with_overlay=with_overlay,
            kind=TASKS[task].labels,
            unfinished=unfinished,
            frames=None if reader.announced else reader.num_frames,
        ) as output,
        progress_bar(plain_console(stderr=True), transient=False) as progress,
    ):
        bar = progress.add_task(title or reader.name, total=reader.num_frames)
        while True:
            asked = time.perf_counter()
            result = next(answers, None)
            model_seconds += time.perf_counter() - asked
            if result is None:
                break
            output.add(waiting.pop(result.frame_index), result, prompts.get(result.frame_index, ()))
            if watch is not None:
                watch(result)
            progress.advance(bar)
        progress.update(bar, total=output.spool.num_frames)
    seconds = time.perf_counter() - start
    return Summary(
        output.spool.num_frames, seconds, model_seconds, output.spool.scores(), output.spool.visible_frames()
    )
