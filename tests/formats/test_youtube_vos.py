"""YouTube-VOS: what is written comes back, and what the real download does."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from univs.errors import UserError
from univs.evaluation.metrics.youtube_vos import score
from univs.formats import read_set
from univs.formats.sample import VideoSample
from univs.formats.youtube_vos import write
from univs.video.pictures import write_picture


def late_clip(clip: VideoSample) -> tuple[VideoSample, int]:
    """The clip with one object that is not seen before frame 2; and its id."""
    late = clip.object_ids(2)[-1]
    labels = clip.labels.copy()
    labels[:2][labels[:2] == late] = 0
    return VideoSample(clip.frames, labels, clip.categories, name=clip.name), late


@pytest.mark.parametrize("name", ["ytvos18", "ytvos19"])
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_masks_and_names_come_back(name: str, split: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, split, name=name)
    found = pickle.loads(pickle.dumps(read_set(name, tmp_path, split)))
    for clip, recording in zip(synth_clips, found.recordings, strict=True):
        assert (recording.name, len(recording), recording.wanted) == (clip.name, 5, None)
        assert [path.stem for path in recording.frames] == ["00000", "00005", "00010", "00015", "00020"]
        np.testing.assert_array_equal(recording.sample().labels, clip.labels)
        assert recording.categories == {i: clip.categories[i] for i in clip.object_ids()}
        assert recording.shown == {i: min(t for t in range(5) if i in clip.object_ids(t)) for i in clip.object_ids()}


def test_valid_without_truth_has_new_objects_alone(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    clip, late = late_clip(synth_clips[0])
    write([clip], tmp_path, "valid", name="ytvos19")
    (tmp_path / "valid" / "Annotations_gt").rename(tmp_path / "elsewhere")
    meta = tmp_path / "valid" / "meta.json"
    content = json.loads(meta.read_text())
    for thing in content["videos"][clip.name]["objects"].values():
        del thing["category"]
    meta.write_text(json.dumps(content))
    recording = read_set("ytvos19", tmp_path).recordings[0]
    assert recording.annotated == (0, 2) and recording.shown[late] == 2 and not recording.categories
    first, second = recording.labels_of(0), recording.labels_of(2)
    assert first is not None and second is not None
    np.testing.assert_array_equal(first.objects, clip.labels[0])
    np.testing.assert_array_equal(second.objects, np.where(clip.labels[2] == late, late, 0))


def test_all_frames_are_taken_where_they_are(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    clip, late = late_clip(synth_clips[0])
    write([clip], tmp_path, "valid", name="ytvos18")
    for number in range(23):
        write_picture(tmp_path / "valid_all_frames" / "JPEGImages" / clip.name / f"{number:05d}.jpg", clip.frames[0])
    recording = read_set("ytvos18", tmp_path).recordings[0]
    assert len(recording) == 23 and recording.shown[late] == 10
    assert recording.wanted == recording.annotated == (0, 5, 10, 15, 20)
    truth = recording.labels_of(15)
    assert truth is not None and recording.labels_of(14) is None
    np.testing.assert_array_equal(truth.objects, clip.labels[3])


def test_an_object_begins_on_the_frame_of_the_least_number(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    """Names that are not padded: 5 comes before 10."""
    clip, late = late_clip(synth_clips[0])
    write([clip], tmp_path, "train", name="ytvos19")
    for path in tmp_path.rglob("0*.*"):
        path.rename(path.with_name(f"{int(path.stem)}{path.suffix}"))
    meta = tmp_path / "train" / "meta.json"
    content = json.loads(meta.read_text())
    for thing in content["videos"][clip.name]["objects"].values():
        thing["frames"] = [str(int(frame)) for frame in thing["frames"] if frame != "00000"]
    meta.write_text(json.dumps(content))
    recording = read_set("ytvos19", tmp_path, "train").recordings[0]
    assert recording.shown == {number: 2 if number == late else 1 for number in clip.object_ids()}
    np.testing.assert_array_equal(recording.sample().labels, clip.labels)


def test_the_truth_scores_full_marks(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, "valid", name="ytvos19")
    assert score(tmp_path, tmp_path / "valid" / "Annotations_gt").summary["G"] == 1
    named = json.loads((tmp_path / "seen_categories.json").read_text())
    nouns = {noun for clip in synth_clips for noun in clip.categories.values()}
    assert (
        sorted(named["seen"] + named["unseen"]) == sorted(nouns) and 0 <= len(named["seen"]) - len(named["unseen"]) <= 1
    )


@pytest.mark.conformance
def test_the_golden_case_is_read(conformance: Path, tmp_path: Path) -> None:
    """Its layout is the official one with the truth; it has no frames, so black ones are put beside the labels."""
    case = conformance / "metrics" / "youtube_vos" / "basic"
    (tmp_path / "valid").mkdir()
    for part in ("Annotations", "Annotations_gt", "meta.json"):
        (tmp_path / "valid" / part).symlink_to(case / "valid" / part)
    for mask in case.glob("valid/Annotations_gt/*/*.png"):
        write_picture(
            tmp_path / "valid" / "JPEGImages" / mask.parent.name / f"{mask.stem}.jpg", np.zeros((9, 9, 3), np.uint8)
        )
    second = read_set("ytvos18", tmp_path).recordings[1]
    assert second.shown == {1: 0, 2: 0, 3: 2} and second.annotated == tuple(range(7))
    assert second.categories == {1: "dog", 2: "bull_fighter", 3: "dog"}


def test_what_is_missing_is_named(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder .*valid"):
        read_set("ytvos18", tmp_path)
    write(synth_clips, tmp_path, "train", name="ytvos18")
    video = tmp_path / "train" / "JPEGImages" / synth_clips[0].name
    video.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=f"no folder .*{synth_clips[0].name}"):
        read_set("ytvos18", tmp_path, "train").recordings[0]
    (tmp_path / "elsewhere").rename(video)
    for path in (tmp_path / "train" / "Annotations" / synth_clips[0].name).glob("00000.png"):
        path.unlink()
    with pytest.raises(UserError, match="no label map of frame 00000"):
        read_set("ytvos18", tmp_path, "train").recordings[0]
    (tmp_path / "train" / "meta.json").write_text('{"videos": {"a": []}}')
    with pytest.raises(UserError, match=r"meta\.json does not hold what was expected"):
        read_set("ytvos18", tmp_path, "train")
