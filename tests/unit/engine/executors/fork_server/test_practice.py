"""What a fork server plays itself before its first fork leaves nothing but what is meant to stay."""

from __future__ import annotations

import dis
import json
import os
import signal
import sys
import tempfile
import threading
from asyncio import BaseEventLoop
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from flytelite.engine.executors.fork_server import immortals, practice, preparation, rehearsal

from ...fresh_process import in_fresh_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork servers are used on Linux only")


def state() -> dict[str, Any]:
    """What a task could change in its process, apart from what is made anew in each attempt."""
    from flytekit.core.context_manager import FlyteEntities
    from flytekit.core.data_persistence import FileAccessProvider
    from flytekit.core.type_engine import TypeEngine
    from flytekit.interfaces.stats import client
    from flytekit.utils.asyn import loop_manager

    umask = os.umask(0)
    os.umask(umask)
    return {
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "umask": umask,
        "path": list(sys.path),
        "arguments": [sys.argv, sys.orig_argv, str(sys.modules["__main__"])],
        "handlers": {number.name: str(signal.getsignal(number)) for number in signal.valid_signals() if number < 32},
        "hooks": [str(sys.excepthook), str(threading.excepthook)],
        "threads": len(os.listdir("/proc/self/task")),
        "descriptors": sorted(
            os.readlink(f"/proc/self/fd/{fd}") for fd in range(64) if os.path.exists(f"/proc/self/fd/{fd}")
        ),
        "entities": [str(entity) for entity in FlyteEntities.entities],
        "transformers": sorted(map(str, TypeEngine._REGISTRY)),
        "transfers": [str(FileAccessProvider.get_data), str(FileAccessProvider.put_data)],
        "loops": sorted(loop_manager._runner_map),
        "statistics": str(client._stats_client),
        "temporary": tempfile.tempdir,
        "played": practice.MODULE in sys.modules,
    }


def instructions(function: FunctionType) -> list[str]:
    """What the interpreter has made of the code by now."""
    return [one.opname for one in dis.get_instructions(function, adaptive=True)]


def practise(result: Path, lacks: str = "") -> None:
    from flytekit.bin import entrypoint
    from flytekit.core import context_manager

    prepared = preparation.prepare()
    tempfile.tempdir = None
    before = state()
    if lacks == "a part of flytekit":
        del context_manager.FlyteEntities
    elif lacks == "a place":
        tempfile.tempdir = f"{result}/nowhere"
    functions = [entrypoint._dispatch_execute, BaseEventLoop._check_running]  # a loop starts once in a process
    code = [instructions(one) for one in functions]
    practice.practise(prepared)
    changes = {} if lacks else {name: [before[name], value] for name, value in state().items() if before[name] != value}
    forgotten = sorted(sys.modules.keys() - prepared.modules)
    learnt = [instructions(one) != before for one, before in zip(functions, code, strict=True)]
    result.write_text(json.dumps([changes, forgotten, learnt]))


def test_a_process_that_has_practised_is_as_it_was_but_for_its_code(tmp_path):
    result = tmp_path / "result"
    assert in_fresh_process(practise, result) == 0
    assert json.loads(result.read_text()) == [{}, [], [True, True]]


@pytest.mark.parametrize("lacks", ["a part of flytekit", "a place"])
def test_where_it_cannot_be_it_is_left_out(tmp_path, lacks):
    result = tmp_path / "result"
    assert in_fresh_process(practise, result, lacks) == 0
    assert json.loads(result.read_text()) == [{}, [], [False, False]]


def prepare(result: Path, place: Path) -> None:
    sys.path.insert(0, str(place))
    prepared = preparation.prepare()
    practice.practise(prepared)
    result.write_text(json.dumps(["plugin" in prepared.modules, "pyarrow" in prepared.modules]))


def test_a_plugin_of_flytekit_may_import_pyarrow(tmp_path):
    """pandera's does, and pyarrow's allocator starts a thread, which no fork has."""
    (tmp_path / "plugin.py").write_text("import pyarrow.lib")
    (tmp_path / "plugin-1.dist-info").mkdir()
    (tmp_path / "plugin-1.dist-info/METADATA").write_text("Name: plugin\nVersion: 1\n")
    (tmp_path / "plugin-1.dist-info/entry_points.txt").write_text("[flytekit.plugins]\nplugin = plugin\n")
    result = tmp_path / "result"
    assert in_fresh_process(prepare, result, tmp_path) == 0
    assert json.loads(result.read_text()) == [True, True]


def written(needed: list[rehearsal.Advice]) -> int:
    return sum(advice.length for advice in needed if advice.kind == rehearsal.MADV_POPULATE_WRITE)


def immortalise(result: Path) -> None:
    from flytekit import task

    prepared = preparation.prepare()
    practice.practise(prepared)
    before, count = rehearsal.rehearse(prepared), sys.getrefcount(task)
    immortals.immortalise(prepared)
    after, now = rehearsal.rehearse(prepared), sys.getrefcount(task)
    result.write_text(json.dumps([written(before), written(after), count, now, sys.getrefcount(None)]))


def test_tasks_need_less_memory_of_their_own_when_what_they_refer_to_is_immortal(tmp_path):
    result = tmp_path / "result"
    assert in_fresh_process(immortalise, result) == 0
    before, after, count, now, immortal = json.loads(result.read_text())
    if immortals.SUPPORTED:
        assert after < before * 0.45  # 0.51 where the constants of code are not
        assert now == immortal
    else:
        assert after > before * 2 / 3
        assert now < count + 10
