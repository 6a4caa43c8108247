"""Where prompts are drawn, and which objects get one."""

from __future__ import annotations

import numpy as np

from univs.data.clips import ClipSettings, PromptDraws, prompt_clip
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


def test_boxes_are_drawn_with_care_or_without() -> None:
    """Up to 8 % of the box's size beside it, on every side; cut at the border."""
    rng, mask = np.random.default_rng(0), rectangle()
    assert np.array_equal(draw_box(rng, mask, 0.0), [20, 10, 60, 40])
    errors = np.stack([draw_box(rng, mask, 0.25) for _ in range(400)]) - (20, 10, 60, 40)
    assert (np.abs(errors) <= (10, 7.5, 10, 7.5)).all() and (np.abs(errors).max(0) > (8, 6, 8, 6)).all()
    assert np.abs(errors.mean(0)).max() < 0.6 and (errors < 0).mean() < 0.6
    usual = np.stack([draw_box(rng, mask) for _ in range(400)]) - (20, 10, 60, 40)
    assert np.abs(usual[:, 0]).max() > 2.4 and np.abs(usual[:, 0]).max() <= 3.2
    whole = np.stack([draw_box(rng, np.ones((30, 50), bool), 0.5) for _ in range(50)])
    assert (whole.min(0)[:2] == 0).all() and (whole.max(0)[2:] == (50, 30)).all()
    assert draw_box(rng, mask).dtype == np.float32


def test_the_draws_of_a_clip_say_how_many_clicks() -> None:
    labels = np.zeros((3, 32, 32), np.uint8)
    labels[:, 4:20, 6:25] = 5
    for clicks in (1, 3):
        draws = PromptDraws(first={"point": 1.0}, anew={"point": 1.0}, clicks=clicks)
        settings = ClipSettings({"photo": 1.0}, frames=3, prompts=draws)
        drawn = [prompt_clip(np.random.default_rng(seed), labels, [5], settings) for seed in range(30)]
        for prompts in ([first for first, _ in drawn], [anew for _, every in drawn for anew in every]):
            assert max(int((one.signs[0] >= 0).sum()) for one in prompts) == clicks


def test_one_to_three_clicks_of_which_later_ones_may_lie_beside() -> None:
    rng, mask = np.random.default_rng(0), rectangle()
    drawn = [draw_points(rng, mask) for _ in range(400)]
    counts = np.array([(signs >= 0).sum() for _, signs in drawn])
    assert all(abs((counts == n).mean() - 1 / 3) < 0.08 for n in (1, 2, 3))
    for points, signs in drawn:
        assert (points[signs == -1] == 0).all() and (np.modf(points[signs >= 0])[0] == 0.5).all()
        for (x, y), sign in zip(points.tolist(), signs.tolist(), strict=True):
            if sign == 0:
                gap = max(20 - x, x - 60, 10 - y, y - 40)
                assert 1 < gap < 0.4 * np.sqrt(1200) + 6, "just outside"
    later = np.concatenate([signs[1:][signs[1:] >= 0] for _, signs in drawn])
    assert 0.4 < later.mean() < 0.6
    assert all(draw_points(rng, mask, 1)[1].tolist() == [1, -1, -1] for _ in range(20))
    assert {int((draw_points(rng, mask, 2)[1] >= 0).sum()) for _ in range(40)} == {1, 2}
    full = [draw_points(rng, np.ones((8, 8), bool))[1] for _ in range(30)]
    assert all(0 not in signs for signs in full), "there is no place beside it"


def test_clicks_beside_an_object_lie_where_it_is_known_not_to_be() -> None:
    labels = rectangle().astype(np.uint8)
    labels[:, 64:] = 255  # the mirrored edge of a photo may show the object again
    beside = []
    for seed in range(200):
        made = draw_prompts(np.random.default_rng(seed), labels, [1], {"point": 1.0}, 1)
        beside += made.points[0][made.signs[0] == 0].tolist()
    assert len(beside) > 50 and max(x for x, _ in beside) < 64


def test_first_clicks_lie_between_a_third_and_nine_tenths_deep() -> None:
    rng, mask = np.random.default_rng(0), rectangle()
    depth = depth_of(mask)
    depths = []
    for _ in range(300):
        (x, y), *_ = draw_points(rng, mask)[0]
        depths.append(depth[int(y), int(x)] / depth.max())
    assert min(depths) >= 0.29 and max(depths) > 0.9 and 0.6 < np.mean(depths) < 0.85


def test_scribbles_are_bent_lines_five_wide_through_the_inside() -> None:
    rng, mask = np.random.default_rng(0), rectangle()
    areas, deep = [], depth_of(mask)
    for _ in range(60):
        stroke = draw_scribble(rng, mask)
        areas.append(stroke.sum())
        assert deep[stroke].max() >= 0.35 * deep.max() and not (stroke & ~mask).any() and stroke.dtype == bool
        ys, xs = np.nonzero(stroke)
        length = max(np.ptp(xs), np.ptp(ys)) + 1
        assert stroke.sum() >= min(3 * length, 13)
    assert 40 < np.mean(areas) < 260 and min(areas) >= 13
    inner = np.argwhere(deep >= 0.35 * deep.max())
    assert all(stroke[inner[:, 0], inner[:, 1]].any() for stroke in (draw_scribble(rng, mask) for _ in range(5)))
    thin = np.zeros((20, 20), bool)
    thin[10, 2:18] = True
    assert not (draw_scribble(rng, thin) & ~thin).any() and draw_scribble(rng, thin).any()


def test_kinds_are_drawn_by_their_shares() -> None:
    rng = np.random.default_rng(0)
    kinds = [draw_kind(rng, {"mask": 1.0, "scribble": 3.0}) for _ in range(600)]
    assert set(kinds) == {"mask", "scribble"} and abs(kinds.count("scribble") / 600 - 0.75) < 0.06


def test_several_objects_of_a_frame_have_rows_of_their_own() -> None:
    labels = np.zeros((60, 80), np.uint8)
    labels[5:25, 5:30], labels[30:55, 40:75] = 4, 9
    prompts = draw_prompts(np.random.default_rng(0), labels, [9, 7, 4], {"scribble": 1.0}, 4)
    assert prompts.ids.tolist() == [9, 0, 4, 0] and set(np.unique(prompts.strokes)) == {0, 4, 9}
    assert (labels[prompts.strokes == 9] == 9).all() and (labels[prompts.strokes == 4] == 4).all()
    boxes = draw_prompts(np.random.default_rng(0), labels, [9, 7, 4], {"box": 1.0}, 4).boxes
    assert np.abs(boxes[0] - (40, 30, 75, 55)).max() < 3 and np.abs(boxes[2] - (5, 5, 30, 25)).max() < 3
    assert not boxes[[1, 3]].any()


def test_scribbles_go_through_places_that_are_not_shallow() -> None:
    """Any at 0.35 of the greatest depth or more: outer ones among them, shallower ones never as an end."""
    rng, mask = np.random.default_rng(0), rectangle()
    deep = depth_of(mask) / depth_of(mask).max()
    shallowest = []
    for _ in range(200):
        ys, xs = np.nonzero(draw_scribble(rng, mask))
        shallowest.append(deep[ys, xs].min())
    # two pixels of growth lie beside the line: a seventh of the depth of 15
    assert min(shallowest) >= 0.35 - 2.2 / 15 and min(shallowest) < 0.3
