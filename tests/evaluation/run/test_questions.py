"""What is asked when, of recordings whose answers do not matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from univs.errors import UserError
from univs.evaluation.run.questions import (
    ask_classes,
    ask_described,
    ask_named_and_shown,
    ask_shown,
    prompt_of,
    prompted_by,
)
from univs.formats import Expression, FrameLabels, Recording, RecordingSet
from univs.prompts import Box, Mask, Points, Scribble, Text

DATA = RecordingSet("x", "val", Path(), ())
LABELS = np.array([[0, 1, 2], [3, 3, 255]], np.uint8)
PANOPTIC = np.array([[9, 1, 2], [3, 3, 255]], np.uint8)
FRAMES = tuple(Path(f"{number}.jpg") for number in range(6))


def recording(**fields: object) -> Recording:
    known = {"annotated": tuple(range(6)), "labels": lambda index: FrameLabels(LABELS, PANOPTIC)}
    return Recording("a", FRAMES, **{**known, **fields})  # type: ignore[arg-type]


def test_objects_are_shown_once_where_they_appear() -> None:
    question = ask_shown(recording(shown={2: 4, 1: 2, 3: 4}), DATA)
    assert question.starts == (2, 4) and question.object_ids == (1, 2, 3)
    said = {start: question.says(start) for start in question.starts}
    assert all(isinstance(one, Mask) for each in said.values() for one in each)
    assert [one.object_id for one in said[2]] == [1] and [one.object_id for one in said[4]] == [2, 3]
    assert np.array_equal(said[4][1].mask, LABELS == 3)
    with pytest.raises(UserError, match="a: objects are shown at 2.jpg, which has no labels"):
        ask_shown(recording(shown={1: 2}, annotated=(0,)), DATA).says(2)


def test_stuff_is_shown_and_named() -> None:
    asked = recording(shown={9: 0, 1: 0}, categories={1: "traffic_light"}, stuff={})
    light, name, stuff = ask_named_and_shown(asked, DATA).says(0)
    assert np.array_equal(light.mask, PANOPTIC == 1) and name == Text("traffic light", 1)
    assert np.array_equal(stuff.mask, PANOPTIC == 9)


def test_expressions_are_said_at_the_start() -> None:
    said = (Expression("0", "a cat", 7), Expression("1", "a dog", 7))
    question = ask_described(recording(expressions=said), DATA)
    assert question.starts == (0,) and question.object_ids == (1, 2)
    assert question.says(0) == [Text("a cat", 1), Text("a dog", 2)]
    assert ask_described(recording(), DATA).starts == ()


def test_a_box_is_tight_and_a_click_deepest_inside() -> None:
    mask = np.zeros((9, 12), bool)
    mask[2:7, 3:12] = True  # five rows high, and it touches the right edge
    mask[4, 1:3] = True
    assert prompt_of("box", 7, mask) == Box(7, (1, 2, 12, 7))
    # Row 4 is 3 from what lies above and below; its first pixel that is as far from the left is asked for.
    assert prompt_of("point", 7, mask) == Points(7, [(5.5, 4.5)])
    shown = prompt_of("mask", 7, mask)
    assert isinstance(shown, Mask) and shown.object_id == 7 and np.array_equal(shown.mask, mask)
    corner = np.zeros((9, 12), bool)
    corner[:3, :3] = True
    assert prompt_of("point", 1, corner) == Points(1, [(1.5, 1.5)]), "the edge of the frame is an edge of the object"
    for kind in ("box", "point", "scribble"):
        with pytest.raises(UserError, match=f"object 7 cannot be shown by a {kind}"):
            prompt_of(kind, 7, np.zeros((3, 3), bool))  # type: ignore[arg-type]


def test_strokes_are_those_of_the_robot_on_the_object_alone() -> None:
    mask = np.zeros((60, 90), bool)
    mask[10:20, 10:80], mask[40:55, 20:30] = True, True
    drawn = prompt_of("scribble", 7, mask)
    assert isinstance(drawn, Scribble) and drawn.object_id == 7 and len(drawn.strokes) == 2
    touched = drawn.rasterize(60, 90)
    assert not (touched & ~mask).any() and touched[10:20, 20:70].any(0).all() and touched[45:50].any()
    dab = np.zeros((9, 12), bool)
    dab[4, 11] = True
    assert np.argwhere(prompt_of("scribble", 1, dab).rasterize(9, 12)).tolist() == [[4, 11]]  # type: ignore[union-attr]


def test_other_prompts_ask_the_same(tmp_path: Path) -> None:
    asked = recording(shown={2: 4, 1: 2, 3: 4}, categories={1: "cat"})
    question = prompted_by(ask_shown, "box", "davis17")(asked, DATA)
    assert question.starts == (2, 4) and question.object_ids == (1, 2, 3)
    assert question.says(2) == [Box(1, (1, 0, 2, 1))]
    assert question.says(4) == [
        Box(2, (2, 0, 3, 1)),
        Box(3, (0, 1, 2, 2)),
    ]
    assert question.shown is not None
    assert {number: mask.sum() for number, mask in question.shown(4).items()} == {2: 1, 3: 2}
    named = prompted_by(ask_named_and_shown, "point", "viposeg")(asked, DATA)
    assert named.says(2) == [Points(1, [(1.5, 0.5)]), Text("cat", 1)]
    with pytest.raises(UserError, match="vspw shows no objects, so prompt=box cannot be"):
        prompted_by(ask_classes, "box", "vspw")
