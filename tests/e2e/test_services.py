# SPDX-License-Identifier: Apache-2.0
"""What every service has: health, reflection, metrics, configuration, identity."""

import json
import re
import signal
import subprocess
import urllib.request

import grpc
import pytest
from cluster_harness import BIN

SERVICES = {"memory_store": "dki.memory.v1.MemoryStoreService", "retrieval": "dki.retrieval.v1.RetrievalService",
            "kv": "dki.kv.v1.KvService", "generation": "dki.generation.v1.GenerationService",
            "orchestrator": "dki.orchestrator.v1.DkiService"}


@pytest.mark.parametrize("name", SERVICES)
def test_health_and_reflection(cluster, name):
    channel = grpc.insecure_channel(cluster.parts()[name]["address"])
    for service in ["", SERVICES[name]]:
        # HealthCheckRequest{service} -> HealthCheckResponse{status: SERVING}
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(bytes([0x0A, len(service)]) + service.encode(), timeout=5) == b"\x08\x01"
    # ServerReflectionInfo{list_services: ""} -> the names are in the answer.
    call = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    answer = next(call(iter([bytes([0x3A, 0])]), timeout=5))
    assert SERVICES[name].encode() in answer


@pytest.mark.parametrize("name", SERVICES)
def test_metrics(cluster, name):
    host, port = cluster.parts()[name]["address"].rsplit(":", 1)
    text = urllib.request.urlopen(f"http://{host}:{int(port) + 100}/metrics", timeout=5).read().decode()
    assert re.search(r"^dki_\w+(\{.*\})? [0-9.e+-]+$", text, re.MULTILINE), text[:500]


@pytest.mark.parametrize("name", SERVICES)
def test_inner_services_refuse_strangers(cluster, name):
    method = {"memory_store": "ListMemories", "retrieval": "GetStatus", "kv": "GetStats", "generation": "GetModel",
              "orchestrator": "ListMemories"}[name]
    channel = grpc.insecure_channel(cluster.parts()[name]["address"])
    for metadata in [[], [("authorization", "Bearer nonsense")], [("dki-tenant", "default"), ("dki-signature", "00")]]:
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary(f"/{SERVICES[name]}/{method}")(b"", timeout=5, metadata=metadata)
        assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("name", SERVICES)
def test_configuration(cluster, name, tmp_path):
    program = BIN / f"dki_{name}"
    config = cluster.directory / "config" / f"{name}.yaml"
    dumped = subprocess.run([program, "--config", config, "--dump_config"], capture_output=True, text=True, check=True).stdout
    assert "listen" in dumped and "drain_timeout" in dumped
    bad = tmp_path / "bad.yaml"
    bad.write_text(config.read_text().replace("listen:", "lissten:"))
    refused = subprocess.run([program, "--config", bad], capture_output=True, text=True, check=False, timeout=20)
    assert refused.returncode != 0 and "lissten" in refused.stderr


def test_logs_are_json_with_request_ids(cluster, user):
    cluster.client.add("Something to log.", user=user)
    lines = (cluster.directory / "log" / "orchestrator.log").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert all({"time", "level", "service", "message"} <= record.keys() for record in records)
    assert "Something to log." not in "\n".join(lines)


def test_drain_on_sigterm(cluster, user):
    """A call that runs when SIGTERM comes is finished, and the process exits with 0."""
    import os
    pid = cluster.parts()["generation"]["pid"]
    answer = cluster.client.call("Chat", _long_answer(user), timeout=60)
    for event in answer:
        if event.HasField("text"):
            os.kill(pid, signal.SIGTERM)
            break
    kinds = [event.WhichOneof("event") for event in answer]
    assert kinds[-1] == "finished"
    cluster.wait_ready()
    assert cluster.parts()["generation"]["last_exit"] == "exit code 0"


def _long_answer(user):
    from dki.common.v1 import common_pb2
    from dki.orchestrator.v1 import dki_service_pb2
    return dki_service_pb2.ChatRequest(
        scope=common_pb2.Scope(user_id=user), sampling=common_pb2.SamplingOptions(max_tokens=64),
        messages=[common_pb2.Message(role="user", content="Tell me a story about a lighthouse.")])
