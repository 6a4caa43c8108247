"""Embeddings on disk: asked for once, never mixed up, never in the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from univs.models.embedding_cache import CachedTextEncoder
from univs.models.features import TextFeatures


class Letters(nn.Module):
    """Counts letters; and how often it is asked."""

    dim = 3

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
        self.asked = 0

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        self.asked += 1
        sentence = torch.tensor([[float(len(text))] for text in texts]) * self.weight.detach()
        return TextFeatures(sentence[:, None], torch.ones(len(texts), 1, dtype=torch.bool), sentence)

    def encode_categories(self, names: Sequence[str]) -> Tensor:
        return 10 * self.encode(names).sentence


def test_asks_once(tmp_path: Path) -> None:
    letters = Letters()
    first, again = CachedTextEncoder(letters, tmp_path), CachedTextEncoder(letters, tmp_path)
    made, read = first.encode(["a", "bb"]), again.encode(["a", "bb"])
    assert letters.asked == 1 and first.dim == 3
    assert read.sentence.tolist() == [[1, 2, 3], [2, 4, 6]] == made.sentence.tolist()
    assert torch.equal(read.words, made.words) and read.word_mask.dtype == torch.bool


def test_other_texts_calls_and_weights_are_other_files(tmp_path: Path) -> None:
    letters = Letters()
    cached = CachedTextEncoder(letters, tmp_path)
    assert cached.encode_categories(["a", "bb"]).tolist() == [[10, 20, 30], [20, 40, 60]]
    assert cached.encode(["a", "bb"]).sentence.tolist() == [[1, 2, 3], [2, 4, 6]]
    assert cached.encode(["bb", "a"]).sentence.tolist() == [[2, 4, 6], [1, 2, 3]]
    assert cached.encode(["abb"]).sentence.tolist() == [[3, 6, 9]]
    with torch.no_grad():
        letters.weight.mul_(2)
    assert CachedTextEncoder(letters, tmp_path).encode(["a", "bb"]).sentence.tolist() == [[2, 4, 6], [4, 8, 12]]
    assert letters.asked == 5


def test_damaged_files_are_made_again(tmp_path: Path) -> None:
    letters = Letters()
    CachedTextEncoder(letters, tmp_path).encode(["a"])
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"half")
    assert CachedTextEncoder(letters, tmp_path).encode(["a"]).sentence.tolist() == [[1, 2, 3]]
    assert letters.asked == 2 and file.stat().st_size > 4 and list(tmp_path.iterdir()) == [file]


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("UNIVS_CACHE", str(tmp_path / "file"))
    assert CachedTextEncoder(Letters()).encode(["a"]).sentence.tolist() == [[1, 2, 3]]


def test_the_cache_folder_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIVS_CACHE", str(tmp_path))
    CachedTextEncoder(Letters()).encode(["a"])
    assert len(list((tmp_path / "embeddings").glob("*.safetensors"))) == 1
    monkeypatch.delenv("UNIVS_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert CachedTextEncoder(Letters()).folder == tmp_path / "home" / ".cache" / "univs" / "embeddings"
