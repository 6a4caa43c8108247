"""A stand-in for the networks, whose answers a test can foresee: a world of flat colours, and a script beside it.

A frame is a picture of labels (`picture`): each label is a colour with an axis of its own. A prompt remembers the
colours that it was shown, a text is a colour, and the model says that an object is where its colour is. What it shall
say instead on some frame, a test writes into `answers`, `replies` and `sights`. All that the model was asked is kept.

Shapes: N rows, h w a quarter of the padded input H' W', COLOURS channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from univs.models.dense_memory import MemoryKey, MemoryValue, Readout
from univs.models.features import (
    DecodeRequest,
    ImageFeatures,
    Prediction,
    PromptQueries,
    PromptTokens,
    TextFeatures,
)
from univs.models.univs import UniVS
from univs.models.word_head import WORD_STRIDE, WordCells, WordHead

COLOURS = 6
SURE = 8.0
"""Mask logit of what the model sees clearly."""
HEIGHT, WIDTH = 64, 96
Rectangle = tuple[int, int, int, int]
"""First row, first column, last row + 1, last column + 1, in pixels."""


def picture(index: int, objects: Mapping[int, Rectangle], size: tuple[int, int] = (HEIGHT, WIDTH)) -> NDArray[np.uint8]:
    """Frame `index` of a video: rectangles of the colours 1..COLOURS, later ones on top."""
    frame = np.zeros((*size, 3), np.uint8)
    for label, (top, left, bottom, right) in objects.items():
        frame[top:bottom, left:right, 0] = label
    frame[..., 1] = index
    return frame


def area(rectangle: Rectangle, size: tuple[int, int] = (HEIGHT, WIDTH)) -> NDArray[np.bool_]:
    """H W mask of a rectangle."""
    return picture(0, {1: rectangle}, size)[..., 0] == 1


def cells(rectangle: Rectangle, inside: float = SURE, outside: float = -SURE) -> Tensor:
    """h w logits of a rectangle that is given in pixels (multiples of 4)."""
    top, left, bottom, right = (side // 4 for side in rectangle)
    logits = torch.full((HEIGHT // 4, WIDTH // 4), outside)
    logits[top:bottom, left:right] = inside
    return logits


def colour(*labels: int) -> Tensor:
    """COLOURS: the unit vector between these colours."""
    return F.normalize(F.one_hot(torch.tensor(labels) - 1, COLOURS).float().sum(0), dim=0)


@dataclass(frozen=True)
class Sight:
    """What one learnable query says of a clip: h w mask logits (of every frame), K class logits, its embedding."""

    logits: Tensor
    classes: Tensor
    look: Tensor = torch.zeros(COLOURS)


@dataclass(frozen=True)
class Asked:
    """What the decoder was asked.

    frames: of the clip. rows: N COLOURS, what the prompt rows look like. tokens: of each row, the frames that its
    tokens are from; () for a text. request: as it came; its dense residual is 1 N COLOURS+1 h w.
    """

    frames: tuple[int, ...]
    rows: Tensor
    tokens: tuple[tuple[int, ...], ...]
    request: DecodeRequest


class ScriptedModel(UniVS):
    """Sees colours.

    Args:
        words: whether it has a word head, whose fits are sigmoid(20 cosine - 10).
        dense: whether it has a dense memory.
        streaming: its own numbers of the loop.
    """

    def __init__(self, *, words: bool = False, dense: bool = True, streaming: Mapping[str, Any] | None = None) -> None:
        nn.Module.__init__(self)
        self.register_buffer("pixel_mean", torch.zeros(3, 1, 1))
        self.weight = nn.Parameter(torch.zeros(1))
        self.backbone, self.pixel_decoder = _Nothing(), _Nothing()
        self.visual_sampler = _Sampler()
        self.mask_decoder = _Decoder()
        self.dense_memory = ScriptedMemory() if dense else None
        self.word_head = ScriptedHead() if words else None
        self.text_prompter = self.prompt_answers = self.mask_refiner = None
        self.config = {"name": "scripted", "streaming": {"short_side": 0, **(streaming or {})}}
        self.answers: dict[tuple[int, int], Tensor] = {}
        """(frame, colour) -> h w: what is said of an object of that colour that is followed there."""
        self.replies: dict[tuple[int, int], Tensor] = {}
        """The same for a text of that colour."""
        self.sights: dict[int, list[Sight]] = {}
        """First frame of a clip -> what the learnable queries see there."""
        self.looks: dict[tuple[int, int], Tensor] = {}
        """(frame, colour) -> COLOURS: the embedding of an object of that colour there."""
        self.encoded: list[tuple[int, Tensor]] = []
        """(frame, N H' W' masks) that were made tokens of."""
        self.asked: list[Asked] = []
        self.read: list[tuple[int, int]] = []
        """(frame, N) of the texts that were asked of a frame."""
        self.prepared: list[int] = []
        """Frames that were made ready for the decoder."""

    def __copy__(self) -> ScriptedModel:
        """Itself: what is made ready for inference goes on reading the script, and tells the test what it was asked."""
        return self

    def normalize(self, frames: Tensor) -> Tensor:
        height, width = frames.shape[-2:]
        return F.pad(frames.float(), (0, -width % 32, 0, -height % 32))

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """COLOURS + 1 channels: the share of each colour in a cell, and the index of the frame."""
        seen = F.one_hot(images[:, 0].round().long(), COLOURS + 1)[..., 1:].permute(0, 3, 1, 2).float()
        indexed = torch.cat([seen, images[:, 1:2].amax((2, 3), keepdim=True).expand_as(images[:, :1])], 1)
        at = {stride: F.avg_pool2d(indexed, stride) for stride in (4, 8, 16, 32)}
        return ImageFeatures((at[32], at[16], at[8]), at[4], {16: at[16], 8: at[8], 4: at[4]})

    def encode_masks(
        self, features: ImageFeatures, masks: Tensor, frame_index: int = 0, *_: Any, **__: Any
    ) -> PromptTokens:
        self.encoded.append((frame_index, masks.clone()))
        weights = F.avg_pool2d(masks.float(), 4).flatten(1)
        mean = weights @ features.mask_features[0, :-1].flatten(1).T / weights.sum(1, keepdim=True).clamp_min(1e-6)
        return _tokens(
            F.normalize(mean, dim=-1)[:, None].repeat(1, 2, 1), weights.sum(1, keepdim=True) > 0, frame_index
        )

    def encode_boxes(
        self, features: ImageFeatures, boxes: Tensor, frame_index: int = 0, *_: Any, **__: Any
    ) -> PromptTokens:
        """The colour that is most of a box."""
        found = []
        for box in boxes.tolist():
            left, top, right, bottom = (round(side / 4) for side in box)
            share = features.mask_features[0, :-1, top : max(bottom, top + 1), left : max(right, left + 1)].sum((1, 2))
            found.append(F.one_hot(share.argmax(), COLOURS).float() * share.amax().clamp_max(1).ceil())
        vectors = torch.stack(found)[:, None]
        return _tokens(vectors, torch.ones(len(vectors), 1, dtype=torch.bool), frame_index)

    def encode_points(
        self, features: ImageFeatures, points: Tensor, labels: Tensor, frame_index: int = 0
    ) -> PromptTokens:
        """The colours that were clicked at; minus them for negative clicks."""
        column, row = (points / 4).long().unbind(-1)
        seen = features.mask_features[0, :-1, row, column].permute(1, 2, 0)
        return _tokens(seen * torch.where(labels > 0, 1.0, -1.0)[..., None], labels >= 0, frame_index)

    def prepare(self, features: ImageFeatures) -> Any:
        self.prepared += [int(frame[-1].amax()) for frame in features.mask_features]
        return features

    def text_prompts(self, features: ImageFeatures, text: TextFeatures, clip_length: int = 1) -> PromptQueries:
        self.read.append((int(features.mask_features[0, -1].amax()), len(text.sentence)))
        tokens = text.sentence[None, :, None, None]
        blank = tokens.new_zeros(1, len(text.sentence), 1, COLOURS)
        return PromptQueries(blank, blank, tokens, None, None)

    def decode(self, features: Any, request: DecodeRequest) -> Prediction:
        """Learnable rows first, then the prompt rows, as `UniVS.decode`."""
        seen = torch.cat([f.mask_features for f in ([features] if isinstance(features, ImageFeatures) else features)])
        frames = tuple(int(frame[-1].amax()) for frame in seen)
        prompts, learnable, class_embeddings = request.prompts, request.learnable, request.class_embeddings
        masks, looks, classes = [], [], []
        if learnable:
            assert class_embeddings is None or request.learnable_masks
            embeddings = torch.zeros(1, COLOURS) if class_embeddings is None else class_embeddings
            masks, looks, classes = self._sights(seen[:, :-1], frames, embeddings)
        rows = torch.zeros(0, COLOURS)
        if prompts is not None:
            rows = _mean(prompts)
            script = self.answers if prompts.token_positions is not None else self.replies
            for vector in rows:
                label = int(vector.argmax()) + 1
                said = [
                    script[index, label] if (index, label) in script else _where(frame[:-1], vector)
                    for index, frame in zip(frames, seen, strict=True)
                ]
                masks.append(torch.stack(said))
                looks.append(
                    torch.stack(
                        [
                            self.looks.get((index, label), 6 * vector * (logits > 0).any())
                            for index, logits in zip(frames, said, strict=True)
                        ]
                    )
                )
                classes.append(torch.full((1 if class_embeddings is None else len(class_embeddings),), -SURE))
        tokens = () if prompts is None else _frames_of(prompts)
        self.asked.append(Asked(frames, rows, tokens, request))
        logits = torch.stack(classes)[None] if class_embeddings is not None else None
        return Prediction(torch.stack(masks)[None].clone(), torch.stack(looks)[None], logits)

    def _sights(
        self, seen: Tensor, frames: Sequence[int], embeddings: Tensor
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """The rows of the learnable queries: a colour each, or what the script of the first frame says."""
        masks, looks, classes = [], [], []
        blank = torch.full(seen.shape[2:], -SURE)
        if frames[0] in self.sights:
            for sight in self.sights[frames[0]]:
                masks.append(sight.logits.expand(len(frames), -1, -1))
                looks.append(sight.look.expand(len(frames), -1))
                classes.append(sight.classes)
        else:
            for label in range(1, COLOURS + 1):
                where = torch.stack([_where(frame, colour(label)) for frame in seen])
                if (where > 0).any():
                    masks.append(where)
                    looks.append(6 * colour(label).expand(len(frames), -1))
                    classes.append(16 * (F.normalize(embeddings, dim=-1) @ colour(label) - 0.5))
        for _ in range(len(self.mask_decoder.query) - len(masks)):
            masks.append(blank.expand(len(frames), -1, -1))
            looks.append(torch.zeros(len(frames), COLOURS))
            classes.append(torch.full((len(embeddings),), -SURE))
        return masks, looks, classes


class ScriptedMemory(nn.Module):
    """A dense memory that keeps masks as they are. Channel 0 of a residual is what was read, channel 1 is 1 where that
    was a prompt, channel 2 is the mask of the frame before."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[tuple[int, Tensor]] = []
        """(frame, N h w probabilities) that were memorised."""
        self.reads: list[tuple[int, tuple[int, ...], Tensor]] = []
        """(frame, frames remembered, N S P values) of each read."""
        self.windows: list[tuple[int, int]] = []
        """(frame, frame before) of each local read."""

    def memory_key(self, features: ImageFeatures) -> MemoryKey:
        index = features.mask_features[:, -1:]
        at16, at8 = F.avg_pool2d(index, 4), F.avg_pool2d(index, 2)
        rows = at16.flatten(2).transpose(1, 2)
        return MemoryKey(rows, rows, at8, (at16.shape[2], at16.shape[3]))

    def memory_value(self, features: ImageFeatures, masks: Tensor) -> MemoryValue:
        self.written.append((int(features.mask_features[0, -1].amax()), masks[0].clone()))
        return MemoryValue(F.avg_pool2d(masks, 4).flatten(2)[..., None], F.avg_pool2d(masks, 2)[:, :, None])

    def prompt_residual(self, features: ImageFeatures, key: MemoryKey, maps: Tensor) -> Tensor:
        residual = maps.new_zeros(*maps.shape[:2], *features.mask_features.shape[1:])
        residual[:, :, 0], residual[:, :, 1] = maps[:, :, 0], 1
        return residual

    def read(self, query: MemoryKey, memory: Tensor, values: Tensor) -> Tensor:
        entries = memory.shape[1] // query.query.shape[1]
        frames = tuple(int(index) for index in memory[0].unflatten(0, (entries, -1)).amax((1, 2)))
        split = values.unflatten(2, (entries, -1))
        self.reads.append((int(query.query.amax()), frames, split[0, ..., 0].clone()))
        return split.mean(2)

    def local_window(self, query: MemoryKey, previous: MemoryKey) -> Any:
        self.windows.append((int(query.local.amax()), int(previous.local.amax())))
        return None

    def readout(self, query: MemoryKey, global_read: Tensor, window: Any, previous: Tensor) -> Readout:
        maps = global_read.transpose(2, 3).unflatten(3, query.size)
        return Readout(maps, previous, F.avg_pool2d(previous[:, :, -1], 2).unsqueeze(2))

    def residual(self, features: ImageFeatures, readout: Readout) -> Tensor:
        global_read, local = readout.global_read[:, :, 0], readout.local_read[:, :, -1]
        residual = global_read.new_zeros(*global_read.shape[:2], *features.mask_features.shape[1:])
        residual[:, :, 0], residual[:, :, 2] = (_enlarged(maps, features) for maps in (global_read, local))
        return residual


