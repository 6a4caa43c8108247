"""The mask decoder: queries look at their prompt, at the image and at each other, and become masks.

Each layer is ProCA (prompt rows) -> masked image cross attention (per frame) -> separated self attention (per clip)
-> feed-forward; after each, the heads give classes, masks and embeddings.

Shapes: B clips, T frames, F = B*T, Q' query rows (learnable first, then N prompt rows), C channels, Cm mask-feature
channels, hw cells of a level, K classes, D dimension of text embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.models.attention import FeedForward, ImageCrossAttention, PromptCrossAttention, SeparatedSelfAttention
from univs.models.features import DecodeRequest, ImageFeatures, Prediction, PromptQueries
from univs.models.position import map_embedding
from univs.models.visual_sampler import TIMES

OFFICIAL_TRAINING_SCALE = 256


class MaskEmbedding(nn.Module):
    """Three linear layers with ReLU between, from a query to the weights of its mask."""

    def __init__(self, dim: int, mask_dim: int) -> None:
        super().__init__()
        last = nn.Linear(dim, mask_dim)
        nn.init.uniform_(last.bias, -1, 1)
        self.layers = nn.ModuleList([nn.Linear(dim, dim), nn.Linear(dim, dim), last])

    @property
    def last(self) -> nn.Linear:
        """The layer that makes the weights."""
        layer = self.layers[-1]
        assert isinstance(layer, nn.Linear)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = self.layers
        return last(F.relu(second(F.relu(first(x)))))


@dataclass(frozen=True)
class DecoderInputs:
    """What the layers read of F frames: made once for a frame, however many clips it is in."""

    keys: tuple[Tensor, ...]
    """Of each layer's image cross attention, projected: F hw C."""
    values: tuple[Tensor, ...]
    """As `keys`."""
    shrunk: tuple[Tensor, ...]
    """Mask features at the size of each level: F Cm hw."""
    mask_features: Tensor
    """F Cm H/4 W/4."""


