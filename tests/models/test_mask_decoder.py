from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from univs.models import (
    DecodeRequest,
    ImageFeatures,
    Prediction,
    PromptQueries,
    PromptTokens,
    UniVS,
    build_model,
)
from univs.models.draws import TorchDraws
from univs.models.mask_decoder import shrink

DIM = 32


def random_prompts(objects: int, seed: int = 0, length: int = 5, frames: int = 1) -> PromptQueries:
    g = torch.Generator().manual_seed(seed)

    def rows(*shape: int) -> Tensor:
        return torch.randn(*shape, DIM, generator=g)

    valid = torch.ones(1, objects, 1, length, dtype=torch.bool)
    return PromptQueries(
        rows(1, objects, frames),
        rows(1, objects, frames),
        rows(1, objects, 1, length),
        rows(1, objects, 1, length),
        valid,
    )


def select(prompts: PromptQueries, order: list[int]) -> PromptQueries:
    assert prompts.token_positions is not None and prompts.token_valid is not None
    return PromptQueries(
        prompts.query[:, order],
        prompts.position[:, order],
        prompts.tokens[:, order],
        prompts.token_positions[:, order],
        prompts.token_valid[:, order],
    )


def same(a: Prediction, b: Prediction) -> bool:
    return torch.allclose(a.mask_logits, b.mask_logits, atol=1e-5) and torch.allclose(
        a.embeddings, b.embeddings, atol=1e-5
    )


def test_rows_are_learnable_then_prompts_and_do_not_depend_on_each_other(
    small_model: UniVS, random_features: ImageFeatures
) -> None:
    clip, prompts = random_features.frames(slice(0, 3)), random_prompts(2, frames=3)
    both = small_model.decode(clip, DecodeRequest(prompts, clip_length=3, learnable=True))
    assert both.mask_logits.shape == (1, 6, 3, 16, 24) and both.embeddings.shape == (1, 6, 3, DIM)
    assert both.class_logits is None
    first = Prediction(both.mask_logits[:, :4], both.embeddings[:, :4], None)
    last = Prediction(both.mask_logits[:, 4:], both.embeddings[:, 4:], None)
    assert same(first, small_model.decode(clip, DecodeRequest(clip_length=3, learnable=True)))
    assert same(last, small_model.decode(clip, DecodeRequest(prompts, clip_length=3)))


def test_learnable_masks_are_left_out_and_nothing_else_changes(
    small_model: UniVS, random_features: ImageFeatures
) -> None:
    clip, prompts = random_features.frames(slice(0, 3)), random_prompts(2, frames=3)
    whole = small_model.decode(clip, DecodeRequest(prompts, clip_length=3, learnable=True, self_attention="sep-l2p"))
    part = small_model.decode(
        clip, DecodeRequest(prompts, clip_length=3, learnable=True, learnable_masks=False, self_attention="sep-l2p")
    )
    assert same(part, Prediction(whole.mask_logits[:, 4:], whole.embeddings, None))


def test_permuting_objects_permutes_results(small_model: UniVS, random_features: ImageFeatures) -> None:
    frame, prompts, order = random_features.frames(slice(0, 1)), random_prompts(3), [2, 0, 1]
    dense = torch.randn(1, 3, 8, 16, 24)
    out = small_model.decode(frame, DecodeRequest(prompts, dense=dense))
    permuted = small_model.decode(frame, DecodeRequest(prompts=select(prompts, order), dense=dense[:, order]))
    assert same(Prediction(out.mask_logits[:, order], out.embeddings[:, order], None), permuted)


def test_blocked_objects_do_not_depend_on_each_other(small_model: UniVS, random_features: ImageFeatures) -> None:
    frame, prompts = random_features.frames(slice(0, 1)), random_prompts(3)
    out = small_model.decode(frame, DecodeRequest(prompts, self_attention="sep-blocked"))
    alone = small_model.decode(frame, DecodeRequest(prompts=select(prompts, [1]), self_attention="sep-blocked"))
    assert same(Prediction(out.mask_logits[:, 1:2], out.embeddings[:, 1:2], None), alone)


def test_clips_of_a_batch_do_not_depend_on_each_other(small_model: UniVS, random_features: ImageFeatures) -> None:
    clips = [random_prompts(2, seed=1, length=5, frames=2), random_prompts(2, seed=2, length=3, frames=2)]
    batch = small_model.decode(
        random_features, DecodeRequest(clip_length=2, prompts=PromptQueries.batch(clips), learnable=True)
    )
    for i, prompts in enumerate(clips):
        own = random_features.frames(slice(2 * i, 2 * i + 2))
        alone = small_model.decode(own, DecodeRequest(prompts, clip_length=2, learnable=True))
        assert same(Prediction(batch.mask_logits[i : i + 1], batch.embeddings[i : i + 1], None), alone)


