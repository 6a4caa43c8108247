"""The step of words: what it trains, what it leaves alone, and that it can learn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from univs.configuration import compose
from univs.formats.sample import NO_CLASS
from univs.models.features import TextFeatures
from univs.models.univs import UniVS
from univs.models.word_answers import answer_texts, discover
from univs.models.word_head import WordCells
from univs.models.zoo import build_model, load, save
from univs.training.phrases import FRAMES, may_mean, phrase
from univs.training.run import main
from univs.training.word_step import WordLosses, WordStep, fit_losses, shares_of_cells

NAMES = ("bar", "block", "sky")


class Letters:
    """A text encoder whose sentences are random, the same for the same last word."""

    dim = 384

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        rows = []
        for text in texts:
            seed = sum(map(ord, text.split()[-1]))
            rows.append(torch.randn(self.dim, generator=torch.Generator().manual_seed(seed)))
        sentence = torch.nn.functional.normalize(torch.stack(rows), dim=-1)
        return TextFeatures(sentence[:, None], torch.ones(len(texts), 1, dtype=torch.bool), sentence)

    def encode_categories(self, names: Sequence[str]) -> Tensor:
        return self.encode(names).sentence


@pytest.fixture
def model() -> UniVS:
    torch.manual_seed(0)
    return build_model(compose("train", ["data.root=unused"])["model"])


def batch() -> dict[str, Any]:
    """Two images: a bar and a block; a block under a sky, where nothing else is known."""
    objects = torch.zeros(2, 64, 64, dtype=torch.uint8)
    objects[0, 8:30, 8:56] = 1
    objects[0, 36:60, 20:40] = 2
    objects[1, 30:60, 10:50] = 1
    classes = torch.full((2, 64, 64), NO_CLASS)
    classes[0][objects[0] == 1], classes[0][objects[0] == 2] = 0, 1
    classes[1][objects[1] == 1] = 1
    classes[1, :16] = 2
    colours = torch.tensor([[40, 40, 40], [250, 60, 30], [20, 60, 250]], dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 5, (2, 64, 64, 3), dtype=torch.uint8, generator=generator)
    frames = (colours[(classes + 1).clamp_max(2)] + noise).permute(0, 3, 1, 2).contiguous()
    return {
        "frames": frames,
        "objects": objects,
        "classes": classes,
        "object_ids": torch.tensor([[1, 2], [1, 0]]),
        "object_classes": torch.tensor([[0, 1], [1, NO_CLASS]]),
        "complete": torch.tensor([True, False]),
        "stuffed": torch.tensor([False, True]),
        "vocabulary": torch.ones(2, 3, dtype=torch.bool),
        "stuff": torch.tensor([[False, False, True]] * 2),
        "expressions": [(0, 2, "the lower block")],
    }


def test_shares_of_cells_are_counted() -> None:
    classes = torch.full((1, 16, 16), NO_CLASS)
    classes[0, :4, :8] = 2
    classes[0, 8:, 8:] = 1
    shares = shares_of_cells(classes, 3)
    assert shares.shape == (1, 3, 2, 2)
    assert shares[0, 2].tolist() == [[0.5, 0], [0, 0]] and shares[0, 1].tolist() == [[0, 0], [0, 1]]


def test_phrases_of_a_name() -> None:
    rng = np.random.default_rng(0)
    said = {phrase("bicycle", rng) for _ in range(200)}
    assert {"bicycle", "the bicycle", "a bike", "the cycle in the picture"} < said
    assert {phrase("wug", rng) for _ in range(50)} <= {frame.format("wug") for frame in FRAMES}


def test_names_that_may_mean_one_another() -> None:
    assert may_mean("dog", "dog") and may_mean("dog", "cat"), "both are animals"
    assert may_mean("bus", "truck") and not may_mean("dog", "car") and not may_mean("wug", "dog")


def test_masks_fit_their_own_text(model: UniVS) -> None:
    """Words that lie in the direction of the text cost little; the other text's mask is another place."""
    assert model.word_head is not None
    masks = torch.zeros(1, 2, 16, 16)
    masks[0, 0, :8], masks[0, 1, 8:] = 1, 1
    texts = torch.eye(384)[:2][None]
    words = torch.zeros(1, 384, 2, 2)
    words[0, 0, 0], words[0, 1, 1] = 1, 1
    right = WordCells(words, torch.zeros(1, 2, 2), torch.zeros(1, 4, 2, 2))
    wrong = WordCells(words.flip(2), right.objectness, right.reach)
    losses = [float(fit_losses(model.word_head, cells, masks, texts)) for cells in (right, wrong)]
    assert losses[0] < 0.02 and losses[1] > 3
    empty = fit_losses(model.word_head, right, torch.zeros_like(masks), texts)
    assert float(empty) == 0


