"""The pool alone: what it keeps, what it forgets, that it reads what was written."""

from __future__ import annotations

import pytest
import torch

from univs.models.dense_memory import DenseMemory, MemoryKey, MemoryValue
from univs.models.features import PromptTokens, fit_width
from univs.trackers.frame.memory import PINNED_PROMPTS, DensePool, Schedule, TokenPool

POSITIONS = 12  # 3 x 4 at stride 16


def tokens(value: float, count: int = 2, objects: int = 1) -> PromptTokens:
    features = torch.full((objects, count, 3), value)
    return PromptTokens(features, -features, torch.ones(objects, count, dtype=torch.bool))


def values_of(pool: TokenPool, row: int) -> set[float]:
    known = pool.tokens([row])
    assert (known.positions == -known.features).all()
    assert (known.features[~known.valid] == 0).all()
    return set(known.features[known.valid][:, 0].tolist())


def test_tokens_of_the_last_frames_and_of_all_prompts() -> None:
    pool = TokenPool(width=2, recent_frames=2)
    pool.add(1)
    pool.pin(0, tokens(100))
    for value in (1, 2, 3):
        pool.write([0], tokens(value))
    assert values_of(pool, 0) == {100, 2, 3}
    pool.pin(0, tokens(101))
    assert values_of(pool, 0) == {100, 101, 2, 3}


def test_the_first_prompt_stays_and_the_newest_three_beside_it() -> None:
    pool = TokenPool(width=2, recent_frames=1)
    pool.add(1)
    for value in range(100, 110):
        pool.pin(0, tokens(value))
    assert values_of(pool, 0) == {100, 107, 108, 109}
    assert pool.tokens([0]).features.shape[1] == (1 + PINNED_PROMPTS) * 2


def test_tokens_are_as_long_as_the_prompts_of_those_asked_for() -> None:
    pool = TokenPool(width=2, recent_frames=1)
    pool.add(3)
    for row, count in enumerate((1, 3, 2)):
        for value in range(count):
            pool.pin(row, tokens(10.0 * row + value + 1))
    lengths = {rows: pool.tokens(rows).valid.shape for rows in ((0,), (1,), (2,), (0, 2), (0, 1, 2))}
    assert lengths == {(0,): (1, 4), (1,): (1, 8), (2,): (1, 6), (0, 2): (2, 6), (0, 1, 2): (3, 8)}
    assert pool.tokens([2, 0]).features[:, 2, 0].tolist() == [21, 1]  # in the order asked


def test_rows_are_kept_apart_and_move_up_on_removal() -> None:
    pool = TokenPool(width=2, recent_frames=1)
    pool.add(2)
    pool.pin(0, tokens(10))
    pool.pin(1, tokens(20))
    pool.add(3)  # beyond the rows allocated
    for row in (2, 3, 4):
        pool.pin(row, tokens(10.0 * (row + 1)))
    pool.write([1, 3], tokens(7, objects=2))
    pool.remove(2)
    assert [values_of(pool, row) for row in range(4)] == [{10}, {20, 7}, {40, 7}, {50}]
    pool.add(1)
    pool.pin(4, tokens(60))
    assert values_of(pool, 4) == {60}


def test_width_is_filled_or_thinned() -> None:
    few = fit_width(tokens(1, count=1), 4)
    assert few.valid.tolist() == [[True, False, False, False]]
    features = torch.arange(8.0).view(1, 8, 1)
    valid = torch.tensor([[True, False] * 4])
    many = fit_width(PromptTokens(features, features, valid), 2)
    assert many.features.flatten().tolist() == [0, 4] and many.valid.all()
    half_blank = fit_width(PromptTokens(features, features, features[..., 0] < 1), 2)
    assert half_blank.valid.tolist() == [[True, False]]


@pytest.fixture
def dense() -> DenseMemory:
    torch.manual_seed(0)
    return DenseMemory(
        {16: 8, 8: 6, 4: 4}, 5, key_dim=4, value_dim=3, local_key_dim=4, local_value_dim=2, top_k=5
    ).eval()


def key(seed: int) -> MemoryKey:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(1, POSITIONS, 6, generator=generator)
    local = torch.nn.functional.normalize(torch.randn(1, 4, 6, 8, generator=generator), dim=1)
    return MemoryKey(rows, rows.flip(1), local, (3, 4))


