"""Readers of names: what is known, what is not, and what it is called."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from univs.data.named_images import NamedImages, SemanticImages, SynthWords, merged_name
from univs.data.synth.vocabulary import vocabulary
from univs.data.word_batches import WordImages, build_word_images, collate_words
from univs.errors import UserError
from univs.formats.sample import NO_CLASS


@pytest.fixture
def named_folder(coco_folder: Path) -> Path:
    """The COCO folder with stuff labelled on its first image, ids for its masks and an expression for one."""
    path = coco_folder / "annotations.json"
    content = json.loads(path.read_text())
    for number, annotation in enumerate(content["annotations"], start=100):
        annotation["id"] = number
    content["images"][0]["stuff_labelled"] = 1
    content["categories"][0]["name"] = "pedestrian"
    path.write_text(json.dumps(content))
    said = {"expressions": [{"expression": "the left one", "image_id": 1, "annotation_id": 101}]}
    (coco_folder / "said.json").write_text(json.dumps(said))
    return coco_folder


@pytest.fixture
def semantic_folder(tmp_path: Path) -> Path:
    for name in ("images", "labels"):
        (tmp_path / "streets" / name).mkdir(parents=True)
    for number in range(2):
        labels = np.full((40, 60), 11, np.uint8)
        labels[:20] = 0
        labels[20:30, :30] = 4
        Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / f"streets/images/{number}.jpg")
        Image.fromarray(labels).save(tmp_path / f"streets/labels/{number}.png")
    return tmp_path / "streets"


def test_names_of_two_data_sets_are_merged() -> None:
    assert [merged_name(n) for n in ("aeroplane", "sofa", "pavement-merged", "dog")] == [
        "airplane",
        "couch",
        "sidewalk",
        "dog",
    ]


def test_things_stuff_and_expressions(named_folder: Path) -> None:
    images = NamedImages(named_folder, expressions=named_folder / "said.json")
    assert images.names == ("person", "sky", "tie") and images.stuff_names == {"sky"}
    sample = images[0]
    number = {name: i for i, name in sample.categories.items()}
    assert set(number) == {"person", "tie"} and sample.complete
    labels = sample.labels[0]
    assert labels[30, 30] == number["person"] and labels[15, 15] == number["tie"] and labels[60, 30] == 0
    assert (labels[:, 50:] == 255).all(), "in a crowd nobody knows which object"
    assert sample.expressions == {number["person"]: ["the left one"]}
    semantic = sample.semantic(["sky", "person", "tie"])[0]
    assert semantic[60, 30] == 0 and semantic[30, 30] == 1 and semantic[15, 15] == 2
    assert (semantic[:, 50:] == 1).all(), "but what they are is known"


def test_images_without_stuff_labels(named_folder: Path) -> None:
    images = NamedImages(named_folder)
    assert images[1].panoptic is None and not images[1].complete
    assert images[1].semantic(["person", "tie"])[0][70, 10] == NO_CLASS
    assert images.judged(1) == {"person"} and images.judged(0) == {"person", "tie"}


def test_exclusion_and_selection(named_folder: Path) -> None:
    assert [e.file for e in NamedImages(named_folder, exclude=["coco/0.jpg"]).folder.images] == ["1.jpg", "2.jpg"]
    assert [e.file for e in NamedImages(named_folder, only=["coco/2.jpg"]).folder.images] == ["2.jpg"]


def test_malformed_expressions_are_one_line(named_folder: Path) -> None:
    (named_folder / "said.json").write_text('{"expressions": [{"expression": "x"}]}')
    with pytest.raises(UserError, match="said.json does not hold .*it lacks 'annotation_id'"):
        NamedImages(named_folder, expressions=named_folder / "said.json")
    with pytest.raises(UserError, match="nothing.json does not exist; expected expressions"):
        NamedImages(named_folder, expressions=named_folder / "nothing.json")


def test_semantic_maps(semantic_folder: Path) -> None:
    names = ["sky", "building", "pole", "road", "pavement"]
    streets = SemanticImages(semantic_folder / "images", semantic_folder / "labels", names)
    sample = streets[0]
    assert len(streets) == 2 and sample.categories == {} and not sample.labels.any()
    assert sample.stuff == {1: "sky", 5: "sidewalk"}
    semantic = sample.semantic(streets.names)[0]
    assert (semantic[:20] == 0).all() and (semantic[20:30, :30] == 4).all() and (semantic[30:] == NO_CLASS).all()
    (semantic_folder / "labels/1.png").unlink()
    with pytest.raises(UserError, match=r"1.jpg has no map"):
        SemanticImages(semantic_folder / "images", semantic_folder / "labels", names)


def test_crops_and_batches(named_folder: Path, semantic_folder: Path) -> None:
    sources = [
        {"kind": "coco", "root": named_folder, "expressions": named_folder / "said.json"},
        {
            "kind": "semantic",
            "images": semantic_folder / "images",
            "labels": semantic_folder / "labels",
            "names": "camvid",
        },
    ]
    images = build_word_images(sources, size=32, seed=5)
    assert {"person", "tie", "sky", "sidewalk"} < set(images.names)
    first, again = images[7], build_word_images(sources, size=32, seed=5)[7]
    assert np.array_equal(first.image, again.image) and np.array_equal(first.classes, again.classes)
    crops = [images[i] for i in range(12)]
    batch = collate_words(crops)
    assert batch["frames"].shape == (12, 3, 32, 32) and batch["vocabulary"].shape == (12, len(images.names))
    kinds = {int(batch["vocabulary"][b].sum()) for b in range(12)}
    assert kinds == {3, 11}, "names of one data set do not count against another's"
    for b, crop in enumerate(crops):
        for g, (number, name) in enumerate(crop.object_classes.items()):
            assert batch["object_ids"][b, g] == number and batch["object_classes"][b, g] == name
            assert (crop.classes[crop.objects == number] == name).all()
        if crop.expression:
            assert (b, *crop.expression) in batch["expressions"] and crop.expression[0] in crop.object_classes
    assert any(crop.expression for crop in crops)


def test_sides_are_not_mirrored(named_folder: Path) -> None:
    """Where the expression says left, the object stays left of the tie it wears in every crop that holds both."""
    images = WordImages(
        [(NamedImages(named_folder, expressions=named_folder / "said.json", only=["0.jpg"]), 1)], size=32
    )
    tie, person = images.numbers["tie"], images.numbers["person"]
    seen = 0
    for index in range(30):
        crop = images[index]
        if crop.expression and (crop.classes == tie).any() and (crop.classes[:, -4:] == person).all():
            seen += 1
            assert np.nonzero(crop.classes == tie)[1].mean() < 16
    assert seen > 3


def test_unknown_sources(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown kind 'lvis'"):
        build_word_images([{"kind": "lvis"}], size=32)
    with pytest.raises(UserError, match="no source"):
        build_word_images([], size=32)
    with pytest.raises(UserError, match="unknown setting data.sources.0.rot; there are root"):
        build_word_images([{"kind": "coco", "rot": "x"}], size=32)


def test_the_built_in_world_is_that_of_training() -> None:
    """Unless it is said: names that are never in training are for the other splits."""
    words = SynthWords(size=[64, 64], length=7)
    assert (words.world.split, words.world.num_frames, len(words)) == ("train", 1, 7)
    assert not vocabulary().unseen & set(words.names) and len(words.names) > 300
    assert SynthWords(split="val", seed=4).world.name_of(3) == "synth-val-4-00003"
