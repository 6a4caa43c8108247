"""Finding people frame by frame by the portrait net; what is kept of a video is one mask.

The mask goes back in as it came out, soft and at the size of the input; on the first frame, and after a cut, it is
empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from univs.masks.geometry import Geometry, short_side
from univs.models.portrait import PortraitNet
from univs.results import FrameResult
from univs.settings import Share
from univs.trackers.tracker import Clip, Frame, Question

PEOPLE = 1
"""Object id of all people together."""
BINS = 16
"""Of the histogram of each colour."""


@dataclass(frozen=True)
class PortraitSettings:
    """threshold: probability above which a pixel is of people. cut: distance of the colours of two frames, 0..1, above
    which the second begins a new scene; 1: never."""

    threshold: Share = 0.5
    cut: Share = 0.5


class PortraitMemory:
    """What is kept of a video between two frames, and the step from one to the next.

    Args:
        model: in eval mode.
        geometry: sizes of the video's frames.
        cut: see `PortraitSettings`.
    """

    def __init__(self, model: PortraitNet, geometry: Geometry, cut: float = PortraitSettings.cut) -> None:
        self.model, self.geometry, self.cut = model, geometry, cut
        self._before: Tensor | None = None
        self._colours: Tensor | None = None

    @torch.inference_mode()
    def answer(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The next frame, H W 3 RGB -> H W probabilities of people; the log-odds, not the mask, are enlarged."""
        image = self.geometry.shrink_frame(frame).to(self.model.pixel_mean.device)
        colours = histogram(image)
        if self._colours is not None and float((colours - self._colours).abs().sum()) / 2 > self.cut:
            self._before = None
        self._colours = colours
        height, width = self.geometry.padded
        below, right = height - image.shape[-2], width - image.shape[-1]
        mean = self.model.pixel_mean[None]
        padded = F.pad(image.float() - mean, (0, right, 0, below)) + mean
        before = padded.new_zeros(1, 1, height, width) if self._before is None else self._before
        logits = self.model(padded, before)
        self._before = logits.sigmoid()
        self._before[..., image.shape[-2] :, :] = self._before[..., image.shape[-1] :] = 0
        found: NDArray[np.float32] = self.geometry.from_padded(logits[0]).sigmoid()[0].cpu().numpy()
        return found


def histogram(image: Tensor) -> Tensor:
    """1 3 h w uint8 -> 3 * `BINS` shares, a third of 1 for each colour."""
    counts = [torch.bincount((colour.flatten() // (256 // BINS)).long(), minlength=BINS) for colour in image[0]]
    return torch.cat(counts).float() / (3 * image.shape[-2] * image.shape[-1])


class PortraitTracker:
    """Finds the people of one video, all of them as one object (`Tracker`)."""

    def __init__(self, model: PortraitNet, question: Question, settings: PortraitSettings) -> None:
        self.settings = settings
        self.memory = PortraitMemory(model, question.geometry, settings.cut)
        self.object_ids: tuple[int, ...] = (PEOPLE,)

    def answer(self, clip: Clip[Frame]) -> list[FrameResult]:
        """One label map, of the one frame of the clip."""
        (frame,) = clip.frames
        if not self.object_ids:
            return [FrameResult(frame.index, np.zeros(frame.image.shape[:2], np.uint8), ())]
        found = self.memory.answer(frame.image)
        mask = found > self.settings.threshold
        score = float(found[mask].mean()) if mask.any() else 0.0
        labels = np.where(mask, PEOPLE, 0).astype(np.uint8)
        return [FrameResult(frame.index, labels, self.object_ids, {PEOPLE: score}, names={PEOPLE: "person"})]

    def finish(self) -> list[FrameResult]:
        """Nothing is left: every frame is answered at once."""
        return []

    def remove(self, object_id: int) -> None:
        """Look for people no more. KeyError for other ids, and the second time."""
        if object_id not in self.object_ids:
            raise KeyError(object_id)
        self.object_ids = ()


def mattes(
    model: PortraitNet, frames: Iterable[NDArray[np.uint8]], size: int | None = None
) -> Iterator[NDArray[np.float32]]:
    """Soft masks of the people of a video, H W probabilities for each frame of it.

    size: short side in pixels at which the net looks, None: what the model brings along.
    """
    memory: PortraitMemory | None = None
    ready = model.ready("float32", False)
    for frame in frames:
        if memory is None:
            height, width = frame.shape[:2]
            short = short_side(size, model.streaming["short_side"], height, width)
            memory = PortraitMemory(ready, Geometry.fit(height, width, short))
        yield memory.answer(frame)
