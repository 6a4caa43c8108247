"""KITTI-MOTS from PNG and from text."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs.errors import UserError
from univs.evaluation.metrics.kitti_mots import score
from univs.formats import find_set, read_set
from univs.formats.borrowed_names import borrow
from univs.formats.kitti_mots import SEQUENCES, truth, write
from univs.formats.sample import VideoSample
from univs.results import encode_rle
from univs.video.pictures import write_picture


def as_stored(clip: VideoSample) -> np.ndarray:
    """The clip's labels numbered as the reader does: objects called car first, then those called pedestrian."""
    kinds = borrow(clip.categories.values(), {1: "car", 2: "pedestrian"})
    order = sorted(clip.object_ids(), key=lambda number: (kinds[clip.categories[number]], number))
    table = np.zeros(256, np.uint8)
    table[order], table[255] = np.arange(1, len(order) + 1), 255
    return table[clip.labels]


@pytest.mark.parametrize("kind", ["instances_txt", "instances"])
def test_masks_come_back(kind: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    clip = synth_clips[0]
    unknown = clip.labels.copy()
    unknown[1, :5] = 255
    clips = [VideoSample(clip.frames, unknown, clip.categories, name=clip.name), synth_clips[1]]
    write(clips, tmp_path, "val")
    shutil.rmtree(tmp_path / ("instances" if kind == "instances_txt" else "instances_txt"))
    found = pickle.loads(pickle.dumps(read_set("kitti_mots", tmp_path)))
    assert [recording.name for recording in found.recordings] == ["0002", "0006"]
    for given, recording in zip(clips, found.recordings, strict=True):
        sample = recording.sample()
        np.testing.assert_array_equal(sample.frames, given.frames)  # PNG
        np.testing.assert_array_equal(sample.labels, as_stored(given))
        assert sorted(sample.categories) == list(range(1, len(given.object_ids()) + 1))
        names = list(sample.categories.values())
        assert names == sorted(names) and set(names) <= {"car", "pedestrian"}
        assert recording.frames[4].name == "000004.png" and not recording.shown


def test_the_official_splits(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    """Without a map of sequences the official ones are read; val and train are all of 0 to 20."""
    assert sorted(SEQUENCES["val"] + SEQUENCES["train"]) == list(range(21))
    write(synth_clips, tmp_path, "train")
    (tmp_path / "evaluate_mots.seqmap.train").unlink()
    found = read_set("kitti_mots", tmp_path, "train")
    assert len(found) == 12 and found.recordings[1].name == "0001" and len(found.recordings[1]) == 5
    with pytest.raises(UserError, match="no folder .*0003"):
        found.recordings[2]


def test_more_clips_than_sequences_and_test(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips * 5, tmp_path, "val")
    names = [recording.name for recording in read_set("kitti_mots", tmp_path).recordings]
    assert len(set(names)) == 10 and names[8:] == ["0018", "1009"]
    write(synth_clips, tmp_path, "test")
    recording = read_set("kitti_mots", tmp_path, "test").recordings[1]
    assert recording.name == "0001" and recording.annotated == () and len(recording) == 5


def test_ids_of_the_real_maps(tmp_path: Path) -> None:
    """A region to ignore; of more than 254 objects the two smallest (pedestrians here) are unknown."""
    ids = np.zeros((20, 300), np.uint16)
    ids[:, :254] = 1000 + np.arange(254)
    ids[:3, 254], ids[10:, 255], ids[0, 260:] = 2007, 2999, 10000
    for root in ("training/image_02/0002", "instances/0002"):
        write_picture(tmp_path / root / "000000.png", ids if "inst" in root else np.zeros((20, 300, 3), np.uint8))
    (tmp_path / "evaluate_mots.seqmap.val").write_text("0002 empty 000000 000000\n")
    recording = read_set("kitti_mots", tmp_path).recordings[0]
    labels = recording.labels_of(0)
    assert labels is not None
    assert labels.objects[0, :254].tolist() == list(range(1, 255))
    assert labels.objects[2, 254] == 255 and labels.objects[15, 255] == 255 and labels.objects[0, 270] == 255
    assert len(recording.categories) == 254 and set(recording.categories.values()) == {"car"}


@pytest.mark.parametrize("kind", ["instances_txt", "instances"])
def test_a_frame_that_kitti_lost(kind: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    """0001 lacks four frames that have labels; the others keep theirs."""
    write(synth_clips[:1], tmp_path, "val")
    shutil.rmtree(tmp_path / ("instances" if kind == "instances_txt" else "instances_txt"))
    (tmp_path / "training" / "image_02" / "0002" / "000001.png").unlink()
    sample = read_set("kitti_mots", tmp_path)[0]
    np.testing.assert_array_equal(sample.labels, as_stored(synth_clips[0])[[0, 2, 3, 4]])


def test_the_truth_scores_full_marks(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, "val")
    summary = score(tmp_path, tmp_path / "label_02").summary
    assert {value for key, value in summary.items() if value == value} == {1.0}


@pytest.mark.parametrize("kind", ["instances_txt", "instances"])
def test_frames_are_scored_by_the_numbers_in_their_names(
    kind: str, synth_clips: list[VideoSample], tmp_path: Path
) -> None:
    """A frame is lost in one sequence, the other begins at 1: the map of sequences names the last frame there is."""
    write(synth_clips, tmp_path, "train")
    shutil.rmtree(tmp_path / ("instances" if kind == "instances_txt" else "instances_txt"))
    images = tmp_path / "training" / "image_02"
    (images / "0000" / "000001.png").unlink()
    for folder in (images / "0001", tmp_path / "instances" / "0001"):
        for path in sorted(folder.glob("*.png"), reverse=True):
            path.rename(path.with_name(f"{int(path.stem) + 1:06d}.png"))
    if kind == "instances_txt":
        text = tmp_path / "instances_txt" / "0001.txt"
        lines = [line.partition(" ") for line in text.read_text().splitlines()]
        text.write_text("".join(f"{int(frame) + 1} {rest}\n" for frame, _, rest in lines))
    data = read_set("kitti_mots", tmp_path, "train")
    recordings = [data.recordings[0], data.recordings[1]]
    made = truth(data, recordings, tmp_path / "truth")
    assert made is not None
    figures = score(made, made / "label_02")
    assert [figures.figures[name]["car"]["Count"]["Frames"] for name in ("0000", "0001")] == [5, 6]
    assert {value for value in figures.summary.values() if value == value} == {1.0}


def test_what_is_missing_is_named(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    write(synth_clips, tmp_path, "val")
    assert find_set("kitti-mots").splits == ("val", "train", "test")
    text = tmp_path / "instances_txt" / "0002.txt"
    text.write_text("0 1001 1 48\n")
    found = read_set("kitti_mots", tmp_path)
    with pytest.raises(UserError, match=r"0002\.txt, line 1: expected frame id class height width rle"):
        found.recordings[0]
    text.write_text(f"\n0 3001 3 48 80 {encode_rle(np.eye(48, 80, dtype=bool))['counts']}\n")
    with pytest.raises(UserError, match=r"line 2: id 3001; expected 1000 to 2999 or 10000"):
        found.recordings[0]
    text.unlink()
    with pytest.raises(UserError, match=r"0002\.txt does not exist; expected lines of frame id"):
        found.recordings[0]
    shutil.rmtree(tmp_path / "instances_txt")
    path = tmp_path / "instances" / "0002" / "000001.png"
    Image.fromarray(np.ones((48, 80), np.uint8)).save(path)
    with pytest.raises(UserError, match=r"000001\.png: id 1; expected 1000 to 2999"):
        read_set("kitti_mots", tmp_path).recordings[0]
    shutil.rmtree(tmp_path / "instances")
    with pytest.raises(UserError, match="no folder .*instances_txt"):
        read_set("kitti_mots", tmp_path)
