# SPDX-License-Identifier: Apache-2.0
"""P7: a deleted memory is unusable at the acknowledgement and then gone everywhere, and signed receipts say so."""

import hashlib
import hmac
import json
import os
import pathlib
import random
import secrets
import string
import tempfile
import time
import uuid

import grpc
import pytest
from cluster_harness import Cluster
from dki.common.v1 import common_pb2
from dki.kv.v1 import kv_service_pb2, kv_service_pb2_grpc
from dki.orchestrator.v1 import dki_service_pb2

GENEROUS = 120


def conversation(client, user):
    return client.call("CreateConversation", dki_service_pb2.CreateConversationRequest(
        scope=common_pb2.Scope(user_id=user))).conversation_id


def say(client, user, text, conversation_id="", request_id="", **memory):
    """A turn; the whole stream is read."""
    request = dki_service_pb2.ChatRequest(
        request_id=request_id, scope=common_pb2.Scope(user_id=user), conversation_id=conversation_id,
        messages=[common_pb2.Message(role="user", content=text)], sampling=common_pb2.SamplingOptions(max_tokens=8),
        memory=dki_service_pb2.MemoryOptions(gate=False, **memory))
    return list(client.call("Chat", request, timeout=GENEROUS))


def decision_of(events):
    return next(event.decided.decision for event in events if event.WhichOneof("event") == "decided")


def delete(client, user, memory_id, **fields):
    return client.call("DeleteMemory", dki_service_pb2.DeleteMemoryRequest(
        id=memory_id, viewer=common_pb2.Scope(user_id=user), **fields))


def texts_of(client, decision_id):
    decision = client.call("GetDecision", dki_service_pb2.GetDecisionRequest(decision_id=decision_id)).decision
    return decision.query_text, decision.answer_text


def await_reports(client, erasure_id):
    """Services that have reported, once all have."""
    deadline = time.monotonic() + GENEROUS
    while True:
        result = client.call("GetErasure", dki_service_pb2.GetErasureRequest(id=erasure_id)).result
        if result.HasField("receipt"):
            return set(result.erasure.reported)
        assert time.monotonic() < deadline, f"no report of {result.erasure.missing}"
        time.sleep(0.1)


def test_unusable_at_the_acknowledgement(cluster, user):
    """On every path, with every cache warm: searching, named ids, a repeated request, a conversation, and after a restart."""
    client = cluster.client
    ids = [client.add(text, user=user).memory.id for text in ["Ann's dog is called Biscuit.", "Ann's bicycle is green."]]
    talk = conversation(client, user)
    for mode in [common_pb2.MODE_INJECTED, common_pb2.MODE_PROMPT]:
        assert ids[0] in {m.memory_id for m in decision_of(say(client, user, "Which dog?", mode=mode)).chosen}
    assert ids[0] in {m.memory_id for m in decision_of(say(client, user, "And the dog?", talk)).chosen}
    say(client, user, "Which dog?", request_id="repeat-" + user)
    say(client, user, "Which dog?", memory_ids=ids)

    deleted = delete(client, user, ids[0])
    assert list(deleted.conversation_ids) == [talk]

    def check():
        for events in [say(client, user, "Which dog?"), say(client, user, "And the dog?", talk),
                       say(client, user, "Which dog?", mode=common_pb2.MODE_PROMPT), say(client, user, "Which dog?", memory_ids=ids[1:])]:
            decision = decision_of(events)
            assert ids[0] not in {m.memory_id for m in decision.chosen}
            assert ids[0] not in {m.memory_id for m in decision.retrieved if m.reason != "not_current"}
        with pytest.raises(grpc.RpcError) as error:
            say(client, user, "Which dog?", memory_ids=ids)
        assert error.value.code() == grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.RpcError) as error:
            say(client, user, "Which dog?", request_id="repeat-" + user)
        assert error.value.code() == grpc.StatusCode.ABORTED
        assert ids[0] not in {hit.memory.id for hit in client.search("dog", user=user, k=50).hits}

    check()
    assert await_reports(client, deleted.erasure_id) >= {"retrieval", "kv"}
    for part in ["retrieval", "kv", "generation", "orchestrator"]:
        os.kill(cluster.parts()[part]["pid"], 9)
    cluster.wait_ready(60)
    check()


def test_with_conversations(cluster, user):
    client = cluster.client
    memory = client.add("Ann's dog is called Biscuit.", user=user).memory.id
    talk, other = conversation(client, user), conversation(client, user)
    attended = decision_of(say(client, user, "Which dog does Ann have?", talk)).decision_id
    later = decision_of(say(client, user, "Thank you.", talk, mode=common_pb2.MODE_VANILLA)).decision_id
    apart = decision_of(say(client, user, "Hello.", other, mode=common_pb2.MODE_VANILLA)).decision_id
    deleted = delete(client, user, memory, with_conversations=True)
    assert list(deleted.conversation_ids) == [talk]
    assert texts_of(client, attended) == texts_of(client, later) == ("", "")
    assert texts_of(client, apart)[0] == "Hello."
    # The conversation goes on, without what was said.
    assert decision_of(say(client, user, "Hello again.", talk, mode=common_pb2.MODE_VANILLA)).conversation_id == talk
    result = client.call("VerifyAudit", dki_service_pb2.VerifyAuditRequest()).result
    assert result.valid, result.problem


