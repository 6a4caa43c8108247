"""What a name of weights stands for where the file is not here."""

from __future__ import annotations

import pytest

from univs.errors import UserError
from univs.models.weights_path import WEIGHTS, weights_path


def test_a_model_whose_weights_are_nowhere_is_told_from_an_unknown_name() -> None:
    assert weights_path("tiny") == WEIGHTS / "tiny.safetensors"
    with pytest.raises(UserError, match="no weights of swinl are here: univs models says where they come from"):
        weights_path("swinl")
    with pytest.raises(UserError, match=r"unknown weights 'tyni': give a name \(.*tiny"):
        weights_path("tyni")
