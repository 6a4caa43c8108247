"""Carrying masks: where it goes, what it reads, and that it is what the tracker does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.interactive.conftest import COUNT, HEIGHT, WIDTH, box
from univs.interactive.propagation import PropagationSettings, Stretch, propagate, stretches
from univs.masks.geometry import Geometry
from univs.models.space_time_memory import MemoryEntry, SpaceTimeMemory
from univs.trackers.space_time import FramePlaces, SpaceTimeSettings, SpaceTimeTracker
from univs.trackers.tracker import Frame, Question
from univs.video import open_video
from univs.video.window import FrameWindow

GEOMETRY = Geometry.fit(HEIGHT, WIDTH)
MASKS = {1: box(4, 20, 4, 22), 2: box(14, 28, 24, 38)}


@pytest.mark.parametrize(
    ("start", "interacted", "forward", "backward"),
    [
        (2, [2], Stretch(range(3, 9), None), Stretch(range(1, -1, -1), None)),
        (8, [2, 8], Stretch(range(9, 9), None), Stretch(range(7, 2, -1), 2)),
        (5, [0, 2, 5, 6, 8], Stretch(range(6, 6), 6), Stretch(range(4, 2, -1), 2)),
        (0, [0, 4], Stretch(range(1, 4), 4), Stretch(range(-1, -1, -1), None)),
    ],
)
def test_masks_go_up_to_the_next_interacted_frame(
    start: int, interacted: list[int], forward: Stretch, backward: Stretch
) -> None:
    found = stretches(start, interacted, COUNT)
    assert [list(stretch.frames) for stretch in found] == [list(forward.frames), list(backward.frames)]
    assert [stretch.bound for stretch in found] == [forward.bound, backward.bound]


def test_masks_may_go_one_way_alone() -> None:
    both = stretches(2, [0, 2, 5], COUNT)
    assert stretches(2, [0, 2, 5], COUNT, "forward") == both[:1] == (Stretch(range(3, 5), 5),)
    assert stretches(2, [0, 2, 5], COUNT, "backward") == both[1:] == (Stretch(range(1, 0, -1), 0),)


def entries(network: SpaceTimeMemory, film: list[np.ndarray], index: int) -> dict[int, MemoryEntry]:
    places = FramePlaces(GEOMETRY)
    masks = torch.stack([places.mask(mask) for mask in MASKS.values()])
    return dict(zip(MASKS, network.encode_memory(places.image(network, film[index]), masks), strict=True))


def carry(network: SpaceTimeMemory, film: list[np.ndarray], start: int, interacted: Any, **settings: Any) -> Any:
    window, places = FrameWindow(open_video(film)), FramePlaces(GEOMETRY)
    known = PropagationSettings(**settings)
    return propagate(network, window, places, start, interacted, list(MASKS), known)


def test_each_way_is_what_the_tracker_does(network: SpaceTimeMemory, film: list[np.ndarray]) -> None:
    start = 3
    memory = {start: entries(network, film, start)}
    found = {frame.index: frame for frame in carry(network, film, start, memory, top_k=4, memory_interval=2)}
    assert list(found) == [4, 5, 6, 7, 8, 2, 1, 0]
    for way in (range(start, COUNT), range(start, -1, -1)):
        tracker = SpaceTimeTracker(network, Question(GEOMETRY), SpaceTimeSettings(top_k=4, memory_interval=2))
        for index in way:
            joint = tracker.follow(Frame(index, film[index]), MASKS if index == start else {})
            if index != start:
                torch.testing.assert_close(found[index].joint, joint, atol=1e-4, rtol=1e-3)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames each read of the memory saw."""
    read: list[int] = []
    plain = SpaceTimeMemory.read

    def noted(self: SpaceTimeMemory, query: Any, keys: Any, values: Any, top_k: Any) -> Any:
        read.append(len(keys) // 6)
        return plain(self, query, keys, values, top_k)

    monkeypatch.setattr(SpaceTimeMemory, "read", noted)
    return read


def test_all_interacted_frames_are_read(network: SpaceTimeMemory, film: list[np.ndarray], read: list[int]) -> None:
    """However few other frames may be kept; the frame it goes out from was kept last."""
    memory = {index: entries(network, film, index) for index in (0, 1, 6)}
    order = [frame.index for frame in carry(network, film, 6, memory, memory_frames=1, memory_interval=1)]
    assert order == [7, 8, 5, 4, 3, 2]
    assert read[::2] == [3, 4, 3, 4, 4, 4]


def test_the_interval_counts_from_the_frame_it_goes_out_from(
    network: SpaceTimeMemory, film: list[np.ndarray], read: list[int]
) -> None:
    memory = {index: entries(network, film, index) for index in (2, 7)}
    order = [frame.index for frame in carry(network, film, 2, memory, memory_interval=3)]
    assert order == [3, 4, 5, 6, 1, 0]
    assert read[::2] == [2, 3, 3, 3, 2, 3]


def test_the_last_frame_of_a_stretch_is_not_remembered(
    network: SpaceTimeMemory, film: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would read it."""
    memory, made = {4: entries(network, film, 4)}, []
    plain = SpaceTimeMemory.encode_memory

    def noted(self: SpaceTimeMemory, images: Any, masks: Any) -> Any:
        made.append(len(masks))
        return plain(self, images, masks)

    monkeypatch.setattr(SpaceTimeMemory, "encode_memory", noted)
    assert len(list(carry(network, film, 4, memory))) == 8 and made == [2] * 6


def test_it_can_be_stopped_between_frames(network: SpaceTimeMemory, film: list[np.ndarray]) -> None:
    carried = carry(network, film, 0, {0: entries(network, film, 0)})
    assert next(carried).index == 1
    carried.close()
    assert next(carried, None) is None
