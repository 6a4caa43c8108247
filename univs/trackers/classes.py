"""The classes that are asked for: what the category-guided stream sorts everything into."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from univs.errors import UserError
from univs.models.encoders import load_text_encoder
from univs.models.text_encoder import TextEncoder
from univs.models.univs import UniVS
from univs.prompts import Categories
from univs.vocabularies import vocabulary

THINGS = Categories(vocabulary("coco").names)
"""What is looked for if nobody says: instances."""
EVERYTHING = Categories(vocabulary("coco_panoptic").names, vocabulary("coco_panoptic").things)
"""The same where every pixel gets a class."""


@dataclass(frozen=True)
class Classes:
    """K classes.

    names: what people call them. embeddings: K D of the text encoder. things: K bool, true for countable things, false
    for stuff.
    """

    names: tuple[str, ...]
    embeddings: Tensor
    things: Tensor

    @classmethod
    def of(cls, names: Sequence[str], embeddings: Tensor, things: Collection[int] | None = None) -> Classes:
        """Classes whose things are given by index; None: all are things."""
        is_thing = torch.tensor([things is None or index in things for index in range(len(names))])
        return cls(tuple(names), embeddings, is_thing.to(embeddings.device))


@dataclass(frozen=True)
class Words:
    """Whose words count.

    class_embeddings: K D of what is looked for; None: the text encoder makes them. text_encoder: None: the one that the
    model was trained with.
    """

    class_embeddings: Tensor | None = None
    text_encoder: TextEncoder | None = None


def classes_of(model: UniVS, categories: Categories, words: Words) -> Classes:
    """The classes that a person asks for, as a model takes them.

    Raises UserError if the model takes no words, or the embeddings are not K D.
    """
    count, width = len(categories.names), model.mask_decoder.class_projection.out_features
    embeddings = words.class_embeddings
    if embeddings is None:
        embeddings = (words.text_encoder or text_encoder_of(model)).encode_categories(categories.names)
    if embeddings.shape != (count, width):
        raise UserError(
            f"{count} categories need embeddings {count} x {width}, not {' x '.join(map(str, embeddings.shape))}"
        )
    return Classes.of(categories.names, embeddings.to(model.pixel_mean.device), categories.things)


def text_encoder_of(model: UniVS) -> TextEncoder:
    """The text encoder that a model was trained with. Raises UserError if it takes no words."""
    words = model.config.get("text")
    if not words:
        raise UserError(f"the model {model.config.get('name', 'given')} takes no words: its weights have no text part")
    return load_text_encoder(words["encoder"], device=str(model.pixel_mean.device))
