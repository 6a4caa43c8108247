"""Objects that expressions describe, by our own rules: an expression is asked for until it is answered with confidence,
and from then on its object is followed as if that mask had been shown; now and then the expression is asked again.

Every expression has a follower of its own, so that two of them may mean the same object. Shapes: N expressions, h w a
quarter of the padded input, H W pixels of the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from univs.errors import UserError
from univs.masks.full_size import mask_of
from univs.masks.geometry import Geometry
from univs.models.features import TextFeatures
from univs.models.text_encoder import TextEncoder
from univs.models.univs import UniVS
from univs.models.word_answers import answer_texts, word_parts
from univs.prompts import Mask
from univs.settings import Count, CountFromZero
from univs.trackers.answers import Answer, painted
from univs.trackers.classes import text_encoder_of
from univs.trackers.encoded_frame import EncodedFrame
from univs.trackers.frame.tracker import FrameTracker
from univs.trackers.object_prompts import ObjectPrompt, says_something
from univs.trackers.tracker import Clip


@dataclass(frozen=True)
class AskRules:
    """When an expression's own answer is believed.

    Args:
        interval: frames from one question to the next while an object is followed.
        confidence: how well the words must fit a mask for it to be followed.
        least_cells: cells of 4 x 4 pixels that it needs to have.
        margin: by how much better they must fit the answer than the mask that is followed,
        overlap: though it overlaps that less than this,
        patience: so many questions in a row, for the answer to take its place.
    """

    interval: int = 3
    confidence: float = 0.6
    least_cells: int = 8
    margin: float = 0.1
    overlap: float = 0.3
    patience: int = 1


@dataclass(frozen=True)
class Reply:
    """What an expression means on one frame, if asked alone.

    logits: h w. fit: 0..1, how well its words fit the mask; 0 for an empty one. cells: size of the mask.
    """

    logits: Tensor
    fit: float
    cells: int


@dataclass(frozen=True)
class DescribedAnswer(Answer):
    """Expressions each on their own; parts: object id -> H W mask."""

    parts: Mapping[int, NDArray[np.bool_]]

    def labels(self) -> NDArray[Any]:
        """The later expression wins."""
        return painted(self.parts, self.geometry)

    def masks(self) -> dict[int, NDArray[np.bool_]]:
        return dict(self.parts)


class _Described:
    """One expression: its text, who follows its object (nobody yet: None), and how often the answer was better."""

    def __init__(self, text: TextFeatures) -> None:
        self.text = text
        self.follower: FrameTracker | None = None
        self.doubts = 0


class ReferringTracker:
    """Finds what expressions mean and follows it (`Tracker`), a frame at a time.

    Args:
        model: knows words (`word_head`).
        geometry: sizes of the frames of this video.
        make_follower: makes who follows one object.
        rules: when an answer is believed.
        text_encoder: of the expressions; None: the one that the model was trained with.
    Raises UserError if the model knows no words.
    """

    def __init__(
        self,
        model: UniVS,
        geometry: Geometry,
        make_follower: Callable[[], FrameTracker],
        rules: AskRules,
        text_encoder: TextEncoder | None = None,
    ) -> None:
        word_parts(model)
        self._model, self._geometry, self._rules = model, geometry, rules
        self._make_follower = make_follower
        self._encoder = text_encoder or text_encoder_of(model)
        self._described: dict[int, _Described] = {}

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The expressions' objects, in the order in which they came."""
        return tuple(self._described)

    def answer(self, clip: Clip) -> list[Answer]:
        """Answer the one frame of the clip."""
        frame, said = clip.frames[0], clip.prompts.get(clip.span.start, {})
        for object_id, prompt in said.items():
            self._take_in(object_id, prompt)
        replies = self._ask([i for i, one in self._described.items() if self._is_due(one, frame.index)], frame)
        masks: dict[int, NDArray[np.bool_]] = {}
        scores: dict[int, float] = {}
        for object_id in self._described:
            shown = replace(said[object_id], texts=[]) if object_id in said else ObjectPrompt()
            masks[object_id], scores[object_id] = self._follow(object_id, clip, shown, replies.get(object_id))
        return [DescribedAnswer(frame.index, self.object_ids, scores, self._geometry, masks)]

    def finish(self) -> list[Answer]:
        """Nothing is left: every frame is answered at once."""
        return []

    def remove(self, object_id: int) -> None:
        """Stop following an object. KeyError if it is not known."""
        del self._described[object_id]

    def _take_in(self, object_id: int, prompt: ObjectPrompt) -> None:
        if prompt.texts:
            text = self._encoder.encode(prompt.texts[-1:]).to(self._model.pixel_mean.device)
            self._described[object_id] = _Described(text)
        elif object_id not in self._described:
            raise UserError(f"object {object_id} was not described; say what is meant, or use the task vos")

    def _is_due(self, described: _Described, frame_index: int) -> bool:
        return described.follower is None or frame_index % self._rules.interval == 0

    def _ask(self, object_ids: list[int], frame: EncodedFrame) -> dict[int, Reply]:
        """What these expressions mean on the frame."""
        if not object_ids:
            return {}
        head, _ = word_parts(self._model)
        cells = head(frame.features)
        assert frame.key is not None
        texts = TextFeatures.cat([self._described[object_id].text for object_id in object_ids])
        predictions, _ = answer_texts(self._model, frame.features, frame.key, cells, [texts])
        logits = predictions[-1].mask_logits[0, :, 0]
        masks = self._inside(logits)
        fits = head.score_masks(cells, F.avg_pool2d(masks[None].float(), 2), texts.sentence)[0].sigmoid()
        sizes = masks.sum((1, 2)).tolist()
        return {
            object_id: Reply(logits[row], fits[row, row].item() if sizes[row] else 0.0, sizes[row])
            for row, object_id in enumerate(object_ids)
        }

    def _follow(
        self, object_id: int, clip: Clip, shown: ObjectPrompt, reply: Reply | None
    ) -> tuple[NDArray[np.bool_], float]:
        """H W mask of one expression on the frame of the clip, and its score."""
        described = self._described[object_id]
        said_to_it = says_something(shown)
        if described.follower is None and not said_to_it:
            if reply is None or not self._is_sure(reply):
                return self._guess(reply)
            return self._start(object_id, clip, reply)
        if described.follower is None:
            described.follower = self._make_follower()
        mask, score = self._followed(described.follower, object_id, clip, shown)
        if said_to_it or reply is None or not self._is_sure(reply):
            return mask, score
        lost = not mask.any()
        better = lost or self._is_better(reply, mask, clip.frames[0], described)
        described.doubts = described.doubts + 1 if better else 0
        if lost or described.doubts >= self._rules.patience:
            return self._start(object_id, clip, reply)
        return mask, score

    def _start(self, object_id: int, clip: Clip, reply: Reply) -> tuple[NDArray[np.bool_], float]:
        """Follow what was answered, as if it had been shown."""
        described = self._described[object_id]
        described.follower, described.doubts = self._make_follower(), 0
        shown = ObjectPrompt(masks=[Mask(object_id, self._guess(reply)[0])])
        mask, _ = self._followed(described.follower, object_id, clip, shown)
        return mask, reply.fit

    def _followed(
        self, follower: FrameTracker, object_id: int, clip: Clip, shown: ObjectPrompt
    ) -> tuple[NDArray[np.bool_], float]:
        """Answer of an object's own follower."""
        prompts = {clip.span.start: {object_id: shown}} if says_something(shown) else {}
        (answer,) = follower.answer(replace(clip, prompts=prompts))
        return answer.masks()[object_id], answer.scores[object_id]

    def _is_sure(self, reply: Reply) -> bool:
        return reply.fit >= self._rules.confidence and reply.cells >= self._rules.least_cells

    def _is_better(self, reply: Reply, mask: NDArray[np.bool_], frame: EncodedFrame, one: _Described) -> bool:
        """Whether an answer fits the words clearly better than the mask that is followed, and means another place."""
        guess, fit = self._guess(reply)
        if np.logical_and(guess, mask).sum() >= self._rules.overlap * np.logical_or(guess, mask).sum():
            return False
        head, _ = word_parts(self._model)
        cells = F.avg_pool2d(self._geometry.shrink_masks([mask]).to(frame.features.mask_features)[None], 8)
        known = head.score_masks(head(frame.features), cells, one.text.sentence)[0, 0, 0].sigmoid()
        return fit > known.item() + self._rules.margin

    def _guess(self, reply: Reply | None) -> tuple[NDArray[np.bool_], float]:
        """The answer as it is, H W."""
        if reply is None:
            return np.zeros((self._geometry.height, self._geometry.width), bool), 0.0
        return mask_of(reply.logits, self._geometry), reply.fit

    def _inside(self, logits: Tensor) -> Tensor:
        """N h w bool masks within the frame."""
        masks = logits > 0
        below, right = self._geometry.cells
        masks[:, below:] = masks[:, :, right:] = False
        return masks


