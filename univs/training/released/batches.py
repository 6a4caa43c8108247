"""Batches of the data loader for the steps of the official training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from univs.losses.clip_criterion import TERMS
from univs.models.draws import TorchDraws
from univs.models.embedding_cache import CachedTextEncoder
from univs.models.encoders import ClassTable
from univs.models.text_encoder import TextEncoder, clean_text
from univs.training.released.long_video import LongVideoStep
from univs.training.released.step import ReleasedStep
from univs.training.released.targets import LabelledClip

BETWEEN_CLIPS = ("reid_interclip", "reid_interclip_aux")


class BatchStep:
    """Losses of a batch of `set_clips.collate_set_clips`.

    Args:
        step: of clips, all in one batch; or of long videos, one after the other.
        encoder: of category names and expressions; None where no source has any.
        classes: of each source, its names.
    """

    def __init__(
        self, step: ReleasedStep | LongVideoStep, encoder: TextEncoder | None, classes: Sequence[Sequence[str]]
    ) -> None:
        self.step, self.encoder = step, encoder
        self._embeddings = [
            None if encoder is None or not names else encoder.encode_categories(list(names)) for names in classes
        ]

    def __call__(self, batch: dict[str, Any], kept_share: float) -> dict[str, Tensor]:
        """Weighted losses by name, summed over the predictions; 0 where a batch has nothing for one, so that all have
        the same names. `kept_share` is not used."""
        clips, question, draws = self.clips(batch), batch["question"], TorchDraws()
        embeddings = self._embeddings[batch["source"]] if question != "expressions" else None
        if embeddings is not None:
            embeddings = embeddings.to(batch["frames"].device)
        names: tuple[str, ...] = TERMS
        if isinstance(self.step, LongVideoStep):
            names += BETWEEN_CLIPS
            parts = [self.step(video, question, embeddings, draws) for video in clips]
        else:
            parts = [self.step(clips, question, embeddings, draws)]
        nothing = torch.zeros((), device=batch["frames"].device)
        return {
            name: torch.stack([part[name].sum() if name in part else nothing for part in parts]).mean()
            for name in names
        }

    def clips(self, batch: dict[str, Any]) -> list[LabelledClip]:
        """The clips of a batch, with masks and texts."""
        device, clips = batch["frames"].device, []
        for b, (frames, segments) in enumerate(zip(batch["frames"], batch["segments"], strict=True)):
            ids = torch.tensor(batch["ids"][b], dtype=torch.long, device=device)
            labels = None if batch["classes"] is None else torch.tensor(batch["classes"][b], device=device)
            texts = None
            if batch["expressions"] is not None:
                assert self.encoder is not None
                said = [clean_text(text) for text in batch["expressions"][b]]
                with torch.no_grad(), torch.autocast(device.type, enabled=False):
                    texts = _uncached(self.encoder).encode(said).to(device)
            masks = segments[None] == ids[:, None, None, None]
            clips.append(LabelledClip(frames, batch["frame_indices"][b], masks, ids, labels, texts))
        return clips


def _uncached(encoder: TextEncoder) -> TextEncoder:
    """The encoder itself: expressions are drawn at random, no two batches of them are the same."""
    if isinstance(encoder, ClassTable):
        encoder = encoder.encoder
    return encoder.encoder if isinstance(encoder, CachedTextEncoder) else encoder
