"""The classes of TAO and BURST: those of LVIS v0.5, by their ids from 1."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def tao_names() -> dict[int, str]:
    """Id -> name as the benchmark writes it."""
    return dict(enumerate(_content()["names"], 1))


@cache
def tao_distractors() -> frozenset[int]:
    """Classes too close to others to be scored."""
    return frozenset(_content()["distractors"])


@cache
def tao_common() -> frozenset[int]:
    """Classes of COCO; all others are uncommon."""
    return frozenset(_content()["common"])


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(__file__).with_name("tao.json").read_text(encoding="utf-8"))
    return content
