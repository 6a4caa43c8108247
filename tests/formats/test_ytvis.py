"""YouTube-VIS and OVIS: what is written comes back and can be scored, and what the real downloads do."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.conftest import change, ranks
from univs.errors import UserError
from univs.evaluation.metrics.youtube_vis import score
from univs.formats import Recording, find_set, read_set
from univs.formats.sample import VideoSample
from univs.results import encode_rle

FILES = {"ytvis19": "{}.json", "ytvis21": "{}/instances.json", "ovis": "annotations_{}.json"}


def export(name: str, clips: list[VideoSample], root: Path, split: str = "valid") -> Path:
    known = find_set(name)
    known.load().write(clips, root, split, **known.options)
    return root / FILES[name].format(split)


@pytest.mark.parametrize("name", FILES)
def test_masks_come_back(name: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export(name, synth_clips, tmp_path, "train")
    found = pickle.loads(pickle.dumps(read_set(name, tmp_path, "train")))
    assert found.name == name and len(found) == len(synth_clips)
    for key, (clip, recording) in enumerate(zip(synth_clips, found.recordings, strict=True), 1):
        sample = pickle.loads(pickle.dumps(recording)).sample()
        np.testing.assert_array_equal(sample.labels, ranks(clip.labels))
        assert (recording.name, recording.key) == (clip.name, key)
        assert list(sample.categories.values()) == [clip.categories[number] for number in clip.object_ids()]
        assert set(sample.categories.values()) <= set(found.classes.values())
        assert np.abs(sample.frames.astype(int) - clip.frames).mean() < 12
        assert recording.shown == {} and recording.wanted is None


@pytest.mark.parametrize(("folder", "called"), [("both/", ["both/1", "both/2"]), ("", ["1", "2"])])
def test_videos_whose_frames_share_a_folder_have_names_of_their_own(
    folder: str, called: list[str], synth_clips: list[VideoSample], tmp_path: Path
) -> None:
    path = export("ytvis19", [*synth_clips, synth_clips[0]], tmp_path)

    def share(content: Any) -> None:
        for video in content["videos"][:2]:
            video["file_names"] = [f"{folder}{video['id']}_{t}.jpg" for t in range(5)]

    change(path, share)
    names = [recording.name for recording in read_set("ytvis19", tmp_path).recordings]
    assert names == [*called, synth_clips[0].name]


def oracle(recording: Recording, classes: dict[str, int], shift: int = 0) -> list[dict[str, Any]]:
    masks = {number: [] for number in recording.categories}
    for t in range(len(recording)):
        labels = recording.labels_of(t)
        assert labels is not None
        for number, tube in masks.items():
            mask = np.roll(labels.objects == number, shift, axis=1)
            tube.append(encode_rle(mask) if mask.any() else None)
    return [
        {
            "video_id": recording.key,
            "category_id": classes[recording.categories[number]],
            "score": 1.0,
            "segmentations": tube,
        }
        for number, tube in masks.items()
    ]


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_can_be_scored(name: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    path = export(name, synth_clips, tmp_path)
    found = read_set(name, tmp_path)
    classes = {text: number for number, text in found.classes.items()}
    figures = []
    for shift in (0, 40):
        results = [row for recording in found.recordings for row in oracle(recording, classes, shift)]
        (tmp_path / "results.json").write_text(json.dumps(results))
        figures.append(score(path, tmp_path / "results.json").summary["AP"])
    assert figures[0] == 1 and figures[1] < 0.3


@pytest.mark.parametrize(
    "spelling", ["valid.json", "valid/valid.json", "annotations/instances_valid.json", "valid.json.gz"]
)
@pytest.mark.parametrize("folder", ["valid/JPEGImages", "valid", "JPEGImages"])
def test_spellings_of_real_downloads(
    spelling: str, folder: str, synth_clips: list[VideoSample], tmp_path: Path
) -> None:
    path = export("ytvis21", synth_clips[:1], tmp_path / "made")
    target = tmp_path / "root" / spelling
    target.parent.mkdir(parents=True)
    text = path.read_bytes()
    target.write_bytes(gzip.compress(text) if target.suffix == ".gz" else text)
    frames = tmp_path / "root" / folder
    frames.mkdir(parents=True, exist_ok=True)
    (tmp_path / "made/valid/JPEGImages" / synth_clips[0].name).rename(frames / synth_clips[0].name)
    recording = read_set("ytvis21", tmp_path / "root").recordings[0]
    np.testing.assert_array_equal(recording.sample().labels, ranks(synth_clips[0].labels))


@pytest.mark.parametrize("nothing", [None, [], "absent"])
def test_server_splits_have_no_labels(nothing: object, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    path = export("ovis", synth_clips, tmp_path)
    change(path, lambda c: c.pop("annotations") if nothing == "absent" else c.update(annotations=nothing))
    recording = read_set("ovis", tmp_path).recordings[1]
    assert recording.annotated == () and recording.labels_of(0) is None and recording.categories == {}
    assert recording.key == 2 and recording.frame(4).shape == (48, 80, 3)
    with pytest.raises(UserError, match="no frame of it is annotated"):
        recording.sample()


def test_overlap_crowd_null_and_every_kind_of_mask(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    path = export("ytvis19", synth_clips[:1], tmp_path)
    masks = np.zeros((4, 48, 80), bool)
    masks[0, :, :40] = masks[1, 10:20, 10:20] = masks[2, 15:30, 30:60] = masks[3, 40:, :] = True

    def runs(mask: np.ndarray) -> dict[str, Any]:
        flat, counts, last = mask.T.reshape(-1).tolist(), [0], False
        for value in flat:
            if value != last:
                counts.append(0)
                last = value
            counts[-1] += 1
        return {"size": [48, 80], "counts": counts}

    polygon = [[30, 15, 60, 15, 60, 30, 30, 30]]
    kinds = [runs(masks[0]), encode_rle(masks[1]), polygon, runs(masks[3])]

    def edit(content: Any) -> None:
        content["annotations"] = [
            {
                "id": k,
                "video_id": 1,
                "category_id": 1,
                "iscrowd": int(k == 3),
                "segmentations": [kind, None, None, None, None],
                "areas": [int(mask.sum()), None, None, None, None],
            }
            for k, (kind, mask) in enumerate(zip(kinds, masks, strict=True))
        ]

    change(path, edit)
    recording = read_set("ytvis19", tmp_path).recordings[0]
    expected = np.zeros((48, 80), np.uint8)
    expected[masks[3]] = 255
    for number in (1, 3, 2):  # from the largest to the smallest
        expected[masks[number - 1]] = number
    first, second = recording.labels_of(0), recording.labels_of(1)
    assert first is not None and second is not None
    np.testing.assert_array_equal(first.objects, expected)
    assert not second.objects.any() and set(recording.categories) == {1, 2, 3}


BROKEN = {
    "no id": (lambda c: c["videos"][0].pop("id"), "id"),
    "short tube": (lambda c: c["annotations"][0]["segmentations"].pop(), "4 segmentations"),
    "no videos": (lambda c: c.pop("videos"), "'videos'"),
    "leads out": (lambda c: c["videos"][0].update(file_names=["../../x.jpg"] * 5), "leads out"),
    "unknown class": (lambda c: c.update(categories=[]), "it lacks 88"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_files_that_do_not_fit(case: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    edit, said = BROKEN[case]
    path = export("ytvis21", synth_clips, tmp_path)
    change(path, edit)
    with pytest.raises(UserError, match=said) as error:
        _ = read_set("ytvis21", tmp_path).recordings[0]
    assert str(path) in str(error.value) or said == "leads out"


def test_missing_and_broken_files_are_named(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"annotations_valid\.json"):
        read_set("ovis", tmp_path)
    path = export("ovis", synth_clips, tmp_path)
    frame = tmp_path / "valid" / synth_clips[0].name / "img_0000002.jpg"
    frame.unlink()
    with pytest.raises(UserError, match=r"img_0000002\.jpg"):
        read_set("ovis", tmp_path).recordings[0].sample()
    change(
        path, lambda c: [a["segmentations"][0].update(size=[4, 4]) for a in c["annotations"] if a["segmentations"][0]]
    )
    with pytest.raises(
        UserError, match=r"annotations_valid\.json, video 1, frame 0, object 1 .* has the size 4 x 4; expected"
    ):
        read_set("ovis", tmp_path).recordings[0].labels_of(0)
    change(path, lambda c: [a.update(segmentations=[[[0, 1] * 40] * 48] * 5) for a in c["annotations"]])
    with pytest.raises(UserError, match=r"annotations_valid\.json, video 1, frame 0, object 1 .* pixel by pixel"):
        read_set("ovis", tmp_path).recordings[0].labels_of(0)
    path.write_text("{")
    with pytest.raises(UserError, match=r"annotations_valid\.json"):
        read_set("ovis", tmp_path)
