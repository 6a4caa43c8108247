"""COCO panoptic and VIPSeg: what is written comes back and can be scored; both forms of VIPSeg are the same videos."""

from __future__ import annotations

import gzip
import json
import pickle
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.formats.conftest import change, ranks
from univs.data.synth.vocabulary import vocabulary
from univs.errors import UserError
from univs.evaluation.metrics.panoptic_quality import score as score_images
from univs.evaluation.metrics.vipseg_vpq_stq import score as score_videos
from univs.formats import Recording, RecordingSet, read_set
from univs.formats import coco_panoptic as coco_layout
from univs.formats import vipseg as vipseg_layout
from univs.formats.panoptic_png import write_keys
from univs.formats.sample import VideoSample
from univs.vocabularies import vocabulary as benchmark_classes

GT = "panoptic_gt_VIPSeg_val.json"


def again(found: RecordingSet) -> RecordingSet:
    """The set after pickling, as a worker gets it."""
    return pickle.loads(pickle.dumps(found))


def same_segments(recording: Recording, clip: VideoSample) -> None:
    """The recording has the things of the clip by rank, and its stuff region by region, under the same names."""
    sample = recording.sample()
    assert clip.panoptic is not None and sample.panoptic is not None
    np.testing.assert_array_equal(sample.labels, ranks(clip.labels))
    assert list(sample.categories.values()) == [clip.categories[number] for number in clip.object_ids()]
    pairs = np.unique(np.stack([clip.panoptic, sample.panoptic], -1).reshape(-1, 2), axis=0)
    assert len(pairs) == len(np.unique(clip.panoptic))
    names = {**sample.categories, **sample.stuff}
    expected = {**clip.categories, **clip.stuff}
    assert all(names[ours] == expected[theirs] for theirs, ours in pairs.tolist())
    assert set(sample.stuff) == {ours for theirs, ours in pairs.tolist() if theirs in clip.stuff}
    assert sample.complete and np.abs(sample.frames.astype(int) - clip.frames).mean() < 12


