# SPDX-License-Identifier: Apache-2.0
"""A client of DKI in Python: states two facts, asks, and shows what the answer attended to.

    python3 -m venv /tmp/dki-python && /tmp/dki-python/bin/pip install grpcio grpcio-tools
    /tmp/dki-python/bin/python -m grpc_tools.protoc -I proto --python_out=/tmp/dki-python --grpc_python_out=/tmp/dki-python \\
        $(find proto/dki -name '*.proto')
    PYTHONPATH=/tmp/dki-python /tmp/dki-python/bin/python examples/python/remember.py
"""

import json
import os
import pathlib

import grpc
from dki.common.v1 import common_pb2
from dki.orchestrator.v1 import dki_service_pb2, dki_service_pb2_grpc

# Where `dki up` leaves the address and the key of the local cluster.
default = "/var/lib/dki" if os.geteuid() == 0 else pathlib.Path.home() / ".local/share/dki"
home = pathlib.Path(os.environ.get("DKI_HOME", default))
settings = json.loads((home / "client.json").read_text())

dki = dki_service_pb2_grpc.DkiServiceStub(grpc.insecure_channel(settings["address"]))
credentials = [("authorization", f"Bearer {settings['api_key']}")]
scope = common_pb2.Scope(user_id="ann")

for text in ["Ann's dog is called Biscuit.", "Ann works at the harbour."]:
    dki.AddMemory(dki_service_pb2.AddMemoryRequest(memory=dki_service_pb2.MemoryInput(scope=scope, text=text)),
                  metadata=credentials)

answer = dki.Chat(dki_service_pb2.ChatRequest(
    scope=scope,
    messages=[common_pb2.Message(role="user", content="What is Ann's dog called?")],
    sampling=common_pb2.SamplingOptions(max_tokens=32)), metadata=credentials)

for event in answer:
    if event.HasField("text"):
        print(event.text, end="", flush=True)
    elif event.HasField("finished"):
        outcome = event.finished.outcome
        print(f"\n\nprompt tokens: {outcome.usage.prompt_tokens}, attended to beside it: {outcome.usage.injected_tokens}")
        for memory in outcome.memories:
            print(f"{memory.memory_id}  attention share {memory.attention_share:.3f}")
