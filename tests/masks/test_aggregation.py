from __future__ import annotations

import torch

from univs.masks.aggregation import soft_aggregate, to_logits


def test_joint_probabilities_are_normalised_odds() -> None:
    probabilities = torch.tensor([0.9, 0.4, 0.2]).view(3, 1, 1)
    absent = (1 - probabilities).prod()
    everybody = torch.cat([absent.view(1, 1, 1), probabilities])
    odds = everybody / (1 - everybody)
    joint = soft_aggregate(to_logits(probabilities)).softmax(0)
    torch.testing.assert_close(joint, odds / odds.sum())


def test_one_object_is_decided_at_one_half() -> None:
    logits = torch.tensor([-300.0, -30.0, -0.01, 0.01, 30.0, 300.0]).view(1, 1, 6)
    log_odds = soft_aggregate(logits)
    assert log_odds.isfinite().all()
    torch.testing.assert_close(log_odds[0, 0, 1:5], -logits[0, 0, 1:5], atol=1e-4, rtol=1e-4)
    assert (log_odds[1] > log_odds[0]).tolist() == [[False, False, False, True, True, True]]


def test_sure_objects_still_compete() -> None:
    log_odds = soft_aggregate(torch.tensor([40.0, 50.0]).view(2, 1, 1))
    assert int(log_odds[:, 0, 0].argmax()) == 2


def test_gradients_are_finite_for_sure_logits() -> None:
    logits = torch.tensor([-200.0, -20.0, 0.0, 20.0, 200.0]).view(1, 1, 5).requires_grad_()
    soft_aggregate(logits).softmax(0).square().sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_aggregation_does_not_depend_on_the_order_of_objects() -> None:
    torch.manual_seed(0)
    logits = 4 * torch.randn(3, 5, 5)
    order = [2, 0, 1]
    torch.testing.assert_close(soft_aggregate(logits[order])[1:], soft_aggregate(logits)[1:][order])
    torch.testing.assert_close(soft_aggregate(logits[order])[0], soft_aggregate(logits)[0])