class ScriptedHead(WordHead):
    """The real scores of texts, on colours. Objects: the boxes around the colours, unless `boxes` says others."""

    def __init__(self) -> None:
        super().__init__(8, COLOURS, 8)
        with torch.no_grad():
            self.temperature.fill_(math.log(20))
            self.bias.fill_(-10)
        self.boxes: dict[int, list[tuple[Rectangle, float]]] = {}
        """Frame -> (box, objectness logit)."""
        self.seen: list[int] = []
        """Frames that it was asked to read."""

    def forward(self, features: ImageFeatures) -> WordCells:
        self.seen.append(int(features.mask_features[0, -1].amax()))
        at8 = F.avg_pool2d(features.mask_features, 2)
        height, width = at8.shape[-2:]
        objectness = torch.full((1, height, width), -SURE)
        reach = torch.ones(1, 4, height, width)
        for (top, left, bottom, right), score in self._objects(features):
            y, x = (top + bottom) // 2 // WORD_STRIDE, (left + right) // 2 // WORD_STRIDE
            middle_y, middle_x = (y + 0.5) * WORD_STRIDE, (x + 0.5) * WORD_STRIDE
            objectness[0, y, x] = score
            reach[0, :, y, x] = torch.tensor([middle_x - left, middle_y - top, right - middle_x, bottom - middle_y])
        return WordCells(at8[:, :-1], objectness, reach)

    def _objects(self, features: ImageFeatures) -> list[tuple[Rectangle, float]]:
        index = int(features.mask_features[0, -1].amax())
        if index in self.boxes:
            return self.boxes[index]
        found: list[tuple[Rectangle, float]] = []
        for seen in features.mask_features[0, :-1]:
            y, x = (seen > 0.5).nonzero().T
            if len(y):
                found.append(((*(4 * int(v.min()) for v in (y, x)), *(4 * int(v.max()) + 4 for v in (y, x))), 4.0))
        return found


