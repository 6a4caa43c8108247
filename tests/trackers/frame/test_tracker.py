"""Following frame by frame with a model whose answers are known: who owns a pixel, and what is remembered of whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tests.trackers.frame.films import everywhere, film, memory_of, moved, run, same, shown
from tests.trackers.scripted import SURE, ScriptedModel, area, cells, picture
from univs.prompts import Box, Mask, Points, Prompt, Scribble
from univs.settings import UnusedSetting
from univs.streaming import Session, segment


def test_every_object_is_followed_by_what_was_said_of_it() -> None:
    frames = film(6)
    late = [Points(4, [(70, 14)])]
    results = run(ScriptedModel(), frames, {0: [Mask(9, frames[0][..., 0] == 2), Box(7, (8, 8, 24, 24))], 2: late})
    assert [result.object_ids for result in results] == [(9, 7)] * 2 + [(9, 7, 4)] * 4
    for index, result in enumerate(results):
        for object_id, label in {9: 2, 7: 1, 4: 3}.items():
            if object_id in result.object_ids:
                assert same(result.labels == object_id, frames[index][..., 0] == label)
                assert result.scores[object_id] > 0.99
    assert results[0].scores[9] == 1 and results[0].scores[7] != 1  # given, and answered


def test_masks_given_later_are_answers_among_those_that_are_decoded() -> None:
    frames = film(4)
    corrected = area((0, 0, 12, 12))
    results = run(ScriptedModel(), frames, {0: shown(frames[0], 1, 2), 2: [Mask(1, corrected), *shown(frames[2], 3)]})
    assert ((results[2].labels == 1) == corrected).all()
    assert same(results[2].labels == 2, frames[2][..., 0] == 2) and results[2].object_ids == (1, 2, 3)
    assert results[2].scores[1] == results[2].scores[3] == 1 and results[2].scores[2] < 1
    assert same(results[3].labels == 3, frames[3][..., 0] == 3)


def test_where_objects_meet_the_surest_has_the_pixel() -> None:
    model = ScriptedModel()
    frames = film(2)
    said = ((0, 0, 64, 48), 2.0), ((0, 32, 64, 64), 6.0), ((0, 56, 64, 96), 1.0)
    left, middle, right = (cells(place, value) for place, value in said)
    for label, logits in zip((1, 2, 3), (left, middle, right), strict=True):
        model.answers[1, label] = logits
    _, result = run(model, frames, {0: shown(frames[0], 1, 2, 3)})
    wanted = np.zeros((64, 96), int)
    wanted[:, :32], wanted[:, 32:64], wanted[:, 64:] = 1, 2, 3
    inner = [4, 12, 28, 36, 52, 60, 70, 80, 92]
    assert (result.labels[:, inner] == wanted[:, inner]).all()
    # odds of everybody against everybody, of which background is that nobody is there
    odds = torch.stack([left, middle, right])[:, 0].sigmoid().double()
    all_odds = torch.cat([(1 - odds).prod(0, keepdim=True), odds])
    joint = all_odds / (1 - all_odds)
    joint = joint / joint.sum(0)
    owner = joint.argmax(0)
    for n in (1, 2, 3):
        assert result.scores[n] == pytest.approx(float(joint[n][owner == n].mean()), abs=1e-4)
    written = memory_of(model).written[1][1]
    torch.testing.assert_close(written[:, 0], joint[1:].float(), atol=1e-4, rtol=0)


def test_the_margin_is_nobodys() -> None:
    """Frames of 60 x 84 are padded to 64 x 96: cells from row 15 and column 21 on."""
    model, size = ScriptedModel(), (60, 84)
    frames = [picture(index, moved(index, 1, 2), size) for index in range(3)]
    model.answers[1, 1] = everywhere(4.0)
    only_outside = everywhere(-SURE)
    only_outside[15:], only_outside[:, 21:] = SURE, SURE
    model.answers[1, 2] = only_outside
    results = run(model, frames, {0: shown(frames[0], 1, 2)})
    assert results[1].labels.shape == size and (results[1].labels == 1).all()
    assert results[1].scores[2] == 0 and results[1].scores[1] == pytest.approx(1 / (1 + np.exp(-8)), abs=1e-4)
    for _, written in memory_of(model).written:
        assert written[:, 15:].max() < 1e-4 and written[:, :, 21:].max() < 1e-4
    (tokens,) = (masks for index, masks in model.encoded if index == 1)
    assert len(tokens) == 1  # of the one that can be seen
    assert tokens[0, :60, :84].min() > 0.9 and tokens[0, 60:].max() < 1e-4 and tokens[0, :, 84:].max() < 1e-4


def test_an_object_lies_in_its_box_on_the_frame_of_the_box() -> None:
    model, frames = ScriptedModel(), film(4)
    model.answers.update(dict.fromkeys([(0, 1), (1, 1), (2, 1)], everywhere()))
    box = Box(1, (8, 8, 24, 24))
    results = run(model, frames, {0: [box], 2: [box]})
    inside = area((4, 4, 28, 28))  # give or take half a cell and a twentieth of its side
    for index in (0, 2):
        assert not (results[index].labels[~inside] == 1).any() and (results[index].labels[8:24, 8:24] == 1).all()
    assert (results[1].labels == 1).all()
    free = run(model, frames, {0: [box]}, confine_prompts=False)
    assert (free[0].labels == 1).all()


def test_an_object_of_two_boxes_may_lie_in_both() -> None:
    model = ScriptedModel()
    model.answers.update({(0, label): everywhere() for label in (1, 2)})
    (result,) = run(model, film(1), {0: [Box(1, (8, 8, 24, 24)), Box(1, (32, 40, 64, 56))]})
    assert (result.labels[10:22, 10:22] == 1).all() and (result.labels[42:54, 34:62] == 1).all()
    assert not result.labels[area((0, 70, 64, 96))].any() and not result.labels[30:34].any()


def test_only_the_object_of_the_box_is_confined() -> None:
    model, frames = ScriptedModel(), film(2)
    model.answers[1, 1] = cells((0, 0, 64, 32))
    results = run(model, frames, {0: shown(frames[0], 1), 1: [Box(2, (32, 44, 64, 60))]})
    assert same(results[1].labels == 1, area((0, 0, 64, 32))) and same(results[1].labels == 2, frames[1][..., 0] == 2)


@pytest.mark.parametrize(("size", "scale"), [((64, 96), 1), ((128, 192), 2)])
def test_boxes_are_boxes_of_the_frame_whatever_the_model_sees(size: tuple[int, int], scale: int) -> None:
    model = ScriptedModel()
    model.answers.update({(0, label): everywhere() for label in range(1, 7)})
    box = Box(1, tuple(scale * side for side in (40, 8, 72, 40)))
    (result,) = run(model, [picture(0, {1: (0, 0, *size)}, size)], {0: [box]}, size=64)
    y, x = np.nonzero(result.labels)
    assert result.labels.shape == size and abs(y.min() / scale - 8) <= 4 and abs(y.max() / scale - 40) <= 4
    assert abs(x.min() / scale - 40) <= 4 and abs(x.max() / scale - 72) <= 4


def test_a_new_object_is_the_parts_that_were_clicked_at() -> None:
    parts = cells((8, 8, 24, 24)) + cells((40, 8, 56, 24), 2 * SURE, 0) + cells((8, 64, 24, 88), 2 * SURE, 0)
    model, frames = ScriptedModel(), film(3, 1)
    model.answers.update(dict.fromkeys([(0, 1), (1, 1), (2, 1)], parts))
    clicks = Points(1, [(12, 12), (70, 12), (12, 50)], [True, True, False])
    first, second, third = run(model, frames, {0: [clicks], 2: [Points(1, [(12, 12)])]})
    assert same(first.labels == 1, area((8, 8, 24, 24)) | area((8, 64, 24, 88)))
    whole = area((8, 8, 24, 24)) | area((8, 64, 24, 88)) | area((40, 8, 56, 24))
    assert np.logical_xor(second.labels == 1, whole).sum() <= 12  # followed: all of it
    assert np.logical_xor(third.labels == 1, whole).sum() <= 12  # known, so a click takes nothing away
    (unconfined, *_) = run(model, frames, {0: [Points(1, [(12, 12)])]}, confine_prompts=False)
    assert (unconfined.labels[40:56, 8:24] == 1).mean() > 0.9


def test_a_click_beside_a_known_object_is_about_a_new_one() -> None:
    model, frames = ScriptedModel(), film(3)
    model.answers[1, 1] = cells((8, 8, 24, 24)) + cells((40, 80, 56, 92), 2 * SURE, 0)  # in two parts
    results = run(
        model, frames, {0: [Mask(5, frames[0][..., 0] == 1)], 1: [Points(6, [(40, 50), (14, 14)], [True, False])]}
    )
    assert results[1].object_ids == (5, 6)
    assert (results[1].labels[40:56, 80:92] == 5).mean() > 0.9 and (results[1].labels[10:22, 10:22] == 5).all()
    # a negative click makes the model less sure, and the mask a pixel smaller on each side
    assert all(same(r.labels == 6, f[..., 0] == 2, 96) for r, f in zip(results[1:], frames[1:], strict=True))


def test_what_is_new_reads_its_own_prompt_and_what_is_known_the_memory() -> None:
    model, frames = ScriptedModel(), film(4)
    prompts: dict[int, Sequence[Prompt]] = {
        0: shown(frames[0], 1),
        1: [Box(2, (32, 40, 64, 56)), Points(2, [(60, 42)], [False]), Points(1, [(14, 14)])],
    }
    run(model, frames, prompts)
    one, two = (asked.request.dense for asked in model.asked if asked.frames in ((1,), (2,)))
    assert one is not None and two is not None and one.shape == (1, 2, 7, 16, 24)
    known, fresh = one[0]
    assert known[1].max() == 0 and fresh[1].min() == 1  # asked for again, the known one reads the memory all the same
    torch.testing.assert_close(known[0, 2:6, 2:6], torch.full((4, 4), 0.25), atol=1e-3, rtol=0)  # cells of 16 pixels
    torch.testing.assert_close(known[2, 2:6, 2:6], torch.ones(4, 4), atol=1e-3, rtol=0)
    assert known[0, 8:].max() < 1e-3
    box = cells((40, 32, 56, 64), 1, 0)
    y, x = torch.meshgrid(4 * torch.arange(16) + 2, 4 * torch.arange(24) + 2, indexing="ij")
    box[(y - 42) ** 2 + (x - 60) ** 2 <= 64] = 0
    assert torch.equal(fresh[0], box)
    assert two[0, :, 1].max() == 0 and two[0, 1, 2, 12:14, 8:14].min() > 0.9
    assert model.asked[0].frames == (1,)  # a given mask alone asks nobody


def test_strokes_and_clicks_are_rough_entries_too() -> None:
    model, frames = ScriptedModel(), film(1)
    run(model, frames, {0: [Scribble(1, [[(0.1, 0.28), (0.2, 0.28)]]), Points(2, [(50, 50)])]}, strokes="drawn")
    dense = model.asked[0].request.dense
    assert dense is not None
    assert dense[0, 0, 0, 4, 2:5].min() == 1 and dense[0, 0, 0].sum() <= 6
    y, x = torch.meshgrid(4 * torch.arange(16) + 2, 4 * torch.arange(24) + 2, indexing="ij")
    assert torch.equal(dense[0, 1, 0] > 0, (y - 50) ** 2 + (x - 50) ** 2 <= 64)


def test_a_scribble_is_seen_as_clicks_along_it() -> None:
    """In place of the strokes, beside what else is said."""
    stroke, click = Scribble(1, [[(0.1, 0.3), (0.5, 0.3)], [(0.2, 0.5)]]), Points(1, [(50, 50)], [False])
    height, width = film(1)[0].shape[:2]
    dots = [(f * (width - 1) + 0.5, 0.3 * (height - 1) + 0.5) for f in (0.2, 0.3, 0.4)]
    last = (0.2 * (width - 1) + 0.5, 0.5 * (height - 1) + 0.5)
    asked = []
    for said in ([stroke, click], [click, Points(1, [*dots, last])]):
        model = ScriptedModel()
        run(model, film(1), {0: said})
        asked.append(model.asked[0].request)
    one, other = asked
    assert one.dense is not None and other.dense is not None and torch.equal(one.dense, other.dense)
    assert one.prompts is not None and other.prompts is not None
    assert torch.equal(one.prompts.tokens, other.prompts.tokens)


def test_who_is_named_first_does_not_matter() -> None:
    frames = film(5)
    runs = []
    for order in ((1, 2, 3), (3, 1, 2)):
        model = ScriptedModel()
        model.answers[2, 1], model.answers[2, 2] = cells((0, 0, 40, 60), 3.0), cells((20, 20, 64, 96), 1.5)
        runs.append(run(model, frames, {0: [Mask(10 * label, frames[0][..., 0] == label) for label in order]}))
    for ours, theirs in zip(*runs, strict=True):
        assert (ours.labels == theirs.labels).all() and ours.object_ids == (10, 20, 30) != theirs.object_ids
        assert ours.scores == pytest.approx(dict(theirs.scores))


def test_frames_that_come_later_change_nothing() -> None:
    frames = film(6)
    prompts = {0: shown(frames[0], 1), 3: [Box(2, (32, 44, 64, 60))]}
    whole = run(ScriptedModel(), frames, prompts)
    for stop in (2, 4):
        for ours, theirs in zip(run(ScriptedModel(), frames[:stop], prompts), whole, strict=False):
            assert (ours.labels == theirs.labels).all() and ours.scores == theirs.scores
    offline = list(segment(ScriptedModel(), frames, prompts))
    assert all((a.labels == b.labels).all() and a.scores == b.scores for a, b in zip(offline, whole, strict=True))


def test_until_somebody_is_known_nobody_is_looked_for() -> None:
    model, frames = ScriptedModel(), film(4)
    results = run(model, frames, {2: shown(frames[2], 1)})
    assert [result.object_ids for result in results] == [(), (), (1,), (1,)]
    assert not results[1].labels.any() and not results[1].scores
    assert [asked.frames for asked in model.asked] == [(3,)] and [i for i, _ in memory_of(model).written] == [2, 3]


def test_prompts_alone_carry_an_object_where_there_is_no_dense_memory() -> None:
    model, frames = ScriptedModel(dense=False), film(4)
    results = run(model, frames, {0: [Box(1, (8, 8, 24, 24)), Mask(2, frames[0][..., 0] == 2)]})
    assert all(
        same(r.labels == label, f[..., 0] == label) for f, r in zip(frames, results, strict=True) for label in (1, 2)
    )
    assert all(asked.request.dense is None for asked in model.asked)


def test_the_decoder_is_asked_as_the_options_say() -> None:
    for name in ("sep", "sep-blocked"):
        model, frames = ScriptedModel(), film(2)
        run(model, frames, {0: shown(frames[0], 1)}, self_attention=name)
        request = model.asked[0].request
        assert request.self_attention == name and not request.learnable


@pytest.mark.parametrize("options", [{"initial_query": "frame"}, {"memory_encoding": "next_clip"}, {"clip_length": 3}])
def test_what_frames_alone_have_no_use_for_is_said(options: dict[str, Any]) -> None:
    with pytest.warns(UnusedSetting, match=f"the task vos leaves unused: {next(iter(options))}"):
        session = Session(ScriptedModel(), **options)
    assert [result.frame_index for result in session.push(film(1)[0])] == [0]
