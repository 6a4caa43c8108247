"""The trunks of SiamMask: sizes, and that cells of both lie at the same pixels."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from univs.models.siammask_trunk import SiameseLite, SiameseResNet, make_siamese_trunk

LITE = "tf_efficientnet_lite0"


@pytest.mark.parametrize("name", ["resnet50", LITE])
@pytest.mark.parametrize(
    ("side", "sizes"), [(127, (61, 31, 15, 15)), (143, (69, 35, 17, 17)), (255, (125, 63, 31, 31))]
)
def test_maps_have_the_sizes_of_the_paper(name: str, side: int, sizes: tuple[int, ...]) -> None:
    trunk = make_siamese_trunk(name).requires_grad_(False)
    maps = trunk(torch.zeros(1, 3, side, side))
    assert tuple(found.shape[-1] for found in maps) == sizes
    assert tuple(found.shape[1] for found in maps) == tuple(trunk.channels)


def means(trunk: nn.Module) -> nn.Module:
    """A trunk without memory of what it was: every kernel averages, so that maps show where their cells look."""
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    return trunk.eval()


@pytest.mark.parametrize("name", ["resnet50", LITE])
def test_cells_look_at_the_pixels_that_the_page_says(name: str) -> None:
    """The centre of what moves a cell, from gradients; away from the border, where padding is."""
    torch.manual_seed(0)
    trunk = means(make_siamese_trunk(name))
    image = (1e-2 + 1e-5 * torch.rand(1, 3, 255, 255)).requires_grad_()
    maps = trunk(image)
    for found, (step, first) in zip(maps, ((2, 3), (4, 3), (8, 7), (8, 7)), strict=True):
        cell = (found.shape[-1]) // 2
        (moved,) = torch.autograd.grad(found[0, :, cell, cell - 2].sum(), image, retain_graph=True)
        weight = moved[0].sum(0).abs().double()
        assert middle(weight.sum(0)) == pytest.approx(first + step * (cell - 2), abs=1)
        assert middle(weight.sum(1)) == pytest.approx(first + step * cell, abs=1)


def middle(weights: Tensor) -> float:
    return float((weights * torch.arange(len(weights))).sum() / weights.sum())


def test_the_light_trunk_takes_timms_weights() -> None:
    """Dilation keeps names and shapes; up to stride 8 nothing changes, and behind it every second cell is as it was."""
    torch.manual_seed(0)
    whole = timm.create_model(LITE, pretrained=False, features_only=True, out_indices=(0, 1, 2, 3)).eval()
    trunk = SiameseLite(LITE)
    given = {name: value for name, value in whole.state_dict().items() if name in trunk.body.state_dict()}
    ours = trunk.body.state_dict()
    kept = {name for name in ours if not name.startswith(("blocks.3", "blocks.4"))}
    assert kept <= given.keys()
    trunk.body.load_state_dict(given, strict=False)
    image = torch.randn(1, 3, 255, 255)
    with torch.no_grad():
        theirs = whole(nn.functional.pad(image, (0, 1, 0, 1)))
        _, fine, coarse, deepest = trunk(image)
    torch.testing.assert_close(fine, theirs[1][..., :-1, :-1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(coarse, theirs[2][..., :-1, :-1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(deepest[..., 1::2, 1::2], theirs[3][..., :-1, :-1], atol=1e-4, rtol=1e-4)


def test_the_last_stage_of_the_resnet_looks_far() -> None:
    """Five dilated convolutions behind an ordinary one, whose shortcut is 3 x 3 too."""
    stage = means(make_siamese_trunk("resnet50")).stages[2]
    maps = torch.rand(1, 512, 31, 31, requires_grad=True)
    (moved,) = torch.autograd.grad(stage(maps)[0, :, 15, 15].sum(), maps)
    assert [seen.nonzero().flatten()[[0, -1]].tolist() for seen in (moved[0, 0].any(0), moved[0, 0].any(1))] == [
        [4, 26]
    ] * 2
    assert next(stage[0].downsample.parameters()).shape == (1024, 512, 3, 3)


def test_norms_stay_still_and_names_are_checked() -> None:
    trunk = SiameseResNet().train()
    trunk(torch.randn(2, 3, 127, 127))
    assert torch.equal(trunk.bn1.running_mean, torch.zeros(64))
    assert not any(norm.training for norm in trunk.modules() if isinstance(norm, nn.BatchNorm2d))
    with pytest.raises(ValueError, match="unknown trunk 'vgg': one of resnet50, tf_efficientnet_lite0"):
        make_siamese_trunk("vgg")
