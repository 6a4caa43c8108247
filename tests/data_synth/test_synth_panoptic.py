"""Semantic and panoptic maps of SynthVS, and its words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from univs import vocabularies
from univs.data.synth import SynthVS
from univs.data.synth.background import UNKNOWN
from univs.data.synth.scene import FIRST_STUFF
from univs.data.synth.vocabulary import ALIKE, KINDS, may_mean, spoken, vocabulary
from univs.formats.sample import IGNORE, NO_CLASS, VideoSample

SMALL = (96, 160)


def test_every_pixel_is_a_thing_or_stuff_with_a_name():
    dataset, stuff = SynthVS("val", SMALL, 3, difficulty=0.8), set()
    for clip in range(20):
        sample = dataset[clip]
        np.testing.assert_array_equal(sample.panoptic[sample.labels > 0], sample.labels[sample.labels > 0])
        named = {**sample.categories, **sample.stuff}
        assert sorted(named) == np.unique(sample.panoptic).tolist()
        assert (np.unique(sample.panoptic[sample.labels == 0]) >= FIRST_STUFF).all()
        stuff |= set(sample.stuff.values())
    assert len(stuff) > 15 and stuff <= set(vocabulary().stuff)


def test_semantic_maps_name_what_the_panoptic_ones_show():
    sample = SynthVS(size=SMALL, num_frames=2)[3]
    classes = vocabulary().names
    semantic = sample.semantic(classes)
    assert semantic.dtype == np.int16 and semantic.min() >= 0
    for number, name in {**sample.categories, **sample.stuff}.items():
        assert {classes[i] for i in np.unique(semantic[sample.panoptic == number])} == {name}
    some = sample.semantic(["nothing", *sample.stuff.values()])
    assert (some[sample.labels > 0] == NO_CLASS).all() and (some[sample.labels == 0] >= 1).all()


def test_stuff_lies_where_the_camera_looks():
    """Every pixel's middle taken back to the canvas by the camera's map finds the stuff that the map shows."""
    dataset = SynthVS(size=SMALL, num_frames=12, difficulty=1.0)
    for clip in range(8):
        scene, t = dataset.scene(clip), 11
        height, width = SMALL
        y, x = np.mgrid[0:height, 0:width] + 0.5
        x, y = x - width / 2, y - height / 2
        angle, zoom, centre = scene.camera.angle[t], scene.camera.zoom[t], scene.camera.centre[t]
        column = centre[0] + zoom * (math.cos(angle) * x - math.sin(angle) * y)
        row = centre[1] + zoom * (math.sin(angle) * x + math.cos(angle) * y)
        exact = scene.background.stuff[np.floor(row).astype(int), np.floor(column).astype(int)] + FIRST_STUFF
        shown = scene.panoptic(t, np.zeros(SMALL, np.uint8))
        assert (shown != exact).mean() < 0.01


def test_without_a_panoptic_map_only_objects_have_a_class():
    labels = np.array([[[0, 1, 2, IGNORE]]], np.uint8)
    frames = np.zeros((1, 1, 4, 3), np.uint8)
    sample = VideoSample(frames, labels, {1: "cat", 2: "dog"})
    assert sample.semantic(["dog", "sky"]).tolist() == [[[NO_CLASS, NO_CLASS, 0, NO_CLASS]]]
    panoptic = np.array([[[9, 1, IGNORE, IGNORE]]], np.uint8)
    sample = VideoSample(frames, labels, {1: "cat", 2: "dog"}, panoptic=panoptic, stuff={9: "sky"})
    assert sample.semantic(["dog", "sky", "cat"]).tolist() == [[[1, 2, NO_CLASS, NO_CLASS]]]
    with pytest.raises(ValueError, match="panoptic"):
        VideoSample(frames, labels, panoptic=panoptic[:, :, :2])


def test_photos_leave_pixels_unknown_and_nothing_to_say(tmp_path):
    Image.fromarray(np.full((60, 90, 3), 90, np.uint8)).save(tmp_path / "a.png")
    dataset, unknown = SynthVS(size=SMALL, num_frames=2, photos=tmp_path), 0
    for clip in range(8):
        sample = dataset[clip]
        assert not sample.expressions
        unknown += int((sample.panoptic == UNKNOWN).any())
        assert (sample.semantic(vocabulary().names)[sample.panoptic == UNKNOWN] == NO_CLASS).all()
    assert unknown > 3


def test_the_vocabulary_lists_every_thing_and_all_stuff_once():
    words = vocabulary()
    assert (len(words.things), len(words.stuff), len(set(words.groups.values()))) == (361, 24, 30)
    assert len(set(words.names)) == 385 and words.unseen < set(words.things)
    named = vocabularies.vocabulary("synth")  # what `--categories synth` means
    assert named.names == words.names and named.things == frozenset(range(361))
    train = {noun for clip in range(25) for noun in SynthVS(size=SMALL, num_frames=1)[clip].categories.values()}
    assert train and not train & words.unseen


def test_tables_of_words_name_what_there_is():
    things, groups = set(vocabulary().things), set(vocabulary().groups.values())
    for names in ALIKE:
        assert names <= things | {"book"} and len(names) > 1
    for kind in KINDS.values():
        assert kind.groups <= groups and kind.doubtful <= groups | things
    assert KINDS["animal"].holds("owl") and KINDS["animal"].holds("lion head") is None
    assert KINDS["animal"].holds("car") is False
    assert may_mean("ship", "passenger ship") and may_mean("dog", "poodle") and not may_mean("dog", "apple")
    assert spoken("red book") == "book" and spoken("books") == "books"
