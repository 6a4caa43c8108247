"""Official weights of the interactive networks: the rule that makes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import Tensor

pytestmark = pytest.mark.conformance


@pytest.mark.parametrize(
    "network", ["propagation_network", "fusion_network", "s2m_network", "fbrs_resnet50_dh128_network", "stm_network"]
)
def test_the_weight_rule_gives_the_check_sums(
    network: str,
    golden_tensors: Callable[[str], dict[str, Tensor]],
    checksums: Callable[[str], dict[str, list[float]]],
) -> None:
    tensors, expected = golden_tensors(network), checksums(network)
    assert expected.keys() == {name for name, tensor in tensors.items() if tensor.is_floating_point()}
    for name, (total, absolute) in expected.items():
        tensor = tensors[name].double()
        assert tensor.sum().item() == pytest.approx(total, rel=1e-6, abs=1e-3), name
        assert tensor.abs().sum().item() == pytest.approx(absolute, rel=1e-6), name