def test_dense_residual_is_added_to_the_mask_features(small_model: UniVS, random_features: ImageFeatures) -> None:
    frame, prompts = random_features.frames(slice(0, 1)), random_prompts(2)
    dense = torch.randn(1, 2, 8, 16, 24)
    out = small_model.decode(frame, DecodeRequest(prompts, dense=dense, learnable=True))
    embedding = small_model.mask_decoder.mask_embedding(out.embeddings)[:, :, 0]  # B Q' Cm
    plain = torch.einsum("bqc,bchw->bqhw", embedding[:, :4], frame.mask_features)
    summed = torch.einsum("bqc,bqchw->bqhw", embedding[:, 4:], frame.mask_features[:, None] + dense)
    assert torch.allclose(out.mask_logits[:, :, 0], torch.cat([plain, summed], 1), atol=1e-4)
    # the same residual for all objects is the same as other mask features, in the attention masks too
    shifted = replace(frame, mask_features=frame.mask_features + dense[:, 0])
    equal = small_model.decode(frame, DecodeRequest(prompts, dense=dense[:, :1].expand(-1, 2, -1, -1, -1)))
    assert same(equal, small_model.decode(shifted, DecodeRequest(prompts)))


def test_logits_of_shrunk_features_are_shrunk_logits() -> None:
    torch.manual_seed(0)
    features, embedding = torch.randn(1, 8, 16, 24), torch.randn(3, 8)
    logits = torch.einsum("qc,bchw->bqhw", embedding, features)
    for size in ((2, 3), (4, 6), (8, 12)):
        small = torch.einsum("qc,bchw->bqhw", embedding, shrink(features, size))
        assert torch.allclose(small, F.interpolate(logits, size=size, mode="bilinear"), atol=1e-5)


def test_all_predictions_end_with_the_last(small_model: UniVS, random_features: ImageFeatures) -> None:
    frame, prompts = random_features.frames(slice(0, 1)), random_prompts(2)
    every = small_model.decode_layers(frame, DecodeRequest(prompts))
    assert len(every) == 4
    assert same(every[-1], small_model.decode(frame, DecodeRequest(prompts)))
    # before layer 0 a prompt row is what the first ProCA made of it
    first = small_model.mask_decoder._prompt(0, prompts.query, prompts.position, prompts)
    assert torch.allclose(every[0].embeddings, small_model.mask_decoder.norm(first), atol=1e-6)


class RecordedDraws(TorchDraws):
    """Draws that remember their permutations."""

    def __init__(self) -> None:
        super().__init__(torch.Generator().manual_seed(1))
        self.orders: list[Tensor] = []

    def permutation(self, length: int) -> Tensor:
        self.orders.append(super().permutation(length))
        return self.orders[-1]


