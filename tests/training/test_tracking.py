"""Clips of which boxes are known: what their answers are held to, and that masks come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.losses.shared_counts import mean_gap, together
from tests.training.moving_clips import make_clip, moving
from univs.data.box_scenes import draw_box_prompts
from univs.data.clip_batches import collate_clips
from univs.data.clips import TrainingClip
from univs.formats.boxes import tight_boxes
from univs.losses import BoxTargets, BoxTerms, CriterionWeights, see
from univs.losses.boxes import outside_loss, pairwise_terms, projection_loss
from univs.losses.counting import Counting
from univs.masks.frame_labels import soft_aggregate
from univs.models.features import Prediction
from univs.models.univs import UniVS
from univs.training import tracking, truth
from univs.training.clip_step import ClipLosses, ClipStep
from univs.training.tracking import BoxTracking, EitherTracking, Supervisor, answered, odds_of_targets

TERMS = BoxTerms(outside=1.0, temporal_warmup=4)
LOSSES = ClipLosses(CriterionWeights(1.0, 1.0, 1.0, 64), local_radius=2, corrected=0.0)


def boxed_clip(labels: np.ndarray, targets: tuple[int, ...], seed: int = 0, **given: Any) -> TrainingClip:
    """`make_clip` with the boxes of its two objects in place of its masks, and boxes as prompts."""
    clip = make_clip(labels, targets, "box", seed=seed, **given)
    boxes = np.zeros((2, len(labels), 4), np.float32)
    for t, frame in enumerate(labels):
        for number, box in tight_boxes(frame).items():
            boxes[number - 1, t] = box
    rng = np.random.default_rng(seed)
    anew = tuple(draw_box_prompts(rng, boxes[:, t], (1, 2), {"box": 1.0}, 4, 64) for t in range(len(clip.anew)))
    return replace(clip, labels=np.full_like(labels, 255), boxes=boxes, anew=anew)


def batch_of(*clips: TrainingClip, step: int = 3) -> dict[str, Any]:
    return {**collate_clips(clips), "step": step}


def forbid(name: str) -> Any:
    def raises(*arguments: object, **named: object) -> None:
        raise AssertionError(f"{name}: masks are read")

    return raises


@pytest.mark.parametrize("length", [1, 3])
def test_with_boxes_masks_are_never_read(small_model: UniVS, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    """What makes masks of label maps is an error, and whatever the label maps hold, losses are the same."""
    given = batch_of(boxed_clip(moving(length), (1, 2)), boxed_clip(moving(length), (2,), seed=1))
    for module, name in (
        (tracking, "read_aim"),
        (truth, "masks_of"),
        (truth, "MaskTargets"),
        (tracking, "MaskTargets"),
    ):
        monkeypatch.setattr(module, name, forbid(name))
    step = ClipStep(small_model, replace(LOSSES, corrected=0.5), known="boxes", boxes=TERMS)
    found = []
    for labels in (given["labels"], torch.randint(3, 255, given["labels"].shape, dtype=torch.uint8)):
        torch.manual_seed(0)
        found.append({name: float(value.detach()) for name, value in step({**given, "labels": labels}, 0.5).items()})
    assert found[0] == found[1]
    along = {"corrected", "projection", "pairwise", "intermediate", "temporal"} if length > 1 else set()
    assert set(found[0]) == {"prompt", "learnable", *along} and all(np.isfinite(v) for v in found[0].values())


def test_every_part_is_trained_by_boxes(small_model: UniVS) -> None:
    given = batch_of(boxed_clip(moving(3), (1, 2)), boxed_clip(moving(3), (2,), seed=1))
    losses = ClipStep(small_model, LOSSES, known="boxes", boxes=TERMS)(given, 0.5)
    torch.stack(list(losses.values())).sum().backward()
    idle = {name for name, p in small_model.named_parameters() if p.grad is None or not bool(p.grad.isfinite().all())}
    idle = {name for name in idle if not name.startswith("mask_decoder.grounding_")}
    assert idle <= {"visual_sampler.sign_embedding"}


def test_boxes_teach_masks(small_model: UniVS) -> None:
    """Thirty steps of boxes alone, on a clip of two crosses that move: both are followed with an IoU above 0.7.

    A mask that fills the box of a cross has one of 0.56.
    """
    labels = np.zeros((2, 64, 64), np.uint8)
    y, x = np.mgrid[:64, :64]
    for t in range(2):
        for number, (middle_x, middle_y, reach) in ((1, (22 + 3 * t, 22, 17)), (2, (44, 46 - 2 * t, 14))):
            dx, dy = np.abs(x - middle_x), np.abs(y - middle_y)
            labels[t][(np.minimum(dx, dy) <= reach // 3) & (np.maximum(dx, dy) <= reach)] = number
    colours = np.array([[90, 90, 90], [220, 60, 40], [40, 70, 220]], np.uint8)
    clip = replace(boxed_clip(labels, (1, 2)), frames=colours[labels])
    given = batch_of(clip, step=500)
    step = ClipStep(small_model, replace(LOSSES, learnable=0.0), known="boxes", boxes=BoxTerms(outside=1.0))
    optimizer = torch.optim.Adam(small_model.parameters(), 6e-3)
    torch.manual_seed(0)
    for _ in range(30):
        optimizer.zero_grad()
        torch.stack(list(step(given, 1.0).values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(small_model.parameters(), 2.0)
        optimizer.step()
    joints: list[Tensor] = []
    plain = BoxTracking.clip

    def watched(self: BoxTracking, answers: list[Tensor]) -> Mapping[str, Tensor]:
        joints.extend(answers)
        return plain(self, answers)

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(BoxTracking, "clip", watched)
        step(given, 1.0)
    assert len(joints) == 2, "the first frame is answered too"
    for t, joint in enumerate(joints):
        found = F.interpolate(joint, scale_factor=4, mode="bilinear").argmax(1)[0].numpy()
        for number in (1, 2):
            one, other = found == number, labels[t] == number
            assert (one & other).sum() / (one | other).sum() > 0.7


def tracked() -> tuple[BoxTracking, list[Tensor]]:
    """Two clips of three frames of 32 pixels, two targets and one; joint log-odds of each time."""
    generator = torch.Generator().manual_seed(0)
    boxes = torch.zeros(2, 2, 3, 8, 8)
    boxes[0, 0, :, 1:5, 1:4], boxes[0, 1, 1:, 4:, 2:7], boxes[1, 0, :, 2:6, 3:] = 1, 1, 1
    frames = torch.randint(100, 110, (2, 3, 3, 32, 32), generator=generator)
    counted = torch.tensor([[True, True], [True, False]])
    joints = [soft_aggregate(2 * torch.randn(2, 2, 8, 8, generator=generator)) for _ in range(3)]
    return BoxTracking(boxes, see(frames, TERMS, 4), TERMS, 2, counted, 0.3), joints


def test_a_frame_is_held_to_its_boxes() -> None:
    along, joints = tracked()
    found = replace(along, intermediate=0.0).frame(joints[1], [], 1, 0.5)
    p = joints[1].softmax(1)[:, 1:]
    rows = torch.logit(p)
    near = near_weight = reach = 0.0
    for b, m in ((0, 0), (0, 1), (1, 0)):
        row, box = rows[b, m, None], along.boxes[b, m, 1, None]
        reach += float(projection_loss(row, box) + outside_loss(row, box)) / 3
        sums, weights = pairwise_terms(row, along.seen.alike[b, 1, None], box)
        near, near_weight = near + float(sums), near_weight + float(weights)
    assert set(found) == {"projection", "pairwise"}
    assert float(found["projection"]) == pytest.approx(reach, rel=1e-4)
    assert float(found["pairwise"]) == pytest.approx(near / near_weight, rel=1e-4)


def test_a_clip_is_held_to_what_looks_alike_on_its_frames() -> None:
    """The TK-loss of all frames together, half of it in step 2 of 4."""
    along, joints = tracked()
    found = along.clip(joints)
    logits = torch.stack([torch.logit(joint.softmax(1)[:, 1:]) for joint in joints], 2)
    full = BoxTargets(along.boxes, along.seen, TERMS, 4).prompted(logits[None], along.counted)["temporal"]
    assert set(found) == {"temporal"} and float(found["temporal"]) == pytest.approx(float(full[0]) / 2, rel=1e-3)
    assert float(found["temporal"]) > 0


def test_the_first_frame_is_remembered_as_it_is_answered_within_the_box() -> None:
    along, joints = tracked()
    kept = along.first(joints[0])
    inside = along.boxes[:, :, 0] > 0
    assert torch.equal(kept, joints[0].softmax(1)[:, 1:] * inside) and kept[0, 0].any() and not kept[0, 1].any()


def test_odds_of_targets_and_the_likeliest() -> None:
    _, joints = tracked()
    p = joints[0].softmax(1)[:, 1:]
    torch.testing.assert_close(odds_of_targets(joints[0]).sigmoid(), p)
    sure = torch.tensor([-40.0, 60.0, 0.0]).view(1, 3, 1, 1)
    assert odds_of_targets(sure).flatten().tolist() == pytest.approx([60, -60])
    assert answered(sure).flatten().tolist() == [True, False]


def test_clicks_are_made_where_an_answer_leaves_its_box() -> None:
    along, _ = tracked()
    joint = torch.full((2, 3, 8, 8), -5.0)
    joint[:, 0] = 0
    joint[0, 1, 1:5, 1:4] = 5  # fills the box
    joint[0, 2, :3, 5:] = 5  # far from it
    points, signs = along.clicks(joint, 1)
    assert signs.flatten().tolist() == [-1, 0, -1, -1]
    x, y = points[1, 0].tolist()
    assert 20 <= x < 32 and 0 <= y < 12


def test_masks_and_boxes_beside_each_other(small_model: UniVS) -> None:
    """Losses along a batch of a clip with masks and one with boxes are those of both, by their shares of the targets.

    What is asked of single frames is left out: their points are drawn at random.
    """
    masks, boxes = make_clip(moving(3), (1, 2), "box"), boxed_clip(moving(3), (2,), seed=1)
    quiet = replace(LOSSES, prompt=0.0, learnable=0.0, intermediate=0.0)

    def losses(known: Any, *clips: TrainingClip) -> dict[str, float]:
        step = ClipStep(small_model, quiet, known=known, boxes=TERMS)
        with torch.no_grad():
            return {name: float(value) for name, value in step(batch_of(*clips), 1.0).items()}

    both, alone = losses("either", masks, boxes), losses("boxes", boxes)
    for name in ("projection", "pairwise", "temporal"):
        assert both[name] == pytest.approx(alone[name] / 3, rel=2e-2), name
    assert {"cross_entropy", "dice", "correspondence"} < set(both)
    # a batch of the other kind alone, in a run that has both
    plain, other = losses("either", masks), losses("masks", masks)
    assert plain["projection"] == plain["pairwise"] == plain["temporal"] == 0
    assert plain["correspondence"] == pytest.approx(other["correspondence"], rel=1e-4)
    by_box = losses("either", boxes)
    assert by_box["dice"] == by_box["cross_entropy"] == by_box["correspondence"] == 0
    assert by_box["projection"] == pytest.approx(alone["projection"], rel=1e-4)


def both_kinds() -> tuple[TrainingClip, TrainingClip]:
    """One with masks and one with boxes, of objects that lie elsewhere on every frame and in every clip."""
    turned = moving(3)[:, ::-1].copy()
    return make_clip(moving(3), (1, 2), "box", anew=2), boxed_clip(turned, (2, 1), seed=1, anew=2)


def test_frames_that_are_prompted_anew_have_the_masks_or_the_boxes_of_their_own_clip_and_time() -> None:
    batch = batch_of(*both_kinds())
    index = batch["anew"]["frame_index"]
    places = [(number % 2, number // 2) for number in index.tolist()]
    assert len({t for _, t in places}) == 2 == len({b for b, _ in places})
    found, _ = Supervisor("either", TERMS, CriterionWeights(), 0.2)(batch)
    assert isinstance(found, truth.EitherTruth)
    assert found.boxed.tolist() == [bool(b) for b, _ in places]
    assert torch.equal(found.boxes.boxes, torch.stack([batch["boxes"][b, :, t] for b, t in places]))
    assert torch.equal(found.masks.labels, torch.stack([batch["labels"][b, t] for b, t in places]))
    whole = see(batch["frames"], TERMS, 4).alike
    assert torch.equal(found.boxes.seen.alike[:, 0], torch.stack([whole[b, t] for b, t in places]))


def test_each_clip_of_a_mixed_batch_is_clicked_and_remembered_as_what_it_is() -> None:
    for clips in (both_kinds(), both_kinds()[::-1]):
        _, along = Supervisor("either", TERMS, CriterionWeights(), 0.2)(batch_of(*clips))
        assert isinstance(along, EitherTracking)
        joint = soft_aggregate(3 * torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(0)))
        points, signs = along.clicks(joint, 1)
        kinds = [along.boxes if clip.boxes is not None else along.masks for clip in clips]
        assert not torch.equal(along.boxes.clicks(joint, 1)[0], along.masks.clicks(joint, 1)[0])
        for b, kind in enumerate(kinds):
            own = slice(2 * b, 2 * b + 2)
            assert torch.equal(points[own], kind.clicks(joint, 1)[0][own])
            assert torch.equal(signs[own], kind.clicks(joint, 1)[1][own])
            assert torch.equal(along.first(joint)[b], kind.first(joint)[b])


def test_two_processes_weigh_masks_and_boxes_as_one_with_the_clips_of_both() -> None:
    """Of which one has masks alone and the other boxes alone."""
    clips = both_kinds()
    joint = soft_aggregate(torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(0)))

    def losses(part: slice, counting: Counting) -> dict[str, Tensor]:
        _, along = Supervisor("either", TERMS, CriterionWeights(), 0.0, counting)(batch_of(*clips[part]))
        found = along.frame(joint[part], [], 1, 1.0)
        return {**found, **along.clip([joint[part]] * 3)}

    whole = losses(slice(0, 2), Counting())
    halves = together(lambda rank, counting: losses(slice(rank, rank + 1), counting))
    for name in ("dice", "projection", "pairwise", "temporal"):
        assert mean_gap((halves[0][name], halves[1][name]), whole[name]) < 1e-5, name
        assert float(whole[name]) > 0.01, name


def test_earlier_layers_are_held_to_boxes_by_their_own_weight() -> None:
    along, joints = tracked()
    generator = torch.Generator().manual_seed(1)
    layers = [
        Prediction(torch.randn(2, 2, 1, 8, 8, generator=generator), torch.zeros(2, 2, 1, 4), None) for _ in range(2)
    ]
    found = along.frame(joints[2], layers, 2, 1.0)
    seen = replace(along.seen, alike=along.seen.alike[:, 2:3], matches=None)
    targets = BoxTargets(along.boxes[:, :, 2:3], seen, TERMS, 2)
    terms = [targets.prompted(layer.mask_logits[None], along.counted) for layer in layers]
    want = 0.3 * sum(float(value) for each in terms for value in each.values())
    assert float(found["intermediate"]) == pytest.approx(want, rel=1e-4)


def test_the_supervisor_counts_steps_from_one() -> None:
    supervisor = Supervisor("boxes", TERMS, CriterionWeights(), 0.2)
    _, along = supervisor(batch_of(boxed_clip(moving(2), (1,)), step=0))
    assert isinstance(along, BoxTracking) and along.step == 1 and along.boxes.shape == (1, 1, 2, 16, 16)
    assert along.seen.matches is not None and along.counted.tolist() == [[True]]
    with pytest.raises(KeyError, match="step"):
        supervisor(collate_clips([boxed_clip(moving(2), (1,))]))


def test_every_frame_is_held_to_its_boxes_the_first_one_too(
    small_model: UniVS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The losses of a clip are the means over its frames, and that of the clip as a whole is added."""
    times: list[int] = []

    def frame(self: BoxTracking, joint: Tensor, intermediate: Any, t: int, kept_share: float) -> dict[str, Tensor]:
        times.append(t)
        return {"projection": joint.sum() * 0 + t + 1}

    monkeypatch.setattr(BoxTracking, "frame", frame)
    monkeypatch.setattr(BoxTracking, "clip", lambda self, joints: {"temporal": torch.tensor(float(len(joints)))})
    losses = ClipStep(small_model, LOSSES, known="boxes", boxes=TERMS)(batch_of(boxed_clip(moving(4), (1,))), 1.0)
    assert times == [0, 1, 2, 3]
    assert float(losses["projection"].detach()) == pytest.approx(2.5) and float(losses["temporal"]) == 4


