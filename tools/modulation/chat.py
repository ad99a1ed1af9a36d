# SPDX-License-Identifier: Apache-2.0
"""Tokens as the runtime lays them out (libs/model/chat_family.cc, libs/injection/pack_plan.cc): ChatML, the pack behind prefix and history, every piece tokenised by itself."""

import functools

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from gguf_file import GgufFile

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


class Chat:
    """Token ids of each part of a conversation."""

    def __init__(self, gguf: GgufFile) -> None:
        words = gguf.meta["tokenizer.ggml.tokens"]
        merges = [tuple(m.split(" ", 1)) for m in gguf.meta["tokenizer.ggml.merges"]]
        self._tokenizer = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, merges))
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        self._tokenizer.decoder = decoders.ByteLevel()
        self._start, self.end = words.index("<|im_start|>"), words.index("<|im_end|>")
        self.prefix = self._message("system", SYSTEM)
        self.header = [self._start] + self.encode("system\nYou remember these notes:\n")
        self.footer = [self.end] + self.encode("\n")

    @functools.lru_cache(maxsize=1 << 18)
    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text).ids)

    def encode(self, text: str) -> list[int]:
        return list(self._encode(text))

    def decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=False)

    def line(self, memory: str) -> list[int]:
        return self.encode("- " + " ".join(memory.strip().splitlines()) + "\n")

    def _message(self, role: str, content: str) -> list[int]:
        return [self._start] + self.encode(f"{role}\n{content}") + [self.end] + self.encode("\n")

    def history(self, messages: list[tuple[str, str]]) -> list[int]:
        return [i for role, content in messages for i in self._message(role, content)]

    def turn(self, question: str) -> list[int]:
        return self._message("user", question) + [self._start] + self.encode("assistant\n")
