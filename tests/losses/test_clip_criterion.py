"""All terms of the official training, put together by loops from losses that have tests of their own."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.losses.shared_counts import mean_gap, together
from univs.losses import (
    BoxTargets,
    BoxTerms,
    ClipTargets,
    PatchSearch,
    PromptTargets,
    clip_losses,
    match,
    match_predictions,
    see,
)
from univs.losses.clip_criterion import Pairs, seen_embeddings
from univs.losses.counting import Counting
from univs.losses.reidentification import reidentification_losses
from univs.losses.segments import segment_loss
from univs.losses.set_criterion import focal_losses, point_mask_losses
from univs.models.features import Prediction

QUERIES, PROMPTS, OBJECTS, FRAMES, CLASSES, POINTS = 5, 3, 3, 2, 4, 24


class FixedDraws:
    """The same numbers whenever the same shape is asked for."""

    def permutation(self, length: int) -> Tensor:
        return torch.randperm(length, generator=torch.Generator().manual_seed(length))

    def uniform(self, *shape: int) -> Tensor:
        seed = sum(size * 100**place for place, size in enumerate(shape))
        return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def predictions(count: int = 2) -> list[Prediction]:
    torch.manual_seed(0)
    rows = QUERIES + PROMPTS
    return [
        Prediction(
            2 * torch.randn(2, rows, FRAMES, 6, 6),
            torch.randn(2, rows, FRAMES, 8),
            torch.randn(2, rows, CLASSES),
        )
        for _ in range(count)
    ]


def clip_targets() -> ClipTargets:
    """Three objects and one; an object that only the first frame shows."""
    masks = torch.zeros(2, OBJECTS, FRAMES, 24, 24, dtype=torch.bool)
    masks[0, 0, :, :9], masks[0, 1, 0, 10:20, :12], masks[0, 2, :, 10:20, 12:] = True, True, True
    masks[1, 0, :, 4:15, 3:20] = True
    ids = torch.tensor([[[0, 0], [1, -1], [4, 4]], [[0, 0], [-1, -1], [-1, -1]]])
    present = torch.tensor([[True, True, True], [True, False, False]])
    return ClipTargets(masks, present, ids, torch.tensor([[3, 1, 3], [1, 0, 0]]))


def shown() -> PromptTargets:
    """In the first clip every object, in the second one its object, twice, and a prompt that nothing answers to."""
    whole = clip_targets()
    assert whole.labels is not None
    rows = torch.tensor([[0, 2, 1], [0, 0, 1]])
    clip = torch.tensor([[0], [1]])
    ids = torch.tensor([[0, 2, 1], [0, 0, -1]])
    return PromptTargets(whole.masks[clip, rows], ids, whole.ids[clip, rows], whole.labels[clip, rows])


def categories() -> PromptTargets:
    """Classes 1 and 3 in the first clip, 1 in the second."""
    whole, ids = clip_targets(), torch.tensor([[0, 1, -1], [0, -1, -1]])
    masks = torch.zeros_like(whole.masks)
    masks[0, 0], masks[0, 1], masks[1, 0] = whole.masks[0, 1], whole.masks[0, 0] | whole.masks[0, 2], whole.masks[1, 0]
    segments = torch.full((2, FRAMES, 24, 24), -1)
    for clip, prompt in ((0, 0), (0, 1), (1, 0)):
        segments[clip][masks[clip, prompt]] = prompt
    seen = ids[:, :, None].expand(-1, -1, FRAMES)
    return PromptTargets(masks, ids, seen, torch.tensor([[1, 3, 0], [1, 2, 3]]), segments)


PAIRS: list[Pairs] = [
    (torch.tensor([0, 0, 0, 1]), torch.tensor([0, 3, 4, 2]), torch.tensor([1, 2, 0, 0])),
    (torch.tensor([0, 0, 0, 1]), torch.tensor([1, 2, 3, 4]), torch.tensor([2, 0, 1, 0])),
]


def slow_class(scores: Tensor, answers: list[tuple[int, int, int]]) -> float:
    """Clips that have answers (clip, row, class), each weighed by how many: B rows K."""
    total = 0.0
    for clip in {clip for clip, _, _ in answers}:
        hot, choice, count = torch.zeros_like(scores[clip]), 0.0, 0
        for of_clip, row, name in answers:
            if of_clip == clip:
                hot[row, name], count = 1, count + 1
                choice -= float(scores[clip, row].log_softmax(0)[name])
        loss = float(focal_losses(scores[clip], hot).sum()) / count + choice / count
        total += loss * count / len(answers)
    return total


def slow_masks(logits: Tensor, masks: Tensor, answers: list[tuple[int, int, int]]) -> tuple[float, float]:
    """Summed over answers (clip, row, object) and frames: B rows T h w, B G T H W."""
    rows = [(logits[b, q, t], masks[b, g, t].float()) for b, q, g in answers for t in range(FRAMES)]
    terms = point_mask_losses(
        torch.stack([row for row, _ in rows]), torch.stack([mask for _, mask in rows]), POINTS, draws=FixedDraws()
    )
    return float(terms[0].sum()), float(terms[1].sum())


Named = list[tuple[tuple[int, int], Tensor]]
"""Embeddings with clip and identity."""


def slow_reid(rows: Named, columns: Named) -> tuple[float, float]:
    positive = torch.tensor([[mine == theirs for theirs, _ in columns] for mine, _ in rows])
    ours, theirs = (torch.stack([embedding for _, embedding in group]) for group in (rows, columns))
    first, second = reidentification_losses(ours, theirs, positive, FixedDraws())
    return float(first), float(second)


def slow_terms(prediction: Prediction, pairs: Pairs, prompts: PromptTargets) -> dict[str, float]:
    targets = clip_targets()
    assert prediction.class_logits is not None and targets.labels is not None and prompts.labels is not None
    matched = list(zip(*(part.tolist() for part in pairs), strict=True))
    asked = [(b, n, n) for b, n in itertools.product(range(2), range(PROMPTS)) if prompts.ids[b, n] >= 0]
    logits, embeddings, scores = prediction.mask_logits, prediction.embeddings, prediction.class_logits
    of_prompts = embeddings[:, QUERIES:]

    mask, dice = slow_masks(logits[:, :QUERIES], targets.masks, matched)
    asked_mask, asked_dice = slow_masks(logits[:, QUERIES:], prompts.masks, asked)
    mask, dice = mask / (4 * FRAMES), dice / (4 * FRAMES)  # objects
    asked_mask, asked_dice = asked_mask / (2 * PROMPTS * FRAMES), asked_dice / (2 * PROMPTS * FRAMES)  # all prompts
    if prompts.segments is not None:
        frames = [(logits[b, QUERIES:, t], prompts.segments[b, t]) for b in range(2) for t in range(FRAMES)]
        maps, segments = (torch.stack(part) for part in zip(*frames, strict=True))
        asked_mask += float(segment_loss(maps, segments, POINTS, FixedDraws())[0])

    names = [(b, q, int(targets.labels[b, g])) for b, q, g in matched]
    asked_names = [(b, n, int(prompts.labels[b, n])) for b, n, _ in asked]
    seen: Named = []
    every: Named = []
    for (b, q, g), t in itertools.product(matched, range(FRAMES)):
        every.append(((b, int(targets.labels[b, g])), embeddings[b, q, t]))
        if targets.ids[b, g, t] >= 0:
            seen.append(((b, int(targets.ids[b, g, t])), embeddings[b, q, t]))
    prompted: Named = []
    visible: Named = []
    named: Named = []
    for (b, n, _), t in itertools.product(asked, range(FRAMES)):
        prompted.append(((b, int(prompts.ids[b, n])), of_prompts[b, n, t]))
        named.append(((b, int(prompts.labels[b, n])), of_prompts[b, n, t]))
        if prompts.seen[b, n, t] >= 0:
            visible.append(((b, int(prompts.seen[b, n, t])), of_prompts[b, n, t]))
    ours, theirs = slow_reid(seen, seen), slow_reid(prompted, prompted)
    across = slow_reid(seen, visible) if prompts.segments is None else (slow_reid(every, named)[0], 0.0)
    return {
        "mask": (mask + asked_mask) / 2,
        "dice": (dice + asked_dice) / 2,
        "class": (slow_class(scores[:, :QUERIES], names) + slow_class(scores[:, QUERIES:], asked_names)) / 2,
        "reid": (ours[0] + theirs[0]) / 2,
        "reid_aux": (ours[1] + theirs[1]) / 2,
        "reid_l2p": across[0],
        "reid_l2p_aux": across[1],
    }


@pytest.mark.parametrize("prompts", [shown(), categories()], ids=["shown", "categories"])
def test_every_term_of_every_prediction(prompts: PromptTargets) -> None:
    made = predictions()
    found = clip_losses(made, PAIRS, QUERIES, clip_targets(), prompts, POINTS, FixedDraws())
    for number, (prediction, pairs) in enumerate(zip(made, PAIRS, strict=True)):
        want = slow_terms(prediction, pairs, prompts)
        assert {name: float(values[number]) for name, values in found.items()} == pytest.approx(want, rel=1e-4)
    assert all(values.shape == (2,) and (values > 0).all() for name, values in found.items() if name != "reid_l2p_aux")


def test_without_prompts_learnable_queries_alone_count() -> None:
    made, targets = predictions(1), clip_targets()
    found = clip_losses(made, PAIRS[:1], QUERIES, targets, None, POINTS, FixedDraws())
    matched = list(zip(*(part.tolist() for part in PAIRS[0]), strict=True))
    mask, dice = slow_masks(made[0].mask_logits, targets.masks, matched)
    assert float(found["mask"]) == pytest.approx(mask / 8, rel=1e-4) and float(found["dice"]) == pytest.approx(dice / 8)
    assert set(found) == {"mask", "dice", "class", "reid", "reid_aux"}
    fewer = clip_losses(made, [tuple(i[1:] for i in PAIRS[0])], QUERIES, targets, None, POINTS, FixedDraws())  # type: ignore
    mask, _ = slow_masks(made[0].mask_logits, targets.masks, matched[1:])
    assert float(fewer["mask"]) == pytest.approx(mask / 8, rel=1e-4), "all objects count, matched or not"


@pytest.mark.parametrize("missing", ["logits", "labels"])
def test_without_categories_nothing_is_named(missing: str) -> None:
    made, targets, prompts = predictions(1), clip_targets(), shown()
    if missing == "logits":
        made = [replace(made[0], class_logits=None)]
    else:
        targets, prompts = replace(targets, labels=None), replace(prompts, labels=None)
    found = clip_losses(made, PAIRS[:1], QUERIES, targets, prompts, POINTS, FixedDraws())
    whole = clip_losses(predictions(1), PAIRS[:1], QUERIES, clip_targets(), shown(), POINTS, FixedDraws())
    assert found["class"].tolist() == [0]
    assert all(torch.equal(found[name], whole[name]) for name in whole if name != "class")


def test_prompts_that_nothing_answers_to_teach_nothing() -> None:
    """Neither do padded objects; whatever else is predicted takes part."""
    made = [
        Prediction(p.mask_logits.requires_grad_(), p.embeddings.requires_grad_(), p.class_logits)
        for p in predictions(1)
    ]
    losses = clip_losses(made, PAIRS[:1], QUERIES, clip_targets(), shown(), POINTS, FixedDraws())
    sum(losses.values()).sum().backward()
    masks, embeddings = made[0].mask_logits.grad, made[0].embeddings.grad
    assert masks is not None and embeddings is not None
    asked = masks.flatten(2).any(2)
    assert asked[0, [0, 3, 4]].all() and not asked[0, 1:3].any() and asked[0, QUERIES:].all()
    assert asked[1].nonzero()[:, 0].tolist() == [2, QUERIES, QUERIES + 1]
    assert torch.equal(embeddings.flatten(2).any(2), asked)


def test_embeddings_of_objects_where_they_are_seen() -> None:
    """Those of prompts first, then those of learnable queries; of categories, these alone."""
    (made,), targets = predictions(1), clip_targets()
    rows, ids = seen_embeddings(made, PAIRS[0], QUERIES, targets, shown())
    prompts, want = shown(), []
    for b, n, t in itertools.product(range(2), range(PROMPTS), range(FRAMES)):
        if prompts.seen[b, n, t] >= 0:
            want.append((int(prompts.seen[b, n, t]), made.embeddings[b, QUERIES + n, t]))
    first = len(want)
    for b, q, g in zip(*(part.tolist() for part in PAIRS[0]), strict=True):
        for t in range(FRAMES):
            if targets.ids[b, g, t] >= 0:
                want.append((int(targets.ids[b, g, t]), made.embeddings[b, q, t]))
    assert ids.tolist() == [name for name, _ in want] and 0 < first < len(want)
    assert torch.equal(rows, torch.stack([embedding for _, embedding in want]))
    for others in (None, categories()):
        rows, ids = seen_embeddings(made, PAIRS[0], QUERIES, targets, others)
        assert torch.equal(rows, torch.stack([embedding for _, embedding in want[first:]])) and len(ids) == len(rows)


def test_each_prediction_is_matched_by_its_learnable_queries_at_points_of_its_clip() -> None:
    made, targets, draws = predictions(), clip_targets(), FixedDraws()
    made = [replace(p, class_logits=None if p.class_logits is None else 5 * p.class_logits) for p in made]
    # prompts that would be perfect answers
    made[0].mask_logits[0, QUERIES:, :, :, :] = torch.where(targets.masks[0, :, :, ::4, ::4], 20.0, -20.0)
    found = match_predictions(made, QUERIES, targets, POINTS, draws)
    for prediction, pairs in zip(made, found, strict=True):
        assert prediction.class_logits is not None
        points = draws.uniform(1, POINTS, 2).expand(2, -1, -1)
        masks, scores = prediction.mask_logits[:, :QUERIES], prediction.class_logits[:, :QUERIES]
        want = match(masks, targets.masks, targets.present, points, scores, targets.labels)
        assert all(torch.equal(a, b) for a, b in zip(pairs, want, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    unnamed = match_predictions(made, QUERIES, replace(targets, labels=None), POINTS, draws)
    bare = match_predictions([replace(p, class_logits=None) for p in made], QUERIES, targets, POINTS, draws)
    assert all(torch.equal(one[1], other[1]) for one, other in zip(unnamed, bare, strict=True))
    assert not all(torch.equal(one[1], named[1]) for one, named in zip(unnamed, found, strict=True))


def of_clip(b: int) -> tuple[list[Prediction], list[Pairs], ClipTargets]:
    """What is predicted and matched of one clip, and what it shows."""
    made, whole = predictions(), clip_targets()
    part = slice(b, b + 1)
    alone = [
        Prediction(p.mask_logits[part], p.embeddings[part], None if p.class_logits is None else p.class_logits[part])
        for p in made
    ]
    pairs = []
    for clip, query, chosen in PAIRS:
        here = clip == b
        pairs.append((clip[here] * 0, query[here], chosen[here]))
    assert whole.labels is not None
    targets = ClipTargets(whole.masks[part], whole.present[part], whole.ids[part], whole.labels[part])
    return alone, pairs, targets


def asked_of_clip(prompts: PromptTargets, b: int) -> PromptTargets:
    part, segments = slice(b, b + 1), prompts.segments
    assert prompts.labels is not None
    return PromptTargets(
        prompts.masks[part],
        prompts.ids[part],
        prompts.seen[part],
        prompts.labels[part],
        None if segments is None else segments[part],
    )


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of points drawn at random, the same 7 x 7 for all rows."""
    at = (torch.arange(7) + 0.5) / 7
    points = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1).view(1, 49, 2)
    for module in ("set_criterion", "segments"):
        monkeypatch.setattr(
            f"univs.losses.{module}.uncertain_points", lambda logits, count, draws: points.expand(len(logits), -1, -1)
        )


