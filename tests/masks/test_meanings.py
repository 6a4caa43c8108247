"""Rules on arrays: what is one object, what are ids, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from univs import UserError
from univs.masks.meanings import coloured_objects, edges_of, grey_objects, indexed_objects, opaque_objects

HEIGHT, WIDTH = 64, 96


def shapes(*values: int, smooth: bool = False) -> np.ndarray:
    """Two discs side by side (one, if one value is given) of these values on 0, with hard or antialiased edges."""
    scale = 4 if smooth else 1
    image = Image.new("L", (WIDTH * scale, HEIGHT * scale))
    draw = ImageDraw.Draw(image)
    for place, value in enumerate(values):
        left = 6 + 45 * place
        draw.ellipse([scale * edge for edge in (left, 10, left + 38, 50)], fill=value)
    return np.array(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX))


def counts(labels: np.ndarray) -> dict[int, int]:
    return dict(zip(*(part.tolist() for part in np.unique(labels[labels > 0], return_counts=True)), strict=True))


def test_black_and_white_alone_are_one_object() -> None:
    mask = shapes(255)
    for found in (grey_objects(mask, "m"), indexed_objects(mask, "m")):
        assert np.array_equal(found.ids, (mask > 0).astype(np.uint8)) and not found.void.any()
    deep = grey_objects(mask.astype(np.int32) * 257, "m", 65535)
    assert np.array_equal(deep.ids, (mask > 0).astype(np.uint8))


@pytest.mark.parametrize(("first", "second"), [(1, 2), (3, 40), (100, 200), (254, 7)])
def test_hard_levels_are_ids(first: int, second: int) -> None:
    mask = shapes(first, second)
    for found in (grey_objects(mask, "m"), indexed_objects(mask, "m")):
        assert np.array_equal(found.ids, mask) and not found.void.any()


def test_255_beside_ids_is_void() -> None:
    mask = shapes(1, 2)
    mask[-5:] = 255
    for found in (grey_objects(mask, "m"), indexed_objects(mask, "m")):
        assert counts(found.ids) == counts(mask[:-5]) and int(found.void.sum()) == 5 * WIDTH


def test_255_beside_other_greys_is_refused() -> None:
    mask = shapes(128, 255)
    with pytest.raises(UserError, match="128, 255: ids beside 255"):
        grey_objects(mask, "m")
    assert counts(indexed_objects(mask, "m").ids) == {128: int((mask == 128).sum())}  # of indices there is no doubt


def test_smoothed_edges_of_one_bright_object_are_cut_at_half() -> None:
    mask = shapes(255, smooth=True)
    assert len(np.unique(mask)) > 5
    assert np.array_equal(grey_objects(mask, "m").ids, (mask > 127).astype(np.uint8))
    blurred = np.asarray(
        Image.fromarray(shapes(255)).resize((24, 16)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    )
    assert np.array_equal(grey_objects(blurred, "m", single=True).ids, (blurred > 127).astype(np.uint8))


@pytest.mark.parametrize("values", [(100, 200), (1, 2, 3), (200,), (20, 40)])
def test_smoothed_edges_of_ids_are_refused(values: tuple[int, ...]) -> None:
    mask = shapes(*(10 * value for value in values), smooth=True) if max(values) < 10 else shapes(*values, smooth=True)
    with pytest.raises(UserError, match="smooth"):
        indexed_objects(mask, "m")
    with pytest.raises(UserError, match="grey levels with smoothed edges"):
        grey_objects(mask, "m")


def test_a_crowd_of_small_objects_is_not_smooth() -> None:
    """Forty objects of 2 x 2 pixels and two of one pixel's width: real, though none holds a square of 3 x 3."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number in range(40):
        row, column = divmod(number, 10)
        mask[4 + 8 * row : 6 + 8 * row, 4 + 8 * column : 6 + 8 * column] = number + 1
    mask[50, 10:80], mask[55:60, 40] = 41, 42
    assert edges_of(mask).thin == ()
    assert np.array_equal(indexed_objects(mask, "m").ids, mask)


def test_edges_are_counted_as_a_slow_loop_counts_them() -> None:
    mask = np.random.default_rng(3).integers(0, 4, (7, 9)).astype(np.uint8)
    beside, between = set(), set()
    for row in range(7):
        for column in range(9):
            for down, right in ((1, 0), (0, 1)):
                if not (down <= row < 7 - down and right <= column < 9 - right):
                    continue
                before, after = int(mask[row - down, column - right]), int(mask[row + down, column + right])
                here = int(mask[row, column])
                if (before, after) != (here, here):
                    beside.add((row, column))
                if before < here < after or before > here > after:
                    between.add((row, column))
    found = edges_of(mask)
    assert found.pixels == len(between) and found.share == pytest.approx(len(between) / len(beside))
    assert edges_of(np.zeros((1, 1), np.uint8)).pixels == edges_of(np.zeros((2, 5), np.uint8)).pixels == 0


