# SPDX-License-Identifier: Apache-2.0
"""A part dies or restarts under a chat loop: no acknowledged memory is lost, none appears twice, and the cluster answers again
within 10 s."""

import os
import signal
import threading
import time
import uuid

import grpc
import pytest
from dki.common.v1 import common_pb2
from dki.orchestrator.v1 import dki_service_pb2

PARTS = ["memory_store", "retrieval", "kv", "generation", "orchestrator", "postgres"]


class Writer(threading.Thread):
    """Adds memories and chats until told to stop; retries with the same request id, as a client would."""

    def __init__(self, client, user):
        super().__init__(daemon=True)
        self.client, self.user = client, user
        self.acknowledged, self.stopping = {}, threading.Event()

    def run(self):
        n = 0
        while not self.stopping.is_set():
            n += 1
            text, request_id = f"Entry {n} of {self.user} is {uuid.uuid4().hex[:8]}.", uuid.uuid4().hex
            while not self.stopping.is_set():
                try:
                    self.acknowledged[self.client.add(text, user=self.user, request_id=request_id).memory.id] = text
                    self.client.chat("Which entries are there?", user=self.user, timeout=15,
                                     sampling=common_pb2.SamplingOptions(max_tokens=2))
                    break
                except grpc.RpcError:
                    self.stopping.wait(0.1)


def everything(client, user):
    memories, token = [], ""
    while True:
        page = client.call("ListMemories", dki_service_pb2.ListMemoriesRequest(
            viewer=common_pb2.Scope(user_id=user), page_size=1000, page_token=token))
        memories += [(m.id, m.text) for m in page.memories]
        token = page.next_page_token
        if not token:
            return memories


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
@pytest.mark.parametrize("part", PARTS)
def test_part_dies(cluster, user, part, how):
    if part == "postgres" and how == signal.SIGTERM:
        how = signal.SIGINT  # "fast" shutdown; SIGTERM is "smart" and waits for sessions
    writer = Writer(cluster.client, user)
    writer.start()
    while len(writer.acknowledged) < 3:
        assert writer.is_alive()
    before = cluster.parts()[part]["pid"]
    os.kill(before, how)
    recovery = cluster.wait_ready()
    enough = len(writer.acknowledged) + 2
    while len(writer.acknowledged) < enough:
        assert writer.is_alive()
    writer.stopping.set()
    writer.join(60)
    assert recovery < 10, f"{part} needed {recovery:.1f} s"
    # One that drains lives on for a while.
    deadline = time.monotonic() + 30
    while cluster.parts()[part]["pid"] in (0, before):
        assert time.monotonic() < deadline, f"{part} was not restarted"
    cluster.wait_ready()

    stored = everything(cluster.client, user)
    assert len(stored) == len(set(text for _, text in stored)), "a memory appears twice"
    assert dict(stored).items() >= writer.acknowledged.items(), "an acknowledged memory is lost"
    # And it can be found again (retrieval rebuilt what it lost).
    hits = {h.memory.id for h in cluster.client.search("Entry", user=user, k=1000).hits}
    assert hits == set(dict(stored))
    assert cluster.client.call("VerifyAudit", dki_service_pb2.VerifyAuditRequest()).result.valid


def test_kv_killed_again_and_again_serves_no_wrong_block(cluster, user):
    """Killed while it writes blocks, at any moment: the same memories answer with the same tokens, whatever was lost (P10, P11)."""
    questions = ["Who keeps the spare key?", "Where is the boat?", "When does the market open?"]
    fixed = user + "-fixed"
    for text in ["Ivo keeps the spare key.", "The boat is in shed nine.", "The market opens at seven.", "Mila's cat is called Rust."]:
        cluster.client.add(text, user=fixed)

    def once_up(call):
        deadline = time.monotonic() + 60
        while True:
            try:
                return call()
            except grpc.RpcError as error:  # kv is on its way up again
                assert error.code() == grpc.StatusCode.UNAVAILABLE and time.monotonic() < deadline, error
                time.sleep(0.05)

    def reply(question):
        return once_up(lambda: cluster.client.chat(question, user=fixed, mode=common_pb2.MODE_INJECTED, gate=False, alpha=1.0, timeout=30,
                                                   sampling=common_pb2.SamplingOptions(max_tokens=12)).text)

    def replies():
        return [reply(question) for question in questions]

    expected = replies()
    writer = Writer(cluster.client, user)
    writer.start()
    for _ in range(int(os.environ.get("DKI_KILLS", "20")) // 10):
        enough = len(writer.acknowledged) + 1
        while len(writer.acknowledged) < enough:
            assert writer.is_alive()
        pid = cluster.parts()["kv"]["pid"]
        os.kill(pid, signal.SIGKILL)
        assert replies() == expected
        deadline = time.monotonic() + 30
        while cluster.parts()["kv"]["pid"] in (0, pid):
            assert time.monotonic() < deadline, "kv was not restarted"
    writer.stopping.set()
    writer.join(60)
    stats = once_up(lambda: cluster.client.call("GetKvStats", dki_service_pb2.GetKvStatsRequest())).stats
    assert all(tier.corrupt == 0 for tier in stats.tiers), stats
