from __future__ import annotations

import os
import sys

import pytest

from .bench import Bench


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(autouse=True)
def _no_bytecode_of_projects(monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("FLYTE_INTERNAL_IMAGE", os.environ.get("FLYTE_INTERNAL_IMAGE", "local/flytelite:test"))
