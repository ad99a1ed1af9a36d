# SPDX-License-Identifier: Apache-2.0
"""The Llama forward pass in two stages: `memory_kv` computes prefix, history and pack with the base model (keys before rotation); `Reader` lets turn and answer attend to them.
Keys keep the file's order of rows: pairs to be rotated lie beside each other."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gguf_file import GgufFile


@dataclass(frozen=True)
class Shape:
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    hidden: int
    eps: float
    theta: float

    @property
    def kv(self) -> int:
        return self.n_kv_heads * self.head_dim


def shape_of(gguf: GgufFile) -> Shape:
    meta = {key.removeprefix("llama."): value for key, value in gguf.meta.items()}
    heads, hidden = meta["attention.head_count"], meta["embedding_length"]
    return Shape(
        meta["block_count"],
        heads,
        meta["attention.head_count_kv"],
        hidden // heads,
        hidden,
        meta["attention.layer_norm_rms_epsilon"],
        meta["rope.freq_base"],
    )


class Model:
    """Frozen weights, as the file has them."""

    def __init__(self, gguf: GgufFile, device: str, dtype: torch.dtype) -> None:
        self.shape = shape_of(gguf)
        self.dtype, self.device = dtype, device

        def load(name: str) -> Tensor:
            return torch.from_numpy(gguf.tensor(name)).to(device, dtype)

        self.embeddings = load("token_embd.weight")
        self.embeddings_f32 = torch.from_numpy(gguf.tensor("token_embd.weight")).to(device)
        self.final_norm = load("output_norm.weight")
        self.layers = []

        def of_layer(i: int, *names: str) -> Tensor:
            return torch.cat([load(f"blk.{i}.{name}.weight") for name in names])

        for i in range(self.shape.n_layers):
            self.layers.append(
                {
                    "norm": of_layer(i, "attn_norm"),
                    "qkv": of_layer(i, "attn_q", "attn_k", "attn_v"),
                    "out": of_layer(i, "attn_output"),
                    "ffn_norm": of_layer(i, "ffn_norm"),
                    "gate_up": of_layer(i, "ffn_gate", "ffn_up"),
                    "down": of_layer(i, "ffn_down"),
                }
            )
        half = torch.arange(self.shape.head_dim // 2, device=device, dtype=torch.float32)
        self._frequencies = self.shape.theta ** (-half * 2 / self.shape.head_dim)

    def rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin, [B, 1, T, head_dim / 2]."""
        angle = positions.float()[:, None, :, None] * self._frequencies
        return angle.cos().to(self.dtype), angle.sin().to(self.dtype)

    def heads(self, x: Tensor) -> Tensor:
        """[B, T, n * head_dim] to [B, n, T, head_dim]."""
        return x.unflatten(-1, (-1, self.shape.head_dim)).transpose(1, 2)

    def qkv(self, layer: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        s = self.shape
        x = F.rms_norm(x, (s.hidden,), layer["norm"], s.eps)
        return F.linear(x, layer["qkv"]).split([s.n_heads * s.head_dim, s.kv, s.kv], dim=-1)

    def after_attention(self, layer: dict[str, Tensor], x: Tensor, attended: Tensor) -> Tensor:
        x = x + F.linear(attended, layer["out"])
        y = F.rms_norm(x, (self.shape.hidden,), layer["ffn_norm"], self.shape.eps)
        gate, up = F.linear(y, layer["gate_up"]).chunk(2, dim=-1)
        return x + F.linear(F.silu(gate) * up, layer["down"])

    def logits(self, x: Tensor) -> Tensor:
        x = F.rms_norm(x, (self.shape.hidden,), self.final_norm, self.shape.eps)
        return F.linear(x, self.embeddings).float()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rotation
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)


@torch.no_grad()
def memory_kv(model: Model, tokens: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
    """[n_layers, B, P, 2 * kv]: keys before rotation, then values. `visible`: [B, P, P], bool."""
    s = model.shape
    rotation = model.rotation(positions)
    mask = torch.zeros(visible.shape, dtype=model.dtype, device=model.device)
    mask = mask.masked_fill_(~visible, float("-inf"))[:, None]
    out = torch.empty((s.n_layers, *tokens.shape, 2 * s.kv), dtype=model.dtype, device=model.device)
    x = model.embeddings[tokens]
    repeats = s.n_heads // s.n_kv_heads
    for i, layer in enumerate(model.layers):
        q, k, v = model.qkv(layer, x)
        out[i] = torch.cat([k, v], dim=-1)
        if i + 1 == s.n_layers:
            break
        k = rotate(model.heads(k), rotation).repeat_interleave(repeats, 1)
        v = model.heads(v).repeat_interleave(repeats, 1)
        y = F.scaled_dot_product_attention(rotate(model.heads(q), rotation), k, v, attn_mask=mask)
        x = model.after_attention(layer, x, y.transpose(1, 2).flatten(2))
    return out


class Reader:
    """Turn and answer over memories' K/V (modulated or not)."""

    def __init__(self, model: Model, kv: Tensor, positions: Tensor) -> None:
        s = model.shape
        self._model = model
        rotation = model.rotation(positions)
        keys, values = kv.split(s.kv, dim=-1)
        keys = keys.unflatten(-1, (-1, s.head_dim)).transpose(2, 3)
        rotation = tuple(r[None] for r in rotation)
        self.keys = rotate(keys, rotation).unbind(0)
        self.values = values.unflatten(-1, (-1, s.head_dim)).transpose(2, 3).unbind(0)

    def __call__(
        self,
        tokens: Tensor,
        positions: Tensor,
        mask: Tensor,
        own: tuple[list[Tensor], list[Tensor]] | None = None,
        at: int = 0,
        raw: list[Tensor] | None = None,
    ) -> Tensor:
        """Hidden states [B, T, hidden]. `mask`: [B, T, P + slots], added to the logits. `own`: K/V of
        the tokens, kept for steps to come, this one's from slot `at`; without it, T slots exactly.
        `raw` gets each layer's K/V as `memory_kv` has them."""
        model, s = self._model, self._model.shape
        rotation = model.rotation(positions)
        x = model.embeddings[tokens]
        groups = s.n_heads // s.n_kv_heads
        # The query heads of one K/V head stand behind each other.
        mask = mask[:, None].repeat(1, 1, groups, 1).expand(-1, s.n_kv_heads, -1, -1)
        for i, layer in enumerate(model.layers):
            q, k, v = model.qkv(layer, x)
            if raw is not None:
                raw.append(torch.cat([k, v], dim=-1))
            k, v = rotate(model.heads(k), rotation), model.heads(v)
            if own is not None:
                t = tokens.shape[1]
                own[0][i][:, :, at : at + t], own[1][i][:, :, at : at + t] = k, v
                k, v = own[0][i], own[1][i]
            q = rotate(model.heads(q), rotation).unflatten(1, (s.n_kv_heads, groups)).flatten(2, 3)
            y = F.scaled_dot_product_attention(
                q,
                torch.cat([self.keys[i], k], 2),
                torch.cat([self.values[i], v], 2),
                attn_mask=mask,
            )
            y = y.unflatten(2, (groups, -1)).flatten(1, 2).transpose(1, 2).flatten(2)
            x = model.after_attention(layer, x, y)
        return x
