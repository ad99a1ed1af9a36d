# SPDX-License-Identifier: Apache-2.0
"""A private local cluster (real PostgreSQL, real models) and a gRPC client of it, for tests and benchmarks."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import uuid

import grpc

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("DKI_BUILD", ROOT / "build")) / "bin"
MODELS = pathlib.Path(os.environ.get(
    "DKI_MODELS", pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "dki" / "models"))


def _generate_stubs():
    from grpc_tools import protoc
    out = tempfile.mkdtemp(prefix="dki-stubs-")
    protos = [str(p) for p in (ROOT / "proto" / "dki").rglob("*.proto")]
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    if protoc.main(["protoc", f"-I{ROOT / 'proto'}", f"-I{include}", f"--python_out={out}", f"--grpc_python_out={out}", *protos]):
        raise RuntimeError("the protos do not compile for Python")
    sys.path.insert(0, out)


_generate_stubs()

# pylint: disable=wrong-import-position
from dki.common.v1 import common_pb2  # noqa: E402
from dki.orchestrator.v1 import dki_service_pb2, dki_service_pb2_grpc  # noqa: E402


def free_port_base():
    """Ten ports in a row (and the metrics ports 100 above) that nobody listens on now."""
    for base in range(18100, 28000, 10):
        try:
            sockets = []
            for port in [*range(base, base + 10), *range(base + 100, base + 110)]:
                s = socket.socket()
                s.bind(("127.0.0.1", port))
                sockets.append(s)
            return base
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()
    raise RuntimeError("no free ports")


class Client:
    """A client of DkiService with an API key."""

    def __init__(self, address, key):
        self.address, self.key = address, key
        self.channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", 64 << 20),
                                                               ("grpc.max_reconnect_backoff_ms", 500)])
        self.stub = dki_service_pb2_grpc.DkiServiceStub(self.channel)

    def call(self, method, request, timeout=60):
        return getattr(self.stub, method)(request, timeout=timeout, metadata=[("authorization", f"Bearer {self.key}")])

    def add(self, text, user="", session="", agent="", request_id="", **fields):
        memory = dki_service_pb2.MemoryInput(
            scope=common_pb2.Scope(user_id=user, session_id=session, agent_id=agent), text=text, **fields)
        return self.call("AddMemory", dki_service_pb2.AddMemoryRequest(request_id=request_id, memory=memory))

    def search(self, query, user="", session="", agent="", k=8):
        return self.call("SearchMemories", dki_service_pb2.SearchMemoriesRequest(
            query=query, scope=common_pb2.Scope(user_id=user, session_id=session, agent_id=agent), k=k))

    def chat(self, question, user="", session="", agent="", timeout=120, request_id="", sampling=None, messages=None, **memory):
        request = dki_service_pb2.ChatRequest(
            request_id=request_id, scope=common_pb2.Scope(user_id=user, session_id=session, agent_id=agent),
            messages=messages or [common_pb2.Message(role="user", content=question)],
            sampling=sampling or common_pb2.SamplingOptions(max_tokens=24),
            memory=dki_service_pb2.MemoryOptions(**memory))
        return Answer(self.call("Chat", request, timeout=timeout))


class Answer:
    """A whole streamed answer."""

    def __init__(self, stream):
        self.deltas = []
        for event in stream:
            kind = event.WhichOneof("event")
            if kind == "decided":
                self.decision = event.decided.decision
            elif kind == "text":
                self.deltas.append(event.text)
            else:
                self.finished = event.finished
                self.outcome = event.finished.outcome
        self.text = "".join(self.deltas)


class Cluster:
    """A private cluster of `dki up`."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.port_base = free_port_base()
        self.environment = {**os.environ, "DKI_HOME": str(self.directory), "DKI_MODELS": str(MODELS), "NO_COLOR": "1"}

    def dki(self, *arguments, check=True, timeout=180, **kwargs):
        result = subprocess.run([str(BIN / "dki"), *arguments], env=self.environment, capture_output=True, text=True,
                                timeout=timeout, check=False, stdin=kwargs.pop("stdin", subprocess.DEVNULL), **kwargs)
        if check and result.returncode != 0:
            raise AssertionError(f"dki {' '.join(arguments)} exited {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result

    def json(self, *arguments, **kwargs):
        return json.loads(self.dki(*arguments, "--json", **kwargs).stdout)

    def up(self, *options):
        self.dki("up", "--port-base", str(self.port_base), *options)
        settings = json.loads((self.directory / "client.json").read_text())
        self.address, self.key = settings["address"], settings["api_key"]
        self.client = Client(self.address, self.key)

    def down(self):
        self.dki("down", check=False)

    def metrics_port(self, part):
        """Where a part's metrics are."""
        return self.port_base + 100 + ["memory_store", "retrieval", "kv", "generation", "orchestrator"].index(part)

    def new_tenant(self):
        """A tenant of its own: (id, client)."""
        name = "t-" + uuid.uuid4().hex[:12]
        self.dki("tenant", "add", name)
        made = self.json("key", "add", "--tenant", name, "--scope", "chat", "--scope", "memory:read", "--scope", "memory:write")
        return name, Client(self.address, made["secret"])

    def parts(self):
        """{name: {pid, ...}} of the cluster's processes."""
        return {part["name"]: part for part in self.json("status", check=False)["parts"]}

    def wait_ready(self, timeout=30):
        """Seconds until an answer is given again."""
        start = time.monotonic()
        while True:
            try:
                self.client.chat("Say yes.", user="probe", timeout=10, sampling=common_pb2.SamplingOptions(max_tokens=1))
                return time.monotonic() - start
            except grpc.RpcError:
                if time.monotonic() - start > timeout:
                    raise
                time.sleep(0.05)
