"""Readers of labelled images and videos, and the training clips made of them."""

from __future__ import annotations

from univs.data.sample import IGNORE, VideoSample

__all__ = ["IGNORE", "VideoSample"]
