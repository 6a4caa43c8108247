"""Where prompts are drawn, and which objects get one."""

from __future__ import annotations

import numpy as np

from univs.data.clips import ClipSettings, PromptDraws, listed_objects, prompt_clip
from univs.data.prompt_drawing import KINDS, depth_of, draw_box, draw_kind, draw_points, draw_prompts, draw_scribble


def rectangle() -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[10:40, 20:60] = True
    return mask


def test_prompts_lie_where_a_person_would_put_them() -> None:
    rng, mask = np.random.default_rng(0), rectangle()
    seen = set()
    for _ in range(40):
        points, signs = draw_points(rng, mask)
        for (x, y), sign in zip(points.tolist(), signs.tolist(), strict=True):
            assert sign == -1 or bool(mask[int(y), int(x)]) == bool(sign)
        assert signs[0] == 1 and min(points[0, 0] - 20, 60 - points[0, 0], points[0, 1] - 10, 40 - points[0, 1]) >= 4
        seen |= set(signs.tolist())
        x0, y0, x1, y1 = draw_box(rng, mask).tolist()
        assert abs(x0 - 20) <= 3.3 and abs(y0 - 10) <= 2.5 and abs(x1 - 60) <= 3.3 and abs(y1 - 40) <= 2.5
        scribble = draw_scribble(rng, mask)
        assert scribble.any() and not (scribble & ~mask).any()
    assert seen == {-1, 0, 1}
    assert {draw_kind(rng, {"box": 0.5, "mask": 0.5}) for _ in range(40)} == {"box", "mask"}


def test_depth_counts_from_the_border_too() -> None:
    depth = depth_of(np.ones((7, 9), bool))
    assert depth[0, 0] == 1 and depth[3, 4] == 4


def test_an_object_that_is_not_on_the_frame_gets_no_prompt() -> None:
    labels = np.zeros((60, 80), np.uint8)
    labels[rectangle()] = 7
    for kind in KINDS:
        prompts = draw_prompts(np.random.default_rng(0), labels, [7, 9], {kind: 1.0}, 3)
        assert prompts.ids.tolist() == [7, 0, 0] and prompts.kinds[0] == KINDS.index(kind)
        assert prompts.boxes[0].any() == (kind == "box") and (prompts.signs[0] >= 0).any() == (kind == "point")
        assert set(np.unique(prompts.strokes)) == ({0, 7} if kind == "scribble" else {0})
        assert not prompts.boxes[1:].any() and (prompts.signs[1:] == -1).all()


def test_large_objects_are_prompted_more_often_than_small_ones() -> None:
    labels = np.zeros((1, 256, 256), np.uint8)
    labels[0, 100:200, 100:200] = 1
    for number in range(2, 8):
        labels[0, :10, number * 20 : number * 20 + 10] = number
    labels[0, 250:255, :5] = 9  # too small to be asked for
    settings = ClipSettings({}, prompts=PromptDraws(objects=1, frames=1))
    rng = np.random.default_rng(0)
    asked = [int(prompt_clip(rng, labels, (1,), settings)[1][0].ids[0]) for _ in range(300)]
    share = asked.count(1) / 300  # by square roots of areas: 100 of 160; by count it were one in seven
    assert 0.52 < share < 0.72 and 9 not in asked and len(set(asked)) == 7


def test_the_largest_objects_are_listed() -> None:
    labels = np.zeros((300, 300), np.uint8)
    for number in range(1, 31):
        labels[number * 9 : number * 9 + 8, : 8 + number] = number
    labels[0, :10] = 99
    assert listed_objects(labels).tolist() == list(range(7, 31))
