from __future__ import annotations

import numpy as np
import pytest

from univs import Box, Categories, Mask, Points, Scribble, Text, UserError

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
