"""Space-time memory networks: planes of the memory, reads and alignment against slow references."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from univs.errors import UserError
from univs.models.resnet import NormRelu
from univs.models.space_time_memory import QueryFeatures, SpaceTimeMemory, aligned, rows
from univs.models.zoo import build_model, build_network, build_space_time


def numbers(**changed: Any) -> dict[str, Any]:
    memory = {
        "trunk": "resnet50",
        "key_dim": 4,
        "value_dim": 6,
        "memory_bias": False,
        "clamp_others": False,
        "black_padding": False,
        "decoder": {"widths": [8, 8, 8], "narrowed": True, "logits": 2},
        **changed,
    }
    mean, std = [100.0, 110.0, 120.0], [50.0, 60.0, 70.0]
    return {
        "name": "light",
        "kind": "space_time_memory",
        "space_time_memory": memory,
        "pixel_mean": mean,
        "pixel_std": std,
        "streaming": {"top_k": 3},
    }


@pytest.fixture(scope="module")
def network() -> SpaceTimeMemory:
    torch.manual_seed(0)
    return build_space_time(numbers()).eval().requires_grad_(False)


@pytest.mark.parametrize("clamped", [False, True])
def test_an_object_is_remembered_beside_the_sum_of_the_others(network: SpaceTimeMemory, clamped: bool) -> None:
    image, masks = torch.randn(1, 3, 32, 48), torch.rand(3, 32, 48)
    network.clamp_others = clamped
    try:
        entries = network.encode_memory(image, masks)
    finally:
        network.clamp_others = False
    for number, entry in enumerate(entries):
        others = torch.stack([masks[other] for other in range(3) if other != number]).sum(0)
        assert others.max() > 1
        seen = torch.cat([image[0], masks[number][None], (others.clamp(0, 1) if clamped else others)[None]])[None]
        key, value = network.memory_heads(network.memory_trunk(seen)[-1])
        torch.testing.assert_close(entry.key, key[0].flatten(1).T, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(entry.value, value[0].flatten(1).T, atol=1e-4, rtol=1e-4)


def test_many_objects_pass_in_parts(network: SpaceTimeMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    image, masks = torch.randn(1, 3, 32, 32), torch.rand(5, 32, 32)
    query, readouts = network.encode_query(image), torch.randn(5, 6, 2, 2)
    want, logits = network.encode_memory(image, masks), network.decode(query, readouts)
    assert logits.shape == (5, 32, 32)
    monkeypatch.setattr("univs.models.space_time_memory.OBJECTS_AT_ONCE", 2)
    for got, entry in zip(network.encode_memory(image, masks), want, strict=True):
        torch.testing.assert_close(got.key, entry.key, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(got.value, entry.value, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(network.decode(query, readouts), logits, atol=1e-4, rtol=1e-4)


def slow_read(query: Tensor, keys: Tensor, values: Tensor, top_k: int | None) -> Tensor:
    """Position by position: Ck h w, M Ck, M Cv -> Cv h w."""
    answer = torch.zeros(values.shape[1], *query.shape[1:])
    for y in range(query.shape[1]):
        for x in range(query.shape[2]):
            scores = [float(key @ query[:, y, x]) / math.sqrt(len(query)) for key in keys]
            chosen = sorted(range(len(scores)), key=lambda m: -scores[m])[:top_k]
            weights = torch.tensor([math.exp(scores[m]) for m in chosen])
            answer[:, y, x] = sum(w * values[m] for w, m in zip(weights / weights.sum(), chosen, strict=True))  # type: ignore[assignment]
    return answer


@pytest.mark.parametrize("top_k", [1, 5, None, 90])
def test_reading(network: SpaceTimeMemory, top_k: int | None) -> None:
    query, keys, values = torch.randn(4, 3, 5), torch.randn(30, 4), torch.randn(30, 6)
    asked = QueryFeatures(query[None], torch.zeros(1, 6, 3, 5), None)  # type: ignore[arg-type]
    got = network.read(asked, keys, values, top_k)
    torch.testing.assert_close(got, slow_read(query, keys, values, top_k), atol=1e-5, rtol=1e-5)


def test_reading_compares_only_so_much_at_once(network: SpaceTimeMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def noted(query: Tensor, memory: Tensor, values: Tensor, k: int | None, rows: int) -> Tensor:
        asked.append(rows)
        return torch.zeros(1, 1, query.shape[1], values.shape[-1])

    monkeypatch.setattr("univs.models.space_time_memory.read_in_chunks", noted)
    query = QueryFeatures(torch.zeros(1, 4, 3, 5), torch.zeros(1, 6, 3, 5), None)  # type: ignore[arg-type]
    for length in (1000, 1 << 18, 1 << 24):
        network.read(query, torch.empty(1, 4).expand(length, 4), torch.empty(1, 6).expand(length, 6), 5)
    assert asked == [64, 16, 1]


def test_alignment_is_the_mean_of_the_remembered_frame_under_the_attention() -> None:
    query, key, maps = torch.randn(4, 2, 3), torch.randn(6, 4), torch.rand(2, 32, 48)
    small = maps.unflatten(1, (2, 16)).unflatten(3, (3, 16)).mean((2, 4))
    moved = slow_read(query, key, small.flatten(1).T, None)
    want = F.interpolate(moved[None], (32, 48), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(aligned(query[None], key, maps), want, atol=1e-5, rtol=1e-5)


def test_rows_are_positions_line_by_line() -> None:
    maps = torch.arange(12).float().reshape(1, 2, 2, 3)
    assert rows(maps)[0].tolist() == [[0, 6], [1, 7], [2, 8], [3, 9], [4, 10], [5, 11]]


def test_frames_are_normalised_by_its_own_numbers(network: SpaceTimeMemory) -> None:
    frame = torch.tensor([150, 50, 120], dtype=torch.uint8).view(1, 3, 1, 1)
    assert network.images(frame).flatten().tolist() == [1.0, -1.0, 0.0]


@pytest.mark.parametrize("black", [False, True])
def test_padding_is_of_the_mean_colour_or_black(network: SpaceTimeMemory, black: bool) -> None:
    network.black_padding = black
    try:
        padded = network.images(torch.full((1, 3, 2, 3), 255, dtype=torch.uint8), (1, 2, 3, 4))
    finally:
        network.black_padding = False
    assert padded.shape == (1, 3, 9, 6)
    for channel, (mean, std) in enumerate(((100, 50), (110, 60), (120, 70))):
        inside = padded[0, channel, 3:5, 1:4]
        torch.testing.assert_close(inside, torch.full((2, 3), (255 - mean) / std))
        around = padded[0, channel].clone()
        around[3:5, 1:4] = -mean / std if black else 0
        torch.testing.assert_close(around, torch.full((9, 6), -mean / std if black else 0.0))


def test_it_is_made_ready_once_and_answers_the_same(network: SpaceTimeMemory) -> None:
    ready = network.ready("float32", False)
    assert ready is network.ready("float32", False) and ready is not network
    kinds = [type(module).__name__ for module in ready.modules()]
    assert kinds.count("FusedConvolution") == 2 * 43 and "WinogradConvolution" not in kinds, "its decoder is small"
    assert "BatchNorm2d" not in kinds and "NormRelu" not in kinds
    assert isinstance(network.query_trunk.bn1, NormRelu), "the network itself stays as it is"
    image, masks = torch.randn(1, 3, 48, 32), torch.rand(2, 48, 32)
    query, ours = network.encode_query(image), ready.encode_query(image)
    torch.testing.assert_close(ours.key, query.key, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.skips.stride4, query.skips.stride4, atol=1e-4, rtol=1e-4)
    for entry, other in zip(network.encode_memory(image, masks), ready.encode_memory(image, masks), strict=True):
        torch.testing.assert_close(other.value, entry.value, atol=1e-4, rtol=1e-4)


def test_what_it_says_of_itself(network: SpaceTimeMemory) -> None:
    assert network.streaming == {"top_k": 3}
    assert set(network.trackers()) == {"vos"}
    for precision, compiled in (("bfloat16", False), ("float32", True)):
        with pytest.raises(UserError, match="runs in float32 and not compiled"):
            network.ready(precision, compiled)


def test_numbers_that_make_no_network_are_refused() -> None:
    assert isinstance(build_network(numbers()), SpaceTimeMemory)
    with pytest.raises(UserError, match="cannot build the model light: .*key_size"):
        build_network(numbers(key_size=3))
    with pytest.raises(UserError, match="cannot build the model light: missing entry 'pixel_mean'"):
        build_network({name: value for name, value in numbers().items() if name != "pixel_mean"})
    with pytest.raises(UserError, match="the model light is no UniVS"):
        build_model(numbers())