@pytest.mark.parametrize("prompts", [shown(), categories()], ids=["shown", "categories"])
def test_two_processes_count_as_one_with_the_clips_of_both(prompts: PromptTargets, grid: None) -> None:
    """Of three objects and of one; embeddings are held against those of one's own clips alone."""

    def work(b: int, counting: Counting) -> dict[str, Tensor]:
        asked = asked_of_clip(prompts, b)
        alone, pairs, targets = of_clip(b)
        return clip_losses(alone, pairs, QUERIES, targets, asked, POINTS, FixedDraws(), counting)

    whole = clip_losses(predictions(), PAIRS, QUERIES, clip_targets(), prompts, POINTS, FixedDraws())
    found, alone = together(work), [work(b, Counting()) for b in range(2)]
    for name in ("mask", "dice", "class"):
        assert mean_gap((found[0][name], found[1][name]), whole[name]) < 1e-5, name
        assert mean_gap((alone[0][name], alone[1][name]), whole[name]) > 1e-3, name
    # rows of a clip are (object or prompt, frame) pairs; of the first one an object is hidden on a frame
    first, second = (5, 2) if prompts.segments is None else (6, 2)
    want = (first * alone[0]["reid_l2p"] + second * alone[1]["reid_l2p"]) / (first + second)
    assert mean_gap((found[0]["reid_l2p"], found[1]["reid_l2p"]), want) < 1e-5


