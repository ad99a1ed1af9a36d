# SPDX-License-Identifier: Apache-2.0
"""P8: two tenants, and two users of one tenant, never see each other's memories (random ids and scopes, seeded)."""

import itertools
import random

import grpc
import pytest
from dki.common.v1 import common_pb2
from dki.orchestrator.v1 import dki_service_pb2


def visible(memory, viewer):
    return all(not m or m == v for m, v in zip(memory, viewer))


def test_search_and_chat_respect_tenant_and_scope(cluster):
    rng = random.Random(20240101)
    tenants = [cluster.new_tenant()[1] for _ in range(2)]
    # Ids that are prefixes of each other, and the same ids in both tenants.
    users, sessions, agents = ["u1", "u10", "u1 0"], ["", "s1", "s10"], ["", "a"]
    owned = {}
    for t, client in enumerate(tenants):
        for i in range(24):
            scope = (rng.choice(users), rng.choice(sessions), rng.choice(agents))
            text = f"The password of box {i} is {rng.choice(['apple', 'river', 'stone'])} {t}{i:03d}."
            owned[client.add(text, *scope).memory.id] = (t, scope)
    viewers = list(itertools.product(["", *users], sessions, agents))
    for t, client in enumerate(tenants):
        for viewer in rng.sample(viewers, 16):
            hits = {hit.memory.id for hit in client.search("What is the password of the box?", *viewer, k=1000).hits}
            expected = {i for i, (owner, scope) in owned.items() if owner == t and visible(scope, viewer)}
            assert hits == expected, (t, viewer)
            answer = client.chat("What is the password of box 3?", *viewer, k=64, gate=False,
                                 sampling=common_pb2.SamplingOptions(max_tokens=1))
            assert {m.memory_id for m in answer.decision.chosen} <= expected


def test_ids_of_others_are_not_found(cluster):
    (_, mine), (_, theirs) = cluster.new_tenant(), cluster.new_tenant()
    secret = theirs.add("Their secret is quartz.", user="u1").memory.id
    own = mine.add("Mine is public.", user="u1").memory.id
    scope = common_pb2.Scope(user_id="u1")
    for method, request in [
        ("GetMemory", dki_service_pb2.GetMemoryRequest(id=secret, viewer=scope)),
        ("DeleteMemory", dki_service_pb2.DeleteMemoryRequest(id=secret, viewer=scope)),
        ("ListMemoryVersions", dki_service_pb2.ListMemoryVersionsRequest(id=secret, viewer=scope)),
        ("GetMemory", dki_service_pb2.GetMemoryRequest(id=own, viewer=common_pb2.Scope(user_id="u2"))),
    ]:
        with pytest.raises(grpc.RpcError) as error:
            mine.call(method, request)
        assert error.value.code() == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as error:
        mine.chat("What is the secret?", user="u1", memory_ids=[secret])
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_decisions_stay_in_the_tenant(cluster):
    (_, mine), (_, theirs) = cluster.new_tenant(), cluster.new_tenant()
    decision = theirs.chat("Hello.", user="u1", sampling=common_pb2.SamplingOptions(max_tokens=1)).decision.decision_id
    with pytest.raises(grpc.RpcError) as error:
        mine.call("GetDecision", dki_service_pb2.GetDecisionRequest(decision_id=decision))
    assert error.value.code() == grpc.StatusCode.NOT_FOUND
