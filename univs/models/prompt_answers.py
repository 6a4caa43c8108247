"""Several answers to one prompt: a click may mean a part, a thing or a group (Kirillov et al., SAM, ICCV 2023, 3).

Beside the ordinary prompt row of an object stand a few more, that start from the same tokens and a learned offset and
make their masks by weights of their own. All are judged by a predicted quality, the IoU with what was meant. The
ordinary row does not see the others: what it says is what it says without them.

Shapes: B clips of one frame, N prompted objects, n of them with several answers, A answers (the ordinary one first),
C channels, Cm mask-feature channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.models.features import DecodeRequest, Prediction, PromptQueries
from univs.models.mask_decoder import DecoderInputs, MaskDecoder, MaskEmbedding

STEADY = 1.0, 2.5
"""Logits by which the edge of a mask is moved, to see how much of it stays."""
SMALLEST = 1e-3
"""Share of the map below which areas do not differ."""
LOOKS = 6
"""Numbers that `looks_of` sees."""


@dataclass(frozen=True)
class PromptedMasks:
    """What is said of n objects, A answers each."""

    mask_logits: Tensor
    """B n A H/4 W/4."""
    quality: Tensor
    """B n A logits of the IoU that each mask is thought to have."""


class PromptAnswers(nn.Module):
    """Rows for further answers, their mask weights, and the quality of all.

    Args:
        dim, mask_dim: C and Cm.
        extra: answers beside the ordinary one, A - 1.
        seen_masks: whether the quality is judged by the look of the mask, too (`looks_of`), not by its row alone.
    """

    def __init__(self, dim: int, mask_dim: int, extra: int, seen_masks: bool = False) -> None:
        super().__init__()
        if extra < 1:
            raise ValueError(f"extra answers must be at least 1, got {extra}; leave prompt_answers out for none")
        self.offset = nn.Parameter(0.1 * torch.randn(extra, dim))
        self.mask_change = nn.ModuleList(MaskEmbedding(dim, mask_dim) for _ in range(extra))
        for change in self.mask_change:  # every answer starts as the ordinary one
            assert isinstance(change, MaskEmbedding)
            nn.init.zeros_(change.last.weight)
            nn.init.zeros_(change.last.bias)
        self.quality_hidden = nn.Linear(dim, dim)
        self.quality_looks = nn.Linear(LOOKS, dim, bias=False) if seen_masks else None
        if self.quality_looks is not None:  # a file without it is judged as before
            nn.init.zeros_(self.quality_looks.weight)
        self.quality = nn.Linear(dim, 1 + extra)
        nn.init.zeros_(self.quality.weight)  # until it has learnt to judge, the ordinary answer is the likeliest
        with torch.no_grad():
            self.quality.bias.copy_(torch.tensor([1.0] + [0.0] * extra))

    def forward(
        self, decoder: MaskDecoder, inputs: DecoderInputs, request: DecodeRequest, rows: Sequence[int] | None = None
    ) -> tuple[list[Prediction], PromptedMasks]:
        """What all layers predict, as without further answers, and several answers of the last layer.

        Args:
            decoder, inputs: of B frames.
            request: with the prompts of N objects.
            rows: the n of the N objects that get several answers; None: all.
        Raises ValueError for clips of several frames, and for a request without prompts or without all masks.
        """
        prompts, dense = request.prompts, request.dense
        if prompts is None or request.clip_length != 1:
            raise ValueError("several answers are to prompts, on clips of one frame")
        if not request.learnable_masks:
            raise ValueError("several answers take the masks of all rows; leave learnable_masks True")
        count = prompts.query.shape[1]
        chosen = torch.arange(count) if rows is None else torch.tensor(list(rows), dtype=torch.long)
        chosen = chosen.to(prompts.query.device)
        places = torch.cat([torch.arange(count, device=chosen.device), chosen.repeat(len(self.offset))])
        wide = replace(
            request,
            prompts=self._widened(prompts, places, len(chosen)),
            dense=None if dense is None else dense[:, places],
        )
        layers = decoder([inputs], wide, every_layer=True)
        ordinary = (len(decoder.query) if request.learnable else 0) + count
        embeddings = layers[-1].embeddings[:, :, 0]
        return [first_rows(layer, ordinary) for layer in layers], self._answers(
            embeddings[:, ordinary - count :],
            decoder.mask_embedding(embeddings[:, ordinary:]),
            layers[-1].mask_logits[:, ordinary - count : ordinary, 0],
            inputs.mask_features,
            dense,
            chosen,
        )

    def _widened(self, prompts: PromptQueries, places: Tensor, several: int) -> PromptQueries:
        """N rows, and behind them, answer after answer, A - 1 more for `several` of them, that no other row sees.

        places: of which row each is a copy.
        """
        clips, count = prompts.query.shape[:2]
        present = prompts.present
        if present is None:
            present = torch.ones(clips, count, dtype=torch.bool, device=places.device)
        seen = present | ~present.any(1, keepdim=True)
        offset = F.pad(self.offset.repeat_interleave(several, 0), (0, 0, count, 0))
        positions, valid = prompts.token_positions, prompts.token_valid
        return PromptQueries(
            prompts.query[:, places] + offset[None, :, None],
            prompts.position[:, places],
            prompts.tokens[:, places],
            None if positions is None else positions[:, places],
            None if valid is None else valid[:, places],
            F.pad(seen, (0, len(places) - count)),
        )

    def _answers(
        self,
        embeddings: Tensor,
        weights: Tensor,
        ordinary: Tensor,
        mask_features: Tensor,
        dense: Tensor | None,
        chosen: Tensor,
    ) -> PromptedMasks:
        """The answers to n of N objects.

        Args:
            embeddings: B N+n(A-1) C, normed prompt rows.
            weights: B n(A-1) Cm, of the masks of the further ones by the common layers.
            ordinary: B N H/4 W/4 mask logits.
            mask_features: B Cm H/4 W/4.
            dense: B N Cm H/4 W/4.
            chosen: the n.
        """
        count, several = ordinary.shape[1], len(self.mask_change)
        further = embeddings[:, count:].unflatten(1, (several, -1))  # B A-1 n C
        change = torch.stack([layer(further[:, i]) for i, layer in enumerate(self.mask_change)], 1)
        changed = weights.unflatten(1, (several, -1)) + change
        masks = torch.einsum("banc,bchw->bnahw", changed, mask_features)
        if dense is not None:
            masks = masks + torch.einsum("banc,bnchw->bnahw", changed, dense[:, chosen])
        every = torch.cat([embeddings[:, None, chosen], further], 1)  # B A n C
        logits = torch.cat([ordinary[:, chosen, None], masks], 2)
        hidden = self.quality_hidden(every)
        if self.quality_looks is not None:
            hidden = hidden + self.quality_looks(looks_of(logits.detach()).to(hidden.dtype)).transpose(1, 2)
        judged = self.quality(F.relu(hidden))
        quality = torch.diagonal(judged, dim1=1, dim2=3)  # each answer by its own column: B n A
        return PromptedMasks(logits, quality)


def looks_of(logits: Tensor) -> Tensor:
    """What can be seen of masks without knowing the truth, by which good ones are told from bad ones.

    Args:
        logits: ... h w.
    Returns:
        ... `LOOKS`, of 0 to 1: the mean probability inside; how much of the mask stays when its edge is moved inwards
        rather than outwards, a little and more (the stability of SAM's masks); the logarithm of the area, 0 for the
        whole map, and its square; the share of the rim of the map that is in the mask.
    """
    logits = logits.float()
    inside = logits > 0
    count = inside.sum((-2, -1))
    sure = (logits.sigmoid() * inside).sum((-2, -1)) / count.clamp_min(1)
    stable = [(logits > by).sum((-2, -1)) / (logits > -by).sum((-2, -1)).clamp_min(1) for by in STEADY]
    area = torch.log(inside.float().mean((-2, -1)) + SMALLEST) / math.log(SMALLEST)
    rim = torch.cat([inside[..., 0, :], inside[..., -1, :], inside[..., 1:-1, 0], inside[..., 1:-1, -1]], -1)
    return torch.stack([sure, *stable, area, area.square(), rim.float().mean(-1)], -1)


def first_rows(prediction: Prediction, count: int) -> Prediction:
    """A prediction with its first `count` rows alone."""
    queries, classes, grounding = prediction.queries, prediction.class_logits, prediction.grounding_logits
    return replace(
        prediction,
        mask_logits=prediction.mask_logits[:, :count],
        embeddings=prediction.embeddings[:, :count],
        class_logits=None if classes is None else classes[:, :count],
        grounding_logits=None if grounding is None else grounding[:, :count],
        queries=None if queries is None else queries[:, :count],
    )
