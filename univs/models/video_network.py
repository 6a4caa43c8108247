"""What the networks beside UniVS that answer videos have in common: colours, their own numbers, a fast form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from univs.errors import UserError

if TYPE_CHECKING:
    from typing_extensions import Self


class VideoNetwork(nn.Module):
    """A network that trackers use (`trackers.tracker.VideoModel`, but for what it offers).

    Args:
        pixel_mean, pixel_std: of RGB, kept as 3 1 1.
        config: the plain numbers it was built from (`zoo.build_network`).
    """

    called: ClassVar[str]
    """In messages, at the beginning of a sentence."""
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self, pixel_mean: Sequence[float], pixel_std: Sequence[float], config: Mapping[str, Any] | None
    ) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).float().view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).float().view(3, 1, 1), persistent=False)
        self.config = dict(config or {})

    @property
    def streaming(self) -> dict[str, Any]:
        """Its own numbers for answering a video."""
        return dict(self.config.get("streaming", {}))

    def ready(self, precision: str, compiled: bool) -> Self:
        """The fast form of it that sessions share. UserError for other number formats and compiled code."""
        if precision != "float32" or compiled:
            raise UserError(f"{self.called} runs in float32 and not compiled; leave out precision and compiled")
        from univs.models.prepared import prepared_network  # which knows UniVS too

        return prepared_network(self, type(self).for_inference)

    def for_inference(self) -> Self:
        """A copy in eval mode that says the same in less time."""
        raise NotImplementedError
