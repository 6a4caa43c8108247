"""`univs models`: every model has its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from univs.cli import main
from univs.commands.models import HELPERS, describe, every_model, where_weights_are
from univs.models import weights_path


def test_every_configuration_has_a_row(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = sorted(path.stem for path in (repository / "configs" / "model").glob("*.yaml"))
    assert [line.split()[0] for line in lines[1 : len(names) + 1]] == names
    assert all(line.split()[2] == "M" for line in lines[1 : len(names) + 1])


def test_what_rows_say() -> None:
    rows = {row.name: row for row in every_model()}
    assert rows["portrait"].parameters == pytest.approx(0.210765) and rows["portrait"].tasks == ("zero_shot",)
    assert rows["portrait"].shown_by == () and rows["rvos_zero_shot"].shown_by == ()
    assert rows["rvos"].shown_by == ("mask",) and "box" in rows["siammask"].shown_by
    assert set(rows["tiny"].tasks) == {"vos", "pvos", "refvos", "vis", "vps", "vss"}
    assert rows["feelvos"].parameters == pytest.approx(41.39, abs=0.01)
    assert all(rows[name].tasks == ("interactive",) for name in HELPERS)
    assert all(row.weights for row in rows.values())


def test_where_weights_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert where_weights_are("tiny") == "in the package"
    monkeypatch.setattr(weights_path, "cache_folder", lambda: tmp_path)
    assert where_weights_are("stm") == "STM_weights.pth, from https://github.com/seoungwugoh/STM"
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "STM_weights.pth").touch()
    assert where_weights_are("stm") == str(tmp_path / "weights" / "STM_weights.pth")
    assert "--weights FILE" in where_weights_are("r50") and "UniVS" in describe("r50").weights
