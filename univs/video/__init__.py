"""Frames in and out, one at a time: RGB uint8 H x W x 3, never a whole video in memory."""

from __future__ import annotations

from univs.video.pictures import read_rgb
from univs.video.reader import VideoReader
from univs.video.sources import Source, open_video
from univs.video.writer import VideoWriter

__all__ = ["Source", "VideoReader", "VideoWriter", "open_video", "read_rgb"]