def test_who_has_no_prompts_exchanges_the_same_counts(grid: None) -> None:
    """And what the other's prompts are means over is theirs alone."""

    def work(b: int, counting: Counting) -> dict[str, Tensor]:
        alone, pairs, targets = of_clip(b)
        asked = None if b else asked_of_clip(shown(), b)
        return clip_losses(alone, pairs, QUERIES, targets, asked, POINTS, FixedDraws(), counting)

    (first, second), alone = together(work), work(1, Counting())
    assert set(second) == {"mask", "dice", "class", "reid", "reid_aux"} and set(second) < set(first)
    # one object of four
    torch.testing.assert_close(second["mask"], alone["mask"] * 2 / 4)
    torch.testing.assert_close(first["reid_l2p"], 2 * work(0, Counting())["reid_l2p"])


def test_where_no_process_has_objects_all_clips_count(grid: None) -> None:
    def work(b: int, counting: Counting) -> dict[str, Tensor]:
        alone, _, targets = of_clip(b)
        none = torch.zeros(0, dtype=torch.long)
        empty = replace(targets, present=targets.present & False)
        return clip_losses(alone, [(none, none, none)] * 2, QUERIES, empty, None, POINTS, FixedDraws(), counting)

    found, alone = together(work), [work(b, Counting()) for b in range(2)]
    assert mean_gap((found[0]["class"], found[1]["class"]), alone[0]["class"] + alone[1]["class"]) < 1e-6
    assert not found[0]["mask"].any() and not found[1]["reid"].any()


