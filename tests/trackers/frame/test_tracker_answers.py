"""Several answers to a prompt, as the frame tracker takes them: the likeliest is followed, the others are offered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trackers.frame.films import everywhere, film, memory_of, run, same, shown
from tests.trackers.scripted import SURE, ScriptedModel, area, cells, picture
from univs.models.features import DecodeRequest, Prediction
from univs.models.prompt_answers import PromptedMasks
from univs.prompts import Box, Points, Scribble

PART, GROUP = (8, 8, 16, 16), (8, 8, 40, 60)


class Answering(ScriptedModel):
    """Says beside its ordinary answer that a part, or a group, may be meant."""

    def __init__(self, *quality: float) -> None:
        super().__init__()
        self.prompt_answers: Any = nn.Identity()
        self.qualities, self.several = quality, []  # type: ignore[var-annotated]

    def decode_answers(  # type: ignore[override]
        self, features: Any, request: DecodeRequest, rows: Sequence[int]
    ) -> tuple[list[Prediction], PromptedMasks]:
        ordinary = self.decode(features, request)
        self.several.append(tuple(rows))
        said = [torch.stack([own, cells(PART), cells(GROUP)]) for own in ordinary.mask_logits[0, list(rows), 0]]
        quality = torch.tensor(self.qualities).logit().expand(1, len(rows), 3)
        return [ordinary], PromptedMasks(torch.stack(said)[None], quality)


def test_the_likeliest_answer_is_followed_and_the_others_are_offered() -> None:
    frames = film(3)
    model = Answering(0.5, 0.2, 0.9)
    results = run(model, frames, {0: [Points(7, [(12, 12)])]})
    assert same(results[0].labels == 7, area(GROUP))
    first, second = results[0].alternatives[7]
    assert (first.quality, second.quality) == (pytest.approx(0.5), pytest.approx(0.2))
    assert same(first.mask, frames[0][..., 0] == 1) and same(second.mask, area(PART))
    assert first.mask.dtype == bool and first.mask.shape == frames[0].shape[:2]
    (_, remembered), *_ = model.encoded
    assert (remembered[0] > 0.5).sum() == area(GROUP).sum()  # what is followed is the group
    assert model.several == [(0,)] and not results[1].alternatives and not results[2].alternatives


def test_of_equally_likely_answers_to_a_box_the_ordinary_one_counts() -> None:
    frames = film(1)
    (result,) = run(Answering(0.6, 0.6, 0.6), frames, {0: [Box(7, (8, 8, 24, 24))]})
    assert same(result.labels == 7, frames[0][..., 0] == 1)


@pytest.mark.parametrize(
    ("qualities", "followed"),
    [((0.6, 0.6, 0.57), "group"), ((0.57, 0.6, 0.55), "ordinary"), ((0.5, 0.6, 0.55), "part")],
)
def test_of_nearly_the_best_answers_to_a_click_the_largest_is_followed(
    qualities: tuple[float, ...], followed: str
) -> None:
    frames = film(1)
    (result,) = run(Answering(*qualities), frames, {0: [Points(7, [(12, 12)])]})
    masks = {"ordinary": frames[0][..., 0] == 1, "part": area(PART), "group": area(GROUP)}
    assert masks["part"].sum() < masks["ordinary"].sum() < masks["group"].sum()
    assert same(result.labels == 7, masks[followed])
    offered = [other.quality for other in result.alternatives[7]]
    assert offered == sorted(offered, reverse=True)


def test_how_near_to_the_best_is_a_setting() -> None:
    frames = film(1)
    (result,) = run(Answering(0.6, 0.6, 0.57), frames, {0: [Points(7, [(12, 12)])]}, nearly_best=0.02)
    assert same(result.labels == 7, frames[0][..., 0] == 1)


def test_only_what_is_new_and_not_given_has_several() -> None:
    frames = film(3)
    model = Answering(0.5, 0.2, 0.9)
    said = {0: shown(frames[0], 2), 1: [Points(7, [(14, 12)])], 2: [Points(7, [(16, 12)])]}
    results = run(model, frames, said)
    assert [sorted(result.alternatives) for result in results] == [[], [7], []]
    assert model.several == [(1,)]
    assert same(results[1].labels == 2, (frames[1][..., 0] == 2) & ~area(GROUP))


def test_alternatives_lie_in_the_box_and_hold_the_click() -> None:
    frames = film(1)
    (result,) = run(Answering(0.1, 0.2, 0.9), frames, {0: [Box(7, (8, 8, 24, 24))]})
    in_box = area((8, 8, 28, 28))  # and half a cell
    assert not (result.labels == 7)[~in_box].any() and (result.labels == 7).any()
    assert not result.alternatives[7][0].mask[~in_box].any()
    # a click outside of all parts of an answer leaves it as it is, one in a part keeps that part alone
    model = Answering(0.1, 0.2, 0.9)

    def two_parts(features: Any, request: DecodeRequest, rows: Sequence[int]) -> tuple[list[Prediction], PromptedMasks]:
        ordinary = ScriptedModel.decode(model, features, request)
        parts = torch.maximum(cells((0, 0, 8, 8)), cells((32, 32, 48, 48)))
        every: Tensor = torch.stack([ordinary.mask_logits[0, 0, 0], parts, torch.full_like(parts, -SURE)])
        return [ordinary], PromptedMasks(every[None, None], torch.tensor([[[2.0, 1.0, 0.0]]]))

    model.decode_answers = two_parts  # type: ignore[method-assign, assignment]
    (result,) = run(model, frames, {0: [Points(7, [(4, 4)])]})
    assert same(result.alternatives[7][0].mask, area((0, 0, 8, 8)))
    assert not result.alternatives[7][1].mask.any()


@pytest.mark.parametrize(
    ("said", "ambiguous"),
    [
        ([Points(7, [(12, 12)])], True),
        ([Box(7, (8, 8, 60, 40))], True),
        ([Points(7, [(12, 12), (14, 14)])], False),
        ([Points(7, [(12, 12)]), Points(7, [(50, 50)], [False])], False),
        ([Box(7, (8, 8, 60, 40)), Points(7, [(12, 12)])], False),
        ([Box(7, (8, 8, 60, 40)), Box(7, (0, 0, 60, 40))], False),
        ([Scribble(7, [[(0.1, 0.15), (0.15, 0.2)]])], False),
    ],
)
def test_more_than_one_place_means_the_ordinary_answer(said: list[Any], ambiguous: bool) -> None:
    frames = film(1)
    (result,) = run(Answering(0.1, 0.2, 0.9), frames, {0: said})
    group, offered = (result.labels == 7)[38, 58], [other.quality for other in result.alternatives[7]]
    assert bool(group) == ambiguous
    assert offered == pytest.approx([0.2, 0.1] if ambiguous else [0.9, 0.2])


def test_the_largest_is_what_is_left_of_an_answer_around_the_click() -> None:
    """The group has a large part elsewhere, which a click does not mean."""
    frames, model = film(1), Answering(0.6, 0.1, 0.6)
    scattered = torch.maximum(cells(PART), cells((32, 32, 64, 96)))

    def answers(features: Any, request: DecodeRequest, rows: Sequence[int]) -> tuple[list[Prediction], PromptedMasks]:
        layers, said = Answering.decode_answers(model, features, request, rows)
        said.mask_logits[0, :, 2] = scattered
        return layers, said

    model.decode_answers = answers  # type: ignore[method-assign]
    (result,) = run(model, frames, {0: [Points(7, [(12, 12)])]})
    assert same(result.labels == 7, frames[0][..., 0] == 1)
    assert same(result.alternatives[7][0].mask, area(PART))


def test_the_margin_is_nobodys_in_any_answer() -> None:
    """Frames of 60 x 84: cells from row 15 and column 21 on are padding."""
    model = Answering(0.1, 0.2, 0.9)

    def answers(features: Any, request: DecodeRequest, rows: Sequence[int]) -> tuple[list[Prediction], PromptedMasks]:
        layers, said = Answering.decode_answers(model, features, request, rows)
        said.mask_logits[0, :, 2] = everywhere()
        return layers, said

    model.decode_answers = answers  # type: ignore[method-assign]
    (result,) = run(model, [picture(0, {1: (8, 8, 24, 24)}, (60, 84))], {0: [Points(7, [(12, 12)])]})
    assert (result.labels == 7).all()
    ((_, written),) = memory_of(model).written
    assert written[0, :15, :21].min() > 0.99 and max(written[0, 15:].max(), written[0, :, 21:].max()) < 1e-4
