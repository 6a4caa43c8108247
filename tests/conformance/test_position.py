"""Position embeddings against the golden figures."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from univs.models.position import map_embedding, point_embedding
from univs.models.visual_sampler import time_embedding

pytestmark = pytest.mark.conformance
CPU = torch.device("cpu")


@pytest.mark.cases("position_embeddings_*")
def test_position_embeddings(case: Any) -> None:
    points = case.whole("points_xy")
    for size in case.info["sizes"]:
        i, indices, height, width = size["i"], size["frame_indices"], size["H"], size["W"]
        in_map = map_embedding(height, width, 256, CPU)
        case.check(f"pixdec2d_map_{i}", in_map.permute(2, 0, 1), 1e-5)
        for prefix, kind in (("fixedT", "fixed"), ("arbT", "arbitrary")):
            time = time_embedding(indices, 256, kind, CPU)
            case.check(f"{prefix}_map_{i}", (in_map + time[:, None, None]).permute(0, 3, 1, 2), 1e-5)
            case.check(f"{prefix}_points_{i}", point_embedding(points, 256) + time[:, None], 1e-5)
        first = time_embedding([indices[0]] * len(indices), 256, "arbitrary", CPU)
        case.check(f"arbT_points_single_index_{i}", point_embedding(points, 256) + first[:, None], 1e-5)
