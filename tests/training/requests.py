"""What a step asks the mask decoder, kept for a test."""

from __future__ import annotations

from typing import Any

import pytest

from univs.models.features import DecodeRequest
from univs.models.univs import UniVS


def requests_of(model: UniVS, monkeypatch: pytest.MonkeyPatch) -> list[DecodeRequest]:
    """The requests of all layers' predictions, as they come."""
    requests: list[DecodeRequest] = []
    plain = model.decode_layers

    def decode_layers(features: Any, request: DecodeRequest) -> Any:
        requests.append(request)
        return plain(features, request)

    monkeypatch.setattr(model, "decode_layers", decode_layers)
    return requests
