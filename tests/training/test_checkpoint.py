"""Checkpoints: whole or not at all, and without pickles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from univs.errors import UserError
from univs.training.checkpoint import load_checkpoint, save_checkpoint


def test_a_checkpoint_is_never_half_written_and_never_a_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "run" / "last.pt"
    assert load_checkpoint(path) is None
    save_checkpoint(path, {"step": 3, "model": {"w": torch.ones(2)}})
    state = load_checkpoint(path)
    assert state is not None and state["step"] == 3 and state["model"]["w"].tolist() == [1, 1]
    assert [p.name for p in path.parent.iterdir()] == ["last.pt"]
    save_checkpoint(path, {"step": 4})

    def killed(state: dict[str, Any], file: Path) -> None:
        Path(file).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, {"step": 5})
    monkeypatch.undo()
    state = load_checkpoint(path)
    assert state is not None and state["step"] == 4, "the previous one is whole"
    torch.save({"step": 1, "model": nn.Linear(1, 1)}, path)  # a pickled class
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("state", [{"model": {}}, [1, 2], torch.zeros(2)])
def test_other_files_of_torch_are_named(tmp_path: Path, state: object) -> None:
    torch.save(state, tmp_path / "last.pt")
    with pytest.raises(UserError, match="not a checkpoint of univs train"):
        load_checkpoint(tmp_path / "last.pt")
