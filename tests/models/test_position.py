from __future__ import annotations

import math

import pytest
import torch

from univs.models.position import band_embedding, bands, map_embedding, point_embedding, sine

CPU = torch.device("cpu")


def slow_sine(value: float, channels: int) -> list[float]:
    out = []
    for k in range(channels // 2):
        phase = value / 10000 ** (2 * k / channels)
        out += [math.sin(phase), math.cos(phase)]
    return out


def test_map_embedding_equals_a_loop() -> None:
    height, width, dim = 3, 5, 8
    embedding = map_embedding(height, width, dim, CPU)
    for row in range(height):
        for column in range(width):
            y = (row + 1) / (height + 1e-6) * 2 * math.pi
            x = (column + 1) / (width + 1e-6) * 2 * math.pi
            expected = torch.tensor(slow_sine(y, dim // 2) + slow_sine(x, dim // 2))
            assert torch.allclose(embedding[row, column], expected, atol=1e-5)


def test_points_take_y_first_and_no_offset() -> None:
    embedding = point_embedding(torch.tensor([[0.25, 0.75]]), 8)
    expected = torch.tensor([slow_sine(1.5 * math.pi, 4) + slow_sine(0.5 * math.pi, 4)])
    assert torch.allclose(embedding, expected, atol=1e-5)


def test_sine_keeps_the_shape_of_its_input() -> None:
    values = torch.rand(2, 3)
    assert torch.equal(sine(values, 6)[1, 2], sine(values[1, 2], 6))


def test_bands_are_waves_of_doubling_frequency_in_y_and_then_in_x() -> None:
    x, y = 0.3, 0.85
    found = bands(torch.tensor([[x, y]]), 3)[0].tolist()
    wanted = [wave(2 * math.pi * place * 2**k) for place in (y, x) for wave in (math.sin, math.cos) for k in range(3)]
    assert found == pytest.approx(wanted, abs=1e-5)
    cells = band_embedding(3, 5, 3, CPU)
    for row in range(3):
        for column in range(5):
            middle = torch.tensor([(column + 0.5) / 5, (row + 0.5) / 3])
            torch.testing.assert_close(cells[row, column], bands(middle, 3))
