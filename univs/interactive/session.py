"""An interactive session: masks on any frames, carried through the video round by round, with the work on disk.

    with Session(model, "video.mp4", fusion=learned(network)) as session:
        cat = session.add_object("cat")
        session.interact(12, {cat: mask})           # at once, this frame alone
        session.propagate(progress=print)           # both ways, up to the next interacted frame
        session.undo()

Source: Cheng, Tai and Tang, "Modular Interactive Video Object Segmentation", CVPR 2021. Shapes: N objects, H W pixels
of the frame, H' W' of the network's padded input.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from univs.errors import UserError
from univs.interactive.carriers import NEEDED, CertainFrame, carrier_of
from univs.interactive.fusion import Change, Fusion, LearnedFusion, changes, fused
from univs.interactive.history import State
from univs.interactive.interactions import Interactions
from univs.interactive.propagation import stretches
from univs.interactive.segmenters import Segmenter, segment_objects
from univs.interactive.workspace import Clicks, MadeMask, VideoFacts, Workspace
from univs.masks.frame_labels import label_type
from univs.masks.geometry import Geometry, short_side
from univs.masks.mask_files import read_objects
from univs.models.space_time_memory import SpaceTimeMemory
from univs.models.univs import UniVS
from univs.prompts import LARGEST_ID
from univs.results import FrameResult
from univs.settings import ShortSideOrOwn, check_value
from univs.trackers.space_time import FramePlaces, confidence
from univs.video import Source, VideoReader, open_video
from univs.video.window import FrameWindow

if TYPE_CHECKING:
    from typing_extensions import Self

Mask = NDArray[np.bool_]
Progress = Callable[[int, int], None]
"""Is told how many frames are done, and how many there are to do."""


class Session:
    """One video being corrected.

    Every call is a step that can be undone. While a propagation runs (in another thread, say) results can be read, and
    nothing else can be done.

    Args:
        model: what carries masks, from `univs.load`: a space-time memory, or a UniVS with a memory of its own (tiny).
        video: whatever `open_video` reads and can be read again: no camera.
        fusion: what becomes of frames between two interacted ones (`interactive.fusion`); None: the newest mask.
        workspace: folder of the work; one that is there is gone on with. None: a temporary one.
        size: short side in pixels at which the model sees frames, 0: their own, None: what the model brings along.
        settings: of `PropagationSettings`; with a UniVS of `FollowingSettings`.
    Raises UserError for a video or workspace that cannot be used, and for unknown or impossible settings.
    """

    def __init__(
        self,
        model: SpaceTimeMemory | UniVS,
        video: Source | VideoReader,
        *,
        fusion: Fusion | None = None,
        workspace: str | os.PathLike[str] | None = None,
        size: int | None = None,
        **settings: Any,
    ) -> None:
        check_value("size", size, ShortSideOrOwn | None)
        if not isinstance(model, SpaceTimeMemory | UniVS):
            raise UserError(NEEDED)
        if isinstance(fusion, LearnedFusion) and not isinstance(model, SpaceTimeMemory):
            raise UserError("a learned fusion reads a space-time memory, such as stm_light; with others take linear")
        self.fusion = fusion
        self.frames = FrameWindow(open_video(video))
        reader = self.frames.reader
        height, width = reader.size
        short = short_side(size, model.streaming.get("short_side", 0), height, width)
        self.places = FramePlaces(Geometry.fit(height, width, short))
        self.carrier = carrier_of(model, self.places, settings)
        geometry = self.places.geometry
        facts = VideoFacts(
            reader.name, len(self.frames), (height, width), (geometry.input_height, geometry.input_width)
        )
        self._exit = ExitStack()
        folder = workspace or self._exit.enter_context(tempfile.TemporaryDirectory(prefix="univs-"))
        try:
            self.workspace = Workspace(Path(folder), facts)
            self._exit.callback(self.workspace.close)
            if self.workspace.video.input_size != facts.input_size:
                raise UserError(f"the workspace {folder} was made at another size; give the size it was made at")
        except BaseException:
            self._exit.close()
            raise
        self._running = False

    # What there is

    @property
    def objects(self) -> dict[int, str]:
        """Object id -> name."""
        return dict(self._state.objects)

    @property
    def interacted(self) -> tuple[int, ...]:
        """The frames whose masks somebody made, ascending; no propagation changes them."""
        return tuple(sorted(self._state.masks))

    @property
    def pending(self) -> tuple[int, ...]:
        """Interacted frames that were not propagated yet, in the order of the interactions."""
        return tuple(self._state.pending)

    def result(self, index: int) -> FrameResult:
        """What a frame has now: labels of its own size."""
        state = self._state
        self._check_frame(index)
        ids = tuple(state.objects)
        if index in state.masks:
            made, known = self._mask(state, state.masks[index])
            labels = np.where(np.isin(made.labels, known), made.labels, 0).astype(label_type(ids))
            return FrameResult(index, labels, ids, dict.fromkeys(ids, 1.0), names=self._names())
        masks = self._carried(state, index)
        if not masks:
            height, width = self.frames.reader.size
            return FrameResult(index, np.zeros((height, width), np.uint8), ids, dict.fromkeys(ids, 0.0))
        joint = with_background(torch.stack(list(masks.values())))
        labels = self.places.labels(joint, (0, *masks)).astype(label_type(ids), copy=False)
        scores = dict.fromkeys(ids, 0.0) | dict(zip(masks, confidence(self.places.inner(joint)), strict=True))
        return FrameResult(index, labels, ids, scores, names=self._names())

    def results(self) -> Iterator[FrameResult]:
        """All frames, each made when asked for."""
        return map(self.result, range(len(self.frames)))

    def probabilities(self, index: int) -> dict[int, Tensor]:
        """Object id -> H' W' at the padded input; objects that nothing is known of on the frame are left out."""
        state = self._state
        self._check_frame(index)
        return self._made(state, state.masks[index]) if index in state.masks else self._carried(state, index)

    # What can be done

    def add_object(self, name: str = "", object_id: int | None = None) -> int:
        """One more object, by an id of one's own (of a removed one too) or the next free one. Returns the id."""
        state = self._free_state()
        number = state.next_id if object_id is None else object_id
        check_value("object_id", number, int)
        if not 1 <= number <= LARGEST_ID or number in state.objects:
            raise UserError(f"object id {number} is {'taken' if number in state.objects else 'not 1 to 65535'}")
        self.workspace.push(replace(state, objects={**state.objects, number: str(name)}))
        return number

    def rename_object(self, object_id: int, name: str) -> None:
        """Give an object another name."""
        state = self._free_state(object_id)
        self.workspace.push(replace(state, objects={**state.objects, object_id: str(name)}))

    def remove_object(self, object_id: int) -> None:
        """An object and its masks are no more, whatever gets its id; undo brings them back."""
        self.workspace.push(self._free_state(object_id).without(object_id))

    def interact(self, index: int, masks: Mapping[int, Mask]) -> FrameResult:
        """Masks of some objects on a frame, H W each, are certain from now on: this very frame shows them.

        An object that is not among them keeps what it has on the frame, where no mask covers it; of two masks that
        overlap the later counts. A later interaction on the same frame takes the place of the earlier.
        """
        return self._interact(index, masks, {})

    def segment(
        self, index: int, segmenter: Segmenter, said: Mapping[int, Interactions], *, background: float | None = None
    ) -> FrameResult:
        """Make masks on a frame of what is said about some objects, and `interact` with them.

        Clicks that a mask came of are told again (`Interactions.earlier`), until it is made otherwise. background: as
        for `segment_objects`. UserError for what the segmenter does not take.
        """
        state = self._free_state(*said)
        current, clicks = self.result(index).labels, self._clicks(state, index)
        told = {number: replace(one, earlier=clicks.get(number, ())) for number, one in said.items()}
        found = segment_objects(segmenter, self.frames[index], current, told, background=background)
        clicked = {n: (*one.earlier, *one.clicks) for n, one in told.items() if one.kinds() <= {"clicks"}}
        return self._interact(index, {number: found.labels == number for number in said}, clicked)

    def import_mask(self, index: int, path: str | os.PathLike[str]) -> FrameResult:
        """All objects of a mask file (docs/inputs.md) on a frame; ids that are new are new objects.

        Objects that the file does not have are not on the frame. Where it says that nothing is known, the frame keeps
        what it has. Two steps, if objects are new.
        """
        state = self._free_state()
        self._check_frame(index)
        found = read_objects(path)
        if found.ids.shape != tuple(self.frames.reader.size):
            height, width = self.frames.reader.size
            raise UserError(f"{path} is {found.ids.shape[1]}x{found.ids.shape[0]} pixels, the frames {width}x{height}")
        new = [int(number) for number in np.unique(found.ids) if number and int(number) not in state.objects]
        if new:
            self.workspace.push(replace(state, objects={**state.objects, **dict.fromkeys(new, "")}))
        before = self.result(index).labels
        ids = np.where(found.void, before, found.ids)
        return self.interact(index, {number: ids == number for number in self._state.objects})

    def propagate(
        self,
        start: int | None = None,
        *,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Carry masks both ways from an interacted frame, up to the next interacted one or the end of the video.

        Args:
            start: the frame; None: all pending ones in turn, each a step.
            progress: is told after each frame.
            cancelled: is asked before each frame; what is finished by then stays, and the frame is still pending.
        Returns:
            Whether it came to its end. UserError if there is nothing to carry.
        """
        state = self._free_state()
        starts = self.pending if start is None else (start,)
        if not starts:
            raise UserError("there is nothing to propagate: make a mask on some frame first")
        for index in starts:
            if index not in state.masks:
                raise UserError(f"frame {index} has no mask of its own: make one there first")
        self._running = True
        try:
            return all(self._propagate(index, progress, cancelled) for index in starts)
        finally:
            self._running = False

    @property
    def undoable(self) -> int:
        """Steps that can be undone."""
        return self.workspace.history.undoable

    @property
    def redoable(self) -> int:
        """Undone steps that can be done again."""
        return self.workspace.history.redoable

    def undo(self) -> None:
        """Take back the last step: an interaction, a whole propagation, an object. UserError if there is none."""
        self._move(-1, "undo", self.undoable)

    def redo(self) -> None:
        """Do the step again that was undone last. UserError if there is none."""
        self._move(1, "redo", self.redoable)

    def close(self) -> None:
        """End the session; a temporary workspace is deleted."""
        self._exit.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # How it is done

    @property
    def _state(self) -> State:
        return self.workspace.history.now

    def _free_state(self, *object_ids: int) -> State:
        """The state, to be changed. UserError while a propagation runs, and for objects that are not there."""
        if self._running:
            raise UserError("a propagation is running; cancel it or wait for its end")
        state = self._state
        for object_id in object_ids:
            if object_id not in state.objects:
                known = ", ".join(map(str, state.objects)) or "none"
                raise UserError(f"there is no object {object_id}; known: {known}")
        return state

    def _check_frame(self, index: int) -> None:
        check_value("frame", index, int)
        if not 0 <= index < len(self.frames):
            raise UserError(f"there is no frame {index}; the video has {len(self.frames)} (from 0)")

    def _names(self) -> dict[int, str]:
        return {number: name for number, name in self._state.objects.items() if name}

    def _move(self, steps: int, what: str, possible: int) -> None:
        self._free_state()
        if not possible:
            raise UserError(f"there is nothing to {what}")
        self.workspace.history.move(steps)
        self.workspace.save()

    def _interact(self, index: int, masks: Mapping[int, Mask], clicks: Clicks) -> FrameResult:
        """As `interact`. clicks: of those objects whose mask came of nothing else."""
        state = self._free_state(*masks)
        self._check_frame(index)
        size = self.frames.reader.size
        for object_id, mask in masks.items():
            if np.shape(mask) != size:
                raise UserError(f"the mask of object {object_id} has shape {np.shape(mask)}, the frames {tuple(size)}")
        labels = self.result(index).labels.astype(np.int32)
        labels[np.isin(labels, list(masks))] = 0
        for object_id, mask in masks.items():
            labels[np.asarray(mask, bool)] = object_id
        kept = {one: said for one, said in self._clicks(state, index).items() if one not in masks}
        number = self.workspace.add_mask(MadeMask(labels, tuple(state.objects), {**kept, **clicks}))
        self.workspace.push(state.with_mask(index, number))
        return self.result(index)

    def _carried(self, state: State, index: int) -> dict[int, Tensor]:
        """Object id -> H' W' that propagations brought to a frame."""
        found, device = self.workspace.frame(state, index), self.carrier.device
        return {number: torch.from_numpy(mask).to(device) for number, mask in found.items()}

    def _mask(self, state: State, number: int) -> tuple[MadeMask, tuple[int, ...]]:
        """A mask that somebody made, and those objects that are there now and were known then."""
        made = self.workspace.mask(number)
        return made, tuple(object_id for object_id in state.in_mask(number) if object_id in made.known)

    def _made(self, state: State, number: int) -> dict[int, Tensor]:
        """Object id -> H' W', 0 or 1, of a mask that somebody made."""
        made, known = self._mask(state, number)
        return {object_id: self.places.mask(made.labels == object_id).to(self.carrier.device) for object_id in known}

    def _clicks(self, state: State, index: int) -> Clicks:
        """Object id -> the clicks that its mask on a frame came of."""
        if index not in state.masks:
            return {}
        made, known = self._mask(state, state.masks[index])
        return {object_id: made.clicks[object_id] for object_id in known if object_id in made.clicks}

    def _certain(self, state: State) -> dict[int, CertainFrame]:
        """All interacted frames."""
        return {index: CertainFrame(number, *self._mask(state, number)) for index, number in state.masks.items()}

    def _propagate(self, start: int, progress: Progress | None, cancelled: Callable[[], bool]) -> bool:
        """One round from a frame."""
        state = self._state
        certain = self._certain(state)
        ids = [number for number in state.objects if any(number in frame.object_ids for frame in certain.values())]
        if not ids:
            raise UserError("there is nothing to propagate: no object has a mask")
        changed = self._changes(state, start, self.carrier.keys(self.frames, certain, start))
        number = self.workspace.add_round()
        begun = state.started(number, start)
        earlier = replace(begun, rounds=begun.rounds[:-1])
        self.workspace.push(begun)
        ways = stretches(start, state.masks, len(self.frames), self.carrier.directions)
        total = sum(len(stretch.frames) for stretch in ways)
        carried = self.carrier.carry(self.frames, certain, start, ids)
        for done in range(1, total + 1):
            if cancelled():
                carried.close()
                return False
            frame = next(carried)
            masks = frame.joint[1:]
            if self.fusion is not None and frame.bound is not None:
                masks = fused(self.fusion, frame, start, ids, self._carried(earlier, frame.index), changed)
            self.workspace.add_frame(number, frame.index, ids, masks.cpu().numpy())
            if progress is not None:
                progress(done, total)
        self.workspace.history.replace(begun.finished(start))
        self.workspace.save()
        return True

    def _changes(self, state: State, start: int, keys: Mapping[int, Tensor | None]) -> dict[int, Change]:
        """Of each object with a key: what the interactions on a frame have changed since its last propagation."""
        after = self._made(state, state.masks[start])
        number = state.pending.get(start, state.masks[start])
        before = self._carried(state, start) if number is None else self._made(state, number)
        found = {}
        for object_id, key in keys.items():
            nothing = torch.zeros_like(after[object_id])
            found[object_id] = Change(*changes(before.get(object_id, nothing), after[object_id]), key)
        return found


def with_background(masks: Tensor) -> Tensor:
    """N H W probabilities that add up to at most 1 -> N+1 H W, what is left first."""
    return torch.cat([(1 - masks.sum(0, keepdim=True)).clamp_min(0), masks])
