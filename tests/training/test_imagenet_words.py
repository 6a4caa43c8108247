"""Words that start from a classifier of ImageNet."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from univs.errors import UserError
from univs.models.backbone import Backbone, lite0_imagenet, load_lite0_imagenet
from univs.models.sentence_encoder import load_sentence_encoder
from univs.models.word_head import WordHead
from univs.training.imagenet_words import class_names, meanings, start_from_imagenet


def test_meanings_solve_the_ridge_regression() -> None:
    torch.manual_seed(0)
    prototypes, embeddings = torch.randn(20, 30, dtype=torch.float64), torch.randn(20, 7, dtype=torch.float64)
    exact = meanings(prototypes, embeddings, 0.0)
    assert torch.allclose(prototypes @ exact.T, embeddings, atol=1e-6)
    weight = meanings(prototypes, embeddings, 0.5).requires_grad_()
    penalty = 0.5 * prototypes.square().sum(1).mean()
    (((prototypes @ weight.T - embeddings) ** 2).sum() + penalty * (weight**2).sum()).backward()
    assert weight.grad is not None and weight.grad.abs().max() < 1e-6, "nothing is to be gained by changing it"


def test_there_are_a_thousand_names() -> None:
    names = class_names()
    assert len(names) == 1000 and names[207] == "golden retriever" and names[752] == "racket"


def test_a_head_starts_with_what_imagenet_knows() -> None:
    torch.manual_seed(0)
    backbone, encoder = Backbone("tf_efficientnet_lite0"), load_sentence_encoder()
    load_lite0_imagenet(backbone)
    head = WordHead(128, encoder.dim, 16, trunk="tf_efficientnet_lite0").eval()
    start_from_imagenet(head, encoder)
    assert head.trunk is not None
    given = lite0_imagenet()
    assert torch.equal(head.trunk.head[0].weight, given["conv_head.weight"])
    with torch.inference_mode():
        maps = backbone(torch.randn(1, 3, 64, 64))
        assert torch.equal(head.trunk(maps[1])[1], maps[3]), (
            "the backbone's own late part, as long as both are as given"
        )
        prototypes = given["classifier.weight"].float()
        meant = F.normalize(head.meaning((prototypes - prototypes.mean(0))[:, :, None, None])[..., 0, 0], dim=1)
        nearest = (meant @ F.normalize(encoder.encode_categories(class_names()), dim=1).T).argmax(1)
    assert (nearest == torch.arange(1000)).float().mean() > 0.9


def test_a_head_without_trunk_cannot() -> None:
    with pytest.raises(UserError, match="for a word head with a trunk"):
        start_from_imagenet(WordHead(16, 384, 8), load_sentence_encoder())
