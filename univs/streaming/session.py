"""A video being answered, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.masks.geometry import Geometry, short_side
from univs.prompts import Categories, Prompt, Text, check_prompt, validate_prompts
from univs.results import FrameResult, TrackSpool, VideoResult
from univs.settings import ShortSideOrOwn, check_value
from univs.streaming.loop import Loop
from univs.streaming.tasks import TASKS, Task
from univs.streaming.tracker_choice import choose_tracker
from univs.trackers.object_prompts import ObjectPrompt
from univs.trackers.tracker import Question, VideoModel
from univs.video import Source, VideoReader, open_video

if TYPE_CHECKING:
    from typing_extensions import Self


class Session:
    """The streaming loop for one video: frames and prompts in, masks out, memory use independent of the length.

    Args:
        model: from `univs.load`. What is made ready of it serves all its sessions; after a change of its weights make
            a new session, which notices.
        task: name of the task, or one of your own making.
        size: short side in pixels to which frames are resized for the model; 0 leaves them as they are; None: what the
            model brings along (480 for `tiny`). Results always have the frame's own size.
        precision: number format of the networks, "float32", "bfloat16" or (on a GPU) "float16".
        compiled: whether the image encoder is compiled for the size of the frames; the first one then takes long.
        keep_results: whether `finish` shall give the tracks. They are kept run-length encoded in a temporary file, not
            in memory; turn it off for a stream without end.
        options: instead of the numbers that the model brings along: way (of following: "frame" or "clip"),
            square_padding (side of the square to which smaller frames are padded), and the settings of the task's
            tracker that goes this way, by name (`FrameSettings`, `univs.trackers.clip.released`, ...); categories.

    Raises UserError for an unknown task, way or option. An option that only other tasks or ways know is left unused,
    and an `UnusedSetting` warning says so.
    """

    def __init__(
        self,
        model: VideoModel,
        task: str | Task = "vos",
        *,
        size: int | None = None,
        precision: str = "float32",
        compiled: bool = False,
        keep_results: bool = True,
        **options: Any,
    ) -> None:
        if not isinstance(task, Task) and (not isinstance(task, str) or task not in TASKS):
            raise UserError(f"unknown task {task!r}; known: {', '.join(sorted(TASKS))}")
        check_value("size", size, ShortSideOrOwn | None)
        self._loop: Loop | None = None  # made when the size of the frames is known
        self._size = (0, 0)
        self._model = model.ready(precision, compiled)
        self.task = TASKS[task] if isinstance(task, str) else task
        self._categories: Categories | None = None
        self._categories = self._asked_for([options.pop("categories")] if "categories" in options else [])
        self._chosen = choose_tracker(model, self.task, options)
        self._schedule, self._short_side = self._chosen.schedule(), size
        self._expected: tuple[int, ...] = ()
        self._names: dict[int, str] = {}  # object id -> expression
        self._spool = TrackSpool() if keep_results else None
        self._closed = False

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that are being followed."""
        return () if self._loop is None else self._loop.object_ids

    def expect(self, object_ids: Iterable[int]) -> None:
        """Say before the first frame which objects will be prompted.

        Clip by clip those that will be shown take part in the decoding from the start; frame by frame, and for
        expressions, this changes nothing.
        """
        self._expected = tuple(dict.fromkeys(object_ids))

    def step(self, frame: NDArray[np.uint8], prompts: Sequence[Prompt | Categories] = ()) -> FrameResult:
        """Answer this very frame.

        Args:
            frame: H W 3 uint8 RGB, all of one size.
            prompts: what is said about objects on this frame, in its own pixels. Ids not seen before start a new
                object, known ones are corrected.
        Returns:
            Labels at the frame's own size.
        Raises UserError for a frame or prompt that cannot be used (nothing has changed then), and for models that
        answer late: use `push`.
        """
        length = self._schedule.length
        if length != 1:
            raise UserError(f"clip_length is {length}: clips of several frames are answered late; use push and finish")
        (result,) = self.push(frame, prompts)
        return result

    def push(self, frame: NDArray[np.uint8], prompts: Sequence[Prompt | Categories] = ()) -> list[FrameResult]:
        """Take in a frame as `step` does and return the results that became final, in order.

        Where clips have several frames the array is copied: a buffer may be filled with the next frame.
        """
        self._check_open()
        check_frame(frame)
        height, width = frame.shape[:2]
        if self._loop is not None:
            if (height, width) != self._size:
                raise UserError(
                    f"the frame is {width}x{height} pixels, the frames before it {self._size[1]}x{self._size[0]}; "
                    "all frames of a video must have one size"
                )
        if self._loop is not None and self._loop.ended:
            raise UserError("this video has ended with finish or flush; make a new session for another one")
        prompts = said_on_a_frame(prompts)
        about_objects = [prompt for prompt in prompts if not isinstance(prompt, Categories)]
        said: dict[int, ObjectPrompt] = {}
        names: dict[int, str] = {}
        if about_objects:
            validate_prompts(about_objects, height, width)
            numbered, names = self._numbered(about_objects)
            said = self.task.prompts_in(numbered)
        categories = self._asked_for([prompt for prompt in prompts if isinstance(prompt, Categories)])
        loop = self._loop or self._make_loop(height, width, categories)
        results = loop.push(frame, said)
        self._loop, self._size, self._categories = loop, (height, width), categories
        self._names |= names
        return self._handed_out(results)

    def remove(self, object_id: int) -> None:
        """Stop following an object; its track ends here. Raises UserError if it is not known, or not an object."""
        if self._loop is None or object_id not in self._loop.object_ids:
            known = ", ".join(map(str, self.object_ids)) or "none"
            raise UserError(f"object {object_id} is not being followed; followed: {known}")
        try:
            self._loop.remove(object_id)
        except KeyError:
            raise UserError(f"{object_id} stands for a class of pixels; only objects can be removed") from None

    def flush(self) -> list[FrameResult]:
        """The video has ended: return the results that were not final yet, in order.

        Where clips have one frame there are none, and the video may go on.
        """
        self._check_open()
        return [] if self._loop is None else self._handed_out(self._loop.finish())

    def finish(self) -> VideoResult:
        """The results that were not final yet (`VideoResult.rest`) and the tracks of the video.

        Raises UserError if `keep_results` is off; `flush` then gives the results alone.
        """
        if self._spool is None:
            raise UserError("this session keeps no results; make it with keep_results=True to get tracks")
        rest = self.flush()
        return replace(self._spool.result(), rest=tuple(rest))

    def _asked_for(self, said: Sequence[Any]) -> Categories | None:
        """The categories, which are the tracker's from the start: those said now, or before.

        UserError where they come too late or are not asked for, and for plain names.
        """
        if not said:
            return self._categories
        if not self.task.takes_categories:
            raise UserError(f"the task {self.task.name} takes no categories; vis, vss and vps do")
        if self._loop is not None or len(said) > 1:
            raise UserError("categories are given once, with the first frame")
        if said[0] is None or isinstance(said[0], Categories):
            return said[0]
        kind = type(said[0]).__name__
        raise UserError(f"categories must be given as univs.Categories(['person', 'dog']), not as a {kind}")

    def _make_loop(self, height: int, width: int, categories: Categories | None) -> Loop:
        short = short_side(self._short_side, self._chosen.short_side, height, width)
        question = Question(Geometry.fit(height, width, short, self._chosen.square_padding), categories, self._expected)
        return Loop(self._chosen.tracker(self._model, question), self._schedule)

    def _numbered(self, prompts: Sequence[Prompt]) -> tuple[list[Prompt], dict[int, str]]:
        """The prompts, expressions without an id numbered by the next ids that are free; object id -> expression."""
        taken = {*self.object_ids, *self._names, *self._expected, *(p.object_id for p in prompts)}
        free = (number for number in count(1) if number not in taken)
        numbered: list[Prompt] = []
        names: dict[int, str] = {}
        for prompt in prompts:
            if isinstance(prompt, Text):
                prompt = prompt if prompt.object_id is not None else replace(prompt, object_id=next(free))
                assert prompt.object_id is not None
                names[prompt.object_id] = prompt.text
            numbered.append(prompt)
        return numbered, names

    def _handed_out(self, results: list[FrameResult]) -> list[FrameResult]:
        if self._names:
            results = [replace(result, names={**self._names, **result.names}) for result in results]
        if self._spool is not None:
            for result in results:
                self._spool.append(result)
        return results

    def _check_open(self) -> None:
        if self._closed:
            raise UserError("this session was closed; make a new one")

    def close(self) -> None:
        """Delete the temporary file with the results. The session cannot be used afterwards: UserError."""
        self._closed = True
        if self._spool is not None:
            self._spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def segment(
    model: VideoModel,
    source: Source | VideoReader,
    prompts: Mapping[int, Sequence[Prompt | Categories]] | Sequence[Prompt | Categories] = (),
    *,
    task: str | Task = "vos",
    size: int | None = None,
    **options: Any,
) -> Iterator[FrameResult]:
    """Answer a whole video, frame by frame, in constant memory.

    Args:
        model: from `univs.load`.
        source: whatever `univs.video.open_video` reads: a file, a folder of frames, a glob, a camera index, an
            iterable of H W 3 uint8 RGB arrays.
        prompts: frame index -> prompts that come on that frame; or just the prompts of frame 0.
        task, size, options: as for `Session`.

    Raises UserError for input that cannot be used; for a prompt on a frame that the video lacks when that shows.
    """
    schedule = dict(prompts) if isinstance(prompts, Mapping) else {0: prompts}
    for index in schedule:
        if isinstance(index, bool) or not isinstance(index, int | np.integer):
            raise UserError(f"there are prompts on frame {index!r:.40}; frames are whole numbers from 0")
    waiting = {int(index): said_on_a_frame(said) for index, said in schedule.items()}
    waiting = {index: said for index, said in waiting.items() if said}
    if min(waiting, default=0) < 0:
        raise UserError(f"there is a prompt on frame {min(waiting)}; frames are counted from 0")
    session = Session(model, task, size=size, keep_results=False, **options)
    if not waiting and session.task.needs_prompts:
        raise UserError("there is nothing to follow; give at least one prompt")
    asked = (prompt.object_id for said in waiting.values() for prompt in said if not isinstance(prompt, Categories))
    session.expect(object_id for object_id in asked if object_id is not None)
    return _answers(session, open_video(source), waiting)


