"""Entities over time: what is known of each, from the clip that first found it.

Shapes: N entities, K classes, H slots of the history, C channels, T frames of the clip, h w a quarter of the padded
input. One slot is made for each clip; of all slots only sums and the last few are kept, so that memory does not grow
with the video.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from univs.trackers.mask_scores import averaged_slots

CARRIED = 3
"""The embedding that a new slot starts with is the mean of so many slots before it."""


class Tracks:
    """Class scores, embeddings, mask logits and quality of every entity.

    Args:
        history: slots of embeddings kept.
    """

    def __init__(self, history: int) -> None:
        self._length = max(history, CARRIED)
        self._slots = 0  # clips begun
        self.ids: tuple[int, ...] = ()
        """Ids in the order in which the entities were found."""
        self.quality = torch.zeros(0)
        """N mask qualities, summed over the clips that confirmed the entity."""
        self.embeddings: Tensor = torch.zeros(0, 0, 0)
        """N H C, the newest slot last."""
        self.logits: dict[int, Tensor] = {}
        """Frame index -> N h w mask logits, summed over the clips that the frame was in."""
        self._past = torch.zeros(0, 0)  # N K, class scores summed over all slots but the newest
        self._newest = torch.zeros(0, 0)  # N K
        self._next_id = 1

    def __len__(self) -> int:
        return len(self.ids)

    def begin(self, frames: Sequence[int], size: tuple[int, int]) -> None:
        """A new clip: one more slot for each entity, room for the frames that were in no clip yet.

        Args:
            frames: indices of the clip's frames.
            size: (h, w) of its mask logits.
        """
        self._slots += 1
        if len(self):
            self._past = self._past + self._newest
            carried = self.embeddings[:, -CARRIED:].mean(1, keepdim=True)
            self.embeddings = torch.cat([self.embeddings, carried], 1)[:, -self._length :]
        for index in frames:
            if index not in self.logits:
                self.logits[index] = self.quality.new_zeros(len(self), *size)

    def add(self, frames: Sequence[int], scores: Tensor, embeddings: Tensor, logits: Tensor, quality: Tensor) -> None:
        """Entities that this clip has found: scores n K, embeddings n T C, logits n T h w, quality n."""
        count = len(scores)
        if not count:
            return
        slot = embeddings.mean(1, keepdim=True)
        slots = min(self._slots, self._length)
        if not len(self):
            self.embeddings = slot.new_zeros(0, slots, slot.shape[-1])
            self._past = self._newest = scores.new_zeros(0, scores.shape[1])
            self.quality = quality.new_zeros(0)
        self.ids += tuple(range(self._next_id, self._next_id + count))
        self._next_id += count
        self.quality = torch.cat([self.quality, quality])
        earlier = slot.new_zeros(count, slots - 1, slot.shape[-1])
        self.embeddings = torch.cat([self.embeddings, torch.cat([earlier, slot], 1)])
        self._past = torch.cat([self._past, torch.zeros_like(scores)])
        self._newest = torch.cat([self._newest, scores])
        for index, known in self.logits.items():
            own = logits[:, frames.index(index)] if index in frames else logits.new_zeros(count, *logits.shape[-2:])
            self.logits[index] = torch.cat([known.to(own), own])

    def confirm(self, rows: Sequence[int], frames: Sequence[int], logits: Tensor, quality: Tensor) -> None:
        """Masks of this clip that belong to known entities: logits n T h w are added up, quality n too."""
        if not rows:
            return
        for place, index in enumerate(frames):
            self.logits[index][rows] += logits[:, place]
        self.quality[rows] += quality

    def refresh_embeddings(self, rows: Sequence[int], embeddings: Tensor) -> None:
        """Average the newest slot of some entities with the mean of n T C embeddings of this clip."""
        if rows:
            self.embeddings[rows, -1] = averaged_slots(self.embeddings[rows, -1], embeddings.mean(1))

    def refresh_scores(self, rows: Sequence[int], scores: Tensor) -> None:
        """Average the newest class scores of some entities with n K scores of this clip."""
        if rows:
            self._newest[rows] = 0.5 * self._newest[rows] + 0.5 * scores

    def class_scores(self) -> Tensor:
        """N K: mean over all clips of the video so far, as released: those before an entity was found are zero."""
        return (self._past + self._newest) / self._slots

    def forget_frames(self, before: int) -> None:
        """Give up the mask logits of frames that nobody needs any more."""
        for index in [index for index in self.logits if index < before]:
            del self.logits[index]

    def remove(self, entity_id: int) -> int:
        """Forget an entity and return the row that it had. KeyError if it is not known."""
        if entity_id not in self.ids:
            raise KeyError(entity_id)
        row = self.ids.index(entity_id)
        self.ids = self.ids[:row] + self.ids[row + 1 :]
        keep = [index for index in range(len(self.ids) + 1) if index != row]
        self.quality = self.quality[keep]
        self.embeddings, self._past, self._newest = self.embeddings[keep], self._past[keep], self._newest[keep]
        self.logits = {index: logits[keep] for index, logits in self.logits.items()}
        return row
