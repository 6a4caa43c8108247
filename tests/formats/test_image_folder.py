"""Folders of labelled images of one's own."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.formats.conftest import change
from univs.errors import UserError
from univs.formats.image_folder import read_folder


def test_objects_from_the_largest_on_then_stuff_and_crowds(coco_folder: Path) -> None:
    change(coco_folder / "annotations.json", lambda c: c["images"][0].update(stuff_labelled=1))
    found = pickle.loads(pickle.dumps(read_folder(coco_folder)))
    recording = found.recordings[0]
    assert recording.name == "coco/0.jpg" and recording.complete
    assert recording.categories == {1: "person", 2: "tie"} and recording.stuff == {3: "sky", 4: "person"}
    labels = recording.labels_of(0)
    assert labels is not None and labels.panoptic is not None
    assert [labels.objects[y, x] for y, x in ((30, 30), (15, 15), (60, 30), (30, 70))] == [1, 2, 0, 255]
    assert [labels.panoptic[y, x] for y, x in ((30, 30), (15, 15), (60, 30), (30, 70))] == [1, 2, 3, 4]
    assert found.stuff_names == {"sky"}


def test_stuff_is_passed_over(coco_folder: Path) -> None:
    change(coco_folder / "annotations.json", lambda c: c["images"][0].update(stuff_labelled=1))
    recording = read_folder(coco_folder, stuffed=False).recordings[0]
    labels = recording.labels_of(0)
    assert recording.stuff == {} and labels is not None and labels.panoptic is None
    assert labels.objects[60, 30] == 0


def test_categories_may_say_what_is_stuff(coco_folder: Path) -> None:
    """As COCO panoptic does, where no mask says it."""

    def edit(content: dict) -> None:
        del content["annotations"][2]["stuff"]
        content["categories"][2]["isthing"] = 0

    change(coco_folder / "annotations.json", edit)
    found = read_folder(coco_folder)
    assert found.stuff_names == {"sky"} and found.things(0) == {"person", "tie"}


def test_images_whose_masks_all_cover_several(coco_folder: Path) -> None:
    change(coco_folder / "annotations.json", lambda c: c["images"][2].update(mask_level="category"))
    found = read_folder(coco_folder)
    recording = found.recordings[2]
    assert recording.categories == {} and recording.stuff == {1: "person"} and not recording.complete
    assert found.things(2) == set()
    assert [image.file for image in found.with_things().images] == ["0.jpg", "1.jpg"]


def test_sentences_are_of_annotations_with_an_id(coco_folder: Path) -> None:
    said = coco_folder / "said.json"
    said.write_text(json.dumps({"expressions": [{"expression": "the tie", "annotation_id": 0}]}))
    assert read_folder(coco_folder, expressions=said).recordings[0].expressions == ()
    change(coco_folder / "annotations.json", lambda c: c["annotations"][0].update(id=0))
    (one,) = read_folder(coco_folder, expressions=said).recordings[0].expressions
    assert (one.key, one.text, one.object_id) == ("0/0", "the tie", 2)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ({"only_categories": "person"}, "only_categories of image 1 is 'person', not a list of names"),
        ({"width": 0}, "image 1 has 0x80 pixels"),
        ({"id": "first"}, "no finite number"),
        ({"id": 2}, "the id 2 is given twice"),
    ],
)
def test_entries_that_do_not_fit(image: dict, why: str, coco_folder: Path) -> None:
    change(coco_folder / "annotations.json", lambda c: c["images"][0].update(image))
    with pytest.raises(UserError, match=rf"annotations\.json .*{why}"):
        read_folder(coco_folder)


def test_files_outside_are_refused(coco_folder: Path) -> None:
    change(coco_folder / "annotations.json", lambda c: c["images"][0].update(file_name="../said.jpg"))
    with pytest.raises(UserError, match="leads out"):
        _ = read_folder(coco_folder).recordings[0]


def test_an_image_without_masks_is_empty(coco_folder: Path) -> None:
    change(coco_folder / "annotations.json", lambda c: c["annotations"].pop())
    labels = read_folder(coco_folder).recordings[2].labels_of(0)
    assert labels is not None and np.array_equal(labels.objects, np.zeros((80, 100), np.uint8))


def test_what_nobody_labelled_is_unknown_where_all_stuff_is(coco_folder: Path) -> None:
    """The third image: a person in a corner, nothing beside it."""
    change(coco_folder / "annotations.json", lambda c: c["images"][2].update(stuff_labelled=1))
    labels = read_folder(coco_folder).recordings[2].labels_of(0)
    assert labels is not None and labels.panoptic is not None
    person = np.zeros((80, 100), np.uint8)
    person[:50, :50] = 1
    np.testing.assert_array_equal(labels.objects, person)
    np.testing.assert_array_equal(labels.panoptic, np.where(person, 1, 255))
