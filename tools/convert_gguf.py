# SPDX-License-Identifier: Apache-2.0
"""Writes a GGUF file's weights in another number format, from their dequantised values:
  python tools/convert_gguf.py --type q8_0|f16 IN OUT
Matrices are converted, vectors and all metadata kept. A row whose length is no multiple of 32 stays F16. Needs the package gguf."""

import argparse
import os
import sys

import gguf
import numpy as np

TYPES = {"q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
         "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16)}


def copy_metadata(reader, writer, file_type):
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == gguf.Keys.General.ARCHITECTURE:
            continue  # the writer's own
        kind = field.types[0]
        sub_type = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        value = int(file_type) if field.name == gguf.Keys.General.FILE_TYPE else field.contents()
        writer.add_key_value(field.name, value, kind, sub_type=sub_type)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--type", choices=sorted(TYPES), required=True)
    parser.add_argument("input")
    parser.add_argument("output")
    args = parser.parse_args()
    wanted, file_type = TYPES[args.type]
    reader = gguf.GGUFReader(args.input)
    part = args.output + ".part"
    writer = gguf.GGUFWriter(part, reader.get_field(gguf.Keys.General.ARCHITECTURE).contents())
    copy_metadata(reader, writer, file_type)
    for i, tensor in enumerate(reader.tensors):
        if sys.stderr.isatty():
            print(f"\r{i + 1} of {len(reader.tensors)} tensors", end="", file=sys.stderr)
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        kind = wanted if values.ndim > 1 else gguf.GGMLQuantizationType.F32
        if kind == gguf.GGMLQuantizationType.Q8_0 and values.shape[-1] % 32:
            kind = gguf.GGMLQuantizationType.F16
        writer.add_tensor(tensor.name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(part, args.output)
    if sys.stderr.isatty():
        print(file=sys.stderr)


if __name__ == "__main__":
    main()
