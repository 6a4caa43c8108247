"""Feature maps and tokens on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from univs.commands.extract import extract_to_folder, pick_cells
from univs.configuration import compose
from univs.errors import UserError
from univs.models.features import DecodeRequest
from univs.models.univs import UniVS
from univs.models.zoo import build_model
from univs.video.reader import ArrayReader


@pytest.fixture(scope="module")
def model() -> UniVS:
    torch.manual_seed(0)
    return build_model(compose("train", ["data.root=unused"])["model"]).eval()


@pytest.mark.parametrize("shown", [(61, 90), (64, 96)])
def test_cells_are_those_of_the_enlarged_map(shown: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, 16, 24)
    large = F.interpolate(maps, scale_factor=4, mode="bilinear", align_corners=False)[..., : shown[0], : shown[1]]
    size = (shown[0] * 2 // 32, shown[1] * 2 // 32)  # of a frame twice as large as the input
    expected = F.interpolate(large, size, mode="nearest")
    torch.testing.assert_close(pick_cells(maps, shown, size), expected, atol=1e-5, rtol=1e-5)


def test_a_file_for_each_frame(model: UniVS, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 70, 100, 3), dtype=np.uint8)
    assert extract_to_folder(model, ArrayReader(frames), tmp_path / "out", size=64) == 3
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"0000{i}.safetensors" for i in range(3)]
    found = load_file(tmp_path / "out" / "00001.safetensors")
    assert found["features"].shape == (32, 2, 3) and found["tokens"].shape == (32, 128)


def test_frames_are_looked_at_as_large_as_asked(model: UniVS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, normalize = list[tuple[int, ...]](), model.normalize
    monkeypatch.setattr(model, "normalize", lambda images: (seen.append(tuple(images.shape)), normalize(images))[1])
    frame = np.random.default_rng(5).integers(0, 256, (128, 192, 3), dtype=np.uint8)
    for size in (0, 64):
        extract_to_folder(model, ArrayReader([frame]), tmp_path, size=size)
        assert load_file(tmp_path / "00000.safetensors")["features"].shape == (32, 4, 6), "a cell for 32 of its pixels"
    assert seen == [(1, 3, 128, 192), (1, 3, 64, 96)]


def test_tokens_become_embeddings_by_the_decoder_norm(model: UniVS, tmp_path: Path) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    extract_to_folder(model, ArrayReader([frame]), tmp_path)
    with torch.inference_mode():
        images = model.normalize(torch.from_numpy(frame).permute(2, 0, 1)[None])
        prediction = model.decode(model.encode_image(images), DecodeRequest(learnable=True))
        tokens = load_file(tmp_path / "00000.safetensors")["tokens"]
        torch.testing.assert_close(
            model.mask_decoder.norm(tokens), prediction.embeddings[0, :, 0], atol=1e-5, rtol=1e-5
        )


def test_a_last_clip_may_be_shorter(model: UniVS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(model.config, "streaming", {"clip_length": 2})
    frames = np.random.default_rng(2).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    assert extract_to_folder(model, ArrayReader(frames), tmp_path / "three") == 3
    assert extract_to_folder(model, ArrayReader(frames[:2]), tmp_path / "two") == 2
    three, two = (load_file(tmp_path / name / "00001.safetensors") for name in ("three", "two"))
    torch.testing.assert_close(three["tokens"], two["tokens"])


def test_an_earlier_run_goes_and_files_of_others_stay(model: UniVS, tmp_path: Path) -> None:
    frames = np.random.default_rng(3).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    extract_to_folder(model, ArrayReader(frames), tmp_path)
    save_file({"weights": torch.ones(1)}, tmp_path / "00007.safetensors")
    for name in ("notes.txt", "00008.safetensors", ".00002.9.tmp.safetensors"):
        (tmp_path / name).write_text("x")
    extract_to_folder(model, ArrayReader(frames[:1]), tmp_path)
    left = ["00000.safetensors", "00007.safetensors", "00008.safetensors", "notes.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_files_of_others_are_not_replaced(model: UniVS, tmp_path: Path) -> None:
    frames = np.random.default_rng(4).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    (tmp_path / "00002.safetensors").write_text("x")
    with pytest.raises(UserError, match=r"00002.safetensors is not of an earlier run .*; name another --out"):
        extract_to_folder(model, ArrayReader(frames), tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["x"]
