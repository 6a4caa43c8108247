"""Boxes as supervision: the terms of MaskFreeVIS in place of those of masks (its section 3.3).

A mask should reach as far as its box (projection), neighbours of one colour in it should belong together (pairwise),
and so should places of two frames that look alike (temporal, TK-loss).
Shapes as in `supervision`; R masks, h w cells of mask logits, D neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from univs.losses.answers import combined_answers
from univs.losses.boxes import (
    boxes_of_masks,
    colour_similarity,
    outside_loss,
    pairwise_terms,
    projection_loss,
)
from univs.losses.colours import ChannelOrder, pooled_lab
from univs.losses.counting import ALONE, Counting
from univs.losses.matcher import Pairs
from univs.losses.point_sampling import sample_points
from univs.losses.supervision import predictions_of
from univs.losses.temporal_knn import Matches, PatchSearch, find_matches, temporal_terms
from univs.models.draws import Draws
from univs.settings import Count, CountFromZero, Share, Weight


@dataclass(frozen=True)
class BoxTerms:
    """Weights of the terms, and what is alike. The defaults are those of MaskFreeVIS."""

    projection: Weight = 1.0
    pairwise: Weight = 1.0
    temporal: Weight = 0.1
    outside: Weight = 0.0
    """Of what lies beyond the box, not a term of MaskFreeVIS; keeps masks away from frames without the object."""
    pairwise_warmup: CountFromZero = 0
    """Steps over which the weight rises from 0."""
    temporal_warmup: CountFromZero = 200
    colour_alike: Share = 0.3
    """``exp(-d / 2)`` of neighbours that should belong together, d the distance of their colours in LAB."""
    dilation: Count = 2
    """Cells from a cell to its neighbours."""
    channels: ChannelOrder = "rgb"
    search: PatchSearch = PatchSearch()


def warmed(step: int, warmup: int) -> float:
    """Share of its weight that a term has in step number `step`, from 1: it rises evenly over `warmup` steps."""
    return min(1.0, step / warmup) if warmup else 1.0


@dataclass(frozen=True)
class Appearance:
    """What the colours of B clips say, once for all predictions.

    alike: B T D h w bool, whether a neighbour has the colour of a cell. matches: of the frames of each clip; None where
    no frames are compared.
    """

    alike: Tensor
    matches: Matches | None

    def frames(self, index: Tensor) -> Appearance:
        """Some of the B T frames, each as a clip of its own; their numbers are time * B + clip."""
        return Appearance(self.alike.transpose(0, 1).flatten(0, 1)[index][:, None], None)


@torch.no_grad()
def see(frames: Tensor, terms: BoxTerms, stride: int) -> Appearance:
    """What colours say of B T 3 H W RGB 0..255, on cells of `stride` pixels."""
    with torch.autocast(frames.device.type, enabled=False):
        colours = pooled_lab(frames.flatten(0, 1), stride, terms.channels)
        alike = colour_similarity(colours, terms.dilation) >= terms.colour_alike
        many = colours.unflatten(0, frames.shape[:2])
        matches = find_matches(many, terms.search) if terms.temporal > 0 and frames.shape[1] > 1 else None
    return Appearance(alike.unflatten(0, frames.shape[:2]), matches)


@dataclass(frozen=True)
class BoxTargets:
    """`Targets` of boxes.

    Args:
        boxes: B G T h w in 0..1, filled boxes; empty on frames where an object is not.
        seen: what the colours of the frames say.
        terms: weights.
        step: number of the step, from 1, that the warm-up counts.
    """

    boxes: Tensor
    seen: Appearance
    terms: BoxTerms
    step: int

    BOX_COST = 5.0
    """Weight of the dice of boxes in the matching."""

    @torch.no_grad()
    def costs(self, mask_logits: Tensor, points: Tensor) -> Tensor:
        """Dice of the filled box of a mask (where logits are positive) and that of an object, at the points."""
        layers = predictions_of(mask_logits, self.boxes)
        found = boxes_of_masks(mask_logits > 0)
        p, g = (
            sample_points(maps.flatten(1, 2).float(), points).unflatten(1, maps.shape[1:3]).flatten(2)
            for maps in (found, self.boxes.repeat(layers, 1, 1, 1, 1))
        )
        with torch.autocast(p.device.type, enabled=False):
            dice = 1 - (2 * p @ g.mT + 1) / (p.sum(2)[:, :, None] + g.sum(2)[:, None] + 1)
        return self.BOX_COST * dice

    def matched(
        self, mask_logits: Tensor, pairs: Pairs, objects: Tensor | int, draws: Draws | None = None
    ) -> dict[str, Tensor]:
        layers, clips = mask_logits.shape[:2]
        clip, query, chosen = pairs
        of_batch = clip % max(clips, 1)
        logits, boxes = mask_logits.flatten(0, 1)[clip, query], self.boxes[of_batch, chosen]
        counted = torch.ones_like(clip, dtype=torch.bool)
        return self._terms(logits, boxes, of_batch, counted, clip // clips, layers, objects)

    def prompted(self, mask_logits: Tensor, valid: Tensor, counting: Counting = ALONE) -> dict[str, Tensor]:
        layers, clips, objects = mask_logits.shape[:3]
        of_batch = torch.arange(clips, device=valid.device).repeat_interleave(objects).repeat(layers)
        layer = torch.arange(layers, device=valid.device).repeat_interleave(clips * objects)
        return self._terms(
            mask_logits.flatten(0, 2),
            self.boxes.flatten(0, 1).repeat(layers, 1, 1, 1),
            of_batch,
            valid.flatten().repeat(layers),
            layer,
            layers,
            counting.share(valid.sum()),
        )

    def answers(
        self, mask_logits: Tensor, quality: Tensor, valid: Tensor, counting: Counting = ALONE
    ) -> dict[str, Tensor]:
        """The quality of an answer is the IoU of its box."""
        clips, objects, several = mask_logits.shape[:3]
        rows = mask_logits.flatten(0, 2)
        boxes = self.boxes[:, :, 0, None].expand_as(mask_logits).flatten(0, 2)
        each = self._reach(rows, boxes)
        alike = self.seen.alike[:, 0].repeat_interleave(objects * several, 0)
        sums, weights = pairwise_terms(rows, alike, boxes, self.terms.dilation)
        each = each + self._pairwise_weight() * sums / weights.clamp_min(1)
        with torch.no_grad():
            found, wanted = boxes_of_masks(rows > 0), boxes > 0.5
            shared, either = (found & wanted).flatten(1).sum(1), (found | wanted).flatten(1).sum(1)
            true = (shared / either.clamp_min(1)).view_as(quality)
        return combined_answers(each.view_as(quality), true, quality, valid, counting)

    def _reach(self, rows: Tensor, boxes: Tensor) -> Tensor:
        """What a mask is told of where it lies: R h w, R h w -> R."""
        reach = self.terms.projection * projection_loss(rows, boxes)
        return reach + self.terms.outside * outside_loss(rows, boxes) if self.terms.outside > 0 else reach

    def _pairwise_weight(self) -> float:
        return self.terms.pairwise * warmed(self.step, self.terms.pairwise_warmup)

    def _terms(
        self,
        logits: Tensor,
        boxes: Tensor,
        clips: Tensor,
        counted: Tensor,
        layer: Tensor,
        layers: int,
        objects: Tensor | int,
    ) -> dict[str, Tensor]:
        """Terms of R masks R T h w with their boxes, clips, whether they count, and which of L predictions they are of.

        The projection is a mean over objects and frames. The others are means over pairs of places, whatever objects
        they are of, and weigh as much as the share of `objects` that these are.
        """
        frames = logits.shape[1]
        logits = logits.float()
        boxes = torch.where(counted[:, None, None, None], boxes, 0)
        reach = self._reach(logits.flatten(0, 1), boxes.flatten(0, 1)).unflatten(0, (-1, frames)).sum(1)
        share = _sums(counted.float(), layer, layers) / objects
        found = {"projection": _sums(torch.where(counted, reach, 0), layer, layers) / (objects * frames)}
        near = pairwise_terms(
            logits.flatten(0, 1), self.seen.alike[clips].flatten(0, 1), boxes.flatten(0, 1), self.terms.dilation
        )
        sums, weights = (_sums(values.unflatten(0, (-1, frames)).sum(1), layer, layers) for values in near)
        found["pairwise"] = self._pairwise_weight() * share * sums / weights.clamp_min(1)
        if self.seen.matches is not None:
            anywhere = (boxes.sum(1) >= 1).to(boxes.dtype)  # the rim of a box in one frame alone is no cell of it
            far = temporal_terms(logits, clips, anywhere, self.seen.matches)
            sums, weights = (_sums(values, layer, layers) for values in far)
            weight = self.terms.temporal * warmed(self.step, self.terms.temporal_warmup)
            found["temporal"] = weight * share * (sums / weights.clamp_min(1)).sum(1)
        return found


def _sums(values: Tensor, layer: Tensor, layers: int) -> Tensor:
    """Sums over the rows of each prediction: R ... -> L ..."""
    return values.new_zeros(layers, *values.shape[1:]).index_add(0, layer, values)
