"""The step of words: what it trains, what it leaves alone, and that it can learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.losses.shared_counts import mean_gap, together
from tests.training.word_batch import NAMES, Letters, batch
from univs.configuration import compose
from univs.formats.sample import NO_CLASS
from univs.losses.counting import Counting
from univs.models.own_files import save
from univs.models.univs import UniVS
from univs.models.word_answers import discover, text_request
from univs.models.word_head import WordCells
from univs.models.zoo import build_model, load
from univs.training import word_step
from univs.training.run import main
from univs.training.word_step import WordLosses, WordStep, fit_losses, shares_of_cells


@pytest.fixture
def model(small_word_model: UniVS) -> UniVS:
    return small_word_model


def test_shares_of_cells_are_counted() -> None:
    classes = torch.full((1, 16, 16), NO_CLASS)
    classes[0, :4, :8] = 2
    classes[0, 8:, 8:] = 1
    shares = shares_of_cells(classes, 3)
    assert shares.shape == (1, 3, 2, 2)
    assert shares[0, 2].tolist() == [[0.5, 0], [0, 0]] and shares[0, 1].tolist() == [[0, 0], [0, 1]]


def test_masks_fit_their_own_text(model: UniVS) -> None:
    """Words that lie in the direction of the text cost little; the other text's mask is another place."""
    assert model.word_head is not None
    masks = torch.zeros(1, 2, 16, 16)
    masks[0, 0, :8], masks[0, 1, 8:] = 1, 1
    texts = torch.eye(24)[:2][None]
    words = torch.zeros(1, 24, 2, 2)
    words[0, 0, 0], words[0, 1, 1] = 1, 1
    right = WordCells(words, torch.zeros(1, 2, 2), torch.zeros(1, 4, 2, 2))
    wrong = WordCells(words.flip(2), right.objectness, right.reach)
    losses = [float(fit_losses(model.word_head, cells, masks, texts).detach()) for cells in (right, wrong)]
    assert losses[0] < 0.02 and losses[1] > 3
    empty = fit_losses(model.word_head, right, torch.zeros_like(masks), texts)
    assert float(empty) == 0


def test_fits_are_counted_over_the_images_of_all_processes(model: UniVS) -> None:
    """Two masks that lie apart and two that do not: four pairs of mask and text, and the two of their own."""
    assert model.word_head is not None
    head, masks = model.word_head, torch.zeros(2, 2, 16, 16)
    masks[0, 0, :8], masks[0, 1, 8:], masks[1, 0], masks[1, 1, 4:] = 1, 1, 1, 1
    generator = torch.Generator().manual_seed(0)
    texts, words = torch.randn(2, 2, 24, generator=generator), torch.randn(2, 24, 2, 2, generator=generator)
    cells = WordCells(words, torch.zeros(2, 2, 2), torch.zeros(2, 4, 2, 2))

    def work(b: int, counting: Counting) -> Tensor:
        part = slice(b, b + 1)
        alone = WordCells(cells.words[part], cells.objectness[part], cells.reach[part])
        return fit_losses(head, alone, masks[part], texts[part], counting)

    whole, alone = fit_losses(head, cells, masks, texts), [work(b, Counting()) for b in range(2)]
    assert mean_gap(together(work), whole) < 1e-5
    assert float(whole.detach()) == pytest.approx(float((4 * alone[0] + 2 * alone[1]).detach()) / 6, rel=1e-5)


def test_words_are_learned_and_the_rest_is_let_be(model: UniVS) -> None:
    trained = ("word_head.", "text_prompter.")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(trained))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step = WordStep(model, Letters(), NAMES, WordLosses(points=64))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-2)
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


