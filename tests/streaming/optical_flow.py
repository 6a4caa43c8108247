"""A model without a network: masks are carried from frame to frame by optical flow (DIS, Kroeger et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from univs.results import FrameResult
from univs.trackers.tracker import Clip, Frame, Question

PRESETS = {"fast": cv2.DISOPTICAL_FLOW_PRESET_FAST, "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM}


@dataclass(frozen=True)
class FlowSettings:
    """preset: how carefully the flow is computed."""

    preset: Literal["fast", "medium"] = "medium"


class FlowTracker:
    def __init__(self, model: FlowModel, question: Question, settings: FlowSettings) -> None:
        self._flow = cv2.DISOpticalFlow_create(PRESETS[settings.preset])
        self._before: NDArray[np.uint8] | None = None
        self._labels = np.zeros((question.geometry.height, question.geometry.width), np.uint8)
        self.object_ids: tuple[int, ...] = ()

    def answer(self, clip: Clip[Frame]) -> list[FrameResult]:
        (frame,) = clip.frames
        grey = cv2.cvtColor(np.ascontiguousarray(frame.image), cv2.COLOR_RGB2GRAY)
        if self._before is not None:
            back = self._flow.calc(grey, self._before, None)
            y, x = np.mgrid[: grey.shape[0], : grey.shape[1]].astype(np.float32)
            self._labels = cv2.remap(self._labels, x + back[..., 0], y + back[..., 1], cv2.INTER_NEAREST)
        self._before = grey
        for object_id, said in clip.prompts.get(frame.index, {}).items():
            self.object_ids = tuple(dict.fromkeys((*self.object_ids, object_id)))
            for mask in said.masks:
                self._labels[mask.mask] = object_id
        return [FrameResult(frame.index, self._labels.copy(), self.object_ids, dict.fromkeys(self.object_ids, 1.0))]

    def finish(self) -> list[FrameResult]:
        return []

    def remove(self, object_id: int) -> None:
        self.object_ids = tuple(known for known in self.object_ids if known != object_id)
        self._labels[self._labels == object_id] = 0


class FlowModel:
    config: Mapping[str, Any] = {"name": "flow"}
    streaming: Mapping[str, Any] = {}

    def trackers(self) -> dict[str, dict[str, tuple[Any, Any]]]:
        return {"vos": {"flow": (FlowTracker, FlowSettings)}}

    def ready(self, precision: str, compiled: bool) -> FlowModel:
        return self

    def state_dict(self) -> dict[str, Any]:
        return {}
