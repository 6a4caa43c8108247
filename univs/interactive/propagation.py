"""Carrying the masks of interacted frames through a video, both ways, by a space-time memory.

Source: Cheng, Tai and Tang, "Modular Interactive Video Object Segmentation", CVPR 2021. Free functions; who interacted
where, and what becomes of the results, is the session's affair. Shapes: N objects, H' W' of the padded input.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from univs.masks.soft_aggregation import joint_probabilities
from univs.models.space_time_memory import MemoryEntry, QueryFeatures, SpaceTimeMemory
from univs.settings import Count
from univs.trackers.memory_bank import Keeping, MemoryBank
from univs.trackers.space_time import FramePlaces
from univs.video.window import FrameWindow

InteractedFrames = Mapping[int, Mapping[int, MemoryEntry]]
"""Frame index -> object id -> what the memory has of the object on a frame whose masks are certain."""
Directions = Literal["both", "forward", "backward"]
"""Where masks are carried to from an interacted frame, in the order of the video."""


@dataclass(frozen=True)
class PropagationSettings:
    """How far masks are carried with what memory.

    top_k: positions of the memory that each position of a frame reads; None: all. memory_interval: frames from one that
    is kept to the next. memory_frames: how many of these are kept at most, each way; interacted frames are all kept
    beside them, 4 MiB an object each at 480 x 864. directions: both ways, or one alone, for who draws as they watch.
    """

    top_k: Count | None = 50
    memory_interval: Count = 5
    memory_frames: Count = 32
    directions: Directions = "both"


@dataclass(frozen=True)
class Stretch:
    """Frames that masks are carried over, in that order, and the interacted frame that stopped them, None at an end."""

    frames: range
    bound: int | None


@dataclass(frozen=True)
class SeenFrame:
    """A frame to a space-time memory: images 1 3 H' W' normalised, query its features."""

    images: Tensor
    query: QueryFeatures


@dataclass(frozen=True)
class CarriedFrame:
    """What came to a frame: N+1 H' W' probabilities that add up to 1, background first, objects as they were asked for.

    bound: of its stretch. seen: how a space-time memory saw the frame.
    """

    index: int
    joint: Tensor
    bound: int | None
    seen: SeenFrame | None = None


def stretches(
    start: int, interacted: Collection[int], count: int, directions: Directions = "both"
) -> tuple[Stretch, ...]:
    """Forward and backward from a frame, each up to the next interacted frame, which is not in it, or to the end."""
    after = min((index for index in interacted if index > start), default=None)
    before = max((index for index in interacted if index < start), default=None)
    forward = range(start + 1, count if after is None else after)
    backward = range(start - 1, -1 if before is None else before, -1)
    ways = {"forward": Stretch(forward, after), "backward": Stretch(backward, before)}
    return tuple(ways.values()) if directions == "both" else (ways[directions],)


def propagate(
    model: SpaceTimeMemory,
    frames: FrameWindow,
    places: FramePlaces,
    start: int,
    interacted: InteractedFrames,
    object_ids: Sequence[int],
    settings: PropagationSettings,
) -> Generator[CarriedFrame, None, None]:
    """Carry masks from an interacted frame, both ways first forward; to stop, close the iterator.

    Args:
        start: the frame they are carried from, one of `interacted`.
        object_ids: those carried, each known on some interacted frame.
    Yields:
        One frame after the other. What is made of it does not feed the memory.
    """
    capacity = len(interacted) + settings.memory_frames
    for stretch in stretches(start, interacted, len(frames), settings.directions):
        bank = MemoryBank(Keeping(settings.memory_interval, capacity))
        for index in (*(index for index in interacted if index != start), start):
            bank.write(index, interacted[index], pinned=True)
        for index in stretch.frames:
            with torch.inference_mode():
                images = places.image(model, frames[index])
                query = model.encode_query(images)
                alone = torch.stack([_alone(model, query, bank, number, settings.top_k) for number in object_ids])
                joint = joint_probabilities(alone)
            yield CarriedFrame(index, joint, stretch.bound, SeenFrame(images, query))
            if index != stretch.frames[-1]:
                with torch.inference_mode():
                    entries = model.encode_memory(images, places.remembered(model, joint[1:]))
                bank.write(index, dict(zip(object_ids, entries, strict=True)), pinned=False)


def _alone(model: SpaceTimeMemory, query: QueryFeatures, bank: MemoryBank, object_id: int, top_k: int | None) -> Tensor:
    known = bank.read(object_id)
    return model.decode(query, model.read(query, known.key, known.value, top_k)[None])[0].sigmoid()
