"""Training losses against the golden figures: targets, matching, every term, and what the total asks of the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from univs.losses.clip_criterion import Pairs
from univs.losses.matcher import pair_costs
from univs.models import TextFeatures, UniVS
from univs.models.official import CLASS_ROWS, our_name
from univs.training.released import LabelledClip, ReleasedSettings, ReleasedStep
from univs.training.released.long_video import LongVideoStep
from univs.training.released.step import Answers, Question
from univs.training.released.targets import boxes_of

pytestmark = pytest.mark.conformance

TERM, TOTAL, NORM = 1e-5, 1e-5, 2e-5
"""Relative errors of a term, of their weighted sum and of the norm of its gradient."""

SAMPLE = 2e-3
"""Error of an entry of a gradient, as a share of the largest one."""

TIE = 1e-6
"""Assignments whose costs differ by less, as a share of the whole, are equally right."""


def question_of(case: Any) -> Question:
    """Detection is trained with objects shown or with categories, as a normal number falls."""
    if case.info["task"] == "detection":
        return "shown" if case.info["randn_value"] > 0.5 else "categories"
    return {"sot": "shown", "grounding": "expressions"}[case.info["task"]]


def settings_of(case: Any) -> ReleasedSettings:
    """The numbers of a case, with the official accidents but for the one that `_fixedorder` leaves out."""
    weights = case.info["weight_dict"]
    return ReleasedSettings(
        weights["loss_ce"],
        weights["loss_mask"],
        weights["loss_dice"],
        weights["loss_reid"],
        points=case.setting("MODEL.MASK_FORMER.TRAIN_NUM_POINTS"),
        objects=case.setting("MODEL.UniVS.NUM_POS_QUERIES"),
        token_order="objects" if case.name.endswith("_fixedorder") else "kinds",
        expression_masks="numbered",
        memory_times="counted",
    )


def classes_of(case: Any, class_embeddings: Tensor) -> Tensor | None:
    """The class embeddings that a case is trained with; there is no class loss for expressions."""
    rows = None if case.info["task"] == "grounding" else CLASS_ROWS.get(case.info["dataset_name"])
    return None if rows is None else class_embeddings[rows[0] : rows[0] + rows[1]]


def clip_of(
    case: Any,
    names: tuple[str, str],
    video: Mapping[str, Any],
    expressions: tuple[TextFeatures, Sequence[int]] | None,
    named: bool,
) -> LabelledClip:
    """A video of a case, from the names of its arrays (frames, masks)."""
    frames, masks = (case.whole(name) for name in names)
    texts, described = (None, video["ids"]) if expressions is None else expressions
    labels = torch.tensor(video["labels_1based"]) - 1 if named else None
    return LabelledClip(frames, video["frame_indices"], masks, torch.tensor(described), labels, texts)


def official_names(losses: Mapping[str, Tensor]) -> dict[str, float]:
    """Terms of all predictions under their official names: the last one without a number."""
    named = {}
    for name, values in losses.items():
        official = "loss_ce" if name == "class" else f"loss_{name}"
        for number, value in enumerate(values.tolist()):
            named[official if number == len(values) - 1 else f"{official}_{number}"] = value
    return named


def check_terms(case: Any, ours: Mapping[str, float], theirs: Mapping[str, float]) -> None:
    assert set(theirs) <= set(ours)
    errors = {name: abs(ours[name] - value) / max(abs(value), 1e-3) for name, value in theirs.items()}
    worst = max(errors, key=errors.__getitem__)
    print(f"{case.name} {len(theirs)} terms: largest relative error {errors[worst]:.1e} ({worst})")
    assert errors[worst] <= TERM


def check_gradients(case: Any, model: UniVS, weighted: Mapping[str, Tensor]) -> None:
    """The weighted sum, and the gradients that are recorded of it."""
    total = sum((values.sum() for values in weighted.values()), torch.zeros(()))
    model.zero_grad()
    total.backward()
    assert float(total.detach()) == pytest.approx(case.info["total_weighted"], rel=TOTAL)
    parameters = dict(model.named_parameters())
    gradients = {name: p.grad for name, p in parameters.items() if p.grad is not None}
    norm = float(torch.stack([gradient.double().norm() for gradient in gradients.values()]).norm())
    print(f"{case.name} gradient: norm {abs(norm / case.info['total_grad_norm'] - 1):.1e} off")
    assert norm == pytest.approx(case.info["total_grad_norm"], rel=NORM)
    for official, recorded in case.info["gradients_of_total"].items():
        name = our_name(official)
        assert name is not None
        if recorded is None:
            assert name not in gradients
            continue
        gradient = gradients[name]
        assert float(gradient.double().norm()) == pytest.approx(recorded["norm"], rel=SAMPLE), official
        if f"grad:{official}" in case.tensors:
            shape = case.tensors[f"grad:{official}"]["shape"]
            error = float(case.errors(f"grad:{official}", gradient.reshape(shape)).max() / gradient.abs().max())
            assert error <= SAMPLE, f"{official}: {error:.1e} of the largest entry"
    if "trainable_without_grad" not in case.info:
        return
    without = {our_name(official) for official in case.info["trainable_without_grad"]} - {None}
    assert {name for name, p in parameters.items() if p.requires_grad and p.grad is None} == without


@pytest.mark.cases("loss_r50_*")
def test_losses_of_clips(
    case: Any,
    training_model: UniVS,
    class_embeddings: Tensor,
    encode_texts: Callable[[Sequence[str]], TextFeatures],
    draws: Any,
) -> None:
    embeddings, settings = classes_of(case, class_embeddings), settings_of(case)
    clips = []
    for number, video in enumerate(case.info["videos"]):
        described = None
        if case.info["task"] == "grounding":
            described = encode_texts(case.info["expressions"][number]), case.info["exp_obj_ids_input"][number]
        names = f"frames_uint8_rgb_v{number}", f"masks_v{number}"
        clips.append(clip_of(case, names, video, described, embeddings is not None))
    step = ReleasedStep(training_model, settings)
    answers = step.answer(clips, question_of(case), embeddings, draws)
    check_targets(case, answers)
    last, learnable = answers.predictions[-1], len(training_model.mask_decoder.query)
    case.check("pred_masks", last.mask_logits, 1e-3, case.FLIPPED)
    case.check("pred_embds", last.embeddings, 1e-4, case.FLIPPED)
    case.check("prompt_pred_embds", last.embeddings[:, learnable:], 1e-4, case.FLIPPED)

    pairs = recorded_pairs(case, answers, step.match(answers, draws), settings.points, draws)
    losses = step.losses(answers, pairs, draws)
    check_terms(case, official_names(losses), case.info["losses_unweighted"])
    weighted = settings.weighted(losses)
    check_terms(case, official_names(weighted), case.info["losses_weighted"])
    check_gradients(case, training_model, weighted)


@pytest.mark.cases("loss_stage3_*")
def test_losses_of_a_long_video(
    case: Any,
    training_model: UniVS,
    class_embeddings: Tensor,
    encode_texts: Callable[[Sequence[str]], TextFeatures],
    draws: Any,
) -> None:
    embeddings, settings = classes_of(case, class_embeddings), settings_of(case)
    described = None
    if case.info["task"] == "grounding":
        described = encode_texts(case.info["expressions"]), case.info["exp_obj_ids_input"]
    video = clip_of(case, ("frames_uint8_rgb", "masks"), case.info, described, embeddings is not None)
    long_video = LongVideoStep(training_model, settings, case.info["clip_frames"])
    answers = long_video.answer(video, question_of(case), embeddings, draws)
    learnable = len(training_model.mask_decoder.query)
    for number, of_clip in enumerate(answers):
        found = of_clip.predictions[-1].embeddings
        case.check(f"clip{number}_pred_embds", found, 1e-4, case.FLIPPED)
        case.check(f"clip{number}_prompt_pred_embds", found[:, learnable:], 1e-4, case.FLIPPED)
        assert of_clip.prompts is not None
        assert of_clip.prompts.ids[0].tolist() == case.info["prompt_obj_ids_per_clip"][number]
    pairs = [long_video.step.match(of_clip, draws) for of_clip in answers]
    for of_clip, of_pairs, recorded in zip(answers, pairs, case.info["per_clip_losses_unweighted"], strict=True):
        check_terms(case, official_names(long_video.step.losses(of_clip, of_pairs, draws)), recorded)
    weighted = settings.weighted(long_video.losses(answers, pairs, draws))
    check_terms(case, official_names(weighted), case.info["losses_weighted"])
    check_gradients(case, training_model, weighted)


def check_targets(case: Any, answers: Answers) -> None:
    """Identities, labels and boxes of the objects, and what the prompts ask for."""
    ours, prompts = answers.targets, answers.prompts
    height, width = ours.masks.shape[-2:]
    boxes = boxes_of(ours.masks) / torch.tensor([width, height] * 2)
    for clip, theirs in enumerate(case.info["targets"]):
        objects = len(theirs["labels"])
        assert ours.present[clip].tolist() == [True] * objects + [False] * (len(ours.present[clip]) - objects)
        assert ours.ids[clip, :objects].tolist() == theirs["ids"]
        torch.testing.assert_close(boxes[clip, :objects], torch.tensor(theirs["boxes"]), atol=1e-6, rtol=0)
        if ours.labels is not None:
            assert (ours.labels[clip, :objects] + 1).tolist() == theirs["labels"]
        if prompts is None:
            assert theirs["prompt_obj_ids"] is None
            continue
        assert prompts.ids[clip].tolist() == theirs["prompt_obj_ids"]
        assert prompts.ids.shape[1] == theirs["num_max_instances"]
        if theirs["prompt_gt_labels"] is not None:
            assert prompts.labels is not None
            assert (prompts.labels[clip] + 1).tolist() == theirs["prompt_gt_labels"]


def recorded_pairs(case: Any, answers: Answers, found: Sequence[Pairs], points: int, draws: Any) -> list[Pairs]:
    """The recorded assignments, which are ours but for ties."""
    targets = answers.targets
    last, *others = case.info["matcher_assignments"]["layers"]
    pairs = []
    for number, (recorded, ours) in enumerate(zip([*others, last], found, strict=True)):
        prediction = answers.predictions[number]
        scores, labels = prediction.class_logits, targets.labels
        where = draws.uniform(1, points, 2).expand(len(targets.masks), -1, -1)
        costs = pair_costs(prediction.mask_logits, targets.masks, where, scores, labels)
        rows = [(clip, q, g) for clip, pair in enumerate(recorded) for q, g in zip(*pair, strict=True)]
        theirs = torch.tensor(rows).T
        if not torch.equal(theirs, torch.stack(ours)):
            difference = float(costs[tuple(ours)].sum() / costs[tuple(theirs)].sum() - 1)
            print(f"{case.name} prediction {number}: ours {torch.stack(ours).T.tolist()} costs {difference:.1e} more")
            assert abs(difference) < TIE
        clip, query, chosen = theirs
        pairs.append((clip, query, chosen))
    return pairs
