# SPDX-License-Identifier: Apache-2.0
"""K/V between kv and generation of one machine: handed over in shared memory, streamed where that fails; and dropped from
generation's own tier when its memory is deleted."""

import os
import signal
import time
import urllib.request
import uuid

from dki.common.v1 import common_pb2
from dki.orchestrator.v1 import dki_service_pb2


def metric(cluster, part, name):
    host, port = cluster.parts()[part]["address"].rsplit(":", 1)
    text = urllib.request.urlopen(f"http://{host}:{int(port) + 100}/metrics", timeout=10).read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def eventually(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ask(cluster, user):
    return cluster.client.chat("What is stored?", user=user, gate=False, alpha=1.0,
                               sampling=common_pb2.SamplingOptions(max_tokens=2))


def handed_over(cluster):
    return metric(cluster, "generation", 'dki_generation_packs_total{way="handoff"}')


def ask_new_user(cluster):
    """A pack that nobody has asked for before."""
    name = "u-" + uuid.uuid4().hex
    cluster.client.add(f"A note of {name}.", user=name)
    return ask(cluster, name).outcome


def is_handed_over(cluster):
    before = handed_over(cluster), metric(cluster, "kv", 'dki_kv_blocks_sent_total{way="handoff"}')
    injected = ask_new_user(cluster).usage.injected_tokens > 0
    after = handed_over(cluster), metric(cluster, "kv", 'dki_kv_blocks_sent_total{way="handoff"}')
    return injected and after[0] > before[0] and after[1] >= before[1] + 3


def test_packs_are_handed_over(cluster):
    eventually(lambda: is_handed_over(cluster))
    assert (cluster.directory / "run" / "kv.sock").is_socket()


def test_without_the_socket_packs_are_streamed_and_a_new_kv_has_one(cluster):
    (cluster.directory / "run" / "kv.sock").unlink()
    os.kill(cluster.parts()["generation"]["pid"], signal.SIGKILL)  # and with it the connections that it had
    cluster.wait_ready(60)
    outcome = ask_new_user(cluster)
    assert not outcome.degraded and outcome.usage.injected_tokens > 0
    assert metric(cluster, "generation", 'dki_generation_packs_total{way="stream"}') >= 1
    assert metric(cluster, "generation", "dki_generation_handoff_failures_total") >= 1

    os.kill(cluster.parts()["kv"]["pid"], signal.SIGKILL)
    eventually(lambda: (cluster.directory / "run" / "kv.sock").is_socket())
    eventually(lambda: is_handed_over(cluster))


def test_deleted_memories_leave_generations_own_tier(cluster, user):
    memory = cluster.client.add(f"The number of {user} is 7.", user=user).memory.id
    ask(cluster, user)

    def hits():
        return metric(cluster, "generation", 'dki_generation_pack_cache_blocks_total{result="hit"}')

    def erased():
        return metric(cluster, "generation", "dki_generation_erased_blocks_total")

    hits_before, erased_before = hits(), erased()
    ask(cluster, user)
    eventually(lambda: hits() > hits_before)
    cluster.client.call("DeleteMemory", dki_service_pb2.DeleteMemoryRequest(
        id=memory, viewer=common_pb2.Scope(user_id=user)))
    eventually(lambda: erased() > erased_before)
    assert ask(cluster, user).outcome.usage.injected_tokens == 0
