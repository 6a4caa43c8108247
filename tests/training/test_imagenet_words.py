"""Words that start from a classifier of ImageNet."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from univs.errors import UserError
from univs.models.backbone import Backbone
from univs.models.word_head import WordHead
from univs.training.imagenet_weights import lite0_imagenet, load_lite0_imagenet
from univs.training.imagenet_words import OTHER_PARTS, class_names, meanings, start_from_imagenet


def test_meanings_solve_the_ridge_regression() -> None:
    torch.manual_seed(0)
    prototypes, embeddings = torch.randn(20, 30, dtype=torch.float64), torch.randn(20, 7, dtype=torch.float64)
    assert torch.equal(meanings(prototypes, embeddings), meanings(prototypes, embeddings, 1.0))
    exact = meanings(prototypes, embeddings, 0.0)
    assert torch.allclose(prototypes @ exact.T, embeddings, atol=1e-6)
    weight = meanings(prototypes, embeddings, 0.5).requires_grad_()
    penalty = 0.5 * prototypes.square().sum(1).mean()
    (((prototypes @ weight.T - embeddings) ** 2).sum() + penalty * (weight**2).sum()).backward()
    assert weight.grad is not None and weight.grad.abs().max() < 1e-6, "nothing is to be gained by changing it"


def test_there_are_a_thousand_names() -> None:
    names = class_names()
    assert len(names) == 1000 and names[207] == "golden retriever" and names[752] == "racket"


class Names:
    """An encoder for which every name lies in a direction of its own, of whatever length."""

    dim = 384

    def encode_categories(self, names: list[str]) -> torch.Tensor:
        lengths = 1 + torch.arange(len(names))[:, None] / len(names)
        return lengths * torch.randn(len(names), self.dim, generator=torch.Generator().manual_seed(0))


def test_a_head_starts_with_what_imagenet_knows() -> None:
    torch.manual_seed(0)
    backbone, encoder = Backbone("tf_efficientnet_lite0"), Names()
    load_lite0_imagenet(backbone)
    head = WordHead(32, encoder.dim, 16, trunk="tf_efficientnet_lite0").eval()
    before = head.words.weight.detach().clone()
    start_from_imagenet(head, encoder)  # type: ignore[arg-type]
    assert torch.equal(head.words.weight, 0.05 * before) and OTHER_PARTS == 0.05, "what else makes words starts small"
    assert head.trunk is not None
    given = lite0_imagenet()
    assert torch.equal(head.trunk.head[0].weight, given["conv_head.weight"])
    with torch.inference_mode():
        maps = backbone(torch.randn(1, 3, 64, 64))
        assert torch.equal(head.trunk(maps[1])[1], maps[3]), (
            "the backbone's own late part, as long as both are as given"
        )
        assert head.meaning.bias is not None
        embeddings = F.normalize(encoder.encode_categories(class_names()), dim=1)
        assert torch.allclose(head.meaning.bias, embeddings.mean(0))
        prototypes = given["classifier.weight"].float()
        centred = prototypes - prototypes.mean(0)
        weight = meanings(centred, embeddings - embeddings.mean(0))
        assert torch.allclose(head.meaning.weight[..., 0, 0], weight, atol=1e-6)
        meant = F.normalize(head.meaning((prototypes - prototypes.mean(0))[:, :, None, None])[..., 0, 0], dim=1)
        nearest = (meant @ embeddings.T).argmax(1)
    assert (nearest == torch.arange(1000)).float().mean() > 0.9


def test_a_head_without_trunk_cannot() -> None:
    with pytest.raises(UserError, match="for a word head with a trunk"):
        start_from_imagenet(WordHead(16, 384, 8), Names())  # type: ignore[arg-type]
