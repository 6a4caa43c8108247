"""Texts -> features, behind one small protocol; and the text towers of CLIP.

The decoder sees only the dimension D and TextFeatures, so that any frozen text encoder will do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from univs.models.features import TextFeatures


class TextEncoder(Protocol):
    """A frozen text encoder."""

    dim: int
    """D."""

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Features of N texts, taken as they are (`clean_text` is the caller's affair)."""
        ...

    def encode_categories(self, names: Sequence[str]) -> Tensor:
        """Class embeddings K D of category names; templates and cleaning are the encoder's affair."""
        ...


def clean_text(text: str) -> str:
    """An expression as official training saw it: lower case, without digits and punctuation.

    Runs of spaces stay; no tokeniser minds them.
    """
    text = re.sub(r"[()\d]", "", text.replace("_", " ")).lower()
    text = re.sub(r"""[.,'!?"()*#:;]""", "", text)
    return re.sub(r"[-/]", " ", text)
