"""Following frame by frame with a model whose answers are known: who owns a pixel, and what is remembered of whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.trackers.scripted import SURE, Rectangle, ScriptedMemory, ScriptedModel, area, cells, colour, picture
from univs.prompts import Box, Mask, Points, Prompt, Scribble
from univs.results import FrameResult
from univs.settings import UnusedSetting
from univs.streaming import Session, segment

PLACES: dict[int, Rectangle] = {1: (8, 8, 24, 24), 2: (40, 32, 56, 64), 3: (8, 64, 24, 88)}


def moved(index: int, *labels: int) -> dict[int, Rectangle]:
    """Where the objects are on a frame: they go up and down by a cell."""
    step = 4 * (index % 2)
    places = {label: PLACES[label] for label in labels or PLACES}
    return {label: (top + step, left, bottom + step, right) for label, (top, left, bottom, right) in places.items()}


def film(count: int, *labels: int) -> list[NDArray[np.uint8]]:
    return [picture(index, moved(index, *labels)) for index in range(count)]


def run(
    model: ScriptedModel, frames: Sequence[NDArray[np.uint8]], prompts: Mapping[int, Sequence[Prompt]], **options: Any
) -> list[FrameResult]:
    with Session(model, keep_results=False, **options) as session:
        return [session.step(frame, prompts.get(index, ())) for index, frame in enumerate(frames)] + session.flush()


def shown(frame: NDArray[np.uint8], *labels: int) -> list[Prompt]:
    """The masks of these colours, under their numbers."""
    return [Mask(label, frame[..., 0] == label) for label in labels]


def same(mask: NDArray[Any], wanted: NDArray[Any], differ: int = 8) -> bool:
    """Whether two masks are equal but for the corners that enlarging rounds off."""
    return bool(np.logical_xor(mask, wanted).sum() <= differ)


def memory_of(model: ScriptedModel) -> ScriptedMemory:
    assert isinstance(model.dense_memory, ScriptedMemory)
    return model.dense_memory


def everywhere(value: float = SURE) -> Tensor:
    return torch.full((16, 24), value)


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
    one, two = (asked.dense for asked in model.asked if asked.frames in ((1,), (2,)))
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
    run(model, frames, {0: [Scribble(1, [[(0.1, 0.28), (0.2, 0.28)]]), Points(2, [(50, 50)])]})
    dense = model.asked[0].dense
    assert dense is not None
    assert dense[0, 0, 0, 4, 2:5].min() == 1 and dense[0, 0, 0].sum() <= 6
    y, x = torch.meshgrid(4 * torch.arange(16) + 2, 4 * torch.arange(24) + 2, indexing="ij")
    assert torch.equal(dense[0, 1, 0] > 0, (y - 50) ** 2 + (x - 50) ** 2 <= 64)


def remembered(
    count: int, frames: int, interval: int, pinned: Sequence[int], unseen: Sequence[int] = ()
) -> list[set[int]]:
    """Frames read on 1, 2, ...: those kept (the first pin, the newest others, what passes by) and the one before."""
    kept: list[int] = []
    read = []
    for index in range(count):
        if index:
            read.append({*kept, index - 1})
        if index in pinned or (index not in unseen and index - kept[-1] >= interval):
            kept.append(index)
        pins = [i for i in kept if i in pinned]
        held = {pins[0], *pins[1:][-max(0, frames - 3) :]} if frames > 3 else {pins[0]}
        while len(kept) > frames:
            kept.remove(next(i for i in kept if i not in held))
    return read


@pytest.mark.parametrize(
    ("frames", "interval", "pinned", "unseen"),
    [(4, 3, (0,), ()), (4, 2, (0, 5), ()), (3, 1, (0,), (4, 5, 6)), (5, 2, (0, 3, 4, 9, 11), (6, 7, 8))],
)
def test_the_memory_is_bounded_and_of_the_right_frames(
    frames: int, interval: int, pinned: tuple[int, ...], unseen: tuple[int, ...]
) -> None:
    model, pictures = ScriptedModel(), film(16, 1)
    for index in unseen:
        model.answers[index, 1] = everywhere(-SURE)
    prompts = {index: shown(pictures[index], 1) for index in pinned}
    run(model, pictures, prompts, dense_frames=frames, dense_interval=interval)
    wanted = remembered(16, frames, interval, pinned, unseen)
    read = {index: set(kept) for index, kept, _ in memory_of(model).reads}
    assert read == {index: kept for index, kept in enumerate(wanted, start=1) if index not in pinned}
    assert memory_of(model).windows == [(index, index - 1) for index in sorted(read)]
    assert max(len(kept) for kept in read.values()) <= frames + 1


def test_objects_read_the_frames_on_which_they_were_known() -> None:
    model, frames = ScriptedModel(), film(6)
    run(model, frames, {0: shown(frames[0], 1), 2: shown(frames[2], 2)}, dense_interval=2)
    reads = memory_of(model).reads
    assert [(index, set(kept), len(values)) for index, kept, values in reads] == [
        (1, {0}, 1), (2, {0, 1}, 1), (3, {0, 2}, 1), (3, {2}, 1), (4, {0, 2, 3}, 1), (4, {2, 3}, 1),
        (5, {0, 2, 4}, 1), (5, {2, 4}, 1),
    ]  # fmt: skip
    index, kept, values = reads[-1]
    for place, frame in enumerate(kept):  # each entry says where the second object was on its frame
        there = torch.from_numpy(frames[frame][..., 0] == 2).float()
        wanted = torch.nn.functional.avg_pool2d(there[None], 16).flatten()
        torch.testing.assert_close(values[0, place], wanted, atol=0.05, rtol=0)


def test_whoever_is_decoded_reads_what_is_its_own() -> None:
    """The first object is given on frame 2, so that the second one alone is decoded."""
    model, frames = ScriptedModel(), film(3)
    run(model, frames, {0: shown(frames[0], 1, 2), 2: shown(frames[2], 1)})
    index, kept, values = memory_of(model).reads[-1]
    assert index == 2 and values.shape[0] == 1
    for place, frame in enumerate(kept):
        there = torch.from_numpy(frames[frame][..., 0] == 2).float()
        torch.testing.assert_close(
            values[0, place], torch.nn.functional.avg_pool2d(there[None], 16).flatten(), atol=0.05, rtol=0
        )
    dense = model.asked[-1].dense
    assert dense is not None and dense[0, 0, 2, 2:6, 2:6].max() < 1e-3 and dense[0, 0, 2, 12:14, 8:16].min() > 0.9


def test_a_frame_that_shows_nobody_is_still_the_frame_before() -> None:
    model, frames = ScriptedModel(), film(5, 1)
    model.answers.update({(index, 1): everywhere(-SURE) for index in (1, 2, 3)})
    results = run(model, frames, {0: shown(frames[0], 1)}, dense_interval=1)
    assert [set(kept) for _, kept, _ in memory_of(model).reads] == [{0}, {0, 1}, {0, 2}, {0, 3}]
    assert [result.scores[1] > 0 for result in results] == [True, False, False, False, True]
    assert [index for index, _ in model.encoded] == [0, 4]  # no tokens of what was not seen
    assert memory_of(model).written[2][1].max() < 1e-3


def test_who_is_seen_at_all_is_remembered() -> None:
    """Three objects claim everything, hardly surer one than the other: the first one has it, with a third of belief."""
    model, frames = ScriptedModel(), film(3)
    for label, value in ((1, 1.0), (2, 0.9), (3, 0.8)):
        model.answers[1, label] = everywhere(value)
    results = run(model, frames, {0: shown(frames[0], 1, 2, 3)}, dense_interval=1)
    assert 0.3 < results[1].scores[1] < 0.4 and results[1].scores[2] == results[1].scores[3] == 0
    assert [len(masks) for index, masks in model.encoded if index == 1] == [1]
    assert set(memory_of(model).reads[-1][1]) == {0, 1} and model.asked[-1].tokens == ((0, 1), (0,), (0,))


def test_a_frame_with_a_prompt_is_kept_even_if_nobody_is_seen() -> None:
    model, frames = ScriptedModel(), film(4, 1)
    model.answers.update({(index, 1): everywhere(-SURE) for index in (1, 2)})
    run(model, frames, {0: shown(frames[0], 1), 1: [Points(1, [(90, 4)], [False])]}, dense_interval=9)
    assert set(memory_of(model).reads[-1][1]) == {0, 1, 2}


@pytest.mark.parametrize("kept", [1, 3])
def test_tokens_are_of_all_prompts_and_of_the_last_frames_seen(kept: int) -> None:
    model, frames = ScriptedModel(), film(9)
    model.answers[6, 1] = everywhere(-SURE)
    prompts: dict[int, Sequence[Prompt]] = {0: shown(frames[0], 1), 3: [Points(1, [(14, 18)])]}
    run(model, frames, prompts, token_frames=kept)
    seen = [index for index in range(1, 9) if index != 6]
    for asked in model.asked:
        (index,) = asked.frames
        pins = {i for i in prompts if i <= index}
        recent = [i for i in seen if i < index][-kept:]
        assert set(asked.tokens[0]) == pins | set(recent)


def test_of_many_prompts_the_first_and_the_newest_three_stay() -> None:
    model, frames = ScriptedModel(), film(11, 1)
    run(model, frames, {index: [Points(1, [(14, 18)])] for index in range(8)}, token_frames=1)
    assert model.asked[-1].tokens == ((0, 5, 6, 7, 9),)


def test_tokens_are_cut_from_where_the_object_is() -> None:
    model, frames = ScriptedModel(), film(3)
    run(model, frames, {0: shown(frames[0], 1, 2)})
    (masks,) = (masks for index, masks in model.encoded if index == 1)
    for mask, label in zip(masks, (1, 2), strict=True):
        assert (mask > 0.5).numpy().tolist() == (frames[1][..., 0] == label).tolist()
    for row, label in zip(model.asked[-1].rows, (1, 2), strict=True):
        torch.testing.assert_close(row, colour(label), atol=1e-3, rtol=0)


def test_the_others_keep_what_is_theirs_when_one_goes() -> None:
    model, frames = ScriptedModel(), film(8)
    session = Session(model, keep_results=False, dense_interval=2)
    session.step(frames[0], shown(frames[0], 1, 2, 3))
    session.step(frames[1])
    session.remove(2)
    for index in range(2, 5):
        result = session.step(frames[index])
        assert result.object_ids == (1, 3)
        assert all(same(result.labels == label, frames[index][..., 0] == label) for label in (1, 3))
    again = session.step(frames[5], [Box(2, (32, 44, 64, 60))])
    assert again.object_ids == (1, 3, 2) and same(again.labels == 2, frames[5][..., 0] == 2)
    last = session.step(frames[6])
    assert all(same(last.labels == label, frames[6][..., 0] == label) for label in (1, 2, 3))
    reads = {kept: values for index, kept, values in memory_of(model).reads if index == 6}
    assert sorted(len(values) for values in reads.values()) == [1, 2]
    for kept, values in reads.items():
        labels = (1, 3) if len(values) == 2 else (2,)
        for label, value in zip(labels, values, strict=True):
            there = torch.from_numpy(frames[kept[0]][..., 0] == label).float()
            torch.testing.assert_close(
                value[0], torch.nn.functional.avg_pool2d(there[None], 16).flatten(), atol=0.05, rtol=0
            )
    assert model.asked[-1].tokens == ((0, 4, 5), (0, 4, 5), (5,))


def test_a_given_mask_is_remembered_by_its_share_of_each_cell() -> None:
    model = ScriptedModel()
    run(model, film(1), {0: [Mask(1, area((8, 8, 22, 24)))]})
    ((_, written),) = memory_of(model).written
    assert written[0, 5, 2:6].tolist() == pytest.approx([0.5] * 4) and written[0, 2:5, 2:6].min() > 0.99
    assert written[0, 6:].max() < 1e-3


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
    assert all(asked.dense is None for asked in model.asked)


def test_the_decoder_is_asked_as_the_options_say() -> None:
    for name in ("sep", "sep-blocked"):
        model, frames = ScriptedModel(), film(2)
        run(model, frames, {0: shown(frames[0], 1)}, self_attention=name)
        assert model.asked[0].options["self_attention"] == name and not model.asked[0].learnable


@pytest.mark.parametrize("options", [{"initial_query": "frame"}, {"memory_encoding": "next_clip"}, {"clip_length": 3}])
def test_what_frames_alone_have_no_use_for_is_said(options: dict[str, Any]) -> None:
    with pytest.warns(UnusedSetting, match=f"the task vos leaves unused: {next(iter(options))}"):
        session = Session(ScriptedModel(), **options)
    assert [result.frame_index for result in session.push(film(1)[0])] == [0]
