from __future__ import annotations

import colorsys

from univs.visualization import davis_palette, object_color

# The start of the palette in the PNGs of DAVIS-2017.
DAVIS = [
    *((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128), (128, 128, 128)),
    *((64, 0, 0), (191, 0, 0), (64, 128, 0), (191, 128, 0), (64, 0, 128), (191, 0, 128), (64, 128, 128)),
    *((191, 128, 128), (0, 64, 0), (128, 64, 0), (0, 191, 0), (128, 191, 0), (0, 64, 128), (128, 64, 128)),
    *((22, 22, 22), (23, 23, 23)),
]


def test_davis_palette() -> None:
    palette = davis_palette()
    assert len(palette) == 768
    assert palette[: 3 * len(DAVIS)] == [value for color in DAVIS for value in color]
    assert palette[-3:] == [255, 255, 255]


def test_colours_are_bright_and_neighbours_differ() -> None:
    colors = [object_color(object_id) for object_id in range(1, 255)]
    assert len(set(colors[:100])) == 100
    assert all(max(color) == 255 for color in colors)
    hues = [colorsys.rgb_to_hsv(*color)[0] for color in colors]
    apart = [min(abs(a - b), 1 - abs(a - b)) for a, b in zip(hues, hues[1:], strict=False)]
    assert min(apart) > 0.15
