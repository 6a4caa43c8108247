"""`univs models`: every model has its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from univs.cli import main
from univs.commands.models import HELPERS, TRAINED, Described, describe, every_model, where_weights_are
from univs.models import weights_path


@pytest.fixture(scope="module")
def rows() -> dict[str, Described]:
    return {row.name: row for row in every_model()}


def test_every_configuration_has_a_row(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = sorted(path.stem for path in (repository / "configs" / "model").glob("*.yaml"))
    assert [line.split()[0] for line in lines[1 : len(names) + 1]] == names
    assert all(line.split()[2] == "M" for line in lines[1 : len(names) + 1])


def test_what_rows_say(rows: dict[str, Described]) -> None:
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


def test_what_can_be_shown_is_what_the_networks_are_made_for(rows: dict[str, Described]) -> None:
    shown_by = {name: row.shown_by for name, row in rows.items()}
    assert {name for name, shown in shown_by.items() if shown == ("mask",)} == {
        "feelvos", "feelvos_light", "fusion", "mivos", "rvos", "stm", "stm_light",
    }  # fmt: skip
    assert {name for name, shown in shown_by.items() if shown == ("box", "mask")} == {
        "siammask", "siammask_base", "siammask_light",
    }  # fmt: skip
    assert {name for name, shown in shown_by.items() if shown == ("mask", "scribble")} == {
        "scribble_to_mask", "scribble_to_mask_light",
    }  # fmt: skip
    assert shown_by["r50"] == shown_by["tiny"] == ("mask", "box", "points", "scribble")


def test_the_stages_that_rows_name_are_there(repository: Path, rows: dict[str, Described]) -> None:
    stages = {path.stem for path in (repository / "configs" / "stage").glob("*.yaml")}
    assert set(TRAINED.values()) <= stages and TRAINED.keys() <= rows.keys()
