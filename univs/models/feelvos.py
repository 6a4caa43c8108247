"""FEELVOS: each pixel an embedding, and for each object a map of how near the first and the previous frame come to it.

Voigtlaender et al., "FEELVOS: Fast End-to-End Embedding Learning for Video Object Segmentation", CVPR 2019. Nothing is
learnt in the video; what differs between the released network and light ones are numbers (configs/model/feelvos.yaml,
feelvos_light.yaml).

    seen = model.encode(images)                                           # once per frame, for all objects
    maps = model.match(seen.embedding[0], references, previous, labels, masks)    # each object's 3 maps
    logits = model.decode(seen.features, maps)                            # soft-max over the objects

Pure: no state of any video lives here. Shapes: B frames, N objects (background is one), H W pixels, h w cells whose
corners are those of the frame (`masks/aligned_corners.py`), E channels of the embedding, C of the features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from univs.models.backbone import FusedConvolution
from univs.models.deeplab_features import DeepLabFeatures
from univs.models.pixel_matching import global_distances, local_distances, normalised, pixel_rows
from univs.models.video_network import VideoNetwork
from univs.models.wide_depthwise import WideDepthwise

MAPS = 3
"""Of each object beside the features: distance to the first frame, previous mask, distance to the previous frame."""
OBJECTS_AT_ONCE = 4
"""Objects that pass the head together: more take memory and save no time."""
SPREAD = 0.03
"""Of the first weights of the embedding around the identity."""


@dataclass(frozen=True)
class Seen:
    """Frames as the network sees them: features B C h w, embedding B E h w."""

    features: Tensor
    embedding: Tensor


class FEELVOS(VideoNetwork):
    """The network.

    Args:
        features: numbers of `DeepLabFeatures`.
        embedding: numbers of `Embedding`.
        head: numbers of `DynamicHead`.
        window: cells to each side in which the previous frame is matched.
        nearest: how many nearest pixels of the first frame make a distance.
        pixel_mean, pixel_std: of RGB 0..255.
        config: the plain numbers it was built from (`zoo.build_network`).
    """

    called = "FEELVOS"

    def __init__(
        self,
        *,
        features: Mapping[str, Any],
        embedding: Mapping[str, Any],
        head: Mapping[str, Any],
        window: int,
        nearest: int,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(pixel_mean, pixel_std, config)
        self.features = DeepLabFeatures(**features)
        width = int(features["width"])
        self.embedding = Embedding(width, **embedding)
        self.head = DynamicHead(width, **head)
        self.window, self.nearest = window, nearest

    def trackers(self) -> dict[str, dict[str, tuple[str, str]]]:
        """It follows objects that masks show."""
        home = "univs.trackers.feelvos"
        return {"vos": {"embedding": (f"{home}:EmbeddingTracker", f"{home}:EmbeddingSettings")}}

    def for_inference(self) -> FEELVOS:
        """As in `VideoNetwork`."""
        return for_inference(self)

    def images(self, frames: Tensor) -> Tensor:
        """B 3 H W RGB, uint8 or 0..255 -> the same, normalised."""
        return (frames.float() - self.pixel_mean) / self.pixel_std

    def encode(self, images: Tensor) -> Seen:
        """B 3 H W normalised, of any size -> features and embedding."""
        features = self.features(images)
        return Seen(features, self.embedding(features))

    def match(
        self,
        embedding: Tensor,
        references: Sequence[Tensor],
        previous: Tensor,
        labels: NDArray[np.integer],
        masks: Tensor,
    ) -> Tensor:
        """What earlier frames say of a frame (sections 3.4, 3.5).

        Args:
            embedding: E h w of the frame.
            references: of each object the `known_rows` of its pixels in frames whose masks were given.
            previous: h*w E+2 `known_rows` of the frame before.
            labels: h w of the frame before, rows of `references`.
            masks: N h w of the frame before.
        Returns:
            N 3 h w: for each object the distance 0..1 to its references, its mask on the frame before, and the distance
            to its pixels there in the window.
        """
        count, size = len(references), embedding.shape[1:]
        far = global_distances(pixel_rows(embedding), references, self.nearest).view(count, *size)
        near = local_distances(embedding, previous, labels, count, self.window)
        return torch.stack([normalised(far), masks, normalised(near)], 1)

    def decode(self, features: Tensor, maps: Tensor) -> Tensor:
        """Features 1 C h w of a frame and N 3 h w maps of its objects -> N h w logits."""
        return self.head(features, maps)


class BiasedSeparable(nn.Module):
    """Depthwise k x k, then pointwise, each with a bias and a ReLU."""

    def __init__(self, channels: int, out: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        padding = kernel // 2 * dilation
        self.depthwise = nn.Conv2d(channels, channels, kernel, padding=padding, dilation=dilation, groups=channels)
        self.pointwise = nn.Conv2d(channels, out, 1)
        for convolution in (self.depthwise, self.pointwise):
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """B channels h w -> B out h w, not negative."""
        return F.relu(self.pointwise(F.relu(self.depthwise(x))))


class Embedding(BiasedSeparable):
    """The embedding of each pixel, E numbers that are not negative.

    Args:
        channels: of the features.
        dim: E.
        identity: at first channel i of it is so many times channel i of the features, but for a little noise.
    """

    def __init__(self, channels: int, *, dim: int, identity: float) -> None:
        super().__init__(channels, dim, 3)
        with torch.no_grad():
            for convolution in (self.depthwise, self.pointwise):
                nn.init.trunc_normal_(convolution.weight, std=SPREAD, a=-2 * SPREAD, b=2 * SPREAD)
            self.depthwise.weight[:, 0, 1, 1] += 1
            self.pointwise.weight.view(dim, channels).diagonal().add_(1)
            self.pointwise.weight *= identity


class DynamicHead(nn.Module):
    """Features and the maps of an object become its logit; the same weights for each of any number of objects.

    Args:
        channels: of the features.
        width: channels within.
        kernel: side of the depthwise convolutions.
        dilations: of each of them.
    """

    def __init__(self, channels: int, *, width: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        ins = [channels + MAPS, *([width] * (len(dilations) - 1))]
        self.layers = nn.ModuleList([BiasedSeparable(a, width, kernel, d) for a, d in zip(ins, dilations, strict=True)])
        self.predict = nn.Conv2d(width, 1, 1)

    def forward(self, features: Tensor, maps: Tensor) -> Tensor:
        """1 C h w features and N 3 h w maps -> N h w logits."""
        shared = self.shared(features)
        return torch.cat([self.predict(self.look(shared, some))[:, 0] for some in maps.split(OBJECTS_AT_ONCE)])

    def shared(self, features: Tensor) -> Tensor:
        """What the first layer makes of 1 C h w features alone: 1 width h w, the same for all objects."""
        first, count = self._first(), features.shape[1]
        seen = F.relu(_depthwise(first.depthwise, slice(0, count), features))
        return F.conv2d(seen, first.pointwise.weight[:, :count], first.pointwise.bias)

    def look(self, shared: Tensor, maps: Tensor) -> Tensor:
        """`shared` and N 3 h w maps -> N width h w before the logit.

        The first layer sees features and maps one beside the other; as it adds up what it makes of both, the first part
        is that of all objects.
        """
        first = self._first()
        own = F.relu(_depthwise(first.depthwise, slice(-MAPS, None), maps))
        x = F.relu(shared + F.conv2d(own, first.pointwise.weight[:, -MAPS:]))
        for layer in self.layers[1:]:
            x = layer(x)
        return x

    def _first(self) -> BiasedSeparable:
        first = self.layers[0]
        assert isinstance(first, BiasedSeparable)
        return first


def _depthwise(convolution: nn.Conv2d, channels: slice, x: Tensor) -> Tensor:
    """Some channels of a depthwise convolution.

    Channels last where it learns: the way back is four times as fast so on a CPU, the way there a fifth slower.
    """
    assert convolution.bias is not None and not isinstance(convolution.padding, str)
    if torch.is_grad_enabled():
        x = x.contiguous(memory_format=torch.channels_last)
    weight, bias = convolution.weight[channels], convolution.bias[channels]
    return F.conv2d(x, weight, bias, 1, convolution.padding, convolution.dilation, len(weight))


@torch.no_grad()
def for_inference(network: FEELVOS) -> FEELVOS:
    """A network that gives the same answers faster.

    Batch norms and activations go into the convolutions; on a CPU those of the pyramid that look far go tap by tap.
    """
    from univs.models.prepared import fuse_norms, reordered, twin

    fast: FEELVOS = reordered(twin(network).eval(), torch.channels_last)  # type: ignore[assignment]
    fuse_norms(fast)
    if fast.pixel_mean.device.type == "cpu":
        for branch in fast.features.around:
            assert isinstance(branch.depthwise, FusedConvolution)
            branch.depthwise = WideDepthwise.of(branch.depthwise)
    return fast