def test_receipts(cluster, user, tmp_path):
    """From the command line: erased, reported by every service, verified offline; no changed byte passes."""
    client = cluster.client
    memory = client.add("Ann's dog is called Biscuit.", user=user).memory.id
    say(client, user, "Which dog does Ann have?")
    receipt = tmp_path / "receipt.json"
    done = cluster.json("erase", "memory", memory, "--user", user, "--receipt", str(receipt))
    verified = cluster.json("erase", "verify", str(receipt))
    assert verified["statement"]["erasure_id"] == done["erasure_id"]
    assert verified["statement"]["target"]["memory_id"] == memory
    stores = {s["store"]: int(s.get("items", 0)) for s in verified["statement"]["stores"]}
    assert stores["memories"] == 1 and stores["vectors"] == 1
    reports = {r["service"]: {s["store"]: int(s.get("items", 0)) for s in r["stores"]} for r in verified["reports"]}
    assert reports["retrieval"]["index_entries"] == 1
    assert reports["kv"]["kv_ram"] >= 1

    keyring = tmp_path / "keyring.json"
    keyring.write_text(cluster.dki("erase", "keys").stdout)
    assert cluster.json("erase", "verify", str(receipt), "--keyring", str(keyring))["valid"]
    text = receipt.read_bytes()
    changed = tmp_path / "changed.json"
    for i in random.Random(1).sample(range(len(text)), 20):  # receipt_test has every byte
        changed.write_bytes(text[:i] + bytes([text[i] ^ 1]) + text[i + 1:])
        assert cluster.dki("erase", "verify", str(changed), check=False).returncode == 1
    assert "valid" in cluster.dki("erase", "verify", str(receipt)).stdout


def test_users_and_tenants(cluster, user, tmp_path):
    client = cluster.client
    for text in ["Ann's dog is called Biscuit.", "Ann's bicycle is green."]:
        client.add(text, user=user)
    talk = conversation(client, user)
    decision = decision_of(say(client, user, "Which dog does Ann have?", talk)).decision_id
    done = cluster.json("erase", "user", user, "--receipt", str(tmp_path / "user.json"))
    assert int(done["memories"]) == 2 and int(done["conversations"]) == 1
    assert texts_of(client, decision) == ("", "")
    assert not client.search("dog", user=user).hits

    tenant, member = cluster.new_tenant()
    member.add("Bob's cat is called Tiger.", user="bob")
    receipt = str(tmp_path / "tenant.json")
    erasure = cluster.json("erase", "tenant", tenant, "--receipt", receipt)["erasure_id"]
    verified = cluster.json("erase", "verify", receipt)
    assert verified["statement"]["tenant_id"] == tenant
    assert {r["service"] for r in verified["reports"]} >= {"retrieval", "kv"}
    assert set(cluster.json("erase", "status", erasure)["reported"]) == {r["service"] for r in verified["reports"]}


def test_a_service_that_was_away_reports_when_it_is_back(cluster, user):
    """Nothing is complete while a part is missing, and the part is named."""
    client = cluster.client
    memory = client.add("Ann's dog is called Biscuit.", user=user).memory.id
    pid = cluster.parts()["retrieval"]["pid"]
    os.kill(pid, 19)  # stopped: it lives, but does nothing
    try:
        deleted = delete(client, user, memory)
        time.sleep(3)
        result = client.call("GetErasure", dki_service_pb2.GetErasureRequest(id=deleted.erasure_id)).result
        assert "retrieval" in result.erasure.missing and not result.HasField("receipt")
    finally:
        os.kill(pid, 9)
    cluster.wait_ready(60)
    assert "retrieval" in await_reports(client, deleted.erasure_id)


# The canary.

def cluster_identity(cluster, tenant):
    """Metadata of a service that acts for a tenant (libs/rpc/identity.cc)."""
    key = bytes.fromhex((cluster.directory / "cluster.key").read_text().strip())
    request_id, issued = uuid.uuid4().hex, str(int(time.time() * 1000))
    message = "dki cluster identity 1," + "".join(
        f"{len(field)}:{field}," for field in [tenant, "", "0", request_id, issued])
    return [("dki-tenant", tenant), ("dki-key-id", ""), ("dki-permissions", ""), ("dki-issued", issued), ("x-request-id", request_id),
            ("dki-signature", hmac.new(key, message.encode(), hashlib.sha256).hexdigest())]


