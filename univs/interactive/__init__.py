"""Modular interactive segmentation (MiVOS): masks made on some frames are carried through the video, and fused.

`Session` is imported when first used, since torch takes its time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from univs.interactive.session import Session as Session

__all__ = ["Session"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'univs.interactive' has no attribute {name!r}")
    return getattr(import_module("univs.interactive.session"), name)
