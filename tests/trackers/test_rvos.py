"""Following by RVOS, against the same written out frame by frame."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tests.models.test_rvos import small
from univs import cli
from univs.errors import UserError
from univs.masks.geometry import Geometry
from univs.models.own_files import save
from univs.models.rvos import RVOS
from univs.models.weights_path import model_for
from univs.prompts import Box, Mask
from univs.streaming import Session, segment
from univs.trackers import rvos
from univs.trackers.rvos import (
    FoundSettings,
    ShownSettings,
    SlotStates,
    confidence,
    matched_ids,
    most_probable,
    shrunk,
    slot_ranks,
)
from univs.trackers.slot_merging import assigned, misfit, nearest, painted, slot_costs

HEIGHT, WIDTH, COUNT = 45, 62, 5
FRAMES = np.random.default_rng(0).integers(0, 255, (COUNT, HEIGHT, WIDTH, 3), dtype=np.uint8)


def box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


FIRST, SECOND = box(4, 30, 6, 30), box(10, 36, 26, 50)


def sharpened(network: RVOS) -> RVOS:
    """With masks that are neither empty nor everything."""
    network.decoder.predict.weight *= 30
    images = network.images(torch.from_numpy(FRAMES[0]).permute(2, 0, 1)[None])
    masks = torch.zeros(1, 4, HEIGHT, WIDTH) if network.sees_masks else None
    network.decoder.predict.bias -= network.decode(network.encode(images), masks, None, 4)[0].median()
    return network


@pytest.fixture(scope="module")
def network() -> RVOS:
    return sharpened(small())


@pytest.fixture(scope="module")
def finder() -> RVOS:
    return sharpened(small(sees_masks=False))


def written_out(network: RVOS, given: Mapping[int, Mapping[int, np.ndarray]], slots: int) -> list[Tensor]:
    """N H W of each frame; given: frame -> slot -> mask."""
    hidden, answers = None, []
    shown: list[dict[int, np.ndarray]] = [dict(given.get(t, {})) for t in range(COUNT)]
    for t, frame in enumerate(FRAMES):
        if t < 2:
            masks = torch.zeros(1, slots, HEIGHT, WIDTH)
            for slot, mask in {**shown[0], **shown[t]}.items():
                masks[0, slot] = torch.from_numpy(mask).float()
        else:
            masks = answers[-1][None].clone()
            for slot, mask in shown[t].items():
                masks[0, slot] = torch.from_numpy(mask).float()
        skips = network.encode(network.images(torch.from_numpy(frame).permute(2, 0, 1)[None]))
        logits, states = network.decode(skips, masks, hidden, slots)
        hidden = states.hidden
        answers.append(F.interpolate(logits, (HEIGHT, WIDTH), mode="bilinear", align_corners=True).sigmoid()[0])
    return answers


def official_labels(answers: list[Tensor]) -> list[np.ndarray]:
    """Of the objects 1 and 3, which are shown on frame 0, in slots 0 and 2, and 2 in slot 1, shown on frame 2."""
    slots = [(answer > 0.5).numpy() for answer in answers]
    pairs = np.ones((3, 3))
    for column in range(3):
        pairs[0, column], pairs[2, column] = misfit(FIRST, slots[0][column]), misfit(SECOND, slots[0][column])
    found = assigned(pairs)
    known, cost = {1: found[0], 3: found[2]}, {1: pairs[0, found[0]], 3: pairs[2, found[2]]}
    labels = []
    for t, masks in enumerate(slots):
        if t == 2:
            pairs = np.ones((3, 3))
            pairs[0, known[1]] = pairs[2, known[3]] = 0
            pairs[1] = [misfit(box(30, 44, 2, 20), masks[column]) for column in range(3)]
            known[2] = assigned(pairs)[1]
            cost[2] = pairs[1, known[2]]
        one = np.zeros((HEIGHT, WIDTH), int)
        for number in sorted(known, key=lambda n: -cost[n]):
            one[masks[known[number]]] = number
        if t == 0:
            one[:] = 0
            one[FIRST], one[SECOND] = 1, 3
        if t == 2:
            plain = {n: c for n, c in cost.items() if n != 2}
            one[:] = 0
            for number in sorted(plain, key=lambda n: -cost[n]):
                one[masks[known[number]]] = number
            one[box(30, 44, 2, 20)] = 2
        labels.append(one)
    return labels


def test_a_session_answers_as_written_out_with_a_later_object_and_the_official_merging(network: RVOS) -> None:
    late = box(30, 44, 2, 20)
    answers = written_out(network, {0: {0: FIRST, 2: SECOND}, 2: {1: late}}, 10)
    assert any(0.02 < float((a > 0.5).float().mean()) < 0.98 for a in answers)
    want = official_labels(answers)
    session = Session(network, "vos", size=0)
    session.expect([1, 2, 3])
    for t, frame in enumerate(FRAMES):
        prompts = {0: [Mask(1, FIRST), Mask(3, SECOND)], 2: [Mask(2, late)]}.get(t, [])
        result = session.step(frame, prompts)
        assert np.array_equal(result.labels, want[t]), t
    assert set(result.object_ids) == {1, 2, 3}
    assert session.step(FRAMES[0], [Mask(3, FIRST)]).scores[3] == 1


def test_each_object_in_its_own_slot_and_the_most_probable_counts(network: RVOS) -> None:
    answers = written_out(network, {0: {0: FIRST, 1: SECOND}}, 10)
    source = segment(network, list(FRAMES), [Mask(1, FIRST), Mask(2, SECOND)], size=0, merging="own")
    for t, (result, answer) in enumerate(zip(source, answers, strict=True)):
        both = torch.cat([torch.full((1, HEIGHT, WIDTH), 0.5), answer[:2]])
        if t > 0:
            assert np.mean(result.labels != both.argmax(0).numpy()) < 1e-3
            inside = answer[1][answer[1] > 0.5]
            assert result.scores[2] == pytest.approx(float(inside.mean()) if inside.numel() else 0, abs=1e-4)
        else:
            assert np.array_equal(result.labels == 2, SECOND) and result.scores == {1: 1.0, 2: 1.0}


def test_frames_before_the_first_object_count_for_nothing(network: RVOS) -> None:
    late = Session(network, "vos", size=0)
    blank = late.step(FRAMES[4])
    assert not blank.labels.any() and blank.object_ids == ()
    plain = Session(network, "vos", size=0)
    for t in range(3):
        prompts = [Mask(1, FIRST)] if t == 0 else []
        assert np.array_equal(late.step(FRAMES[t], prompts).labels, plain.step(FRAMES[t], prompts).labels)


def test_a_removed_object_leaves_an_empty_slot(network: RVOS) -> None:
    session = Session(network, "vos", size=0, merging="own")
    session.step(FRAMES[0], [Mask(1, FIRST), Mask(2, SECOND)])
    session.step(FRAMES[1])
    session.remove(2)
    tracker: Any = session._loop and session._loop.tracker
    assert session.object_ids == (1,)
    assert all(not level[:, 1].any() and level[:, 0].any() for level in tracker.states.hidden)
    assert not tracker.states.masks[:, 1].any() and tracker.states.masks[:, 0].any()
    assert 2 not in session.step(FRAMES[2]).labels
    with pytest.raises(UserError, match="object 2 is not being followed"):
        session.remove(2)


def test_an_object_that_is_painted_as_the_slot_of_a_removed_one_goes_on(
    network: RVOS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rvos, "assigned", lambda costs: [2, 0, 1][: len(costs)])  # each fits the slot of another best
    shown = [Mask(1, FIRST), Mask(2, SECOND), Mask(3, box(30, 44, 2, 20))]
    whole, part = (Session(network, "vos", size=0) for _ in range(2))
    for t in range(2):
        for session in (whole, part):
            session.step(FRAMES[t], shown if t == 0 else [])
    part.remove(3)
    for t in (2, 3):
        left, all_of_them = part.step(FRAMES[t]), whole.step(FRAMES[t])
        assert left.object_ids == (1, 2)
        assert left.scores[1] == all_of_them.scores[1] > 0 and left.scores[2] == all_of_them.scores[2]
    part.remove(2)
    monkeypatch.undo()
    assert np.array_equal(part.step(FRAMES[4], [Mask(2, SECOND)]).labels == 2, SECOND)


def test_who_is_assigned_among_whom_and_what_it_cost_is_kept(network: RVOS, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[int], set[int], int]] = []
    costs: list[dict[int, float]] = []

    def watched_costs(ids: list[int], new: Mapping[int, Any], slots: list[Any], known: Mapping[int, int]) -> Any:
        asked.append((list(ids), set(new), len(slots)))
        return slot_costs(ids, new, slots, known)

    def watched_painted(masks: Any, known: Mapping[int, float], *more: Any) -> Any:
        costs.append(dict(known))
        return painted(masks, known, *more)

    monkeypatch.setattr(rvos, "slot_costs", watched_costs)
    monkeypatch.setattr(rvos, "painted", watched_painted)
    monkeypatch.setattr(rvos, "assigned", lambda costs: [2, 0, 1, 3, 4][: len(costs)])
    expecting, plain = Session(network, "vos", size=0), Session(network, "vos", size=0)
    expecting.expect([1, 3, 5])
    for session in (expecting, plain):
        session.step(FRAMES[0], [Mask(1, FIRST), Mask(3, SECOND)])
    assert asked == [([1, 2, 3, 4, 5], {1, 3}, 5), ([1, 2, 3], {1, 3}, 3)]
    result = plain.step(FRAMES[1])
    tracker: Any = plain._loop and plain._loop.tracker
    inside = confidence(tracker.states.masks[0], 0.5)
    assert result.scores == {1: inside[2], 3: inside[1]}, "of the slots that they are painted from"
    plain.step(FRAMES[2], [Mask(2, box(30, 44, 2, 20))])
    assert asked[-1] == ([1, 2, 3], {2}, 3)
    assert all(costs[-1][n] == costs[1][n] > 0 for n in (1, 3)) and costs[-1].keys() == {1, 2, 3}


def test_more_objects_than_slots_get_more_slots(network: RVOS) -> None:
    masks = [Mask(n, box(2 * n, 2 * n + 2, 4, 50)) for n in range(1, 13)]
    session = Session(network, "vos", size=0)
    first = session.step(FRAMES[0], masks)
    assert len(first.object_ids) == 12 and first.scores.keys() == set(range(1, 13))
    assert (first.labels == 12).sum() == 92
    assert len(session.step(FRAMES[1]).scores) == 12
    forty = session.step(FRAMES[2], [Mask(40, FIRST)])
    assert np.array_equal(forty.labels == 40, FIRST)


def test_what_is_kept_does_not_grow_with_the_video(network: RVOS) -> None:
    session = Session(network, "vos", size=0, keep_results=False)
    sizes = set()
    for t in range(12):
        session.step(FRAMES[t % COUNT], [Mask(1, FIRST)] if t == 0 else [])
        states = session._loop.tracker.states  # type: ignore[union-attr]
        assert states.hidden is not None and states.masks is not None
        sizes.add(sum(maps.numel() for maps in (*states.hidden, states.masks)))
    assert len(sizes) == 1


def test_prompts_that_are_no_masks_are_refused(network: RVOS) -> None:
    session = Session(network, "vos", size=0)
    with pytest.raises(UserError, match="object 1 is not shown by a mask, and RVOS takes nothing else"):
        session.step(FRAMES[0], [Box(1, (2, 2, 20, 20))])
    with pytest.raises(UserError, match="no tracker for the task zero_shot"):
        Session(network, "zero_shot")


def test_objects_are_found_without_any_prompt(finder: RVOS) -> None:
    hidden, answers = None, []
    for frame in FRAMES:
        skips = finder.encode(finder.images(torch.from_numpy(frame).permute(2, 0, 1)[None]))
        logits, states = finder.decode(skips, None, hidden, 4)
        hidden = states.hidden
        answers.append(F.interpolate(logits, (HEIGHT, WIDTH), mode="bilinear", align_corners=True).sigmoid()[0])
    found: set[int] = set()
    results = list(segment(finder, list(FRAMES), task="zero_shot", size=0, slots=4, least_rank=0.05))
    for result, answer in zip(results, answers, strict=True):
        inside = answer * (answer > 0.5)
        told = {n + 1 for n in range(4) if float(inside[n].mean()) >= 0.05}
        found |= told
        assert result.object_ids == tuple(sorted(found)) and set(np.unique(result.labels)) <= {0, *told}
        competing = torch.cat([torch.full((1, HEIGHT, WIDTH), 0.5), torch.stack([answer[n - 1] for n in sorted(told)])])
        want = np.array([0, *sorted(told)])[competing.argmax(0).numpy()]
        assert np.mean(result.labels != want) < 1e-3
    assert found, "the network of this test finds something"
    assert all(not r.object_ids for r in segment(finder, list(FRAMES), task="zero_shot", size=0, least_rank=1.0))


def test_a_found_object_that_is_removed_is_told_no_more(finder: RVOS) -> None:
    session = Session(finder, "zero_shot", size=0, slots=4, least_rank=0.0)
    first = session.step(FRAMES[0])
    gone = int(first.object_ids[0])
    session.remove(gone)
    after = session.step(FRAMES[1])
    assert gone not in after.object_ids and gone not in after.labels
    with pytest.raises(UserError, match="is not being followed"):
        session.remove(gone)
    with pytest.raises(UserError, match="takes no Mask"):
        session.step(FRAMES[2], [Mask(1, FIRST)])


def test_masks_of_frames_that_are_resized() -> None:
    geometry = Geometry.fit(HEIGHT, WIDTH, 20)
    small_mask = shrunk(FIRST, geometry)
    assert torch.equal(small_mask.bool(), torch.from_numpy(nearest(FIRST, (20, geometry.input_width)).copy()))
    dot = np.zeros((HEIGHT, WIDTH), bool)
    dot[0, 0] = True
    assert not nearest(dot, (20, geometry.input_width)).any() and shrunk(dot, geometry).sum() == 1
    assert not shrunk(np.zeros((HEIGHT, WIDTH), bool), geometry).any()
    probabilities = torch.rand(3, 20, geometry.input_width)
    large = F.interpolate(probabilities[None, 1:], (HEIGHT, WIDTH), mode="bilinear", align_corners=False)[0]
    want = np.array([0, 9, 300])[torch.cat([torch.full((1, HEIGHT, WIDTH), 0.6), large]).argmax(0).numpy()]
    assert np.array_equal(most_probable(probabilities, {9: 1, 300: 2}, 0.6, geometry), want)


def test_scores_and_ranks_of_slots() -> None:
    probabilities = torch.tensor([[[0.9, 0.7, 0.1, 0.5]], [[0.2, 0.2, 0.2, 0.2]]])
    assert confidence(probabilities, 0.5) == pytest.approx([0.8, 0])
    assert slot_ranks(probabilities, 0.5) == pytest.approx([0.4, 0])


def test_what_is_taken_if_nothing_is_said() -> None:
    assert ShownSettings() == ShownSettings(slots=10, threshold=0.5, merging="matched")
    assert FoundSettings() == FoundSettings(slots=10, threshold=0.5, least_rank=0.001)


def test_of_equally_probable_slots_the_first_counts_and_the_threshold_itself_is_nobodys() -> None:
    probabilities = torch.tensor([[[0.7, 0.5, 0.6]], [[0.7, 0.5, 0.8]]])
    found = most_probable(probabilities, {4: 0, 2: 1}, 0.5, Geometry.fit(1, 3))
    assert found.tolist() == [[4, 0, 2]]
    assert confidence(probabilities, 0.5) == pytest.approx([0.65, 0.75])
    assert slot_ranks(probabilities, 0.5) == pytest.approx([1.3 / 3, 0.5])


def test_rows_of_the_official_assignment() -> None:
    assert matched_ids((3, 1), (1, 3), 3) == [1, 2, 3]
    assert matched_ids((1, 200), (200, 1), 2) == [1, 200]


def test_a_slot_that_was_not_there_before_starts_from_nothing(network: RVOS) -> None:
    image = network.images(torch.from_numpy(FRAMES[0]).permute(2, 0, 1)[None])
    few, many = SlotStates(network), SlotStates(network)
    shown = {0: torch.from_numpy(FIRST).float()}
    torch.testing.assert_close(few.answer(image, 2, shown), many.answer(image, 4, shown)[:2])
    grown, whole = few.answer(image, 4, {}), many.answer(image, 4, {})
    torch.testing.assert_close(grown[:2], whole[:2])
    assert not torch.allclose(grown[2:], whole[2:], atol=1e-4)


def test_univs_segment_follows_and_finds(
    network: RVOS, finder: RVOS, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "frames").mkdir()
    for index in range(3):
        Image.fromarray(FRAMES[index]).save(tmp_path / "frames" / f"{index}.png")
    Image.fromarray((FIRST + 2 * (SECOND & ~FIRST)).astype(np.uint8)).save(tmp_path / "first.png")
    save(network, tmp_path / "shown.safetensors", network.config)
    save(finder, tmp_path / "found.safetensors", {**finder.config, "name": "rvos_zero_shot"})
    asked = ["segment", str(tmp_path / "frames"), "--size", "0", "--json", "--no-overlay"]
    shown = ["--weights", str(tmp_path / "shown.safetensors"), "--model", "rvos", "--out", str(tmp_path / "out")]
    assert cli.main([*asked, *shown, "--mask", str(tmp_path / "first.png"), "--set", "merging=own"]) == 0
    assert [one["object_id"] for one in json.loads(capsys.readouterr().out)["objects"]] == [1, 2]
    found = ["--weights", str(tmp_path / "found.safetensors"), "--model", "rvos", "--out", str(tmp_path / "out2")]
    assert cli.main([*asked, *found, "--task", "zero_shot"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 3
    assert len(list((tmp_path / "out2" / "masks").iterdir())) == 3
    assert cli.main([*asked, *shown, "--task", "zero_shot"]) == 2
    assert "not of rvos_zero_shot" in capsys.readouterr().err
    assert cli.main([*asked, *found, "--task", "zero_shot", "--box", "1@0:2,2,9,9"]) == 2
    assert "finds objects by itself" in capsys.readouterr().err
    assert cli.main([*asked, *found, "--task", "zero_shot", "--categories", "cow"]) == 2
    assert "takes no categories" in capsys.readouterr().err
    assert (model_for("rvos", "vos"), model_for("tiny", "zero_shot")) == ("rvos", "tiny")