def value(seed: int, objects: int) -> MemoryValue:
    generator = torch.Generator().manual_seed(1000 + seed)
    return MemoryValue(
        torch.randn(1, objects, POSITIONS, 3, generator=generator), torch.rand(1, objects, 3, 6, 8, generator=generator)
    )


@torch.inference_mode()
def test_reads_what_the_schedule_kept_and_the_previous_frame(dense: DenseMemory) -> None:
    pool = DensePool(Schedule(capacity=3, interval=2))
    pool.add(2)
    for frame in range(8):  # kept: 0 (pinned), 4, 6; previous: 7
        pool.write(frame, key(frame), value(frame, 2), keep=True, pinned=frame == 0)
    memory = torch.cat([key(frame).memory for frame in (0, 4, 6, 7)], 1)
    values = torch.cat([value(frame, 2).global_value for frame in (0, 4, 6, 7)], 2)
    expected = dense.read(key(50), memory, values)
    window = dense.local_window(key(50), key(7))
    reference = dense.readout(key(50), expected, window, value(7, 2).local_value)
    answer = pool.read(dense, key(50), [0, 1])
    torch.testing.assert_close(answer.global_read, reference.global_read)
    torch.testing.assert_close(answer.local_read, reference.local_read)
    torch.testing.assert_close(answer.previous_mask, reference.previous_mask)


@torch.inference_mode()
def test_a_kept_frame_is_not_also_the_temporary_one(dense: DenseMemory) -> None:
    pool = DensePool(Schedule(capacity=3, interval=2))
    pool.add(1)
    for frame in range(3):  # 1 was temporary; 2 is kept
        pool.write(frame, key(frame), value(frame, 1), keep=True, pinned=frame == 0)
    memory = torch.cat([key(frame).memory for frame in (0, 2)], 1)
    expected = dense.read(key(50), memory, torch.cat([value(frame, 1).global_value for frame in (0, 2)], 2))
    answer = pool.read(dense, key(50), [0]).global_read.flatten(3).transpose(2, 3)
    torch.testing.assert_close(answer, expected)


@torch.inference_mode()
def test_a_late_object_reads_only_frames_on_which_it_was_known(dense: DenseMemory) -> None:
    pool = DensePool(Schedule(capacity=4, interval=2))
    pool.add(1)
    for frame in range(4):  # kept 0, 2
        pool.write(frame, key(frame), value(frame, 1), keep=True, pinned=frame == 0)
    pool.add(1)
    assert pool.knows(0) and not pool.knows(1)
    pool.write(4, key(4), value(4, 2), keep=True, pinned=True)
    answer = pool.read(dense, key(50), [0, 1]).global_read.flatten(3).transpose(2, 3)
    old = dense.read(
        key(50),
        torch.cat([key(frame).memory for frame in (0, 2, 4)], 1),
        torch.cat([value(0, 1).global_value, value(2, 1).global_value, value(4, 2).global_value[:, :1]], 2),
    )
    late = dense.read(key(50), key(4).memory, value(4, 2).global_value[:, 1:])
    torch.testing.assert_close(answer, torch.cat([old, late], 1))


@torch.inference_mode()
def test_frames_not_worth_keeping_only_serve_as_the_previous_frame(dense: DenseMemory) -> None:
    pool = DensePool(Schedule(capacity=4, interval=1))
    pool.add(1)
    for frame in range(4):
        pool.write(frame, key(frame), value(frame, 1), keep=frame != 2, pinned=frame == 0)
    assert [entry.frame_index for entry in pool.schedule.entries] == [0, 1, 3]


@torch.inference_mode()
def test_entries_of_removed_objects_are_freed(dense: DenseMemory) -> None:
    pool = DensePool(Schedule(capacity=4, interval=10))
    pool.add(1)
    pool.write(0, key(0), value(0, 1), keep=True, pinned=True)
    pool.add(1)
    pool.write(3, key(3), value(3, 2), keep=True, pinned=True)
    pool.remove(0)
    assert [entry.frame_index for entry in pool.schedule.entries] == [3]
    expected = dense.read(key(50), key(3).memory, value(3, 2).global_value[:, 1:])
    torch.testing.assert_close(pool.read(dense, key(50), [0]).global_read.flatten(3).transpose(2, 3), expected)
