"""Carrying the masks of interacted frames through a video, both ways, by a UniVS that is shown them as prompts.

Each way is a short video to the tracker of single frames: first the interacted frames, the farthest first, then those
that the masks are carried to. Shapes: M maps, H' W' of the session's padded input, which has the frame in its middle.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.interactive.propagation import CarriedFrame, Directions, stretches
from univs.interactive.workspace import MadeMask
from univs.masks.geometry import MASK_STRIDE
from univs.models.univs import UniVS
from univs.prompts import Mask
from univs.settings import Count, Within, with_values
from univs.trackers.encoded_frame import EncodedFrame
from univs.trackers.frame.tracker import FrameSettings, FrameTracker
from univs.trackers.object_prompts import ObjectPrompt
from univs.trackers.space_time import FramePlaces
from univs.trackers.tracker import Frame, Question
from univs.video.window import FrameWindow


@dataclass(frozen=True)
class FollowingSettings:
    """How far masks are carried with what memory.

    memory_interval: frames from one that is kept to the next. memory_frames: how many of these are kept at most, each
    way; interacted frames are all kept beside them. directions: both ways, or one alone, for who draws as they watch.
    """

    memory_interval: Count = 5
    memory_frames: Annotated[int, Within(2)] = 5
    directions: Directions = "both"


def follow(
    model: UniVS,
    frames: FrameWindow,
    places: FramePlaces,
    start: int,
    made: Mapping[int, MadeMask],
    object_ids: Sequence[int],
    settings: FollowingSettings,
) -> Generator[CarriedFrame, None, None]:
    """Carry masks from an interacted frame, both ways first forward; to stop, close the iterator.

    Args:
        model: with a dense memory.
        start: the frame they are carried from, one of `made`.
        made: the frames whose masks are certain, by their index.
        object_ids: those carried, each known on some of these frames.
    Yields:
        One frame after the other. What is made of it does not feed the memory.
    """
    geometry = places.geometry
    room = len(made) + settings.memory_frames  # so that all interacted frames stay
    own = {**model.streaming, "dense_frames": room, "dense_interval": settings.memory_interval}
    keeping: FrameSettings = with_values(FrameSettings(), own)
    others = sorted((index for index in made if index != start), key=lambda index: -abs(index - start))
    for stretch in stretches(start, made, len(frames), settings.directions):
        if not stretch.frames:
            continue
        tracker, number = FrameTracker(model, Question(geometry), keeping), count()
        for index in (*others, start):
            with torch.inference_mode():
                tracker.follow(EncodedFrame(Frame(next(number), frames[index]), model, geometry), prompts(made[index]))
        for index in stretch.frames:
            with torch.inference_mode():
                followed = tracker.follow(EncodedFrame(Frame(next(number), frames[index]), model, geometry), {})
                rows = [0, *(1 + followed.object_ids.index(object_id) for object_id in object_ids)]
                joint = enlarged(followed.log_odds, places).softmax(0)[rows]
            yield CarriedFrame(index, joint, stretch.bound)


def prompts(made: MadeMask) -> dict[int, ObjectPrompt]:
    """Object id -> its mask as a prompt, also where that is empty."""
    return {number: ObjectPrompt(masks=[Mask(number, made.labels == number)]) for number in made.known}


def enlarged(log_odds: Tensor, places: FramePlaces) -> Tensor:
    """M h w maps, a quarter of the network's input, in whose corner the frame begins -> M H' W' of the session's."""
    geometry = places.geometry
    large = F.interpolate(log_odds[None], scale_factor=float(MASK_STRIDE), mode="bilinear", align_corners=False)[0]
    inner = large[:, : geometry.input_height, : geometry.input_width]
    return F.pad(inner[None], places.padding, mode="replicate")[0]
