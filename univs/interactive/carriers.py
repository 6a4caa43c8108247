"""What carries the masks of a session through its video: a space-time memory, or a UniVS that is shown them as prompts.

Shapes: P positions of the memory's frame, Ck channels of a key.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from univs.errors import UserError
from univs.interactive.following import FollowingSettings, follow
from univs.interactive.propagation import CarriedFrame, Directions, PropagationSettings, propagate
from univs.interactive.workspace import MadeMask
from univs.models.space_time_memory import MemoryEntry, SpaceTimeMemory
from univs.models.univs import UniVS
from univs.settings import check_value, settings_of
from univs.trackers.space_time import FramePlaces
from univs.video.window import FrameWindow

NEEDED = "an interactive session needs what remembers frames: tiny, stm_light, mivos, stm or a file of one of these"
"""What is said of other models."""


@dataclass(frozen=True)
class CertainFrame:
    """A frame whose masks somebody made. number: of the masks in the workspace. object_ids: those it knows."""

    number: int
    made: MadeMask
    object_ids: tuple[int, ...]


CertainFrames = Mapping[int, CertainFrame]
"""By their index in the video."""


class Carrier(ABC):
    """Carries masks from certain frames to the others.

    Args:
        device: where its maps are.
        directions: where masks are carried to.
    """

    def __init__(self, device: torch.device, directions: Directions) -> None:
        self.device, self.directions = device, directions

    @abstractmethod
    def keys(self, frames: FrameWindow, certain: CertainFrames, index: int) -> Mapping[int, Tensor | None]:
        """Object id -> P Ck of its place in the memory of a certain frame, None where a frame has no such."""

    @abstractmethod
    def carry(
        self, frames: FrameWindow, certain: CertainFrames, start: int, object_ids: Sequence[int]
    ) -> Generator[CarriedFrame, None, None]:
        """The frames around `start` up to the next certain ones, first forward; to stop, close the iterator."""


def carrier_of(model: Any, places: FramePlaces, settings: Mapping[str, Any]) -> Carrier:
    """What carries masks with a model.

    Args:
        settings: of `PropagationSettings` for a space-time memory, of `FollowingSettings` for a UniVS; what is not
            given is what the model brings along.
    Raises UserError for other models, and for unknown or impossible settings.
    """
    if isinstance(model, SpaceTimeMemory):
        known = settings_of(PropagationSettings)
        brought = {name: value for name, value in model.streaming.items() if name in known}
        chosen = PropagationSettings(**{**brought, **_checked(settings, PropagationSettings)})
        return MemoryCarrier(model.ready("float32", False), places, chosen)
    if isinstance(model, UniVS) and model.dense_memory is not None:
        interval = model.streaming.get("dense_interval", FollowingSettings.memory_interval)
        following = FollowingSettings(**{"memory_interval": interval, **_checked(settings, FollowingSettings)})
        return PromptCarrier(model.ready("float32", False), places, following)
    raise UserError(NEEDED)


def _checked(given: Mapping[str, Any], settings: type[Any]) -> Mapping[str, Any]:
    """The same. UserError for unknown and for impossible ones."""
    known = settings_of(settings)
    for name, value in given.items():
        if name not in known:
            raise UserError(f"unknown setting {name!r}; known: {', '.join(sorted(known))}")
        check_value(name, value, known[name].kind)
    return given


class MemoryCarrier(Carrier):
    """Masks go into the memory of a network, which frames read."""

    def __init__(self, model: SpaceTimeMemory, places: FramePlaces, settings: PropagationSettings) -> None:
        super().__init__(model.pixel_mean.device, settings.directions)
        self.model, self.places, self.settings = model, places, settings
        self.entries: dict[tuple[int, int, tuple[int, ...]], Mapping[int, MemoryEntry]] = {}
        """What the memory has of certain frames, by (index, number of the masks, object ids)."""

    def keys(self, frames: FrameWindow, certain: CertainFrames, index: int) -> Mapping[int, Tensor | None]:
        """As in `Carrier`."""
        return {number: entry.key for number, entry in self._memory(frames, certain)[index].items()}

    def carry(
        self, frames: FrameWindow, certain: CertainFrames, start: int, object_ids: Sequence[int]
    ) -> Generator[CarriedFrame, None, None]:
        """As in `Carrier`."""
        memory = self._memory(frames, certain)
        return propagate(self.model, frames, self.places, start, memory, object_ids, self.settings)

    def _memory(self, frames: FrameWindow, certain: CertainFrames) -> dict[int, Mapping[int, MemoryEntry]]:
        """What the memory has of all certain frames; of those that are new it is computed."""
        wanted = {(index, frame.number, frame.object_ids) for index, frame in certain.items()}
        self.entries = {key: entry for key, entry in self.entries.items() if key in wanted}
        for index, frame in certain.items():
            if (index, frame.number, frame.object_ids) not in self.entries:
                ids = frame.object_ids
                with torch.inference_mode():
                    images = self.places.image(self.model, frames[index])
                    masks = [self.places.mask(frame.made.labels == number).to(self.device) for number in ids]
                    found = self.model.encode_memory(images, torch.stack(masks)) if masks else []
                self.entries[index, frame.number, ids] = dict(zip(ids, found, strict=True))
        return {index: self.entries[index, frame.number, frame.object_ids] for index, frame in certain.items()}


class PromptCarrier(Carrier):
    """Masks are prompts of a UniVS, which follows them."""

    def __init__(self, model: UniVS, places: FramePlaces, settings: FollowingSettings) -> None:
        super().__init__(model.pixel_mean.device, settings.directions)
        self.model, self.places, self.settings = model, places, settings

    def keys(self, frames: FrameWindow, certain: CertainFrames, index: int) -> Mapping[int, Tensor | None]:
        """As in `Carrier`: there are none."""
        return dict.fromkeys(certain[index].object_ids)

    def carry(
        self, frames: FrameWindow, certain: CertainFrames, start: int, object_ids: Sequence[int]
    ) -> Generator[CarriedFrame, None, None]:
        """As in `Carrier`."""
        made = {index: MadeMask(frame.made.labels, frame.object_ids) for index, frame in certain.items()}
        return follow(self.model, frames, self.places, start, made, object_ids, self.settings)
