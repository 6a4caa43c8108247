"""Frames with what UniVS makes of them, each encoded once however many clips it is in.

Shapes: F frames, H W pixels of the frame, H' W' of the padded input.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import torch.nn.functional as F

from univs.masks.geometry import Geometry
from univs.models.dense_memory import MemoryKey
from univs.models.features import ImageFeatures
from univs.models.mask_decoder import DecoderInputs
from univs.models.univs import UniVS
from univs.models.word_answers import word_parts
from univs.models.word_head import WordCells
from univs.trackers.tracker import Clip, Frame


class EncodedFrame:
    """A frame of the video, its features made when they are first asked for."""

    def __init__(self, frame: Frame, model: UniVS, geometry: Geometry) -> None:
        self.index = frame.index
        self.image = frame.image
        self._model, self.geometry = model, geometry

    @cached_property
    def features(self) -> ImageFeatures:
        """Features of this one frame (F = 1)."""
        image = self.geometry.shrink_frame(self.image)
        normalised = self._model.normalize(image.to(self._model.pixel_mean.device))
        height, width = self.geometry.padded  # may exceed what the network needs
        padding = (0, width - normalised.shape[-1], 0, height - normalised.shape[-2])
        features = self._model.encode_image(F.pad(normalised, padding) if any(padding) else normalised)
        if self._model.dense_memory is not None:
            return features
        return ImageFeatures(features.levels, features.mask_features, {})  # nobody reads the pyramid

    @cached_property
    def inputs(self) -> DecoderInputs:
        """What the mask decoder reads of this frame."""
        return self._model.prepare(self.features)

    @cached_property
    def key(self) -> MemoryKey | None:
        """Keys of the dense memory on this frame, if the model has one."""
        dense = self._model.dense_memory
        return None if dense is None else dense.memory_key(self.features)

    @cached_property
    def cells(self) -> WordCells:
        """What the word head says of this frame. Raises UserError if the model has none."""
        head, _ = word_parts(self._model)
        return head(self.features)


EncodedClip = Clip[EncodedFrame]


class Encoder:
    """Makes the frames of overlapping clips ready, each once; forgets those before the clip."""

    def __init__(self, model: UniVS, geometry: Geometry) -> None:
        self._model, self._geometry = model, geometry
        self._frames: dict[int, EncodedFrame] = {}

    def __call__(self, clip: Clip[Frame]) -> EncodedClip:
        """The same clip with encoded frames."""
        self._frames = {
            frame.index: self._frames.get(frame.index) or EncodedFrame(frame, self._model, self._geometry)
            for frame in clip.frames
        }
        return replace(clip, frames=list(self._frames.values()))  # type: ignore[arg-type, return-value]
