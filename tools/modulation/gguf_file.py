# SPDX-License-Identifier: Apache-2.0
"""Reads GGUF files: metadata and dequantised tensors of the types F32, F16, Q4_1 and Q8_0, exactly as the runtime's values are (no package but numpy)."""

import struct

import numpy as np

_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9


def _q4_1(rows: np.ndarray) -> np.ndarray:
    scale, low = rows[:, :4].copy().view(np.float16).astype(np.float32).T
    codes = np.concatenate([rows[:, 4:] & 15, rows[:, 4:] >> 4], axis=1).astype(np.float32)
    return codes * scale[:, None] + low[:, None]


def _q8_0(rows: np.ndarray) -> np.ndarray:
    scale = rows[:, :2].copy().view(np.float16).astype(np.float32)
    return rows[:, 2:].view(np.int8).astype(np.float32) * scale


# type: bytes of a block, values in it, how it is read
_TYPES = {
    0: (4, 1, lambda rows: rows.view(np.float32)),
    1: (2, 1, lambda rows: rows.view(np.float16).astype(np.float32)),
    3: (20, 32, _q4_1),
    8: (34, 32, _q8_0),
}


class GgufFile:
    """`meta`: key to value; `tensor(name)`: float32, rows first (as PyTorch's Linear has them)."""

    def __init__(self, path: str) -> None:
        self._bytes = np.memmap(path, np.uint8, "r")
        self._at = 0
        if bytes(self._take(4)) != b"GGUF":
            raise ValueError(f"{path} is no GGUF file")
        self._scalar("I")  # version
        n_tensors, n_meta = self._scalar("Q"), self._scalar("Q")
        self.meta = {self._string(): self._value(self._scalar("I")) for _ in range(n_meta)}
        self._tensors = {}
        for _ in range(n_tensors):
            name = self._string()
            shape = [self._scalar("Q") for _ in range(self._scalar("I"))]
            kind = self._scalar("I")
            self._tensors[name] = (shape[::-1], kind, self._scalar("Q"))
        align = self.meta.get("general.alignment", 32)
        self._data = -(-self._at // align) * align

    def tensor(self, name: str) -> np.ndarray:
        shape, kind, offset = self._tensors[name]
        n_bytes, n_values, read = _TYPES[kind]
        n = int(np.prod(shape)) // n_values
        at = self._data + offset
        rows = np.array(self._bytes[at : at + n * n_bytes]).reshape(n, n_bytes)
        return read(rows).reshape(shape)

    def _take(self, n: int) -> np.ndarray:
        self._at += n
        return self._bytes[self._at - n : self._at]

    def _scalar(self, code: str):
        size = struct.calcsize("<" + code)
        return struct.unpack("<" + code, bytes(self._take(size)))[0]

    def _string(self) -> str:
        return bytes(self._take(self._scalar("Q"))).decode("utf-8", errors="replace")

    def _value(self, kind: int):
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._scalar(_SCALARS[kind])
        kind, n = self._scalar("I"), self._scalar("Q")
        return [self._value(kind) for _ in range(n)]