class MaskDecoder(nn.Module):
    """Learnable and prompt queries -> masks, classes, embeddings.

    Args:
        dim, mask_dim: C and Cm.
        heads, ffn, layers: of the attention layers; layer i looks at level i mod 3. Without layers all rows stay what
            they start as, and the dense residual alone tells objects apart.
        queries: number of learnable queries.
        text_dim: D, of class embeddings and sentences.
        time: how frames enter the position embeddings of prompt tokens: none, fixed (place in the clip), arbitrary
            (frame index). Keys of the image need none: what is added to all keys of a frame cancels in the soft-max.
        blank_tokens: whether blank prompt tokens are "masked" out of ProCA or "attended" (official).
        grounding_scale: how a query's fit to a sentence is scaled. "official": dot product with the sentence as it is,
            divided by 256 in training; "learned_temperature": cosine times a learned factor.
    """

    def __init__(
        self,
        *,
        dim: int,
        mask_dim: int,
        heads: int,
        ffn: int,
        layers: int,
        queries: int,
        text_dim: int,
        time: str = "none",
        blank_tokens: str = "masked",
        grounding_scale: str = "official",
    ) -> None:
        super().__init__()
        if time not in TIMES:
            raise ValueError(f"unknown time embedding {time!r}: one of {', '.join(TIMES)}")
        if blank_tokens not in ("masked", "attended"):
            raise ValueError(f"unknown use of blank tokens {blank_tokens!r}: masked or attended")
        if grounding_scale not in ("official", "learned_temperature"):
            raise ValueError(f"unknown grounding scale {grounding_scale!r}: official or learned_temperature")
        self.dim, self.time, self.masks_blank_tokens = dim, time, blank_tokens == "masked"
        self.query = nn.Parameter(torch.randn(queries, dim))
        self.query_position = nn.Parameter(torch.randn(queries, dim))
        self.level_embed = nn.Parameter(0.1 * torch.randn(3, dim))
        self.prompt_attention = nn.ModuleList(PromptCrossAttention(dim, heads) for _ in range(layers))
        self.image_attention = nn.ModuleList(ImageCrossAttention(dim, heads) for _ in range(layers))
        self.self_attention = nn.ModuleList(SeparatedSelfAttention(dim, heads) for _ in range(layers))
        self.feed_forward = nn.ModuleList(FeedForward(dim, ffn) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.mask_embedding = MaskEmbedding(dim, mask_dim)
        self.class_projection = nn.Linear(dim, text_dim)
        self.class_temperature = nn.Parameter(torch.full((1, 1), math.log(1 / 0.07)))
        self.grounding_temperature: nn.Parameter | None = None
        if grounding_scale == "learned_temperature":
            self.grounding_temperature = nn.Parameter(torch.full((1, 1), math.log(1 / 0.07)))

    def forward(
        self, inputs: Sequence[DecoderInputs], request: DecodeRequest, *, every_layer: bool = False
    ) -> list[Prediction]:
        """Decode B clips of T frames.

        Args:
            inputs: of B*T frames in all, clip after clip, from `prepare`: in one piece, or in several.
            request: what is asked of them.
            every_layer: predict before layer 0 and after each layer, else after the last layer only.
        Returns:
            The predictions, the last layer's at the end.
        Raises ValueError for frames that do not divide into clips.
        """
        prompts, dense, frames = request.prompts, request.dense, request.clip_length
        total = sum(len(piece.mask_features) for piece in inputs)
        if total % frames:
            raise ValueError(f"{total} frames do not divide into clips of {frames}")
        clips = total // frames
        blend = request.grounding_blend == "best_learnable"
        count = len(self.query) if request.learnable else 0
        small = [None] * len(self.image_attention) if dense is None else self._shrunk_dense(dense, inputs[0])
        query, position = self._initial(clips, frames, request.learnable)
        if prompts is not None:
            # the first ProCA gives content and, from then on, the position of the prompt rows
            first = prompts.query
            if len(self.prompt_attention):
                first = self._prompt(0, first, prompts.position, prompts)
            query, position = torch.cat([query, first], 1), torch.cat([position, first], 1)

        def predict(normed: Tensor, embedding: Tensor) -> Prediction:
            first = 0 if request.learnable_masks else count
            masks = self._masks(embedding[:, first:], inputs, dense, count - first)
            named, said = request.class_embeddings, request.sentences
            classes = None if named is None else self._classify(normed, named)
            grounding = None if said is None else self._ground(normed, said)
            return Prediction(masks, normed, classes, grounding)

        def embed(normed: Tensor) -> Tensor:
            embedding = self._embed(normed, count, blend)
            if request.shuffle is None:
                return embedding
            return embedding[:, :, request.shuffle.permutation(frames).to(embedding.device)]

        predictions = []
        for i in range(len(self.image_attention)):
            normed = self.norm(query)
            embedding = embed(normed)
            if every_layer:
                predictions.append(predict(normed, embedding))
            if prompts is not None and i > 0:
                rows = self._prompt(i, query[:, count:], position[:, count:], prompts)
                query = torch.cat([query[:, :count], rows], 1)
            with torch.no_grad():
                shrunk = [piece.shrunk[i % 3] for piece in inputs]
                allowed = [logits >= 0 for logits in self._mask_logits(embedding, shrunk, small[i % 3], count)]
            query = self._look(i, _per_frame(query), _per_frame(position), inputs, allowed)
            query = query.unflatten(0, (clips, frames)).transpose(1, 2)
            present = None if prompts is None else prompts.present
            query = self.self_attention[i](query, position, count, request.self_attention, present)
            query = self.feed_forward[i](query)
        normed = self.norm(query)
        return [*predictions, replace(predict(normed, embed(normed)), queries=query)]

    def _initial(self, clips: int, frames: int, learnable: bool) -> tuple[Tensor, Tensor]:
        """Content and position of the learnable rows: B Q T C, or no rows."""
        rows = slice(None) if learnable else slice(0)
        query, position = (
            x[rows][None, :, None].expand(clips, -1, frames, -1) for x in (self.query, self.query_position)
        )
        return query, position

    def _prompt(self, layer: int, query: Tensor, position: Tensor, prompts: PromptQueries) -> Tensor:
        valid = prompts.token_valid if self.masks_blank_tokens else None
        return self.prompt_attention[layer](query, position, prompts.tokens, prompts.token_positions, valid)

    def prepare(self, features: ImageFeatures) -> DecoderInputs:
        """What the layers read of F frames."""
        levels = features.levels[: min(3, len(self.image_attention))]
        values = [f.flatten(2).transpose(1, 2) + e for f, e in zip(levels, self.level_embed, strict=False)]
        sizes = [(f.shape[-2], f.shape[-1]) for f in levels]
        places = [map_embedding(*size, self.dim, features.mask_features.device).flatten(0, 1) for size in sizes]
        keys = [value + place for value, place in zip(values, places, strict=True)]
        shrunk = tuple(shrink(features.mask_features, size).flatten(2) for size in sizes)
        projected = []
        for i, layer in enumerate(self.image_attention):
            assert isinstance(layer, ImageCrossAttention)
            projected.append(layer.project(keys[i % 3], values[i % 3]))
        return DecoderInputs(
            tuple(key for key, _ in projected), tuple(value for _, value in projected), shrunk, features.mask_features
        )

    def _shrunk_dense(self, dense: Tensor, inputs: DecoderInputs) -> list[Tensor | None]:
        """B N Cm H/4 W/4 -> B N Cm hw for each level."""
        height, width = inputs.mask_features.shape[-2:]
        sizes = [(height >> (3 - level), width >> (3 - level)) for level in range(len(inputs.shrunk))]
        return [shrink(dense.flatten(0, 1), size).unflatten(0, dense.shape[:2]).flatten(3) for size in sizes]

    def _look(
        self, layer: int, query: Tensor, position: Tensor, inputs: Sequence[DecoderInputs], allowed: Sequence[Tensor]
    ) -> Tensor:
        """Image cross attention of F Q' C queries, each to the cells of its own frame that are allowed: F Q' hw."""
        sizes = [len(piece.mask_features) for piece in inputs]
        rows = zip(query.split(sizes), position.split(sizes), inputs, allowed, strict=True)
        attention = self.image_attention[layer]
        return _joined([attention(q, p, piece.keys[layer], piece.values[layer], mask) for q, p, piece, mask in rows])

    def _embed(self, normed: Tensor, learnable: int, blend: bool) -> Tensor:
        """Normed queries -> weights of their masks, B Q' T C -> B Q' T Cm; perhaps blended with the best learnable.

        Averaging mask logits is averaging these weights.
        """
        embedding = self.mask_embedding(normed)
        if not blend:
            return embedding
        best = most_similar(normed[:, learnable:], normed[:, :learnable])
        clip = torch.arange(len(best), device=best.device)[:, None]
        blended = 0.5 * (embedding[:, learnable:] + embedding[clip, best])
        return torch.cat([embedding[:, :learnable], blended], dim=1)

    def _mask_logits(
        self, embedding: Tensor, mask_features: Sequence[Tensor], dense: Tensor | None, learnable: int
    ) -> list[Tensor]:
        """Dot products with pieces of (shrunk) mask features: B Q' T Cm, F Cm hw, B N Cm hw -> F Q' hw for each piece.

        The dense memory (T = 1) takes all frames in one piece.
        """
        rows = _per_frame(embedding).split([len(piece) for piece in mask_features])
        logits = [weights @ piece for weights, piece in zip(rows, mask_features, strict=True)]
        if dense is None:
            return logits
        added = (rows[0][:, learnable:, None] @ dense)[:, :, 0]
        own, prompted = logits[0][:, :learnable], logits[0][:, learnable:]
        return [torch.cat([own, prompted + added], dim=1) if learnable else prompted + added]

    def _masks(
        self, embedding: Tensor, inputs: Sequence[DecoderInputs], dense: Tensor | None, learnable: int
    ) -> Tensor:
        """Mask logits of B Q' T Cm weights: B Q' T H/4 W/4."""
        clips, queries, frames, _ = embedding.shape
        features = [piece.mask_features.flatten(2) for piece in inputs]
        if dense is None and len(inputs) > 1 and not torch.is_grad_enabled():
            # piece by piece into place: the largest thing that a clip makes is there once
            sizes = [len(piece) for piece in features]
            logits = embedding.new_empty(0)
            start = 0
            for weights, piece in zip(_per_frame(embedding).split(sizes), features, strict=True):
                product = weights @ piece
                if not start:
                    logits = product.new_empty(clips * frames, queries, product.shape[-1])
                logits[start : start + len(piece)] = product
                start += len(piece)
        else:
            flat = None if dense is None else dense.flatten(3)
            logits = _joined(self._mask_logits(embedding, features, flat, learnable))
        size = inputs[0].mask_features.shape[-2:]
        return logits.unflatten(0, (clips, frames)).transpose(1, 2).unflatten(3, size)

    def _classify(self, normed: Tensor, class_embeddings: Tensor) -> Tensor:
        """Scaled cosines with the classes, meaned over the clip: B Q' T C, K D -> B Q' K."""
        projected = F.normalize(self.class_projection(normed), dim=-1).mean(2)
        return projected @ F.normalize(class_embeddings, dim=-1).T * self.class_temperature.exp()

    def _ground(self, normed: Tensor, sentences: Tensor) -> Tensor:
        """How well each query fits each sentence: B Q' T C, (B) N D -> B Q' N."""
        projected = self.class_projection(normed)
        if self.grounding_temperature is not None:
            cosine = F.normalize(projected, dim=-1).mean(2) @ F.normalize(sentences, dim=-1).mT
            return cosine * self.grounding_temperature.exp()
        logits = projected.mean(2) @ sentences.mT
        return logits / OFFICIAL_TRAINING_SCALE if self.training else logits


def most_similar(rows: Tensor, candidates: Tensor) -> Tensor:
    """Index of the candidate with the largest cosine, meaned over time: B N T C, B Q T C -> B N."""
    rows, candidates = F.normalize(rows, dim=-1), F.normalize(candidates, dim=-1)
    return torch.einsum("bntc,bqtc->bnq", rows, candidates).argmax(-1)


def shrink(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resizing of F C H/4 W/4 maps to the h w of a level, without copies; commutes with dot products over C.

    A level's stride is 2, 4 or 8 times that of the maps, so that each of its cells is the mean of the four map cells
    around its centre.
    """
    y, x = (whole // part for whole, part in zip(maps.shape[-2:], size, strict=True))
    top, below = maps[..., y // 2 - 1 :: y, :], maps[..., y // 2 :: y, :]
    left, right = (slice(x // 2 - 1, None, x), slice(x // 2, None, x))
    return (top[..., left] + top[..., right] + below[..., left] + below[..., right]) * 0.25


def _joined(pieces: Sequence[Tensor]) -> Tensor:
    """Pieces of frames as one, without a copy where it is one already."""
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces))


def _per_frame(rows: Tensor) -> Tensor:
    """B Q T C -> B*T Q C."""
    return rows.transpose(1, 2).flatten(0, 1)
