"""Matching of pixels, label maps and losses of FEELVOS against the golden figures."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.losses import hardest_cross_entropy, triplet_loss
from univs.masks.aligned_corners import best_labels, cells, enlarged, nearest_labels
from univs.models.pixel_matching import (
    global_distances,
    known_rows,
    labels_of_nearest,
    local_distances,
    normalised,
    pixel_rows,
    squared_distances,
)
from univs.training.schedule import kept_share

pytestmark = pytest.mark.conformance

DISTANCES, LOSSES = 1e-4, 1e-5
NEVER = 1e20
"""What the official program has where an object has no pixel."""


def rows_of(maps: Tensor) -> Tensor:
    """h w C -> h*w C."""
    return maps.flatten(0, 1)


@pytest.mark.feelvos_files("matching*")
def test_global_matching(golden: Any) -> None:
    reference, labels = rows_of(golden.tensor("reference")), golden.tensor("labels").flatten()
    query = golden.tensor("query")
    cases = sorted(name for name in golden if re.fullmatch(r"global_k\d+(_given|_chunks)?", name))
    assert cases
    for name in cases:
        k, ids = int(re.findall(r"\d+", name)[0]), golden[f"{name}_ids"].tolist()
        references = [known_rows(reference[labels == number]) for number in ids]
        far = global_distances(rows_of(query.flatten(0, 1)), references, k, math.inf if k == 1 else 0.0)
        far = far.T.unflatten(0, query.shape[:3])[..., None]
        there = torch.from_numpy(golden[name] < NEVER)
        assert torch.equal(far.isfinite(), there), name
        golden.check(name, torch.where(there, far, golden.tensor(name)), DISTANCES)
        golden.check(f"{name}_normalized", normalised(far), DISTANCES)


@pytest.mark.feelvos_files("matching*")
def test_all_pairs_and_labels_of_the_nearest(golden: Any) -> None:
    reference, query = golden.tensor("reference"), golden.tensor("query")
    for name in ("pairwise", "pairwise_naive"):
        golden.check(name, squared_distances(query[0, 1], known_rows(reference[0])).T, DISTANCES)
    labels = golden.tensor("labels").flatten().long()
    names = sorted(name for name in golden if name.startswith("assigned_labels_k"))
    assert names
    for name in names:
        found = labels_of_nearest(
            rows_of(query.flatten(0, 1)), known_rows(rows_of(reference)), labels, int(re.findall(r"\d+", name)[0])
        )
        assert np.array_equal(found.view(golden[name].shape), golden[name]), name


@pytest.mark.feelvos_files("matching*")
def test_local_matching(golden: Any) -> None:
    reference, labels = golden.tensor("reference"), golden["labels"][..., 0]
    query = golden.tensor("query")[0].permute(2, 0, 1)
    known = known_rows(rows_of(reference))
    cases = sorted(name for name in golden if re.fullmatch(r"local_\d+(_missing)?", name))
    assert cases
    for name in cases:
        count = golden[name].shape[3]
        ids = [0, 1, 4] if name.endswith("_missing") else list(range(count))
        assert len(ids) == count
        rows = np.full(labels.shape, -1)
        for row, number in enumerate(ids):
            rows[labels == number] = row
        near = local_distances(query, known, rows, count, int(re.findall(r"\d+", name)[0]))
        golden.check(name, normalised(near).permute(1, 2, 0)[None, ..., None], DISTANCES)


@pytest.mark.feelvos_files("matching*")
def test_distances_in_the_window(golden: Any) -> None:
    """Were each pixel an object of its own, the nearest one of an object would be that pixel."""
    reference, query = golden.tensor("reference"), golden.tensor("query")[0].permute(2, 0, 1)
    height, width = reference.shape[:2]
    known, own = known_rows(rows_of(reference)), np.arange(height * width).reshape(height, width)
    names = [name for name in golden if name.startswith("window_distances_")]
    assert names
    for name in names:
        radius = int(name.rpartition("_")[2])
        each = local_distances(query, known, own, height * width, radius).numpy()
        theirs = golden[name].reshape(height, width, 2 * radius + 1, 2 * radius + 1)
        seen = np.full_like(theirs, np.inf)
        for y, x, down, across in np.ndindex(theirs.shape):
            place = y + down - radius, x + across - radius
            if 0 <= place[0] < height and 0 <= place[1] < width:
                seen[y, x, down, across] = each[own[place], y, x]
        assert np.array_equal(np.isfinite(seen), np.isfinite(theirs)), name
        assert np.isfinite(each).sum() == np.isfinite(seen).sum(), "nothing from outside of the window"
        inside = np.isfinite(theirs)
        assert np.abs(seen[inside] - theirs[inside]).max() <= DISTANCES


@pytest.mark.feelvos_files("labels*")
def test_labels_and_sizes(golden: Any) -> None:
    for side, *sizes in golden["scale_dimension"].tolist():
        assert [cells(side, stride) for stride in (4, 8, 16)] == sizes
    numbers = sorted(int(name.removeprefix("size")) for name in golden if re.fullmatch(r"size\d+", name))
    assert numbers
    for number in numbers:
        labels, size = golden.tensor(f"labels{number}"), golden[f"size{number}"].tolist()
        assert [cells(side) for side in labels.shape[1:]] == size
        small = [nearest_labels(one, size) for one in labels]
        assert np.array_equal(small[0], golden[f"nearest{number}"])
        hot = golden[f"onehot_full_depth{number}"]
        ours = torch.nn.functional.one_hot(small[1].long(), int(labels[0].max()) + 1)
        assert np.array_equal(ours[None], hot)
        logits = golden.tensor(f"logits{number}").permute(0, 3, 1, 2)
        large = enlarged(logits, labels.shape[1:])
        golden.check(f"upsampled_logits{number}", large.permute(0, 2, 3, 1), DISTANCES)
        assert torch.equal(best_labels(logits[0], labels.shape[1:]), large[0].argmax(0))


@pytest.mark.feelvos_files("losses*")
def test_losses(golden: Any) -> None:
    logits, labels = golden.tensor("logits")[:, 0].permute(0, 3, 1, 2), golden.tensor("labels")[:, 0, ..., 0]
    large = enlarged(logits, labels.shape[1:])
    golden.check("loss_all", hardest_cross_entropy(large, labels, 1.0), LOSSES)
    scheduled = [name for name in golden if re.fullmatch(r"loss_top\d+_(step\d+|nomining)", name)]
    assert scheduled
    for name in scheduled:
        hard, *step = (int(number) for number in re.findall(r"\d+", name))
        share = kept_share(min(1.0, step[0] / 200), hard / 100, begins=0.0, reached=0.5) if step else hard / 100
        golden.check(name, hardest_cross_entropy(large, labels, share), LOSSES)
    small = nearest_labels(labels, logits.shape[-2:])
    golden.check("loss_downsampled", hardest_cross_entropy(logits, small, 1.0), LOSSES)


@pytest.mark.feelvos_files("losses*")
def test_triplet_loss(golden: Any) -> None:
    embeddings, labels = golden.tensor("triplet_embeddings"), golden.tensor("triplet_labels")[..., 0]
    first, others = (pixel_rows(part.permute(2, 0, 1)) for part in (embeddings[0], embeddings[1:].flatten(0, 1)))
    golden.check("triplet_loss", triplet_loss(first, labels[0].flatten(), others, labels[1:].flatten()), LOSSES)
