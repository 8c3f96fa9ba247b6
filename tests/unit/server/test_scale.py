"""Large executions end as small ones do: engine, control plane and store together, as the benchmark builds them."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "benchmarks" / "bench_engine.py"


@pytest.fixture(scope="module")
def engine_bench():
    spec = importlib.util.spec_from_file_location("bench_engine", BENCH)
    module = sys.modules["bench_engine"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bench_engine"]


@pytest.mark.soak
@pytest.mark.parametrize(
    ("shape", "size"), [("chain", 1000), ("fan", 1000), ("nested", 100), ("mapped", 5000), ("dynamic", 1000)]
)
def test_a_large_execution_succeeds(engine_bench, shape, size):
    passed, used = asyncio.run(engine_bench.measure(shape, size, rounds=1))
    assert passed > 0
    assert used > 0
