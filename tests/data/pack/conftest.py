"""Sources of every kind of clip, and what they are packed to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cv2")

from univs.data.clips import READERS  # noqa: E402
from univs.data.pack.contents import LARGEST_SIDE  # noqa: E402
from univs.data.pack.writing import Packed, with_longest, write_pack  # noqa: E402
from univs.data.source_settings import open_sources  # noqa: E402

Sources = list[dict[str, Any]]


@pytest.fixture
def sources(photo_folder: Path, coco_folder: Path, video_folder: Path) -> Sources:
    """Photos, COCO images (one excluded) and videos, each with a weight."""
    return [
        {"kind": "photos", "root": photo_folder, "category": "cat", "weight": 0.5},
        {"kind": "coco", "root": coco_folder, "weight": 2, "exclude": ["coco/2.jpg"]},
        {"kind": "videos", "root": video_folder, "gaps": [1, 3], "complete": True},
        {"kind": "videos", "root": video_folder, "exclude": ["walk"], "weight": 0.1},
    ]


@pytest.fixture
def pack_of(tmp_path: Path) -> Callable[..., tuple[Path, Packed]]:
    """A function that packs sources of clips to `NAME.zip`."""

    def pack(sources: Sequence[Any], name: str = "pack", **options: Any) -> tuple[Path, Packed]:
        path = tmp_path / f"{name}.zip"
        lowered = with_longest(sources, READERS, options.get("longest", LARGEST_SIDE))
        options = {"probabilities": {"photo": 0.5, "video": 0.5}, "synth": {}, **options}
        return path, write_pack(path, "clips", open_sources(lowered, READERS), **options)

    return pack
