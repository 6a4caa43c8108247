"""The small text encoder that ships: all-MiniLM-L6-v2, a BERT of six layers, its weights stored in 8 bits with scales.

The network is BERT (Devlin et al. 2018) in post-norm with exact GELU; a sentence is the mean of its tokens' features,
L2 normalised (Sentence-BERT, Reimers & Gurevych 2019). `tools/make_sentence_encoder.py` makes the files it reads.

Shapes: N texts, L tokens of a text ([CLS] and [SEP] among them), D = 384 channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.errors import UserError
from univs.models.features import TextFeatures
from univs.vocabularies import plain_name

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.implementations import BertWordPieceTokenizer

FOLDER = Path(__file__).resolve().parents[1] / "weights" / "words"
LAYERS, DIM, HEADS, HIDDEN, WORDS, LONGEST = 6, 384, 12, 1536, 30522, 256
NORM_EPS = 1e-12
GROUP = 64
"""Columns of a linear layer that share a scale; the word embedding has one scale a row."""
BATCH = 128
"""Texts that pass the network at once."""


class SentenceEncoder(nn.Module):
    """A frozen `TextEncoder` of sentences and names. Texts of more than 256 tokens are cut, unknown ones spelled out.

    Build it with `load_sentence_encoder`.
    """

    dim = DIM

    def __init__(self, tokenizer: Tokenizer | BertWordPieceTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.words = RowEmbedding(WORDS, DIM)
        self.positions = nn.Parameter(torch.empty(LONGEST, DIM), requires_grad=False)
        self.norm = nn.LayerNorm(DIM, eps=NORM_EPS)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Features of N texts; `word_mask` leaves the padding out, `sentence` has length 1."""
        if not texts:
            empty = self.positions.new_zeros(0, 1, DIM)
            return TextFeatures(empty, empty[..., 0].bool(), empty[:, 0])
        parts = [self._encode(list(texts[start : start + BATCH])) for start in range(0, len(texts), BATCH)]
        return TextFeatures.cat(parts)

    def encode_categories(self, names: Sequence[str]) -> Tensor:
        """Class embeddings K D of length 1: each name, as a person would say it, is a sentence of its own."""
        return self.encode([plain_name(name) for name in names]).sentence

    def _encode(self, texts: list[str]) -> TextFeatures:
        rows = self.tokenizer.encode_batch(texts)
        device = self.positions.device
        ids = torch.tensor([row.ids for row in rows], device=device)
        mask = torch.tensor([row.attention_mask for row in rows], device=device).bool()
        x = self.norm(self.words(ids) + self.positions[: ids.shape[1]])
        for layer in self.layers:
            x = layer(x, mask[:, None, None])
        summed = (x * mask[..., None]).sum(1)
        return TextFeatures(x, mask, F.normalize(summed, dim=-1))  # the mean and the sum have one direction


class Layer(nn.Module):
    """Self-attention and feed-forward, each residual and post-norm."""

    def __init__(self) -> None:
        super().__init__()
        self.query_key_value = nn.Linear(DIM, 3 * DIM)
        self.attention_out = nn.Linear(DIM, DIM)
        self.attention_norm = nn.LayerNorm(DIM, eps=NORM_EPS)
        self.hidden = nn.Linear(DIM, HIDDEN)
        self.out = nn.Linear(HIDDEN, DIM)
        self.norm = nn.LayerNorm(DIM, eps=NORM_EPS)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """N L D, and N 1 1 L bool where there are tokens to attend to."""
        q, k, v = self.query_key_value(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
        x = self.attention_norm(x + self.attention_out(seen))
        return self.norm(x + self.out(F.gelu(self.hidden(x))))


class RowEmbedding(nn.Module):
    """An embedding that stays in 8 bits in memory too; only the rows looked up are spread out."""

    rows: Tensor
    scale: Tensor

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.empty(count, dim, dtype=torch.int8))
        self.register_buffer("scale", torch.empty(count, 1))

    def forward(self, ids: Tensor) -> Tensor:
        return self.rows[ids] * self.scale[ids]


def load_sentence_encoder(folder: Path = FOLDER) -> SentenceEncoder:
    """The encoder in eval mode, on the CPU. Raises UserError for missing or damaged files."""
    path, vocabulary = folder / "minilm.safetensors", folder / "vocabulary.txt"
    try:
        words = {word: number for number, word in enumerate(vocabulary.read_text(encoding="utf-8").splitlines())}
        with safetensors.safe_open(path, framework="pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, UnicodeDecodeError, safetensors.SafetensorError) as error:
        raise UserError(
            f"cannot read the words of the built-in model in {folder}: {error}; install univs again"
        ) from error
    from tokenizers.implementations import BertWordPieceTokenizer

    tokenizer = BertWordPieceTokenizer(words, lowercase=True)
    tokenizer.enable_truncation(LONGEST)
    tokenizer.enable_padding(pad_id=words["[PAD]"], pad_token="[PAD]")
    with torch.device("meta"):  # no time spent on initial weights
        encoder = SentenceEncoder(tokenizer)
    try:
        encoder.load_state_dict(_spread(stored), assign=True)
    except RuntimeError as error:
        raise UserError(f"{path} is not the file of this version of univs: install univs again") from error
    return encoder.eval().requires_grad_(False)


def _spread(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices `NAME` stored as `NAME.rows` and `NAME.scale`, multiplied out; the word embedding stays in 8 bits."""
    state = {}
    for name, tensor in stored.items():
        base, _, part = name.rpartition(".")
        if part not in ("rows", "scale") or base == "words":
            state[name] = tensor.float() if tensor.is_floating_point() else tensor
        elif part == "rows":
            scale = stored[f"{base}.scale"].float()
            state[base] = (tensor.view(len(scale), -1) * scale).view(tensor.shape)
    return state
