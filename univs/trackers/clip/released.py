"""UniVS clip by clip with the numbers it was released with: who answers each task, by which settings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from univs.masks.suppression import Rule
from univs.models.text_encoder import TextEncoder
from univs.models.univs import UniVS
from univs.prompts import Categories
from univs.settings import Count
from univs.trackers.classes import EVERYTHING, THINGS, Classes, Words, classes_of
from univs.trackers.clip.entities import EntitySettings, EntityTracker
from univs.trackers.clip.instances import InstanceOutput
from univs.trackers.clip.memory import ClipMemory, InitialQuery, MemoryEncoding
from univs.trackers.clip.panoptic import PanopticOutput
from univs.trackers.clip.prompt_streams import TextStream, VisualStream
from univs.trackers.clip.prompted import ClipSettings, ClipTracker
from univs.trackers.clip.stuff_objects import StuffObjects
from univs.trackers.detections import Filter, PanopticFilter
from univs.trackers.tracker import Question
from univs.vocabularies import vocabulary

VIPSEG = Categories(vocabulary("vipseg").names, vocabulary("vipseg").things)
"""What an object may be if nobody says."""
SUPPRESSION: Rule = "any_better"


@dataclass(frozen=True)
class ShownSettings:
    """Objects that visual prompts show.

    initial_query, memory_encoding: of `ClipMemory`. token_width: R, prompt tokens of one frame. token_frames: of how
    many of the last frames tokens and embeddings are kept; at least those of a clip.
    """

    tracking: ClipSettings = ClipSettings()
    initial_query: InitialQuery = "frame"
    memory_encoding: MemoryEncoding = "next_clip"
    token_width: Count = 256
    token_frames: Count = 5


@dataclass(frozen=True)
class NamedSettings:
    """The same for things and stuff. classes: what an object may be; None: those of VIPSeg."""

    shown: ShownSettings = ShownSettings()
    classes: Categories | None = None
    words: Words = Words()


@dataclass(frozen=True)
class DescribedSettings:
    """Objects that expressions describe; they may overlap.

    token_frames: of how many of the last frames embeddings are kept; at least those of a clip. text_encoder: of the
    expressions; None: the one that the model was trained with. clean_texts: whether expressions are cleaned as in the
    released training.
    """

    tracking: ClipSettings = ClipSettings(compete=False, self_attention="sep-blocked", grounding_blend="best_learnable")
    token_frames: Count = 5
    text_encoder: TextEncoder | None = None
    clean_texts: bool = True


@dataclass(frozen=True)
class InstanceSettings:
    """Instances of the categories. filter: which detections are looked at; also, at least `most` rows come out."""

    words: Words = Words()
    entities: EntitySettings = EntitySettings(least_score=0.1, strong_factor=2.0, competition=0.5)
    filter: Filter = Filter(stability=0.25, most=35, box_overlap=0.85, suppression=SUPPRESSION)


@dataclass(frozen=True)
class SegmentSettings:
    """Panoptic segments of the categories.

    filter: which detections are looked at while nothing is known. overlap: share of its pixels that a thing must win to
    be shown; half of that for one that was shown before. stuff_weight: what the score of stuff is multiplied by.
    """

    words: Words = Words()
    entities: EntitySettings = EntitySettings(
        token_width=64, class_score=0.15, later_factor=2.0, match=0.05, consistency=0.05
    )
    filter: PanopticFilter = PanopticFilter(suppression=SUPPRESSION)
    overlap: float = 0.6
    stuff_weight: float = 0.75


def follow_shown(
    model: UniVS, question: Question, settings: ShownSettings, stuff: StuffObjects | None = None
) -> ClipTracker:
    """Who follows objects that visual prompts show (VOS); stuff: which of them are stuff."""
    clips = settings.tracking.clips
    memory = ClipMemory(
        settings.token_width,
        settings.token_frames,
        clip_length=clips.clip_length,
        clip_stride=clips.clip_stride,
        origin=0,
        initial_query=settings.initial_query,
        memory_encoding=settings.memory_encoding,
    )
    stream = VisualStream(model, question.geometry, memory)
    return ClipTracker(model, question, stream, settings.tracking, history=memory.recent, stuff=stuff)


def follow_named(model: UniVS, question: Question, settings: NamedSettings) -> ClipTracker:
    """The same, where words said about an object are the name of its class (PVOS)."""

    def load_classes() -> Classes:
        return classes_of(model, settings.classes or VIPSEG, settings.words)

    return follow_shown(model, question, settings.shown, StuffObjects(load_classes, question.geometry))


def follow_described(model: UniVS, question: Question, settings: DescribedSettings) -> ClipTracker:
    """Who follows objects that expressions describe (RefVOS); nobody is asked for before its words come."""
    stream = TextStream(model, settings.text_encoder, clean=settings.clean_texts)
    history = max(settings.token_frames, settings.tracking.clips.clip_length)
    return ClipTracker(model, replace(question, expected_ids=()), stream, settings.tracking, history=history)


def find_instances(model: UniVS, question: Question, settings: InstanceSettings) -> EntityTracker:
    """Who finds and follows instances of the categories (VIS)."""
    classes = classes_of(model, question.categories or THINGS, settings.words)
    entities, look = settings.entities, settings.filter
    output = InstanceOutput(classes, question.geometry, entities.windows(), look.most)
    return EntityTracker(
        model, question.geometry, classes, entities, first_filter=look, later_filter=look, output=output
    )


def find_segments(model: UniVS, question: Question, settings: SegmentSettings) -> EntityTracker:
    """Who finds and follows everything of the categories, things and stuff (VPS)."""
    classes = classes_of(model, question.categories or EVERYTHING, settings.words)
    entities = settings.entities
    output = PanopticOutput(classes, question.geometry, entities.windows(), settings.overlap, settings.stuff_weight)
    return EntityTracker(
        model, question.geometry, classes, entities, first_filter=settings.filter, later_filter=None, output=output
    )
