# SPDX-License-Identifier: Apache-2.0
"""The command line as a user has it: results, JSON, exit codes."""

import json
import os
import pty
import subprocess
import time

from cluster_harness import BIN


def test_memories_from_the_shell(cluster, user):
    added = cluster.json("memory", "add", "--user", user, "Rita's bicycle is yellow.")
    identifier = added["memory"]["id"]
    assert added["created"] and identifier.startswith("mem_")
    assert not cluster.json("memory", "add", "--user", user, "Rita's bicycle is yellow.")["created"]
    assert cluster.json("memory", "show", "--user", user, identifier)["text"] == "Rita's bicycle is yellow."
    cluster.dki("memory", "edit", "--user", user, identifier, "Rita's bicycle is green.")
    versions = cluster.json("memory", "history", "--user", user, identifier)["versions"]
    assert [v["text"] for v in versions] == ["Rita's bicycle is yellow.", "Rita's bicycle is green."]
    hits = cluster.json("memory", "search", "--user", user, "What color is the bicycle?")["hits"]
    assert [h["memory"]["id"] for h in hits] == [identifier]
    assert identifier in cluster.dki("memory", "list", "--user", user).stdout
    cluster.dki("memory", "rm", "--user", user, identifier)
    assert cluster.dki("memory", "show", "--user", user, identifier, check=False).returncode == 1


def test_import_is_idempotent(cluster, user, tmp_path):
    file = tmp_path / "memories.jsonl"
    file.write_text("".join(json.dumps({"text": f"Shelf {i} holds item {i * 7}.", "user": user, "tags": ["shelf"]}) + "\n"
                            for i in range(450)))
    first = cluster.json("memory", "import", str(file))
    assert (first["read"], first["created"]) == (450, 450)
    cluster.json("memory", "import", str(file))
    listed = cluster.json("memory", "list", "--user", user, "--limit", "1000")["memories"]
    assert len(listed) == 450
    assert all(m["tags"] == ["shelf"] for m in listed)


def test_chat_explain_audit(cluster, user):
    cluster.dki("memory", "add", "--user", user, "Rita's bicycle is yellow.")
    out = cluster.dki("chat", "--user", user, "--explain", "--max-tokens", "24", "What color is Rita's bicycle?").stdout
    assert "yellow" in out and "attention" in out and "dec_" in out
    answer = cluster.json("chat", "--user", user, "What color is Rita's bicycle?")
    explained = cluster.dki("explain", answer["decision"]["decision_id"]).stdout
    assert "Rita's bicycle is yellow." in explained and "\x1b" not in explained
    without = cluster.json("explain", answer["decision"]["decision_id"], "--without", "top")["without"]
    assert without["changed"]
    vanilla = cluster.json("chat", "--user", user, "--mode", "vanilla", "What color is Rita's bicycle?")
    assert without["answer_text"] == vanilla["text"]  # it was the only memory
    shown = cluster.dki("explain", answer["decision"]["decision_id"], "--without", without["memory_id"]).stdout
    assert "another answer: " in shown
    assert cluster.dki("explain", answer["decision"]["decision_id"], "--without", "mem_x", check=False).returncode == 2
    assert answer["decision"]["decision_id"] in cluster.dki("audit", "list", "--user", user).stdout
    assert cluster.dki("audit", "verify").stdout.startswith("valid")


def test_kv_tiers(cluster, user):
    """What an operator sees of a memory's blocks and does to them."""
    cluster.dki("memory", "add", "--user", user, "Rita's bicycle is yellow.")
    identifier = cluster.json("memory", "add", "--user", user, "Rita's boat is called Ella.")["memory"]["id"]

    def ask():
        cluster.dki("chat", "--user", user, "--no-gate", "--max-tokens", "1", "What is Rita's boat called?")
        return [b for b in cluster.json("kv", "ls", "--memory", identifier)["blocks"] if b.get("memory_id") == identifier]

    blocks = ask()
    assert {b["tier"] for b in blocks} == {"TIER_RAM", "TIER_DISK"} and all(b["n_tokens"] > 3 for b in blocks)
    assert identifier in cluster.dki("kv", "ls", "--memory", identifier).stdout
    tiers = {t["tier"]: t for t in cluster.json("kv", "stats")["tiers"]}
    assert int(tiers["TIER_RAM"]["tenant_blocks"]) >= 4 and int(tiers["TIER_DISK"]["tenant_bytes"]) > 0
    assert cluster.dki("kv", "verify").stdout.startswith("sound")

    assert cluster.json("kv", "pin", identifier)["memory"]["pinned"]
    end = time.monotonic() + 60  # the change reaches kv through the feed
    while not any(b.get("pinned") for b in blocks):
        assert time.monotonic() < end, blocks
        blocks = ask()
    cluster.dki("kv", "unpin", identifier)
    assert cluster.dki("kv", "evict", identifier).stdout.startswith("evicted")
    assert cluster.json("kv", "ls", "--memory", identifier)["blocks"] == []
    assert cluster.dki("kv", "evict", check=False).returncode == 2


