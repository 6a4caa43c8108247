"""Objects that expressions describe, found and followed frame by frame.

An expression is asked until it is answered with confidence: by the mask of what its words fit cell by cell, or by that
of the box that they fit best, whichever fits them better. From then on its object is followed as if that mask had
been shown, and now and then the expression is asked again. Every expression has a tracker of its own, so that two of
them may mean the same object.

Shapes: N expressions, h w a quarter of the padded input, H W pixels of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from univs.errors import UserError
from univs.masks.frame_labels import mask_of, painted
from univs.models.features import TextFeatures
from univs.models.text_encoder import TextEncoder
from univs.models.univs import UniVS
from univs.models.word_answers import box_request, boxes_of_texts, text_request, word_parts
from univs.prompts import Mask
from univs.results import FrameResult
from univs.settings import Count, CountFromZero
from univs.trackers.classes import text_encoder_of
from univs.trackers.encoded_frame import EncodedFrame
from univs.trackers.frame.tracker import FrameSettings, FrameTracker
from univs.trackers.mask_scores import mask_quality
from univs.trackers.object_prompts import ObjectPrompt, says_something
from univs.trackers.tracker import Clip, Frame, Question


@dataclass(frozen=True)
class ReferringSettings:
    """When an expression's own answer is believed.

    tracking: of who follows its object. text_encoder: of the expressions; None: the one that the model was trained
    with. ask_interval: frames from one question to the next while an object is followed. confidence: how well the words
    must fit a mask for it to be followed. least_cells: cells of 4 x 4 pixels that it needs to have. While a mask is
    followed another answer takes its place if it fits the words better by more than `margin`, overlaps the mask by less
    than `overlap`, and so in `patience` questions in a row.
    """

    tracking: FrameSettings = FrameSettings()
    text_encoder: TextEncoder | None = None
    ask_interval: Count = 3
    confidence: float = 0.6
    least_cells: CountFromZero = 8
    margin: float = 0.1
    overlap: float = 0.3
    patience: CountFromZero = 1


@dataclass(frozen=True)
class Reply:
    """What an expression means on one frame, if asked alone.

    logits: h w. fit: 0..1, how well its words fit the mask; 0 for an empty one. cells: size of the mask.
    """

    logits: Tensor
    fit: float
    cells: int


class _Described:
    """One expression: its text, who follows its object (nobody yet: None), and how often the answer was better."""

    def __init__(self, text: TextFeatures) -> None:
        self.text = text
        self.tracker: FrameTracker | None = None
        self.doubts = 0


class ReferringTracker:
    """Finds what expressions mean and follows it (`Tracker`). Raises UserError if the model knows no words."""

    def __init__(self, model: UniVS, question: Question, settings: ReferringSettings) -> None:
        word_parts(model)
        self._model, self._question, self._geometry = model, question, question.geometry
        self._settings = settings
        self._encoder = settings.text_encoder or text_encoder_of(model)
        self._described: dict[int, _Described] = {}

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The expressions' objects, in the order in which they came."""
        return tuple(self._described)

    def answer(self, clip: Clip[Frame]) -> list[FrameResult]:
        """A mask for each expression on the one frame of the clip."""
        frame = EncodedFrame(clip.frames[0], self._model, self._geometry)
        said = clip.prompts.get(frame.index, {})
        self._described |= {object_id: self._meant(object_id, prompt) for object_id, prompt in said.items()}
        replies = self._ask([i for i, one in self._described.items() if self._is_due(one, frame.index)], frame)
        masks: dict[int, NDArray[np.bool_]] = {}
        scores: dict[int, float] = {}
        for object_id in self._described:
            shown = replace(said[object_id], texts=[]) if object_id in said else ObjectPrompt()
            masks[object_id], scores[object_id] = self._follow(object_id, frame, shown, replies.get(object_id))
        labels = painted(masks, (self._geometry.height, self._geometry.width))
        return [FrameResult(frame.index, labels, tuple(sorted(masks)), scores, masks)]

    def finish(self) -> list[FrameResult]:
        """Nothing is left: every frame is answered at once."""
        return []

    def remove(self, object_id: int) -> None:
        """Stop following an object. KeyError if it is not known."""
        del self._described[object_id]

    def _meant(self, object_id: int, prompt: ObjectPrompt) -> _Described:
        """The expression that a prompt is about, a new one if it brings words. UserError if there was none yet."""
        if prompt.texts:
            return _Described(self._encoder.encode(prompt.texts[-1:]).to(self._model.pixel_mean.device))
        if object_id not in self._described:
            raise UserError(f"object {object_id} was not described; say what is meant, or use the task vos")
        return self._described[object_id]

    def _is_due(self, described: _Described, frame_index: int) -> bool:
        return described.tracker is None or frame_index % self._settings.ask_interval == 0

    def _ask(self, object_ids: list[int], frame: EncodedFrame) -> dict[int, Reply]:
        """What these expressions mean on the frame."""
        if not object_ids:
            return {}
        head, _ = word_parts(self._model)
        cells = frame.cells
        assert frame.key is not None
        texts = TextFeatures.cat([self._described[object_id].text for object_id in object_ids])
        request, _ = text_request(self._model, frame.features, frame.key, cells, [texts])
        size = frame.features.mask_features.shape[-2:]
        boxes = boxes_of_texts(head, cells, texts.sentence, (size[0], size[1]))
        boxed = box_request(self._model, frame.features, frame.key, boxes)
        answers = torch.cat([self._model.decode([frame.inputs], one).mask_logits[0, :, 0] for one in (request, boxed)])
        masks, count = self._geometry.clear_margin(answers) > 0, len(object_ids)
        shares = F.avg_pool2d(masks[None].float(), 2)
        fits = head.score_masks(cells, shares, texts.sentence)[0].sigmoid().unflatten(0, (2, count))
        fits = fits.diagonal(dim1=1, dim2=2) * masks.flatten(1).any(1).unflatten(0, (2, count))
        worth = fits * mask_quality(answers).unflatten(0, (2, count))
        # words that fit no cell mean nothing that is here, unless a box shows it for sure
        worth[0] = torch.where(masks[:count].flatten(1).any(1), worth[0], self._settings.confidence)
        chosen = (worth[1] > worth[0]).long() * count + torch.arange(count, device=worth.device)
        sizes, flat = masks.sum((1, 2)).tolist(), fits.flatten().tolist()
        replies = zip(object_ids, chosen.tolist(), strict=True)
        return {object_id: Reply(answers[row], flat[row], sizes[row]) for object_id, row in replies}

    def _follow(
        self, object_id: int, frame: EncodedFrame, shown: ObjectPrompt, reply: Reply | None
    ) -> tuple[NDArray[np.bool_], float]:
        """H W mask of one expression on the frame, and its score."""
        described = self._described[object_id]
        said_to_it = says_something(shown)
        if described.tracker is None and not said_to_it:
            if reply is None or not self._is_sure(reply):
                return self._guess(reply)
            return self._start(object_id, frame, reply)
        if described.tracker is None:
            described.tracker = self._tracker()
        mask, score = self._followed(described.tracker, object_id, frame, shown)
        if said_to_it:
            described.doubts = 0  # they were about what was followed before
        if said_to_it or reply is None:
            return mask, score
        lost, sure = not mask.any(), self._is_sure(reply)
        better = sure and (lost or self._is_better(reply, mask, frame, described))
        described.doubts = described.doubts + 1 if better else 0
        if sure and (lost or described.doubts >= self._settings.patience):
            return self._start(object_id, frame, reply)
        return mask, score

    def _start(self, object_id: int, frame: EncodedFrame, reply: Reply) -> tuple[NDArray[np.bool_], float]:
        """Follow what was answered, as if it had been shown."""
        described = self._described[object_id]
        described.tracker, described.doubts = self._tracker(), 0
        shown = ObjectPrompt(masks=[Mask(object_id, self._guess(reply)[0])])
        mask, _ = self._followed(described.tracker, object_id, frame, shown)
        return mask, reply.fit

    def _followed(
        self, tracker: FrameTracker, object_id: int, frame: EncodedFrame, shown: ObjectPrompt
    ) -> tuple[NDArray[np.bool_], float]:
        """Answer of an object's own tracker."""
        followed = tracker.follow(frame, {object_id: shown} if says_something(shown) else {})
        return followed.labels(self._geometry) == object_id, followed.scores[object_id]

    def _tracker(self) -> FrameTracker:
        """Who follows one object from now on."""
        return FrameTracker(self._model, self._question, self._settings.tracking)

    def _is_sure(self, reply: Reply) -> bool:
        return reply.fit >= self._settings.confidence and reply.cells >= self._settings.least_cells

    def _is_better(self, reply: Reply, mask: NDArray[np.bool_], frame: EncodedFrame, one: _Described) -> bool:
        """Whether an answer fits the words clearly better than the mask that is followed, and means another place."""
        guess, fit = self._guess(reply)
        if np.logical_and(guess, mask).sum() >= self._settings.overlap * np.logical_or(guess, mask).sum():
            return False
        head, _ = word_parts(self._model)
        shares = F.avg_pool2d(self._geometry.shrink_masks([mask]).to(frame.features.mask_features)[None], 8)
        known = head.score_masks(frame.cells, shares, one.text.sentence)[0, 0, 0].sigmoid()
        return fit > known.item() + self._settings.margin

    def _guess(self, reply: Reply | None) -> tuple[NDArray[np.bool_], float]:
        """The answer as it is, H W."""
        if reply is None:
            return np.zeros((self._geometry.height, self._geometry.width), bool), 0.0
        return mask_of(reply.logits, self._geometry), reply.fit
