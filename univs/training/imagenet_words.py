"""Words to start from: what a classifier of ImageNet knows, carried over to sentence embeddings.

The prototype of a class (its row of the classifier) shall mean the embedding of the class's name; the linear map that
does so best for all thousand classes (ridge regression) takes what the classifier reads of any place to sentences.
After DeViSE (Frome et al., NeurIPS 2013).
"""

from __future__ import annotations

import torch
from timm.data import ImageNetInfo
from torch import Tensor

from univs.errors import UserError
from univs.models.text_encoder import TextEncoder
from univs.models.word_head import WordHead
from univs.training.imagenet_weights import lite0_imagenet

RIDGE = 1.0
"""Of the mean squared length of the prototypes."""
OTHER_PARTS = 0.05
"""What is left of the first weights of everything else that makes words."""


def class_names() -> list[str]:
    """What the classes of ImageNet are called, each by its first name."""
    info = ImageNetInfo()
    return [info.index_to_description(i).split(",")[0] for i in range(info.num_classes())]


def meanings(prototypes: Tensor, embeddings: Tensor, ridge: float = RIDGE) -> Tensor:
    """The map D C from features to embeddings, for prototypes K C and embeddings K D of K classes, both centred."""
    gram = prototypes @ prototypes.T
    penalty = ridge * gram.diagonal().mean() * torch.eye(len(gram))
    return embeddings.T @ torch.linalg.solve(gram + penalty, prototypes)


def start_from_imagenet(head: WordHead, encoder: TextEncoder) -> None:
    """Give the trunk of a word head the ImageNet weights, and its words the meanings of the ImageNet classes.

    Raises UserError if the head has no trunk, or the package with the weights is not installed.
    """
    if head.trunk is None:
        raise UserError("start=imagenet is for a word head with a trunk (word_head.trunk of the model)")
    given = lite0_imagenet()
    renamed = {"conv_head": "head.0", "bn2": "head.1"}
    own = head.trunk.state_dict()
    weights = {}
    for name, value in given.items():
        part, _, rest = name.partition(".")
        if part == "blocks":
            number, _, inner = rest.partition(".")
            name = f"blocks.{int(number) - head.trunk.first}.{inner}"
        else:
            name = f"{renamed.get(part, part)}.{rest}"
        if name in own:
            weights[name] = value
    head.trunk.load_state_dict(weights)
    prototypes = given["classifier.weight"].float()
    embeddings = torch.nn.functional.normalize(encoder.encode_categories(class_names()).float(), dim=1)
    weight = meanings(prototypes - prototypes.mean(0), embeddings - embeddings.mean(0))
    with torch.no_grad():
        head.meaning.weight.copy_(weight[:, :, None, None])
        head.meaning.bias.copy_(embeddings.mean(0))  # type: ignore[union-attr]
        head.words.weight.mul_(OTHER_PARTS)