def test_words_are_learned_and_the_rest_is_let_be(model: UniVS) -> None:
    trained = ("word_head.", "text_prompter.")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(trained))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step = WordStep(model, Letters(), NAMES, WordLosses(points=64))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 2e-3)
    history = []
    for _ in range(25):
        losses = step(batch(), 1.0)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        history.append({name: float(value.detach()) for name, value in losses.items()})
    assert set(history[0]) == {"boxes", "names", "cells", "prompt", "fit"}
    for name in ("boxes", "names", "cells"):
        assert history[-1][name] < 0.6 * history[0][name], name
    mean = [sum(h["prompt"] for h in part) / len(part) for part in (history[:5], history[-5:])]
    assert mean[1] < mean[0]
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith(trained) for name in changed)


def test_answers_have_a_row_for_each_text_and_object(model: UniVS) -> None:
    assert model.word_head is not None and model.dense_memory is not None
    features = model.encode_image(model.normalize(batch()["frames"]))
    texts = [Letters().encode(["bar", "block"]), Letters().encode(["sky", "bar"])]
    key = model.dense_memory.memory_key(features)
    (both,), scores = answer_texts(model, features, key, model.word_head(features), texts)
    assert both.mask_logits.shape == (2, 2, 1, 16, 16) and scores.shape == (2, 2, 8, 8)
    second = features.frames(slice(1, 2))
    key = model.dense_memory.memory_key(second)
    (alone,), _ = answer_texts(model, second, key, model.word_head(second), texts[1:])
    torch.testing.assert_close(alone.mask_logits[0], both.mask_logits[1], atol=1e-4, rtol=1e-4)
    found, objectness = discover(model, second, Letters().encode_categories(NAMES), most=5)
    assert found.class_logits is not None and found.class_logits.shape[2] == 3
    assert found.mask_logits.shape[1] == len(objectness) <= 5
    assert (objectness.diff() <= 0).all()


def test_stage_words_leaves_the_other_weights_as_they_were(tmp_path: Path) -> None:
    """Trained for two steps from a weights file, everything but the words is bit by bit what it was."""
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(tmp_path / f"images/{number}.jpg")
        Image.fromarray((np.arange(48 * 64).reshape(48, 64) // 800).astype(np.uint8)).save(
            tmp_path / f"labels/{number}.png"
        )
    torch.manual_seed(1)
    numbers = compose("train", ["data.root=unused"])["model"]
    save(build_model(numbers), tmp_path / "start.safetensors", numbers)
    source = f"{{kind: semantic, images: {tmp_path}/images, labels: {tmp_path}/labels, names: camvid}}"
    main(
        [
            "stage=words",
            "data=named_images",
            "data.root=unused",
            f"data.sources=[{source}]",
            f"init={tmp_path}/start.safetensors",
            f"out={tmp_path}/run",
            "stage.steps=2",
            "stage.minutes=null",
            "stage.size=64",
            "stage.batch_size=2",
            "stage.workers=0",
            "stage.losses.points=32",
            "device=cpu",
        ]
    )
    before, after = (load(tmp_path / name).state_dict() for name in ("start.safetensors", "run/tiny.safetensors"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("word_head.") for name in changed)
    assert all(name.startswith(("word_head.", "text_prompter.")) for name in changed)
