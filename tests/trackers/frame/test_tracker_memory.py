"""What the frame tracker remembers of whom, with a model whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from tests.trackers.frame.films import everywhere, film, memory_of, run, same, shown
from tests.trackers.scripted import SURE, ScriptedModel, area, colour
from univs.prompts import Box, Mask, Points, Prompt
from univs.streaming import Session


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
    dense = model.asked[-1].request.dense
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


def test_who_stays_reads_its_own_mask_of_the_frame_before() -> None:
    model, frames = ScriptedModel(), film(2)
    session = Session(model, keep_results=False)
    session.step(frames[0], shown(frames[0], 1, 2, 3))
    session.remove(1)
    session.step(frames[1])
    dense = model.asked[-1].request.dense
    assert dense is not None and dense.shape[1] == 2
    for row, label in enumerate((2, 3)):
        there = torch.from_numpy(frames[0][2::4, 2::4, 0] == label).float()
        torch.testing.assert_close(dense[0, row, 2], there, atol=1e-3, rtol=0)
