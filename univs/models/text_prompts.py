"""Expressions and category names as prompts: text embeddings that have looked at the image.

Shapes: B clips of T frames, F = B*T, N texts, L words of a text, C channels, D dimension of the text embeddings.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from univs.models.attention import Attention
from univs.models.features import PromptQueries, TextFeatures


class TextPrompter(nn.Module):
    """Text embeddings -> prompt tokens and initial queries (UniVS, section 3.2).

    The tokens of a text are projected, then attend to all feature levels of a frame at once; no positions take part, so
    that what a frame makes of a text does not depend on its place in the video.

    Args:
        text_dim: D.
        dim: channels C.
        heads: of the language-image attention.
    """

    def __init__(self, text_dim: int, dim: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(text_dim)
        self.projection = nn.Linear(text_dim, dim)
        self.image_attention = LanguageImageAttention(dim, heads)
        self.prompt_grounding = nn.Parameter(0.1 * torch.randn(1, dim))
        self.prompt_detection = nn.Parameter(0.1 * torch.randn(1, dim))

    def expressions(self, image: Tensor, text: TextFeatures, clip_length: int) -> PromptQueries:
        """Expressions as prompts: the sentence becomes the query, sentence and words the tokens of ProCA.

        Args:
            image: F hw C, all cells of all levels.
            text: N expressions, asked of every clip.
            clip_length: T.
        """
        tokens = torch.cat([text.sentence[:, None], text.words], dim=1)
        seen = self._look(image, tokens, clip_length)
        valid = None
        if not text.word_mask.all():
            valid = torch.nn.functional.pad(text.word_mask, (1, 0), value=True)
            valid = valid[None, :, None].expand(seen.shape[:4])
        sentence = seen[:, :, :, 0]
        return PromptQueries(sentence + self.prompt_grounding, sentence, seen, None, valid)

    def categories(self, image: Tensor, class_embeddings: Tensor, clip_length: int) -> PromptQueries:
        """Categories as prompts, each with itself as its only token.

        Args:
            image, clip_length: as in `expressions`.
            class_embeddings: N D, not normalised unless stored so.
        """
        seen = self._look(image, class_embeddings[:, None], clip_length)
        token = seen[:, :, :, 0]
        return PromptQueries(token + self.prompt_detection, token, seen, None, None)

    def _look(self, image: Tensor, tokens: Tensor, clip_length: int) -> Tensor:
        """N L D tokens that have attended to each frame: B N T L C."""
        count, length = tokens.shape[:2]
        rows = self.projection(self.norm(tokens)).flatten(0, 1)
        seen = self.image_attention(rows.expand(len(image), -1, -1), image)
        return seen.unflatten(1, (count, length)).unflatten(0, (-1, clip_length)).transpose(1, 2)


class LanguageImageAttention(nn.Module):
    """Text tokens attend to the cells of a frame; residual, post-norm."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(dim, heads)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, image: Tensor) -> Tensor:
        """F L C tokens, F hw C cells -> F L C."""
        return self.norm(tokens + self.attention(tokens, image, image))
