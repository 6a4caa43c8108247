"""Overlay modes against the golden pictures."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from univs.visualization.overlay_modes import Mode, overlay_mode

pytestmark = pytest.mark.conformance


@pytest.mark.files("gui_interactions*")
@pytest.mark.parametrize("mode", get_args(Mode))
def test_pictures(golden: Any, mode: Mode) -> None:
    assert np.array_equal(overlay_mode(golden["frame_u8"], golden["mask_idx"], mode), golden[f"overlay_{mode}"])
