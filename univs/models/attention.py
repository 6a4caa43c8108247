"""The four kinds of layer of the mask decoder, one class each; all residual and post-norm.

Shapes: B batch (whatever is attended independently), Q queries, L keys, C channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from univs.models.features import SelfAttentionKind


class Attention(nn.Module):
    """Multi-head attention whose three input projections can be called apart, so that keys and values can be shared.

    Args:
        dim: channels C.
        heads: number of heads; divides `dim`.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"{dim} channels do not divide into {heads} heads")
        self.dim, self.heads = dim, heads
        self.in_proj = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj.weight)
        nn.init.zeros_(self.in_proj.bias)
        nn.init.xavier_uniform_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)

    def project_query(self, query: Tensor) -> Tensor:
        return self._project(query, 0)

    def project_key(self, key: Tensor) -> Tensor:
        return self._project(key, 1)

    def project_value(self, value: Tensor) -> Tensor:
        return self._project(value, 2)

    def _project(self, x: Tensor, part: int) -> Tensor:
        rows = slice(part * self.dim, (part + 1) * self.dim)
        return F.linear(x, self.in_proj.weight[rows], self.in_proj.bias[rows])

    def attend(self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Attention of projected inputs.

        Args:
            query: B Q C.
            key, value: B L C.
            allowed: B Q L or B 1 L bool, True = attended, the same for all heads; every row needs a True.
        Returns:
            B Q C.
        """
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (query, key, value))
        mask = None if allowed is None else allowed.unsqueeze(1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(out.transpose(1, 2).flatten(2))

    def forward(self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None = None) -> Tensor:
        """`attend` of inputs that are not projected yet."""
        return self.attend(self.project_query(query), self.project_key(key), self.project_value(value), allowed)


class PromptCrossAttention(nn.Module):
    """ProCA: each prompt query attends to itself and to its own prompt tokens (UniVS, section 3.3)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(dim, heads)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        query: Tensor,
        position: Tensor,
        tokens: Tensor,
        token_positions: Tensor | None,
        token_valid: Tensor | None,
    ) -> Tensor:
        """Attend.

        Args:
            query, position: B N T C.
            tokens, token_positions: B N Tt L C with Tt = T or 1; without positions the query's is not used either.
            token_valid: B N Tt L bool, the tokens that take part; None = all.
        Returns:
            B N T C.
        """
        batch, objects, frames, dim = query.shape
        attention = self.attention
        placed = query if token_positions is None else query + position
        token_keys = tokens if token_positions is None else tokens + token_positions

        def keys_of(own: Tensor, shared: Tensor) -> Tensor:
            rows = torch.cat([own.unsqueeze(3), shared.expand(-1, -1, frames, -1, -1)], dim=3)
            return rows.reshape(batch * objects * frames, -1, dim)

        key = keys_of(attention.project_key(placed), attention.project_key(token_keys))
        value = keys_of(attention.project_value(query), attention.project_value(tokens))
        allowed = None
        if token_valid is not None:
            valid = F.pad(token_valid, (1, 0), value=True).expand(-1, -1, frames, -1)
            allowed = valid.reshape(batch * objects * frames, 1, -1)
        rows = attention.project_query(placed).reshape(-1, 1, dim)
        return self.norm(query + attention.attend(rows, key, value, allowed).view(query.shape))


class ImageCrossAttention(nn.Module):
    """Masked cross attention to one feature level of the frame a query belongs to (Mask2Former, eq. 2)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(dim, heads)
        self.norm = nn.LayerNorm(dim)

    def project(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values for `forward`: F hw C with level and position embedding, and with level embedding alone."""
        return self.attention.project_key(key), self.attention.project_value(value)

    def forward(self, query: Tensor, position: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> Tensor:
        """Attend.

        Args:
            query, position: F Q C, one row of queries per frame.
            key, value: F hw C, from `project`.
            allowed: F Q hw bool, True = inside the predicted mask; a row without any True attends everywhere.
        Returns:
            F Q C.
        """
        allowed = allowed | ~allowed.any(-1, keepdim=True)
        asked = self.attention.project_query(query + position)
        return self.norm(query + self.attention.attend(asked, key, value, allowed))


class SeparatedSelfAttention(nn.Module):
    """Self attention over all (query, frame) pairs of a clip, the learnable and the prompt stream kept apart.

    Kinds, by what the prompt queries see (UniVS, section 3.4, and its released settings):
        "sep": all prompt queries; "sep-blocked": only the own copies on the other frames;
        "sep-l2p": everything; "all": everything, and the learnable queries see the prompt queries too.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(dim, heads)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        query: Tensor,
        position: Tensor,
        learnable: int,
        kind: SelfAttentionKind,
        present: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            query, position: B Q T C, the first `learnable` rows are the learnable queries.
            kind: what the prompt queries see.
            present: B N bool, the prompt rows that are seen; None = all. Where none is, all are.
        Returns:
            B Q T C.
        """
        placed = query + position
        q, k = self.attention.project_query(placed), self.attention.project_key(placed)
        v = self.attention.project_value(query)
        rows = query.shape[1]
        ours, theirs, everything = slice(0, learnable), slice(learnable, rows), slice(0, rows)
        seen = None
        if present is not None:
            seen = F.pad(present | ~present.any(1, keepdim=True), (learnable, 0), value=True)
        out = []
        if learnable:
            out.append(self._between(q, k, v, ours, everything if kind == "all" else ours, seen))
        if rows > learnable and kind == "sep-blocked":
            own = [x[:, theirs].flatten(0, 1) for x in (q, k, v)]  # B*N T C
            out.append(self.attention.attend(*own).unflatten(0, (-1, rows - learnable)))
        elif rows > learnable:
            out.append(self._between(q, k, v, theirs, theirs if kind == "sep" else everything, seen))
        return self.norm(query + torch.cat(out, dim=1))

    def _between(
        self, query: Tensor, key: Tensor, value: Tensor, asking: slice, asked: slice, seen: Tensor | None
    ) -> Tensor:
        frames = query.shape[2]
        sequences = query[:, asking].flatten(1, 2), key[:, asked].flatten(1, 2), value[:, asked].flatten(1, 2)
        allowed = None if seen is None else seen[:, asked].repeat_interleave(frames, 1)[:, None]
        return self.attention.attend(*sequences, allowed).unflatten(1, (-1, frames))


class FeedForward(nn.Module):
    """Two linear layers with ReLU between."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm = nn.LayerNorm(dim)
        nn.init.xavier_uniform_(self.linear1.weight)
        nn.init.xavier_uniform_(self.linear2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.linear2(F.relu(self.linear1(x))))
