"""One training step of FEELVOS: a frame is answered from a reference and from the frame before, both with true masks.

As FEELVOS is trained (Voigtlaender et al., CVPR 2019, section 3.7): the reference and two frames in a row of the same
video, the hardest pixels of the second one count. Frames behind it may be answered too, each from the labels that the
one before got.
Shapes: B clips, T frames, F of them that are seen, N objects with background, S pixels of a side, h w cells, C E
channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.losses import hardest_cross_entropy, triplet_loss
from univs.masks.aligned_corners import best_labels, enlarged, nearest_labels
from univs.masks.meanings import IGNORE
from univs.models.feelvos import FEELVOS
from univs.models.pixel_matching import known_rows, pixel_rows
from univs.settings import Count, Weight
from univs.training.aim import read_aim

ANCHORS = 256
"""Cells of the reference that the triplet loss takes at most."""


@dataclass(frozen=True)
class EmbeddingLosses:
    """What a step weighs."""

    cross_entropy: Weight = 1.0
    """Over the hardest pixels; over background and objects."""
    triplet: Weight = 0.0
    """Of embeddings that are to be read without a head; the released networks have none."""


@dataclass(frozen=True)
class Choice:
    """What a step takes of a clip.

    answered: frames in a row that are answered; official training answers one. reference_cells: random cells of each
    object on the reference at most; None: all.
    """

    answered: Count = 1
    reference_cells: Count | None = 1024


@dataclass(frozen=True)
class SeenClip:
    """Frames of a clip: reference, frame before, answered ones: features F C h w, embedding F E h w float32, classes F
    S S of N objects (background 0, unknown 255)."""

    features: Tensor
    embedding: Tensor
    classes: Tensor
    count: int


class EmbeddingStep:
    """Losses of a batch of clips.

    Args:
        model: trained in place.
        settings: weights.
        choice: frames and cells.
    """

    def __init__(self, model: FEELVOS, settings: EmbeddingLosses, choice: Choice) -> None:
        self.model, self.settings, self.choice = model, settings, choice

    def __call__(self, batch: Mapping[str, Any], kept_share: float) -> dict[str, Tensor]:
        """Weighted losses by name, means over clips and frames; their sum is what is minimised.

        Args:
            batch: of `collate_clips`, of two frames more than are answered at least. The first is the reference; the
                frame before is drawn from the others.
            kept_share: of the pixels that count.
        """
        length, answered = batch["frames"].shape[1], self.choice.answered
        before = int(torch.randint(1, length - answered, ()))
        places = [0, *range(before, before + answered + 1)]
        frames, aim = batch["frames"][:, places], read_aim(batch["labels"][:, places], batch["targets"])
        seen = self.model.encode(self.model.images(frames.flatten(0, 1)))
        features, embedding = (maps.unflatten(0, frames.shape[:2]) for maps in (seen.features, seen.embedding.float()))
        counts = 1 + aim.valid.sum(1)
        clips = [
            self.clip(SeenClip(features[b], embedding[b], aim.classes[b], int(counts[b])), kept_share)
            for b in range(len(frames))
        ]
        return {name: torch.stack([clip[name] for clip in clips]).mean() for name in clips[0]}

    def clip(self, seen: SeenClip, kept_share: float) -> dict[str, Tensor]:
        """Weighted losses of a clip by name."""
        small = nearest_labels(seen.classes, seen.embedding.shape[-2:])  # F h w
        before, surprise = small[1], []
        references = self.references(pixel_rows(seen.embedding[0]), small[0].flatten(), seen.count)
        size = seen.classes.shape[-2:]
        for t in range(2, len(seen.classes)):
            logits = self.answer(seen, t, references, before)
            large = enlarged(logits[None], size)
            surprise.append(hardest_cross_entropy(large, seen.classes[t : t + 1], kept_share)[0])
            before = nearest_labels(best_labels(logits.detach(), size), before.shape)
        losses = {"cross_entropy": self.settings.cross_entropy * torch.stack(surprise).mean()}
        if self.settings.triplet > 0:
            losses["triplet"] = self.settings.triplet * self.triplet(seen.embedding, small)
        return losses

    def answer(self, seen: SeenClip, t: int, references: list[Tensor], before: Tensor) -> Tensor:
        """N h w logits of frame t, from the references and the labels h w of the frame before."""
        masks = torch.stack([before == number for number in range(seen.count)]).float()
        rows = before.masked_fill(before == IGNORE, -1).cpu().numpy()
        with torch.autocast(before.device.type, enabled=False):  # small differences of large numbers
            known = known_rows(pixel_rows(seen.embedding[t - 1]))
            maps = self.model.match(seen.embedding[t], references, known, rows, masks)
        return self.model.decode(seen.features[t : t + 1], maps).float()

    def references(self, rows: Tensor, labels: Tensor, count: int) -> list[Tensor]:
        """`known_rows` of cells of each object, of all cells P E of a frame with labels P."""
        found = []
        for number in range(count):
            places = (labels == number).nonzero()[:, 0]
            most = self.choice.reference_cells
            if most is not None and len(places) > most:
                places = places[torch.randperm(len(places))[:most].to(places.device)]
            with torch.autocast(rows.device.type, enabled=False):
                found.append(known_rows(rows[places]))
        return found

    def triplet(self, embedding: Tensor, labels: Tensor) -> Tensor:
        """`triplet_loss` of random cells of the reference, against all cells of the other frames: F E h w, F h w."""
        rows, numbers = embedding.flatten(2).transpose(1, 2), labels.flatten(1)
        known = (numbers[0] != IGNORE).nonzero()[:, 0]
        known = known[torch.randperm(len(known))[:ANCHORS].to(known.device)]
        others, other_numbers = rows[1:].flatten(0, 1), numbers[1:].flatten()
        sure = other_numbers != IGNORE
        if not len(known) or not bool(sure.any()):
            return F.relu(rows).sum() * 0
        with torch.autocast(rows.device.type, enabled=False):
            return triplet_loss(rows[0, known], numbers[0, known], others[sure], other_numbers[sure], 1.0)
