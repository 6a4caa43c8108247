"""Corrective clicks: where they are made, and the clip step in which they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.training.moving_clips import make_clip, moving
from tests.training.requests import requests_of
from univs.data.clip_batches import collate_clips
from univs.losses import CriterionWeights
from univs.models.univs import UniVS
from univs.training import clip_step, tracking
from univs.training.clip_step import ClipLosses, ClipStep
from univs.training.corrections import LEAST_WRONG, corrective_clicks

LOSSES = ClipLosses(CriterionWeights(1.0, 1.0, 1.0, 64), local_radius=2, corrected=0.5)


def one(said: np.ndarray, truth: np.ndarray, known: np.ndarray | None = None) -> tuple[list[float], int]:
    """The click on one object."""
    sure = np.ones(said.shape, bool) if known is None else known
    maps = (torch.from_numpy(each)[None] for each in (said, truth, sure))
    mask, true, certain = maps
    points, signs = corrective_clicks(mask[None], true[None].float(), certain)
    assert points.shape == (1, 1, 2) and signs.shape == (1, 1)
    return points[0, 0].tolist(), int(signs)


def blank() -> np.ndarray:
    return np.zeros((16, 24), bool)


def test_the_click_is_in_the_middle_of_the_thickest_mistake() -> None:
    truth, said = blank(), blank()
    truth[2:11, 3:12] = True  # missed: nine wide
    said[12:16, 1:24] = True  # wrongly said: longer, but four wide
    assert one(said, truth) == ([4 * 7.5, 4 * 6.5], 1)
    said[2:11, 3:12] = True
    (x, y), sign = one(said, truth)
    assert sign == 0 and 4 * 12 < y < 64 and said[int(y // 4), int(x // 4)]


def test_the_edge_of_the_frame_is_no_border_of_a_mistake() -> None:
    """A region at the edge is clicked in its own middle along the edge, and away from its inner border."""
    truth = blank()
    truth[:6, :11] = True
    (x, y), sign = one(blank(), truth)
    assert sign == 1 and abs(x - 4 * 5.5) <= 12 and 0 < y < 4 * 5


def test_nobody_clicks_where_nothing_is_known_or_too_little_is_wrong() -> None:
    truth, known = blank(), np.ones((16, 24), bool)
    truth[4:12, 4:12] = True
    known[4:12, 4:12] = False
    assert one(blank(), truth, known)[1] == -1
    assert one(truth, truth)[1] == -1
    little = blank()
    little[3, : LEAST_WRONG - 1] = True
    assert one(little, blank())[1] == -1
    little[3, LEAST_WRONG - 1] = True
    assert one(little, blank())[1] == 0


def test_objects_and_clips_have_clicks_of_their_own() -> None:
    rng = np.random.default_rng(0)
    said = torch.from_numpy(rng.random((3, 2, 16, 24)) > 0.5)
    truth = torch.from_numpy(rng.random((3, 2, 16, 24)))
    known = torch.from_numpy(rng.random((3, 16, 24)) > 0.2)
    points, signs = corrective_clicks(said, truth, known)
    for b, m in np.ndindex(3, 2):
        alone = corrective_clicks(said[b : b + 1, m : m + 1], truth[b : b + 1, m : m + 1], known[b : b + 1])
        torch.testing.assert_close(points[2 * b + m], alone[0][0])
        assert signs[2 * b + m] == alone[1][0]
        x, y = (int(v // 4) for v in points[2 * b + m, 0].tolist())
        true = bool(truth[b, m, y, x] > 0.5)
        assert known[b, y, x] and bool(said[b, m, y, x]) != true and int(signs[2 * b + m]) == true


def given() -> dict[str, Any]:
    return collate_clips([make_clip(moving(4), (2, 1), "point"), make_clip(moving(4), (2,), "box", seed=1)])


def test_one_frame_is_answered_again_with_the_click_which_stays(
    small_model: UniVS, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = requests_of(small_model, monkeypatch)
    monkeypatch.setattr(clip_step, "common_draw", lambda batch: 0.5)  # frame 2 of 1, 2 and 3
    clicked: list[tuple[Tensor, Tensor]] = []

    def click(said: Tensor, truth: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        clicked.append(corrective_clicks(said, truth, known))
        assert said.shape == (2, 2, 16, 16) and truth.shape == said.shape
        return clicked[-1]

    monkeypatch.setattr(tracking, "corrective_clicks", click)
    found = ClipStep(small_model, LOSSES)(given(), 1.0)
    assert len(clicked) == 1 and (clicked[0][1] >= 0).any()
    _, first, second, again, last = requests  # the prompted frames, and frames 1, 2, 2 and 3
    tokens = [r.prompts.tokens.shape[3] for r in (first, second, again, last) if r.prompts is not None]
    width = small_model.visual_sampler.tokens
    clicks = tokens[2] - tokens[1]
    assert clicks > 0 and tokens == [width, 2 * width, 2 * width + clicks, 2 * width + clicks]
    assert second.dense is again.dense
    assert float(found["corrected"]) > 0


def test_the_corrected_answer_is_what_is_weighed_and_fed_on(
    small_model: UniVS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`corrected` is half of what the losses of the second answer are, and only memories after it see the click."""
    monkeypatch.setattr(clip_step, "common_draw", lambda batch: 0.0)
    torch.manual_seed(0)
    found = ClipStep(small_model, LOSSES)(given(), 1.0)
    torch.manual_seed(0)
    without = ClipStep(small_model, replace(LOSSES, corrected=0.0))(given(), 1.0)
    assert "corrected" not in without and set(found) == {*without, "corrected"}
    torch.manual_seed(0)
    doubled = ClipStep(small_model, replace(LOSSES, corrected=1.0))(given(), 1.0)
    torch.testing.assert_close(doubled["corrected"], 2 * found["corrected"], rtol=1e-4, atol=1e-6)
    assert abs(float(found["dice"]) - float(without["dice"])) > 1e-6  # frames 2 and 3 remember another answer
    single = collate_clips([make_clip(moving(2), (1,))])
    torch.manual_seed(0)
    short = ClipStep(small_model, replace(LOSSES, intermediate=0.0))(single, 1.0)
    torch.manual_seed(0)
    plain = ClipStep(small_model, replace(LOSSES, intermediate=0.0, corrected=0.0))(single, 1.0)
    torch.testing.assert_close(short["dice"], plain["dice"])  # nothing comes after frame 1