class ScriptedWords:
    """A text encoder: text -> COLOURS; a text that it was not told is the sum of the colours it numbers ("1 2")."""

    dim = COLOURS

    def __init__(self, meanings: Mapping[str, Tensor] | None = None) -> None:
        self._meanings = dict(meanings or {})

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        sentence = self.encode_categories(texts)
        return TextFeatures(sentence[:, None], torch.ones(len(texts), 1, dtype=torch.bool), sentence)

    def encode_categories(self, names: Sequence[str]) -> Tensor:
        return torch.stack(
            [
                self._meanings[name]
                if name in self._meanings
                else colour(*(int(word) for word in name.split() if word.isdigit()))
                for name in names
            ]
        )


class _Nothing(nn.Module):
    memory_format = torch.contiguous_format


class _Sampler(nn.Module):
    tokens = 2
    prompt_sot = torch.zeros(COLOURS)


class _Decoder(nn.Module):
    dim = COLOURS
    query = range(COLOURS)
    class_projection = SimpleNamespace(out_features=COLOURS)
    masks_blank_tokens = True


def _tokens(vectors: Tensor, valid: Tensor, frame_index: int) -> PromptTokens:
    """N R COLOURS and N R (or N 1) as tokens whose position is their frame."""
    valid = valid.expand(vectors.shape[:2])
    vectors = vectors * valid[..., None]
    return PromptTokens(vectors, torch.full_like(vectors, frame_index) * valid[..., None], valid.clone())