def test_vipseg_comes_back(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    vipseg_layout.write(synth_clips, tmp_path, "train")
    found = again(read_set("vipseg", tmp_path, "train"))
    assert [recording.key for recording in found.recordings] == [clip.name for clip in synth_clips]
    for recording, clip in zip(found.recordings, synth_clips, strict=True):
        same_segments(recording, clip)
    assert tuple(found.classes.values()) == vocabulary().names and len(found.things) == len(vocabulary().things)
    shutil.move(tmp_path, tmp_path.with_name("VIPSeg_720P"))
    tmp_path.mkdir()
    shutil.move(tmp_path.with_name("VIPSeg_720P"), tmp_path / "VIPSeg_720P")
    (tmp_path / "VIPSeg_720P/images").rename(tmp_path / "VIPSeg_720P/imgs")
    same_segments(read_set("vipseg", tmp_path, "train").recordings[1], synth_clips[1])


def test_coco_panoptic_comes_back(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    coco_layout.write(synth_clips, tmp_path, "val")
    path = tmp_path / "annotations/panoptic_val2017.json"
    (tmp_path / "panoptic_val2017.json.gz").write_bytes(gzip.compress(path.read_bytes()))
    for root_file in (True, False):
        found = again(read_set("coco_panoptic", tmp_path))
        assert [recording.key for recording in found.recordings] == list(range(1, 11))
        for place, recording in enumerate(found.recordings):
            clip, t = synth_clips[place // 5], place % 5
            assert clip.panoptic is not None
            one = VideoSample(
                clip.frames[[t]], clip.labels[[t]], clip.categories, panoptic=clip.panoptic[[t]], stuff=clip.stuff
            )
            same_segments(recording, one)
        if root_file:
            path.unlink()
            (tmp_path / "annotations/panoptic_val2017").rename(tmp_path / "panoptic_val2017")


def test_what_is_written_can_be_scored(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    vipseg_layout.write(synth_clips, tmp_path, "val")
    submit = tmp_path / "submit"
    submit.mkdir()
    shutil.copytree(tmp_path / "panomasksRGB", submit / "pan_pred")
    truth = json.loads((tmp_path / GT).read_text())
    (submit / "pred.json").write_text(json.dumps({"annotations": truth["annotations"]}))
    summary = score_videos(tmp_path, submit).summary
    assert [summary[f"VPQ{window}"] for window in (1, 2, 4)] == [100, 100, 100] and summary["STQ"] == pytest.approx(1)
    assert not any(row["annotations"][0]["segments_info"][0]["category_id"] < 361 for row in truth["annotations"])

    coco_layout.write(synth_clips, tmp_path / "coco", "val")
    gt = tmp_path / "coco/annotations/panoptic_val2017.json"
    shutil.copy(gt, tmp_path / "pred.json")
    shutil.copytree(gt.with_suffix(""), tmp_path / "pred")
    assert score_images(gt, tmp_path / "pred.json").summary["PQ"] == 1


@pytest.fixture
def both_forms(tmp_path: Path) -> Path:
    """One video in the raw form, and in the form that a plain loop makes of it by the rules of the converter."""
    known = benchmark_classes("vipseg")
    assert known.things is not None
    categories = [{"id": k, "name": n, "isthing": int(k in known.things)} for k, n in enumerate(known.names)]
    values = np.zeros((3, 12, 16), np.uint16)
    values[:, :6], values[:, 6:] = 29, 19  # sky and road: values are classes from 1
    values[0, 2:5, 2:5], values[1, 2:5, 3:6], values[2, 2:5, 4:7] = 6100, 6100, 6100  # a person
    values[1:, 8:10, 3:6] = 12400  # a train, of the last class
    values[2, 8:10, 10:14], values[2, 0, 0] = 6101, 0
    values[:, 11, :4] = 50  # buses as one segment: things by the list, without instances
    annotations, images, colours = [], [], {}
    for t, frame in enumerate(values):
        for home, picture in (("imgs", np.zeros((12, 16, 3), np.uint8)), ("panomasks", frame)):
            (tmp_path / home / "0_a").mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(tmp_path / home / f"0_a/{t:08d}.{'jpg' if home == 'imgs' else 'png'}")
        keys, segments = np.zeros(frame.shape, np.uint32), []
        for value in sorted(set(frame.reshape(-1).tolist()) - {0}):
            key = colours.setdefault(value, 0xABCDEF - 1000 * len(colours))
            keys[frame == value] = key
            category = (value if value < 125 else value // 100) - 1
            area = int((frame == value).sum())
            segments.append({"id": key, "category_id": category, "iscrowd": 0, "area": area})
        write_keys(tmp_path / f"VIPSeg_720P/panomasksRGB/0_a/{t:08d}.png", keys)
        annotations.append({"image_id": f"{t:08d}", "file_name": f"{t:08d}.png", "segments_info": segments})
        images.append({"id": f"{t:08d}", "file_name": f"{t:08d}.png", "width": 16, "height": 12})
    content = {
        "videos": [{"video_id": "0_a", "images": images}],
        "annotations": [{"video_id": "0_a", "annotations": annotations}],
        "categories": categories,
    }
    shutil.copytree(tmp_path / "imgs", tmp_path / "VIPSeg_720P/images")
    (tmp_path / "VIPSeg_720P" / GT).write_text(json.dumps(content))
    (tmp_path / "val.txt").write_text("0_a\n")
    (tmp_path / "test.txt").write_text("0_a\n")
    return tmp_path


def test_both_forms_of_vipseg_are_equal(both_forms: Path) -> None:
    converted = again(read_set("vipseg", both_forms))
    (both_forms / "VIPSeg_720P" / GT).unlink()
    raw = again(read_set("vipseg", both_forms))
    assert (raw.classes, raw.things, raw.recordings[0].name) == (converted.classes, converted.things, "0_a")
    one, other = again(raw)[0], converted[0]
    assert one.panoptic is not None and other.panoptic is not None
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.panoptic, other.panoptic)
    assert (one.categories, one.stuff) == (other.categories, other.stuff)
    assert one.categories == {1: "bus", 2: "person", 3: "train", 4: "person"}
    assert sorted(one.stuff.values()) == ["road", "sky"]
    assert one.labels[0, 3, 3] == 2 and one.labels[0, 0, 0] == 0 and one.labels[2, 0, 0] == one.panoptic[2, 0, 0] == 255
    pickled = pickle.loads(pickle.dumps(raw.recordings[0]))
    assert dict(pickled.categories) == one.categories


def test_our_converter_makes_the_converted_form(both_forms: Path) -> None:
    expected = again(read_set("vipseg", both_forms))[0]
    shutil.rmtree(both_forms / "VIPSeg_720P")
    script = Path(__file__).parents[2] / "datasets/prepare/vipseg.py"
    subprocess.run([sys.executable, script, both_forms, "--lines", "12"], check=True, capture_output=True)
    assert (both_forms / "VIPSeg_720P" / GT).is_file()
    found = again(read_set("vipseg", both_forms))[0]
    assert (found.categories, found.stuff) == (expected.categories, expected.stuff)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert expected.panoptic is not None and found.panoptic is not None
    np.testing.assert_array_equal(found.panoptic, expected.panoptic)
    (both_forms / "panomasks/0_a/00000001.png").unlink()
    shutil.rmtree(both_forms / "VIPSeg_720P")
    failed = subprocess.run([sys.executable, script, both_forms], capture_output=True, text=True)
    assert failed.returncode == 2 and "panomasks/0_a/00000001.png" in failed.stderr
    assert not (both_forms / "VIPSeg_720P" / GT).exists()


def test_our_converter_keeps_to_one_height_and_ends_in_one_line(
    both_forms: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, frame = both_forms / "VIPSeg_720P", both_forms / "imgs/0_a/00000001.jpg"
    shutil.rmtree(out)
    converter = runpy.run_path(str(repository / "datasets/prepare/vipseg.py"))["main"]

    def convert(lines: int) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["vipseg.py", str(both_forms), "--lines", str(lines)])
        status = converter()
        said = capsys.readouterr().err.splitlines()
        return status, said[-1] if said else ""

    assert convert(12)[0] == 0
    made = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (both_forms / "train.txt").write_text("1_b\n")
    assert convert(24) == (
        2,
        f"error: {out} holds videos of 12 lines, not of 24: remove it, or give --lines 12",
    )
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == made
    (both_forms / "train.txt").unlink()
    assert convert(12)[0] == 0 and convert(0)[0] == 2
    shutil.rmtree(out)
    whole = frame.read_bytes()
    frame.write_bytes(whole[: len(whole) // 2])
    status, said = convert(12)
    assert status == 2 and said.startswith("error: ") and str(frame) in said
    frame.write_bytes(whole)
    monkeypatch.setitem(converter.__globals__, "convert_video", interrupted)
    assert convert(12) == (130, "interrupted; videos that are done stay")


def interrupted(*given: Any) -> None:
    raise KeyboardInterrupt


def test_raw_vipseg_of_the_test_split(both_forms: Path) -> None:
    shutil.rmtree(both_forms / "panomasks")
    recording = read_set("vipseg", both_forms, "test").recordings[0]
    assert len(recording) == 3 and recording.annotated == () and recording.labels_of(0) is None
    (both_forms / "VIPSeg_720P" / GT).unlink()
    with pytest.raises(UserError, match="panomasks/0_a"):
        read_set("vipseg", both_forms)[0]


def test_raw_files_that_do_not_fit(both_forms: Path) -> None:
    (both_forms / "VIPSeg_720P" / GT).unlink()
    (both_forms / "panoVIPSeg_categories.json").write_text('[{"id": 18, "name": "road", "isthing": 0}]')
    with pytest.raises(UserError, match=r"panomasks/0_a/00000000\.png holds the value 29"):
        read_set("vipseg", both_forms)[0]
    (both_forms / "panomasks/0_a/00000001.png").write_bytes(b"no picture")
    (both_forms / "panoVIPSeg_categories.json").unlink()
    with pytest.raises(UserError, match=r"panomasks/0_a/00000001\.png"):
        read_set("vipseg", both_forms)[0]
    (both_forms / "val.txt").write_text("../elsewhere\n")
    with pytest.raises(UserError, match="leads out"):
        read_set("vipseg", both_forms)[0]
    (both_forms / "val.txt").unlink()
    with pytest.raises(UserError, match=f"no {GT}, and: no file .*val.txt"):
        read_set("vipseg", both_forms)


def test_crowds_and_what_is_not_listed_are_unknown(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    clip = synth_clips[0]
    coco_layout.write([clip], tmp_path, "val")
    path = tmp_path / "annotations/panoptic_val2017.json"
    content = json.loads(path.read_text())
    segments = content["annotations"][0]["segments_info"]
    crowd, unlisted = segments[-1]["id"] & 255, segments[0]["id"] & 255
    segments[-1]["iscrowd"] = 1
    del segments[0]
    path.write_text(json.dumps(content))
    labels = read_set("coco_panoptic", tmp_path).recordings[0].labels_of(0)
    assert clip.panoptic is not None and labels is not None and labels.panoptic is not None
    unknown = np.isin(clip.panoptic[0], (crowd, unlisted))
    assert unknown.any()
    np.testing.assert_array_equal(labels.panoptic == 255, unknown)
    np.testing.assert_array_equal(labels.objects == 255, unknown)


BROKEN = {
    "no segments": (lambda c: c["annotations"][0]["annotations"][0].pop("segments_info"), "segments_info"),
    "unknown class": (lambda c: c.update(categories=[]), "unknown category"),
    "frame without labels": (lambda c: c["annotations"][0]["annotations"].pop(2), "00000002"),
    "no videos": (lambda c: c.pop("videos"), "'videos'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_files_that_do_not_fit(case: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    edit, said = BROKEN[case]
    vipseg_layout.write(synth_clips[:1], tmp_path, "val")
    change(tmp_path / GT, edit)
    with pytest.raises(UserError, match=said) as error:
        read_set("vipseg", tmp_path)
    assert GT in str(error.value)


def test_maps_that_do_not_fit(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    vipseg_layout.write(synth_clips[:1], tmp_path, "val")
    path = tmp_path / "panomasksRGB" / synth_clips[0].name / "00000003.png"
    recording = read_set("vipseg", tmp_path).recordings[0]
    for pixels, said in ((np.zeros((48, 80), np.uint8), "no colours"), (np.zeros((4, 80, 3), np.uint8), "80x4 pixels")):
        Image.fromarray(pixels).save(path)
        with pytest.raises(UserError, match=said) as error:
            recording.labels_of(3)
        assert str(path) in str(error.value)
    path.unlink()
    with pytest.raises(UserError, match=r"00000003\.png"):
        recording.labels_of(3)
    clip = synth_clips[0]
    with pytest.raises(UserError, match="no panoptic map"):
        vipseg_layout.write([VideoSample(clip.frames, clip.labels, clip.categories)], tmp_path / "b", "val")
    with pytest.raises(UserError, match="without a name"):
        vipseg_layout.write([VideoSample(clip.frames, clip.labels, panoptic=clip.panoptic)], tmp_path / "c", "val")
