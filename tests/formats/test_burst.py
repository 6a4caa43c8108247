"""BURST: what is written comes back and can be scored by both tasks, and what the real files do."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.conftest import change
from univs.errors import UserError
from univs.evaluation.metrics.burst import score
from univs.formats import read_set
from univs.formats.burst import GivenTracks, write
from univs.formats.sample import VideoSample
from univs.results import FrameResult, encode_rle
from univs.vocabularies.tao import tao_distractors, tao_names

FILE = "annotations/val/all_classes.json"


def first_seen(clip: VideoSample) -> dict[int, int]:
    return {number: min(t for t in range(5) if number in clip.object_ids(t)) for number in clip.object_ids()}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_masks_come_back(split: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, split)
    found = pickle.loads(pickle.dumps(read_set("burst", tmp_path, split)))
    assert found.classes == tao_names() and found.file == tmp_path / "annotations" / split / "all_classes.json"
    assert (tmp_path / f"annotations/{split}/first_frame_annotations.json").exists() == (split != "train")
    for clip, recording in zip(synth_clips, found.recordings, strict=True):
        sample = pickle.loads(pickle.dumps(recording)).sample()
        np.testing.assert_array_equal(sample.labels, clip.labels)
        assert recording.name == f"SynthVS/{clip.name}" and recording.wanted == (0, 1, 2, 3, 4)
        assert recording.shown == first_seen(clip)
        assert list(sample.categories) == clip.object_ids()
        borrowed = {clip.categories[number]: name for number, name in sample.categories.items()}
        known = {name.replace("_", " "): number for number, name in tao_names().items()}
        assert all(known[name] not in tao_distractors() for name in (n.replace("_", " ") for n in borrowed.values()))
        assert all(mine == theirs.replace("_", " ") for mine, theirs in borrowed.items() if mine in known)
        assert np.abs(sample.frames.astype(int) - clip.frames).mean() < 12


@pytest.mark.parametrize("task", ["class_guided", "exemplar_guided"])
def test_what_is_written_can_be_scored(task: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, "val")
    found = read_set("burst", tmp_path)
    content = json.loads((tmp_path / FILE).read_text())
    figures = []
    for shift in (0, 40):
        for row, recording in zip(content["sequences"], found.recordings, strict=True):
            row["segmentations"] = []
            for t in range(5):
                labels = recording.labels_of(t)
                assert labels is not None
                moved = np.roll(labels.objects, shift, axis=1)
                numbers = [number for number in recording.categories if (moved == number).any()]
                row["segmentations"].append({str(n): {"rle": encode_rle(moved == n)["counts"]} for n in numbers})
        (tmp_path / "pred.json").write_text(json.dumps(content))
        figures.append(score(tmp_path / FILE, tmp_path / "pred.json", task=task).summary)
    assert figures[0]["HOTA all"] == pytest.approx(100) and figures[0]["AP all"] == pytest.approx(100)
    assert figures[1]["HOTA all"] < 50 and figures[1]["AP all"] < 50


def test_a_frame_a_second_among_all_frames(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, "test")

    def thin(content: Any) -> None:
        for row in content["sequences"]:
            row["annotated_image_paths"] = row["annotated_image_paths"][1::2]
            row["segmentations"] = row["segmentations"][1::2]

    for name in ("all_classes", "first_frame_annotations"):
        change(tmp_path / f"annotations/test/{name}.json", thin)
    recording = read_set("burst", tmp_path, "test").recordings[0]
    assert len(recording) == 5 and recording.annotated == recording.wanted == (1, 3)
    np.testing.assert_array_equal(recording.sample().labels, synth_clips[0].labels[[1, 3]])
    assert recording.labels_of(0) is None


def test_shown_is_what_the_makers_say_or_else_the_first_appearance(
    synth_clips: list[VideoSample], tmp_path: Path
) -> None:
    write(synth_clips, tmp_path, "val")
    path = tmp_path / "annotations/val/first_frame_annotations.json"
    number = str(synth_clips[0].object_ids(0)[0])

    def later(content: Any) -> None:
        frames = content["sequences"][0]["segmentations"]
        frames[2][number] = frames[0].pop(number)

    change(path, later)
    assert read_set("burst", tmp_path).recordings[0].shown[int(number)] == 2
    path.unlink()
    assert read_set("burst", tmp_path).recordings[0].shown == first_seen(synth_clips[0])


def test_spellings_of_real_downloads(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, "train")
    (tmp_path / "annotations/train/all_classes.json").rename(tmp_path / "annotations/train/train.json")
    (tmp_path / "annotations/train").rename(tmp_path / "train")
    (tmp_path / "frames/train").rename(tmp_path / "frames/SynthVS")
    (tmp_path / "frames/SynthVS/SynthVS").rename(tmp_path / "frames/moved")
    (tmp_path / "frames/SynthVS").rmdir()
    (tmp_path / "frames/moved").rename(tmp_path / "frames/SynthVS")
    (tmp_path / "train/only_json_here").mkdir()
    found = read_set("burst", tmp_path, "train")
    np.testing.assert_array_equal(found[1].labels, synth_clips[1].labels)


def test_overlaps_and_large_track_ids(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips[:1], tmp_path, "val")
    large, small = np.zeros((2, 48, 80), bool)
    large[5:40, 5:60] = small[10:20, 10:20] = True

    def edit(content: Any) -> None:
        row = content["sequences"][0]
        frame = {"300": {"rle": encode_rle(small)["counts"]}, "7": {"rle": encode_rle(large)["counts"]}}
        row.update(segmentations=[frame, {}, {}, {}, {}], track_category_ids={"300": 2, "7": 1})

    change(tmp_path / FILE, edit)
    recording = read_set("burst", tmp_path).recordings[0]
    labels = recording.labels_of(0)
    assert labels is not None
    np.testing.assert_array_equal(labels.objects, np.where(small, 2, large.astype(int)))
    assert recording.categories == {1: tao_names()[1], 2: tao_names()[2]}


@pytest.mark.parametrize("first", [0, 299])
def test_answers_carry_the_ids_of_the_file(first: int, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, "val")

    def rename(content: Any) -> None:
        for row in content["sequences"]:
            official = {track: str(first + place) for place, track in enumerate(row["track_category_ids"])}
            for tracks in (row["track_category_ids"], *row["segmentations"]):
                kept = dict(tracks)
                tracks.clear()
                tracks.update((official[track], one) for track, one in kept.items())

    for name in ("all_classes", "first_frame_annotations"):
        change(tmp_path / f"annotations/val/{name}.json", rename)
    found = read_set("burst", tmp_path)
    writer = GivenTracks(tmp_path / "out", found)
    for recording in found.recordings:
        with writer.writing(recording) as take:
            for t in recording.annotated:
                labels = recording.labels_of(t)
                assert labels is not None
                take(FrameResult(t, labels.objects, tuple(recording.shown)))
    writer.finish(found.recordings)
    truth, pred = (json.loads(path.read_text())["sequences"] for path in (tmp_path / FILE, writer.pred))
    assert str(first) in truth[0]["track_category_ids"]
    for true, row in zip(truth, pred, strict=True):
        assert row["track_category_ids"] == true["track_category_ids"]
        assert [set(frame) for frame in row["segmentations"]] == [set(frame) for frame in true["segmentations"]]
    figures = score(tmp_path / FILE, writer.pred, task="exemplar_guided").summary
    assert figures["HOTA all"] == pytest.approx(100)


BROKEN = {
    "no frames": (lambda c: c["sequences"][0].pop("all_image_paths"), "all_image_paths"),
    "too few masks": (lambda c: c["sequences"][0]["segmentations"].pop(), "4 segmentations"),
    "frame that is none": (lambda c: c["sequences"][0]["annotated_image_paths"].append("x.jpg"), "6 annotated"),
    "track without class": (lambda c: c["sequences"][0].update(track_category_ids={}), "no class of track"),
    "leads out": (lambda c: c["sequences"][0]["all_image_paths"].append("../x.jpg"), "plain names"),
    "no sequences": (lambda c: c.pop("sequences"), "'sequences'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_files_that_do_not_fit(case: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    edit, said = BROKEN[case]
    write(synth_clips[:1], tmp_path, "val")
    change(tmp_path / FILE, edit)
    with pytest.raises(UserError, match=said) as error:
        read_set("burst", tmp_path)
    assert "all_classes.json" in str(error.value)


def test_missing_files_and_broken_masks_are_named(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file .*annotations/val/all_classes\.json"):
        read_set("burst", tmp_path)
    clip = synth_clips[0]
    with pytest.raises(UserError, match="without a name"):
        write([VideoSample(clip.frames, clip.labels)], tmp_path, "val")
    write([clip], tmp_path, "val")
    (tmp_path / "frames/val/SynthVS" / clip.name / "frame0002.jpg").unlink()
    with pytest.raises(UserError, match=r"frame0002\.jpg"):
        read_set("burst", tmp_path).recordings[0].sample()
    other = encode_rle(np.random.default_rng(0).random((100, 100)) > 0.5)["counts"]
    change(tmp_path / FILE, lambda c: next(iter(c["sequences"][0]["segmentations"][0].values())).update(rle=other))
    with pytest.raises(UserError, match=r"all_classes\.json, SynthVS/.*, frame 0"):
        read_set("burst", tmp_path).recordings[0].labels_of(0)
