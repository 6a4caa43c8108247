"""univs: ask a video for its objects by point, box, mask or scribble, and get them followed through it.

The public names below are imported when first used, so that `import univs` costs nothing and never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "load": "univs.models.zoo",
    "segment": "univs.streaming",
    "Session": "univs.streaming",
    "Points": "univs.prompts",
    "Box": "univs.prompts",
    "Mask": "univs.prompts",
    "Scribble": "univs.prompts",
    "Text": "univs.prompts",
    "Categories": "univs.prompts",
    "FrameResult": "univs.results",
    "Track": "univs.results",
    "VideoResult": "univs.results",
    "UserError": "univs.errors",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 (names are strings)

if TYPE_CHECKING:
    from univs.errors import UserError as UserError
    from univs.models.zoo import load as load
    from univs.prompts import Box as Box
    from univs.prompts import Categories as Categories
    from univs.prompts import Mask as Mask
    from univs.prompts import Points as Points
    from univs.prompts import Scribble as Scribble
    from univs.prompts import Text as Text
    from univs.results import FrameResult as FrameResult
    from univs.results import Track as Track
    from univs.results import VideoResult as VideoResult
    from univs.streaming import Session as Session
    from univs.streaming import segment as segment


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'univs' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
