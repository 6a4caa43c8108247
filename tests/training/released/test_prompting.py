from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from univs.models.features import ImageFeatures, TextFeatures
from univs.models.univs import UniVS
from univs.training.released import LabelledClip, ReleasedSettings
from univs.training.released.prompting import (
    AskedCategories,
    ask_for_categories,
    ask_for_expressions,
    draw_categories,
    show_objects,
)
from univs.training.released.visual_prompts import BOX, MASK, POINT, PromptFrame, ShownObjects

SETTINGS = ReleasedSettings(tokens=6)


@pytest.fixture
def visible(clips: list[LabelledClip]) -> list[LabelledClip]:
    return [clip.visible(9) for clip in clips]


@pytest.fixture
def features(small_official_model: UniVS, clips: list[LabelledClip]) -> ImageFeatures:
    frames = torch.cat([clip.frames for clip in clips])
    with torch.no_grad():
        return small_official_model.encode_image(small_official_model.normalize(frames))


@pytest.fixture
def shown() -> list[ShownObjects]:
    """Two of three objects on the first frame, and the only one on the second."""
    return [
        ShownObjects(0, torch.tensor([1, 0]), torch.tensor([BOX, POINT])),
        ShownObjects(1, torch.tensor([0]), torch.tensor([MASK])),
    ]


def test_shown_objects_are_asked_for_in_turn(
    small_official_model: UniVS,
    features: ImageFeatures,
    visible: list[LabelledClip],
    shown: list[ShownObjects],
    draws: Any,
) -> None:
    prompted = show_objects(small_official_model, features, visible, shown, 3, SETTINGS, draws)
    queries, targets = prompted.queries, prompted.targets
    assert targets.ids.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert targets.seen.tolist() == [[[1, -1], [0, 0], [1, -1]], [[0, 0]] * 3]
    assert targets.labels is not None and targets.labels.tolist() == [[1, 2, 1], [2, 2, 2]]
    for clip, rows in enumerate(targets.ids.tolist()):
        assert torch.equal(targets.masks[clip], visible[clip].masks[rows])
    assert targets.segments is None
    frames = [
        (0, 3, visible[0].masks[[1, 0], 0]),
        (3, 2, visible[1].masks[:, 1]),
    ]  # place in the batch and in the video
    assert queries.tokens.shape[:4] == (2, 3, 1, 6) and queries.query.shape[:3] == (2, 3, 2)
    for clip, (at, index, masks) in enumerate(frames):
        image = features.frames(slice(at, at + 1))
        frame = PromptFrame(small_official_model, image, index, 6, "objects", draws)
        want = frame.encode(masks, shown[clip].kinds)
        turn = [n % len(masks) for n in range(3)]
        assert torch.equal(queries.tokens[clip, :, 0], want.features[turn])
        assert queries.token_positions is not None
        assert torch.equal(queries.token_positions[clip, :, 0], want.positions[turn])


@pytest.mark.parametrize("coin", [0.4, 0.6])
def test_a_query_may_or_may_not_know_where_its_object_was(
    small_official_model: UniVS,
    features: ImageFeatures,
    visible: list[LabelledClip],
    shown: list[ShownObjects],
    draws: Any,
    coin: float,
) -> None:
    draws.given = coin
    queries = show_objects(small_official_model, features, visible, shown, 2, SETTINGS, draws).queries
    content = queries.tokens.mean(3).expand(-1, -1, 2, -1)
    assert torch.allclose(queries.query, content + small_official_model.visual_sampler.prompt_sot, atol=1e-6)
    assert queries.token_positions is not None
    place = queries.token_positions.mean(3).expand(-1, -1, 2, -1)
    assert torch.allclose(queries.position, place if coin > 0.5 else content, atol=1e-6)


def test_an_object_that_its_frame_does_not_show_has_a_blank_prompt(
    small_official_model: UniVS, features: ImageFeatures, visible: list[LabelledClip], draws: Any
) -> None:
    draws.given = 0.6
    shown = [ShownObjects(1, torch.tensor([1, 0]), torch.tensor([MASK, MASK]))]
    prompted = show_objects(small_official_model, features.frames(slice(0, 2)), visible[:1], shown, 2, SETTINGS, draws)
    queries = prompted.queries
    assert torch.allclose(queries.query[0, 0], small_official_model.visual_sampler.prompt_sot.expand(2, -1), atol=1e-6)
    assert not queries.position[0, 0].any() and queries.position[0, 1].any() and not queries.tokens[0, 0].any()
    assert prompted.targets.ids.tolist() == [[1, 0]] and prompted.targets.masks[0, 0, 0].any()


def described(clips: Sequence[LabelledClip], texts: TextFeatures) -> list[LabelledClip]:
    """Expressions of objects 90, 5 and 90, and of one."""
    first = replace(clips[0], ids=torch.tensor([90, 5, 90]), labels=None, expressions=texts.take(slice(0, 3)))
    return [first, replace(clips[1], labels=None, expressions=texts.take(slice(3, 4)))]


@pytest.mark.parametrize("masks", ["own", "numbered"])
def test_expressions_ask_for_their_objects(
    small_official_model: UniVS,
    features: ImageFeatures,
    visible: list[LabelledClip],
    texts: TextFeatures,
    masks: Any,
) -> None:
    clips = described(visible, texts)
    prompted = ask_for_expressions(small_official_model, features, clips, 4, masks)
    targets = prompted.targets
    assert targets.ids.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]] and targets.labels is None
    rows = [0, 1, 2, 0] if masks == "own" else [0, 1, 0, 0]
    assert torch.equal(targets.masks[0], visible[0].masks[rows])
    assert targets.seen[0].tolist() == [[0, 0], [1, -1], [0, 0], [0, 0]]
    for clip, turn in enumerate(([0, 1, 2, 0], [3, 3, 3, 3])):
        image = features.frames(slice(2 * clip, 2 * clip + 2))
        want = small_official_model.text_prompts(image, texts.take(torch.tensor(turn)), 2)
        assert torch.equal(prompted.queries.query[clip], want.query[0])
        assert torch.equal(prompted.queries.tokens[clip], want.tokens[0])


