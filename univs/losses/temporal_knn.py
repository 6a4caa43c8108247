"""TK-loss: places of two frames that look alike should both be of an object, or neither (MaskFreeVIS, section 3.2).

Around each place of a reference frame the patches of another frame are searched for the K most alike ones. A place may
have many matches (flat regions) or none (what is hidden in the other frame). Nothing in it is learnt.

Shapes: B clips of T frames of h w cells, P pairs of frames, O places that are searched, K matches, R masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from univs.errors import UserError
from univs.losses.boxes import disagreement
from univs.settings import Count, Share

Pairing = Literal["cyclic", "all", "adjacent"]

AT_ONCE = 2**22
"""Numbers of one kind that a chunk works on: 16 MiB of them."""


@dataclass(frozen=True)
class PatchSearch:
    """Where matches are looked for, and which are kept. The defaults are the released ones of MaskFreeVIS, which search
    9 places; radius 5 and step 1 is the dense search of the paper."""

    patch: Count = 3
    """Cells of a side of a patch, odd."""
    radius: Count = 3
    """Cells that a match may lie away, on either axis."""
    step: Count = 3
    """From one place that is searched to the next, a divisor of the radius; 1: all of them."""
    matches: Count = 5
    """K, at most."""
    alike: Share = 0.05
    """``exp(-d / 2)`` that a match must reach, d the distance of the patches in LAB."""
    pairs: Pairing = "cyclic"
    """Of frames: a ring (each with the next, the last with the first), all, or each with the next."""

    def __post_init__(self) -> None:
        if self.patch % 2 == 0:
            raise UserError(f"patch: {self.patch} is even; a patch has a middle, so that its side is 1, 3, 5, ...")
        if self.radius % self.step:
            raise UserError(f"step: {self.step} does not lead from -{self.radius} to {self.radius}; 1 always does")

    def offsets(self) -> list[tuple[int, int]]:
        """The O places, as steps (down, right) from the reference, row by row."""
        reach = range(-self.radius, self.radius + 1, self.step)
        return [(y, x) for y in reach for x in reach]


@dataclass(frozen=True)
class Matches:
    """What was found in B clips.

    pairs: P pairs (searched frame, reference frame). places: B P K h w, the cell of the searched frame that each cell
    of the reference frame matches, counted row by row; -1 beyond the frame, where masks disagree with nobody. kept:
    B P K h w bool, whether it is a match.
    """

    pairs: tuple[tuple[int, int], ...]
    places: Tensor
    kept: Tensor


def frame_pairs(length: int, pairs: Pairing) -> tuple[tuple[int, int], ...]:
    """Pairs (searched, reference) of frames of a clip of `length`; none in a clip of one frame."""
    if length < 2:
        return ()
    if pairs == "all":
        return tuple((a, b) for a in range(length) for b in range(a + 1, length))
    ring = tuple((t, (t + 1) % length) for t in range(length))
    return ring if pairs == "cyclic" else ring[:-1]


@torch.no_grad()
def patch_similarity(searched: Tensor, reference: Tensor, search: PatchSearch) -> Tensor:
    """``exp(-d / 2)`` of the patch around each cell of the reference and those around the places that are searched.

    Args:
        searched, reference: N 3 h w, LAB.
    Returns:
        N O h w. Beyond the frame colours are black; a place beyond the frame has a patch of black alone.
    """
    height, width = reference.shape[-2:]
    band = max(1, AT_ONCE // max(1, len(reference) * len(search.offsets()) * width))
    bands = [_band_similarity(searched, reference, search, y, min(y + band, height)) for y in range(0, height, band)]
    return torch.cat(bands, 2)


def _band_similarity(searched: Tensor, reference: Tensor, search: PatchSearch, top: int, bottom: int) -> Tensor:
    """Rows top..bottom of `patch_similarity`."""
    half, radius = search.patch // 2, search.radius
    height, width = reference.shape[-2:]
    reference = F.pad(reference, (half,) * 4)[..., top : bottom + 2 * half, :]
    searched = F.pad(searched, (half + radius,) * 4)[..., top : bottom + 2 * (half + radius), :]
    rows = torch.arange(top, bottom, device=reference.device)
    columns = torch.arange(width, device=reference.device)
    black = _patch_sums(reference.square().sum(1), search.patch)
    found = []
    for y, x in search.offsets():
        moved = searched[..., radius + y :, radius + x :][..., : reference.shape[-2], : reference.shape[-1]]
        distance = _patch_sums((moved - reference).square().sum(1), search.patch)
        there = ((rows + y >= 0) & (rows + y < height))[:, None] & (columns + x >= 0) & (columns + x < width)
        found.append(torch.exp(-0.5 * torch.where(there, distance, black).sqrt()))
    return torch.stack(found, 1)


def _patch_sums(maps: Tensor, patch: int) -> Tensor:
    """Sums over the patches of N h+patch-1 w+patch-1 -> N h w."""
    return F.avg_pool2d(maps[:, None], patch, 1, divisor_override=1)[:, 0]


@torch.no_grad()
def find_matches(colours: Tensor, search: PatchSearch) -> Matches:
    """The matches of all pairs of frames of B clips, pair by pair: colours B T 3 h w, LAB."""
    clips, length, _, height, width = colours.shape
    pairs, offsets = frame_pairs(length, search.pairs), search.offsets()
    steps = torch.tensor(offsets, device=colours.device)
    rows = torch.arange(height, device=colours.device)[:, None]
    columns = torch.arange(width, device=colours.device)
    count = min(search.matches, len(offsets))
    places = [colours.new_zeros(clips, 0, count, height, width, dtype=torch.long)]
    kept = [places[0].bool()]
    for a, b in pairs:
        similarity, best = patch_similarity(colours[:, a], colours[:, b], search).topk(count, 1)
        y, x = rows + steps[best, 0], columns + steps[best, 1]
        there = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        places.append(torch.where(there, y * width + x, -1)[:, None])
        kept.append((similarity >= search.alike)[:, None])
    return Matches(pairs, torch.cat(places, 1), torch.cat(kept, 1))


def temporal_terms(logits: Tensor, clips: Tensor, boxes: Tensor, matches: Matches) -> tuple[Tensor, Tensor]:
    """Places that match should be of one object, or not, together (MaskFreeVIS, eq. 4 and 5).

    Args:
        logits: R T h w.
        clips: R, the clip of B that a mask is of.
        boxes: R h w, 0 or 1: a match counts where its reference place is in a box of the object, of any frame.
    Returns:
        sums of the disagreement and of the weights, R P each: the loss of many masks is the quotient of their sums,
        pair by pair. Memory is bounded: masks are compared, and their gradients taken, so many at once.
    """
    few = max(1, AT_ONCE // max(1, matches.places[:1, :1].numel()))
    sums, weights = [], []
    for number, (a, b) in enumerate(matches.pairs):
        for start in range(0, len(logits), few):
            rows = slice(start, start + few)
            found = checkpoint(
                _pair_terms,
                logits[rows, a],
                logits[rows, b],
                boxes[rows],
                matches.places[:, number],
                matches.kept[:, number],
                clips[rows],
                use_reentrant=False,
                preserve_rng_state=False,  # nothing is drawn in it
            )
            sums.append(found[0])
            weights.append(found[1])
    shape = (len(matches.pairs), len(logits))
    if not sums:
        nothing = logits.flatten(1).sum(1)[:, None].expand(shape[::-1]) * 0
        return nothing, nothing
    return torch.cat(sums).view(shape).T, torch.cat(weights).view(shape).T


def _pair_terms(
    searched: Tensor, reference: Tensor, boxes: Tensor, places: Tensor, kept: Tensor, clips: Tensor
) -> tuple[Tensor, Tensor]:
    """Sums of the disagreement and of the weights of masks R h w on the two frames of a pair."""
    where = places[clips].flatten(1)
    others = searched.float().flatten(1).gather(1, where.clamp_min(0)).view(len(clips), -1, *reference.shape[1:])
    terms = disagreement(reference.float()[:, None], others)
    terms = torch.where(where.view_as(terms) < 0, 0, terms)
    weights = kept[clips] * boxes[:, None]
    return (terms * weights).flatten(1).sum(1), weights.flatten(1).sum(1)
