"""Photos with masks in JSON (COCO, LVIS, EntitySeg, RefCOCO, SA-1B): what is written comes back; real downloads."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.conftest import change, ranks
from univs.data.synth.vocabulary import vocabulary
from univs.errors import UserError
from univs.formats import RecordingSet, find_set, read_set
from univs.formats.painting import compact, number_objects
from univs.formats.sample import VideoSample
from univs.masks.rle import read_mask
from univs.results import encode_rle

FILES = {
    "coco": "annotations/instances_val2017.json",
    "lvis": "annotations/lvis_v1_val.json",
    "entityseg": "annotations/entityseg_panseg_val.json",
}
SAID = ("refcoco", "refcoco_plus", "refcocog", "refcocog_google")


def export(name: str, clips: list[VideoSample], root: Path, split: str = "val") -> RecordingSet:
    known = find_set(name)
    known.load().write(clips, root, split, **known.options)
    return pickle.loads(pickle.dumps(read_set(name, root, split)))


def objects_of(found: RecordingSet, place: int) -> np.ndarray:
    labels = found.recordings[place].labels_of(0)
    assert labels is not None
    return labels.objects


@pytest.mark.parametrize("name", [*FILES, "sa1b"])
def test_every_frame_comes_back_as_a_photo(name: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    found = export(name, synth_clips, tmp_path, "train" if name == "sa1b" else "val")
    frames = [(clip, t) for clip in synth_clips for t in range(len(clip.frames))]
    assert len(found) == len(frames) == 10
    for (clip, t), recording in zip(frames, found.recordings, strict=True):
        labels, image = clip.labels[t], recording.frame(0)
        sample = recording.sample()
        if name == "entityseg":
            assert clip.panoptic is not None and sample.panoptic is not None
            np.testing.assert_array_equal(sample.panoptic[0], ranks(clip.panoptic[t]))
            assert list(sample.stuff.values()) == [clip.stuff[n] for n in clip.stuff if (clip.panoptic[t] == n).any()]
        np.testing.assert_array_equal(sample.labels[0], ranks(labels))
        names = [] if name == "sa1b" else [clip.categories[number] for number in clip.object_ids(t)]
        assert list(sample.categories.values()) == names
        assert np.abs(image.astype(int) - clip.frames[t]).mean() < 12
        assert pickle.loads(pickle.dumps(recording)).key == recording.key
    if name in ("coco", "lvis"):
        assert tuple(found.classes.values()) == vocabulary().things and found.things == frozenset(found.classes)
    if name == "entityseg":
        assert {found.classes[number] for number in found.things} == set(vocabulary().things)


@pytest.mark.parametrize("name", SAID)
def test_sentences_come_back(name: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    found = export(name, synth_clips, tmp_path, "train")
    expected = []
    for clip in synth_clips:
        for t in range(len(clip.frames)):
            seen = clip.object_ids(t)
            pairs = [(seen.index(number) + 1, text) for number in seen for text in clip.expressions.get(number, ())]
            if pairs:
                expected.append((clip.labels[t], pairs))
    assert len(found) == len(expected) > 0
    keys = []
    for (labels, pairs), recording in zip(expected, found.recordings, strict=True):
        np.testing.assert_array_equal(recording.sample().labels[0], ranks(labels))
        assert [(one.object_id, one.text) for one in recording.expressions] == pairs
        keys += [one.key for one in recording.expressions]
    assert len(set(keys)) == len(keys)


def test_splits_of_refcoco_share_their_files(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    first = export("refcoco", synth_clips[:1], tmp_path, "train")
    second = export("refcoco", synth_clips[1:], tmp_path, "testA")
    again = read_set("refcoco", tmp_path, "train")
    assert [r.name for r in again.recordings] == [r.name for r in first.recordings]
    assert {r.key for r in again.recordings}.isdisjoint(r.key for r in second.recordings)
    said = [{one.key for r in part.recordings for one in r.expressions} for part in (again, second)]
    assert said[0] and said[1] and said[0].isdisjoint(said[1])
    assert len(export("refcoco", synth_clips[1:], tmp_path, "testA")) == len(second)
    with pytest.raises(UserError, match="nothing of the split val"):
        read_set("refcoco", tmp_path, "val")


def test_converted_refcoco(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    official = export("refcoco_plus", synth_clips[:1], tmp_path / "a", "val")
    (tmp_path / "b/refcoco+").mkdir(parents=True)
    (tmp_path / "a/images/mscoco/images/train2014").rename(tmp_path / "b/train2014")
    source = json.loads((tmp_path / "a/refcoco+/instances.json").read_text())
    images, annotations = [], []
    by_id = {row["id"]: row for row in source["annotations"]}
    for ref in pickle.loads((tmp_path / "a/refcoco+/refs(unc).p").read_bytes()):
        row = next(image for image in source["images"] if image["id"] == ref["image_id"])
        for sentence in ref["sentences"]:
            number = len(images)
            images.append({**row, "id": number, "original_id": row["id"], "caption": sentence["sent"]})
            annotations.append({**by_id[ref["ann_id"]], "id": number, "image_id": number})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
    for row in annotations:
        row["category_id"] = 1
    (tmp_path / "b/refcoco+/instances_refcoco+_val.json").write_text(json.dumps(content))
    found = read_set("refcoco_plus", tmp_path / "b")
    assert [r.key for r in found.recordings] == [r.key for r in official.recordings]
    for place, (one, other) in enumerate(zip(official.recordings, found.recordings, strict=True)):
        assert [e.text for e in one.expressions] == [e.text for e in other.expressions]
        for said, again in zip(one.expressions, other.expressions, strict=True):
            np.testing.assert_array_equal(
                objects_of(found, place) == again.object_id, objects_of(official, place) == said.object_id
            )


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_runs_something_is_refused(protocol: int, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export("refcoco", synth_clips[:1], tmp_path)
    path, target = tmp_path / "refcoco/refs(unc).p", tmp_path / "ran"
    path.write_bytes(pickle.dumps([{"ref_id": Bomb(target)}], protocol=protocol))
    with pytest.raises(UserError, match=r"refs\(unc\)\.p is no pickle of plain values") as error:
        read_set("refcoco", tmp_path)
    assert "asks for" in str(error.value) and not target.exists()
    pickle.loads(path.read_bytes())
    assert target.exists()  # so the pickle would have done it


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps([{"split": "val"}]), pickle.dumps(3)])
def test_a_broken_pickle_is_named(content: bytes, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export("refcoco", synth_clips[:1], tmp_path)
    (tmp_path / "refcoco/refs(unc).p").write_bytes(content)
    with pytest.raises(UserError, match=r"refs\(unc\)\.p"):
        read_set("refcoco", tmp_path)


def test_a_pickle_of_python_2(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    found = export("refcoco", synth_clips[:1], tmp_path)
    one = found.recordings[0]
    said = [e for e in one.expressions if e.object_id == one.expressions[0].object_id]
    annotation = json.loads((tmp_path / "refcoco/instances.json").read_text())["annotations"][said[0].object_id - 1][
        "id"
    ]
    old = (
        f"(lp0\n(dp1\nS'ref_id'\nI0\nsS'ann_id'\nL{annotation}L\nsS'image_id'\nI{one.key}\nsS'split'\nS'val'\n"
        "sS'sentences'\n(lp2\n(dp3\nS'sent_id'\nI7\nsS'sent'\nVthe caf\\u00e9\nsS'raw'\nS'the caf\\xc3\\xa9'\nsasa."
    )
    (tmp_path / "refcoco/refs(unc).p").write_bytes(old.encode("ascii"))
    again = read_set("refcoco", tmp_path).recordings
    assert [(e.key, e.text, e.object_id) for e in again[0].expressions] == [("7", "the café", said[0].object_id)]
    assert len(again) == 1


@pytest.mark.parametrize("name", ["coco", "lvis"])
def test_crowds_overlaps_and_every_kind_of_mask(name: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export(name, synth_clips[:1], tmp_path)
    large, small, crowd = np.zeros((3, 48, 80), bool)
    large[:, :40] = small[10:20, 10:20] = crowd[30:, :] = True
    runs = {"size": [48, 80], "counts": [0, 40 * 48, 40 * 48]}
    square = [[10, 10, 20, 10, 20, 20, 10, 20]]

    def edit(content: Any) -> None:
        image = content["images"][0]["id"]
        kinds = [(square, 0, 100), ({**encode_rle(crowd)}, 1, 1440), (runs, 0, 1920), ([], 0, 0)]
        content["annotations"] = [
            {"id": k, "image_id": image, "category_id": 1, "segmentation": kind, "iscrowd": several, "area": area}
            for k, (kind, several, area) in enumerate(kinds)
        ]

    change(tmp_path / FILES[name], edit)
    found = read_set(name, tmp_path)
    expected = np.where(crowd, 255, 0)
    expected[large], expected[small] = 2, 1
    np.testing.assert_array_equal(objects_of(found, 0), expected)
    assert set(found.recordings[0].categories) == {1, 2, 3}
    assert not objects_of(found, 1).any() and found.recordings[1].categories == {}


def test_no_more_objects_than_ids() -> None:
    areas = list(range(1, 301))
    ids = number_objects(areas, [k == 299 for k in range(300)])
    assert ids[299] == 255 and ids[298] == 254 and ids[:45] == [255] * 45 and ids[45:47] == [1, 2]


def test_of_more_masks_than_ids_the_smallest_are_unknown(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export("sa1b", synth_clips[:1], tmp_path, "train")
    masks = np.zeros((300, 48, 80), bool)
    for k in range(299):  # strips of 3 or, the first 46, of 2 pixels; the last mask lies beneath them all
        masks[k, 4 * (k % 12) : 4 * (k % 12) + (2 if k < 46 else 3), k // 12 * 3] = True
    masks[299] = True

    def edit(content: Any) -> None:
        content["annotations"] = [{"segmentation": encode_rle(m), "area": int(m.sum())} for m in masks]

    change(tmp_path / "sa_000000/sa_1.json", edit)
    expected = np.full((48, 80), 254)
    for k in range(299):
        expected[masks[k]] = 255 if k < 46 else k - 45
    np.testing.assert_array_equal(objects_of(read_set("sa1b", tmp_path), 0), expected)


def test_lvis_photos_lie_where_their_url_says(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export("lvis", synth_clips[:1], tmp_path)
    content = json.loads((tmp_path / FILES["lvis"]).read_text())
    assert "file_name" not in content["images"][0] and content["images"][0]["not_exhaustive_category_ids"] == []
    assert {row["frequency"] for row in content["categories"]} == {"r"}
    (tmp_path / "coco/train2017").mkdir(parents=True)
    for row in content["images"]:
        row["coco_url"] = row["coco_url"].replace("val2017", "train2017")
        name = row["coco_url"].rsplit("/", 1)[1]
        (tmp_path / "val2017" / name).rename(tmp_path / "coco/train2017" / name)
    (tmp_path / "val2017").rmdir()
    (tmp_path / "lvis_v1_val.json.gz").write_bytes(gzip.compress(json.dumps(content).encode()))
    (tmp_path / FILES["lvis"]).unlink()
    np.testing.assert_array_equal(
        read_set("lvis", tmp_path).recordings[0].sample().labels[0], ranks(synth_clips[0].labels[0])
    )


def test_entityseg_in_parts_with_photos_elsewhere(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    for number, clip in enumerate(synth_clips, 1):
        export("entityseg", [clip], tmp_path / str(number), "train")
        home = tmp_path / "all/images" / ("entity_01_11580/images_merge", "entity_02_11598/images")[number - 1]
        home.parent.mkdir(parents=True)
        (tmp_path / str(number) / "images/entity_01_11580").rename(home)
        target = tmp_path / f"all/annotations/entityseg_train_0{number}.json"
        target.parent.mkdir(exist_ok=True)
        content = json.loads((tmp_path / str(number) / "annotations/entityseg_train_01.json").read_text())
        for row in content["annotations"]:
            row.update(category_id=9999, category_id_ori=str(row["category_id"]))
        target.write_text(json.dumps(content))
    found = read_set("entityseg", tmp_path / "all", "train")
    assert len(found) == 10
    for place in (0, 9):
        sample, clip = found[place], synth_clips[place // 5]
        np.testing.assert_array_equal(sample.labels[0], ranks(clip.labels[place % 5]))
        assert list(sample.categories.values()) == [clip.categories[n] for n in clip.object_ids(place % 5)]
    change(tmp_path / "all/annotations/entityseg_train_02.json", lambda c: c.update(categories=[]))
    change(
        tmp_path / "all/annotations/entityseg_train_02.json",
        lambda c: [a.update(category_id=1) for a in c["annotations"]],
    )
    assert set(read_set("entityseg", tmp_path / "all", "train").recordings[9].categories.values()) == {"entity"}
    next((tmp_path / "all/images/entity_02_11598/images").iterdir()).unlink()
    with pytest.raises(UserError, match="no photo .*train_synth-val-3-00002"):
        read_set("entityseg", tmp_path / "all", "train")


def test_sa1b_is_listed_without_objects(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    (tmp_path / "sa_000020").mkdir()
    for number in (5, 40, 7):
        (tmp_path / f"sa_000020/sa_{number}.jpg").touch()
    export("sa1b", synth_clips[:1], tmp_path, "train")
    for suffix in ("jpg", "json"):
        (tmp_path / f"sa_000000/sa_5.{suffix}").rename(tmp_path / f"sa_5.{suffix}")
    found = read_set("sa1b", tmp_path)
    assert [r.key for r in found.recordings] == [5, 1, 2, 3, 4, 5, 7, 40]
    assert found.recordings[-1].name == "sa_40" and [r.key for r in found.recordings[1:3]] == [1, 2]
    np.testing.assert_array_equal(objects_of(found, 0), ranks(synth_clips[0].labels[4]))
    with pytest.raises(UserError, match=r"sa_40\.json"):
        found.recordings[-1].labels_of(0)
    change(tmp_path / "sa_000000/sa_1.json", lambda c: c["annotations"][0].pop("segmentation"))
    with pytest.raises(UserError, match=r"sa_1\.json .*segmentation"):
        found.recordings[1].labels_of(0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="SA-1B: no photo"):
        read_set("sa1b", tmp_path / "empty")


@pytest.mark.parametrize("name", FILES)
def test_what_is_missing_is_named(name: str, synth_clips: list[VideoSample], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        read_set(name, tmp_path)
    path = tmp_path / FILES[name]
    export(name, synth_clips[:1], tmp_path)
    whole = path.read_text()
    for edit, said in (
        (lambda c: c["annotations"][0].pop("segmentation"), "segmentation"),
        (lambda c: c["images"][0].pop("height"), "height"),
        (lambda c: c.pop("images"), "'images'"),
        (lambda c: c["annotations"][0].update(image_id="x"), "is no finite number"),
        (lambda c: c["annotations"][0].update(iscrowd="0"), "neither 0 nor 1"),
        (lambda c: c["categories"].append({**c["categories"][0], "name": "other"}), "is given twice"),
        (lambda c: c["images"][0].update(height=12.5), "is no whole number"),
    ):
        change(path, edit)
        with pytest.raises(UserError, match=said) as error:
            read_set(name, tmp_path)
        assert str(path) in str(error.value)
        path.write_text(whole)
    change(path, lambda c: c["annotations"][0].update(segmentation={"size": [48, 80], "counts": [1, 2]}))
    with pytest.raises(UserError, match="annotation 1: run lengths add up to 3 pixels") as error:
        read_set(name, tmp_path).recordings[0].labels_of(0)
    assert str(path) in str(error.value)
    path.write_text(whole[:-5])
    with pytest.raises(UserError, match="is no JSON file") as error:
        read_set(name, tmp_path)
    assert str(path) in str(error.value)


def test_a_missing_photo_is_named(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    export("coco", synth_clips[:1], tmp_path)
    (tmp_path / "val2017/000000000002.jpg").unlink()
    with pytest.raises(UserError, match=r"val2017/000000000002\.jpg"):
        read_set("coco", tmp_path).recordings[1].sample()
    change(tmp_path / FILES["coco"], lambda c: c["images"][0].update(file_name="../../x.jpg"))
    with pytest.raises(UserError, match="leads out"):
        _ = read_set("coco", tmp_path).recordings[0]


def test_masks_wait_in_little_memory() -> None:
    runs = {"size": [48, 80], "counts": [1000, 840, 2000]}
    polygons = [[1.5, 2, 60, 2, 60, 40, 1.5, 40], [70, 1, 75, 1, 75, 9]]
    for plain in (runs, polygons, encode_rle(np.eye(48, 80)), None):
        small = compact(plain)
        assert read_mask(small, (48, 80), "") == read_mask(plain, (48, 80), "")
    assert compact(runs)["counts"].itemsize == 4 and compact(polygons)[0].itemsize == 8


def test_refcoco_beside_the_photos_of_2017(synth_clips: list[VideoSample], tmp_path: Path) -> None:
    """The same photos under shorter names."""
    official = [r.frame(0) for r in export("refcoco", synth_clips[:1], tmp_path).recordings]
    (tmp_path / "images/mscoco/images/train2014").rename(tmp_path / "train2017")
    for path in (tmp_path / "train2017").iterdir():
        path.rename(path.with_name(path.name.removeprefix("COCO_train2014_")))
    found = read_set("refcoco", tmp_path).recordings
    assert all(np.array_equal(one.frame(0), other) for one, other in zip(found, official, strict=True))
