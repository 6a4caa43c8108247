"""Following by a space-time memory, against the same written out for one object and frame at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from tests.models.test_space_time_memory import numbers
from univs import cli
from univs.errors import UserError
from univs.masks.geometry import Geometry, split_padding
from univs.masks.soft_aggregation import joint_probabilities
from univs.models.own_files import save
from univs.models.space_time_memory import SpaceTimeMemory
from univs.models.zoo import build_space_time
from univs.prompts import Box, Mask
from univs.streaming import Session
from univs.trackers.space_time import FramePlaces, SpaceTimeSettings, SpaceTimeTracker, confidence, meeting
from univs.trackers.tracker import Frame, Question

HEIGHT, WIDTH, COUNT = 40, 54, 7
FRAMES = np.random.default_rng(0).integers(0, 255, (COUNT, HEIGHT, WIDTH, 3), dtype=np.uint8)


def box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


FIRST, SECOND = box(4, 30, 6, 30), box(10, 36, 26, 50)


@pytest.fixture(scope="module")
def network() -> SpaceTimeMemory:
    torch.manual_seed(1)
    made = build_space_time(numbers()).eval().requires_grad_(False)
    for norm in (module for module in made.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.weight, 0.4, 0.8)
    made.decoder.predict.weight *= 4
    return made


def tracker_of(network: SpaceTimeMemory, **settings: Any) -> SpaceTimeTracker:
    return SpaceTimeTracker(network, Question(Geometry.fit(HEIGHT, WIDTH)), SpaceTimeSettings(**settings))


def written_out(
    network: SpaceTimeMemory, given: Sequence[dict[int, np.ndarray]], interval: int, top_k: int | None
) -> list[torch.Tensor]:
    """N+1 h w of each frame: padded by hand, every entry in a list of its own."""
    bank: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    lent: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    last, answers = 0, []
    for index, shown in enumerate(given):
        image = network.images(torch.from_numpy(FRAMES[index]).permute(2, 0, 1)[None])
        image = F.pad(image, (5, 5, 4, 4))
        ids = list(dict.fromkeys((*bank, *shown)))
        query, alone = network.encode_query(image), torch.zeros(len(ids), 48, 64)
        for row, number in enumerate(ids):
            if number in shown:
                alone[row] = F.pad(torch.from_numpy(shown[number]).float(), (5, 5, 4, 4))
            else:
                known = [*bank[number], *([lent[number]] if number in lent else [])]
                keys, values = (torch.cat(parts) for parts in zip(*known, strict=True))
                alone[row] = network.decode(query, network.read(query, keys, values, top_k)[None])[0].sigmoid()
        for row, number in enumerate(ids):
            if number not in shown:
                for other in shown:
                    alone[row][alone[ids.index(other)] == 1] = 0
        joint = joint_probabilities(alone)
        for number in shown:
            inside = alone[ids.index(number)] == 1
            joint[:, inside] = 0
            joint[ids.index(number) + 1, inside] = 1
        answers.append(joint[:, 4:-4, 5:-5])
        entries = network.encode_memory(image, joint[1:])
        lent = {}
        if shown or index - last >= interval:
            last = index
            for number, entry in zip(ids, entries, strict=True):
                bank.setdefault(number, []).append((entry.key, entry.value))
        else:
            lent = {number: (entry.key, entry.value) for number, entry in zip(ids, entries, strict=True)}
    return answers


@pytest.mark.parametrize("top_k", [None, 5])
def test_it_is_what_the_papers_say(network: SpaceTimeMemory, top_k: int | None) -> None:
    given: list[dict[int, np.ndarray]] = [{7: FIRST}, {}, {}, {2: SECOND & ~FIRST}, {}, {}, {}]
    tracker = tracker_of(network, memory_interval=2, top_k=top_k)
    for index, want in enumerate(written_out(network, given, 2, top_k)):
        joint = tracker.follow(Frame(index, FRAMES[index]), given[index])
        torch.testing.assert_close(tracker.places.inner(joint), want, atol=1e-4, rtol=1e-3)
    assert tracker.object_ids == (7, 2) and tracker.bank.kept == (0, 2, 3, 5)
    assert want[1].std() > 0.01 and want[2].std() > 0.01, "the network says something"


def test_given_masks_are_the_answer_and_ids_are_kept(network: SpaceTimeMemory) -> None:
    with Session(network, size=0) as session:
        first = session.step(FRAMES[0], [Mask(300, FIRST), Mask(4, SECOND)])
        assert first.object_ids == (300, 4) and dict(first.scores) == {300: 1.0, 4: 1.0}
        assert np.array_equal(first.labels == 4, SECOND) and np.array_equal(first.labels == 300, FIRST & ~SECOND)
        second = session.step(FRAMES[1], [Mask(4, FIRST)])
        assert np.array_equal(second.labels == 4, FIRST) and set(np.unique(second.labels)) <= {0, 4, 300}
        session.remove(300)
        third = session.step(FRAMES[2])
        assert third.object_ids == (4,) and set(np.unique(third.labels)) <= {0, 4}
        with pytest.raises(UserError, match="object 300 is not being followed"):
            session.remove(300)


def test_frames_before_the_first_mask_are_empty(network: SpaceTimeMemory) -> None:
    with Session(network, size=0) as session:
        empty = session.step(FRAMES[0])
        assert not empty.labels.any() and empty.object_ids == ()
        assert session.step(FRAMES[1], [Mask(1, FIRST)]).object_ids == (1,)


def test_what_is_no_mask_is_refused(network: SpaceTimeMemory) -> None:
    with Session(network, size=0) as session, pytest.raises(UserError, match="object 3 is not shown by a mask"):
        session.step(FRAMES[0], [Mask(1, FIRST), Box(3, (2, 2, 20, 20))])


def test_where_a_mask_is_given_it_is_right() -> None:
    alone = torch.tensor([[0.9, 0.9, 0.2], [0.3, 0.8, 0.8]]).view(2, 1, 3)
    joint = meeting(alone, {1: torch.tensor([[1.0, 0.0, 0.0]])})
    assert joint[:, 0, 0].tolist() == [0, 0, 1]
    assert joint[2, 0].tolist() == [1, 0, 0]
    one = joint_probabilities(alone[:1])
    torch.testing.assert_close(joint[:2, :, 1:], one[:, :, 1:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(joint.sum(0), torch.ones(1, 3))
    both = meeting(alone, {0: torch.ones(1, 3), 1: torch.tensor([[0.0, 1.0, 0.0]])})
    assert both[1:, 0].T.tolist() == [[1, 0], [0, 1], [1, 0]], "of two given masks the later one counts"
    assert torch.equal(meeting(alone, {}), joint_probabilities(alone))


def test_confidence_is_the_mean_inside_the_mask() -> None:
    joint = torch.tensor([[0.1, 0.5, 0.2], [0.9, 0.4, 0.5], [0.0, 0.1, 0.3]]).view(3, 1, 3)
    assert confidence(joint) == pytest.approx([0.7, 0.0])


def test_padding_is_split_the_smaller_half_first() -> None:
    assert split_padding(40, 54, 16) == (5, 5, 4, 4)
    assert split_padding(33, 47, 16) == (0, 1, 7, 8)
    assert split_padding(48, 64, 16) == (0, 0, 0, 0)


def test_labels_of_frames_that_were_resized() -> None:
    """As if the maps were enlarged all together."""
    geometry = Geometry.fit(HEIGHT, WIDTH, 30)
    places, maps = FramePlaces(geometry), torch.rand(3, 32, 48)
    inner = maps[:, 1:31, 4:44]
    large = F.interpolate(inner[None], (HEIGHT, WIDTH), mode="bilinear", align_corners=False)[0]
    assert places.padding == (4, 4, 1, 1)
    assert np.array_equal(places.labels(maps, (0, 9, 400)), np.array([0, 9, 400])[large.argmax(0).numpy()])
    whole = FramePlaces(Geometry.fit(30, 40))
    assert np.array_equal(whole.labels(maps, (0, 9, 4)), np.array([0, 9, 4])[inner.argmax(0).numpy()])
    assert places.mask(FIRST).shape == (32, 48) and not places.mask(FIRST)[:1].any()


@pytest.mark.parametrize("black", [False, True])
def test_the_padding_is_nobodys_where_it_is_black(network: SpaceTimeMemory, black: bool) -> None:
    network.black_padding = black
    try:
        masks = FramePlaces(Geometry.fit(HEIGHT, WIDTH)).remembered(network, torch.ones(2, 48, 64))
    finally:
        network.black_padding = False
    assert masks.sum() == 2 * (HEIGHT * WIDTH if black else 48 * 64) and masks[:, 4:44, 5:59].all()


def test_univs_segment_follows_with_it(
    network: SpaceTimeMemory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "frames").mkdir()
    for index in range(3):
        Image.fromarray(FRAMES[index]).save(tmp_path / "frames" / f"{index}.png")
    Image.fromarray((FIRST + 2 * (SECOND & ~FIRST)).astype(np.uint8)).save(tmp_path / "first.png")
    save(network, tmp_path / "light.safetensors", network.config)
    asked = [str(tmp_path / "frames"), "--weights", str(tmp_path / "light.safetensors"), "--size", "0", "--json"]
    shown = ["--mask", str(tmp_path / "first.png"), "--out", str(tmp_path / "out")]
    assert cli.main(["segment", *asked, *shown, "--set", "memory_frames=2", "--model", "light"]) == 0
    assert [one["object_id"] for one in json.loads(capsys.readouterr().out)["objects"]] == [1, 2]
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 3
    assert cli.main(["segment", *asked, "--box", "1@0:2,2,9,9", "--out", str(tmp_path / "out2")]) == 2
    assert "object 1 is not shown by a mask" in capsys.readouterr().err
    assert cli.main(["segment", *asked, *shown, "--set", "top_k=0"]) == 2
    assert "top_k" in capsys.readouterr().err
