"""Following objects by overlapping clips, as UniVS was released.

Each clip is decoded with what is remembered of the objects. A prediction is believed if it looks like the object's
past; what is believed adds up over the clips that a frame is in, and the sums are the prompts of the clips that follow.

Shapes: N objects, T frames of the clip, C channels, H' W' padded input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from univs.masks.frame_labels import painted
from univs.masks.strips import upsampled
from univs.models.features import DecodeRequest, GroundingBlend, SelfAttentionKind
from univs.models.univs import UniVS
from univs.results import FrameResult
from univs.trackers.clip.memory import NOT_YET
from univs.trackers.clip.pixel_competition import areas, competed, meets, overlap
from univs.trackers.clip.prompt_streams import PromptStream
from univs.trackers.clip.stuff_objects import STUFF_LOGIT, StuffObjects
from univs.trackers.encoded_frame import EncodedClip, Encoder
from univs.trackers.mask_scores import averaged_slots, consistency, quality_counts, quality_of
from univs.trackers.object_prompts import ObjectPrompt
from univs.trackers.object_table import ObjectTable
from univs.trackers.prompt_encoding import given_masks
from univs.trackers.tracker import Clip, Clips, Frame, Question


@dataclass(frozen=True)
class ClipSettings:
    """What is believed, and how the decoder is asked.

    clips: which frames are decoded together. consistency: similarity to an object's past from which a prediction of it
    is believed. compete: whether objects own their pixels alone; they may overlap otherwise. keep_share: share of its
    area that an object must keep in the competition; it is dropped for the clip otherwise. given_overlap: overlap with
    a given mask from which the first prediction is believed; less for small masks. self_attention, grounding_blend: of
    the decoder (`DecodeRequest`).
    """

    clips: Clips = Clips(5, 1)
    consistency: float = 0.5
    compete: bool = True
    keep_share: float = 0.25
    given_overlap: float = 0.15
    self_attention: SelfAttentionKind = "sep"
    grounding_blend: GroundingBlend = "none"


@dataclass(frozen=True)
class ClipPrediction:
    """What the decoder says of some objects in a clip."""

    logits: list[Tensor]
    """Of each frame: N H' W'."""
    embeddings: Tensor
    """N T C."""
    quality: Tensor
    """N."""
    certain: list[Tensor] | None = None
    """Of each frame: N H' W' bool, where a map of classes sees the objects that are stuff."""

    def of(self, rows: Sequence[int]) -> ClipPrediction:
        """Some of the objects."""
        chosen = list(rows)
        certain = None if self.certain is None else [frame[chosen] for frame in self.certain]
        return ClipPrediction(
            [frame[chosen] for frame in self.logits], self.embeddings[chosen], self.quality[chosen], certain
        )

    def assured(self, logits: Sequence[Tensor]) -> list[Tensor]:
        """N H' W' logits of each frame, large where the objects certainly are."""
        if self.certain is None:
            return list(logits)
        return [frame.masked_fill(sure, STUFF_LOGIT) for frame, sure in zip(logits, self.certain, strict=True)]


class ClipTracker:
    """Follows objects through one video, clip by clip (`Tracker`).

    Args:
        model: what decodes.
        question: the frames, and objects whose prompts will come later; these take part in the decoding from the start.
        stream: makes the prompt queries.
        settings: what is believed.
        history: how many of the last frames an object's embeddings are kept of.
        stuff: knows which objects are stuff, by the words said about them; None: words mean no classes.
    """

    def __init__(
        self,
        model: UniVS,
        question: Question,
        stream: PromptStream,
        settings: ClipSettings,
        *,
        history: int,
        stuff: StuffObjects | None = None,
    ) -> None:
        self.model, self.geometry, self.stream, self.settings = model, question.geometry, stream, settings
        self._encoder = Encoder(model, question.geometry)
        self.objects = ObjectTable()
        self.logits: dict[int, Tensor] = {}
        """Frame index -> N H' W', summed over the clips so far; 1 or 0 where the mask was given."""
        self.embeddings: dict[int, Tensor] = {}
        """Frame index -> N C, of the last frames; zero of an object that was not there."""
        self._first_frames: list[int] = []
        self._given: dict[int, dict[int, Tensor]] = {}  # frame index -> object id -> H' W' bool
        self._history, self._stuff = history, stuff
        blends = settings.grounding_blend != "none"
        self._learnable = blends or settings.self_attention in ("sep-l2p", "all")  # somebody reads them
        self._stop = self._answered = 0  # frames that were in a clip; frames whose answers were handed out
        self._device = model.pixel_mean.device
        for object_id in question.expected_ids:
            self._add(object_id)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that are being followed: those that have appeared."""
        return tuple(i for i, first in zip(self.objects.ids, self._first_frames, strict=True) if first != NOT_YET)

    def answer(self, shown: Clip[Frame]) -> list[FrameResult]:
        """Decode the clip and let it add to what is known; the results of the frames that are in no later clip."""
        self._check(shown)  # before anything is remembered of the clip
        clip = self._encoder(shown)
        self._open(clip)
        if self.object_ids:
            predicted = self._decode(clip)
            self._begin(clip, predicted)
            self._go_on(clip, predicted)
            self._keep_given(clip)
            self.stream.answered(clip, self._masks())
        return self._hand_out(clip.span.final)

    def finish(self) -> list[FrameResult]:
        """The answers of all frames that were in a clip."""
        return self._hand_out(self._stop)

    def remove(self, object_id: int) -> None:
        """Stop following an object. KeyError if it is not known."""
        row = self.objects.remove(object_id)
        del self._first_frames[row]
        if self._stuff is not None:
            self._stuff.remove(object_id)
        for given in self._given.values():
            given.pop(object_id, None)
        kept = [index for index in range(len(self.objects) + 1) if index != row]
        self.logits = {index: value[kept] for index, value in self.logits.items()}
        self.embeddings = {index: value[kept] for index, value in self.embeddings.items()}
        self.stream.remove(row)

    def _add(self, object_id: int) -> None:
        """Give an object the next row."""
        self.objects.add([object_id])
        self._first_frames.append(NOT_YET)
        self.logits = {index: _one_more(value) for index, value in self.logits.items()}
        self.embeddings = {index: _one_more(value) for index, value in self.embeddings.items()}
        self.stream.add()

    def _check(self, shown: Clip[Frame]) -> None:
        """UserError for new prompts that cannot be used."""
        for index in range(self._stop, shown.span.stop):
            for object_id, prompt in shown.prompts.get(index, {}).items():
                if self._stuff is not None and prompt.texts:
                    self._stuff.number(object_id, prompt.texts[-1])
                    prompt = replace(prompt, texts=[])
                self.stream.check(prompt)

    def _open(self, clip: EncodedClip) -> None:
        """Make room for the new frames, forget the oldest, take in the prompts."""
        count, (height, width) = len(self.objects), self.geometry.padded
        for index in range(self._stop, clip.span.stop):
            self.logits[index] = torch.zeros(count, height, width, device=self._device)
            blank = torch.zeros(count, self.model.mask_decoder.dim, device=self._device)
            self.embeddings[index] = self.embeddings[index - 1] if index else blank
        oldest = clip.span.start - self.settings.clips.clip_stride  # its mask may be a prompt of this clip
        self.logits = {index: value for index, value in self.logits.items() if index >= oldest}
        oldest = clip.span.stop - self._history
        self.embeddings = {index: value for index, value in self.embeddings.items() if index >= oldest}
        self._given = {index: value for index, value in self._given.items() if index >= clip.span.start}
        for index in range(self._stop, clip.span.stop):
            for object_id, prompt in clip.prompts.get(index, {}).items():
                self._take_in(object_id, prompt, index)
        self._stop = clip.span.stop
        self._keep_given(clip)

    def _take_in(self, object_id: int, prompt: ObjectPrompt, index: int) -> None:
        if self._stuff is not None and prompt.texts:
            self._stuff.take_in(object_id, prompt.texts[-1])
            prompt = replace(prompt, texts=[])
        if object_id not in self.objects:
            self._add(object_id)
        row = self.objects.row(object_id)
        self.stream.take_in(row, index, prompt)
        if self._first_frames[row] == NOT_YET:
            self._first_frames[row] = index
        for known, mask in given_masks({object_id: prompt}, self.geometry, self._device).items():
            self._given.setdefault(index, {})[known] = mask > 0

    def _keep_given(self, clip: EncodedClip) -> None:
        """On its frame a given mask is the object's mask, whatever the clips say."""
        for index in clip.indices:
            for object_id, mask in self._given.get(index, {}).items():
                self.logits[index][self.objects.row(object_id)] = mask.float()

    def _masks(self) -> dict[int, Tensor]:
        return {index: logits > 0 for index, logits in self.logits.items()}

    def _decode(self, clip: EncodedClip) -> ClipPrediction:
        """Decode the clip; only the rows of the objects where nobody reads the others."""
        stuff = self._stuff or None  # if any object is stuff
        request = DecodeRequest(
            self.stream.queries(clip, self._masks()),
            learnable=self._learnable or stuff is not None,
            learnable_masks=stuff is not None,
            clip_length=len(clip.frames),
            class_embeddings=None if stuff is None else stuff.classes.embeddings,
            self_attention=self.settings.self_attention,
            grounding_blend=self.settings.grounding_blend,
        )
        prediction = self.model.decode([frame.inputs for frame in clip.frames], request)
        count = len(self.objects)
        logits = [upsampled(frame) for frame in prediction.mask_logits[0, -count:].unbind(1)]
        height, width = self.geometry.input_height, self.geometry.input_width
        counts = torch.stack([quality_counts(frame[:, :height, :width]) for frame in logits]).sum(0)
        certain = None if stuff is None else stuff.seen(prediction, self.objects.ids)
        return ClipPrediction(logits, prediction.embeddings[0, -count:], quality_of(counts), certain)

    def _begin(self, clip: EncodedClip, predicted: ClipPrediction) -> None:
        """Objects that appear in this clip: the frames behind their first one take what was predicted, no sum."""
        rows = [row for row, first in enumerate(self._first_frames) if first >= clip.span.start]
        if not rows:
            return
        predicted = predicted.of(rows)
        for place, index in enumerate(clip.indices):
            self._set(self.embeddings, index, rows, predicted.embeddings[:, place])
        given = {row: self._first_given(row) for row in rows}
        logits = predicted.logits
        if self.settings.compete:
            ones = torch.ones_like(predicted.quality)
            weights = self._overlaps(clip, rows, logits, ones).square() * predicted.quality
            logits = competed(logits, weights)
        met = self._overlaps(clip, rows, logits, torch.ones_like(predicted.quality))
        logits = predicted.assured(logits)
        for i, row in enumerate(rows):
            first, mask = self._first_frames[row], given[row]
            is_stuff = self._stuff is not None and self.objects.ids[row] in self._stuff
            if mask is not None and not is_stuff and not meets(met[i], mask.sum(), self.settings.given_overlap):
                continue
            for index in range(first if mask is None else first + 1, clip.span.stop):
                self._set(self.logits, index, [row], logits[index - clip.span.start][i : i + 1])

    def _first_given(self, row: int) -> Tensor | None:
        """The mask that an object was given on its first frame, if it was."""
        return self._given.get(self._first_frames[row], {}).get(self.objects.ids[row])

    def _overlaps(self, clip: EncodedClip, rows: Sequence[int], logits: Sequence[Tensor], without: Tensor) -> Tensor:
        """Overlap of each object's prediction with its given mask; `without` (n) where none was given."""
        result = without.clone()
        for i, row in enumerate(rows):
            mask = self._first_given(row)
            if mask is not None:
                predicted = logits[self._first_frames[row] - clip.span.start][i : i + 1] > 0
                result[i] = overlap(predicted, mask[None])[0]
        return result

    def _go_on(self, clip: EncodedClip, predicted: ClipPrediction) -> None:
        """Objects seen before this clip: what looks like their past is added."""
        rows = [row for row, first in enumerate(self._first_frames) if NOT_YET < first < clip.span.start]
        if not rows:
            return
        predicted = predicted.of(rows)
        history = torch.stack([self.embeddings[index][rows] for index in sorted(self.embeddings)], dim=1)
        likeness = consistency(history, predicted.embeddings)
        believed = likeness > self.settings.consistency
        logits = predicted.assured([frame * believed[:, None, None] for frame in predicted.logits])
        embeddings = predicted.embeddings * believed[:, None, None]
        kept = torch.ones_like(believed)
        if self.settings.compete:
            before = areas(logits)
            logits = competed(logits, likeness.square() * predicted.quality * believed, predicted.certain)
            after = areas(logits)
            kept = (after > self.settings.keep_share * before) & (after > 0)
        for place, index in enumerate(clip.indices):
            added = self.logits[index][rows] + logits[place] * kept[:, None, None]
            self._set(self.logits, index, rows, added)
            self._set(self.embeddings, index, rows, averaged_slots(self.embeddings[index][rows], embeddings[:, place]))

    def _set(self, store: dict[int, Tensor], index: int, rows: Sequence[int], values: Tensor) -> None:
        """Write rows of one frame; frames may share a tensor until they differ."""
        store[index] = store[index].clone()
        store[index][list(rows)] = values

    def _hand_out(self, stop: int) -> list[FrameResult]:
        results = [self._result(index) for index in range(self._answered, stop)]
        self._answered = max(self._answered, stop)
        return results

    def _result(self, index: int) -> FrameResult:
        """Objects that compete, in the order of a set of their ids, of which the first is on top (as released); of
        those that may overlap the largest id, each with a mask of its own."""
        first = dict(zip(self.objects.ids, self._first_frames, strict=True))
        object_ids = tuple(i for i in set(self.objects.ids) if NOT_YET < first[i] <= index)
        logits = self.logits[index][self.objects.rows(object_ids)]
        scores = dict(zip(object_ids, _confidence(logits), strict=True))
        scores.update({object_id: 1.0 for object_id in self._given.get(index, {}) if object_id in scores})
        masks: dict[int, NDArray[np.bool_]] = {}
        if object_ids:
            inside = (self.geometry.from_padded(logits) > 0).cpu().numpy()
            masks = dict(zip(object_ids, inside, strict=True))
        size = (self.geometry.height, self.geometry.width)
        if self.settings.compete:
            return FrameResult(index, painted(masks, size, object_ids[::-1]), object_ids, scores)
        return FrameResult(index, painted(masks, size), tuple(sorted(masks)), scores, masks)


def _confidence(logits: Tensor) -> list[float]:
    """N H' W' -> mean probability inside each mask, 0 where it is empty."""
    inside = logits > 0
    return ((logits.sigmoid() * inside).sum((1, 2)) / inside.sum((1, 2)).clamp_min(1)).tolist()


def _one_more(rows: Tensor) -> Tensor:
    return torch.cat([rows, torch.zeros_like(rows[:1]) if len(rows) else rows.new_zeros(1, *rows.shape[1:])])
