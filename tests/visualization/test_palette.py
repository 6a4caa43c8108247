from __future__ import annotations

import colorsys

from univs.visualization import object_color


def test_colours_are_bright_and_neighbours_differ() -> None:
    colors = [object_color(object_id) for object_id in range(1, 255)]
    assert len(set(colors[:100])) == 100
    assert all(max(color) == 255 for color in colors)
    hues = [colorsys.rgb_to_hsv(*color)[0] for color in colors]
    apart = [min(abs(a - b), 1 - abs(a - b)) for a, b in zip(hues, hues[1:], strict=False)]
    assert min(apart) > 0.15
