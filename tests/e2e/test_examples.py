# SPDX-License-Identifier: Apache-2.0
"""The examples of the README run as they are."""

import subprocess
import sys

from cluster_harness import BIN, ROOT


def test_cpp_example(cluster):
    out = subprocess.run([BIN / "dki_example", cluster.address, cluster.key], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "Biscuit" in out and "attention share" in out


def test_python_example(cluster, tmp_path):
    """As its own head says: stubs by grpc_tools, then the program."""
    protos = [str(p) for p in (ROOT / "proto" / "dki").rglob("*.proto")]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I", ROOT / "proto", f"--python_out={tmp_path}",
                    f"--grpc_python_out={tmp_path}", *protos], check=True, timeout=60)
    out = subprocess.run([sys.executable, ROOT / "examples/python/remember.py"], env={**cluster.environment, "PYTHONPATH": str(tmp_path)},
                         capture_output=True, text=True, timeout=60, check=True).stdout
    assert "Biscuit" in out and "attention share" in out