def test_conversation_keeps_its_history(cluster, user):
    process = subprocess.run([BIN / "dki", "chat", "--user", user, "--max-tokens", "16"], env=cluster.environment, text=True,
                             capture_output=True, input="Hello, my name is Ottokar.\nWhat is my name?\n", timeout=120, check=True)
    assert process.stdout.count("dki explain") == 2
    decisions = cluster.json("audit", "list", "--user", user, "--limit", "2")["decisions"]
    last, first = (d["outcome"]["usage"] for d in decisions)
    assert last["prompt_tokens"] > first["prompt_tokens"] + first["completion_tokens"]
    assert last["cached_prompt_tokens"] > 0  # the first turn was not computed again


def test_exit_codes(cluster, user):
    run = lambda *arguments: cluster.dki(*arguments, check=False).returncode  # noqa: E731
    assert run("--help") == 0
    assert run("nonsense") == 2
    assert run("memory", "add", "--user", user, "") == 2
    assert run("chat", "--user", user, "--alpha", "99", "x") == 2
    assert run("explain", "dec_" + "0" * 32) == 1
    assert run("memory", "list", "--user", user, "--address", "127.0.0.1:1") == 3
    assert run("memory", "list", "--data", "/nonexistent") == 3


def test_status_doctor_completion(cluster):
    status = cluster.json("status")
    assert status["ready"] and {p["name"] for p in status["parts"]} == {
        "postgres", "memory_store", "retrieval", "kv", "generation", "orchestrator"}
    doctor = cluster.json("doctor")
    assert doctor["failures"] == 0, doctor
    script = cluster.dki("completion", "bash").stdout
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def on_a_terminal(environment, *arguments):
    """What the program writes when stdout is a terminal."""
    terminal, program = pty.openpty()
    try:
        process = subprocess.Popen([BIN / "dki", *arguments], env=environment, stdout=program, stderr=subprocess.DEVNULL)
        os.close(program)
        written = b""
        while True:
            try:
                piece = os.read(terminal, 4096)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            written += piece
        assert process.wait(timeout=60) == 0
        return written
    finally:
        os.close(terminal)


def test_colors_are_for_terminals_that_want_them(cluster):
    environment = {k: v for k, v in cluster.environment.items() if k != "NO_COLOR"} | {"TERM": "xterm"}
    assert b"\x1b[" in on_a_terminal(environment, "status")
    plain = on_a_terminal({**environment, "NO_COLOR": "1"}, "status")
    assert b"serving" in plain and b"\x1b[" not in plain


def test_the_database_has_checksums(cluster):
    asked = subprocess.run(["bash", "-c", 'exec "$(ls /usr/lib/postgresql/*/bin/pg_controldata | tail -1)" "$0"', cluster.directory / "postgres"],
                           capture_output=True, text=True, check=True)
    version = next(line.split(":")[1].strip() for line in asked.stdout.splitlines() if line.startswith("Data page checksum version"))
    assert version != "0"


def test_tenants_and_keys(cluster, user):
    cluster.dki("tenant", "add", "acme")
    key = cluster.json("key", "add", "--tenant", "acme", "--scope", "memory:read")
    assert "acme" in cluster.dki("tenant", "list").stdout
    environment = {**cluster.environment, "DKI_API_KEY": key["secret"]}
    run = lambda *arguments: subprocess.run([BIN / "dki", *arguments], env=environment, capture_output=True, text=True,  # noqa: E731
                                            check=False, timeout=60)
    assert run("memory", "list", "--user", user).returncode == 0
    refused = run("memory", "add", "--user", user, "x")
    assert refused.returncode == 1 and "memory:write" in refused.stderr
    cluster.dki("key", "revoke", "--tenant", "acme", key["key"]["id"])
    listed = cluster.dki("key", "list", "--tenant", "acme").stdout
    assert "revoked" in listed and key["secret"] not in listed
    cluster.dki("tenant", "rm", "acme")
    assert "acme" not in cluster.dki("tenant", "list").stdout.split()


def test_up_again_is_quick_and_changes_nothing(cluster):
    before = {name: part["pid"] for name, part in cluster.parts().items()}
    cluster.dki("up")
    assert {name: part["pid"] for name, part in cluster.parts().items()} == before
    assert oct(os.stat(cluster.directory / "client.json").st_mode & 0o777) == "0o600"
    assert oct(os.stat(cluster.directory / "cluster.key").st_mode & 0o777) == "0o600"


def test_a_cluster_keeps_its_model(cluster):
    refused = cluster.dki("up", "--model", "other.gguf", check=False)
    assert refused.returncode == 1 and "uses the model SmolLM2-135M-Instruct.Q4_1.gguf" in refused.stderr