def _answers(
    session: Session, video: VideoReader, waiting: dict[int, list[Prompt | Categories]]
) -> Iterator[FrameResult]:
    frames = 0
    with session:
        for frames, frame in enumerate(video, start=1):
            yield from session.push(frame, waiting.pop(frames - 1, ()))
        yield from session.flush()
    if waiting:
        raise UserError(
            f"there is a prompt on frame {min(waiting)}, but the video has {frames} frames (0 to {frames - 1})"
        )


def said_on_a_frame(prompts: Any) -> list[Prompt | Categories]:
    """The prompts of a frame as a list; None is no prompt.

    Raises UserError for a single prompt, what is no list, and what is no prompt in it.
    """
    if prompts is None:
        return []
    if not isinstance(prompts, Iterable) or isinstance(prompts, str | bytes | Mapping):
        raise UserError(f"the prompts of a frame are a list of them, not {type(prompts).__name__}")
    said = list(prompts)
    for prompt in said:
        if not isinstance(prompt, Categories):
            check_prompt(prompt)
    return said


def check_frame(frame: NDArray[np.uint8]) -> None:
    """Raise UserError unless the frame is H W 3 uint8."""
    if not isinstance(frame, np.ndarray) or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        shape = getattr(frame, "shape", type(frame).__name__)
        raise UserError(f"a frame must be a height x width x 3 array of RGB pixels, not {shape}")
    if frame.dtype != np.uint8:
        raise UserError(f"a frame must hold uint8 values 0..255, not {frame.dtype}")
