"""The streaming loop: a session that answers a video frame by frame in constant memory."""

from __future__ import annotations

from univs.streaming.session import Session, segment

__all__ = ["Session", "segment"]
