# SPDX-License-Identifier: Apache-2.0
"""The trained part: memories' keys (before rotation) and values through a low-rank map whose inner coordinates are scaled and moved by the question (FiLM, arXiv:1709.07871).
x = [k ; v], z = D x, z = (1 + G q) * z + B q, x' = x + U z; U = 0 at the start: the identity."""

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


class Modulation(nn.Module):
    def __init__(
        self, n_layers: int, kv: int, hidden: int, rank: int, conditioned: bool = True
    ) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(n_layers, rank, 2 * kv) / (2 * kv) ** 0.5)
        self.up = nn.Parameter(torch.zeros(n_layers, 2 * kv, rank))
        self.gamma = nn.Parameter(torch.zeros(n_layers, rank, hidden), requires_grad=conditioned)
        self.beta = nn.Parameter(torch.zeros(n_layers, rank, hidden), requires_grad=conditioned)
        # Steps of the optimiser are of one size, so what is trained is in units of the K/V's spread
        # (set before training from memories) and of the question's length; `folded` takes both in.
        self.register_buffer("spread", torch.ones(n_layers, 2 * kv))
        self._question_scale = hidden**-0.5
        self._conditioned = conditioned

    @torch.no_grad()
    def set_spread(self, kv: Tensor, is_memory: Tensor) -> None:
        rows = kv[:, is_memory].float()
        self.spread.copy_(rows.square().mean(1).sqrt().clamp_min(1e-3))

    def folded(self) -> dict[str, Tensor]:
        return {
            "down": self.down / self.spread[:, None],
            "up": self.up * self.spread[..., None],
            "gamma": self.gamma * self._question_scale,
            "beta": self.beta * self._question_scale,
        }

    def forward(self, kv: Tensor, question: Tensor, is_memory: Tensor) -> tuple[Tensor, Tensor]:
        """The modulated K/V and the mean square of what was added, in units of the spread.
        kv [L, B, P, 2 kv], question [B, h] (see `question_vector`), is_memory [B, P]."""
        l, b, p, d = kv.shape
        f = self.folded()
        z = torch.bmm(kv.reshape(l, b * p, d), f["down"].transpose(1, 2).to(kv.dtype)).float()
        z = z.reshape(l, b, p, -1)
        if self._conditioned:
            scale = torch.einsum("lrh,bh->lbr", f["gamma"], question)
            shift = torch.einsum("lrh,bh->lbr", f["beta"], question)
            z = (1 + scale[:, :, None]) * z + shift[:, :, None]
        z = (z * is_memory[None, :, :, None]).to(kv.dtype)
        delta = torch.bmm(z.reshape(l, b * p, -1), f["up"].transpose(1, 2).to(kv.dtype)).reshape(
            kv.shape
        )
        some = delta.reshape(l, b * p, d)[:, ::16].float() / self.spread[:, None]
        return kv + delta, some.square().mean(-1).sum() / (
            is_memory.reshape(-1)[::16].sum() * l + 1
        )

    def save(self, path: str, metadata: dict[str, str]) -> None:
        tensors = {name: t.detach().half().cpu().contiguous() for name, t in self.folded().items()}
        rank = str(self.down.shape[1])
        save_file(
            tensors, path, {"format": "dki-modulation", "version": "1", "rank": rank, **metadata}
        )

    @torch.no_grad()
    def load(self, path: str) -> None:
        """What `save` wrote; to be used or trained on."""
        tensors = load_file(path)
        for name in ("gamma", "beta"):
            tensors[name] = tensors[name].float() / self._question_scale
        for name, parameter in self.named_parameters():
            parameter.copy_(tensors[name])
        self.spread.fill_(1)


def question_vector(embeddings: Tensor, turn: Tensor, is_turn: Tensor) -> Tensor:
    """[B, h]: mean of the turn's embeddings, of root mean square 1."""
    rows = embeddings[turn] * is_turn[..., None]
    mean = rows.sum(1) / is_turn.sum(1, keepdim=True)
    return mean / (mean.square().mean(-1, keepdim=True) + 1e-6).sqrt()
