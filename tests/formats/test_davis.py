"""DAVIS, GyGO and MOSE: what is written comes back, and what the real downloads do."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs.errors import UserError
from univs.evaluation.metrics.davis2016_scores import score as score_davis16
from univs.evaluation.metrics.davis_scores import score_semisupervised, score_unsupervised
from univs.formats import find_set, read_set
from univs.formats.davis import read_folder, sequence_names, write
from univs.formats.sample import VideoSample
from univs.masks.mask_files import write_labels

LABELLED = [
    ("davis16", "val"),
    ("davis16", "train"),
    ("davis17", "val"),
    ("davis17_unsupervised", "val"),
    ("gygo", "train"),
    ("mose", "train"),
]


def export(name: str, clips: list[VideoSample], root: Path, split: str) -> None:
    known = find_set(name)
    known.load().write(clips, root, split, **known.options)


@pytest.mark.parametrize(("name", "split"), LABELLED)
def test_masks_come_back(name: str, split: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export(name, synth_clips, tmp_path, split)
    found = pickle.loads(pickle.dumps(read_set(name, tmp_path, split)))
    assert [recording.name for recording in found.recordings] == [clip.name for clip in synth_clips]
    for clip, recording in zip(synth_clips, found.recordings, strict=True):
        expected = (clip.labels != 0).astype(np.uint8) if name in ("davis16", "gygo") else clip.labels
        sample = recording.sample()
        np.testing.assert_array_equal(sample.labels, expected)
        assert np.abs(sample.frames.astype(int) - clip.frames).mean() < 12
        ids = sorted(set(np.unique(expected[0]).tolist()) - {0})
        assert recording.shown == ({} if name == "davis17_unsupervised" else dict.fromkeys(ids, 0))
        assert len(recording.label_files) == len(recording) == 5


@pytest.mark.parametrize(("name", "split"), [("davis17", "test-dev"), ("mose", "valid")])
def test_splits_without_truth_have_the_first_masks(
    name: str, split: str, synth_clips: list[VideoSample], tmp_path: Path
) -> None:
    export(name, synth_clips, tmp_path, split)
    for clip, recording in zip(synth_clips, read_set(name, tmp_path, split).recordings, strict=True):
        assert (len(recording), recording.annotated) == (5, (0,))
        first = recording.labels_of(0)
        assert first is not None and recording.labels_of(1) is None
        np.testing.assert_array_equal(first.objects, clip.labels[0])
        assert recording.shown == dict.fromkeys(clip.object_ids(0), 0)


def test_unsupervised_test_videos_have_no_labels(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export("davis17_unsupervised", synth_clips, tmp_path, "test-dev")
    (tmp_path / "ImageSets" / "2017").rename(tmp_path / "ImageSets" / "2019")
    recording = read_set("davis17_unsupervised", tmp_path, "test-dev").recordings[0]
    assert len(recording) == 5 and recording.annotated == () and recording.labels_of(0) is None


def test_both_forms_of_lists(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export("davis16", synth_clips, tmp_path, "val")
    path = tmp_path / "ImageSets" / "480p" / "val.txt"
    first = synth_clips[0].name
    pairs = path.read_text().splitlines()
    assert pairs[0] == f"/JPEGImages/480p/{first}/00000.jpg /Annotations/480p/{first}/00000.png"
    assert len(pairs) == 10
    path.write_text("\n".join(reversed([clip.name for clip in synth_clips])) + "\n\n")
    names = [recording.name for recording in read_set("davis16", tmp_path).recordings]
    assert names == [clip.name for clip in reversed(synth_clips)]


def test_davis16_of_the_larger_download_is_one_object(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    """ImageSets/2016 beside label maps of several objects; a mask in colours, as some files of 2016 are."""
    export("davis17", synth_clips, tmp_path, "val")
    (tmp_path / "ImageSets" / "2017").rename(tmp_path / "ImageSets" / "2016")
    name = synth_clips[0].name
    mask = synth_clips[0].labels[1] != 0
    rgba = np.zeros((*mask.shape, 4), np.uint8)
    rgba[mask], rgba[..., 3] = 255, 255
    Image.fromarray(rgba).save(tmp_path / "Annotations" / "480p" / name / "00001.png")
    sample = read_set("davis16", tmp_path).recordings[0].sample()
    np.testing.assert_array_equal(sample.labels, synth_clips[0].labels != 0)


def test_gygo_lists_and_nested_names(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    """The real set writes Train.txt, keeps a second resolution, and its sequences lie in folders of batches."""
    export("gygo", synth_clips[:1], tmp_path, "train")
    name = synth_clips[0].name
    for kind in ("JPEGImages", "Annotations"):
        (tmp_path / kind / "original").mkdir()
        (tmp_path / kind / "480p" / "batch-00002").mkdir()
        (tmp_path / kind / "480p" / name).rename(tmp_path / kind / "480p" / "batch-00002" / name)
    (tmp_path / "ImageSets" / "train.txt").unlink()
    (tmp_path / "ImageSets" / "Train.txt").write_text(f"batch-00002/{name}\n")
    recording = read_set("gygo", tmp_path, "train").recordings[0]
    assert recording.name == f"batch-00002/{name}" and len(recording.annotated) == 5


def test_void_and_names_of_the_unsupervised_labels(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export("davis17_unsupervised", synth_clips, tmp_path, "val")
    path = tmp_path / "Annotations_unsupervised" / "480p" / synth_clips[0].name / "00002.png"
    with Image.open(path) as image:
        labels, palette = np.array(image), image.getpalette()
    labels[:4] = 255
    image = Image.fromarray(labels, mode="P")
    image.putpalette(palette)
    image.save(path)
    sample = read_set("davis17_unsupervised", tmp_path)[0]
    assert (sample.labels[2, :4] == 255).all() and not (sample.labels[1] == 255).any()
    assert sample.categories == synth_clips[0].categories


def test_the_truth_scores_full_marks(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    for name in ("davis16", "davis17", "davis17_unsupervised"):
        export(name, synth_clips, tmp_path / name, "val")
    truth = tmp_path / "davis16"
    assert score_davis16(truth, truth / "Annotations" / "480p").summary["J_mean"] == 1
    truth = tmp_path / "davis17"
    assert score_semisupervised(truth, truth / "Annotations" / "480p").summary["J&F-Mean"] == 1
    truth = tmp_path / "davis17_unsupervised"
    assert score_unsupervised(truth, truth / "Annotations_unsupervised" / "480p").summary["J&F-Mean"] == 1


def test_what_is_missing_is_named(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export("davis17", synth_clips, tmp_path, "val")
    with pytest.raises(UserError, match=r"ImageSets/2017/train\.txt"):
        read_set("davis17", tmp_path, "train")
    masks = tmp_path / "Annotations" / "480p" / synth_clips[1].name
    (masks / "00000.png").rename(masks / "00009.png")
    found = read_set("davis17", tmp_path)
    assert len(found[0].frames) == 5
    with pytest.raises(UserError, match=r"00009\.png has no frame"):
        found.recordings[1]
    for path in masks.iterdir():
        path.unlink()
    masks.rmdir()
    with pytest.raises(UserError, match=f"no folder .*{synth_clips[1].name}"):
        found.recordings[1]
    (tmp_path / "ImageSets" / "2017" / "val.txt").write_text("../../elsewhere\n")
    with pytest.raises(UserError, match="leads out of"):
        read_set("davis17", tmp_path).recordings[0]


def test_dialects_and_sets_agree() -> None:
    for name in ("davis16", "davis17", "davis17_unsupervised", "gygo", "mose"):
        assert find_set(name).options == {"dialect": name} and find_set(name).load().write is write


def test_davis_folder_keeps_indices(video_folder: Path) -> None:
    videos = read_folder(video_folder)
    assert [(v.name, len(v)) for v in videos.recordings] == [("davis/ball", 3), ("davis/walk", 5)]
    image, labels = videos.recordings[1].read(2)
    assert image.shape == (90, 120, 3) and image.dtype == np.uint8
    expected = np.zeros((90, 120), np.uint8)
    expected[20:60, 20:60], expected[50:80, 70:100] = 1, 3
    assert np.array_equal(labels, expected)
    sample = videos.recordings[1].sample()
    assert sample.frames.shape == (5, 90, 120, 3) and sample.object_ids() == [1, 3]


def test_davis_folder_reads_binary_masks_as_object_one(video_folder: Path) -> None:
    _, labels = read_folder(video_folder).recordings[0].read(0)
    assert set(np.unique(labels)) == {0, 1} and (labels == 1).sum() == 40 * 40


def test_davis_folder_exclusion_and_image_set(video_folder: Path, tmp_path: Path) -> None:
    assert [v.name for v in read_folder(video_folder, exclude=["davis/walk"]).recordings] == ["davis/ball"]
    held_out = tmp_path / "val.txt"
    held_out.write_text("# held out\nball\n")
    assert [v.name for v in read_folder(video_folder, exclude=held_out).recordings] == ["davis/walk"]
    assert [v.name for v in read_folder(video_folder, image_set=held_out).recordings] == ["davis/ball"]
    with pytest.raises(UserError, match="no sequence left"):
        read_folder(video_folder, exclude=["walk", "ball"])


def test_davis_folder_frames_without_mask_are_left_out(video_folder: Path) -> None:
    (video_folder / "Annotations/480p/walk/00003.png").unlink()
    assert [p.stem for p in read_folder(video_folder).recordings[1].frames] == ["00000", "00001", "00002", "00004"]


def test_davis_folder_errors(video_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder .*JPEGImages"):
        read_folder(tmp_path / "nothing")
    (video_folder / "JPEGImages/480p/walk/00003.jpg").unlink()
    with pytest.raises(UserError, match=r"00003.png has no frame"):
        read_folder(video_folder)


def test_mask_of_another_size_or_colour_is_an_error(video_folder: Path) -> None:
    path = video_folder / "Annotations/480p/walk/00000.png"
    Image.fromarray(np.zeros((45, 60), np.uint8)).save(path)
    with pytest.raises(UserError, match="is 60x45 pixels, its image is 120x90"):
        read_folder(video_folder).recordings[1].read(0)
    Image.fromarray(np.full((90, 120, 3), (9, 8, 7), np.uint8)).save(path)
    with pytest.raises(UserError, match="in colours, among them 9,8,7, .* expected an indexed or grey PNG"):
        read_folder(video_folder).recordings[1].read(0)


def test_ids_that_labels_cannot_hold_are_refused(video_folder: Path) -> None:
    path = video_folder / "Annotations/480p/walk/00000.png"
    Image.fromarray(np.full((90, 120), 300, np.uint16)).save(path)
    with pytest.raises(UserError, match=r"00000\.png holds 300; data sets hold ids up to 254"):
        read_folder(video_folder).recordings[1].read(0)


def test_own_folders_take_masks_of_every_kind_but_not_two_of_one_frame(video_folder: Path) -> None:
    path = video_folder / "Annotations/480p/walk/00002.png"
    with Image.open(path) as mask:
        expected = np.array(mask)
        mask.save(path.with_suffix(".bmp"))
    with pytest.raises(UserError, match=r"both 00002\.bmp and 00002\.png"):
        read_folder(video_folder)
    path.unlink()
    np.testing.assert_array_equal(read_folder(video_folder).recordings[1].read(2)[1], expected)


def test_the_first_frames_of_a_video(video_folder: Path) -> None:
    whole = read_folder(video_folder).recordings[1]
    assert whole.first(None) is whole and whole.first(9) is whole
    start = whole.first(2)
    assert (len(start), start.annotated, start.label_files) == (2, (0, 1), whole.label_files[:2])
    np.testing.assert_array_equal(start.read(1)[1], whole.read(1)[1])


def test_lists_of_names_or_paths_with_comments(tmp_path: Path) -> None:
    path = tmp_path / "val.txt"
    path.write_text(
        "# held out\n/JPEGImages/480p/a/00000.jpg /Annotations/480p/a/00000.png\n"
        "/JPEGImages/480p/a/00001.jpg /Annotations/480p/a/00001.png\nset/b  # a name\n"
    )
    assert sequence_names(path, "own") == ("a", "set/b")
    path.write_text("# nothing\n")
    with pytest.raises(UserError, match="names no sequence"):
        sequence_names(path, "own")


@pytest.mark.parametrize("name", ["davis16", "gygo"])
def test_what_is_unknown_is_not_written_as_the_one_object(
    name: str, synth_clips: list[VideoSample], tmp_path: Path
) -> None:
    labels = synth_clips[0].labels.copy()
    labels[2, :6], labels[2, 6:8] = 255, 1
    export(name, [VideoSample(synth_clips[0].frames, labels, name="a")], tmp_path, "val")
    expected = ((labels != 0) & (labels != 255)).astype(np.uint8)
    np.testing.assert_array_equal(read_set(name, tmp_path)[0].labels, expected)


def test_unknown_pixels_of_own_folders_stay_unknown(video_folder: Path) -> None:
    path = video_folder / "Annotations/480p/walk/00001.png"
    with Image.open(path) as mask:
        expected = np.array(mask)
    expected[:9, :30] = 255
    write_labels(path, expected)
    np.testing.assert_array_equal(read_folder(video_folder).recordings[1].read(1)[1], expected)


def test_objects_are_shown_on_the_first_frame_that_has_labels(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export("davis17", synth_clips[:1], tmp_path, "val")
    (tmp_path / "Annotations" / "480p" / synth_clips[0].name / "00000.png").unlink()
    recording = read_set("davis17", tmp_path).recordings[0]
    assert recording.annotated == (1, 2, 3, 4) and recording.shown == dict.fromkeys(synth_clips[0].object_ids(1), 1)