def test_all_processes_correct_the_same_frame(small_model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their seeds; which one it is changes with the step."""
    times: list[int] = []
    clicks = tracking.MaskTracking.clicks

    def watched(self: tracking.MaskTracking, joint: Tensor, t: int) -> tuple[Tensor, Tensor]:
        times.append(t)
        return clicks(self, joint, t)

    monkeypatch.setattr(tracking.MaskTracking, "clicks", watched)
    step, batch = ClipStep(small_model, LOSSES), given()
    for number in range(8):
        for seed in (0, 1, 2):
            torch.manual_seed(seed)
            with torch.no_grad():
                step({**batch, "step": number}, 1.0)
    assert times[::3] == times[1::3] == times[2::3] and set(times) == {1, 2, 3}


def test_clicks_teach_to_be_obeyed(small_model: UniVS) -> None:
    """A few steps in which nothing but the corrected answer counts make it better."""
    batch = given()
    chosen = replace(LOSSES, prompt=0.0, learnable=0.0, correspondence=0.0)
    optimizer = torch.optim.Adam([p for p in small_model.parameters() if p.requires_grad], 3e-3)
    history = []
    for number in range(12):
        torch.manual_seed(number)
        loss = ClipStep(small_model, chosen)(batch, 1.0)["corrected"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(float(loss))
    assert np.mean(history[-3:]) < 0.8 * np.mean(history[:3])
    assert F.relu(torch.tensor(history)).isfinite().all()
