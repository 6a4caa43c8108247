"""One training step of words on single images: names and boxes of cells, names of masks, texts as prompts.

Everything that follows objects keeps its weights (stage `words` trains the word head and the text prompter alone): the
answers to clicks, boxes and masks stay what they were.
Shapes: B images, S pixels of a side, K names, G objects, h w = S/8 cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from univs.formats.sample import IGNORE, NO_CLASS
from univs.losses import prompt_losses
from univs.losses.counting import ALONE, Counting
from univs.losses.words import box_losses, cell_losses, name_losses
from univs.models.dense_memory import MemoryKey
from univs.models.features import ImageFeatures
from univs.models.prepared import for_inference
from univs.models.text_encoder import TextEncoder
from univs.models.univs import UniVS
from univs.models.word_answers import text_request, word_parts
from univs.models.word_head import WORD_STRIDE, WordCells, WordHead
from univs.settings import Count, CountFromZero, Share, Weight
from univs.training.phrases import may_mean, phrase
from univs.training.precision import exact_key


@dataclass(frozen=True)
class WordLosses:
    """Weights of the losses and what is asked."""

    boxes: Weight = 1.0
    names: Weight = 1.0
    cells: Weight = 1.0
    prompt: Weight = 1.0
    fit: Weight = 0.5
    texts: Count = 3
    """Texts asked of an image."""
    absent: Share = 0.15
    """Share of texts that fit nothing on the image, where that is known."""
    other_names: CountFromZero = 60
    """So many names that are on no image of the batch take part in the names of cells."""
    points: Count = 512
    intermediate: Weight = 0.2


class WordStep:
    """Losses of a batch of `word_batches.collate_words`.

    Args:
        model: with word head, text prompter and dense memory.
        encoder: of the texts.
        names: the K names of the batches.
        settings: weights and draws.
        counting: of what the losses are means over.
    """

    def __init__(
        self,
        model: UniVS,
        encoder: TextEncoder,
        names: Sequence[str],
        settings: WordLosses,
        counting: Counting = ALONE,
    ) -> None:
        self.head, self.dense = word_parts(model)
        self.model, self.encoder, self.names, self.settings, self.counting = model, encoder, names, settings, counting
        self.embeddings = encoder.encode_categories(names)
        self.images = for_inference(model)  # what encodes images keeps its weights

    def __call__(self, batch: dict[str, Any], kept_share: float) -> dict[str, Tensor]:
        """Weighted losses by name; `kept_share` is not used."""
        settings, rng = self.settings, np.random.default_rng(int(torch.randint(2**31, ())))
        with torch.no_grad():
            features = self.images.encode_image(self.images.normalize(batch["frames"]))
            key = exact_key(self.dense, features)
        self.embeddings = self.embeddings.to(features.mask_features.device)
        cells = self.head(features)
        ids = batch["object_ids"][:, :, None, None]
        masks = (batch["objects"][:, None] == ids) & (ids > 0)
        return {
            "boxes": settings.boxes * self._boxes(cells, batch, masks),
            "names": settings.names * self._names(cells, batch, masks),
            "cells": settings.cells * self._cells(cells, batch, rng),
            **self._texts(features, key, cells, batch, rng),
        }

    def _boxes(self, cells: WordCells, batch: dict[str, Any], masks: Tensor) -> Tensor:
        boxes = [_bounds(of_image[ids > 0]) for ids, of_image in zip(batch["object_ids"], masks, strict=True)]
        free = F.max_pool2d((batch["objects"] != 0).float()[:, None], WORD_STRIDE)[:, 0] == 0
        others = F.max_pool2d((batch["objects"] == IGNORE).float()[:, None], WORD_STRIDE)[:, 0] == 0
        known = torch.where(batch["complete"][:, None, None], others, others & ~free)
        return box_losses(cells.objectness.float(), cells.boxes().float(), boxes, known, WORD_STRIDE, self.counting)

    def _names(self, cells: WordCells, batch: dict[str, Any], masks: Tensor) -> Tensor:
        """Names of whole objects, each the mean of its cells."""
        there = batch["object_ids"] > 0
        logits = self.head.score_masks(cells, F.avg_pool2d(masks.float(), WORD_STRIDE), self.embeddings)
        vocabulary = batch["vocabulary"][there.nonzero()[:, 0]]
        return name_losses(logits[there], batch["object_classes"][there], vocabulary, self.counting)

    def _cells(self, cells: WordCells, batch: dict[str, Any], rng: np.random.Generator) -> Tensor:
        """Names of cells. One without a name is of no thing where all things are labelled; its stuff is not known."""
        shares = shares_of_cells(batch["classes"], len(self.names))
        named = shares.sum(1, keepdim=True)
        seen = shares.flatten(2).amax(2).amax(0) > 0  # some of the names that are not, too
        others = (batch["vocabulary"].any(0) & ~seen).nonzero()[:, 0]
        some = rng.permutation(len(others))[: self.settings.other_names]
        chosen = torch.cat([seen.nonzero()[:, 0], others[torch.from_numpy(some).to(others.device)]])
        unnamed = F.max_pool2d((batch["objects"] == IGNORE).float()[:, None], WORD_STRIDE) == 0
        thing = (batch["complete"][:, None] & ~batch["stuff"][:, chosen])[:, :, None, None] & unnamed
        known = batch["vocabulary"][:, chosen, None, None] & ((named > 0.9) | thing)
        logits = self.head.score_cells(cells, self.embeddings[chosen])
        return cell_losses(logits, shares[:, chosen], known, self.counting)

    def _texts(
        self,
        features: ImageFeatures,
        key: MemoryKey,
        cells: WordCells,
        batch: dict[str, Any],
        rng: np.random.Generator,
    ) -> dict[str, Tensor]:
        """Texts as prompts (names stand for all of their kind, expressions for one object), and how they fit masks."""
        settings = self.settings
        asked, targets = zip(*(self._draw(batch, b, rng) for b in range(len(batch["frames"]))), strict=True)
        flat = self.encoder.encode([text for texts in asked for text in texts]).to(features.mask_features.device)
        parts = [slice(b * settings.texts, (b + 1) * settings.texts) for b in range(len(asked))]
        texts = [flat.take(p) for p in parts]
        request, scores = text_request(self.model, features, key, cells, texts)
        predictions = self.model.decode_layers(features, request)
        masks = torch.stack(targets)[:, :, None]
        valid = torch.ones(masks.shape[:2], dtype=torch.bool, device=masks.device)
        unknown = (batch["objects"] == IGNORE)[:, None]
        total = scores.sum() * 0
        for i, logits in enumerate([scores[:, :, None], *(p.mask_logits for p in predictions)]):
            terms = prompt_losses(logits[None], masks, valid, settings.points, unknown)
            last = i == len(predictions)
            total = total + (terms["mask"][0] + terms["dice"][0]) * (1.0 if last else settings.intermediate)
        sentences = torch.stack([text.sentence for text in texts])
        fit = fit_losses(self.head, cells, masks[:, :, 0], sentences, self.counting)
        return {"prompt": settings.prompt * total, "fit": settings.fit * fit}

    def _draw(self, batch: dict[str, Any], b: int, rng: np.random.Generator) -> tuple[list[str], Tensor]:
        """Texts for image b, and masks of what they mean: N S S."""
        classes = batch["classes"][b]
        present = torch.unique(classes[classes != NO_CLASS])
        said = [(number, text) for image, number, text in batch["expressions"] if image == b]
        away = batch["vocabulary"][b].clone()
        away[present] = False
        away &= ~batch["stuff"][b] | batch["stuffed"][b]
        away &= torch.tensor([not any(may_mean(n, self.names[p]) for p in present) for n in self.names])
        absent = away.nonzero()[:, 0] if bool(batch["complete"][b] | batch["stuffed"][b]) else away.new_zeros(0).long()
        texts, masks = [], []
        for _ in range(self.settings.texts):
            if said and rng.random() < 0.6:
                number, text = said[int(rng.integers(len(said)))]
                mask = batch["objects"][b] == number
            else:
                pool = absent if len(absent) and rng.random() < self.settings.absent else present
                pool = pool if len(pool) else away.nonzero()[:, 0]
                name = int(pool[int(rng.integers(len(pool)))])
                text = phrase(self.names[name], rng)
                mask = classes == name
            texts.append(text)
            masks.append(mask.float())
        return texts, torch.stack(masks)


def fit_losses(
    head: WordHead, cells: WordCells, masks: Tensor, sentences: Tensor, counting: Counting = ALONE
) -> Tensor:
    """Every mask fits its own text and no text whose mask lies elsewhere: masks B N S S, sentences B N D -> mean."""
    small = F.avg_pool2d(masks, WORD_STRIDE).flatten(2)
    logits = torch.cat(
        [
            head.score_masks(
                WordCells(cells.words[b : b + 1], cells.objectness[b : b + 1], cells.reach[b : b + 1]),
                F.avg_pool2d(masks[b : b + 1], WORD_STRIDE),
                sentences[b],
            )
            for b in range(len(masks))
        ]
    )  # B N masks N texts
    sizes = small.sum(2)
    shared = small @ small.transpose(1, 2) / sizes[:, :, None].clamp_min(1e-6)
    own = torch.eye(masks.shape[1], device=masks.device).expand_as(shared)
    counted = (sizes > 0.5)[:, :, None] & ((own > 0) | (shared < 0.1))
    losses = F.binary_cross_entropy_with_logits(logits, own, reduction="none")
    return losses[counted].sum() / counting.share(counted.sum())


def shares_of_cells(classes: Tensor, count: int) -> Tensor:
    """Class maps B S S (`NO_CLASS` where there is none) -> the share of each cell that is of each class, B K h w."""
    tiles = classes.unflatten(2, (-1, WORD_STRIDE)).unflatten(1, (-1, WORD_STRIDE))
    blocks = tiles.transpose(2, 3).flatten(3)  # B h w 64
    index = torch.where(blocks == NO_CLASS, count, blocks)
    shares = torch.zeros(*index.shape[:3], count + 1, device=classes.device)
    shares.scatter_add_(3, index, torch.full(index.shape, 1 / WORD_STRIDE**2, device=classes.device))
    return shares[..., :count].permute(0, 3, 1, 2)


def _bounds(masks: Tensor) -> Tensor:
    """Boxes G 4 xyxy (pixels, the last two exclusive) around masks G S S, none of them empty."""
    boxes = torch.zeros(len(masks), 4, device=masks.device)
    for row, mask in zip(boxes, masks, strict=True):
        ys, xs = mask.nonzero().unbind(1)
        row[:] = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    return boxes
