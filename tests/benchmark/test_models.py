"""`univs benchmark models`: counts that can be worked out by hand, and a table."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from univs.benchmark import models
from univs.benchmark.models import SIZES, Measured, film, main, multiply_adds, pointwise_flop, run
from univs.errors import UserError
from univs.models.portrait import PortraitNet
from univs.models.zoo import build_network, numbers_of
from univs.prompts import Mask


def test_the_portrait_net_has_as_many_as_its_layers() -> None:
    model = build_network(numbers_of("portrait")).eval().requires_grad_(False)
    assert isinstance(model, PortraitNet)
    counted = 0.0

    def count(layer: torch.nn.Conv2d, given: object, out: torch.Tensor) -> None:
        nonlocal counted
        each = layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
        counted += out.numel() * each

    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        model(torch.zeros(1, 3, 160, 288), torch.zeros(1, 1, 160, 288))
    fresh = build_network(numbers_of("portrait")).eval().requires_grad_(False)
    assert multiply_adds(fresh, "portrait", 1) == counted == pytest.approx(153e6, rel=0.01)


def test_convolutions_with_what_follows_them_count() -> None:
    assert pointwise_flop((1, 8, 10, 10), (16, 8, 3, 3), None, out_shape=(1, 16, 10, 10)) == 2 * 1600 * 72


def test_of_what_is_measured() -> None:
    seconds, resident = (0.5, 0.1, 0.1), (0, 2**20, 2**20, 3 * 2**20, 5 * 2**20)
    one = Measured(seconds, resident, 0, macs=4e9, rate=80e9)
    assert one.frame == 0.1 and one.ratio == pytest.approx(2) and one.growth == pytest.approx(2)


def test_a_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(SIZES, "portrait", (64, 96))
    monkeypatch.setattr(models, "REFERENCE", (64, 96))
    threads = torch.get_num_threads()
    try:
        found = run("portrait", 1, 4, threads)
    finally:
        torch.set_num_threads(threads)
    assert len(found.seconds) == len(found.resident) == 3 and found.macs > 1e6 and found.rate > 1e6 and found.peak > 0
    monkeypatch.setattr(models, "apart", lambda *given: found)
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["portrait", "--frames", "4"]) == 0
    printed = capsys.readouterr().out
    assert "portrait" in printed and f"{found.macs / 1e9:.2f}" in printed and "64x96" in printed


def test_what_is_shown() -> None:
    for name in ("portrait", "rvos_zero_shot"):
        assert all(not said for _, said in islice(film(name, 2), 2))
    (first, said), (second, later) = islice(film("stm", 2), 2)
    assert first.shape == second.shape == (*SIZES["stm"], 3) and (first != second).any() and not later
    assert [prompt.object_id for prompt in said if isinstance(prompt, Mask) and prompt.mask.any()] == [1, 2]


@pytest.mark.parametrize(
    "given", [["nothing"], ["--frames", "2"], ["--objects", "0"], ["--objects", "256"], ["--threads", "0"]]
)
def test_what_cannot_be_read(given: list[str]) -> None:
    with pytest.raises(UserError, match=given[0]):
        main(given)
