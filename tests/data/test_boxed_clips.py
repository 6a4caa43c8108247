"""Training clips of which boxes are known, alone and beside clips with masks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("cv2")

from tests.formats.box_folders import write_coco, write_csv, write_mot, write_ytvis  # noqa: E402
from univs.data import build_clips, clips, collate_clips  # noqa: E402
from univs.data.box_scenes import BoxScene  # noqa: E402
from univs.data.clips import (  # noqa: E402
    BoxSource,
    ClipSettings,
    GapGrowth,
    PromptDraws,
    TrainingClip,
    TrainingClips,
    VideoSource,
)
from univs.data.prompt_drawing import KINDS  # noqa: E402
from univs.data.set_clips import SetClipSettings, build_set_clips  # noqa: E402
from univs.data.synth import SynthVS  # noqa: E402
from univs.errors import UserError  # noqa: E402

SIZE = {"frames": 2, "size": 32}


@pytest.fixture
def sources(tmp_path: Path) -> list[dict[str, Any]]:
    """All kinds of sources of boxes; the masks in two of them cannot be read."""
    write_mot(tmp_path / "mot")
    write_csv(tmp_path / "csv")
    write_coco(tmp_path / "coco", masks=True)
    write_ytvis(tmp_path / "ytvis", masks=True)
    return [
        {"kind": "mot", "root": str(tmp_path / "mot")},
        {"kind": "csv", "root": str(tmp_path / "csv"), "weight": 2},
        {"kind": "coco_boxes", "root": str(tmp_path / "coco")},
        {"kind": "set", "name": "ytvis21", "root": str(tmp_path / "ytvis"), "gaps": [1, 1]},
    ]


def test_boxes_alone_are_all_that_is_read(sources: list[dict[str, Any]]) -> None:
    """A run of boxes opens a COCO folder without its masks, and every clip of every source has boxes and no labels."""
    sources[2]["kind"] = "coco"
    made = build_clips(sources, {"photo": 1, "video": 3}, supervision="boxes", **SIZE)
    assert made.known == "boxes"
    counts = [(count.sort, count.count) for count in made.counts]
    assert counts == [("video", 2), ("video", 1), ("photo", 2), ("video", 1)]
    kinds = Counter()
    for index in range(40):
        clip = made[index]
        kinds[clip.kind] += 1
        assert clip.boxes is not None and clip.boxes.shape[1:] == (2, 4) and (clip.labels == 255).all()
        assert clip.targets and all(clip.boxes[number - 1, 0].any() for number in clip.targets)
        prompts = [clip.first, *clip.anew]
        assert {KINDS[kind] for one in prompts for kind in one.kinds[one.ids > 0]} <= {"box", "point"}
        assert set(clip.first.ids[clip.first.ids > 0]) == set(clip.targets)
    assert set(kinds) == {"photo", "video"} and kinds["video"] > kinds["photo"]
    one, other = made[3], build_clips(sources, {"photo": 1, "video": 3}, supervision="boxes", **SIZE)[3]
    assert one.boxes is not None and other.boxes is not None
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.frames, other.frames)


def test_time_runs_backwards_for_frames_and_boxes_alike(sources: list[dict[str, Any]], monkeypatch: Any) -> None:
    """Object 1 of the MOT sequences moves right: in mirrored clips, or backwards, left."""
    monkeypatch.setattr(clips, "degrade", lambda frames, rng: frames)
    made = build_clips(sources[:1], {"video": 1}, frames=4, size=32)
    plain = clips.box_scene
    scenes: list[Any] = []

    def keep(*arguments: Any, **named: Any) -> Any:
        scenes.append(plain(*arguments, **named))
        scenes[-1].given = scenes[-1].frames.copy(), scenes[-1].boxes.copy()
        return scenes[-1]

    monkeypatch.setattr(clips, "box_scene", keep)
    backwards = 0
    for index in range(20):
        clip = made[index]
        frames, boxes = scenes[-1].given
        turned = not np.array_equal(clip.frames, frames)
        backwards += turned
        np.testing.assert_array_equal(clip.frames, frames[::-1] if turned else frames)
        np.testing.assert_array_equal(clip.boxes, boxes[:, ::-1] if turned else boxes)
    assert 4 < backwards < 16


def test_both_kinds_in_one_batch(sources: list[dict[str, Any]]) -> None:
    """Each source by its own supervision; those of boxes alone need not say it."""
    world = SynthVS("train", (40, 60), 3, seed=1)
    made = build_clips(sources[:1], {"video": 1, "synth": 1}, extra={"synth": world}, **SIZE)
    assert made.known == "either" and made.changed(seed=3).known == "either"
    drawn = [made[index] for index in range(12)]
    boxed = [clip.boxes is not None for clip in drawn]
    assert [clip.kind == "video" for clip in drawn] == boxed and {True, False} == set(boxed)
    batch = collate_clips(drawn)
    assert batch["boxed"].tolist() == boxed and batch["boxes"].shape[:1] == (12,) and batch["boxes"].shape[2:] == (2, 4)
    for row, clip in enumerate(drawn):
        wanted = torch.zeros(batch["boxes"].shape[1:])
        if clip.boxes is not None:
            wanted[: len(clip.boxes)] = torch.from_numpy(clip.boxes)
            listed = batch["anew"]["objects"][row]  # on the first frame
            areas = (wanted[:, 0, 2:] - wanted[:, 0, :2]).prod(1)
            assert sorted(set(listed.tolist()) - {0}) == [n + 1 for n, area in enumerate(areas) if area >= 64]
        assert torch.equal(batch["boxes"][row], wanted)
    masks = [clip for clip in drawn if clip.boxes is None]
    assert "boxes" not in collate_clips(masks)
    by_box = build_clips([], {"synth": 1}, extra={"synth": world}, supervision="boxes", **SIZE)
    assert by_box.known == "boxes" and by_box[0].boxes is not None
    assert build_clips([], {"synth": 1}, extra={"synth": world}, **SIZE).known == "masks"


def test_boxes_and_masks_are_drawn_by_the_weights_of_their_sources(sources: list[dict[str, Any]], photos: Path) -> None:
    """Photos with masks weigh 1, those with boxes 3."""
    described = [{"kind": "photos", "root": str(photos)}, {**sources[2], "weight": 3}]
    made = build_clips(described, {"photo": 1}, **SIZE)
    share = np.mean([made[index].boxes is not None for index in range(160)])
    assert abs(share - 0.75) < 0.12


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    from PIL import Image

    for kind in ("images", "masks"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        mask = np.zeros((64, 80), np.uint8)
        mask[16:48, 20:60] = 255
        Image.fromarray(mask).save(tmp_path / "photos" / kind / "a.png")
    return tmp_path / "photos"


def test_a_source_may_say_boxes_itself(photos: Path) -> None:
    """Boxes of photos with masks are those of their masks."""
    made = build_clips([{"kind": "photos", "root": str(photos), "supervision": "boxes"}], {"photo": 1}, **SIZE)
    clip: TrainingClip = made[0]
    assert made.known == "boxes" and clip.boxes is not None and len(clip.boxes) == 1


def test_boxes_where_masks_are_needed(sources: list[dict[str, Any]], photos: Path) -> None:
    with pytest.raises(UserError, match=r"data.sources.0.supervision=masks: the kind mot has boxes alone"):
        build_clips([{**sources[0], "supervision": "masks"}], {"video": 1})
    with pytest.raises(UserError, match="supervision must be"):
        build_clips([{**sources[0], "supervision": "points"}], {"video": 1})
    by_box = {"kind": "photos", "root": str(photos), "supervision": "boxes"}
    with pytest.raises(UserError, match="data.sources.0: boxes are for the stages image, clip and long"):
        build_set_clips([by_box], SetClipSettings(1, 32, 2, 1))
    with pytest.raises(UserError, match="unknown kind"):
        build_set_clips(sources[:1], SetClipSettings(1, 32, 2, 1))


def test_prompts_that_take_masks_are_given_as_boxes(sources: list[dict[str, Any]]) -> None:
    draws = PromptDraws({"mask": 1.0}, {"scribble": 1.0})
    clip = build_clips(sources[:1], {"video": 1}, prompts=draws, **SIZE)[0]
    assert {KINDS[kind] for one in (clip.first, *clip.anew) for kind in one.kinds[one.ids > 0]} == {"box"}


def test_prompts_and_lists_of_later_frames_are_of_what_is_seen_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Object 1 is seen on the first frame alone, 2 on the last one, 3 moves: forwards and backwards."""
    boxes = np.zeros((3, 3, 4), np.float32)
    boxes[0, 0], boxes[1, 2] = (2, 4, 30, 40), (30, 20, 60, 60)
    boxes[2] = [(10 + 10 * t, 10, 30 + 10 * t, 20) for t in range(3)]
    monkeypatch.setattr(
        clips, "box_scene", lambda *given, gaps: BoxScene(np.zeros((3, 64, 64, 3), np.uint8), boxes.copy(), True)
    )
    draws = PromptDraws({"point": 1.0}, {"box": 1.0}, frames=2, objects=4)
    settings = ClipSettings({"video": 1.0}, frames=3, size=64, max_objects=2, prompts=draws)
    made = TrainingClips(settings, boxes=[BoxSource([object()], "video")])  # type: ignore[arg-type]
    first_seen = set()
    for index in range(12):
        clip = made[index]
        assert clip.boxes is not None and len(clip.first.ids) == 2
        listed = collate_clips([clip])["anew"]["objects"].tolist()
        for row, (prompts, time) in enumerate(zip(clip.anew, (0, 2), strict=True)):
            there = [number for number in (1, 2, 3) if clip.boxes[number - 1, time].any()]
            assert sorted(prompts.ids.tolist()) == [0, 0, *there] and [i for i in listed[row] if i] == there
            assert (prompts.kinds[prompts.ids > 0] == KINDS.index("box")).all()
            for number, box in zip(prompts.ids, prompts.boxes, strict=True):
                true = clip.boxes[number - 1, time]
                assert number == 0 or np.abs(box - true).max() <= 0.081 * np.ptp(true.reshape(2, 2), axis=0).max()
        assert (clip.first.kinds[clip.first.ids > 0] == KINDS.index("point")).all()
        first_seen |= {number for number in (1, 2) if clip.boxes[number - 1, 0].any()}
    assert first_seen == {1, 2}, "both directions of time"


