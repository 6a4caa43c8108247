"""The sentence encoder in 8 bits against the original network in float32."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from univs.errors import UserError
from univs.models.sentence_encoder import LONGEST, SentenceEncoder, load_sentence_encoder


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return load_sentence_encoder()


def test_a_thousand_sentences_are_embedded_as_by_the_original(encoder: SentenceEncoder) -> None:
    here = Path(__file__).parent
    lines = (here / "sentences.txt").read_text(encoding="utf-8").splitlines()
    original = load_file(here / "sentences.safetensors")["embeddings"].float()
    assert len(lines) == len(original) == 1000
    cosine = torch.nn.functional.cosine_similarity(encoder.encode(lines).sentence, original)
    assert cosine.min() >= 0.999 and cosine.mean() > 0.9997


def test_meaning_is_in_the_angles(encoder: SentenceEncoder) -> None:
    dog, puppy, car = encoder.encode(["a dog", "the puppy", "a red car"]).sentence
    assert float(dog @ puppy) == pytest.approx(0.73, abs=0.01)
    assert float(dog @ car) == pytest.approx(0.26, abs=0.01)


def test_company_changes_nothing(encoder: SentenceEncoder) -> None:
    """Padding takes no part: a text has the same features alone and beside a longer one."""
    alone, together = encoder.encode(["a cat"]), encoder.encode(["a cat", "a cat that sleeps on the old red sofa"])
    count = alone.words.shape[1]
    assert count == 4 and alone.word_mask.all()
    assert together.word_mask.sum(1).tolist() == [4, 11]
    assert torch.allclose(together.words[0, :count], alone.words[0], atol=1e-5)
    assert torch.allclose(together.sentence[0], alone.sentence[0], atol=1e-6)


def test_batches_come_back_in_order(encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{number} red birds" + " and a tree" * (number % 3) for number in range(7)]
    whole = encoder.encode(texts)
    monkeypatch.setattr("univs.models.sentence_encoder.BATCH", 3)
    parts = encoder.encode(texts)
    assert torch.equal(parts.word_mask, whole.word_mask)
    assert torch.allclose(parts.sentence, whole.sentence, atol=1e-5)


def test_long_strange_and_missing_texts(encoder: SentenceEncoder) -> None:
    features = encoder.encode(["word " * 1000, "", "鸟 🐦 qwzzxv"])
    assert features.words.shape[1] == LONGEST
    assert features.word_mask.sum(1).tolist()[:2] == [LONGEST, 2]
    assert torch.isfinite(features.words).all()
    assert torch.allclose(features.sentence.norm(dim=1), torch.ones(3), atol=1e-5)
    assert encoder.encode([]).sentence.shape == (0, encoder.dim)


def test_categories_are_names_read_plainly(encoder: SentenceEncoder) -> None:
    ours = encoder.encode_categories(["traffic_light", "Dog "])
    assert torch.allclose(ours, encoder.encode(["traffic light", "dog"]).sentence, atol=1e-6)


def test_loads_fast_and_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    start = time.process_time()
    load_sentence_encoder()
    assert time.process_time() - start < 1.5


def test_missing_and_damaged_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="install univs again"):
        load_sentence_encoder(tmp_path)
    (tmp_path / "vocabulary.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    (tmp_path / "minilm.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(UserError, match="not the file of this version"):
        load_sentence_encoder(tmp_path)
