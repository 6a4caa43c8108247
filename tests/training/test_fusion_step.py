"""A step of fusion against the clip written out with what an interactive session calls, and what it trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.losses.shared_counts import mean_gap, together
from tests.training.moving_clips import make_clip, moving
from tests.training.test_propagation_step import network as small_memory
from univs.configuration import compose
from univs.data.clip_batches import collate_clips
from univs.errors import UserError
from univs.interactive.fusion import Change, TwoMasks, changes, learned, time_shares
from univs.interactive.propagation import SeenFrame
from univs.losses.counting import Counting
from univs.models.fusion import FusionNetwork
from univs.models.fusion_files import load_fusion
from univs.models.own_files import save
from univs.models.space_time_memory import SpaceTimeMemory
from univs.training import fusion_step, run
from univs.training.fusion_step import FusionStep, drawn_frames
from univs.training.propagation_stage import build_fusion
from univs.training.propagation_step import MaskWeights
from univs.training.stages import check_run

memory = small_memory
"""Of the tests of the propagation: a small space-time memory."""


@pytest.fixture
def given() -> dict[str, Any]:
    first, second = moving(4), moving(4)
    first[2, :, 52:] = 255
    return collate_clips([make_clip(first, (2, 1), "mask"), make_clip(second, (2,), "mask", seed=1)])


def carried(model: SpaceTimeMemory, images: list[Tensor], start: Tensor) -> list[Tensor]:
    """Masks N S S of all frames, from those of the first; every frame is remembered and all of it is read."""
    masks, entries = [start], [model.encode_memory(images[0], start)]
    for image in images[1:]:
        query = model.encode_query(image)
        logits = []
        for n in range(len(start)):
            keys, values = (torch.cat([getattr(e[n], part) for e in entries]) for part in ("key", "value"))
            logits.append(model.decode(query, model.read(query, keys, values, None)[None])[0])
        p = torch.stack(logits).double().sigmoid()
        odds = torch.cat([(1 - p).prod(0, keepdim=True), p])
        odds = odds / (1 - odds)
        masks.append((odds / odds.sum(0))[1:].float())
        entries.append(model.encode_memory(image, masks[-1]))
    return masks


@pytest.mark.parametrize("chosen", [[1, 2], [2, 1]])
def test_a_batch_is_its_clips_written_out(
    memory: SpaceTimeMemory, given: dict[str, Any], chosen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    fusion = FusionNetwork()
    memory.eval()
    monkeypatch.setattr(fusion_step, "drawn_frames", lambda forward, backward: torch.tensor(chosen))
    found = FusionStep(fusion, memory, MaskWeights(0.5, 0.0))(given, 0.4)
    want = []
    with torch.no_grad():
        for b, t in enumerate(chosen):
            labels, ids = given["labels"][b], [int(i) for i in given["targets"][b] if i]
            images = [memory.images(frame[None]) for frame in given["frames"][b]]
            truth = [torch.stack([(labels[u] == i).float() for i in ids]) for u in range(4)]
            forward = carried(memory, images, truth[0])
            backward = carried(memory, images[::-1], truth[3])[::-1]
            added, removed = changes(forward[3], truth[3])
            entries = memory.encode_memory(images[3], truth[3])
            changed = [Change(a, r, entry.key) for a, r, entry in zip(added, removed, entries, strict=True)]
            query = memory.encode_query(images[t])
            two = TwoMasks(SeenFrame(images[t], query), forward[t], backward[t], changed, time_shares(t, 0, 3))
            p = learned(fusion)(two).double()
            odds = torch.cat([(1 - p).prod(0, keepdim=True), p])
            odds = odds / (1 - odds)
            number = torch.zeros(labels[t].shape, dtype=torch.long)
            for n, i in enumerate(ids, 1):
                number[labels[t] == i] = n
            surprise = -(odds / odds.sum(0)).gather(0, number[None])[0].log() * (labels[t] != 255)
            want.append(surprise.flatten().sort(descending=True).values[: int(0.4 * surprise.numel())].mean())
    assert float(found["cross_entropy"].detach()) == pytest.approx(0.5 * float(sum(want)) / 2, rel=1e-3)


def test_two_processes_count_as_one_with_the_clips_of_both(
    memory: SpaceTimeMemory, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two objects and of one."""
    fusion = FusionNetwork()
    monkeypatch.setattr(fusion_step, "drawn_frames", lambda forward, backward: torch.ones(len(forward)).long())

    def losses(part: slice, counting: Counting) -> dict[str, Tensor]:
        of_part = {name: given[name][part] for name in ("frames", "labels", "targets")}
        with torch.no_grad():
            return FusionStep(fusion, memory, MaskWeights(0.5, 2.0), counting)(of_part, 0.5)

    whole = losses(slice(0, 2), Counting())
    halves = together(lambda rank, counting: losses(slice(rank, rank + 1), counting))
    for name, value in whole.items():
        assert mean_gap((halves[0][name], halves[1][name]), value) < 1e-4, name


