"""The semantic map of a frame against the formula on whole maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from tests.trackers.scripted import ScriptedModel, ScriptedWords, Sight, colour, picture
from univs.errors import UserError
from univs.masks.geometry import Geometry
from univs.prompts import Categories
from univs.results import FrameResult
from univs.streaming import Session
from univs.trackers.classes import Classes
from univs.trackers.semantic import classify, name_cells, strips


@pytest.mark.parametrize("geometry", [Geometry.fit(90, 130), Geometry.fit(61, 75, 90), Geometry.fit(200, 300, 70)])
def test_bands_are_the_enlarged_map(geometry: Geometry) -> None:
    height, width = (side // 4 for side in geometry.padded)
    logits = torch.randn(5, height, width, generator=torch.manual_seed(0))
    whole = F.interpolate(logits[None], scale_factor=4, mode="bilinear", align_corners=False)
    whole = whole[..., : geometry.input_height, : geometry.input_width]
    whole = F.interpolate(whole, size=(geometry.height, geometry.width), mode="nearest")[0]
    assert torch.allclose(torch.cat(list(strips(logits, geometry)), 1), whole, atol=1e-6)

    scores = torch.rand(5, 7, generator=torch.manual_seed(1))
    wanted = torch.einsum("qk,qyx->kyx", scores, whole.sigmoid()).argmax(0) + 1
    found = classify(logits, scores, geometry)
    assert found.dtype == torch.uint8
    assert (found != wanted).float().mean() < 1e-4  # a tie may fall on either side


@pytest.mark.parametrize(("count", "dtype"), [(254, torch.uint8), (255, torch.int32), (300, torch.int32)])
def test_numbers_of_classes_have_the_smallest_type_that_255_is_not_in(count: int, dtype: torch.dtype) -> None:
    """255 in files means that nothing is known."""
    scores = torch.zeros(1, count)
    scores[0, -1] = 1
    found = classify(torch.ones(1, 8, 8), scores, Geometry.fit(32, 32))
    assert found.dtype == dtype and (found == count).all()


def test_cells_are_named_by_scores_that_are_enlarged_bilinearly() -> None:
    model, geometry = ScriptedModel(words=True), Geometry.fit(64, 96)
    frame = picture(0, {1: (0, 0, 64, 96), 2: (0, 20, 44, 60), 3: (28, 52, 64, 76)})
    features = model.encode_image(model.normalize(torch.from_numpy(frame).permute(2, 0, 1)[None]))
    classes = Classes.of(("a", "b", "c"), torch.stack([colour(1), 0.7 * colour(2), colour(3)]))
    assert model.word_head is not None
    cells = model.word_head(features)
    scores = model.word_head.score_cells(cells, classes.embeddings)
    for factor in (2, 4):
        scores = F.interpolate(scores, scale_factor=factor, mode="bilinear", align_corners=False)
    found = name_cells(model, cells, classes, geometry)
    assert torch.equal(found, (scores[0].argmax(0) + 1).to(torch.uint8)) and set(found.unique().tolist()) == {1, 2, 3}


CATS = Categories(("sea 4", "cat 1", "sky 3"))
SKY, SEA, CAT = (0, 0, 32, 96), (32, 0, 64, 96), (24, 8, 48, 24)


def label(model: ScriptedModel, frames: Sequence[NDArray[np.uint8]], **options: Any) -> list[FrameResult]:
    options = {"categories": CATS, "text_encoder": ScriptedWords(), **options}
    with Session(model, "vss", keep_results=False, **options) as session:
        return [result for frame in frames for result in session.push(frame)] + session.flush()


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("length", [1, 3])
def test_every_frame_is_labelled_by_what_it_shows(words: bool, length: int) -> None:
    frames = [picture(i, {3: SKY, 4: SEA, 1: (24, 8 + 8 * i, 48, 24 + 8 * i)}) for i in range(5)]
    model = ScriptedModel(words=words)
    results = label(model, frames, clip_length=length)
    assert [asked.request.clip_length for asked in model.asked] == ([] if words else [1] * 5 if length == 1 else [3, 2])
    assert [result.frame_index for result in results] == list(range(5))
    assert not words or model.word_head.seen == list(range(5))  # once a frame
    for frame, result in zip(frames, results, strict=True):
        wanted = np.zeros(frame.shape[:2], int)
        for number, name in enumerate(CATS.names, start=1):
            wanted[frame[..., 0] == int(name[-1])] = number
        assert (result.labels != wanted).mean() < (0.04 if words else 0.01)  # cells of a word head have eight pixels
        assert result.names == dict(enumerate(CATS.names, start=1)) and result.object_ids == (1, 2, 3)
        assert set(result.scores.values()) == {1.0}


def test_only_classes_that_are_seen_are_named() -> None:
    (result,) = label(ScriptedModel(), [picture(0, {3: (0, 0, 64, 96)})])
    assert result.object_ids == (3,) and result.names == {3: "sky 3"} and (result.labels == 3).all()


def test_queries_vote_with_their_score_and_the_quality_of_their_mask() -> None:
    """Two queries see the whole frame; the quality of the surer class is half."""
    model = ScriptedModel()
    sure, unsure = torch.full((16, 24), 3.0), torch.full((16, 24), 3.0)
    unsure[8:] = 0.9
    for score, wins in ((0.7, 2), (0.3, 1)):
        # votes: 0.9 * 0.5 for the first class; score * 1 for the second one
        model.sights[0] = [
            Sight(unsure, torch.logit(torch.tensor([0.9, 1e-6, 1e-6]))),
            Sight(sure, torch.logit(torch.tensor([1e-6, score, 1e-6]))),
        ]
        (result,) = label(model, [picture(0, {})])
        assert (result.labels[:30] == wins).all()


def test_the_margin_counts_for_nothing() -> None:
    """A mask that is sure in the padding alone has no quality."""
    model, size = ScriptedModel(), (60, 84)
    beyond = torch.full((16, 24), 0.9)
    beyond[15:], beyond[:, 21:] = 8.0, 8.0
    model.sights[0] = [
        Sight(beyond, torch.logit(torch.tensor([0.99, 1e-6, 1e-6]))),
        Sight(torch.full((16, 24), 3.0), torch.logit(torch.tensor([1e-6, 0.1, 1e-6]))),
    ]
    (result,) = label(model, [picture(0, {}, size)])
    assert result.labels.shape == size and (result.labels[:52, :76] == 2).all()


@pytest.mark.parametrize("words", [False, True])
def test_the_map_has_the_size_of_the_frame(words: bool) -> None:
    frame = picture(0, {3: (0, 0, 128, 192), 1: (0, 0, 64, 64)}, (128, 192))
    (result,) = label(ScriptedModel(words=words), [frame], size=64)
    assert result.labels.shape == (128, 192)
    assert (result.labels[:56, :56] == 2).all() and (result.labels[72:, 72:] == 3).all()
    assert (result.labels[:56, 72:] == 3).all() and (result.labels[72:, :56] == 3).all()


def test_classes_cannot_be_removed() -> None:
    session = Session(ScriptedModel(), "vss", categories=CATS, text_encoder=ScriptedWords())
    session.push(picture(0, {3: SKY}))
    with pytest.raises(UserError, match="3 stands for a class of pixels; only objects can be removed"):
        session.remove(3)
    with pytest.raises(UserError, match="object 9 is not being followed; followed: 1, 2, 3"):
        session.remove(9)


def test_many_classes_have_numbers_of_their_own() -> None:
    names = tuple(f"class {n}" for n in range(300))
    embeddings = torch.zeros(300, 6)
    embeddings[:, 5], embeddings[280] = 1, colour(1)
    options = {"categories": Categories(names), "class_embeddings": embeddings}
    (result,) = label(ScriptedModel(words=True), [picture(0, {1: (0, 0, 64, 96)})], **options)
    assert (result.labels == 281).all()
