"""Readers of training data give back the masks that were written, and say plainly what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from univs.data import build_clips
from univs.data.sources import SetPhotos, open_images, open_masks, open_set
from univs.data.synth import SynthVS
from univs.errors import UserError
from univs.formats import Recording, find_set, read_set
from univs.formats.davis import read_folder


def export(name: str, root: Path) -> Path:
    known, world = find_set(name), SynthVS("val", (128, 192), 4, seed=5)
    known.load().write([world[0], world[1]], root, "train", **known.options)
    return root


def test_videos_are_read_at_their_annotated_frames(tmp_path: Path) -> None:
    root = export("ytvos19", tmp_path)
    videos = open_set("ytvos19", root)
    assert isinstance(videos, list) and all(isinstance(video, Recording) for video in videos)
    recordings = read_set("ytvos19", root, "train").recordings
    assert [len(video.annotated) for video in videos] == [len(recording.annotated) for recording in recordings]
    sample = recordings[1].sample()
    for index in range(len(videos[1].annotated)):
        frame, labels = videos[1].read(index)
        np.testing.assert_array_equal(frame, sample.frames[index])
        np.testing.assert_array_equal(labels, sample.labels[index])
    left = open_set("ytvos19", root, exclude=[recordings[0].name])
    assert isinstance(left, list) and [video.name for video in left] == [recordings[1].name]
    with pytest.raises(UserError, match="no labelled video left"):
        open_set("ytvos19", root, exclude=[recording.name for recording in recordings])


def test_images_are_photos_with_their_nouns(tmp_path: Path) -> None:
    root = export("coco", tmp_path)
    photos = open_set("coco", root, longest=48)
    assert isinstance(photos, SetPhotos) and len(photos) == 8
    photo = photos[2]
    assert photo.image.shape == (32, 48, 3) and photo.labels.shape == (32, 48)
    assert photos.nouns(2) == set(photo.categories.values()) != set()


def test_clips_are_made_of_sets(tmp_path: Path) -> None:
    sources = [
        {"kind": "set", "name": "ytvos19", "root": export("ytvos19", tmp_path / "a"), "gaps": [1, 1]},
        {"kind": "set", "name": "coco", "root": export("coco", tmp_path / "b")},
    ]
    clips = build_clips(sources, {"video": 1, "photo": 1}, frames=2, size=64, length=6, seed=1)
    kinds = {clips[index].kind for index in range(6)}
    assert "video" in kinds and kinds & {"static", "composite"}
    with pytest.raises(UserError, match="unknown data set ytvos17: did you mean ytvos1"):
        build_clips([{"kind": "set", "name": "ytvos17", "root": tmp_path}], {"video": 1})


def test_photo_masks(photo_folder: Path) -> None:
    photos = open_masks(photo_folder, category="cat", exclude=["cats/p0.jpg"])
    assert len(photos) == 2 and photos.nouns(0) == {"cat"}
    photo = photos[0]
    expected = np.zeros((120, 160), np.uint8)
    expected[30:80, 41:101] = 1
    assert np.array_equal(photo.labels, expected)
    assert photo.categories == {1: "cat"} and not photo.complete and photo.name == "cats/p1.jpg"


def test_photo_masks_shrink_keeps_labels_whole(photo_folder: Path) -> None:
    photo = open_masks(photo_folder, longest=80)[0]
    assert photo.image.shape == (60, 80, 3)
    expected = np.zeros((60, 80), np.uint8)
    expected[15:40, 20:50] = 1
    assert np.array_equal(photo.labels, expected)


def turned(path: Path, orientation: int) -> None:
    """Stores a photo turned, with the EXIF orientation that turns it back."""
    back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(path) as image:
        stored = image.transpose(back)
    stored.save(path, quality=95, exif=exif)


@pytest.mark.parametrize("orientation", [3, 6])
def test_photos_are_turned_as_exif_says(
    photo_folder: Path, video_folder: Path, coco_folder: Path, orientation: int
) -> None:
    """What is seen before the photo is stored in another way is seen after it, under the same labels."""

    def read_all() -> list[np.ndarray]:
        video = read_folder(video_folder).recordings[1]
        return [open_masks(photo_folder)[0].image, open_images(coco_folder)[0].image, video.read(0)[0]]

    before = read_all()
    for path in ("images/p0.jpg",):
        turned(photo_folder / path, orientation)
    turned(coco_folder / "images/0.jpg", orientation)
    turned(video_folder / "JPEGImages/480p/walk/00000.jpg", orientation)
    for old, new in zip(before, read_all(), strict=True):
        assert old.shape == new.shape and np.abs(old.astype(int) - new).mean() < 4


def test_a_mask_of_the_stored_size_is_told_both_sizes(photo_folder: Path, coco_folder: Path) -> None:
    turned(photo_folder / "images/p0.jpg", 6)
    Image.fromarray(np.zeros((160, 120), np.uint8)).save(photo_folder / "masks/p0.png")
    with pytest.raises(UserError, match=r"is 120x160 pixels, its image is 160x120 as it is seen, 120x160 as stored"):
        open_masks(photo_folder)[0]
    with Image.open(coco_folder / "images/0.jpg") as image:
        image.transpose(Image.Transpose.ROTATE_90).save(coco_folder / "images/0.jpg")  # 80x100, as if stored like that
    exif = Image.Exif()
    exif[0x0112] = 8
    with Image.open(coco_folder / "images/0.jpg") as image:
        image.transpose(Image.Transpose.ROTATE_270).save(coco_folder / "images/0.jpg", exif=exif)
    with pytest.raises(UserError, match=r"is 100x80 pixels, its image is 80x100 as it is seen, 100x80 as stored"):
        open_images(coco_folder)[0]


def test_photo_masks_in_other_formats_and_with_soft_edges(photo_folder: Path) -> None:
    expected = open_masks(photo_folder)[0].labels
    path = photo_folder / "masks/p0.png"
    with Image.open(path) as mask:
        soft = mask.resize((40, 30), Image.Resampling.BOX).resize(mask.size, Image.Resampling.BICUBIC)
    path.unlink()
    soft.convert("RGB").save(path.with_suffix(".webp"), lossless=True)
    labels = open_masks(photo_folder)[0].labels
    assert set(np.unique(labels)) == {0, 1} and (labels != expected).mean() < 0.02
    soft.save(path.with_suffix(".bmp"))
    with pytest.raises(UserError, match=r"both p0\.bmp and p0\.webp"):
        open_masks(photo_folder)


def test_photo_masks_of_several_objects_are_refused(photo_folder: Path) -> None:
    """Values such as 1, 2, 3 of a trimap were empty masks: none is brighter than half."""
    trimap = np.full((120, 160), 2, np.uint8)
    trimap[30:80, 40:100] = 1
    Image.fromarray(trimap).save(photo_folder / "masks/p0.png")
    with pytest.raises(UserError, match=r"p0\.png holds 2 objects \(1 to 2\); expected one"):
        open_masks(photo_folder)[0]


def test_photo_masks_without_partner(photo_folder: Path) -> None:
    (photo_folder / "masks/p1.png").unlink()
    with pytest.raises(UserError, match=r"image .*p1.jpg has no mask"):
        open_masks(photo_folder)


def test_coco_instances(coco_folder: Path) -> None:
    photos = open_images(coco_folder)
    assert len(photos) == 3 and photos.nouns(0) == {"person", "tie"}
    photo = photos[0]
    person, tie = (next(i for i, n in photo.categories.items() if n == noun) for noun in ("person", "tie"))
    assert len(photo.categories) == 2 and photo.complete
    assert photo.labels[15, 15] == tie, "the smaller mask lies on top"
    assert photo.labels[30, 30] == person
    assert (photo.labels[:, 50:] == 255).all(), "a crowd is neither object nor background"
    assert photo.labels[60, 30] == 0, "stuff is no object"


def test_coco_partly_labelled_images_are_not_complete(coco_folder: Path) -> None:
    photo = open_images(coco_folder)[1]
    assert not photo.complete and photo.categories == {1: "person"}
    assert (photo.labels[:, 50:] == 1).all() and (photo.labels[5:25, 5:25] == 255).all()
    assert not open_images(coco_folder, complete=False)[0].complete


def test_coco_exclusion(coco_folder: Path, tmp_path: Path) -> None:
    held_out = tmp_path / "val.txt"
    held_out.write_text("coco/0.jpg\n2.jpg\n")
    photos = open_images(coco_folder, exclude=held_out)
    assert [photos[i].name for i in range(len(photos))] == ["coco/1.jpg"]


def test_coco_errors(coco_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        open_images(tmp_path / "nothing")
    (coco_folder / "annotations.json").write_text('{"images": []}')
    with pytest.raises(UserError, match="annotations"):
        open_images(coco_folder)


def test_coco_boxes_alone_are_refused_when_the_source_is_opened(coco_folder: Path) -> None:
    path = coco_folder / "annotations.json"
    whole = json.loads(path.read_text())
    for row in whole["annotations"]:
        row.update(id=row["image_id"] * 10, bbox=[1, 2, 3, 4])
    one = json.loads(json.dumps(whole))
    del one["annotations"][4]["segmentation"]
    path.write_text(json.dumps(one))
    with pytest.raises(UserError, match=r"annotations\.json .*annotation 20 has no segmentation \(boxes alone"):
        open_images(coco_folder)
    empty = {**whole, "annotations": [{**row, "segmentation": []} for row in whole["annotations"]]}
    path.write_text(json.dumps(empty))
    with pytest.raises(UserError, match="no annotation has a mask in its segmentation: boxes alone"):
        open_images(coco_folder)
    whole["annotations"][4]["segmentation"] = []  # one without a mask is passed over
    path.write_text("\ufeff" + json.dumps(whole))
    photos = open_images(coco_folder)
    assert [photos[k].name for k in range(len(photos))] == ["coco/0.jpg", "coco/2.jpg"]


@pytest.mark.parametrize(
    ("mask", "why"),
    [
        ({"size": [80, 100], "counts": [80 * 50, 80 * 51]}, "annotation 7: run lengths add up to 8080 pixels"),
        ({"size": [100, 80], "counts": [8000]}, "annotation 7: a mask has the size 100 x 80; expected 80 x 100"),
        ([[1, 1, float("nan"), 5, 7, 7]], "annotation 7: a polygon holds a coordinate that is no finite number"),
        ([[1, 1, 1e9, 5, 7, 7]], "annotation 7: a polygon reaches .*far outside"),
        ("box", "annotation 7: a mask is 'box'"),
        ([[0, 1] * 50] * 80, "annotation 7: a mask is written out pixel by pixel"),
    ],
)
def test_coco_masks_that_are_none_name_file_and_annotation(coco_folder: Path, mask: Any, why: str) -> None:
    path = coco_folder / "annotations.json"
    content = json.loads(path.read_text())
    content["annotations"][0].update(id=7, segmentation=mask)
    path.write_text(json.dumps(content))
    photos = open_images(coco_folder)
    with pytest.raises(UserError, match=rf"annotations\.json, {why}"):
        photos[0]


def test_coco_entries_without_a_field_are_refused(coco_folder: Path) -> None:
    path = coco_folder / "annotations.json"
    content = json.loads(path.read_text())
    for part, key in (("images", "height"), ("annotations", "image_id"), ("annotations", "category_id")):
        changed = json.loads(json.dumps(content))
        del changed[part][1][key]
        path.write_text(json.dumps(changed))
        with pytest.raises(UserError, match=f"annotations.json does not hold .*it lacks '{key}'"):
            open_images(coco_folder)
    content["annotations"][2]["category_id"] = 9
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="annotation 2 has the unknown category 9"):
        open_images(coco_folder)


def test_coco_objects_beyond_the_ids_are_unknown(coco_folder: Path) -> None:
    """Of 255 masks the smallest has no id left: it is not background, where the image claims to be complete."""
    path = coco_folder / "annotations.json"
    content = json.loads(path.read_text())
    boxes = [(2 * (k % 50), 4 * (k // 50), 2 if k else 1) for k in range(255)]
    content["annotations"] = [
        {"image_id": 3, "category_id": 1, "segmentation": [[x, y, x + side, y, x + side, y + 2, x, y + 2]]}
        for x, y, side in boxes
    ]
    path.write_text(json.dumps(content))
    photo = open_images(coco_folder)[0]
    assert len(photo.categories) == 254 and photo.labels[1, 0] == 255 and photo.labels[1, 3] == 1
