"""How a model with a word head answers words: what a text fits is a rough prompt, and every box found is a prompt.

The answers come the way of clicks and boxes, through prompt tokens and the dense memory's reading of rough maps, so
that words need no path of their own to masks.

Shapes: B frames, N texts or boxes, K classes, D dimension of text embeddings, h w = H/4 W/4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from univs.errors import UserError
from univs.models.dense_memory import DenseMemory, MemoryKey
from univs.models.features import DecodeRequest, ImageFeatures, Prediction, PromptQueries, TextFeatures
from univs.models.prompt_maps import box_maps
from univs.models.univs import UniVS
from univs.models.word_head import WordCells, WordHead, propose_boxes, rough_maps

MOST_BOXES = 30
"""Objects that are looked for on a frame at most."""


def word_parts(model: UniVS) -> tuple[WordHead, DenseMemory]:
    """The head and the dense memory of a model. Raises UserError if it was not made for words."""
    if model.word_head is None or model.dense_memory is None:
        raise UserError(f"the model {model.config.get('name', 'given')} has no word head: its weights know no words")
    return model.word_head, model.dense_memory


def text_request(
    model: UniVS, features: ImageFeatures, key: MemoryKey, cells: WordCells, texts: Sequence[TextFeatures]
) -> tuple[DecodeRequest, Tensor]:
    """What to ask the mask decoder for the masks of what expressions mean, on single frames.

    Args:
        features, key, cells: of B frames.
        texts: N expressions for each frame.
    Returns:
        the request, of N rows for each frame, and how well the texts fit the cells: B N H/8 W/8 logits.
    """
    head, dense = word_parts(model)
    each = [slice(b, b + 1) for b in range(len(texts))]
    scores = torch.cat(
        [
            head.score_cells(WordCells(cells.words[b], cells.objectness[b], cells.reach[b]), text.sentence)
            for b, text in zip(each, texts, strict=True)
        ]
    )
    prompts = [model.text_prompts(features.frames(b), text) for b, text in zip(each, texts, strict=True)]
    residual = dense.prompt_residual(features, key, rough_maps(scores))
    return DecodeRequest(PromptQueries.batch(prompts), dense=residual), scores


def box_request(model: UniVS, features: ImageFeatures, key: MemoryKey, boxes: Tensor) -> DecodeRequest:
    """What to ask the mask decoder for the objects in N boxes of one frame: each box a prompt, read as a rough entry.

    Args:
        features, key: of the frame.
        boxes: N 4, xyxy in pixels of the padded input.
    Raises UserError if the model has no word head.
    """
    _, dense = word_parts(model)
    height, width = features.mask_features.shape[-2:]
    residual = dense.prompt_residual(features, key, box_maps(boxes, (height, width))[None])
    return DecodeRequest(model.prompt_queries([model.encode_boxes(features, boxes)]), dense=residual)


@torch.no_grad()
def boxes_of_texts(head: WordHead, cells: WordCells, sentences: Tensor, size: tuple[int, int]) -> Tensor:
    """The box of one frame that each text fits best, times how far it is an object: N 4, xyxy in pixels of the input.

    Args:
        cells: of the frame.
        sentences: N D.
        size: h w.
    """
    boxes, objectness = propose_boxes(cells, MOST_BOXES)
    fits = head.score_masks(cells, F.avg_pool2d(box_maps(boxes, size)[None, :, 0], 2), sentences)[0].sigmoid()
    return boxes[(fits * objectness[:, None]).argmax(0)]


@torch.no_grad()
def discover(
    model: UniVS,
    features: ImageFeatures,
    class_embeddings: Tensor,
    most: int = MOST_BOXES,
    cells: WordCells | None = None,
) -> tuple[Prediction, Tensor]:
    """The objects of one frame: boxes, answered as box prompts are; without a word head, learnable queries.

    Args:
        features: of one frame.
        class_embeddings: K D, of any length.
        most: at most so many objects.
        cells: what the word head says of the frame, where that is known.
    Returns:
        a prediction with N rows, best first (Q in their own order without a word head), and how far each is an object
        N in 0..1: what the head says, or the official mask quality.
    """
    if model.word_head is None:
        learnable = model.decode(features, DecodeRequest(learnable=True, class_embeddings=class_embeddings))
        inside, near = ((learnable.mask_logits[0] > level).flatten(1).sum(1) for level in (1, -1))
        return learnable, inside / near.clamp_min(1)
    head, dense = word_parts(model)
    cells = head(features) if cells is None else cells
    boxes, objectness = propose_boxes(cells, most)
    prediction = model.decode(features, box_request(model, features, dense.memory_key(features), boxes))
    masks = F.avg_pool2d((prediction.mask_logits[:, :, 0] > 0).float(), 2)
    return replace(prediction, class_logits=head.score_masks(cells, masks, class_embeddings)), objectness
