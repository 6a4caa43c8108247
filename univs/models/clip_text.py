"""The text towers of CLIP through open_clip: 81 templates a text, all 77 positions, nothing normalised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from univs.errors import UserError
from univs.models.features import TextFeatures
from univs.models.text_encoder import clean_text

CONTEXT = 77
ROWS_AT_ONCE = 162
"""Filled templates that pass the tower together: bounds memory, changes no number."""

_ANCHOR = "token_embedding.weight"


@lru_cache(maxsize=1)
def templates() -> tuple[str, ...]:
    """The official 81 templates: the text as it is, "a photo of a", and CLIP's other 79 for ImageNet in their order."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    usual = "a photo of a {}."
    published = [template("{}") for template in OPENAI_IMAGENET_TEMPLATES]
    return ("{}.", usual, *(template for template in published if template != usual))


def tokenize(texts: Sequence[str]) -> Tensor:
    """Token ids N x 77 of CLIP's byte-pair encoding, padded with 0.

    A text that is too long is cut, and its end token with it (official; open_clip would put one at the end).
    """
    tokenizer = _tokenizer()
    ids = torch.zeros(len(texts), CONTEXT, dtype=torch.long)
    for row, text in zip(ids, texts, strict=True):
        tokens = [tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id][:CONTEXT]
        row[: len(tokens)] = torch.tensor(tokens)
    return ids


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    from open_clip import SimpleTokenizer

    return SimpleTokenizer()


class ClipTextEncoder(nn.Module):
    """A frozen CLIP text tower. Its weights are not part of any model's.

    Args:
        width: of the tower and of its features (D).
        heads, layers: of its transformer; the activation is QuickGELU.
    """

    def __init__(self, width: int = 640, heads: int = 10, layers: int = 12) -> None:
        super().__init__()
        from open_clip.transformer import QuickGELU, TextTransformer

        self.dim = width
        self.tower = TextTransformer(
            context_length=CONTEXT,
            width=width,
            heads=heads,
            layers=layers,
            output_dim=width,
            act_layer=QuickGELU,
        )
        self.eval().requires_grad_(False)

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> ClipTextEncoder:
        """A tower from the tensors of a CLIP checkpoint, of its text tower alone or with more around it.

        Raises UserError if there is no such tower among them, or not all of it.
        """
        prefixes = [name.removesuffix(_ANCHOR) for name in tensors if name.endswith(_ANCHOR)]
        if len(prefixes) != 1:
            raise UserError(f"no CLIP text tower: {len(prefixes)} tensors are called {_ANCHOR}, one is needed")
        own = {name.removeprefix(prefixes[0]): value for name, value in tensors.items() if name.startswith(prefixes[0])}
        width = own[_ANCHOR].shape[1]
        layers = len({name.split(".")[2] for name in own if name.startswith("transformer.resblocks.")})
        encoder = ClipTextEncoder(width, width // 64, layers)
        expected = encoder.tower.state_dict()
        wrong = [name for name, value in expected.items() if name not in own or own[name].shape != value.shape]
        if wrong:
            raise UserError(f"the CLIP text tower is incomplete: {wrong[0]} is missing or of another shape")
        encoder.tower.load_state_dict({name: own[name].float() for name in expected})
        return encoder

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Word features of the bare text, at all 77 positions; sentence features meaned over the templates."""
        words = self._features(tokenize([templates()[0].format(text) for text in texts]))
        return TextFeatures(words, torch.ones_like(words[..., 0], dtype=torch.bool), self._sentences(texts))

    @torch.no_grad()
    def encode_categories(self, names: Sequence[str]) -> Tensor:
        """Class embeddings K D as official files hold them, not normalised."""
        return self._sentences([clean_text(name).replace("+", " ") for name in names])

    def _sentences(self, texts: Sequence[str]) -> Tensor:
        """Features of the end token meaned over all templates: N D."""
        filled = [template.format(text) for text in texts for template in templates()]
        ends = [self._ends(filled[i : i + ROWS_AT_ONCE]) for i in range(0, len(filled), ROWS_AT_ONCE)]
        return torch.cat(ends).unflatten(0, (len(texts), -1)).mean(1)

    def _ends(self, texts: Sequence[str]) -> Tensor:
        """Features at the largest token id, which is the end token unless it was cut off: N D."""
        ids = tokenize(texts)
        ends = ids.argmax(1)
        used = int(ends.max()) + 1  # no position sees those behind it
        return self._features(ids[:, :used])[torch.arange(len(ids)), ends]

    def _features(self, ids: Tensor) -> Tensor:
        """Projected features of every position: N L -> N L D."""
        tower, length = self.tower, ids.shape[1]
        embedded = tower.token_embedding(ids.to(tower.positional_embedding.device))
        out = tower.transformer(
            embedded + tower.positional_embedding[:length], attn_mask=tower.attn_mask[:length, :length]
        )
        return tower.ln_final(out) @ tower.text_projection