def test_fusion_alone_is_trained(memory: SpaceTimeMemory, given: dict[str, Any]) -> None:
    fusion = FusionNetwork()
    step = FusionStep(fusion, memory, MaskWeights(1.0, 1.0))
    losses = step(given, 1.0)
    assert set(losses) == {"cross_entropy", "dice"} and not memory.training
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in fusion.parameters())
    assert all(p.grad is None and not p.requires_grad for p in memory.parameters())


def test_frames_on_which_the_masks_differ_are_drawn() -> None:
    torch.manual_seed(0)
    forward = torch.zeros(1, 2, 5, 20, 20)
    backward = forward.clone()
    backward[0, 1, 2, :10] = 0.2  # 200 pixels apart
    backward[0, 0, 3, :10] = 0.05  # not apart
    backward[0, 0, 4], backward[0, 0, 0] = 1.0, 1.0  # the ends are given
    drawn = torch.cat([drawn_frames(forward, backward) for _ in range(300)])
    assert (drawn == 2).sum() > 280 and set(drawn.tolist()) <= {1, 2, 3}
    even = torch.cat([drawn_frames(forward, forward) for _ in range(300)])
    assert all((even == t).sum() > 60 for t in (1, 2, 3))


def settings(*more: str) -> dict[str, Any]:
    return compose("train", ["model=fusion", "stage=fusion", "data.root=-", "init=null", *more])


def test_a_run_trains_on_the_masks_of_a_propagation(memory: SpaceTimeMemory, tmp_path: Path) -> None:
    numbers = {
        "name": "small", "kind": "space_time_memory", "pixel_mean": [127.0] * 3, "pixel_std": [60.0] * 3,
        "space_time_memory": memory.config["space_time_memory"],
    }  # fmt: skip
    save(memory, tmp_path / "memory.safetensors", numbers)
    check_run(settings())
    out = tmp_path / "out"
    run.main(
        [
            *("model=fusion", "stage=fusion", "data.root=-", "data.sources=[]", "init=null", f"out={out}"),
            *("device=cpu", "stage.steps=2", "stage.size=64", "stage.batch_size=1", "stage.workers=0"),
            *("stage.probabilities={photo: 0, video: 0, synth: 1}", "stage.frames=3", "stage.checkpointing=true"),
            f"stage.propagation={tmp_path / 'memory.safetensors'}",
        ]
    )
    trained = load_fusion(out / "fusion.safetensors")
    assert not trained.training
    again, propagation = build_fusion(
        settings(f"init={out / 'fusion.safetensors'}", f"stage.propagation={tmp_path / 'memory.safetensors'}")
    )
    assert isinstance(propagation, SpaceTimeMemory)
    for name, value in trained.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    with pytest.raises(UserError, match="holds a small, and no fusion network"):
        load_fusion(tmp_path / "memory.safetensors")


def test_official_files_load_and_others_are_refused(tmp_path: Path) -> None:
    network = FusionNetwork()
    torch.save(network.state_dict(), tmp_path / "fusion.pth")
    for name, value in load_fusion(tmp_path / "fusion.pth").state_dict().items():
        assert torch.equal(network.state_dict()[name], value)
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="holds no weights of MiVOS's fusion network"):
        load_fusion(tmp_path / "other.pth")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["model=stm_light"], "stage fusion trains a fusion network, which stm_light is not: model=fusion is"),
        (["init=imagenet"], "init=imagenet is for networks with a backbone"),
        (["stage.propagation=tiny"], "stage.propagation must name weights of a space-time memory"),
    ],
)
def test_other_models_are_refused(more: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_fusion(settings(*more))


def test_a_clip_of_two_frames_has_none_between_them() -> None:
    with pytest.raises(UserError, match="stage.frames must be at least 3"):
        check_run(settings("stage.frames=2"))
