# SPDX-License-Identifier: Apache-2.0
"""Bad input gets INVALID_ARGUMENT, NOT_FOUND or OUT_OF_RANGE that names the field and the limit; the cluster stays up."""

import grpc
import pytest
from dki.common.v1 import common_pb2
from dki.orchestrator.v1 import dki_service_pb2

INVALID, NOT_FOUND, OUT_OF_RANGE = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.OUT_OF_RANGE)


def fails(call, code, *words):
    with pytest.raises(grpc.RpcError) as error:
        call()
    assert error.value.code() == code, error.value
    for word in words:
        assert word in error.value.details(), error.value.details()


@pytest.mark.parametrize("text, words", [
    ("", ["text"]), ("   \n", ["text"]), ("x" * (1 << 20), ["text", "8192"]), ("a\0b", ["text", "NUL"]),
])
def test_memory_text(cluster, user, text, words):
    fails(lambda: cluster.client.add(text, user=user), INVALID, *words)


def test_invalid_utf8(cluster, user):
    """Python refuses to build such a message, so the bytes are sent raw."""
    # AddMemoryRequest{memory{scope{user_id}, text: ff fe}}
    scope = bytes([0x0A, len(user)]) + user.encode()
    memory = bytes([0x0A, len(scope)]) + scope + bytes([0x12, 2, 0xFF, 0xFE])
    raw = bytes([0x12, len(memory)]) + memory
    call = cluster.client.channel.unary_unary("/dki.orchestrator.v1.DkiService/AddMemory")
    fails(lambda: call(raw, timeout=10, metadata=[("authorization", f"Bearer {cluster.key}")]), INVALID)


@pytest.mark.parametrize("options, words", [
    ({"k": -1}, ["k"]), ({"k": 100000}, ["k", "256"]),
    ({"alpha": -1.0}, ["alpha", "16"]), ({"alpha": float("nan")}, ["alpha"]), ({"alpha": 17.0}, ["alpha", "16"]),
    ({"threshold": 2.0}, ["threshold"]), ({"threshold": float("nan")}, ["threshold"]),
    ({"mode": 99}, ["mode"]), ({"prompt_place": 77}, ["prompt_place"]),
])
def test_memory_options(cluster, user, options, words):
    fails(lambda: cluster.client.chat("Hello", user=user, **options), INVALID, *words)


@pytest.mark.parametrize("options, words", [
    ({"temperature": float("nan")}, ["temperature"]), ({"temperature": -0.5}, ["temperature"]), ({"top_p": 0.0}, ["top_p"]),
    ({"max_tokens": -5}, ["max_tokens"]), ({"stop": [""]}, ["stop"]), ({"repetition_penalty": 0.0}, ["repetition_penalty"]),
])
def test_sampling(cluster, user, options, words):
    fails(lambda: cluster.client.chat("Hello", user=user, sampling=common_pb2.SamplingOptions(**options)), INVALID, *words)


def test_messages(cluster, user):
    message = common_pb2.Message
    fails(lambda: cluster.client.chat("", user=user), INVALID, "messages")
    fails(lambda: cluster.client.chat("", user=user, messages=[message(role="robot", content="x")]), INVALID, "role")
    fails(lambda: cluster.client.chat("", user=user, messages=[message(role="assistant", content="x")]), INVALID, "messages")


def test_prompt_beyond_the_window(cluster, user):
    fails(lambda: cluster.client.chat("word " * 100_000, user=user), OUT_OF_RANGE, "8192")


def test_unknown_ids(cluster, user):
    scope = common_pb2.Scope(user_id=user)
    for method, request in [
        ("GetMemory", dki_service_pb2.GetMemoryRequest(id="mem_" + "0" * 32, viewer=scope)),
        ("DeleteMemory", dki_service_pb2.DeleteMemoryRequest(id="mem_" + "0" * 32, viewer=scope)),
        ("GetDecision", dki_service_pb2.GetDecisionRequest(decision_id="dec_" + "0" * 32)),
    ]:
        fails(lambda m=method, r=request: cluster.client.call(m, r), NOT_FOUND)
    fails(lambda: cluster.client.call("GetMemory", dki_service_pb2.GetMemoryRequest(id="nonsense", viewer=scope)), INVALID, "id")


def test_page_token_of_another_list(cluster, user):
    for i in range(3):
        cluster.client.add(f"Note number {i}.", user=user)
    first = cluster.client.call("ListMemories", dki_service_pb2.ListMemoriesRequest(
        viewer=common_pb2.Scope(user_id=user), page_size=2))
    assert len(first.memories) == 2 and first.next_page_token
    rest = cluster.client.call("ListMemories", dki_service_pb2.ListMemoriesRequest(
        viewer=common_pb2.Scope(user_id=user), page_size=2, page_token=first.next_page_token))
    assert len(rest.memories) == 1 and not rest.next_page_token
    for request in [
        dki_service_pb2.ListMemoriesRequest(viewer=common_pb2.Scope(user_id="other"), page_token=first.next_page_token),
        dki_service_pb2.ListMemoriesRequest(viewer=common_pb2.Scope(user_id=user), page_token="AAAA"),
    ]:
        fails(lambda r=request: cluster.client.call("ListMemories", r), INVALID, "page_token")


def test_credentials(cluster, user):
    from cluster_harness import Client
    for key in ["", "nonsense", cluster.key[:-1] + ("A" if cluster.key[-1] != "A" else "B")]:
        fails(lambda k=key: Client(cluster.address, k).search("x", user=user), grpc.StatusCode.UNAUTHENTICATED)
    _, client = cluster.new_tenant()  # no admin scope
    fails(lambda: client.add("For the whole tenant."), grpc.StatusCode.PERMISSION_DENIED, "admin")


def test_still_up(cluster, user):
    assert cluster.client.chat("Say yes.", user=user, sampling=common_pb2.SamplingOptions(max_tokens=1)).finished
