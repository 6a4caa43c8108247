"""What training clips hand to those that make their scenes, and what is done to the frames of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")

from tests.data.disc_scenes import empty, pool  # noqa: E402
from univs.data import build_clips, clips  # noqa: E402
from univs.data.clips import ClipSettings, TrainingClips, VideoSource  # noqa: E402
from univs.errors import UserError  # noqa: E402


def test_scenes_are_told_of_the_photos_and_of_how_many_show_all_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(clips, "static_scene", lambda photos, rng, frames, size, whole: told.append((photos, whole)))
    monkeypatch.setattr(clips, "video_scene", lambda *given, gaps, pool: told.append(pool))
    photos = pool()
    settings = ClipSettings({"photo": 1.0, "video": 1.0}, composite_share=0.0, whole_share=0.4)
    made = TrainingClips(settings, photos=photos, videos=[VideoSource([object()])])  # type: ignore[list-item]
    for kind in ("photo", "video"):
        made.scene(kind, np.random.default_rng(0), 64, 0)
    assert told == [(photos, 0.4), photos], "look-alikes of a video are cut out of photos"


def test_colours_of_clips_are_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = empty(2)
    scene.labels[:, 20:60, 20:60] = 4
    scene.frames[:] = 30
    monkeypatch.setattr(clips, "video_scene", lambda *given, gaps, pool: scene)
    monkeypatch.setattr(clips, "degrade", lambda frames, rng: 255 - frames)
    made = TrainingClips(ClipSettings({"video": 1.0}), videos=[VideoSource([object()])])  # type: ignore[list-item]
    assert (made[0].frames == 225).all() and made[0].complete


def test_videos_of_a_folder_are_those_of_the_list_and_complete_where_it_is_said(
    video_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "some.txt").write_text("walk\n")
    source = {"kind": "videos", "root": str(video_folder)}
    for given, names, complete in (
        ({}, ["davis/ball", "davis/walk"], False),
        ({"complete": True, "image_set": str(tmp_path / "some.txt")}, ["davis/walk"], True),
    ):
        made = build_clips([{**source, **given}], {"video": 1}, frames=2, size=32)
        assert [video.name for video in made.videos[0].sequences] == names  # type: ignore[attr-defined]
        assert {made[index].complete for index in range(4)} == {complete}
    with pytest.raises(UserError, match="no sequence left"):
        build_clips([{**source, "exclude": ["walk", "ball"]}], {"video": 1})
