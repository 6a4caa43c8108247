"""Numbers of the official training, and where it may be followed or left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from univs.models.features import SelfAttentionKind
from univs.settings import Count, Weight

TokenOrder = Literal["objects", "kinds"]
"""Whose features the tokens of an object hold: its own; or "kinds": those of objects shown by masks come first, then
those of points, then those of boxes, while positions are the object's own (official, an accident)."""

ExpressionMasks = Literal["own", "numbered"]
"""Which mask an expression is to find: that of its own row; or "numbered": that of the row whose place is the number of
its object among the described ones (official, an accident where several expressions describe one object)."""

MemoryTimes = Literal["own", "counted"]
"""Which frame indices the memory of a long video knows: those of its frames; or "counted": their places in the clip
(official, an accident)."""


@dataclass(frozen=True)
class ReleasedSettings:
    """What a step weighs and draws; weights are the same for all predictions."""

    classes: Weight = 5.0
    mask: Weight = 5.0
    dice: Weight = 5.0
    reidentification: Weight = 0.5
    """0.25 with a Swin; half as much in the third stage."""
    points: Count = 12544
    """Of a mask on a frame."""
    objects: Count = 20
    """A clip's objects, and its prompt queries, are cut to so many."""
    tokens: Count = 32
    """Of a shown object."""
    self_attention: SelfAttentionKind = "sep"
    """Of expressions it is always "sep-blocked"."""
    token_order: TokenOrder = "objects"
    expression_masks: ExpressionMasks = "own"
    memory_times: MemoryTimes = "own"

    def weighted(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Terms of `clip_losses` and those between clips times their weights."""
        own = {"class": self.classes, "mask": self.mask, "dice": self.dice}
        return {name: own.get(name, self.reidentification) * values for name, values in losses.items()}
