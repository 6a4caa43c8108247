from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from univs import Box, Categories, Mask, Points, Scribble, Text, UserError
from univs.prompts import validate_prompts

HEIGHT, WIDTH = 40, 60


def test_prompts_inside_the_frame_pass() -> None:
    for prompt in (
        Points(1, [(0, 0), (WIDTH - 0.5, HEIGHT - 0.5)], [True, False]),
        Box(1, (0, 0, WIDTH, HEIGHT)),
        Mask(1, np.eye(HEIGHT, WIDTH)),
        Scribble(1, [[(0, 0), (1, 1)]]),
    ):
        prompt.validate(HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (Points(2, [(5, 5), (60, 5)]), r"point \(60, 5\) of object 2 lies outside the frame; x must be in 0..59"),
        (Points(2, [(5, -1)]), "outside the frame"),
        (Box(3, (-1, 0, 5, 5)), "outside the frame"),
        (Box(3, (0, 0, 61, 5)), r"the box 0,0,61,5 of object 3 reaches outside the frame; x must be in 0..60"),
        (Mask(4, np.ones((HEIGHT, WIDTH + 1))), "is 61x40 pixels, the frame is 60x40"),
        (Mask(4, np.zeros((HEIGHT, WIDTH))), "the mask of object 4 is empty"),
        (Scribble(5, [[(0.5, 0.5), (0.5, 1.01)]]), "outside the frame"),
    ],
)
def test_prompts_that_do_not_fit_the_frame(prompt: Points | Box | Mask | Scribble, words: str) -> None:
    with pytest.raises(UserError, match=words):
        prompt.validate(HEIGHT, WIDTH)


def test_what_can_never_be_a_prompt() -> None:
    for make in (
        lambda: Points(0, [(1, 1)]),
        lambda: Points(True, [(1, 1)]),
        lambda: Points(1, []),
        lambda: Points(1, [(1, 1)], [True, False]),
        lambda: Points(1, [(1, float("nan"))]),
        lambda: Points(1, [(1, 2, 3)]),  # type: ignore[list-item]
        lambda: Box(1, (5, 5, 5, 9)),
        lambda: Box(1, (5, 5, 9)),  # type: ignore[arg-type]
        lambda: Box(1, (0, 0, float("inf"), 9)),
        lambda: Mask(1, np.ones((2, 2, 2))),
        lambda: Scribble(1, [[]]),
    ):
        with pytest.raises(UserError) as caught:
            make()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "mask",
    [
        np.where(np.eye(4) > 0, 5.0, -5.0),
        np.full((4, 4), 0.3),
        np.full((4, 4), np.nan),
        np.full((4, 4), 2.0, np.float16),
        np.full((4, 4), -1),
        np.full((4, 4), 1j),
        np.full((4, 4), "x"),
        [[1, 2], [3]],
        None,
        "mask.png",
    ],
)
def test_what_is_no_mask(mask: Any) -> None:
    """Logits and probabilities above all: as booleans every pixel of them would be the object."""
    with pytest.raises(UserError, match="the mask of object 1 ") as caught:
        Mask(1, mask)
    assert "\n" not in str(caught.value)


def test_floating_point_masks_of_0_and_1_pass() -> None:
    assert Mask(1, np.eye(4)).mask.sum() == 4 and Mask(1, np.eye(4, dtype=np.float16)).mask.dtype == bool
    with pytest.raises(UserError, match="give mask > 0 of logits, mask > 0.5 of probabilities"):
        Mask(1, np.full((4, 4), 0.3))


@pytest.mark.parametrize("xyxy", ["1234", ["1", "2", "3", "4"], None, 5, {1, 2, 3, 4}, [[1, 2, 3, 4]], (1, 2, None, 4)])
def test_what_is_no_box(xyxy: Any) -> None:
    with pytest.raises(UserError, match="four finite numbers"):
        Box(1, xyxy)


def test_arrays_are_boxes_and_points() -> None:
    assert Box(1, np.array([1, 2, 3, 4])).xyxy == (1.0, 2.0, 3.0, 4.0)  # type: ignore[arg-type]
    assert Points(1, np.array([[1, 2], [3, 4]]), np.array([True, False])).xy == ((1.0, 2.0), (3.0, 4.0))  # type: ignore[arg-type]


@pytest.mark.parametrize("xy", [None, 5, "12", ["12", "34"], [(1, "2")], [5], {(1, 2)}, [(float("inf"), 2)], [None]])
def test_what_are_no_points(xy: Any) -> None:
    with pytest.raises(UserError, match="the points of object 1"):
        Points(1, xy)
    with pytest.raises(UserError, match="the scribble of object 1"):
        Scribble(1, [xy])


@pytest.mark.parametrize("strokes", [None, 5, "0.1,0.2", [(0.1, 0.2), (0.3, 0.4)], {"path": 1}])
def test_what_are_no_strokes(strokes: Any) -> None:
    with pytest.raises(UserError, match="the scribble of object 1"):
        Scribble(1, strokes)