def test_embeddings_of_queries_count_by_the_frames_that_show_them(grid: None) -> None:
    """Without prompts: five pairs of object and frame in one process, two in the other."""

    def work(b: int, counting: Counting) -> dict[str, Tensor]:
        alone, pairs, targets = of_clip(b)
        return clip_losses(alone, pairs, QUERIES, targets, None, POINTS, FixedDraws(), counting)

    found, alone = together(work), [work(b, Counting()) for b in range(2)]
    for name in ("reid", "reid_aux"):
        want = (5 * alone[0][name] + 2 * alone[1][name]) / 7
        assert mean_gap((found[0][name], found[1][name]), want) < 1e-5, name


def test_boxes_in_place_of_masks() -> None:
    """Of both groups of queries, and in the matching: the mask term is all that `BoxTargets` asks; there is no dice."""
    frames = torch.randint(0, 255, (2, FRAMES, 3, 24, 24), generator=torch.Generator().manual_seed(0))
    terms = BoxTerms(outside=0.5, temporal_warmup=0, search=PatchSearch(radius=1, step=1))

    def compare(masks: Tensor) -> BoxTargets:
        cells = torch.nn.functional.interpolate(masks.flatten(0, 1).float(), (6, 6), mode="bilinear")
        return BoxTargets(cells.unflatten(0, masks.shape[:2]), see(frames, terms, 4), terms, 1)

    given, targets, prompts = predictions(), clip_targets(), shown()
    found = clip_losses(given, PAIRS, QUERIES, targets, prompts, POINTS, FixedDraws(), compare=compare)
    plain = clip_losses(given, PAIRS, QUERIES, targets, prompts, POINTS, FixedDraws())
    assert set(plain) - set(found) == {"dice"}
    clip, row = (prompts.ids >= 0).nonzero().unbind(1)
    for number, prediction in enumerate(given):
        ours = compare(targets.masks).matched(prediction.mask_logits[None, :, :QUERIES], PAIRS[number], 4)
        theirs = compare(prompts.masks).matched(prediction.mask_logits[None, :, QUERIES:], (clip, row, row), 6)
        wanted = sum(float(value) for value in (*ours.values(), *theirs.values())) / 2
        assert float(found["mask"][number]) == pytest.approx(wanted, rel=1e-4)
        assert float(found["class"][number]) == float(plain["class"][number])
    perfect = replace(given[0], mask_logits=given[0].mask_logits.clone(), class_logits=torch.zeros(2, 8, CLASSES))
    boxes = compare(targets.masks).boxes
    perfect.mask_logits[:, :QUERIES] = -5
    perfect.mask_logits[0, [4, 0, 2]] = 10 * boxes[0] - 5
    perfect.mask_logits[1, 1] = 10 * boxes[1, 0] - 5
    ((clips, rows, objects),) = match_predictions([perfect], QUERIES, targets, 400, FixedDraws(), compare)
    assert list(zip(clips.tolist(), rows.tolist(), objects.tolist(), strict=True)) == [
        (0, 0, 1),
        (0, 2, 2),
        (0, 4, 0),
        (1, 1, 0),
    ]
