"""The three tasks that look for categories, frame by frame and clip by clip, on a small model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.streaming.conftest import moving_squares
from univs.errors import UserError
from univs.models.univs import UniVS
from univs.prompts import Box, Categories
from univs.results import FrameResult
from univs.streaming import Session, segment
from univs.streaming.tasks import TASKS

CATEGORIES = Categories(("square", "disc", "ground"), frozenset((0, 1)))
THINGS = Categories(CATEGORIES.names)
EMBEDDINGS = torch.randn(3, 8, generator=torch.manual_seed(5))
EAGER = {"class_score": 0.0, "stability": 0.0}


def run(model: UniVS, task: str, count: int = 6, **options: Any) -> tuple[list[FrameResult], Session]:
    options.setdefault("categories", THINGS if task == "vis" else CATEGORIES)
    session = Session(model, task, class_embeddings=EMBEDDINGS, **options)
    frames, _ = moving_squares(count)
    results = [result for frame in frames for result in session.push(frame)]
    return results + session.flush(), session


def test_found_objects_are_followed_under_one_id_and_named(model: UniVS) -> None:
    results, session = run(model, "vis", detect_interval=2, **EAGER)
    assert [result.frame_index for result in results] == list(range(6))
    first = set(results[0].object_ids)
    assert first and all(first & set(result.object_ids) for result in results)
    for result in results:
        assert set(result.names) == set(result.object_ids) <= set(result.track_scores)
    tracks = session.finish().tracks
    assert {track.object_id: track.score for track in tracks} == {
        key: score for result in results for key, score in result.track_scores.items()
    }


def test_a_found_object_starts_where_the_detection_was(model: UniVS) -> None:
    (first, *_), _ = run(model, "vis", count=1, **EAGER)
    assert first.object_ids
    masks = [first.mask(object_id) for object_id in first.object_ids]
    assert all(mask.any() for mask in masks) and np.sum(masks, 0).max() == 1


def test_stuff_is_no_instance(model: UniVS) -> None:
    results, _ = run(model, "vis", categories=Categories(THINGS.names, frozenset()), **EAGER)
    assert not any(result.object_ids for result in results)


def test_nothing_is_followed_that_is_below_the_score(model: UniVS) -> None:
    results, _ = run(model, "vis", class_score=1.0)
    assert all(not result.object_ids and not result.labels.any() for result in results)


def test_a_lost_object_is_given_up(model: UniVS) -> None:
    kept, _ = run(model, "vis", detect_interval=1, lost_after=100, match=1.1, new_share=0.0, **EAGER)
    lost, _ = run(model, "vis", detect_interval=1, lost_after=1, match=1.1, new_share=0.0, **EAGER)  # never recognised
    assert set(kept[0].object_ids) <= set(kept[-1].object_ids)
    assert not set(lost[0].object_ids) & set(lost[-1].object_ids)


def test_segments_cover_what_they_say_and_keep_their_numbers(model: UniVS) -> None:
    results, _ = run(model, "vps", class_score=0.0)
    names: dict[int, str] = {}
    for result in results:
        assert set(np.unique(result.labels)) - {0} <= set(result.object_ids)
        for number, name in result.names.items():
            assert names.setdefault(number, name) == name or name in ("square", "disc")


def test_every_pixel_has_a_class(model: UniVS) -> None:
    results, _ = run(model, "vss")
    for result in results:
        assert result.labels.min() >= 1
        assert {number: result.names[number] for number in np.unique(result.labels)} == {
            number: CATEGORIES.names[number - 1] for number in np.unique(result.labels)
        }


@pytest.mark.parametrize("task", ["vis", "vps", "vss"])
@pytest.mark.parametrize("length", [1, 3])
def test_clips_answer_every_frame_once(prompt_only_model: UniVS, task: str, length: int) -> None:
    options: dict[str, Any] = {} if task == "vss" else {"class_score": 0.0, "consistency": -1.0, "match": 0.01}
    if task == "vis":
        options |= {"stability": 0.0, "competition": 0.0}
    results, _ = run(prompt_only_model, task, way="clip", clip_length=length, clip_stride=1, count=7, **options)
    assert [result.frame_index for result in results] == list(range(7))
    assert all(result.labels.shape == (65, 97) for result in results)


def test_categories_come_with_the_first_frame_and_only_where_they_are_asked_for(model: UniVS) -> None:
    frame = moving_squares(1)[0][0]
    with pytest.raises(UserError, match="vos takes no categories"):
        Session(model, "vos").push(frame, [CATEGORIES])
    with pytest.raises(UserError, match="takes categories alone"):
        Session(model, "vss", class_embeddings=EMBEDDINGS).push(frame, [Box(1, (0, 0, 5, 5))])
    session = Session(model, "vss", class_embeddings=EMBEDDINGS)
    session.push(frame, [CATEGORIES])
    with pytest.raises(UserError, match="with the first frame"):
        session.push(frame, [CATEGORIES])
    with pytest.raises(UserError, match="categories are given once"):
        Session(model, "vss", class_embeddings=EMBEDDINGS).push(frame, [CATEGORIES, CATEGORIES])
    with pytest.raises(UserError, match="2 categories need embeddings 2 x 8, not 3 x 8"):
        Session(model, "vss", class_embeddings=EMBEDDINGS).push(frame, [Categories(("a", "b"))])
    results = list(segment(model, [frame, frame], [CATEGORIES], task="vss", class_embeddings=EMBEDDINGS))
    assert len(results) == 2


def test_the_table_names_the_tasks_that_look_for_categories() -> None:
    assert {"vis", "vss", "vps"} <= set(TASKS)
