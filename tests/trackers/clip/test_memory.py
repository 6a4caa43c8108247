"""What the clip memory holds of each object, slot by slot, with tokens that know the frame they were made on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trackers.scripted import Rectangle, ScriptedModel, area, picture
from univs.masks.geometry import Geometry
from univs.models.features import PromptTokens
from univs.trackers.clip.memory import NOT_YET, ClipMemory
from univs.trackers.encoded_frame import EncodedClip, EncodedFrame
from univs.trackers.tracker import Clip, Frame, Span

GEOMETRY = Geometry.fit(64, 96)
LEFT, RIGHT = (8, 8, 24, 24), (32, 48, 56, 80)
MODEL = ScriptedModel(dense=False)
BOTH, SECOND = (LEFT, RIGHT), (None, RIGHT)
Slots = list[list[int | None]]


def memory_of(length: int, stride: int, recent: int, **options: Any) -> ClipMemory:
    return ClipMemory(2, recent, clip_length=length, clip_stride=stride, **options)


def clip_of(start: int, length: int) -> EncodedClip:
    indices = range(start, start + length)
    frames = [EncodedFrame(Frame(i, picture(i, {1: LEFT, 2: RIGHT})), MODEL, GEOMETRY) for i in indices]
    return Clip(Span(start, start + length, start + length), frames, {})


def drawn(*places: Rectangle | None) -> Tensor:
    """N H' W' masks."""
    return torch.stack([torch.zeros(64, 96) if p is None else torch.from_numpy(area(p)).float() for p in places])


def enter(memory: ClipMemory, start: int, length: int, shown: Mapping[int, tuple[Rectangle | None, ...]]) -> Slots:
    """A clip begins; shown: frame -> where the objects are."""
    clip = clip_of(start, length)
    memory.enter(MODEL, clip, {index: drawn(*places) for index, places in shown.items()})
    return held(memory, clip)


def held(memory: ClipMemory, clip: EncodedClip) -> Slots:
    """Of each object the frames that its tokens are from: those of its first frame, then slot by slot."""
    asked = memory.queries(MODEL, clip)
    assert asked.token_positions is not None and asked.token_valid is not None
    frames, valid = asked.token_positions[0, :, 0, ::2, 0], asked.token_valid[0, :, 0, ::2]
    return [
        [int(frame) if known else None for frame, known in zip(*row, strict=True)]
        for row in zip(frames, valid, strict=True)
    ]


def tokens_from(frame: int) -> PromptTokens:
    """1 1 C: what was said of an object; the frame need not be one of the clip, so that a test can tell it apart."""
    return PromptTokens(torch.ones(1, 1, 6), torch.full((1, 1, 6), float(frame)), torch.ones(1, 1, dtype=torch.bool))


def test_frames_that_clips_share_are_stored_up_to_the_end_of_the_clip() -> None:
    memory = memory_of(3, 1, 4, origin=0)
    memory.add([0])
    one = (LEFT,)
    assert enter(memory, 0, 3, {0: one, 1: one}) == [[0, 0, 0, 0]]  # in the first clip frame 0 alone is known
    assert enter(memory, 1, 3, dict.fromkeys(range(3), one)) == [[0, 0, 1, 2, 2]]
    assert enter(memory, 2, 3, dict.fromkeys(range(4), one)) == [[0, 1, 2, 3, 3]]  # frame 0 has no slot any more
    assert enter(memory, 3, 3, dict.fromkeys(range(5), one)) == [[0, 2, 3, 4, 4]]


def test_at_least_the_frames_of_a_clip_have_slots() -> None:
    memory = memory_of(3, 1, 1, origin=0)
    memory.add([0])
    assert memory.recent == 3 and enter(memory, 0, 3, {0: (LEFT,)}) == [[0, 0, 0, 0]]


@pytest.mark.parametrize(("recent", "wanted"), [(4, [2, 2, 3, None, None]), (3, [2, 3, None, None])])
def test_clips_that_lie_apart_encode_a_mask_on_the_next_clip(recent: int, wanted: list[int | None]) -> None:
    """Frames 0 and 1 with the features of 2 and 3 (official); of a frame without a slot only first ones are kept."""
    memory = memory_of(2, 2, recent, origin=0)
    memory.add([0, 1])
    enter(memory, 0, 2, {0: BOTH})
    first, second = enter(memory, 2, 2, {0: BOTH, 1: BOTH})
    assert first == wanted and second == [3, *wanted[1:]]


def test_clips_that_lie_apart_may_encode_masks_on_their_own_frames() -> None:
    memory = memory_of(2, 2, 4, origin=0, memory_encoding="own_frame")
    memory.add([0])
    enter(memory, 0, 2, {0: (LEFT,)})
    memory.leave(MODEL, clip_of(0, 2), {index: drawn(LEFT) for index in range(2)})
    assert enter(memory, 2, 2, {0: (LEFT,), 1: (LEFT,)}) == [[0, 0, 1, 1, 1]]
    memory.leave(MODEL, clip_of(2, 2), {2: drawn(LEFT), 3: drawn(None)})
    assert held(memory, clip_of(2, 2)) == [[0, 0, 1, 2, 2]]  # where nothing is seen the tokens before go on


def test_who_begins_later_stores_the_frames_before_the_first_clip_too() -> None:
    """Entities found in the clip before: its frame that is in no other clip with the features of the next one."""
    memory = memory_of(3, 1, 6)
    memory.add([3])
    one = dict.fromkeys(range(3, 6), (LEFT,))
    assert enter(memory, 4, 3, one) == [[4, 4, 4, 5, 5]]  # slots from frame 3 on
    assert enter(memory, 5, 3, {**one, 6: (LEFT,)}) == [[4, 4, 4, 5, 6, 6]]  # frame 4 was in this clip's past


def test_objects_come_and_go_without_touching_others() -> None:
    memory = memory_of(1, 1, 2, origin=0)
    memory.add([0])
    enter(memory, 0, 1, {0: (LEFT,)})
    memory.add([1, NOT_YET])
    places = (LEFT, RIGHT, None)
    enter(memory, 1, 1, {0: (LEFT, None, None)})
    assert enter(memory, 2, 1, {1: places}) == [[1, 2, None], [2, 2, None], [None] * 3]
    memory.pin(2, 2, tokens_from(9))
    memory.appear(2, 2)
    memory.remove(0)
    assert held(memory, clip_of(2, 1)) == [[2, 2, None], [9, None, 9]]
    assert enter(memory, 3, 1, {2: (RIGHT, RIGHT)}) == [[2, 3, None], [9, 9, None]]
    memory.remove(1)
    assert held(memory, clip_of(3, 1)) == [[2, 3, None]]


def test_who_has_not_appeared_reads_the_last_slot() -> None:
    for first in (NOT_YET, 9):  # 9: behind all slots
        memory = memory_of(2, 1, 2, origin=0)
        memory.add([first, 0])
        assert enter(memory, 0, 2, {0: BOTH}) == [[0, 0, 0], [0, 0, 0]]
        assert enter(memory, 1, 2, {1: SECOND}) == [[None, 0, None], [0, 1, 1]]


def test_what_was_said_on_a_frame_is_not_replaced_by_its_mask() -> None:
    memory = memory_of(3, 1, 3, origin=0)
    memory.add([0])
    enter(memory, 0, 3, {0: (LEFT,)})
    memory.pin(0, 1, tokens_from(9))
    assert held(memory, clip_of(0, 3)) == [[0, 0, 9, 9]]  # the frames behind it use it too
    known = dict.fromkeys(range(5), (LEFT,))
    assert enter(memory, 1, 3, known) == [[0, 9, 2, 2]]
    assert enter(memory, 2, 3, known) == [[0, 2, 3, 3]]


def test_what_was_said_on_the_first_frame_stays_when_it_has_no_slot_any_more() -> None:
    """The next clip knows the mask of that frame as well, and would encode it."""
    memory = memory_of(2, 2, 2, origin=0)
    memory.add([0, 0])
    enter(memory, 0, 2, {0: SECOND})
    memory.pin(0, 0, tokens_from(9))
    assert enter(memory, 2, 2, {0: BOTH, 1: BOTH}) == [[9, None, None], [2, None, None]]


@pytest.mark.parametrize(("initial_query", "wanted"), [("frame", [3, 3]), ("memory", [2.5, 2.5])])
def test_a_query_starts_from_its_own_slot_or_from_all(initial_query: Any, wanted: list[float]) -> None:
    memory = memory_of(2, 1, 4, origin=0, initial_query=initial_query)
    memory.add([2])
    for start in range(3):
        enter(memory, start, 2, {index: (LEFT if index > 1 else None,) for index in range(start + 1)})
    enter(memory, 3, 2, {2: (LEFT,), 3: (LEFT,)})
    clip = clip_of(3, 2)
    assert held(memory, clip) == [[2, None, 2, 3, 3]]
    position = memory.queries(MODEL, clip).position[0, 0, :, 0]
    assert position.tolist() == wanted
