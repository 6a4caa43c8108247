"""The category-guided stream: everything of the classes asked for is found, sorted into known and new, and followed.

Learnable queries detect, prompt queries follow what was detected before; both live in `Tracks`, an output makes
results of them. Shapes: N entities, M detections, K classes, T frames of the clip, C channels, h w a quarter of the
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
from univs.models.features import DecodeRequest, Prediction, SelfAttentionKind
from univs.models.univs import UniVS
from univs.results import FrameResult
from univs.settings import Count
from univs.trackers.classes import Classes
from univs.trackers.clip.memory import ClipMemory
from univs.trackers.clip.outputs import Output, Windows
from univs.trackers.clip.pixel_competition import holds_its_ground
from univs.trackers.clip.tracks import CARRIED, Tracks
from univs.trackers.detections import Detections, Filter, PanopticFilter
from univs.trackers.encoded_frame import EncodedClip, Encoder
from univs.trackers.mask_scores import assign, bisoftmax, consistency, quality_counts, quality_of
from univs.trackers.tracker import Clip, Clips, Frame


@dataclass(frozen=True)
class EntitySettings:
    """How detections become entities, and which predictions are believed.

    clips: which frames are decoded together. self_attention: which queries see each other in the decoder
    (`DecodeRequest`). token_width, token_frames: prompt tokens of one frame, and of how many of the last frames they
    are kept. detect_interval: frames from one detection to the next. class_score: of a detection that becomes an entity
    while nothing is known, at least `least_score`; later `later_factor` times as much is asked. match: similarity of a
    detection and an entity from which they are one; beyond `strong_factor` times that the detection's masks are
    believed, and below it may be new. new_overlap: a new entity overlaps each known one by less than this in every
    frame. consistency: similarity to its own past that a followed entity needs; half in the clips that begin within the
    first clip. competition: share of its pixels that an entity must win against all others, those that do not fit their
    past among them; None: nobody competes. window: frames (at least) after which is noted what is known (`Windows`).
    """

    clips: Clips = Clips(5, 1)
    self_attention: SelfAttentionKind = "sep"
    token_width: Count = 128
    token_frames: Count = 5
    detect_interval: Count = 1
    class_score: float = 0.25
    least_score: float = 0.0
    later_factor: float = 1.0
    match: float = 0.1
    strong_factor: float = 1.0
    new_overlap: float = 0.5
    consistency: float = 0.25
    competition: float | None = None
    window: Count = 5

    @property
    def history(self) -> int:
        """Slots of embeddings that are kept, and asked for consistency."""
        return max(self.token_frames // self.clips.clip_stride, 3)

    def windows(self) -> Windows:
        """When it is noted what is known."""
        return Windows(max(self.window, self.clips.clip_length), self.token_frames)


class EntityTracker:
    """Finds and follows the entities of one video, clip by clip (`Tracker`).

    Args:
        model: what decodes; all that is remembered lives here.
        geometry: sizes of the frames of this video.
        classes: what is looked for.
        settings: what is believed.
        first_filter: which detections are looked at while nothing is known.
        later_filter: the same afterwards; None: all of them.
        output: makes results of the entities.
    """

    def __init__(
        self,
        model: UniVS,
        geometry: Geometry,
        classes: Classes,
        settings: EntitySettings,
        *,
        first_filter: Filter | PanopticFilter,
        later_filter: Filter | None,
        output: Output,
    ) -> None:
        clips = settings.clips
        self.tracks, self.output = Tracks(settings.history), output
        self._model, self._geometry, self._classes = model, geometry, classes
        self._settings, self._first_filter, self._later_filter = settings, first_filter, later_filter
        self._memory = ClipMemory(
            settings.token_width,
            settings.token_frames,
            clip_length=clips.clip_length,
            clip_stride=clips.clip_stride,
        )
        self._encoder = Encoder(model, geometry)
        self._queries = len(model.mask_decoder.query)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The entities that are being followed, under the ids that the results carry."""
        return self.output.object_ids(self.tracks)

    def answer(self, shown: Clip[Frame]) -> list[FrameResult]:
        """Results of the frames that are ready with this clip, in time order."""
        clip = self._encoder(shown)
        tracks, span = self.tracks, clip.span
        results = self.output.begin(tracks, span)
        height, width = self._geometry.padded
        tracks.begin(clip.indices, (height // 4, width // 4))
        known = len(tracks)
        due = span.start % self._settings.detect_interval == 0
        looks = due and (known > 0 or span.start == 0)  # without one in the first clip none is ever found (released)
        if known or looks:
            prediction = self._decode(clip, looks)
            rows = self._queries if looks else 0
            if known:
                self.follow(clip, prediction.mask_logits[0, rows:], prediction.embeddings[0, rows:])
            if looks:
                self.discover(clip, Detections.of(prediction, self._queries))
        results += self.output.answers(tracks, span)
        tracks.forget_frames(min(span.start, self.output.oldest))  # the next clip asks for the frames before it
        return results

    def finish(self) -> list[FrameResult]:
        """Answers of the frames that were not ready yet."""
        return self.output.finish(self.tracks)

    def remove(self, object_id: int) -> None:
        """Stop following an entity, by its id in the results. KeyError if it is not known."""
        self._memory.remove(self.tracks.remove(self.output.remove(object_id)))

    def follow(self, clip: EncodedClip, logits: Tensor, embeddings: Tensor) -> None:
        """What the prompt queries say of the known entities: N T h w, N T C. Believed where it fits their past."""
        tracks, settings = self.tracks, self._settings
        quality = quality_of(torch.stack([quality_counts(frame) for frame in self._at_input(logits)]).sum(0))
        likeness = consistency(tracks.embeddings[:, -settings.history :], embeddings)
        threshold = settings.consistency * (0.5 if clip.span.start < len(clip.frames) else 1)
        believed = likeness > threshold
        if settings.competition is not None and believed.any():
            weights = tracks.class_scores().amax(1) * likeness * quality
            believed &= holds_its_ground(self._at_input(logits), weights, settings.competition)
        rows = believed.nonzero()[:, 0].tolist()
        tracks.confirm(rows, clip.indices, logits[rows], quality[rows])
        tracks.refresh_embeddings(rows, embeddings[rows])

    def discover(self, clip: EncodedClip, found: Detections) -> None:
        """Sort what the learnable queries found into known entities and new ones."""
        tracks, settings = self.tracks, self._settings
        if not len(tracks):
            first = self._first_filter
            found = first(found, self._classes.things) if isinstance(first, PanopticFilter) else first(found)
            self._add(clip, found.take(found.best > max(settings.class_score, settings.least_score)))
            return
        if self._later_filter is not None:
            found = self._later_filter(found)
        pairs = assign(bisoftmax(tracks.embeddings[:, -CARRIED:], found.embeddings), settings.match)
        rows, matched = [row for row, _, _ in pairs], [index for _, index, _ in pairs]
        tracks.refresh_scores(rows, found.scores[matched])
        tracks.refresh_embeddings(rows, found.embeddings[matched])
        strong = [
            (row, index) for row, index, similarity in pairs if similarity > settings.strong_factor * settings.match
        ]
        rows, matched = [row for row, _ in strong], [index for _, index in strong]
        strongly = found.take(torch.tensor(matched, dtype=torch.long, device=found.scores.device))
        tracks.confirm(rows, clip.indices, strongly.logits, strongly.quality)
        new = found.best > settings.later_factor * settings.class_score
        new[matched] = False
        found = found.take(new)
        if len(found):
            met = [
                mask_iou(found.masks(place), resettled(tracks.logits[index]) > 0).amax(1)
                for place, index in enumerate(clip.indices)
            ]
            self._add(clip, found.take(torch.stack(met).amax(0) < settings.new_overlap))

    def _add(self, clip: EncodedClip, found: Detections) -> None:
        self.tracks.add(clip.indices, found.scores, found.embeddings, found.logits, found.quality)
        self._memory.add([clip.span.start] * len(found))

    def _decode(self, clip: EncodedClip, learnable: bool) -> Prediction:
        """Prediction of the clip, learnable rows (where wanted) before those of the entities."""
        prompts = None
        if len(self.tracks):
            self._memory.enter(self._model, clip, StoredMasks(self.tracks))
            prompts = self._memory.queries(self._model, clip)
        request = DecodeRequest(
            prompts,
            learnable=learnable,
            clip_length=len(clip.frames),
            class_embeddings=self._classes.embeddings if learnable else None,
            self_attention=self._settings.self_attention,
        )
        return self._model.decode([frame.inputs for frame in clip.frames], request)

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
