"""Following objects frame by frame: by prompts, dense memory and their last masks; they meet in soft aggregation.

Shapes: N objects, H' W' padded input, Cm mask-feature channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from univs.masks.frame_labels import label_map, label_type, mask_of, soft_aggregate, to_logits
from univs.masks.geometry import MASK_STRIDE, Geometry
from univs.models.dense_memory import MemoryKey
from univs.models.features import DecodeRequest, ImageFeatures, SelfAttentionKind
from univs.models.univs import UniVS
from univs.results import Alternative, FrameResult
from univs.settings import Count, Share
from univs.trackers.encoded_frame import EncodedFrame
from univs.trackers.frame.closer_look import Candidate, CloserMask, look_closer
from univs.trackers.frame.memory import DensePool, Schedule, TokenPool
from univs.trackers.frame.prompt_constraints import around_points, inside_boxes
from univs.trackers.object_prompts import ObjectPrompt, clicks_on_it, is_ambiguous, strokes_as_clicks
from univs.trackers.object_table import ObjectTable
from univs.trackers.prompt_encoding import encode_prompts, given_masks, rough_maps, united_masks
from univs.trackers.tracker import Clip, Frame, Question

ORDINARY = 0
"""Place of the answer that a model without further ones gives: what several places and strokes mean."""


@dataclass(frozen=True)
class FrameSettings:
    """How objects are remembered and asked for.

    self_attention: which queries see each other in the decoder (`DecodeRequest`). token_width: prompt tokens kept of
    one frame; None: as many as the model was made for. token_frames: of how many of the last frames the tokens of the
    predicted masks are kept. dense_frames: entries of the dense memory, the previous frame apart. dense_interval:
    frames from one entry to the next. confine_prompts: on the frame of a box the object lies in the box; a new object
    that was clicked at is the connected parts of its mask that hold a click (`prompt_constraints`). strokes: whether
    the model sees scribbles as clicks along them, which it answers far better, or as they are drawn. nearly_best: of
    the answers to one click whose IoU is thought to be at most so much below the best one's, the largest is followed:
    they are hardly told apart more finely, and a click means a thing more often than a part of it. closer_look: whether
    what a box shows is seen once more in a square of the frame around it, by a model that does that (`mask_refiner`).
    """

    self_attention: SelfAttentionKind = "sep"
    token_width: Count | None = None
    token_frames: Count = 2
    dense_frames: Count = 6
    dense_interval: Count = 5
    confine_prompts: bool = True
    strokes: Literal["clicks", "drawn"] = "clicks"
    nearly_best: Share = 0.04
    closer_look: bool = True


@dataclass(frozen=True)
class Answer:
    """What a prompt may have meant: H'/4 W'/4 mask logits, and the IoU that they are thought to have.

    mask: H W, after a closer look.
    """

    logits: Tensor
    quality: float
    mask: NDArray[np.bool_] | None = None

    def full_size(self, geometry: Geometry) -> NDArray[np.bool_]:
        """Its mask H W."""
        return mask_of(self.logits, geometry) if self.mask is None else self.mask

    def seen_as(self, closer: CloserMask | None) -> Answer:
        """The same after a closer look, if there was one: it says where the object ends, not whether it was meant."""
        return self if closer is None else Answer(closer.logits, self.quality, closer.mask)


@dataclass(frozen=True)
class Followed:
    """The objects of one frame, that met in soft aggregation.

    scores: object id -> confidence 0..1, 0 where it is not visible, 1 where its mask was given. log_odds: N+1 H'/4
    W'/4, background first, objects in the order of object_ids. given: object id -> H W mask that came as a prompt on
    this frame and is the object's answer as it is. alternatives: object id -> other answers to the prompt that made it
    known on this frame, the likeliest first. closer: object id -> H W mask of those that were looked at more closely on
    this frame.
    """

    object_ids: tuple[int, ...]
    scores: Mapping[int, float]
    log_odds: Tensor
    given: Mapping[int, NDArray[np.bool_]]
    alternatives: Mapping[int, Sequence[Answer]] = field(default_factory=dict)
    closer: Mapping[int, NDArray[np.bool_]] = field(default_factory=dict)

    def labels(self, geometry: Geometry) -> NDArray[Any]:
        """H W: the most likely object of each pixel; of two given masks that overlap the later one wins."""
        decoded = [row for row, object_id in enumerate(self.object_ids, start=1) if object_id not in self.given]
        ids = [self.object_ids[row - 1] for row in decoded]
        labels = label_map(self.log_odds[[0, *decoded]], ids, geometry, label_type(self.object_ids))
        for object_id, mask in self.closer.items():  # against the background; objects meet by their odds
            labels[(labels == object_id) & ~mask] = 0
        for object_id, mask in self.closer.items():
            labels[(labels == 0) & mask] = object_id
        for object_id, mask in self.given.items():
            labels[mask] = object_id
        return labels


class FrameTracker:
    """Follows any number of objects that come and go through one video, a frame at a time (`Tracker`).

    All that is remembered lives here.
    """

    def __init__(self, model: UniVS, question: Question, settings: FrameSettings) -> None:
        self.model, self.geometry, self.settings = model, question.geometry, settings
        self.objects = ObjectTable()
        self._tokens = TokenPool(settings.token_width or model.visual_sampler.tokens, settings.token_frames)
        schedule = Schedule(settings.dense_frames, settings.dense_interval)
        self._dense = DensePool(schedule) if model.dense_memory is not None else None
        self._device = model.pixel_mean.device

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that are being followed."""
        return self.objects.ids

    def answer(self, clip: Clip[Frame]) -> list[FrameResult]:
        """One label map, of the one frame of the clip."""
        frame = EncodedFrame(clip.frames[0], self.model, self.geometry)
        followed = self.follow(frame, clip.prompts.get(frame.index, {}))
        others = {
            object_id: [Alternative(answer.full_size(self.geometry), answer.quality) for answer in answers]
            for object_id, answers in followed.alternatives.items()
        }
        labels = followed.labels(self.geometry)
        return [FrameResult(frame.index, labels, followed.object_ids, followed.scores, alternatives=others)]

    def follow(self, frame: EncodedFrame, prompts: Mapping[int, ObjectPrompt]) -> Followed:
        """The objects on the next frame, on which these prompts came."""
        if not prompts and not len(self.objects):
            height, width = (side // MASK_STRIDE for side in self.geometry.padded)
            return Followed((), {}, torch.zeros(1, height, width), {})
        features = frame.features
        if self.settings.strokes == "clicks":
            size = self.geometry.height, self.geometry.width
            prompts = {object_id: strokes_as_clicks(said, *size) for object_id, said in prompts.items()}
        given = united_masks(prompts) if prompts else {}
        shrunk = given_masks(prompts, self.geometry, self._device) if given else {}
        new = {object_id for object_id in prompts if object_id not in self.objects}
        self._take_in(features, prompts, shrunk, frame.index)
        asked = {object_id: said for object_id, said in prompts.items() if object_id not in given}
        logits, several = self._decode(frame, shrunk, asked, new)
        answers: dict[int, list[Answer]] = {}
        for object_id, found in self._meant(frame, logits, several, asked, new).items():
            logits[self.objects.row(object_id)], answers[object_id] = found[0].logits, found
        log_odds = soft_aggregate(logits)
        probabilities = log_odds.softmax(0)[1:]
        scores = dict(zip(self.objects.ids, confidence(log_odds, probabilities), strict=True))
        scores.update(dict.fromkeys(given, 1.0))
        closer = {object_id: found[0].mask for object_id, found in answers.items() if found[0].mask is not None}
        others = {object_id: found[1:] for object_id, found in answers.items() if object_id in several}
        followed = Followed(self.objects.ids, scores, log_odds, given, others, closer)
        self._remember(frame, probabilities, followed, prompted=bool(prompts))
        return followed

    def finish(self) -> list[FrameResult]:
        """Nothing is left: every frame is answered at once."""
        return []

    def remove(self, object_id: int) -> None:
        """Stop following an object. KeyError if it is not known."""
        row = self.objects.remove(object_id)
        self._tokens.remove(row)
        if self._dense is not None:
            self._dense.remove(row)

    def _take_in(
        self,
        features: ImageFeatures,
        prompts: Mapping[int, ObjectPrompt],
        given: Mapping[int, Tensor],
        frame_index: int,
    ) -> None:
        """Make room for new objects and pin the tokens of all prompts."""
        if not prompts:
            return
        tokens = encode_prompts(self.model, features, self.geometry, prompts, given, frame_index)
        new = self.objects.add(list(prompts))
        self._tokens.add(len(new))
        if self._dense is not None:
            self._dense.add(len(new))
        for object_id, said in tokens.items():
            self._tokens.pin(self.objects.row(object_id), said)

    def _decode(
        self,
        frame: EncodedFrame,
        given: Mapping[int, Tensor],
        asked: Mapping[int, ObjectPrompt],
        new: set[int],
    ) -> tuple[Tensor, dict[int, tuple[Tensor, Tensor]]]:
        """N H'/4 W'/4 mask logits, and what `new` ones among `asked`, just prompted, may be: object id -> A H'/4 W'/4
        mask logits, the ordinary answer first, and A qualities 0..1.

        Given masks as they are, the other objects decoded.
        """
        several: dict[int, tuple[Tensor, Tensor]] = {}
        finest = frame.features.mask_features
        logits = finest.new_empty(len(self.objects), *finest.shape[-2:])
        for object_id, mask in given.items():
            logits[self.objects.row(object_id)] = to_logits(F.avg_pool2d(mask[None], MASK_STRIDE)[0])
        rows = [row for row, object_id in enumerate(self.objects.ids) if object_id not in given]
        if rows:
            queries = self.model.prompt_queries([self._tokens.tokens(rows)])
            residual = self._residual(frame.features, frame.key, rows, asked)
            request = DecodeRequest(queries, dense=residual, self_attention=self.settings.self_attention)
            unknown = [index for index, row in enumerate(rows) if self.objects.ids[row] in new]
            if unknown and self.model.prompt_answers is not None:
                layers, said = self.model.decode_answers(frame.inputs, request, unknown)
                logits[rows] = layers[-1].mask_logits[0, :, 0]
                for index, masks, quality in zip(unknown, said.mask_logits[0], said.quality[0].sigmoid(), strict=True):
                    several[self.objects.ids[rows[index]]] = masks, quality
            else:
                logits[rows] = self.model.decode([frame.inputs], request).mask_logits[0, :, 0]
        for maps in (logits, *(masks for masks, _ in several.values())):
            self.geometry.clear_margin(maps)
        return logits, several

    def _meant(
        self,
        frame: EncodedFrame,
        logits: Tensor,
        several: Mapping[int, tuple[Tensor, Tensor]],
        asked: Mapping[int, ObjectPrompt],
        new: set[int],
    ) -> dict[int, list[Answer]]:
        """What was asked for on this frame: object id -> its answers, the one that is followed first.

        Args:
            logits: N H'/4 W'/4, of all objects.
            several: object id -> A H'/4 W'/4 logits and A qualities 0..1, of those that have several answers.
        """
        meant: dict[int, list[Answer]] = {}
        for object_id, said in asked.items():
            masks, quality = several.get(object_id, (logits[self.objects.row(object_id)][None], logits.new_ones(1)))
            if self.settings.confine_prompts:
                masks = torch.stack([self._confined(one, said, object_id in new) for one in masks])
            meant[object_id] = [Answer(*one) for one in zip(masks, quality.tolist(), strict=True)]
        for object_id, answers in meant.items():
            best = self._best(answers, asked[object_id])
            order = sorted(range(len(answers)), key=lambda place: (place != best, -answers[place].quality))
            meant[object_id] = [answers[place] for place in order]
        boxed = [object_id for object_id in meant if asked[object_id].boxes]
        if not (self.model.looks_closer and self.settings.closer_look and boxed):
            return meant
        candidates = [Candidate(asked[i], one.logits, i in new) for i in boxed for one in meant[i]]
        found = iter(look_closer(self.model, frame.image, self.geometry, candidates, self.settings.confine_prompts))
        return meant | {i: [one.seen_as(next(found)) for one in meant[i]] for i in boxed}

    def _best(self, answers: Sequence[Answer], said: ObjectPrompt) -> int:
        """Place of the answer that is followed, of those to a prompt."""
        if not is_ambiguous(said):
            return ORDINARY
        quality = torch.tensor([one.quality for one in answers])
        if said.boxes:  # which say themselves how large the object is
            return int(quality.argmax())
        areas = torch.stack([(one.logits > 0).sum() for one in answers]).cpu()
        return int(torch.where(quality >= quality.max() - self.settings.nearly_best, areas, -1).argmax())

    def _confined(self, logits: Tensor, said: ObjectPrompt, new: bool) -> Tensor:
        """H'/4 W'/4 mask logits of a just prompted object, held to what was said for certain."""
        if said.boxes:
            boxes = torch.stack([self.geometry.shrink_box(box.xyxy) for box in said.boxes])
            logits = inside_boxes(logits, boxes)
        if new and (clicks := clicks_on_it(said)):
            logits = around_points(logits, self.geometry.shrink_points(clicks).tolist())
        return logits

    def _residual(
        self, features: ImageFeatures, key: MemoryKey | None, rows: list[int], asked: Mapping[int, ObjectPrompt]
    ) -> Tensor | None:
        """1 n Cm H'/4 W'/4 residual on the mask features; None if there is nothing to read.

        Objects with an entry read the memory. Those without one that were asked for on this frame read their own
        prompt, as a rough entry; anybody else gets zero.
        """
        dense, pool = self.model.dense_memory, self._dense
        if dense is None or pool is None or key is None:
            return None
        known = [index for index, row in enumerate(rows) if pool.knows(row)]
        prompted = {self.objects.row(object_id): said for object_id, said in asked.items()}
        fresh = [index for index, row in enumerate(rows) if row in prompted and not pool.knows(row)]
        parts: list[tuple[list[int], Tensor]] = []
        if known:
            read = pool.read(dense, key, [rows[index] for index in known])
            parts.append((known, dense.residual(features, read)))
        if fresh:
            maps = torch.stack([rough_maps(prompted[rows[index]], self.geometry) for index in fresh])
            parts.append((fresh, dense.prompt_residual(features, key, maps[None].to(self._device))))
        if not parts:
            return None
        if len(parts[0][0]) == len(rows):
            return parts[0][1]
        first = parts[0][1]
        full = first.new_zeros(1, len(rows), *first.shape[2:])
        for indices, part in parts:
            full[:, indices] = part
        return full

    def _remember(self, frame: EncodedFrame, probabilities: Tensor, answer: Followed, *, prompted: bool) -> None:
        """Let the answer re-enter: tokens of the predicted masks, and the frame as a dense entry.

        An object that is not visible keeps the tokens of the frames on which it was; its dense value says where it is
        not. A frame that shows nobody is not worth a lasting place.
        """
        visible = [object_id for object_id, score in answer.scores.items() if score > 0]
        rows = self.objects.rows(object_id for object_id in visible if object_id not in answer.given)
        if rows:
            masks = probabilities[rows].repeat_interleave(MASK_STRIDE, -1).repeat_interleave(MASK_STRIDE, -2)
            self._tokens.write(rows, self.model.encode_masks(frame.features, masks, frame.index))
        if frame.key is not None and self.model.dense_memory is not None and self._dense is not None:
            value = self.model.dense_memory.memory_value(frame.features, probabilities[None])
            self._dense.write(frame.index, frame.key, value, keep=bool(visible), pinned=prompted)


def confidence(log_odds: Tensor, probabilities: Tensor) -> list[float]:
    """Mean probability inside its own mask of every object, 0 where the mask is empty.

    Args:
        log_odds: N+1 h w, background first.
        probabilities: N h w of the objects, the soft-max of `log_odds` without the background.
    """
    best = log_odds.argmax(0)
    objects = torch.arange(1, len(log_odds), device=best.device)[:, None, None]
    visible = best == objects
    inside = torch.where(visible, probabilities, 0).sum((1, 2))
    return (inside / visible.sum((1, 2)).clamp_min(1)).tolist()
