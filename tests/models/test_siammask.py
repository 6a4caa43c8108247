"""SiamMask as a network: its correlation against a loop, objects one by one and together, its fast form."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.errors import UserError
from univs.models.resnet import NormRelu
from univs.models.siammask import SiamMask, Template, correlation
from univs.models.zoo import build_model, build_network, numbers_of


def numbers(**changes: Any) -> dict[str, Any]:
    """The light model, narrower."""
    made = copy.deepcopy(numbers_of("siammask_light"))
    made["siammask"] = {**made["siammask"], "width": 16, **changes}
    return made


def made_network(**changes: Any) -> SiamMask:
    network = build_network(numbers(**changes))
    assert isinstance(network, SiamMask)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.1)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def network() -> SiamMask:
    torch.manual_seed(0)
    return made_network(coarse_masks=True)


def test_correlation_slides_each_channel_over_its_own() -> None:
    kernel, maps = torch.randn(2, 3, 3, 3), torch.randn(2, 3, 6, 6)
    got = correlation(kernel, maps)
    for number in range(2):
        for channel in range(3):
            for y in range(4):
                for x in range(4):
                    want = (kernel[number, channel] * maps[number, channel, y : y + 3, x : x + 3]).sum()
                    assert got[number, channel, y, x] == pytest.approx(float(want), abs=1e-4)


def test_objects_do_not_see_each_other(network: SiamMask) -> None:
    templates, crops = torch.rand(3, 3, 127, 127) * 255, torch.rand(3, 3, 255, 255) * 255
    together = network.search(network.encode_template(network.images(templates)), network.images(crops))
    assert together.scores.shape == (3, 2, 5, 25, 25) and together.boxes.shape == (3, 4, 5, 25, 25)
    cells = torch.tensor([[2, 4, 7], [0, 24, 0], [2, 11, 13]])
    masks, coarse = network.masks(together, cells), network.coarse(together, cells)
    assert masks.shape == (3, 127, 127) and coarse.shape == (3, 63, 63)
    for row in range(3):
        alone = network.encode_template(network.images(templates[[row]]))
        answer = network.search(alone, network.images(crops[[row]]))
        torch.testing.assert_close(answer.scores[0], together.scores[row], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(answer.boxes[0], together.boxes[row], atol=1e-4, rtol=1e-4)
        mine = cells[:, 0] == row
        if mine.any():
            own = torch.cat([torch.zeros_like(cells[mine, :1]), cells[mine, 1:]], 1)
            torch.testing.assert_close(network.masks(answer, own), masks[mine], atol=1e-4, rtol=1e-3)
            torch.testing.assert_close(network.coarse(answer, own), coarse[mine], atol=1e-4, rtol=1e-3)


def normed(convolution: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    """A convolution without padding and its stored batch norm, written out."""
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    x = F.conv2d(x, convolution.weight) - norm.running_mean.view(-1, 1, 1)
    return x * scale.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)


@pytest.mark.parametrize(("side", "kept", "count"), [(143, 9, 3), (255, 31, 25)])
def test_an_answer_is_its_branches_written_out(side: int, kept: int, count: int) -> None:
    torch.manual_seed(1)
    network = made_network(coarse_masks=True)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
    crops = [network.images(torch.rand(1, 3, size, size) * 255) for size in (127, side)]
    answer = network.search(network.encode_template(crops[0]), crops[1])
    found = []
    for crop, cells in zip(crops, (7, kept), strict=True):
        whole = normed(network.neck[0], network.neck[1], network.trunk(crop)[-1])
        first = (whole.shape[-1] - cells) // 2
        assert first == (0 if cells == 31 else 4), "narrow maps lose their border"
        found.append(whole[..., first : first + cells, first : first + cells])
    answers = []
    for branch in (network.cls, network.loc, network.mask):
        kernel = normed(branch.kernel[0], branch.kernel[1], found[0]).relu()
        x = F.conv2d(normed(branch.crop[0], branch.crop[1], found[1]).relu(), kernel[0][:, None], groups=16)
        answers.append(x)
        x = normed(branch.head[0], branch.head[1], x).relu()
        answers.append(F.conv2d(x, branch.head[2].weight, branch.head[2].bias)[0])
    assert answer.scores.shape == (1, 2, 5, count, count) and answer.correlation is not None
    close = {"atol": 1e-4, "rtol": 1e-3}
    for anchor in range(5):
        torch.testing.assert_close(answer.scores[0, :, anchor], answers[1][anchor::5], **close)
        torch.testing.assert_close(answer.boxes[0, :, anchor], answers[3][anchor::5], **close)
    torch.testing.assert_close(answer.correlation, answers[4], **close)
    chosen, refinement = torch.tensor([[0, 0, count - 1], [0, 1, 2]]), network.refinement
    want = answers[5][:, chosen[:, 1], chosen[:, 2]].T.view(2, 63, 63)
    torch.testing.assert_close(network.coarse(answer, chosen), want, **close)
    assert refinement is not None and refinement.deep
    trunk, seen = network.trunk(crops[1])[-2], found[1]
    for first, deeper in ((trunk.shape[1], seen), (trunk.shape[1] + 16, answers[4])):
        border = (trunk.shape[-1] - deeper.shape[-1]) // 2
        beside = F.pad(answer.maps[-1][:, first : first + 16], (-border,) * 4)
        torch.testing.assert_close(beside, deeper, **close)
    seeds = answers[4][0][:, chosen[:, 1], chosen[:, 2]].T
    torch.testing.assert_close(network.masks(answer, chosen), refinement(seeds, answer.maps, chosen, count), **close)


def test_coarse_masks_are_the_head_at_the_cell(network: SiamMask) -> None:
    answer = network.search(
        network.encode_template(network.images(torch.rand(1, 3, 127, 127) * 255)),
        network.images(torch.rand(1, 3, 255, 255) * 255),
    )
    assert answer.correlation is not None
    whole = network.mask.head(answer.correlation)
    want = whole[0, :, 7, 9].view(63, 63)
    torch.testing.assert_close(network.coarse(answer, torch.tensor([[0, 7, 9]]))[0], want, atol=1e-5, rtol=1e-4)


def test_templates_are_cut_and_joined(network: SiamMask) -> None:
    images = network.images(torch.rand(3, 3, 127, 127) * 255)
    template = network.encode_template(images)
    joined = Template.joined([template.of(slice(0, 1)), template.of(slice(1, 3))])
    assert torch.equal(joined.cls, template.cls) and torch.equal(joined.loc, template.loc)
    assert joined.mask is not None and template.mask is not None and torch.equal(joined.mask, template.mask)
    blind = network.encode_template(images, masks=False)
    assert blind.mask is None and Template.joined([blind, blind]).mask is None
    assert Template.joined([template, blind]).mask is None
    assert network.search(blind, network.images(torch.rand(3, 3, 255, 255))).correlation is None


def test_the_fast_form_says_the_same(network: SiamMask) -> None:
    ready = network.ready("float32", False)
    assert ready is network.ready("float32", False) and ready is not network
    assert not any(isinstance(module, nn.BatchNorm2d) for module in ready.modules())
    assert not copy.deepcopy(network).train().for_inference().training
    assert isinstance(network.cls.kernel[1], NormRelu), "the network itself stays as it is"
    template, crop = (network.images(torch.rand(1, 3, side, side) * 255) for side in (127, 255))
    slow = network.search(network.encode_template(template), crop)
    fast = ready.search(ready.encode_template(template), crop)
    cells = torch.tensor([[0, 3, 5]])
    largest = float(slow.scores.abs().max())
    torch.testing.assert_close(fast.scores, slow.scores, atol=1e-4 * max(largest, 1), rtol=1e-4)
    torch.testing.assert_close(ready.masks(fast, cells), network.masks(slow, cells), atol=1e-3, rtol=1e-3)


def test_colours_and_their_order() -> None:
    official = build_network(numbers_of("siammask_base"))
    assert isinstance(official, SiamMask)
    crop = torch.arange(3.0).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert official.images(crop)[0, :, 0, 0].tolist() == [2, 1, 0], "blue comes first, and nothing is normalised"
    assert official.mask_side == 63 and made_network().mask_side == 127
    assert made_network().images(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)).unique().tolist() == [1.0]


def test_what_it_says_of_itself(network: SiamMask) -> None:
    assert network.streaming == {"way": "light", "short_side": 0}
    ways = {way: settings.rpartition(":")[2] for way, (_, settings) in network.trackers()["vos"].items()}
    assert ways == {way: way.upper() for way in ("davis", "vot", "vot_ld", "base", "pysot", "light")}
    assert not made_network().mask.head.state_dict(), "no weights for masks that nobody asks for"
    for precision, compiled in (("bfloat16", False), ("float32", True)):
        with pytest.raises(UserError, match="runs in float32 and not compiled"):
            network.ready(precision, compiled)


def test_numbers_that_make_no_network_are_refused() -> None:
    with pytest.raises(UserError, match="cannot build the model siammask_light: masks come from coarse_masks or"):
        build_network(numbers(refinement=None))
    with pytest.raises(UserError, match="cannot build the model siammask_light: .*colour"):
        build_network(numbers(colour=1))
    with pytest.raises(UserError, match="is no UniVS but a siammask"):
        build_model(numbers())


def test_what_is_not_trained_keeps_its_statistics() -> None:
    network = made_network().requires_grad_(True)
    network.cls.requires_grad_(False)
    network.train()
    assert not network.cls.kernel[1].training and network.loc.kernel[1].training and network.neck[1].training
    assert not network.trunk.body.bn1.training, "those of the trunk never leave them"
    assert not network.eval().loc.kernel[1].training
