"""Clicks by f-BRS: where the crop lies, that fitting meets the clicks, and that a further click goes on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from univs.interactive.interactions import Click, Interactions
from univs.interactive.segmenters.clicks import (
    KEPT,
    TARGET,
    ClickSegmenter,
    Crop,
    Refinement,
    around,
    crop_around,
    fit,
)
from univs.models.fbrs import WIDTH


class Plain(nn.Module):
    """Features are those of the image's first channels, shrunk; the head is a mean. Keeps what it was asked."""

    pixel_mean, pixel_std = (128.0, 128.0, 128.0), (128.0, 128.0, 128.0)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lift = nn.Conv2d(5, WIDTH, 1)
        self.asked: list[tuple[Tensor, Tensor]] = []

    def features(self, images: Tensor, clicks: Tensor) -> Tensor:
        self.asked.append((images, clicks))
        return self.lift(torch.nn.functional.avg_pool2d(torch.cat([images, clicks], 1), 4))

    def logits(
        self, features: Tensor, size: tuple[int, int], scale: Tensor | None = None, shift: Tensor | None = None
    ) -> Tensor:
        scale = torch.ones(1, WIDTH) if scale is None else scale
        shift = torch.zeros(1, WIDTH) if shift is None else shift
        mean = (features * scale[..., None, None] + shift[..., None, None]).mean(1, keepdim=True)
        return torch.nn.functional.interpolate(mean, size, mode="bilinear", align_corners=True)


@pytest.fixture
def network() -> Plain:
    return Plain().eval().requires_grad_(False)


