"""Which commands are forked, and how their arguments are read."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flytelite.engine.executors.fork_commands import interpreter_for, interpreter_of, needs_own_start
from flytelite.engine.executors.fork_server.entrypoint import Entrypoint
from flytelite.engine.executors.fork_server.task import shadows

HOST = {"PATH": "/usr/bin", "HOME": "/home/me", "LANG": "C.UTF-8"}
BODY = "import sys\nfrom flytekit.bin.entrypoint import execute_task_cmd\nsys.exit(execute_task_cmd())\n"


@pytest.mark.parametrize(
    "added",
    [
        {"FLYTE_SDK_LOGGING_LEVEL": "10"},
        {"PYTHONHASHSEED": "0"},
        {"PYTHONUNBUFFERED": "1"},
        {"LD_PRELOAD": "x.so"},
        {"OMP_NUM_THREADS": "1"},
        {"_F_P_WRITE_CHUNK_SIZE": "1"},
        {"_F_RUNTIME_PACKAGES": "pandas"},
        {"LC_ALL": "de_DE.ISO-8859-1"},
        {"LANG": "de_DE.UTF-8"},
        {"HOME": "/elsewhere"},
    ],
)
def test_what_is_read_at_the_start_of_a_process_needs_one(added):
    assert needs_own_start({**HOST, **added}, HOST)
    assert not needs_own_start({**HOST, **added}, {**HOST, **added})


def test_other_variables_do_not():
    ours = {"PYTHONPATH": "/work", "_F_SS_C": "x", "FLYTE_PLATFORM_URL": "x", "MINE": "x", "PATH": "/bin", "TZ": "UTC"}
    assert not needs_own_start({**HOST, **ours}, HOST)


@pytest.mark.parametrize(
    ("text", "python"),
    [
        (f"#!/venv/bin/python3\n{BODY}", "/venv/bin/python3"),
        (f"#!/bin/sh\n'''exec' \"/a long/bin/python3.11\" \"$0\" \"$@\"\n' '''\n{BODY}", "/a long/bin/python3.11"),
        (f"#!/bin/sh\n'''exec' /long/bin/python \"$0\" \"$@\"\n' '''\n{BODY}", "/long/bin/python"),
        ("#!/venv/bin/python3\nprint('my own')\n", None),
        (f"#!/usr/bin/env python3\n{BODY}", None),
        ("\x7fELF", None),
    ],
)
def test_the_interpreter_of_a_console_script(tmp_path, text, python):
    script = tmp_path / "pyflyte-execute"
    script.write_text(text)
    assert interpreter_of(script) == python


def test_the_console_scripts_of_this_environment():
    for name in ("pyflyte-execute", "pyflyte-map-execute"):
        python = interpreter_of(Path(sys.executable).with_name(name))
        assert python is not None
        assert Path(python).samefile(sys.executable)
    assert interpreter_of(Path("/no/such/file")) is None


def test_only_task_commands_are_forked(workshop):
    command = workshop.bench("lucky").command
    assert interpreter_for(command, workshop.host) is not None
    assert interpreter_for(replace(command, argv=("/bin/true",)), workshop.host) is None
    assert interpreter_for(replace(command, env={**command.env, "PYTHONOPTIMIZE": "1"}), workshop.host) is None


# Arguments


@pytest.fixture(scope="module", params=["execute_task_cmd", "map_execute_task_cmd"])
def entrypoint(request):
    from flytekit.bin import entrypoint as commands

    command = getattr(commands, request.param)
    return Entrypoint(command.name, command)


WORDS = st.one_of(
    st.sampled_from(
        ["--inputs", "--output-prefix", "--resolver", "--raw-output-data-prefix", "--prev-checkpoint", "--test",
         "--max-concurrency", "--checkpoint-path", "--dynamic-dest-dir", "--", "--unknown", "--inputs=x", "-", "-x",
         "", '""', "7", "task-name"]
    ),
    st.text(max_size=3),
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(words=st.lists(WORDS, max_size=12))
def test_arguments_are_read_as_click_reads_them_or_left_to_it(entrypoint, words):
    arguments = ["--inputs", "i", "--output-prefix", "o", "--resolver", "r", *words, "--", "task-module", "m"]
    mine = entrypoint.parameters(arguments)
    try:
        wanted = entrypoint.command.make_context(entrypoint.name, list(arguments)).params
    except click.ClickException:
        wanted = None
    assert mine is None or mine == wanted


def test_the_usual_arguments_are_not_left_to_click(entrypoint):
    arguments = [
        "--inputs",
        "i",
        "--output-prefix",
        "o",
        "--prev-checkpoint",
        '""',
        "--resolver",
        "r",
        "--",
        "a",
        "--b",
    ]
    wanted = entrypoint.command.make_context(entrypoint.name, list(arguments)).params
    assert entrypoint.parameters(arguments) == wanted


# Names of modules


@pytest.mark.parametrize(
    ("name", "found"),
    [("yaml.py", True), ("yaml.cpython-311-x86_64-linux-gnu.so", True), ("yaml.txt", False), ("mine.py", False),
     ("sitecustomize.py", True), ("yaml", False), ("yaml/__init__.py", True), ("yaml/data.json", False)],
)  # fmt: skip
def test_modules_that_would_take_a_librarys_place(tmp_path, name, found):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert shadows(str(tmp_path), {"yaml", "sitecustomize"}) == found


def test_a_path_that_is_no_directory_holds_no_modules(tmp_path):
    assert not shadows(str(tmp_path / "gone.zip"), {"yaml"})
