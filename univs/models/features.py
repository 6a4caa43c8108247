"""What the parts of the model hand to each other.

Shapes: F = B*T frames (B clips of T), H W pixels of the padded input, h w feature size, C channels, N objects,
Q' queries (learnable rows first, then prompt rows), R L prompt tokens or words, D dimension of text embeddings,
K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.models.draws import Draws

SelfAttentionKind = Literal["sep", "sep-blocked", "sep-l2p", "all"]
"""What the prompt queries see in self attention (`SeparatedSelfAttention`)."""
GroundingBlend = Literal["none", "best_learnable"]
"""What the mask logits of a prompt query are averaged with: nothing, or those of the learnable query most similar to
it (official for expressions); the masks of the attention too."""


@dataclass(frozen=True)
class ImageFeatures:
    """What the image encoder makes of F frames, once per frame."""

    levels: tuple[Tensor, Tensor, Tensor]
    """F C h w at strides 32, 16, 8, without the level embedding of the mask decoder."""
    mask_features: Tensor
    """F Cm H/4 W/4."""
    pyramid: dict[int, Tensor]
    """Stride (16, 8, 4) -> F C_s h w: what the dense memory reads."""
    early: Tensor | None = None
    """F C h w at stride 8, of the backbone itself: from here the word head goes its own way."""

    @property
    def input_size(self) -> tuple[int, int]:
        """(H, W) of the padded input."""
        height, width = self.mask_features.shape[-2:]
        return 4 * height, 4 * width

    def frames(self, index: slice | Tensor) -> ImageFeatures:
        """The features of some of the frames."""
        first, second, third = (level[index] for level in self.levels)
        pyramid = {stride: level[index] for stride, level in self.pyramid.items()}
        early = None if self.early is None else self.early[index]
        return ImageFeatures((first, second, third), self.mask_features[index], pyramid, early)

    def float(self) -> ImageFeatures:
        """The same in float32."""
        first, second, third = (level.float() for level in self.levels)
        pyramid = {stride: level.float() for stride, level in self.pyramid.items()}
        early = None if self.early is None else self.early.float()
        return ImageFeatures((first, second, third), self.mask_features.float(), pyramid, early)


@dataclass(frozen=True)
class PromptTokens:
    """R prompt tokens of each of N objects, sampled from one frame."""

    features: Tensor
    """N R C."""
    positions: Tensor
    """N R C sine position embeddings of the sampled places."""
    valid: Tensor
    """N R bool; all False for an absent object, whose features and positions are zero."""

    @staticmethod
    def cat(tokens: Sequence[PromptTokens]) -> PromptTokens:
        """Several token sets of the same N objects as one, joined over R."""
        return PromptTokens(
            torch.cat([t.features for t in tokens], 1),
            torch.cat([t.positions for t in tokens], 1),
            torch.cat([t.valid for t in tokens], 1),
        )


@dataclass(frozen=True)
class TextFeatures:
    """What a text encoder makes of N texts of up to L words."""

    words: Tensor
    """N L D, word by word."""
    word_mask: Tensor
    """N L bool: the words that take part. All True for CLIP, whose padding takes part too (official)."""
    sentence: Tensor
    """N D, the texts as a whole."""

    @staticmethod
    def cat(texts: Sequence[TextFeatures]) -> TextFeatures:
        """Texts of one encoder as one; shorter ones are padded with words that do not take part."""
        longest = max(text.words.shape[1] for text in texts)
        missing = [longest - text.words.shape[1] for text in texts]
        return TextFeatures(
            torch.cat([F.pad(t.words, (0, 0, 0, m)) for t, m in zip(texts, missing, strict=True)]),
            torch.cat([F.pad(t.word_mask, (0, m)) for t, m in zip(texts, missing, strict=True)]),
            torch.cat([t.sentence for t in texts]),
        )

    def take(self, rows: Tensor | slice) -> TextFeatures:
        """Some of the texts."""
        return TextFeatures(self.words[rows], self.word_mask[rows], self.sentence[rows])

    def to(self, device: torch.device | str) -> TextFeatures:
        """The same on another device."""
        return TextFeatures(self.words.to(device), self.word_mask.to(device), self.sentence.to(device))


@dataclass(frozen=True)
class PromptQueries:
    """The prompt stream as the mask decoder takes it: B clips of T frames, N objects each."""

    query: Tensor
    """B N T C initial content."""
    position: Tensor
    """B N T C position embedding; replaced by the output of the first ProCA layer."""
    tokens: Tensor
    """B N Tt L C, Tt = T, or 1 where all frames of the clip read the same tokens."""
    token_positions: Tensor | None
    """As `tokens`; None for text prompts, whose ProCA knows no positions."""
    token_valid: Tensor | None
    """B N Tt L bool: the tokens that take part; None = all of them, blank ones too (official)."""
    present: Tensor | None = None
    """B N bool: the rows that other rows see; None = all. What pads a batch must not be seen, else answers lean on rows
    that are always there in training and never at inference."""

    def clips(self, count: int) -> PromptQueries:
        """The objects of one clip as those of `count` clips, N / count each."""

        def parted(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[0].unflatten(0, (count, -1))

        query, position, tokens = (x[0].unflatten(0, (count, -1)) for x in (self.query, self.position, self.tokens))
        positions, valid, present = (parted(x) for x in (self.token_positions, self.token_valid, self.present))
        return PromptQueries(query, position, tokens, positions, valid, present)

    @staticmethod
    def over_time(frames: Sequence[PromptQueries]) -> PromptQueries:
        """Prompts of single frames (Tt = T = 1) as those of one clip: text prompts are made once per frame."""
        valid = [f.token_valid for f in frames if f.token_valid is not None]
        positions = [f.token_positions for f in frames if f.token_positions is not None]
        return PromptQueries(
            torch.cat([f.query for f in frames], 2),
            torch.cat([f.position for f in frames], 2),
            torch.cat([f.tokens for f in frames], 2),
            torch.cat(positions, 2) if positions else None,
            torch.cat(valid, 2) if valid else None,
        )

    @staticmethod
    def batch(clips: Sequence[PromptQueries]) -> PromptQueries:
        """Several clips as one batch; shorter token lists are padded with tokens that do not take part.

        The clips must agree in N, T, and in having token positions.
        """
        longest = max(clip.tokens.shape[3] for clip in clips)
        same = all(clip.tokens.shape[3] == longest and clip.token_valid is None for clip in clips)

        def padded(values: Tensor) -> Tensor:
            return F.pad(values, (0, 0, 0, longest - values.shape[3]))

        def valid(clip: PromptQueries) -> Tensor:
            given = clip.token_valid
            if given is None:
                given = torch.ones(clip.tokens.shape[:4], dtype=torch.bool, device=clip.tokens.device)
            return F.pad(given, (0, longest - given.shape[3]))

        positions = [clip.token_positions for clip in clips]
        return PromptQueries(
            torch.cat([clip.query for clip in clips]),
            torch.cat([clip.position for clip in clips]),
            torch.cat([padded(clip.tokens) for clip in clips]),
            None if positions[0] is None else torch.cat([padded(p) for p in positions if p is not None]),
            None if same else torch.cat([valid(clip) for clip in clips]),
        )


@dataclass(frozen=True)
class DecodeRequest:
    """What the mask decoder is asked about B clips of T frames: which queries run, what they read, what they answer.

    Raises ValueError for a request that nothing can answer.
    """

    prompts: PromptQueries | None = None
    """The prompt stream of the B clips; None: no prompt rows."""
    learnable: bool = False
    """Whether the learnable queries run too."""
    learnable_masks: bool = True
    """Whether their masks are predicted; without, the mask logits are those of the prompt rows alone."""
    clip_length: int = 1
    """T."""
    dense: Tensor | None = None
    """B N Cm H/4 W/4, what the dense memory adds to the mask features of each prompt row: logits_n = e_n . (F + D_n).
    For clips of one frame."""
    class_embeddings: Tensor | None = None
    """K D, of any length; None: no class logits."""
    sentences: Tensor | None = None
    """N D (or B N D), of the length the text encoder gave them; None: no grounding logits."""
    self_attention: SelfAttentionKind = "sep"
    """Which other rows the prompt rows see."""
    grounding_blend: GroundingBlend = "none"
    """Takes both kinds of queries, and no dense memory."""
    shuffle: Draws | None = None
    """Draws a permutation of T for each prediction: the frame whose mask weights a frame is given (official training,
    so that weights fit the object and not the frame)."""

    def __post_init__(self) -> None:
        if self.prompts is None and not self.learnable:
            raise ValueError("nothing to decode: neither prompts nor learnable queries")
        if self.dense is not None and self.clip_length != 1:
            raise ValueError("the dense memory works on clips of one frame")
        if self.self_attention not in get_args(SelfAttentionKind):
            kinds = ", ".join(get_args(SelfAttentionKind))
            raise ValueError(f"unknown self attention {self.self_attention!r}: one of {kinds}")
        if self.grounding_blend not in get_args(GroundingBlend):
            blends = ", ".join(get_args(GroundingBlend))
            raise ValueError(f"unknown grounding blend {self.grounding_blend!r}: one of {blends}")
        if self.grounding_blend != "none" and not (self.learnable and self.prompts is not None and self.dense is None):
            raise ValueError("a grounding blend takes learnable queries and prompts, and no dense memory")


@dataclass(frozen=True)
class Prediction:
    """What the heads say of B clips of T frames; learnable rows first, then prompt rows (either may be missing)."""

    mask_logits: Tensor
    """B Q' T H/4 W/4."""
    embeddings: Tensor
    """B Q' T C after the decoder norm: what tracking compares."""
    class_logits: Tensor | None
    """B Q' K, None where no class embeddings were given."""
    grounding_logits: Tensor | None = None
    """B Q' N, how well a query fits each of N sentences; None where no sentences were given."""
    queries: Tensor | None = None
    """B Q' T C before the decoder norm; in the last layer's prediction alone."""


def fit_width(tokens: PromptTokens, width: int) -> PromptTokens:
    """Bring tokens to `width` of each object: missing ones are invalid, of too many an even choice is kept."""
    count = tokens.valid.shape[1]
    if count == width:
        return tokens
    if count > width:
        # the valid ones first, in their order; then evenly spaced among the valid ones of each object
        order = tokens.valid.logical_not().to(torch.uint8).argsort(dim=1, stable=True)
        valid = tokens.valid.sum(1, keepdim=True).clamp_min(width)
        steps = torch.arange(width, device=order.device)[None] * valid // width
        index = order.gather(1, steps)
        expanded = index.unsqueeze(-1).expand(-1, -1, tokens.features.shape[-1])
        return PromptTokens(
            tokens.features.gather(1, expanded), tokens.positions.gather(1, expanded), tokens.valid.gather(1, index)
        )
    missing = width - count
    pad = tokens.features.new_zeros(tokens.features.shape[0], missing, tokens.features.shape[-1])
    return PromptTokens(
        torch.cat([tokens.features, pad], 1),
        torch.cat([tokens.positions, pad], 1),
        torch.cat([tokens.valid, tokens.valid.new_zeros(tokens.valid.shape[0], missing)], 1),
    )