def test_16_bits_are_ids_unless_they_might_be_void() -> None:
    mask = shapes(1, 2).astype(np.int32) * 300
    assert counts(grey_objects(mask, "m", 65535).ids) == counts(mask)
    for void in (255, 65535):
        mask[:3] = void
        if void == 65535 or mask.max() == void:
            with pytest.raises(UserError, match=f"holds {void} in 16 bits"):
                grey_objects(mask, "m", 65535)
    with pytest.raises(UserError, match="holds 255 in 16 bits"):
        grey_objects(shapes(255).astype(np.int32), "m", 65535)


def painted(mask: np.ndarray, colours: dict[int, tuple[int, int, int]]) -> np.ndarray:
    picture = np.zeros((*mask.shape, 3), np.uint8)
    for value, colour in colours.items():
        picture[mask == value] = colour
    return picture


def test_colours_of_the_palette_are_ids() -> None:
    mask = shapes(1, 2)
    picture = painted(mask, {1: (192, 0, 0), 2: (191, 128, 0)})
    assert counts(coloured_objects(picture, "m").ids) == {9: int((mask == 1).sum()), 11: int((mask == 2).sum())}
    assert (
        int(coloured_objects(painted(mask, {1: (0, 128, 0), 2: (224, 224, 192)}), "m").void.sum()) == (mask == 2).sum()
    )


@pytest.mark.parametrize("colour", [(255, 0, 0), (255, 255, 255), (1, 2, 3)])
def test_other_colours_are_refused(colour: tuple[int, int, int]) -> None:
    with pytest.raises(UserError, match=f"among them {','.join(map(str, colour))}"):
        coloured_objects(painted(shapes(1, 2), {1: (128, 0, 0), 2: colour}), "m")


def test_greys_in_three_channels_are_greys() -> None:
    mask = shapes(255)
    assert np.array_equal(coloured_objects(np.dstack([mask] * 3), "m").ids, mask // 255)
    ids = shapes(1, 2)
    assert np.array_equal(coloured_objects(np.dstack([ids] * 3), "m").ids, ids)
    with pytest.raises(UserError, match="object 7 of DAVIS, or 128"):
        coloured_objects(np.dstack([shapes(128)] * 3), "m")


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (12, 200, 7)])
def test_what_is_opaque_is_the_object(colour: tuple[int, int, int]) -> None:
    mask = shapes(255)
    picture = np.full((*mask.shape, 3), colour, np.uint8)
    assert np.array_equal(opaque_objects(picture, mask, "m").ids, mask // 255)
    smooth = shapes(255, smooth=True)
    assert np.array_equal(opaque_objects(picture, smooth, "m").ids, smooth > 127)
    assert np.array_equal(opaque_objects(picture, mask // 2, "m").ids, mask // 255)  # half transparent all over


def test_a_photo_cut_out_is_one_object_whatever_its_colours() -> None:
    mask, noise = shapes(255), np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    assert np.array_equal(opaque_objects(noise, mask, "m").ids, mask // 255)


def test_opaque_colours_of_the_palette_are_ids_and_others_are_refused() -> None:
    mask = shapes(1, 2)
    alpha = np.where(mask > 0, 255, 0).astype(np.uint8)
    ids = opaque_objects(painted(mask, {1: (0, 128, 0), 2: (128, 128, 0)}), alpha, "m").ids
    assert counts(ids) == {2: int((mask == 1).sum()), 3: int((mask == 2).sum())}
    with pytest.raises(UserError, match="2 colours where it is opaque"):
        opaque_objects(painted(mask, {1: (255, 0, 0), 2: (0, 0, 255)}), alpha, "m")


def test_alpha_that_tells_nothing() -> None:
    mask = shapes(255)
    picture = np.dstack([mask] * 3)
    assert np.array_equal(opaque_objects(picture, np.full_like(mask, 255), "m").ids, mask // 255)
    for alpha, words in ((np.zeros_like(mask), "all of it"), (np.clip(mask, 60, 255), "nothing in it")):
        with pytest.raises(UserError, match=words):
            opaque_objects(picture, alpha, "m")
    ramp = np.repeat(np.arange(0, 192, 2, dtype=np.uint8)[None], HEIGHT, 0)
    with pytest.raises(UserError, match="half transparent in places"):
        opaque_objects(np.zeros_like(picture), np.repeat(ramp, 3, 1)[:, :WIDTH], "m")
