"""The prompt-guided tasks by the released settings of UniVS: who answers them, with each choice as a named option."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from univs.models.text_encoder import TextEncoder
from univs.models.univs import UniVS
from univs.prompts import Categories
from univs.settings import Count
from univs.streaming.asking import TextAsker, VisualAsker
from univs.streaming.classes import Classes, classes_of
from univs.streaming.clip_follower import ClipFollower, Rules
from univs.streaming.clip_memory import ClipMemory
from univs.streaming.geometry import Geometry
from univs.streaming.stuff_objects import StuffObjects
from univs.vocabularies import vocabulary

VIPSEG = Categories(vocabulary("vipseg").names, vocabulary("vipseg").things)
"""What an object may be if nobody says."""


def follow_shown(
    model: UniVS,
    geometry: Geometry,
    *,
    clip_length: int = 5,
    clip_stride: int = 1,
    initial_query: str = "frame",
    memory_encoding: str = "next_clip",
    self_attention: str = "sep",
    token_width: int = 256,
    token_frames: Count = 5,
    consistency: float = 0.5,
    expected_ids: Sequence[int] = (),
    stuff: StuffObjects | None = None,
) -> ClipFollower:
    """Objects that visual prompts show.

    Args:
        initial_query, memory_encoding: of `ClipMemory`.
        self_attention: which queries see each other in the decoder (`UniVS.decode`).
        token_width: R, prompt tokens of one frame.
        token_frames: of how many of the last frames tokens and embeddings are kept; at least those of a clip.
        consistency: similarity to an object's past from which a prediction of it is believed.
        expected_ids, stuff: of `ClipFollower`.
    """
    memory = ClipMemory(
        token_width,
        token_frames,
        clip_length=clip_length,
        clip_stride=clip_stride,
        origin=0,
        initial_query=initial_query,
        memory_encoding=memory_encoding,
    )
    return ClipFollower(
        model,
        geometry,
        VisualAsker(model, geometry, memory),
        Rules(consistency=consistency),
        clip_stride=clip_stride,
        history=memory.recent,
        self_attention=self_attention,
        expected_ids=expected_ids,
        stuff=stuff,
    )


def follow_named(
    model: UniVS,
    geometry: Geometry,
    *,
    classes: Categories | None = None,
    class_embeddings: Tensor | None = None,
    text_encoder: TextEncoder | None = None,
    clip_length: int = 5,
    clip_stride: int = 1,
    initial_query: str = "frame",
    memory_encoding: str = "next_clip",
    self_attention: str = "sep",
    token_width: int = 256,
    token_frames: Count = 5,
    consistency: float = 0.5,
    expected_ids: Sequence[int] = (),
) -> ClipFollower:
    """Objects that visual prompts show, things and stuff; words said about an object are the name of its class.

    Args:
        classes: what an object may be; None: those of VIPSeg.
        class_embeddings: K D of the classes; None: the text encoder makes them.
        text_encoder: None: the one that the model was trained with.
        clip_length ... expected_ids: as in `follow_shown`.
    """

    def load_classes() -> Classes:
        return classes_of(model, classes or VIPSEG, class_embeddings, text_encoder)

    return follow_shown(
        model,
        geometry,
        clip_length=clip_length,
        clip_stride=clip_stride,
        initial_query=initial_query,
        memory_encoding=memory_encoding,
        self_attention=self_attention,
        token_width=token_width,
        token_frames=token_frames,
        consistency=consistency,
        expected_ids=expected_ids,
        stuff=StuffObjects(load_classes, geometry),
    )


def follow_described(
    model: UniVS,
    geometry: Geometry,
    *,
    clip_length: int = 5,
    clip_stride: int = 1,
    self_attention: str = "sep-blocked",
    grounding_blend: str = "best_learnable",
    token_frames: Count = 5,
    consistency: float = 0.5,
    text_encoder: TextEncoder | None = None,
    clean_texts: bool = True,
) -> ClipFollower:
    """Objects that expressions describe; they may overlap.

    Args:
        self_attention, grounding_blend: of the decoder (`UniVS.decode`).
        token_frames: of how many of the last frames embeddings are kept; at least those of a clip.
        consistency: as in `follow_shown`.
        text_encoder: of the expressions; None: the one that the model was trained with.
        clean_texts: whether expressions are cleaned as in official training.
    """
    return ClipFollower(
        model,
        geometry,
        TextAsker(model, text_encoder, clean=clean_texts),
        Rules(consistency=consistency, compete=False),
        clip_stride=clip_stride,
        history=max(token_frames, clip_length),
        self_attention=self_attention,
        grounding_blend=grounding_blend,
    )