def test_without_expressions_nothing_is_asked_for(
    small_official_model: UniVS, features: ImageFeatures, visible: list[LabelledClip], texts: TextFeatures
) -> None:
    clips = described(visible, texts)
    clips[1] = clips[1].take(torch.zeros(0, dtype=torch.long))
    prompted = ask_for_expressions(small_official_model, features, clips, 2, "own")
    assert prompted.targets.ids[1].tolist() == [-1, -1] and prompted.targets.seen[1].unique().tolist() == [-1]
    assert not prompted.targets.masks[1].any() and prompted.targets.masks[0].any()
    blank = TextFeatures(torch.zeros(2, 3, 24), torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 24))
    want = small_official_model.text_prompts(features.frames(slice(2, 4)), blank, 2)
    assert torch.equal(prompted.queries.query[1], want.query[0])


class LastDraws:
    """The last first."""

    def permutation(self, length: int) -> Tensor:
        return torch.arange(length).flip(0)

    def uniform(self, *shape: int) -> Tensor:
        raise AssertionError("not asked")


def test_categories_are_those_shown_then_others(visible: list[LabelledClip], clips: list[LabelledClip]) -> None:
    """Class 5 is listed in the first clip, and not shown: it is not asked for."""
    listed = [clip.labels for clip in clips if clip.labels is not None]
    asked = draw_categories(visible, listed, 9, 7, LastDraws())
    assert [(a.classes.tolist(), a.shown) for a in asked] == [([1, 2], 2), ([2, 6], 1)]
    cut = draw_categories(visible, listed, 1, 7, LastDraws())
    assert [(a.classes.tolist(), a.shown) for a in cut] == [([1], 1), ([2], 1)]
    few = draw_categories(visible, [listed[0], torch.tensor([2])], 9, 3, LastDraws())
    assert few[1].classes.tolist() == [2, 1]
    many = replace(visible[0], labels=torch.tensor([0, 1, 2]))
    alone = draw_categories([many, visible[1]], [torch.tensor([0, 1, 2]), torch.tensor([0, 2])], 9, 3, LastDraws())
    assert alone[1].classes.tolist() == [2, 1, 1]  # only one other class: again


def test_all_clips_are_asked_for_as_many_categories(
    small_official_model: UniVS, features: ImageFeatures, visible: list[LabelledClip]
) -> None:
    """Of two classes the first clip shows both; the second lists both, and the one not shown is nobody's there."""
    clips = [replace(clip, labels=torch.tensor(labels)) for clip, labels in zip(visible, ([0, 1, 1], [1]), strict=True)]
    asked = draw_categories(clips, [torch.tensor([0, 1])] * 2, 9, 2, LastDraws())
    assert [(a.classes.tolist(), a.shown) for a in asked] == [([0, 1], 2), ([1, 0], 1)]
    prompted = ask_for_categories(small_official_model, features, clips, asked, torch.eye(2, 24))
    assert prompted.queries.query.shape[:2] == (2, 2) and prompted.targets.ids.tolist() == [[0, 1], [0, -1]]
    assert not prompted.targets.masks[1, 1].any()


def test_a_category_is_everything_of_it(
    small_official_model: UniVS, features: ImageFeatures, visible: list[LabelledClip]
) -> None:
    embeddings = torch.randn(7, 24, generator=torch.Generator().manual_seed(2))
    asked = [AskedCategories(torch.tensor([1, 2, 4]), 2), AskedCategories(torch.tensor([2, 6, 0]), 1)]
    prompted = ask_for_categories(small_official_model, features, visible, asked, embeddings)
    targets, masks = prompted.targets, visible[0].masks
    assert targets.ids.tolist() == [[0, 1, -1], [0, -1, -1]]
    assert targets.labels is not None and targets.labels.tolist() == [[1, 2, 4], [2, 6, 0]]
    assert torch.equal(targets.masks[0], torch.stack([masks[1], masks[0] | masks[2], torch.zeros_like(masks[0])]))
    assert targets.seen.tolist() == [[[0, -1], [1, 1], [-1, -1]], [[0, 0], [-1, -1], [-1, -1]]]
    assert targets.segments is not None
    for clip in range(2):
        for t, y, x in [(0, 45, 70), (1, 45, 70), (0, 5, 10), (0, 63, 0), (1, 20, 40)]:
            here = [n for n in range(3) if targets.masks[clip, n, t, y, x]]
            assert int(targets.segments[clip, t, y, x]) == (here[0] if here else -1)
    assert bool((targets.masks[0, 0] & targets.masks[0, 1]).any())  # the first one has it
    assert not bool((targets.segments[0][targets.masks[0, 0]] != 0).any())
    for clip, of_clip in enumerate(asked):
        image = features.frames(slice(2 * clip, 2 * clip + 2))
        want = small_official_model.category_prompts(image, embeddings[of_clip.classes], 2)
        assert torch.equal(prompted.queries.query[clip], want.query[0])
        assert torch.equal(prompted.queries.tokens[clip], want.tokens[0])
