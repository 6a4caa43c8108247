"""Fusion: a frame between two interacted ones has a mask from either; what they become depends on where it lies.

Source: Cheng, Tai and Tang, "Modular Interactive Video Object Segmentation", CVPR 2021, section 3.3. Shapes: N objects,
H' W' of the padded input, P positions of the memory's frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from univs.interactive.propagation import CarriedFrame, SeenFrame
from univs.masks.soft_aggregation import joint_probabilities
from univs.models.fusion import FusionNetwork
from univs.models.space_time_memory import aligned


@dataclass(frozen=True)
class TimeShares:
    """How far a frame is from the earlier interacted frame (to_previous, n_c) and from the new one (to_current, n_r).

    As shares of the distance between the two, so that they add up to 1.
    """

    to_previous: float
    to_current: float


@dataclass(frozen=True)
class Change:
    """What an interaction changed on its frame, of one object.

    positive, negative: H' W' how much probability was added and taken away. key: P Ck of the object on that frame, to a
    space-time memory.
    """

    positive: Tensor
    negative: Tensor
    key: Tensor | None


@dataclass(frozen=True)
class TwoMasks:
    """What a frame between two interacted frames has.

    seen: how a space-time memory saw it. previous, current: N H' W' probabilities, from before the interaction and
    carried from it. changes: of each object on the interacted frame. shares: where the frame lies.
    """

    seen: SeenFrame | None
    previous: Tensor
    current: Tensor
    changes: Sequence[Change]
    shares: TimeShares


Fusion = Callable[[TwoMasks], Tensor]
"""N H' W' probabilities of the objects, each by itself; they meet in soft aggregation afterwards."""


def time_shares(frame: int, previous: int, current: int) -> TimeShares:
    """Of a frame between an earlier interacted one and the one interacted with now; all three are indices."""
    distance = abs(previous - current)
    return TimeShares(abs(previous - frame) / distance, abs(current - frame) / distance)


def changes(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """What was added and what was taken away: N H W probabilities before and after -> twice N H W."""
    difference = after - before
    return difference.clamp(0, 1), (-difference).clamp(0, 1)


def fused(
    fusion: Fusion,
    frame: CarriedFrame,
    start: int,
    object_ids: Sequence[int],
    previous: Mapping[int, Tensor],
    changed: Mapping[int, Change],
) -> Tensor:
    """N H' W' of a frame between two interacted ones; together with the background they add up to 1.

    Args:
        frame: what a propagation from the frame `start` carried there.
        object_ids: of its N objects.
        previous: object id -> H' W' that the frame had before. Objects that had nothing stay as carried.
        changed: object id -> what the interaction changed. Objects that its frame does not know stay as carried.
    """
    carried = frame.joint[1:]
    rows = [row for row, number in enumerate(object_ids) if number in previous and number in changed]
    if frame.bound is None or not rows:
        return carried
    ids = [object_ids[row] for row in rows]
    two = TwoMasks(
        frame.seen,
        torch.stack([previous[number] for number in ids]),
        carried[rows],
        [changed[number] for number in ids],
        time_shares(frame.index, frame.bound, start),
    )
    alone = carried.clone()
    alone[rows] = fusion(two)
    return joint_probabilities(alone)[1:]


@dataclass(frozen=True)
class LearnedFusion:
    """Difference-aware fusion: a network that sees both masks, what changed, carried to the frame, and the time.

    What changed is carried by what a space-time memory sees; there is none with a UniVS.
    """

    network: FusionNetwork

    @torch.inference_mode()
    def __call__(self, masks: TwoMasks) -> Tensor:
        """A `Fusion`."""
        assert masks.seen is not None
        images, query = masks.seen.images, masks.seen.query
        times = images.new_tensor([masks.shares.to_previous, masks.shares.to_current])
        planes = times[:, None, None].expand(2, *images.shape[-2:])
        fused = []
        for previous, current, change in zip(masks.previous, masks.current, masks.changes, strict=True):
            assert change.key is not None
            both = aligned(query.key, change.key, torch.stack([change.positive, change.negative]))
            seen = torch.cat([images[0], previous[None], current[None], both, planes])
            fused.append(self.network(seen[None])[0, 0].sigmoid())  # one at a time: it works at full resolution
        return torch.stack(fused)


def learned(network: FusionNetwork) -> Fusion:
    """Difference-aware fusion by a network (`models.fusion_files.load_fusion`)."""
    return LearnedFusion(network)


def linear(masks: TwoMasks) -> Tensor:
    """The nearer interacted frame counts the more."""
    return masks.shares.to_previous * masks.current + masks.shares.to_current * masks.previous
