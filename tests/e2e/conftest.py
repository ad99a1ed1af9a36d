# SPDX-License-Identifier: Apache-2.0
"""The real cluster for the end-to-end tests, started once."""

import os
import pathlib
import sys
import tempfile
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "lib"))
from cluster_harness import MODELS, Cluster  # noqa: E402  pylint: disable=wrong-import-position


@pytest.fixture(scope="session")
def cluster():
    for file in ["SmolLM2-135M-Instruct.Q4_1.gguf", "all-MiniLM-L6-v2/model.safetensors"]:
        if not (MODELS / file).exists():
            pytest.skip(f"no model {file} in DKI_MODELS ({MODELS}): run tools/setup")
    with tempfile.TemporaryDirectory(prefix="dki-e2e-") as directory:
        os.chmod(directory, 0o755)  # PostgreSQL runs as a user of its own
        c = Cluster(directory)
        try:
            c.up()
            yield c
        finally:
            c.down()


@pytest.fixture
def user():
    """A user that no other test has."""
    return "user-" + uuid.uuid4().hex[:12]