def _mean(prompts: PromptQueries) -> Tensor:
    """N COLOURS: the mean of the valid tokens of each row, of length 1 (or 0)."""
    tokens = prompts.tokens[0, :, 0]
    valid = torch.ones(tokens.shape[:2]) if prompts.token_valid is None else prompts.token_valid[0, :, 0].float()
    return F.normalize((tokens * valid[..., None]).sum(1), dim=-1)


def _frames_of(prompts: PromptQueries) -> tuple[tuple[int, ...], ...]:
    """Of each row, the frames of its valid tokens, which are their positions."""
    if prompts.token_positions is None or prompts.token_valid is None:
        return ((),) * prompts.tokens.shape[1]
    positions, valid = prompts.token_positions[0, :, 0, :, 0], prompts.token_valid[0, :, 0]
    return tuple(tuple(sorted({int(p) for p in row[known]})) for row, known in zip(positions, valid, strict=True))


def _where(seen: Tensor, vector: Tensor) -> Tensor:
    """COLOURS h w -> h w: SURE where the colour is the vector's, -SURE where it has nothing of it."""
    return 2 * SURE * (torch.einsum("chw,c->hw", F.normalize(seen, dim=0), vector) - 0.5)


def _enlarged(maps: Tensor, features: ImageFeatures) -> Tensor:
    return F.interpolate(maps, features.mask_features.shape[-2:])
