"""Painting, scribbles, clicks and local control on one frame against the golden figures of the official tool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.interactive.drawing import draw_signs
from univs.interactive.interactions import Click, Interactions, Stroke, about_each
from univs.interactive.local_control import LocalSegmenter, Region, stitch
from univs.interactive.segmenters import (
    ClickSegmenter,
    PaintingSegmenter,
    ScribbleSegmenter,
    labels_of,
    segment_objects,
)
from univs.masks.soft_aggregation import joint_probabilities
from univs.models.fbrs import ClickNetwork, official_name
from univs.models.scribble_to_mask import ScribbleToMask

pytestmark = pytest.mark.conformance
Tensors = Callable[[str], dict[str, Tensor]]
DRAWN = 0.002
"""Share of the pixels of a map that may differ along the edges of strokes: the official tool draws in fixed point."""


@pytest.fixture(scope="module")
def scribbles(golden_tensors: Tensors) -> ScribbleSegmenter:
    network = ScribbleToMask().eval().requires_grad_(False)
    network.load_state_dict(golden_tensors("s2m_network"))
    return ScribbleSegmenter(network)


@pytest.fixture(scope="module")
def click_network(golden_tensors: Tensors) -> ClickNetwork:
    network = ClickNetwork().eval().requires_grad_(False)
    tensors = golden_tensors("fbrs_resnet50_dh128_network")
    network.load_state_dict({official_name(name): tensor for name, tensor in tensors.items()})
    return network


def strokes_of(golden: Any, size: int, count: int | None = None) -> list[tuple[int, Stroke]]:
    """The strokes of a file with the labels that they were drawn for."""
    numbers = sorted(int(name[6:-7]) for name in golden if name.startswith("stroke") and name.endswith("_object"))
    return [
        (int(golden[f"stroke{n}_object"]), Stroke(tuple(map(tuple, golden[f"stroke{n}_points_xy"])), size=size))
        for n in numbers[:count]
    ]


def inner(golden: Any, padded: np.ndarray, name: str = "pad_lrtb") -> np.ndarray:
    """A padded map without its padding."""
    left, right, top, bottom = golden[name]
    return padded[..., top : padded.shape[-2] - bottom, left : padded.shape[-1] - right]


@pytest.mark.files("s2m*")
def test_several_objects_from_one_map_of_strokes(golden: Any, scribbles: ScribbleSegmenter) -> None:
    frame, drawn, before = golden["frames_u8"][-1], golden["multi_scribble_map_255ignore"], golden["multi_prev_mask"]
    count = len(golden["multi_prob"])
    alone = np.stack(
        [scribbles.answer(frame, before == o, drawn == o, (drawn != o) & (drawn != 255)) for o in range(1, count + 1)]
    )
    golden.check("multi_prob", alone[:, None], 5e-4)
    labels = labels_of(alone, range(1, count + 1))
    assert (labels != golden.labels("multi_mask")).mean() <= 0.001


@pytest.mark.files("gui_interactions*")
def test_scribbles_of_several_objects(golden: Any, scribbles: ScribbleSegmenter) -> None:
    frame, before, drawn = golden["frame_u8"], golden["mask_idx"], golden["scribble_drawn_map"]
    count = int(golden["scribble_prob__shape"][0])
    said = about_each(strokes_of(golden, 3), range(1, count + 1))
    size = before.shape
    for number, about in said.items():  # what is drawn, but for the last pixel at the edge of a stroke
        positive, negative = draw_signs(about.strokes, size)
        assert (positive != (drawn == number)).mean() <= DRAWN
        assert (negative != ((drawn != number) & (drawn != 255))).mean() <= DRAWN
    alone = np.stack([scribbles.answer(frame, before == o, drawn == o, (drawn != o) & (drawn != 255)) for o in said])
    padded = golden["scribble_prob__sub"].reshape(golden["scribble_prob__shape"])[:, 0]
    assert golden["scribble_prob__stride"] == 1
    assert np.abs(alone - inner(golden, padded)).max() <= 5e-4
    official = inner(golden, golden.labels("scribble_mask"))
    assert (labels_of(alone, list(said)) != official).mean() <= 0.001
    found = segment_objects(scribbles, frame, before, said)
    assert (found.labels != official).mean() <= 0.02  # strokes differ by some pixels


@pytest.mark.files("gui_interactions*")
def test_painting_with_an_undo(golden: Any) -> None:
    before = golden["prev_soft_mask_unpadded"][:, 0]
    brush = int(golden["free_brush_size"])
    for count, name in ((None, "free_drawn_map"), (2, "free_after_undo_drawn_map")):
        drawn = paint(strokes_of(golden, brush, count), before)
        assert (drawn != golden[name][:, 0]).mean() <= DRAWN, name
    joint = joint_probabilities(golden.tensor("free_drawn_map")[:, 0], 0.5)
    assert np.abs(joint.numpy() - inner(golden, golden["free_out_mask_keepbg"][:, 0])).max() <= 1e-6


def paint(strokes: list[tuple[int, Stroke]], before: np.ndarray) -> np.ndarray:
    said = about_each(strokes, range(1, len(before) + 1))
    frame = np.zeros((*before.shape[1:], 3), np.uint8)
    return np.stack([PaintingSegmenter().segment(frame, before[o - 1], about) for o, about in said.items()])


class Given:
    """Answers with maps that are given, one after the other."""

    takes = frozenset({"strokes"})

    def __init__(self, maps: np.ndarray) -> None:
        self.maps, self.crops = list(maps), []

    def segment(self, frame: np.ndarray, current: np.ndarray, said: Interactions) -> np.ndarray:
        self.crops.append((frame, current))
        return self.maps.pop(0)


@pytest.mark.files("gui_interactions*")
def test_local_control_leaves_no_seam(golden: Any) -> None:
    left, last_x, top, last_y = map(int, golden["local_box_lx_ux_ly_uy"])
    region = Region(left, top, last_x + 1, last_y + 1)
    frame, before = golden["frame_u8"], golden["prev_soft_mask_unpadded"][:, 0]
    crops = inner(golden, golden["local_region_prob"][:, 0], "local_crop_pad_lrtb")
    inside = Given(crops)
    local = LocalSegmenter(inside, region)
    stitched = np.stack([local.segment(frame, one, Interactions()) for one in before])
    official = inner(golden, golden["local_stitched_prob"][:, 0])
    assert np.array_equal(stitched, official)
    assert np.array_equal(stitch(before, crops, region), official)
    seen = np.stack([current for _, current in inside.crops])
    assert np.array_equal(seen, inner(golden, golden["local_crop_prob"][:, 0], "local_crop_pad_lrtb"))
    joint = joint_probabilities(torch.from_numpy(stitched), 0.5)
    assert np.abs(joint.numpy() - inner(golden, golden["local_stitched_mask_keepbg"][:, 0])).max() <= 1e-6


@pytest.mark.files("fbrs*")
@pytest.mark.parametrize("zoom", [False, True])
def test_clicks_one_after_the_other(golden: Any, zoom: bool, click_network: ClickNetwork) -> None:
    """The first answer is exact. Later ones are fits that end wherever the clicks are met, which with random weights is
    not one place: they meet the clicks, and without zoom lie near the official ones."""
    kind = "zoom" if zoom else "nozoom"
    numbers = sorted(int(name[len(kind) + 6]) for name in golden if name.startswith(kind) and name.endswith("_xy_pos"))
    segmenter, clicks = ClickSegmenter(click_network, zoom=zoom), []
    frame = golden["frames_u8"][0]
    for number in numbers:
        x, y, positive = golden[f"{kind}_click{number}_xy_pos"]
        clicks.append(Click(float(x), float(y), bool(positive)))
        found = segmenter.segment(frame, np.zeros(frame.shape[:2], np.float32), Interactions(clicks=tuple(clicks)))
        if number == 0:
            golden.check("nozoom_click0_prob", found[None, None], 5e-4)
            continue
        for click in clicks:
            assert (found[round(click.y), round(click.x)] > 0.5) == click.positive
        stride = int(golden[f"{kind}_click{number}_prob__stride"])
        official = golden[f"{kind}_click{number}_prob__sub"]
        ours = found.reshape(-1)[::stride]
        off = np.abs(ours - official).mean()
        print(f"{kind} click {number}: mean {off:.3f} off, correlation {np.corrcoef(ours, official)[0, 1]:.3f}")
        assert zoom or off < 0.1
