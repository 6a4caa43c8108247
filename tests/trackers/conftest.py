"""The small models of the streaming tests."""

from __future__ import annotations

from tests.streaming.conftest import model, prompt_only_model

__all__ = ["model", "prompt_only_model"]