class Told:
    """A tracking that answers with given numbers."""

    def __init__(self, **losses: float) -> None:
        self.losses = {name: torch.tensor(value) for name, value in losses.items()}

    def frame(self, *given: object) -> dict[str, Tensor]:
        return self.losses

    def correspondence(self, *given: object) -> dict[str, Tensor]:
        return {"correspondence": torch.tensor(8.0)}

    def clip(self, *given: object) -> dict[str, Tensor]:
        return {"temporal": torch.tensor(12.0)}


def test_terms_of_masks_and_of_boxes_weigh_by_their_shares() -> None:
    """The cross-entropy alone is a mean over all clips already; what both have is added up."""
    masks, boxes = Told(cross_entropy=3.0, dice=5.0, intermediate=2.0), Told(projection=6.0, intermediate=10.0)
    shares = torch.tensor(0.25), torch.tensor(0.75)
    either = EitherTracking(masks, boxes, torch.tensor([True]), shares)  # type: ignore[arg-type]
    joint = torch.zeros(1, 2, 4, 4)
    found = {name: float(value) for name, value in either.frame(joint, [], 0, 1.0).items()}
    assert found == {"cross_entropy": 3.0, "dice": 1.25, "intermediate": 0.5 + 7.5, "projection": 4.5}
    assert {name: float(value) for name, value in either.clip([joint]).items()} == {"temporal": 9.0}
    assert float(either.correspondence(None, 1)["correspondence"]) == 2.0  # type: ignore[arg-type]
