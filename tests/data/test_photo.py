"""Decoded photos in memory."""

from __future__ import annotations

from pathlib import Path

from univs.data.photo import CachedPhotos
from univs.data.sources import open_masks


def test_cache_is_bounded(photo_folder: Path) -> None:
    source = open_masks(photo_folder)
    cached = CachedPhotos(source, capacity=2 * source[0].nbytes)
    first, second = cached[0], cached[1]
    assert cached[0] is first
    assert cached[2].name == "cats/p2.jpg"
    assert cached[0] is first and cached[1] is not second, "the least recently used photo went"
