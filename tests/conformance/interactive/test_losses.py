"""Bootstrapped cross-entropy and the loss of two objects against the golden figures."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from univs.losses import bootstrapped_cross_entropy, selected_cross_entropy
from univs.training.schedule import kept_share

pytestmark = pytest.mark.conformance


@pytest.mark.files("losses*")
def test_losses_of_pixels(golden: Any) -> None:
    logits, labels = golden.tensor("logits").double(), golden.tensor("target")
    seen = 0
    for name in golden:
        if found := re.fullmatch(r"bce_(\d+)_(\d+)_it(\d+)", name):
            start, end, step = map(int, found.groups())
            loss, share = golden[name]
            ours = kept_share(step / 1e5, 0.15, begins=start / 1e5, reached=end / 1e5)
            assert ours == pytest.approx(share, abs=1e-9)
            assert bootstrapped_cross_entropy(logits, labels, ours, together=True).item() == pytest.approx(loss, 1e-6)
        elif found := re.fullmatch(r"fusion_loss_it(\d+)", name):
            loss, share = golden[name]
            second = golden.tensor("fusion_loss_selector")[:, 1] > 0.5
            ours = selected_cross_entropy(logits, golden.tensor("fusion_loss_target"), second, float(share))
            assert ours.item() == pytest.approx(loss, 1e-6)
        else:
            continue
        seen += 1
    assert seen > 2 and torch.isfinite(logits).all()
