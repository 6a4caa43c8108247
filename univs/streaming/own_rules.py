"""Expressions by our own rules: who answers them, with each choice as a named option."""

from __future__ import annotations

from univs.models.text_encoder import TextEncoder
from univs.models.univs import UniVS
from univs.settings import Count, CountFromZero
from univs.streaming.described_follower import AskRules, DescribedFollower
from univs.streaming.frame_follower import FrameFollower
from univs.streaming.geometry import Geometry


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
) -> DescribedFollower:
    """Objects that expressions describe; they may overlap.

    Args:
        clip_length ... dense_interval: of who follows an object (`FrameFollower`).
        ask_interval, confidence, margin, overlap, patience: when an expression's own answer is believed (`AskRules`).
        text_encoder: of the expressions; None: the one that the model was trained with.
    """

    def make_follower() -> FrameFollower:
        return FrameFollower(
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
    return DescribedFollower(model, geometry, make_follower, rules, text_encoder)