def block_of(cluster, memory_id, text):
    """The encoded K/V block of a memory as kv gives it."""
    channel = grpc.insecure_channel(f"127.0.0.1:{cluster.port_base + 2}", options=[("grpc.max_receive_message_length", 64 << 20)])
    kv = kv_service_pb2_grpc.KvServiceStub(channel)
    fingerprint = kv.GetStats(kv_service_pb2.GetStatsRequest(), metadata=cluster_identity(cluster, "")).model_fingerprint
    tenant = json.loads((cluster.directory / "client.json").read_text())["tenant"]
    block, mine = b"", False
    pack = kv_service_pb2.PackSpec(memories=[kv_service_pb2.PackMemory(memory_id=memory_id, text=text)])
    for part in kv.GetPack(kv_service_pb2.GetPackRequest(pack=pack, model_fingerprint=fingerprint),
                           metadata=cluster_identity(cluster, tenant)):
        if part.WhichOneof("part") == "start":
            mine = part.start.memory_id == memory_id
        elif mine:
            block += part.chunk
    channel.close()
    return block


def in_memory(pid, needles):
    """Which needles lie in what a process may write or share (sealed blocks are read-only mappings of a memfd)."""
    found, overlap = set(), max(map(len, needles.values()))
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, mode = line.split()[:2]
            if "w" not in mode and "memfd:" not in line:
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            kept = b""
            while start < end:
                try:
                    memory.seek(start)
                    piece = memory.read(min(4 << 20, end - start))
                except OSError:
                    break
                if not piece:
                    break
                start += len(piece)
                piece = kept + piece
                found |= {name for name, needle in needles.items() if needle in piece}
                kept = piece[-overlap:]
    return found


def in_files(folder, needles):
    """(needle, file) for each of the cluster's files that holds one."""
    found = set()
    for path in pathlib.Path(folder).rglob("*"):
        try:
            data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        except OSError:
            continue
        found |= {(name, str(path.relative_to(folder))) for name, needle in needles.items() if needle in data}
    return found


def everywhere(cluster, needles):
    found = in_files(cluster.directory, needles)
    for name, part in cluster.parts().items():
        if name != "postgres":
            found |= {(needle, "memory of " + name) for needle in in_memory(part["pid"], needles)}
    return found


@pytest.fixture
def own_cluster():
    with tempfile.TemporaryDirectory(prefix="dki-canary-") as directory:
        os.chmod(directory, 0o755)  # PostgreSQL runs as a user of its own
        c = Cluster(directory)
        try:
            c.up()
            yield c
        finally:
            c.down()


def test_no_byte_of_an_erased_memory_is_left(own_cluster):
    """A canary is found in files and memory before its erasure, and nowhere after the clean-up: neither text nor block."""
    cluster, client, user = own_cluster, own_cluster.client, "ann"
    canary = "".join(secrets.choice(string.ascii_lowercase) for _ in range(32))
    text = f"Ann's locker code is {canary}."
    memory = client.add(text, user=user).memory.id
    talk = conversation(client, user)
    say(client, user, "What is Ann's locker code?", talk)
    say(client, user, "And once more?", talk)
    for mode, place in [(common_pb2.MODE_INJECTED, 0), (common_pb2.MODE_PROMPT, common_pb2.PROMPT_PLACE_SYSTEM)]:
        say(client, user, "What is Ann's locker code?", mode=mode, prompt_place=place)
    client.call("UpdateMemory", dki_service_pb2.UpdateMemoryRequest(
        id=memory, viewer=common_pb2.Scope(user_id=user), update_mask={"paths": ["text"]},
        memory=dki_service_pb2.MemoryInput(text=text + " It is new.")))
    text += " It is new."
    say(client, user, "What is Ann's locker code?", talk)
    block = block_of(cluster, memory, text)
    assert len(block) > 4096
    needles = {"text": canary.encode()}
    for i, at in enumerate(range(len(block) // 4, len(block) - 64, len(block) // 6)):
        needles[f"block {i}"] = block[at:at + 48]

    before = everywhere(cluster, needles)
    assert any(name == "text" and "postgres/" in place for name, place in before), before
    assert ("text", "memory of memory_store") in before, before
    assert any(name.startswith("block") and place == "memory of kv" for name, place in before), before

    cluster.dki("erase", "memory", memory, "--user", user, "--with-conversations", "--wait")
    cluster.dki("erase", "scrub")
    cluster.wait_ready(60)
    deadline = time.monotonic() + 60
    while (left := everywhere(cluster, needles)) and time.monotonic() < deadline:
        time.sleep(2)
    assert not left, sorted(left)
    cluster.down()
    cluster.up()
    left = everywhere(cluster, needles)
    assert not left, sorted(left)