def test_words_are_learned_in_bfloat16_too(model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: the losses are near those of float32, and the keys of the memory are told apart in float32."""
    step = WordStep(model, Letters(), NAMES, WordLosses(points=64))
    assert model.dense_memory is not None
    plain, kinds = model.dense_memory.memory_key, []

    def key(features: Any) -> Any:
        kinds.append((features.mask_features.dtype, torch.is_autocast_enabled("cpu")))
        return plain(features)

    monkeypatch.setattr(model.dense_memory, "memory_key", key)
    found = []
    for half in (False, True):
        torch.manual_seed(0)
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            losses = step(batch(), 1.0)
        torch.stack(list(losses.values())).sum().backward()
        assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())
        found.append({name: float(value.detach()) for name, value in losses.items()})
    assert kinds == [(torch.float32, False)] * 2
    assert found[1] == pytest.approx(found[0], rel=0.1, abs=0.02) and found[1] != found[0]


def test_answers_have_a_row_for_each_text_and_object(model: UniVS) -> None:
    assert model.word_head is not None and model.dense_memory is not None
    features = model.encode_image(model.normalize(batch()["frames"]))
    texts = [Letters().encode(["bar", "block"]), Letters().encode(["sky", "bar"])]
    key = model.dense_memory.memory_key(features)
    request, scores = text_request(model, features, key, model.word_head(features), texts)
    both = model.decode(features, request)
    assert both.mask_logits.shape == (2, 2, 1, 16, 16) and scores.shape == (2, 2, 8, 8)
    second = features.frames(slice(1, 2))
    key = model.dense_memory.memory_key(second)
    request, _ = text_request(model, second, key, model.word_head(second), texts[1:])
    alone = model.decode(second, request)
    torch.testing.assert_close(alone.mask_logits[0], both.mask_logits[1], atol=1e-4, rtol=1e-4)
    found, objectness = discover(model, second, Letters().encode_categories(NAMES), most=5)
    assert found.class_logits is not None and found.class_logits.shape[2] == 3
    assert found.mask_logits.shape[1] == len(objectness) <= 5
    assert (objectness.diff() <= 0).all()


def test_stage_words_leaves_the_other_weights_as_they_were(tmp_path: Path) -> None:
    """Trained for a step from a weights file, everything but the words is bit by bit what it was."""
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
            "stage.steps=1",
            "stage.minutes=null",
            "stage.size=32",
            "stage.batch_size=1",
            "stage.workers=0",
            "stage.losses.points=32",
            "device=cpu",
        ]
    )
    before, after = (load(tmp_path / name).state_dict() for name in ("start.safetensors", "run/tiny.safetensors"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("word_head.") for name in changed)
    assert all(name.startswith(("word_head.", "text_prompter.")) for name in changed)


def draws_of(step: WordStep, given: dict[str, Any], b: int, count: int = 300) -> list[tuple[str, Tensor]]:
    """So many texts that the step asks of image b, with the masks of what they mean."""
    rng, found = np.random.default_rng(0), []
    while len(found) < count:
        found += zip(*step._draw(given, b, rng), strict=True)
    return found


def meant(text: str) -> str:
    return "sky" if "clouds" in text else next(name for name in NAMES if name in text)


def test_names_mean_all_of_their_kind_and_expressions_one_object(model: UniVS) -> None:
    step, given = WordStep(model, Letters(), NAMES, WordLosses(texts=5)), batch()
    given["classes"][0, :6, :6] = 1  # more of the block's kind that is no object of its own
    kinds = {name: given["classes"][0] == number for number, name in enumerate(NAMES)}
    found = draws_of(step, given, 0)
    lower = [mask for text, mask in found if text == "the lower block"]
    assert 0.5 < len(lower) / len(found) < 0.7 and all(
        torch.equal(m, (given["objects"][0] == 2).float()) for m in lower
    )
    for text, mask in found:
        if text != "the lower block":
            assert torch.equal(mask, kinds[meant(text)].float())
    assert len(step._draw(given, 0, np.random.default_rng(0))[0]) == 5


def test_absent_things_are_asked_for_where_all_is_known(model: UniVS) -> None:
    """On image 0 all objects are labelled, not its stuff; on image 1 its stuff, not its objects."""
    step, given = WordStep(model, Letters(), NAMES, WordLosses(absent=0.3)), batch()
    given["expressions"] = []
    given["classes"][0][given["classes"][0] == 0] = 1  # no bar any more
    asked = [meant(text) for text, _ in draws_of(step, given, 0)]
    assert set(asked) == {"bar", "block"} and 0.2 < np.mean([name == "bar" for name in asked]) < 0.4
    assert not any(mask.any() for text, mask in draws_of(step, given, 0, 60) if meant(text) == "bar")
    given["stuffed"][0] = True
    assert {meant(text) for text, _ in draws_of(step, given, 0)} == {"bar", "block", "sky"}
    given["vocabulary"][0, 0] = False  # not told apart in that data set: who knows
    assert "bar" not in {meant(text) for text, _ in draws_of(step, given, 0)}
    given["complete"][0], given["stuffed"][0] = False, False
    assert {meant(text) for text, _ in draws_of(step, given, 0)} == {"block"}
    given["classes"][0] = NO_CLASS  # nothing is named: what is not there is all that can be asked
    given["vocabulary"][0] = torch.tensor([True, False, False])
    assert {meant(text) for text, _ in draws_of(step, given, 0, 30)} == {"bar"}


def test_what_a_phrase_may_mean_is_not_absent(model: UniVS) -> None:
    names = ("cat", "dog", "tree")
    step, given = WordStep(model, Letters(), names, WordLosses(absent=1.0)), batch()
    given["expressions"], given["stuff"] = [], torch.zeros(2, 3, dtype=torch.bool)
    given["classes"][0] = torch.where(given["classes"][0] == NO_CLASS, NO_CLASS, 0)
    texts = [text for text, mask in draws_of(step, given, 0, 60) if not mask.any()]
    assert len(texts) == 60 and all("dog" not in text and "puppy" not in text for text in texts), "an animal is there"


def test_texts_are_answered_by_all_layers_and_not_judged_where_nothing_is_known(
    model: UniVS, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, weights = batch(), []
    given["objects"][:, :8] = 255

    def prompt_losses(logits: Tensor, masks: Tensor, valid: Tensor, points: int, unknown: Tensor) -> dict[str, Tensor]:
        weights.append((logits, masks, points))
        assert valid.all() and valid.shape == (2, 3) and torch.equal(unknown[:, 0], given["objects"] == 255)
        return {"mask": torch.tensor([2.0 ** len(weights)]), "dice": torch.tensor([100.0 * 2 ** len(weights)])}

    monkeypatch.setattr(word_step, "prompt_losses", prompt_losses)
    found = WordStep(model, Letters(), NAMES, WordLosses(points=16, intermediate=0.1, prompt=0.5))(given, 1.0)
    layers = len(weights)  # the scores of cells, and each layer of the decoder from its start on
    assert layers == 5 and weights[0][0].shape == (1, 2, 3, 1, 8, 8) and weights[1][0].shape == (1, 2, 3, 1, 16, 16)
    assert all(points == 16 and torch.equal(masks, weights[0][1]) for _, masks, points in weights)
    want = 101 * (0.1 * sum(2.0**i for i in range(1, layers)) + 2.0**layers)
    assert float(found["prompt"].detach()) == pytest.approx(0.5 * want, rel=1e-5)


def test_masks_of_other_texts_count_where_they_lie_elsewhere(model: UniVS) -> None:
    """Against a loop: pairs whose masks share a tenth or more are left open, and masks of less than half a cell."""
    torch.manual_seed(0)
    assert model.word_head is not None
    masks = torch.zeros(2, 3, 32, 32)
    masks[0, 0, :16], masks[0, 1, 12:28], masks[0, 2, 30:, 30:] = 1, 1, 1
    masks[1, 0, :, :8], masks[1, 1, :, 8:], masks[1, 2] = 1, 1, 1
    cells = WordCells(torch.randn(2, 24, 4, 4), torch.zeros(2, 4, 4), torch.zeros(2, 4, 4, 4))
    texts = torch.randn(2, 3, 24)
    terms = []
    for b in range(2):
        small = torch.nn.functional.avg_pool2d(masks[b], 8)
        one = WordCells(cells.words[b : b + 1], cells.objectness[b : b + 1], cells.reach[b : b + 1])
        logits = model.word_head.score_masks(one, small[None], texts[b])[0]
        for n in range(3):
            for m in range(3):
                size = float(small[n].sum())
                if size <= 0.5 or (n != m and float((small[n] * small[m]).sum()) / size >= 0.1):
                    continue
                sign = 1 if n == m else -1
                terms.append(torch.nn.functional.softplus(-sign * logits[n, m]))
    assert 6 < len(terms) < 14
    torch.testing.assert_close(fit_losses(model.word_head, cells, masks, texts), torch.stack(terms).mean())


def test_each_weight_scales_its_own_loss(model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    assert WordLosses() == WordLosses(1.0, 1.0, 1.0, 1.0, 0.5, 3, 0.15, 60, 512, 0.2)
    found = []
    for weights in (WordLosses(1, 1, 1, 1, 1, points=16), WordLosses(2, 3, 4, 5, 6, points=16)):
        torch.manual_seed(0)
        with torch.no_grad():
            found.append(WordStep(model, Letters(), NAMES, weights)(batch(), 1.0))
    for name, factor in zip(("boxes", "names", "cells", "prompt", "fit"), (2, 3, 4, 5, 6), strict=True):
        torch.testing.assert_close(found[1][name], factor * found[0][name], rtol=1e-4, atol=1e-5)
        assert float(found[0][name]) > 0
