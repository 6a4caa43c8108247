"""Official variables of FEELVOS: the rule that makes them, and that each has its place."""

from __future__ import annotations

import numpy as np
import pytest

from univs.models.feelvos import FEELVOS
from univs.models.feelvos_official import our_layout, our_name

pytestmark = pytest.mark.conformance


def test_the_weight_rule_gives_the_check_sums(
    variables: dict[str, np.ndarray], checksums: dict[str, list[float]]
) -> None:
    assert variables.keys() == checksums.keys()
    for name, (total, absolute) in checksums.items():
        values = variables[name].astype(np.float64)
        assert values.sum() == pytest.approx(total, rel=1e-6, abs=1e-3), name
        assert np.abs(values).sum() == pytest.approx(absolute, rel=1e-6), name


def test_every_variable_has_its_place(variables: dict[str, np.ndarray], network: FEELVOS) -> None:
    state = network.state_dict()
    ours = {our_name(name): name for name in variables}
    assert set(ours) == {name for name in state if not name.endswith("num_batches_tracked")}
    for name, official in ours.items():
        assert name is not None
        assert np.array_equal(state[name], our_layout(official, variables[official])), name
