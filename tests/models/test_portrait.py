"""The portrait net: its size, its sides, and the form that sessions share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import nn

from univs.errors import UserError
from univs.models.portrait import PortraitNet, folded
from univs.models.zoo import build_network

CONFIG = Path(__file__).parents[2] / "configs" / "model" / "portrait.yaml"


def net(seed: int = 0) -> PortraitNet:
    """As configured, with weights and statistics that are not those of the beginning."""
    torch.manual_seed(seed)
    model = build_network(yaml.safe_load(CONFIG.read_text()))
    assert isinstance(model, PortraitNet)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.3)
            part.running_mean.normal_(std=0.3)  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
        if isinstance(part, nn.PReLU):
            nn.init.uniform_(part.weight, 0.1, 0.4)
    return model.eval()


def asked(height: int = 64, width: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8), torch.rand(2, 1, height, width)


def test_it_has_as_many_parameters_as_counted() -> None:
    model = net()
    counted = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert sum(counted.values()) == 210_765
    assert counted["stem"] == 8_288 and counted["halved"] == 312 and counted["stride4"] == 2_464
    assert counted["stride8"] == 7_152 + 6_112 and counted["stride16"] == 48_224 + 22_720
    assert counted["stride32"] == 23_648 + 34_080 and counted["skips"] == 42_656
    assert counted["dense"] == 1_404 and counted["out"] == 181


def test_an_answer_for_every_pixel_that_depends_on_frame_and_mask_before() -> None:
    model = net()
    frames, before = asked()
    with torch.inference_mode():
        said = model(frames, before)
        assert said.shape == (2, 1, 64, 96)
        assert torch.allclose(model(frames[1:], before[1:]), said[1:], atol=1e-4), "frames of a batch don't mix"
        assert not torch.allclose(model(frames, before * 0), said, atol=1e-3)
        assert torch.equal(model(frames.float(), before), said)


def written_out(weights: dict[str, torch.Tensor], frames: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """The network as its table on the page of the survey has it, from weights by name."""

    def convolved(name: str, x: torch.Tensor, stride: int = 1, padding: int = 0, dilation: int = 1) -> torch.Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), stride, padding, dilation)

    def normed(name: str, x: torch.Tensor) -> torch.Tensor:
        mean, var, scale, shift = (
            weights[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    def bent(name: str, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 0, x, weights[f"{name}.weight"][:, None, None] * x)

    def layer(name: str, x: torch.Tensor, *sides: int) -> torch.Tensor:
        return bent(f"{name}.2", normed(f"{name}.1", convolved(f"{name}.0", x, *sides)))

    def squeezed(name: str, x: torch.Tensor, dilation: int = 1) -> torch.Tensor:
        middle = layer(f"{name}.middle", layer(f"{name}.narrow", x), 1, dilation, dilation)
        return bent(f"{name}.act", x + normed(f"{name}.widen.1", convolved(f"{name}.widen.0", middle)))

    def down(name: str, x: torch.Tensor) -> torch.Tensor:
        largest = torch.stack([x[..., a::2, b::2] for a in (0, 1) for b in (0, 1)]).amax(0)
        skip = convolved(f"{name}.skip", largest) if f"{name}.skip.weight" in weights else largest
        branch = layer(f"{name}.branch.1", layer(f"{name}.branch.0", x, 2), 1, 1)
        branch = normed(f"{name}.branch.3", convolved(f"{name}.branch.2", branch))
        return bent(f"{name}.act", skip + branch)

    def up(x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, (2 * x.shape[-2], 2 * x.shape[-1]), mode="bilinear", align_corners=False)

    seen = torch.cat([(frames - 127) / 128, before], 1)
    b4 = squeezed("stride4.1", squeezed("stride4.0", layer("stem", seen, 4, 2)))
    b8 = squeezed("stride8.2", squeezed("stride8.1", down("stride8.0", b4)))
    b16 = squeezed("stride16.2", squeezed("stride16.1", down("stride16.0", b8)))
    b32 = down("stride32.0", b16)
    for number, dilation in ((1, 1), (2, 2), (3, 4)):
        b32 = squeezed(f"stride32.{number}", b32, dilation)
    x = squeezed("up16", up(layer("skips.0", b32)) + layer("skips.1", b16))
    x = squeezed("up8", up(x) + layer("skips.2", b8))
    x = squeezed("up4", up(layer("finer", x)) + layer("skips.3", b4))
    x = layer("join", torch.cat([up(layer("narrow", x)), layer("halved", seen, 2, 1)], 1), 1, 1)
    x = torch.cat([up(x), seen], 1)
    for number in range(3):
        grown = bent(f"dense.{number}.layer.1", normed(f"dense.{number}.layer.0", x))
        x = torch.cat([x, convolved(f"dense.{number}.layer.2", grown, 1, 1)], 1)
    return convolved("out", x, 1, 1)


def test_the_network_is_what_the_page_says() -> None:
    model = net()
    frames, before = asked()
    with torch.inference_mode():
        want = written_out(model.state_dict(), frames.float(), before)
        said = model(frames, before)
    assert float((said - want).abs().max()) < 1e-4 * float(want.abs().max())


@pytest.mark.parametrize("size", [(63, 96), (64, 80)])
def test_other_sides_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        net()(*asked(*size))


def test_folded_says_the_same_without_norms_behind_convolutions() -> None:
    model = net()
    frames, before = asked()
    fast = folded(model.train())
    model.eval()
    norms = sum(isinstance(part, nn.BatchNorm2d) for part in fast.modules())
    assert norms == 3, "those of the dense layers stand before their convolutions"
    with torch.inference_mode():
        said = model(frames, before)
        assert torch.allclose(fast(frames, before), said, atol=1e-4 * float(said.abs().max()))
    assert not any(p.requires_grad for p in fast.parameters()) and all(p.requires_grad for p in model.parameters())
    assert model.ready("float32", False) is model.ready("float32", False)


def test_what_it_cannot_do() -> None:
    model = net()
    with pytest.raises(UserError, match="float32"):
        model.ready("bfloat16", False)
    assert list(model.trackers()) == ["zero_shot"] and model.streaming == {"short_side": 160}


def test_a_pixel_matters_everywhere_and_most_around_it() -> None:
    """A pixel changes the answer everywhere: the deepest layers see all of it."""
    model = net()
    frames, before = asked()
    with torch.inference_mode():
        base = model(frames[:1].float(), before[:1])
        changed = frames[:1].float().clone()
        changed[..., 0, 0] = 255 - changed[..., 0, 0]
        apart = (model(changed, before[:1]) - base).abs()[0, 0]
    assert float(apart[:8, :8].max()) > float(apart[32:, 48:].max()) > 0