def test_shuffled_mask_weights_make_masks_and_say_where_to_look(
    small_model: UniVS, random_features: ImageFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clips of three frames: as if the weights themselves were permuted, anew for each prediction."""
    features, draws = random_features.frames(torch.arange(6) % 2), RecordedDraws()
    request = DecodeRequest(PromptQueries.batch([random_prompts(2, n, frames=3) for n in (0, 1)]), True, clip_length=3)
    found = small_model.decode_layers(features, replace(request, shuffle=draws))
    assert len(draws.orders) == len(found) == 4 and len({tuple(order.tolist()) for order in draws.orders}) > 1
    decoder = small_model.mask_decoder
    maps = features.mask_features.unflatten(0, (2, 3))
    for prediction, order in zip(found, draws.orders, strict=True):
        weights = decoder.mask_embedding(prediction.embeddings)[:, :, order]
        assert torch.allclose(prediction.mask_logits, torch.einsum("bqtc,btchw->bqthw", weights, maps), atol=1e-4)
    plain, orders = decoder._embed, iter(draws.orders)
    monkeypatch.setattr(decoder, "_embed", lambda *given: plain(*given)[:, :, next(orders)])
    assert all(same(one, other) for one, other in zip(found, small_model.decode_layers(features, request), strict=True))


def test_class_logits_are_scaled_cosines_meaned_over_time(small_model: UniVS, random_features: ImageFeatures) -> None:
    names = torch.randn(5, 12)
    out = small_model.decode(random_features, DecodeRequest(clip_length=4, learnable=True, class_embeddings=3 * names))
    projected = small_model.mask_decoder.class_projection(out.embeddings)  # B Q T D
    cosine = torch.stack([F.cosine_similarity(projected, name, dim=-1) for name in names], dim=-1).mean(2)
    assert out.class_logits is not None
    assert torch.allclose(out.class_logits, cosine / 0.07, atol=1e-4)


def test_what_is_added_to_all_keys_of_a_frame_cancels(small_model: UniVS) -> None:
    # why the time of a frame, which official code adds to the keys of the image, is left out of them
    torch.manual_seed(0)
    layer = small_model.mask_decoder.image_attention[0]
    query, key, value = torch.randn(1, 3, DIM), torch.randn(1, 6, DIM), torch.randn(1, 6, DIM)
    allowed = torch.rand(1, 3, 6) > 0.4
    out = [layer(query, query, key + shift, value, allowed) for shift in (0, torch.randn(DIM))]
    assert torch.allclose(out[0], out[1], atol=1e-5)


def test_time_distinguishes_prompt_tokens_where_asked(
    small_config: dict[str, Any], random_features: ImageFeatures
) -> None:
    frame = random_features.frames(slice(0, 1))
    for time, equal in (("none", True), ("fixed", True), ("arbitrary", False)):
        model = build_model({**small_config, "mask_decoder": {**small_config["mask_decoder"], "time": time}})
        early, late = (model.encode_boxes(frame, torch.tensor([[8.0, 8, 60, 60]]), frame_index=k) for k in (0, 50))
        assert torch.equal(early.features, late.features)
        assert torch.allclose(early.positions, late.positions) is equal


def test_blank_tokens_take_part_only_officially(small_config: dict[str, Any], random_features: ImageFeatures) -> None:
    frame = random_features.frames(slice(0, 1))
    tokens = PromptTokens(torch.randn(1, 4, DIM), torch.randn(1, 4, DIM), torch.ones(1, 4, dtype=torch.bool))
    zeros = torch.zeros(1, 4, DIM)
    blank = PromptTokens(zeros, zeros, torch.zeros(1, 4, dtype=torch.bool))
    for kind, equal in (("masked", True), ("attended", False)):
        torch.manual_seed(0)
        mask_decoder = {**small_config["mask_decoder"], "blank_tokens": kind}
        model = build_model({**small_config, "mask_decoder": mask_decoder}).eval()
        short, padded = (
            model.decode(frame, DecodeRequest(prompts=model.prompt_queries(memory, initial=[tokens])))
            for memory in ([tokens], [tokens, blank])
        )
        assert same(short, padded) is equal


def test_without_layers_rows_stay_what_they_start_as(
    small_config: dict[str, Any], random_features: ImageFeatures
) -> None:
    torch.manual_seed(0)
    mask_decoder = {**small_config["mask_decoder"], "layers": 0}
    decoder = (model := build_model({**small_config, "mask_decoder": mask_decoder}).eval()).mask_decoder
    frame, prompts = random_features.frames(slice(0, 1)), random_prompts(2)
    dense = torch.randn(1, 2, 8, 16, 24)
    out = model.decode(frame, DecodeRequest(prompts, dense=dense, learnable=True))
    rows = torch.cat([decoder.query, prompts.query[0, :, 0]])
    torch.testing.assert_close(out.embeddings[0, :, 0], decoder.norm(rows))
    weights = decoder.mask_embedding(decoder.norm(prompts.query[0, :, 0]))
    wanted = torch.einsum("qc,qchw->qhw", weights, frame.mask_features + dense[0])
    torch.testing.assert_close(out.mask_logits[0, len(decoder.query) :, 0], wanted, atol=1e-4, rtol=1e-4)


def test_initial_query_is_the_mean_of_valid_tokens(small_model: UniVS) -> None:
    g = torch.Generator().manual_seed(0)
    valid = torch.tensor([[True, True, False], [False] * 3])
    values, places = (torch.randn(2, 3, DIM, generator=g) * valid[..., None] for _ in range(2))
    prompts = small_model.prompt_queries([PromptTokens(values, places, valid)])
    sot = small_model.visual_sampler.prompt_sot[0]
    assert torch.allclose(prompts.query[0, 0, 0], values[0, :2].mean(0) + sot, atol=1e-6)
    assert torch.allclose(prompts.position[0, 0, 0], places[0, :2].mean(0), atol=1e-6)
    assert torch.equal(prompts.query[0, 1, 0], sot) and not prompts.position[0, 1, 0].any()


def test_gradient_reaches_every_parameter(small_model: UniVS) -> None:
    model = small_model.train()
    features = model.encode_image(model.normalize(torch.randint(0, 255, (1, 3, 60, 90))))
    tokens = [
        model.encode_masks(features, torch.ones(1, 64, 96)),
        model.encode_boxes(features, torch.tensor([[8.0, 8, 60, 60]])),
        model.encode_points(features, torch.tensor([[[20.0, 20], [50, 50]]]), torch.tensor([[1, 0]])),
    ]
    predictions = model.decode_layers(
        features,
        DecodeRequest(prompts=model.prompt_queries(tokens), learnable=True, class_embeddings=torch.randn(3, 12)),
    )
    loss = torch.stack([p.mask_logits.square().mean() for p in predictions]).sum()
    for prediction in predictions:
        assert prediction.class_logits is not None
        loss = loss + prediction.class_logits.square().mean()
    loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_training_works_after_inference_of_the_same_size(small_model: UniVS) -> None:
    frames = torch.randint(0, 255, (1, 3, 96, 128))
    with torch.inference_mode():
        features = small_model.encode_image(small_model.normalize(frames))
        small_model.encode_masks(features, torch.ones(1, 96, 128))
        small_model.decode(features, DecodeRequest(learnable=True))
    features = small_model.encode_image(small_model.normalize(frames))
    prompts = small_model.prompt_queries([small_model.encode_masks(features, torch.ones(1, 96, 128))])
    small_model.decode(features, DecodeRequest(prompts, learnable=True)).mask_logits.sum().backward()


def test_what_does_not_fit_is_an_error(small_model: UniVS, random_features: ImageFeatures) -> None:
    with pytest.raises(ValueError, match="do not divide into clips of 3"):
        small_model.decode(random_features, DecodeRequest(clip_length=3, learnable=True))
    with pytest.raises(ValueError, match="1 objects do not divide into 4 frames"):
        small_model.encode_masks(random_features, torch.ones(1, 64, 96))


def test_requests_that_nothing_can_answer_are_not_made() -> None:
    prompts, dense = random_prompts(1), torch.zeros(1, 1, 8, 16, 24)
    with pytest.raises(ValueError, match="nothing to decode"):
        DecodeRequest(clip_length=3)
    with pytest.raises(ValueError, match="clips of one frame"):
        DecodeRequest(prompts, clip_length=2, dense=dense)
    with pytest.raises(ValueError, match="unknown self attention 'some': one of sep, sep-blocked, sep-l2p, all"):
        DecodeRequest(prompts, self_attention="some")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown grounding blend 'some': one of none, best_learnable"):
        DecodeRequest(prompts, learnable=True, grounding_blend="some")  # type: ignore[arg-type]
    both: dict[str, Any] = {"prompts": prompts, "learnable": True}
    for some in ({"prompts": prompts}, {"learnable": True}, {**both, "dense": dense}):
        with pytest.raises(ValueError, match="takes learnable queries and prompts, and no dense memory"):
            DecodeRequest(**some, grounding_blend="best_learnable")
    assert DecodeRequest(**both, grounding_blend="best_learnable").clip_length == 1


def test_frames_prepared_one_by_one_decode_as_a_clip(small_model: UniVS, random_features: ImageFeatures) -> None:
    """What a frame gives the decoder is made once and serves every clip that the frame is in."""
    prompts = random_prompts(2, frames=3)
    inputs = [small_model.prepare(random_features.frames(slice(index, index + 1))) for index in range(4)]
    for start in (0, 1):
        together = random_features.frames(slice(start, start + 3))
        clip = small_model.decode(together, DecodeRequest(prompts, clip_length=3, learnable=True))
        apart = small_model.decode(inputs[start : start + 3], DecodeRequest(prompts, clip_length=3, learnable=True))
        assert same(clip, apart)
    with pytest.raises(ValueError, match="4 frames do not divide into clips of 3"):
        small_model.decode(inputs, DecodeRequest(prompts, clip_length=3))


def test_pieces_decode_as_a_clip_without_gradients_and_in_another_precision(
    small_model: UniVS, random_features: ImageFeatures
) -> None:
    prompts, together = random_prompts(2, frames=3), random_features.frames(slice(0, 3))
    for enabled in (False, True):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            inputs = [small_model.prepare(random_features.frames(slice(index, index + 1))) for index in range(3)]
            clip = small_model.decode(together, DecodeRequest(prompts, clip_length=3, learnable=True))
            apart = small_model.decode(inputs, DecodeRequest(prompts, clip_length=3, learnable=True))
        assert apart.mask_logits.dtype == clip.mask_logits.dtype
        assert torch.allclose(clip.mask_logits.float(), apart.mask_logits.float(), atol=0.2 if enabled else 1e-5)
