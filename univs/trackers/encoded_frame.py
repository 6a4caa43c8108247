"""A frame with what UniVS makes of it, encoded once however many clips it is in.

Shapes: F frames, H W pixels of the frame, H' W' of the padded input.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from univs.masks.geometry import Geometry
from univs.models.dense_memory import MemoryKey
from univs.models.features import ImageFeatures
from univs.models.mask_decoder import DecoderInputs
from univs.models.univs import UniVS


class EncodedFrame:
    """A frame of the video with what the model makes of it, made when it is first asked for.

    Args:
        index: 0-based, in the video.
        image: H W 3 RGB uint8.
    """

    def __init__(self, index: int, image: NDArray[np.uint8], model: UniVS, geometry: Geometry) -> None:
        self.index = index
        self._image: NDArray[np.uint8] | None = image
        self._model, self._geometry = model, geometry

    @cached_property
    def features(self) -> ImageFeatures:
        """Features of this one frame (F = 1)."""
        assert self._image is not None
        image, self._image = self._geometry.shrink_frame(self._image), None
        normalised = self._model.normalize(image.to(self._model.pixel_mean.device))
        features = self._model.encode_image(_padded(normalised, self._geometry.padded))
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


def _padded(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Normalised images, zero padded right and below to a size that may exceed what the network needs."""
    height, width = images.shape[-2:]
    return images if (height, width) == size else F.pad(images, (0, size[1] - width, 0, size[0] - height))