@pytest.mark.parametrize("flags", ["+", ["+"], 5, [None], [2]])
def test_what_are_no_flags(flags: Any) -> None:
    with pytest.raises(UserError, match="flags of object 1 must be a list of true and false"):
        Points(1, [(1, 2)], flags)


@pytest.mark.parametrize("object_id", [0, -1, 65536, 10**25, pytest.param(10**5000, id="huge"), True, 1.0, "1", None])
def test_ids_are_whole_numbers_that_16_bits_hold(object_id: Any) -> None:
    for make in (lambda: Box(object_id, (0, 0, 1, 1)), lambda: Mask(object_id, np.eye(2))):
        with pytest.raises(UserError, match="ids are whole numbers from 1 to 65535") as caught:
            make()
        assert len(str(caught.value)) < 120
    if object_id is not None:
        with pytest.raises(UserError, match="ids are whole numbers"):
            Text("the dog", object_id)


def test_ids_become_plain_numbers() -> None:
    """json, for one, takes no others."""
    assert type(Box(np.int64(65535), (0, 0, 1, 1)).object_id) is int  # type: ignore[arg-type]


@pytest.mark.parametrize("names", [None, 5, {"dog"}, {"dog": 1}, [1, 2], ["dog", None]])
def test_what_are_no_categories(names: Any) -> None:
    with pytest.raises(UserError, match="categories are a list of names"):
        Categories(names)


@pytest.mark.parametrize("things", [5, {"dog"}, [None], [0.5], [2], [-1]])
def test_what_are_no_things(things: Any) -> None:
    with pytest.raises(UserError, match="things are places among the 2 categories, 0 to 1"):
        Categories(("dog", "sky"), things)


def test_points_are_positive_unless_said_otherwise() -> None:
    assert Points(1, [(1, 2), (3, 4)]).labels == (True, True)
    assert Points(1, [(1, 2), (3, 4)], [1, 0]).labels == (True, False)


def test_mask_becomes_boolean() -> None:
    mask = Mask(7, np.array([[0, 2], [255, 0]], np.uint8)).mask
    assert mask.dtype == bool and mask.tolist() == [[False, True], [True, False]]


def test_scribble_is_drawn_as_the_davis_tools_do() -> None:
    """Vertices at fraction x (size - 1), rounded down; a line for each pair of vertices; a single vertex is a dot."""
    drawn = Scribble(1, [[(0, 0), (0.5, 0)], [(1, 1)], [(0.26, 0.999), (0.26, 0.5)]]).rasterize(5, 9)
    expected = np.zeros((5, 9), bool)
    expected[0, 0:5] = True  # 0.5 * 8 = 4
    expected[4, 8] = True
    expected[2:4, 2] = True  # 0.26 * 8 = 2.08, 0.999 * 4 = 3.996
    assert np.array_equal(drawn, expected)


def test_diagonal_scribble_matches_scikit_image() -> None:
    from skimage.draw import line

    drawn = Scribble(1, [[(0.1, 0.2), (0.9, 0.75)]]).rasterize(41, 61)
    rows, columns = line(8, 6, 30, 54)
    assert drawn.sum() == len(rows)
    distance = np.abs(np.argwhere(drawn)[:, None] - np.stack([rows, columns], 1)[None]).max(-1).min(1)
    assert distance.max() <= 1  # two Bresenham lines may round a half differently


def test_text_is_one_line_of_words() -> None:
    assert Text("  the dog\n that jumps ") == Text("the dog that jumps", None)
    assert Text("8", object_id=3).object_id == 3
    Text("a cat").validate(10, 10)
    for text in ("", "  ", "?!", None):
        with pytest.raises(UserError, match="holds no word"):
            Text(text)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="whole numbers from 1"):
        Text("dog", 0)


def test_categories_are_names() -> None:
    assert Categories(["red  car", "dog"]).names == ("red car", "dog")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="at least one"):
        Categories(())
    with pytest.raises(UserError, match="not one text"):
        Categories("dog, cat")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="'dog' is given twice"):
        Categories(("dog", "cat", "dog"))
    with pytest.raises(UserError, match="not the name"):
        Categories(("dog", "-"))


def test_things_among_categories_are_places() -> None:
    assert Categories(("dog", "sky"), frozenset({0})).things == {0} and Categories(("dog",)).things is None
    with pytest.raises(UserError, match="places among the 2 categories"):
        Categories(("dog", "sky"), frozenset({2}))


@pytest.mark.parametrize("wrong", ["box", None, 0, Box, Categories(["a"])], ids=repr)
def test_what_is_no_prompt_is_refused(wrong: Any) -> None:
    with pytest.raises(UserError, match="is no prompt; give Points, Box, Mask, Scribble or Text"):
        validate_prompts([wrong], 9, 9)
