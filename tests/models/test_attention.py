from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from univs.models.attention import (
    Attention,
    FeedForward,
    ImageCrossAttention,
    PromptCrossAttention,
    SeparatedSelfAttention,
)
from univs.models.features import SelfAttentionKind

DIM, HEADS = 8, 2


def reference(attention: Attention, query: Tensor, key: Tensor, value: Tensor, blocked: Tensor | None = None) -> Tensor:
    """torch's own multi-head attention with the same weights; `blocked` is Q x L."""
    theirs = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(attention.in_proj.weight)
        theirs.in_proj_bias.copy_(attention.in_proj.bias)
        theirs.out_proj.load_state_dict(attention.out_proj.state_dict())
    return theirs(query, key, value, attn_mask=blocked)[0]


def with_random_biases(layer: nn.Module) -> nn.Module:
    for name, parameter in layer.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    return layer


def test_attention_equals_torchs() -> None:
    torch.manual_seed(0)
    attention = Attention(DIM, HEADS)
    with_random_biases(attention)
    query, key, value = torch.randn(2, 3, DIM), torch.randn(2, 5, DIM), torch.randn(2, 5, DIM)
    assert torch.allclose(attention(query, key, value), reference(attention, query, key, value), atol=1e-6)


def test_a_row_whose_mask_is_empty_attends_everywhere() -> None:
    torch.manual_seed(0)
    layer = ImageCrossAttention(DIM, HEADS)
    query, position = torch.randn(1, 2, DIM), torch.randn(1, 2, DIM)
    key, value = torch.randn(1, 6, DIM), torch.randn(1, 6, DIM)
    allowed = torch.tensor([[[False] * 6, [True, False, True, False, False, False]]])
    projected = layer.project(key, value)
    out = layer(query, position, *projected, allowed)
    everywhere = layer(query, position, *projected, torch.ones_like(allowed))
    two = reference(layer.attention, query + position, key[:, [0, 2]], value[:, [0, 2]])
    assert torch.allclose(out[:, 0], everywhere[:, 0], atol=1e-6)
    assert torch.allclose(out[:, 1], layer.norm(query + two)[:, 1], atol=1e-6)


@pytest.mark.parametrize("token_frames", [1, 3])
def test_proca_is_attention_to_oneself_and_the_own_tokens(token_frames: int) -> None:
    torch.manual_seed(0)
    layer = PromptCrossAttention(DIM, HEADS)
    with_random_biases(layer)
    query, position = torch.randn(2, 2, 3, DIM), torch.randn(2, 2, 3, DIM)
    tokens, places = torch.randn(2, 2, token_frames, 4, DIM), torch.randn(2, 2, token_frames, 4, DIM)
    out = layer(query, position, tokens, places, None)
    for b in range(2):
        for n in range(2):
            for t in range(3):
                own, place = query[b, n, t][None, None], position[b, n, t][None, None]
                source = min(t, token_frames - 1)
                value = torch.cat([own, tokens[b, n, source][None]], 1)
                key = value + torch.cat([place, places[b, n, source][None]], 1)
                expected = layer.norm(own + reference(layer.attention, own + place, key, value))
                assert torch.allclose(out[b, n, t], expected[0, 0], atol=1e-6)


def test_proca_ignores_tokens_that_do_not_take_part() -> None:
    torch.manual_seed(0)
    layer = PromptCrossAttention(DIM, HEADS)
    query, position = torch.randn(1, 2, 1, DIM), torch.randn(1, 2, 1, DIM)
    tokens, places = torch.randn(1, 2, 1, 4, DIM), torch.randn(1, 2, 1, 4, DIM)
    valid = torch.tensor([[True, True, False, False], [False] * 4])[None, :, None]
    out = layer(query, position, tokens, places, valid)
    short = layer(query[:, :1], position[:, :1], tokens[:, :1, :, :2], places[:, :1, :, :2], None)
    assert torch.allclose(out[:, 0], short[:, 0], atol=1e-6)
    alone = layer(query[:, 1:], position[:, 1:], tokens[:, 1:, :, :0], places[:, 1:, :, :0], None)
    assert torch.allclose(out[:, 1], alone[:, 0], atol=1e-6)


def test_text_tokens_have_no_positions() -> None:
    torch.manual_seed(0)
    layer = PromptCrossAttention(DIM, HEADS)
    query, tokens = torch.randn(1, 1, 1, DIM), torch.randn(1, 1, 1, 4, DIM)
    placed = layer(query, torch.randn(1, 1, 1, DIM), tokens, None, None)
    assert torch.equal(placed, layer(query, torch.zeros(1, 1, 1, DIM), tokens, None, None))


def blocked_pairs(learnable: int, objects: int, frames: int, kind: str) -> Tensor:
    """The official mask over all (query, frame) pairs, True = blocked."""
    query = torch.arange(learnable + objects).repeat_interleave(frames)
    prompt = query >= learnable
    asking, asked = prompt[:, None], prompt[None, :]
    if kind == "all":
        return torch.zeros(len(query), len(query), dtype=torch.bool)
    blocked = ~asking & asked
    if kind == "sep":
        return blocked | (asking & ~asked)
    if kind == "sep-blocked":
        return blocked | (asking & (query[:, None] != query[None, :]))
    return blocked


@pytest.mark.parametrize("kind", get_args(SelfAttentionKind))
def test_separated_self_attention_equals_one_masked_attention(kind: SelfAttentionKind) -> None:
    torch.manual_seed(0)
    layer = SeparatedSelfAttention(DIM, HEADS)
    with_random_biases(layer)
    query, position = torch.randn(2, 5, 3, DIM), torch.randn(2, 5, 3, DIM)
    flat, placed = query.flatten(1, 2), (query + position).flatten(1, 2)
    seen = reference(layer.attention, placed, placed, flat, blocked_pairs(2, 3, 3, kind))
    assert torch.allclose(layer(query, position, 2, kind).flatten(1, 2), layer.norm(flat + seen), atol=1e-5)


def test_streams_do_not_depend_on_each_other() -> None:
    torch.manual_seed(0)
    layer = SeparatedSelfAttention(DIM, HEADS)
    query, position = torch.randn(1, 5, 2, DIM), torch.randn(1, 5, 2, DIM)
    both = layer(query, position, 2, "sep")
    assert torch.allclose(both[:, :2], layer(query[:, :2], position[:, :2], 2, "sep"), atol=1e-6)
    assert torch.allclose(both[:, 2:], layer(query[:, 2:], position[:, 2:], 0, "sep"), atol=1e-6)


def test_feed_forward_by_hand() -> None:
    layer = FeedForward(2, 3)
    with torch.no_grad():
        layer.linear1.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [1, 1]]))
        layer.linear1.bias.zero_()
        layer.linear2.weight.copy_(torch.tensor([[1.0, 1, 0], [0, 0, 2]]))
        layer.linear2.bias.zero_()
    # (3, -1) -> hidden (3, 0, 2) -> (3, 4) -> sum (6, 3) -> normalised (1, -1)
    assert torch.allclose(layer(torch.tensor([[3.0, -1]])), torch.tensor([[1.0, -1]]), atol=1e-4)
