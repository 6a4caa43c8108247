"""Following by embeddings, against the same written out frame by frame; ids, late and lost objects, flat memory."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from tests.models.test_feelvos import numbers
from univs import cli
from univs.errors import UserError
from univs.masks.geometry import Geometry
from univs.models.feelvos import FEELVOS
from univs.models.own_files import save
from univs.models.pixel_matching import normalised
from univs.models.zoo import build_feelvos
from univs.prompts import Box, Mask
from univs.streaming import Session
from univs.trackers.feelvos import EmbeddingSettings, EmbeddingTracker
from univs.trackers.tracker import Frame, Question

HEIGHT, WIDTH, COUNT = 41, 54, 6
FRAMES = np.random.default_rng(0).integers(0, 255, (COUNT, 6, 8, 3), dtype=np.uint8).repeat(7, 1).repeat(7, 2)
FRAMES = np.ascontiguousarray(FRAMES[:, :HEIGHT, :WIDTH])


def box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


FIRST, SECOND, TINY = box(4, 30, 6, 30), box(10, 36, 30, 50), box(5, 7, 45, 47)


@pytest.fixture(scope="module")
def network() -> FEELVOS:
    torch.manual_seed(3)
    made = build_feelvos(numbers()).eval().requires_grad_(False)
    made.embedding.pointwise.weight *= 4
    for layer in made.head.layers:
        torch.nn.init.normal_(layer.pointwise.weight, std=0.7)
    made.head.predict.weight *= 30
    return made


def tracker_of(network: FEELVOS, short: int | None = None, **settings: Any) -> EmbeddingTracker:
    return EmbeddingTracker(network, Question(Geometry.fit(HEIGHT, WIDTH, short)), EmbeddingSettings(**settings))


def written_out(
    network: FEELVOS, given: Sequence[dict[int, np.ndarray]], soft: bool = False
) -> list[tuple[list[int], torch.Tensor, np.ndarray]]:
    """Channels, probabilities and labels of each frame, every pair of cells by itself."""
    size, radius = (11, 14), network.window
    rows, columns = (
        [round(i * (n - 1) / (m - 1) + 1e-6) for i in range(m)] for n, m in zip((41, 54), size, strict=True)
    )
    answers, bank, before = [], {}, None
    for index, shown in enumerate(given):
        seen = network.encode(network.images(torch.from_numpy(FRAMES[index]).permute(2, 0, 1)[None]))
        e = seen.embedding[0].permute(1, 2, 0)
        labels, joint, channels = np.zeros((HEIGHT, WIDTH), int), torch.zeros(0), []
        if before is not None:
            old, small, probabilities = before
            channels = [one for one in bank if one not in shown]
            maps = torch.ones(len(channels), 3, *size)
            for row, number in enumerate(channels):
                maps[row, 0] = normalised((e[:, :, None] - bank[number]).square().sum(-1).amin(-1))
                mask = torch.from_numpy(small == number).float()
                maps[row, 1] = probabilities.get(number, mask) if soft else mask
                for y, x in np.ndindex(size):
                    near = [
                        (e[y, x] - old[v, u]).square().sum()
                        for v, u in zip(*np.nonzero(small == number), strict=True)
                        if abs(v - y) <= radius and abs(u - x) <= radius
                    ]
                    maps[row, 2, y, x] = normalised(torch.stack(near).min()) if near else 1
            logits = network.decode(seen.features, maps)
            joint = logits.softmax(0)
            large = F.interpolate(logits[None], (HEIGHT, WIDTH), mode="bilinear", align_corners=True)[0]
            labels = np.array(channels)[large.argmax(0).numpy()]
        for number, mask in shown.items():
            labels[mask] = number
        small = labels[np.ix_(rows, columns)]
        hidden = np.isin(small, list(shown))
        soft_masks = {n: p.masked_fill(torch.from_numpy(hidden), 0) for n, p in zip(channels, joint, strict=True)}
        before = e, small, soft_masks
        for number in ([] if 0 in bank else [0]) + list(shown):
            cells = e[torch.from_numpy(small == number)]
            bank[number] = torch.cat([bank[number], cells]) if number in bank else cells
        answers.append((channels, joint, labels))
    return answers


@pytest.mark.parametrize("soft", [False, True])
def test_it_is_what_the_paper_says(network: FEELVOS, soft: bool) -> None:
    given: list[dict[int, np.ndarray]] = [{7: FIRST}, {}, {2: SECOND}, {}, {7: box(0, 9, 0, 54)}, {}]
    tracker = tracker_of(network, soft_previous=soft)
    for index, (channels, joint, want) in enumerate(written_out(network, given, soft)):
        labels, compared = tracker.follow(Frame(index, FRAMES[index]), given[index])
        assert np.mean(labels != want) < 2e-3
        if compared is not None:
            assert list(compared.channels) == channels
            torch.testing.assert_close(compared.logits.softmax(0), joint, atol=1e-4, rtol=1e-3)
    assert tracker.object_ids == (7, 2) and joint.std() > 0.1 and len(np.unique(labels)) > 1, "it says something"


def test_objects_are_told_apart_by_their_ids_alone(network: FEELVOS) -> None:
    """Other ids, in another order, are other names of the same answer; an object is followed as if it were alone, up to
    where others win."""
    answers = []
    for ids in ((1, 2), (300, 4)):
        with Session(network, size=0) as session:
            shown = sorted([Mask(ids[0], FIRST), Mask(ids[1], SECOND)], key=lambda mask: mask.object_id or 0)
            results = [session.step(frame, shown if t == 0 else []) for t, frame in enumerate(FRAMES)]
        answers.append([(r.labels == ids[0]) + 2 * (r.labels == ids[1]) for r in results])
        assert set(results[-1].scores) == set(ids) and all(0 <= one <= 1 for one in results[-1].scores.values())
    assert np.array_equal(*answers)


def test_given_masks_are_the_answer_and_objects_can_be_removed(network: FEELVOS) -> None:
    with Session(network, size=0) as session:
        assert not session.step(FRAMES[0]).labels.any(), "nothing is followed before the first mask"
        first = session.step(FRAMES[1], [Mask(300, FIRST), Mask(4, SECOND)])
        assert np.array_equal(first.labels == 4, SECOND) and np.array_equal(first.labels == 300, FIRST & ~SECOND)
        assert dict(first.scores) == {300: 1.0, 4: 1.0}
        second = session.step(FRAMES[2], [Mask(4, FIRST)])
        assert np.array_equal(second.labels == 4, FIRST) and set(np.unique(second.labels)) <= {0, 4, 300}
        session.remove(300)
        third = session.step(FRAMES[3])
        assert third.object_ids == (4,) and set(np.unique(third.labels)) <= {0, 4}
        with pytest.raises(UserError, match="object 300 is not being followed"):
            session.remove(300)


def test_an_object_without_a_cell_is_said_and_shifts_nobody(network: FEELVOS, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), Session(network, size=0) as session:
        first = session.step(FRAMES[0], [Mask(1, TINY), Mask(2, FIRST), Mask(3, SECOND)])
        assert (first.labels == 1).sum() == 4
        assert "object 1 is too small on frame 0" in caplog.text and "it is not followed" in caplog.text
        second = session.step(FRAMES[1])
    with Session(network, size=0) as session:
        session.step(FRAMES[0], [Mask(2, FIRST), Mask(3, SECOND)])
        without = session.step(FRAMES[1])
    assert second.object_ids == (1, 2, 3) and second.scores[1] == 0 and second.scores[2] == without.scores[2]
    assert np.array_equal(second.labels, without.labels) and 1 not in second.labels


def test_a_mask_of_the_whole_frame_leaves_no_background(network: FEELVOS) -> None:
    with Session(network, size=0) as session:
        session.step(FRAMES[0], [Mask(1, np.ones((HEIGHT, WIDTH), bool))])
        assert set(np.unique(session.step(FRAMES[0]).labels)) <= {0, 1}


def test_what_is_forgotten_and_what_was_guessed_is_no_reference(network: FEELVOS) -> None:
    tracker = tracker_of(network)
    tracker.follow(Frame(0, FRAMES[0]), {1: FIRST, 2: np.ones((HEIGHT, WIDTH), bool)})
    assert tracker.references.keys() == {2}, "the second mask lies over everything"
    seen = network.encode(network.images(tracker.geometry.shrink_frame(FRAMES[1])))
    tracker.remember(1, seen, np.zeros((HEIGHT, WIDTH), np.uint8), {}, None)
    assert tracker.references.keys() == {2}, "background comes with masks that are given"
    tracker.follow(Frame(2, FRAMES[2]), {1: FIRST})
    tracker.remove(1)
    tracker.follow(Frame(3, FRAMES[3]), {1: SECOND})
    (cells,) = tracker.references[1]
    again = tracker_of(network)
    again.follow(Frame(0, FRAMES[3]), {1: SECOND})
    assert torch.equal(cells, again.references[1][0])


def test_references_are_bounded(network: FEELVOS) -> None:
    tracker = tracker_of(network, reference_frames=2, reference_cells=5)
    lengths = []
    for index in range(COUNT):
        tracker.follow(Frame(index, FRAMES[index]), {1: FIRST} if index % 2 == 0 else {})
        lengths.append(sum(len(cells) for cells in tracker.references[1]))
        if index == 0:
            first = tracker.references[1][0]
            whole = tracker_of(network)
            whole.follow(Frame(0, FRAMES[0]), {1: FIRST})
            every = whole.references[1][0]
            evenly = [round(place * (len(every) - 1) / 4) for place in range(5)]
            assert len(every) > 20 and torch.equal(first, every[evenly])
    assert lengths == [5, 5, 10, 10, 10, 10] and tracker.references[1][0] is first
    one = tracker_of(network, reference_frames=1)
    for index in range(2):
        one.follow(Frame(index, FRAMES[index]), {1: FIRST})
    assert len(one.references[1]) == 1
    assert sum(len(cells) for kept in one.references.values() for cells in kept) == 11 * 14


def test_by_itself_it_compares_as_the_released_program() -> None:
    assert EmbeddingSettings() == EmbeddingSettings(reference_frames=4, reference_cells=None, soft_previous=False)


def test_frames_may_be_resized(network: FEELVOS) -> None:
    """Labels have the size of the frame; the network sees the input."""
    tracker = tracker_of(network, short=30)
    tracker.follow(Frame(0, FRAMES[0]), {1: FIRST})
    labels, compared = tracker.follow(Frame(1, FRAMES[1]), {})
    assert labels.shape == (HEIGHT, WIDTH) and compared is not None and compared.logits.shape == (2, 8, 10)


def test_what_is_no_mask_is_refused(network: FEELVOS) -> None:
    with (
        Session(network, size=0) as session,
        pytest.raises(UserError, match="object 3 is not shown by a mask, and FEELVOS takes nothing else"),
    ):
        session.step(FRAMES[0], [Mask(1, FIRST), Box(3, (2, 2, 20, 20))])


def test_univs_segment_follows_with_it(network: FEELVOS, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "frames").mkdir()
    for index in range(3):
        Image.fromarray(FRAMES[index]).save(tmp_path / "frames" / f"{index}.png")
    Image.fromarray((FIRST + 2 * SECOND).astype(np.uint8)).save(tmp_path / "first.png")
    save(network, tmp_path / "small.safetensors", network.config)
    asked = [str(tmp_path / "frames"), "--weights", str(tmp_path / "small.safetensors"), "--size", "0", "--json"]
    shown = ["--mask", str(tmp_path / "first.png"), "--out", str(tmp_path / "out")]
    assert cli.main(["segment", *asked, *shown, "--set", "soft_previous=true", "--model", "small"]) == 0
    assert [one["object_id"] for one in json.loads(capsys.readouterr().out)["objects"]] == [1, 2]
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 3
    assert cli.main(["segment", *asked, *shown, "--set", "reference_frames=0"]) == 2
    assert "reference_frames" in capsys.readouterr().err
