"""Which encoder a model reads words with, and the official table of class embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from univs.errors import UserError
from univs.models import TextFeatures
from univs.models.clip_text import CONTEXT, ClipTextEncoder, templates, tokenize
from univs.models.encoders import ClassTable, load_clip_tower, load_text_encoder, read_class_table
from univs.models.official import CLASS_COUNT, CLASS_ROWS
from univs.models.text_encoder import clean_text
from univs.vocabularies import vocabulary


@pytest.fixture(scope="module")
def small_tower() -> ClipTextEncoder:
    torch.manual_seed(0)
    return ClipTextEncoder(width=64, heads=1, layers=2)


def test_templates_are_the_published_ones_in_the_official_order() -> None:
    assert len(templates()) == len(set(templates())) == 81
    assert templates()[:3] == ("{}.", "a photo of a {}.", "a bad photo of a {}.")
    assert templates()[-1] == "a tattoo of the {}."


def test_long_texts_are_cut_with_their_end() -> None:
    short, long = tokenize(["a dog", "dog " * 100])
    assert short.tolist()[:5] == [49406, 320, 1929, 49407, 0]
    assert len(long) == CONTEXT and 49407 not in long and (long[1:] == 1929).all()


def test_expressions_are_cleaned_as_in_training() -> None:
    assert clean_text("The 2nd (left) dog's well-known_toy, 3!") == "the nd left dogs well known toy "


def test_a_sentence_is_the_mean_over_templates_of_its_end(small_tower: ClipTextEncoder) -> None:
    features = small_tower.encode(["a dog", "dog " * 100])
    assert features.words.shape == (2, CONTEXT, 64) and features.word_mask.all()
    tower = small_tower.tower

    def slow(ids: Tensor) -> Tensor:
        """All positions at once, one template after the other."""
        x = tower.token_embedding(ids)[None] + tower.positional_embedding
        return (tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask)) @ tower.text_projection)[0]

    for row, text in enumerate(("a dog", "dog " * 100)):
        assert torch.allclose(features.words[row], slow(tokenize([f"{text}."])[0]), atol=1e-5)
        ends = []
        for template in templates():
            ids = tokenize([template.format(text)])[0]
            place = int((ids == 49407).nonzero()[0]) if 49407 in ids else 0  # the start has the next largest id
            ends.append(slow(ids)[place])
        assert torch.allclose(features.sentence[row], torch.stack(ends).mean(0), atol=1e-5)
    categories = small_tower.encode_categories(["A_dog+", "a dog "])
    assert torch.allclose(categories[0], features.sentence[0], atol=1e-5)
    assert torch.allclose(categories[1], features.sentence[0], atol=1e-5)


def test_towers_come_from_files(small_tower: ClipTextEncoder, tmp_path: Path) -> None:
    state = small_tower.tower.state_dict()
    torch.save({**state, "visual.conv1.weight": torch.zeros(2)}, tmp_path / "clip.pth")
    loaded = load_clip_tower(tmp_path / "clip.pth")
    assert loaded.dim == 64
    assert torch.equal(loaded.encode(["a dog"]).sentence, small_tower.encode(["a dog"]).sentence)
    del state["ln_final.bias"]
    torch.save(state, tmp_path / "less.pth")
    torch.save({"x": torch.zeros(1)}, tmp_path / "none.pth")
    for name, message in (("less", "ln_final.bias is missing"), ("none", "no CLIP text tower"), ("gone", "no weights")):
        with pytest.raises(UserError, match=message):
            load_clip_tower(tmp_path / f"{name}.pth")
    with pytest.raises(UserError, match="unknown text encoder 'bert'"):
        load_text_encoder("bert")


def test_a_failing_download_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import open_clip.pretrained

    def fail(*arguments: object, **options: object) -> str:
        raise FileNotFoundError("no network\nand more")

    monkeypatch.setenv("UNIVS_CACHE", str(tmp_path))
    monkeypatch.setattr(open_clip.pretrained, "download_pretrained", fail)
    with pytest.raises(UserError, match="cannot download .*: no network; give its weights by path") as caught:
        load_clip_tower()
    assert "\n" not in str(caught.value)


class Counting:
    """Makes zeros and counts."""

    dim = 3

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        raise AssertionError(f"only categories are asked for here, not {texts}")

    def encode_categories(self, names: Sequence[str]) -> Tensor:
        self.asked += names
        return torch.zeros(len(names), self.dim)


def test_the_class_table_answers_for_benchmarks(tmp_path: Path) -> None:
    path = tmp_path / "classes.pth"
    torch.save(torch.arange(CLASS_COUNT * 3.0).view(-1, 3), path)
    other = Counting()
    table = ClassTable(read_class_table(path), lambda: other)
    for name in ("ovis", "coco", "burst", "vspw"):
        start, count = CLASS_ROWS[name]
        rows = table.encode_categories(vocabulary(name).names)
        assert rows[:, 0].tolist() == [3.0 * row for row in range(start, start + count)], name
    assert not other.asked
    assert table.encode_categories(["dog", "cat"]).shape == (2, 3) and other.asked == ["dog", "cat"]
    torch.save(torch.zeros(80, 3), path)
    with pytest.raises(UserError, match="not a table of class embeddings"):
        read_class_table(path)