def frame(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.repeat(np.repeat(coarse, 8, 0), 8, 1)


def test_the_crop_holds_the_mask_and_the_clicks_on_it() -> None:
    mask = np.zeros((600, 800), bool)
    mask[100:200, 300:600] = True
    crop = crop_around(mask, [Click(620, 150), Click(10, 10, False)])
    # x: 300 to 620, 321 pixels, times 1.4 around 460; y: 100 pixels are fewer than 200, around 149.5
    assert crop == Crop(460 - 225, 50, 460 + 226, 251)
    assert crop_around(np.zeros((9, 9), bool), [Click(1, 1)]) is None
    whole = crop_around(np.ones((50, 60), bool), [])
    assert whole == Crop(0, 0, 60, 50)
    assert Crop(0, 0, 10, 10).iou(Crop(5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert Crop(0, 0, 10, 10).holds(Click(9.5, 0)) and not Crop(0, 0, 10, 10).holds(Click(10, 0))


def test_pixels_around_clicks() -> None:
    marked = around([Click(0, 4), Click(6.4, 2.6)], (6, 9))
    rows, columns = np.nonzero(marked[0, 0].numpy())
    pixels = set(zip(rows.tolist(), columns.tolist(), strict=True))
    assert pixels == {(y, x) for y in (3, 4, 5) for x in (0, 1)} | {(y, x) for y in (2, 3, 4) for x in (5, 6, 7)}
    assert torch.equal(marked[1], marked[0].flip(2))
    outside = around([Click(-1, 2), Click(-9, 3), Click(4, -2), Click(9, 5), Click(20, 20)], (6, 9))[0, 0]
    assert outside.nonzero().tolist() == [[1, 0], [2, 0], [3, 0], [4, 8], [5, 8]]


def test_fitting_meets_the_clicks(network: Plain) -> None:
    features = torch.randn(1, WIDTH, 8, 8)
    features = torch.cat([features, features.flip(3)])
    before = network.logits(features, (32, 32))
    on, off = divmod(int(before[0].argmin()), 32), divmod(int(before[0].argmax()), 32)
    clicks = [Click(on[1], on[0]), Click(off[1], off[0], False)]  # the contrary of what the network says
    logits, numbers = fit(network, features, clicks, (32, 32), np.zeros(2 * WIDTH))  # type: ignore[arg-type]
    assert logits[0, 0, on[0], on[1]] > 0 > logits[0, 0, off[0], off[1]]
    assert np.abs(numbers).max() > 0
    again, same = fit(network, features, clicks, (32, 32), numbers)  # type: ignore[arg-type]
    assert torch.allclose(again, logits, atol=1e-4) and np.array_equal(same, numbers)  # nothing is left to do


def answers(network: Plain, image: np.ndarray, clicks: Sequence[Click], zoom: bool = True) -> list[np.ndarray]:
    refinement = Refinement(network, image, zoom=zoom)  # type: ignore[arg-type]
    return [refinement.click(click) for click in clicks]


def test_image_and_mirror_image_are_averaged(network: Plain) -> None:
    image, clicks = frame(64, 96), [Click(20, 30)]
    (found,) = answers(network, image, clicks)
    (mirrored,) = answers(network, image[:, ::-1].copy(), [Click(95 - 20, 30)])
    assert np.allclose(found, mirrored[:, ::-1], atol=1e-5)
    images, maps = network.asked[0]
    assert torch.equal(images[1], images[0].flip(2)) and torch.equal(maps[1], maps[0].flip(2))


def test_the_network_sees_a_crop_from_the_second_click_on(network: Plain) -> None:
    image = frame(400, 640)
    clicks = [Click(320, 200), Click(300, 190), Click(310, 210, False)]
    found = answers(network, image, clicks)
    sizes = [tuple(images.shape[2:]) for images, _ in network.asked]
    assert sizes[0] == (400, 640) and max(sizes[1]) == TARGET
    assert found[1].shape == (400, 640) and ((found[1] == 0).any() or sizes[1] == (300, 480))
    network.asked.clear()
    answers(network, image, clicks, zoom=False)
    assert {tuple(images.shape[2:]) for images, _ in network.asked} == {(400, 640)}


def test_without_a_mask_to_zoom_at_the_frame_is_seen_as_it_is(network: Plain) -> None:
    network.lift.weight.zero_()
    network.lift.bias.fill_(-9)  # type: ignore[union-attr]
    found = answers(network, frame(400, 640), [Click(320, 200), Click(300, 190)])
    assert not (found[0] > 0.5).any()
    assert [tuple(images.shape[2:]) for images, _ in network.asked] == [(400, 640)] * 2


def test_the_network_is_told_of_eight_clicks(network: Plain) -> None:
    clicks = [Click(4 * k, 20) for k in range(10)]
    answers(network, frame(64, 96), clicks, zoom=False)
    assert not torch.equal(network.asked[6][1], network.asked[7][1])
    assert torch.equal(network.asked[7][1], network.asked[9][1])


def test_a_further_click_goes_on_from_the_earlier_ones(network: Plain) -> None:
    image, nothing = frame(64, 96), np.zeros((64, 96), np.float32)
    clicks = (Click(20, 30), Click(70, 30, False), Click(40, 40))
    segmenter = ClickSegmenter(network)  # type: ignore[arg-type]
    for count in range(3):
        found = segmenter.segment(
            image, nothing, Interactions(clicks=clicks[count : count + 1], earlier=clicks[:count])
        )
    assert len(network.asked) == 3
    fresh = ClickSegmenter(network).segment(image, nothing, Interactions(clicks=clicks))  # type: ignore[arg-type]
    assert np.allclose(found, fresh, atol=1e-6)
    network.asked.clear()
    segmenter.segment(image, nothing, Interactions(clicks=clicks[1:2]))  # the mask did not come of clicks
    assert len(network.asked) == 1
    segmenter.segment(image[::-1].copy(), nothing, Interactions(clicks=clicks[:2]))  # another frame
    assert len(network.asked) == 3


def test_objects_of_a_frame_go_on_beside_each_other(network: Plain) -> None:
    image, nothing = frame(64, 96), np.zeros((64, 96), np.float32)
    segmenter = ClickSegmenter(network)  # type: ignore[arg-type]
    firsts = [Click(4 * k, 30) for k in range(KEPT + 1)]
    for click in firsts:
        segmenter.segment(image, nothing, Interactions(clicks=(click,)))
    assert len(segmenter._kept) == KEPT
    network.asked.clear()
    for first, passes in ((firsts[1], 1), (firsts[-1], 1), (firsts[0], 2)):  # that one is kept no more
        said = Interactions(clicks=(Click(70, 40, False),), earlier=(first,))
        found = segmenter.segment(image, nothing, said)
        assert len(network.asked) == passes
        network.asked.clear()
        fresh = ClickSegmenter(network).segment(image, nothing, said)  # type: ignore[arg-type]
        assert np.allclose(found, fresh, atol=1e-6)
        network.asked.clear()


def test_a_frame_that_was_written_over_is_another(network: Plain) -> None:
    image, nothing = frame(64, 96), np.zeros((64, 96), np.float32)
    segmenter, said = ClickSegmenter(network), Interactions(clicks=(Click(20, 30),))  # type: ignore[arg-type]
    segmenter.segment(image, nothing, said)
    image[:] = image[::-1].copy()
    fresh = ClickSegmenter(network).segment(image, nothing, said)  # type: ignore[arg-type]
    assert np.array_equal(segmenter.segment(image, nothing, said), fresh)


def test_frames_may_be_views(network: Plain) -> None:
    image, nothing = frame(64, 96), np.zeros((64, 96), np.float32)
    said = Interactions(clicks=(Click(20, 30), Click(70, 30, False)))
    want = ClickSegmenter(network).segment(image[:, :, ::-1].copy(), nothing, said)  # type: ignore[arg-type]
    assert np.array_equal(ClickSegmenter(network).segment(image[:, :, ::-1], nothing, said), want)  # type: ignore[arg-type]
    assert np.array_equal(answers(network, image[:, :, ::-1], said.clicks)[-1], want)
