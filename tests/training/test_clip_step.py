"""The clip step against a slow reference, clip by clip and frame by frame; and that it can learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.training.moving_clips import make_clip, moving
from univs.configuration import compose
from univs.data.clip_batches import collate_clips
from univs.data.prompt_drawing import KINDS
from univs.errors import UserError
from univs.losses import CriterionWeights, binary_cross_entropy, dice_loss, sample_points
from univs.models.features import DecodeRequest, ImageFeatures, Prediction
from univs.models.univs import UniVS
from univs.models.zoo import build_model
from univs.training import clip_step
from univs.training.clip_step import ClipLosses, ClipStep
from univs.training.prompt_batch import encode_prompts
from univs.training.tracking import known_cells


@pytest.fixture
def given() -> dict[str, Any]:
    """A clip with two targets and one with one, over four frames, with unknown pixels that come and go."""
    first, second = moving(4), moving(4)
    first[1, :, 52:], first[2, :20], second[3, 16:48, :24] = 255, 255, 255
    return collate_clips([make_clip(first, (2, 1), "point"), make_clip(second, (2,), "box", seed=1)])


def settings(**changed: Any) -> ClipLosses:
    weights = CriterionWeights(1.0, 1.0, 1.0, 64)
    return replace(ClipLosses(weights, local_radius=2, correspondence=0.7, intermediate=0.3, corrected=0.0), **changed)


def one_clip(
    model: UniVS, batch: dict[str, Any], b: int, chosen: ClipLosses, kept: float, points: Tensor
) -> dict[str, Tensor]:
    """Losses on the later frames of clip b, written out; `points` 1 P 2 are where masks are compared."""
    dense = model.dense_memory
    assert dense is not None
    frames, labels, ids = batch["frames"][b], batch["labels"][b], [int(i) for i in batch["targets"][b] if i]
    shots = [model.encode_image(model.normalize(frame[None])) for frame in frames]
    keys = [dense.memory_key(shot) for shot in shots]
    truth = [torch.stack([(labels[t] == i).float() for i in ids])[None] for t in range(len(frames))]  # 1 M S S
    known = [(labels[t] != 255).float()[None, None] for t in range(len(frames))]
    prompts = {name: value[b : b + 1] for name, value in batch["first"].items()}
    for name in ("ids", "kinds", "boxes", "points", "signs"):
        prompts[name] = prompts[name][:, : len(ids)]
    first, _ = encode_prompts(model, shots[0], labels[:1], prompts)
    tokens, values = [first], [dense.memory_value(shots[0], F.avg_pool2d(truth[0], 4))]
    found: dict[str, list[Tensor]] = {"cross_entropy": [], "dice": [], "intermediate": [], "correspondence": []}
    for t in range(1, len(frames)):
        kept_frames = [e for e in range(t) if e == 0 or e > t - chosen.memory_frames]
        affinity = dense.global_affinity(keys[t], torch.cat([keys[e].memory for e in kept_frames], 1))  # 1 P M
        window = dense.local_window(keys[t], keys[t - 1], chosen.local_radius)
        read = dense.read_all(keys[t], affinity, torch.cat([values[e].global_value for e in kept_frames], 2))
        residual = dense.residual(shots[t], dense.readout(keys[t], read, window, values[-1].local_value))
        answers = model.decode_layers(shots[t], DecodeRequest(prompts=model.prompt_queries(tokens), dense=residual))

        terms = []
        for stride, now, earlier in ((16, [t], kept_frames), (8, [t], [t - 1])):
            small = [F.avg_pool2d(m, stride)[0].flatten(1) for m in truth]
            sure = [(-F.max_pool2d(-k, stride))[0, 0].flatten() for k in known]
            remembered, safe = torch.cat([small[e] for e in earlier], 1), torch.cat([sure[e] for e in earlier])
            if stride == 16:
                weights = affinity[0]
            else:  # the affinity of a local read, column by column
                cells = len(safe)
                side = int(cells**0.5)
                weights = torch.stack([window.read(e.view(1, 1, side, side)).flatten() for e in torch.eye(cells)], 1)
            share = weights @ safe
            rows = []
            for m in range(len(ids)):
                p = (weights @ (remembered[m] * safe) / share.clamp_min(0.5)).clamp(1e-4, 1 - 1e-4)
                places = F.binary_cross_entropy(p, small[now[0]][m], reduction="none")
                rows.append(places[(sure[t] > 0) & (share >= 0.5)].mean())
            terms.append(torch.stack(rows).mean())
        found["correspondence"].append(chosen.correspondence * (terms[0] + terms[1]))

        logits = answers[-1].mask_logits[0, :, 0]
        p = logits.sigmoid()
        nobody = (1 - p).prod(0)
        joint = torch.cat([torch.log(nobody / (1 - nobody))[None], torch.logit(p)])[None]
        full = F.interpolate(joint, scale_factor=4, mode="bilinear", align_corners=False).softmax(1)
        number = torch.zeros(64, 64, dtype=torch.long)
        for m, i in enumerate(ids, 1):
            number[labels[t] == i] = m
        surprise = -full[0].gather(0, number[None])[0].log() * known[t][0, 0]
        hardest = surprise.flatten().sort(descending=True).values[: int(kept * surprise.numel())]
        found["cross_entropy"].append(hardest.mean())
        shares = []
        for m in range(len(ids)):
            q, g = full[0, m + 1] * known[t][0, 0], truth[t][0, m]
            shares.append(1 - (2 * (q * g).sum() + 1) / (q.sum() + g.sum() + 1))
        found["dice"].append(torch.stack(shares).mean())

        extra = []
        for answer in answers[:-1]:
            for m in range(len(ids)):
                near = sample_points((labels[t] == 255).float()[None], points)[0] == 0
                x, g = (sample_points(z[None], points)[:, near] for z in (answer.mask_logits[0, m, 0], truth[t][0, m]))
                extra.append((binary_cross_entropy(x, g) + dice_loss(x, g))[0] / len(ids))
        found["intermediate"].append(chosen.intermediate * torch.stack(extra).sum())

        mine = joint.softmax(1)[:, 1:]
        values.append(dense.memory_value(shots[t], mine))
        tokens = [first, model.encode_masks(shots[t], F.interpolate(mine.detach(), scale_factor=4)[0])]
    return {name: torch.stack(each).mean() for name, each in found.items()}


@pytest.mark.parametrize(("kept", "memory"), [(1.0, 6), (0.3, 2), (1.0, 1)])
def test_a_batch_is_its_clips_written_out(
    small_model: UniVS, given: dict[str, Any], fixed_points: Callable[[int], Tensor], kept: float, memory: int
) -> None:
    """Values and gradients. What the clips weigh in a mean over rows is as many as they have targets."""
    chosen = settings(prompt=0.0, learnable=0.0, memory_frames=memory)
    found = ClipStep(small_model, chosen)(given, kept)
    clips = [one_clip(small_model, given, b, chosen, kept, fixed_points(1)) for b in range(2)]
    shares = {"cross_entropy": (1 / 2, 1 / 2)}
    want = {}
    for name in clips[0]:
        first, second = shares.get(name, (2 / 3, 1 / 3))
        want[name] = first * clips[0][name] + second * clips[1][name]
        # the row that pads the second clip has e^-12 of the odds
        assert float(found[name].detach()) == pytest.approx(float(want[name].detach()), abs=1e-3, rel=1e-3), name
    assert set(found) == {*want, "prompt"} and float(found["prompt"].detach()) == 0
    parameters = [p for name, p in small_model.named_parameters() if not name.startswith("mask_decoder.")]
    for name in want:
        one_by_one = [
            torch.autograd.grad(loss[name], parameters, retain_graph=True, allow_unused=True) for loss in (found, want)
        ]
        for one, other in zip(*one_by_one, strict=True):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                torch.testing.assert_close(one, other, atol=2e-3, rtol=2e-2)


def test_the_first_frame_is_remembered_and_the_latest() -> None:
    assert [clip_step.remembered_frames(t, 3) for t in (1, 2, 3, 4, 9)] == [
        [0], [0, 1], [0, 1, 2], [0, 2, 3], [0, 7, 8],
    ]  # fmt: skip
    assert [clip_step.remembered_frames(t, 1) for t in (1, 5)] == [[0], [0]]


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_is_trained_with_every_kind_of_prompt(small_model: UniVS, kind: str) -> None:
    given = collate_clips([make_clip(moving(3), targets, kind, anew=2) for targets in ((1, 2), (2,))])
    losses = ClipStep(small_model, ClipLosses())(given, kept_share=0.5)
    torch.stack(list(losses.values())).sum().backward()
    idle = {name for name, p in small_model.named_parameters() if p.grad is None or not bool(p.grad.isfinite().all())}
    by_kind = {"visual_sampler.sign_embedding"} if kind != "point" else {"visual_sampler.kind_embedding"}
    assert {name for name in idle if not name.startswith("mask_decoder.grounding_")} <= by_kind
    assert set(losses) == {
        *("prompt", "learnable", "cross_entropy", "dice", "intermediate", "correspondence", "corrected")
    }


def test_one_clip_is_learnt_by_heart(small_model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty steps: both objects are followed, and the box alone is answered, with an IoU above 0.8."""
    labels = moving(3)
    given = collate_clips([make_clip(labels, (1, 2), "box")])
    step = ClipStep(small_model, settings(local_radius=3))
    optimizer = torch.optim.Adam(small_model.parameters(), 6e-3)
    torch.manual_seed(0)
    for _ in range(30):
        optimizer.zero_grad()
        torch.stack(list(step(given, 1.0).values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(small_model.parameters(), 2.0)
        optimizer.step()
    joints = watch_joint(monkeypatch)
    answers: list[Any] = []
    plain = small_model.decode_layers

    def decode(features: ImageFeatures, request: DecodeRequest) -> list[Prediction]:
        answers.append(plain(features, request))
        return answers[-1]

    monkeypatch.setattr(small_model, "decode_layers", decode)
    with torch.no_grad():
        step(given, 1.0)
    for t, joint in enumerate(joints, 1):
        found = F.interpolate(joint, scale_factor=4, mode="bilinear").argmax(1)[0].numpy()
        for number in (1, 2):
            assert iou(found == number, labels[t] == number) > 0.8
    alone = F.interpolate(answers[0][-1].mask_logits[:, 5:, 0], scale_factor=4, mode="bilinear")[0] > 0
    for row, number in enumerate(given["anew"]["ids"][0].tolist()):
        if number:
            assert iou(alone[row].numpy(), labels[0] == number) > 0.8
    assert len(joints) == 2 and len(answers) == 3


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def watch_joint(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[int, Tensor], Tensor] = lambda t, joint: joint
) -> list[Tensor]:
    """The joint log-odds of the later frames as they are made, changed by what is given (frame, log-odds)."""
    plain, joints = clip_step.soft_aggregate, []

    def aggregate(logits: Tensor) -> Tensor:
        joints.append(change(len(joints) + 1, plain(logits)))
        return joints[-1]

    monkeypatch.setattr(clip_step, "soft_aggregate", aggregate)
    return joints


def test_its_own_masks_are_fed_on(small_model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another answer on frame 1 gives another on frame 2, whatever the labels of frame 1 are."""
    step = ClipStep(small_model, settings())
    clip = make_clip(moving(3), (1, 2))
    relabelled = clip.labels.copy()
    relabelled[1] = relabelled[1][::-1]
    found = []
    with torch.no_grad():
        for labels, shift in ((clip.labels, 0.0), (clip.labels, 30.0), (relabelled, 0.0)):
            rows = shift * torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
            joints = watch_joint(monkeypatch, lambda t, joint, rows=rows: joint + rows if t == 1 else joint)
            step(collate_clips([replace(clip, labels=labels)]), 1.0)
            found.append(joints[1].clone())
            monkeypatch.undo()
    assert (found[1] - found[0]).abs().max() > 0.02, "an answer that is fed on"
    torch.testing.assert_close(found[2], found[0])


def test_answers_learn_through_the_memory_but_not_through_their_tokens(
    small_model: UniVS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of frame 2 reaches the log-odds of frame 1 by the dense memory's values alone."""
    assert small_model.dense_memory is not None
    given, step = collate_clips([make_clip(moving(3), (1,))]), ClipStep(small_model, settings(intermediate=0))
    joints = watch_joint(monkeypatch)
    step(given, 1.0)
    assert torch.autograd.grad(joints[1].sum(), joints[0])[0].any()
    plain = small_model.dense_memory.memory_value
    monkeypatch.setattr(small_model.dense_memory, "memory_value", lambda f, masks: plain(f, masks.detach()))
    joints.clear()
    step(given, 1.0)
    assert torch.autograd.grad(joints[1].sum(), joints[0], allow_unused=True)[0] is None


def test_nothing_is_learnt_from_unknown_pixels(small_model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lower half of frame 1 is unknown: its log-odds have no gradient there, in any of the losses."""
    labels = moving(2)
    labels[1, 32:] = 255
    given = collate_clips([make_clip(labels, (1, 2))])
    maps: list[Tensor] = []
    plain = small_model.decode_layers

    def decode(features: ImageFeatures, request: DecodeRequest) -> list[Prediction]:
        predictions = plain(features, request)
        predictions = [replace(p, mask_logits=p.mask_logits.detach().requires_grad_()) for p in predictions]
        maps.extend(p.mask_logits for p in predictions)
        return predictions

    monkeypatch.setattr(small_model, "decode_layers", decode)
    losses = ClipStep(small_model, settings())(given, 1.0)
    for name in ("cross_entropy", "dice", "intermediate"):
        slopes = torch.autograd.grad(losses[name], maps, retain_graph=True, allow_unused=True)
        reached = [slope[..., 0, :, :] for slope in slopes if slope is not None]
        assert len(reached) == (3 if name == "intermediate" else 1)
        for slope in reached:
            # the logits are a quarter as large: the last row of the known half is blended with the one below it
            assert slope[..., :8, :].any() and not slope[..., 9:, :].any()


def test_cells_with_one_unknown_pixel_are_unknown() -> None:
    classes = torch.zeros(1, 2, 16, 16)
    classes[0, 1, 8, 15] = 255
    classes[0, 0, 0, 0] = 3
    assert known_cells(classes, 8).tolist() == [[[[True, True]] * 2, [[True, True], [True, False]]]]


def test_incomplete_labels_teach_the_learnable_queries_nothing(small_model: UniVS) -> None:
    step = ClipStep(small_model, settings())
    whole, part = (collate_clips([make_clip(moving(2), (1,), complete=c)]) for c in (True, False))
    losses = [step(given, 1.0) for given in (whole, part)]
    assert float(losses[0]["learnable"].detach()) > 0 == float(losses[1]["learnable"].detach())
    query = small_model.mask_decoder.query
    total = torch.stack(list(losses[1].values())).sum()
    (slope,) = torch.autograd.grad(losses[1]["learnable"], query, allow_unused=True, retain_graph=True)
    assert slope is None or not slope.any()
    assert bool(total.isfinite())


def test_a_model_without_dense_memory_is_named(small_model: UniVS) -> None:
    small_model.dense_memory = None
    with pytest.raises(UserError, match="train the dense memory, which this model has not"):
        ClipStep(small_model, ClipLosses())


def test_weights_and_defaults(small_model: UniVS, given: dict[str, Any], fixed_points: Callable[[int], Tensor]) -> None:
    """Each weight scales its own loss."""
    assert ClipLosses() == ClipLosses(CriterionWeights(1.0, 1.0, 1.0, 1024), 5, 6, 0.5, 0.2, 1.0, 0.2, 1.0, 0.5)
    changed = settings(correspondence=1.4, prompt=3.0, learnable=0.5)
    torch.manual_seed(0)
    with torch.no_grad():
        one = ClipStep(small_model, settings(learnable=0.25))(given, 1.0)
        torch.manual_seed(0)
        other = ClipStep(small_model, changed)(given, 1.0)
    factors = {"correspondence": 2.0, "prompt": 3.0, "learnable": 2.0}
    for name in one:
        torch.testing.assert_close(other[name], factors.get(name, 1.0) * one[name], atol=1e-4, rtol=1e-3)
    with torch.no_grad():
        assert "intermediate" not in ClipStep(small_model, settings(intermediate=0.0))(given, 1.0)


def test_keys_are_made_in_full_precision(small_model: UniVS, given: dict[str, Any], monkeypatch: Any) -> None:
    seen: list[tuple[torch.dtype, torch.dtype]] = []
    dense = small_model.dense_memory
    assert dense is not None
    plain = dense.memory_key

    def memory_key(features: Any) -> Any:
        key = plain(features)
        seen.append((features.pyramid[16].dtype, key.memory.dtype))
        return key

    monkeypatch.setattr(dense, "memory_key", memory_key)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        losses = ClipStep(small_model, settings())(given, 1.0)
    assert seen == [(torch.float32, torch.float32)]
    assert all(bool(loss.isfinite()) for loss in losses.values())


def test_padding_targets_carry_no_loss(small_model: UniVS) -> None:
    step = ClipStep(small_model, ClipLosses(learnable=0, prompt=0, intermediate=0))
    alone = collate_clips([make_clip(moving(3), (1,))])
    wider = {name: torch.cat([value, torch.zeros_like(value)], 1) for name, value in alone["first"].items()}
    wider["strokes"] = alone["first"]["strokes"]
    with torch.no_grad():
        torch.manual_seed(0)
        one = step(alone, kept_share=1.0)
        torch.manual_seed(0)
        padded = step({**alone, "targets": torch.tensor([[1, 0]]), "first": wider}, kept_share=1.0)
    assert {"correspondence", "cross_entropy", "dice"} <= set(one)
    for name in one:
        torch.testing.assert_close(one[name], padded[name], atol=1e-3, rtol=1e-3)  # its row has e^-12 of the odds


def test_a_clip_of_one_frame_is_the_image_stage(small_model: UniVS) -> None:
    given = collate_clips([make_clip(moving(1), (1, 2), "box")])
    assert set(ClipStep(small_model, ClipLosses())(given, 1.0)) == {"prompt", "learnable"}


def test_the_model_that_ships_takes_a_step() -> None:
    torch.manual_seed(0)
    model = build_model(compose("train", ["data.root=unused"])["model"])
    losses = ClipStep(model, ClipLosses())(collate_clips([make_clip(moving(2), (1, 2), "point")]), 0.5)
    torch.stack(list(losses.values())).sum().backward()
    others = ("text_prompter.", "word_head.", "mask_decoder.grounding_", "mask_refiner.")  # of stages of their own
    unused = {name for name, p in model.named_parameters() if p.grad is None and not name.startswith(others)}
    assert not unused