def find_described(
    model: UniVS,
    geometry: Geometry,
    *,
    clip_length: int = 1,
    clip_stride: int = 1,
    initial_query: str = "memory",
    memory_encoding: str = "own_frame",
    self_attention: str = "sep",
    token_width: int | None = None,
    token_frames: Count = 2,
    dense_frames: Count = 6,
    dense_interval: Count = 5,
    ask_interval: Count = 3,
    confidence: float = 0.6,
    margin: float = 0.1,
    overlap: float = 0.3,
    patience: CountFromZero = 1,
    text_encoder: TextEncoder | None = None,
) -> ReferringTracker:
    """Objects that expressions describe; they may overlap.

    Args:
        clip_length ... dense_interval: of who follows an object (`FrameTracker`).
        ask_interval, confidence, margin, overlap, patience: when an expression's own answer is believed (`AskRules`).
        text_encoder: of the expressions; None: the one that the model was trained with.
    """

    def make_follower() -> FrameTracker:
        return FrameTracker(
            model,
            geometry,
            clip_length=clip_length,
            clip_stride=clip_stride,
            initial_query=initial_query,
            memory_encoding=memory_encoding,
            self_attention=self_attention,
            token_width=token_width,
            token_frames=token_frames,
            dense_frames=dense_frames,
            dense_interval=dense_interval,
        )

    rules = AskRules(interval=ask_interval, confidence=confidence, margin=margin, overlap=overlap, patience=patience)
    return ReferringTracker(model, geometry, make_follower, rules, text_encoder)