def test_colours_of_boxed_clips_are_changed_too(sources: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    made = build_clips(sources[:1], {"video": 1}, **SIZE)
    monkeypatch.setattr(clips, "degrade", lambda frames, rng: np.ascontiguousarray(frames))
    plain = made[0].frames
    monkeypatch.setattr(clips, "degrade", lambda frames, rng: 255 - frames)
    np.testing.assert_array_equal(made[0].frames, 255 - plain)


def test_videos_with_masks_are_drawn_beside_those_with_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the weights of the sources; frames of boxed videos lie farther apart as a run goes on."""
    gaps_of_boxes: list[tuple[int, int]] = []
    some: Any = [object()]
    monkeypatch.setattr(clips, "box_scene", lambda *given, gaps: gaps_of_boxes.append(gaps))
    monkeypatch.setattr(clips, "video_scene", lambda *given, gaps, pool: None)
    made = TrainingClips(
        ClipSettings({"video": 1.0}, growth=GapGrowth(((0, 1), (0.4, 5)), 1000)),
        videos=[VideoSource(some, 3.0)],
        boxes=[BoxSource(some, "video", 1.0, (1, 4)), BoxSource(some, "photo", 9.0)],
    )
    rng = np.random.default_rng(0)
    for index in [0] * 200 + [450] * 200:
        made.scene("video", rng, 64, index)
    assert abs(len(gaps_of_boxes) / 400 - 0.25) < 0.07
    assert gaps_of_boxes == sorted(gaps_of_boxes) and set(gaps_of_boxes) == {(1, 4), (1, 20)}


def test_settings_of_sources_reach_their_clips(sources: list[dict[str, Any]]) -> None:
    """Gaps, weights, what is held out, and whether all objects have a box."""
    opened = build_clips(sources, {"photo": 1, "video": 1}, supervision="boxes").boxes
    assert [(one.sort, one.weight, tuple(one.gaps)) for one in opened] == [
        ("video", 1, (1, 2)), ("video", 2, (1, 2)), ("photo", 1, (1, 2)), ("video", 1, (1, 1))
    ]  # fmt: skip
    kept = [{**sources[0], "exclude": ["one"]}, {**sources[2], "exclude": ["0.png"]}]
    assert [one.count for one in build_clips(kept, {"photo": 1, "video": 1}).counts] == [1, 1]
    with pytest.raises(UserError, match="no video left"):
        build_clips([{**sources[1], "exclude": ["cat"]}], {"video": 1})
    for place, kind in ((0, "video"), (1, "video"), (2, "photo")):
        for complete in (False, True):
            made = build_clips([{**sources[place], "complete": complete}], {kind: 1}, **SIZE)
            drawn = [made[index].complete for index in range(8)]
            assert any(drawn) == complete and (all(drawn) == complete or kind == "photo"), "one photo has a crowd"


def test_worlds_stay_without_masks_under_other_settings() -> None:
    world = SynthVS("train", (40, 60), 3, seed=1)
    made = build_clips([], {"synth": 1}, extra={"synth": world}, supervision="boxes", **SIZE).changed(seed=3)
    assert made.known == "boxes" and made[0].boxes is not None
