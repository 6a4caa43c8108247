"""The streaming loop: a session that answers a video frame by frame in constant memory.

Imported when first used, since what may be asked (`univs.streaming.tasks`) is checked before torch is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from univs.streaming.session import Session as Session
    from univs.streaming.session import segment as segment

__all__ = ["Session", "segment"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'univs.streaming' has no attribute {name!r}")
    return getattr(import_module("univs.streaming.session"), name)
