"""The category-guided stream: everything of the classes asked for is found, sorted into known and new, and followed.

Learnable queries detect, prompt queries follow what was detected before; both live in `Tracks`, an assembly makes
answers of them. Shapes: N entities, M detections, K classes, T frames of the clip, C channels, h w a quarter of the
padded input, H W pixels of the input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from univs.masks.geometry import Geometry
from univs.masks.strips import input_strips, resettled, upsampled
from univs.masks.suppression import mask_iou
from univs.models.features import Prediction
from univs.models.univs import UniVS
from univs.trackers.answers import Answer
from univs.trackers.classes import Classes
from univs.trackers.clip.memory import ClipMemory
from univs.trackers.clip.outputs import Output
from univs.trackers.clip.pixel_competition import holds_its_ground
from univs.trackers.clip.tracks import CARRIED, Tracks
from univs.trackers.detections import Detections, Filter, PanopticFilter
from univs.trackers.mask_scores import assign, bisoftmax, consistency, quality_counts, quality_of
from univs.trackers.tracker import Clip


@dataclass(frozen=True)
class EntityRules:
    """How detections become entities, and which predictions are believed.

    Args:
        interval: frames from one detection to the next.
        first_filter: which detections are looked at while nothing is known.
        later_filter: the same afterwards; None: all of them.
        first_score, new_score: class score from which a detection becomes an entity, while nothing is known, and later.
        match: similarity of a detection and an entity from which they are one.
        strong_match: similarity beyond which the detection's masks are believed, and below which it may be new.
        new_overlap: a new entity overlaps each known one by less than this in every frame.
        late_start: whether entities can be found when the first clip has none (official: no).
        consistency: similarity to its own past that a followed entity needs; half in the clips that begin within the
            first clip.
        history: slots of embeddings that this is asked of.
        competition: share of its pixels that an entity must win against all others, those that do not fit their past
            among them; None: nobody competes.
    """

    interval: int
    first_filter: Filter | PanopticFilter
    later_filter: Filter | None
    first_score: float
    new_score: float
    match: float
    strong_match: float
    new_overlap: float
    late_start: bool
    consistency: float
    history: int
    competition: float | None


class EntityTracker:
    """Finds and follows the entities of one video, clip by clip (`Tracker`).

    Args:
        model: what decodes; all that is remembered lives here.
        geometry: sizes of the frames of this video.
        classes: what is looked for.
        rules: what is believed.
        memory: prompt tokens of the entities.
        tracks: where the entities live.
        assembly: makes answers of them.
        self_attention: which queries see each other in the decoder (`UniVS.decode`).
    """

    def __init__(
        self,
        model: UniVS,
        geometry: Geometry,
        classes: Classes,
        *,
        rules: EntityRules,
        memory: ClipMemory,
        tracks: Tracks,
        assembly: Output,
        self_attention: str = "sep",
    ) -> None:
        self.tracks, self.assembly = tracks, assembly
        self._model, self._geometry, self._classes = model, geometry, classes
        self._rules, self._memory, self._self_attention = rules, memory, self_attention
        self._queries = len(model.mask_decoder.query)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The entities that are being followed."""
        return self.tracks.ids

    def answer(self, clip: Clip) -> list[Answer]:
        """Answers of the frames that are ready with this clip, in time order."""
        tracks, span = self.tracks, clip.span
        answers = self.assembly.begin(tracks, span)
        height, width = self._geometry.padded
        tracks.begin(clip.indices, (height // 4, width // 4))
        known = len(tracks)
        due = span.start % self._rules.interval == 0
        looks = due and (known > 0 or span.start == 0 or self._rules.late_start)
        if known or looks:
            prediction = self._decode(clip, looks)
            rows = self._queries if looks else 0
            if known:
                self.follow(clip, prediction.mask_logits[0, rows:], prediction.embeddings[0, rows:])
            if looks:
                self.discover(clip, Detections.of(prediction, self._queries))
        answers += self.assembly.answers(tracks, span)
        tracks.forget_frames(min(span.start, self.assembly.oldest))  # the next clip asks for the frames before it
        return answers

    def finish(self) -> list[Answer]:
        """Answers of the frames that were not ready yet."""
        return self.assembly.finish(self.tracks)

    def remove(self, object_id: int) -> None:
        """Stop following an entity. KeyError if it is not known."""
        self._memory.remove(self.tracks.remove(object_id))

    def follow(self, clip: Clip, logits: Tensor, embeddings: Tensor) -> None:
        """What the prompt queries say of the known entities: N T h w, N T C. Believed where it fits their past."""
        tracks, rules = self.tracks, self._rules
        quality = quality_of(torch.stack([quality_counts(frame) for frame in self._at_input(logits)]).sum(0))
        likeness = consistency(tracks.embeddings[:, -rules.history :], embeddings)
        threshold = rules.consistency * (0.5 if clip.span.start < len(clip.frames) else 1)
        believed = likeness > threshold
        if rules.competition is not None and believed.any():
            weights = tracks.class_scores().amax(1) * likeness * quality
            believed &= holds_its_ground(self._at_input(logits), weights, rules.competition)
        rows = believed.nonzero()[:, 0].tolist()
        tracks.confirm(rows, clip.indices, logits[rows], quality[rows])
        tracks.refresh_embeddings(rows, embeddings[rows])

    def discover(self, clip: Clip, found: Detections) -> None:
        """Sort what the learnable queries found into known entities and new ones."""
        tracks, rules = self.tracks, self._rules
        if not len(tracks):
            first = rules.first_filter
            found = first(found, self._classes.things) if isinstance(first, PanopticFilter) else first(found)
            self._add(clip, found.take(found.best > rules.first_score))
            return
        if rules.later_filter is not None:
            found = rules.later_filter(found)
        pairs = assign(bisoftmax(tracks.embeddings[:, -CARRIED:], found.embeddings), rules.match)
        rows, matched = [row for row, _, _ in pairs], [index for _, index, _ in pairs]
        tracks.refresh_scores(rows, found.scores[matched])
        tracks.refresh_embeddings(rows, found.embeddings[matched])
        strong = [(row, index) for row, index, similarity in pairs if similarity > rules.strong_match]
        rows, matched = [row for row, _ in strong], [index for _, index in strong]
        strongly = found.take(torch.tensor(matched, dtype=torch.long, device=found.scores.device))
        tracks.confirm(rows, clip.indices, strongly.logits, strongly.quality)
        new = found.best > rules.new_score
        new[matched] = False
        found = found.take(new)
        if len(found):
            met = [
                mask_iou(found.masks(place), resettled(tracks.logits[index]) > 0).amax(1)
                for place, index in enumerate(clip.indices)
            ]
            self._add(clip, found.take(torch.stack(met).amax(0) < rules.new_overlap))

    def _add(self, clip: Clip, found: Detections) -> None:
        self.tracks.add(clip.indices, found.scores, found.embeddings, found.logits, found.quality)
        self._memory.add([clip.span.start] * len(found))

    def _decode(self, clip: Clip, learnable: bool) -> Prediction:
        """Prediction of the clip, learnable rows (where wanted) before those of the entities."""
        prompts = None
        if len(self.tracks):
            self._memory.enter(self._model, clip, StoredMasks(self.tracks))
            prompts = self._memory.queries(self._model, clip)
        return self._model.decode(
            [frame.inputs for frame in clip.frames],
            clip_length=len(clip.frames),
            prompts=prompts,
            learnable=learnable,
            class_embeddings=self._classes.embeddings if learnable else None,
            self_attention=self._self_attention,
        )

    def _at_input(self, logits: Tensor) -> Iterator[Tensor]:
        """n T h w -> every frame at the input, without padding, piece by piece: n rows W."""
        for frame in logits.unbind(1):
            yield from (strip for _, strip in input_strips(frame, self._geometry))


class StoredMasks(Mapping[int, Tensor]):
    """Frame index -> N H' W' bool masks of the entities at the padded input, made when asked for."""

    def __init__(self, tracks: Tracks) -> None:
        self._logits = tracks.logits

    def __getitem__(self, index: int) -> Tensor:
        return upsampled(self._logits[index]) > 0

    def __iter__(self) -> Iterator[int]:
        return iter(self._logits)

    def __len__(self) -> int:
        return len(self._logits)
