"""`univs export`: ONNX that says what the portrait net says, frame after frame."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.test_portrait import net
from univs.cli import main
from univs.commands import export_onnx
from univs.errors import UserError
from univs.models.own_files import save
from univs.models.portrait import PortraitNet


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = net()
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save(model, path, model.config)
    return path


def test_it_says_the_same_over_a_video(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from univs.models.zoo import load

    out = tmp_path / "made" / "net.ONNX"
    out.parent.mkdir()
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    for level, logger in enumerate(loggers, 1):
        monkeypatch.setattr(logger, "level", level)
    assert main(["export", str(weights), str(out), "--height", "64", "--width", "96"]) == 0
    assert "people 1 1 64 96" in capsys.readouterr().out
    assert [path.name for path in out.parent.iterdir()] == ["net.ONNX"], "one file, whole"
    assert [logger.level for logger in loggers] == [1, 2, 3], "as noisy as before"
    assert [(one.domain, one.version) for one in onnx.load(out).opset_import] == [("", 18)]
    session = runtime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    assert {one.name: (one.type, one.shape) for one in session.get_inputs()} == {
        "frame": ("tensor(uint8)", [1, 3, 64, 96]),
        "before": ("tensor(float)", [1, 1, 64, 96]),
    }
    model, rng = load(weights), np.random.default_rng(0)
    assert isinstance(model, PortraitNet)
    mine, theirs = torch.zeros(1, 1, 64, 96), np.zeros((1, 1, 64, 96), np.float32)
    for _ in range(3):
        frame = rng.integers(0, 256, (1, 3, 64, 96), dtype=np.uint8)
        with torch.inference_mode():
            mine = model(torch.from_numpy(frame), mine).sigmoid()
        (theirs,) = session.run(["people"], {"frame": frame, "before": theirs})
        assert np.abs(theirs - mine.numpy()).max() < 1e-4
    assert float(mine.std()) > 0.01


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--height", "100"], "multiples of 32"),
        (["--width", "0"], "multiples of 32 up to 8192"),
        (["--width", "-32"], "multiples of 32"),
        (["--width", "100"], "multiples of 32"),
        (["--height", "32000000000000", "--width", "32"], "multiples of 32"),
        (["--width", "x"], "invalid int"),
    ],
)
def test_sides_that_cannot_be(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    try:
        code = main(["export", str(weights), str(tmp_path / "a.onnx"), *more])
    except SystemExit as left:
        code = int(left.code or 0)
    assert code == 2 and message in capsys.readouterr().err and not list(tmp_path.glob("*.onnx"))


def test_other_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "tiny", str(tmp_path / "a.onnx")]) == 2
    assert "tiny holds a tiny; of portrait nets alone ONNX can be made" in capsys.readouterr().err


def test_weights_are_not_written_over_and_folders_must_be_there(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = weights.read_bytes()
    (tmp_path / "a.onnx").mkdir()
    for out, message in (
        (weights, "is no name of an ONNX file; give one such as net.onnx"),
        (tmp_path / "a.onnx", "is no name of an ONNX file"),
        (tmp_path / "none" / "b.onnx", "there is no folder"),
        (weights / "b.onnx", "is not a folder; choose another FILE.onnx"),
    ):
        assert main(["export", str(weights), str(out)]) == 2
        assert message in capsys.readouterr().err
    assert weights.read_bytes() == before and not list((tmp_path / "a.onnx").iterdir())


def test_without_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        export_onnx.importlib.util, "find_spec", lambda name: None if name == "onnxscript" else object()
    )
    with pytest.raises(UserError, match=r"ONNX needs onnxscript: pip install univs\[export\]"):
        export_onnx.export_portrait(net(), tmp_path / "a.onnx", 64, 64)
