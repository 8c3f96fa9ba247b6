"""Forked tasks beside the same tasks as plain subprocesses, in real processes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from flyteidl.core import literals_pb2

from flytelite.engine.executors import shim
from flytelite.engine.executors.attempt import read_record
from flytelite.engine.executors.fork_executor import ForkServerExecutor
from flytelite.engine.executors.subprocess import SubprocessExecutor

from .processes import alive, is_forked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork servers are used on Linux only")


def both(forks, make):
    """The same attempt forked and as a plain subprocess: outcomes and benches."""
    forked, plain = make(), make()

    async def main():
        attempts = [
            await executor.start(bench.directory, "t", bench.command)
            for executor, bench in ((SubprocessExecutor(), plain), (forks.executor, forked))
        ]
        return [await attempt.wait() for attempt in attempts]

    expected, outcome = forks.runner.run(main())
    return (outcome, forked), (expected, plain)


# Parity


def test_a_forked_task_finds_what_a_new_process_would(forks, workshop):
    configuration = workshop.root / "configuration.yaml"
    configuration.write_text("admin:\n  endpoint: dns:///elsewhere:81\n")
    env = {"TZ": "Asia/Tokyo", "FLYTECTL_CONFIG": str(configuration)}
    (outcome, forked), (expected, plain) = both(forks, lambda: workshop.bench("describe", env=env))
    assert (outcome.exit_code, expected.exit_code) == (0, 0)
    found, wanted = json.loads(forked.result), json.loads(plain.result)
    assert found == wanted
    assert found["zone"][1] == 9
    assert found["endpoint"] == "elsewhere:81"
    assert found["working"] == [True, True]
    assert found["temporary"] == found["sandbox"].rstrip("/") == "DIR/tmp"


@pytest.mark.parametrize("how", ["raise", "exit with words", "die", "close", "late", "interrupt", "pools"])
def test_a_forked_task_ends_as_a_new_process_would(forks, workshop, how):
    (outcome, forked), (expected, plain) = both(forks, lambda: workshop.bench("end", how))
    assert (outcome.exit_code, outcome.signal, outcome.lost) == (expected.exit_code, expected.signal, expected.lost)
    assert sorted(os.listdir(forked.outputs)) == sorted(os.listdir(plain.outputs))
    assert without_times(forked.log) == without_times(plain.log)
    if forked.error is not None:
        assert forked.plain(forked.error.message) == plain.plain(plain.error.message)
        assert (forked.error.code, forked.error.kind) == (plain.error.code, plain.error.kind)


def without_times(log: str) -> list[str]:
    lines = [line.partition('"asctime"')[0] + line.partition('"name"')[2] for line in log.splitlines()]
    return [line for line in lines if line] + [line for line in log.splitlines() if "asctime" not in line]


def test_exit_codes(forks, workshop):
    benches = [workshop.bench("end", how) for how in ("exit", "exit now", "nothing")]
    assert [outcome.exit_code for outcome in forks.run(*benches)] == [3, 4, 0]


def last_line(bench):
    return "".join(bench.log.splitlines()[-1:])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--resolver", "no.such.resolver", "--", "task-module", "actions"],
        ["--no-such-option", "1", "--", "x"],
        ["--resolver=flytekit.core.python_auto_container.default_task_resolver", "task-module", "actions", "task-name",
         "lucky"],
        ["--resolver", "flytekit.core.python_auto_container.default_task_resolver", "--", "task-module", "gone",
         "task-name", "x"],
    ],
    ids=["unknown resolver", "unknown option", "click's other syntax", "unknown module"],
)  # fmt: skip
def test_unusual_command_lines_end_as_in_a_new_process(forks, workshop, arguments):
    (outcome, forked), (expected, plain) = both(forks, lambda: workshop.bench("", arguments=arguments))
    assert outcome.exit_code == expected.exit_code
    assert sorted(os.listdir(forked.outputs)) == sorted(os.listdir(plain.outputs))
    # A traceback's frames name other files; what went wrong is its last line, but for the time.
    assert re.sub(r"\d", "", last_line(forked)) == re.sub(r"\d", "", last_line(plain))


def test_an_element_of_a_map_task(forks, workshop):
    arguments = ["--resolver", "flytekit.core.array_node_map_task.ArrayNodeMapTaskResolver", "--", "vars", ""]
    arguments += ["resolver", "flytekit.core.python_auto_container.default_task_resolver"]
    arguments += ["task-module", "actions", "task-name", "twice"]
    env = {"BATCH_JOB_ARRAY_INDEX_VAR_NAME": "FLYTE_K8S_ARRAY_INDEX", "FLYTE_K8S_ARRAY_INDEX": "1"}
    bench = workshop.bench("", program="pyflyte-map-execute", arguments=arguments, env=env)
    inputs = literals_pb2.LiteralMap()
    for number in (20, 21):
        inputs.literals["number"].collection.literals.add().scalar.primitive.integer = number
    (bench.directory / "inputs.pb").write_bytes(inputs.SerializeToString())
    (outcome,) = forks.run(bench)
    assert outcome.exit_code == 0, bench.log
    found = literals_pb2.LiteralMap.FromString((bench.outputs / "outputs.pb").read_bytes())
    assert found.literals["o0"].scalar.primitive.integer == 42


# Isolation


def test_no_attempt_sees_what_another_did_to_its_process(forks, workshop):
    traces, after = workshop.bench("leave_traces"), workshop.bench("find_traces")
    forks.run(traces)
    forks.run(after)
    assert json.loads(after.result) == [None, False, os.umask(0o022), False, False, False]


def test_random_numbers_differ(forks, workshop):
    benches = [workshop.bench("lucky") for _ in range(3)]
    forks.run(*benches)
    assert [len(set(drawn)) for drawn in zip(*(bench.result.split() for bench in benches), strict=True)] == [3, 3]


def test_two_code_versions_at_once(forks, workshop, until):
    def version(text):
        source = textwrap.dedent(f"""
            from flytekit import task
            from actions import hold
            @task
            def tell(text: str) -> str:
                hold(text=text)
                import late
                return "{text} " + late.TEXT
            """)
        actions = "import time\nfrom pathlib import Path\ndef hold(text):\n    Path('running').touch()\n"
        actions += "    while not Path(text).exists(): time.sleep(0.01)\n"
        files = {"told.py": source, "late.py": f"TEXT = 'late {text}'", "actions.py": actions}
        return workshop.bench("tell", str(workshop.root / "go"), module="told", files=files)

    async def main():
        benches = [version("one"), version("two")]
        attempts = [await forks.executor.start(one.directory, one.directory.name, one.command) for one in benches]
        await until(lambda: all((one.work / "running").exists() for one in benches))
        assert all(is_forked(one) for one in benches)
        (workshop.root / "go").touch()
        for attempt in attempts:
            await attempt.wait()
        return [one.result for one in benches]

    assert forks.runner.run(main()) == ["one late one", "two late two"]


def test_what_a_task_leaves_running_ends_with_it(forks, workshop, until):
    bench = workshop.bench("fork")
    forks.run(bench)
    forks.runner.run(until(lambda: not alive(int(bench.result))))


def test_a_daemon_ends_with_its_task(forks, workshop, until):
    bench = workshop.bench("daemon")
    forks.run(bench)
    forks.runner.run(until(lambda: not alive(int(bench.result))))


@pytest.mark.parametrize("how", ["return", "die"])
def test_shared_memory_ends_with_its_task(forks, workshop, until, how):
    for _, bench in both(forks, lambda: workshop.bench("share", how)):
        name = re.search(r"shared (\w+)", bench.log)[1]
        forks.runner.run(until(lambda path=Path("/dev/shm", name): not path.exists()))


def test_each_attempt_has_event_loops_of_its_own(forks, workshop):
    benches = [workshop.bench("loops") for _ in range(3)]
    assert [outcome.exit_code for outcome in forks.run(*benches)] == [0, 0, 0]
    assert [json.loads(bench.result) for bench in benches] == [[1, 2, 3]] * 3


def test_a_full_quota_is_the_attempts_own_failure(forks, workshop):
    full, other = workshop.bench("write_much"), workshop.bench("lucky")
    assert [outcome.exit_code for outcome in forks.run(full, other)] == [0, 0]
    assert "File too large" in full.error.message
    assert other.error is None


def test_many_attempts_at_once_share_few_waiters(forks, workshop, until):
    async def main():
        benches = [workshop.bench("hold", str(workshop.root / "go")) for _ in range(20)]
        attempts = [await forks.executor.start(one.directory, one.directory.name, one.command) for one in benches]
        await until(lambda: all((one.work / "running").exists() for one in benches))
        waiters = {read_record(one.directory / shim.PROCESS)["pid"] for one in benches}
        (workshop.root / "go").touch()
        outcomes = [await attempt.wait() for attempt in attempts]
        return len(waiters), [outcome.exit_code for outcome in outcomes]

    waiters, codes = forks.runner.run(main())
    assert codes == [0] * 20
    assert 2 <= waiters <= 3


# When not to fork


def test_a_variable_that_is_read_at_the_start_gets_a_new_process(forks, workshop):
    (outcome, forked), (_, plain) = both(
        forks, lambda: workshop.bench("lucky", env={"FLYTE_SDK_LOGGING_LEVEL": str(logging.INFO)})
    )
    assert outcome.exit_code == 0
    assert len(forked.log.splitlines()) == len(plain.log.splitlines()) > 5


def test_a_module_with_the_name_of_a_library_gets_a_new_interpreter(forks, workshop):
    files = {
        "mine.py": "from flytekit import task\n@task\ndef tell(text: str) -> str:\n    return text\n",
        "sitecustomize.py": "print('customised', flush=True)",
    }
    bench = workshop.bench("tell", "x", module="mine", files=files)
    (outcome,) = forks.run(bench)
    assert (outcome.exit_code, bench.result) == (0, "x")
    assert bench.log.startswith("customised")


def test_a_program_of_another_name_is_a_subprocess(forks, workshop):
    bench = workshop.bench("")
    bench.command = replace(bench.command, argv=("/bin/sh", "-c", "echo $0; exit 5"))
    (outcome,) = forks.run(bench)
    assert (outcome.exit_code, bench.log) == (5, "/bin/sh\n")


def test_packages_installed_later_get_a_new_fork_server(forks, workshop):
    forks.run(workshop.bench("lucky"))
    before = forks.server_pid()
    (server,) = forks.executor._servers.values()
    place = next(iter(server._places))
    server._places[place] -= 1  # as if something had been installed since
    forks.run(workshop.bench("lucky"))
    assert forks.server_pid() != before


# Environments without a fork server


def environment_of(directory: Path, python: str) -> str:
    """A console script like pip's, run by a Python that is a shell script; the environment's PATH."""
    for name, text in (
        ("python", python.replace("@PYTHON@", sys.executable)),
        (
            "pyflyte-execute",
            f"#!{directory}/python\nimport sys\nfrom flytekit.bin.entrypoint import execute_task_cmd\n"
            "sys.exit(execute_task_cmd())\n",
        ),
    ):
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    return str(directory / "pyflyte-execute")


@pytest.mark.parametrize(
    ("python", "reason"),
    [
        (
            '#!/bin/sh\ncase "$1" in *fork_server/server.py) echo x >> "$(dirname "$0")/starts"; exit 1;; esac\n'
            'exec @PYTHON@ "$@"\n',
            "ends each time",
        ),
        (
            '#!/bin/sh\ncase "$1" in *fork_server/server.py) export PYTHONPATH="$(dirname "$0")/site";; esac\n'
            'exec @PYTHON@ "$@"\n',
            "started threads: ",
        ),
    ],
    ids=["crashes", "threads"],
)
def test_without_a_fork_server_tasks_are_subprocesses_and_one_line_says_why(workshop, tmp_path, caplog, python, reason):
    (tmp_path / "bin/site").mkdir(parents=True)
    (tmp_path / "bin/site/sitecustomize.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    script = environment_of(tmp_path / "bin", python)

    async def main():
        executor = ForkServerExecutor(workshop.host)
        for _ in range(2):
            bench = workshop.bench("lucky")
            command = replace(bench.command, argv=(script, *bench.command.argv[1:]))
            attempt = await executor.start(bench.directory, "t", command)
            assert (await attempt.wait()).exit_code == 0, bench.log
        await executor.close()

    asyncio.run(main())
    (record,) = caplog.records
    assert reason in record.getMessage()
    starts = tmp_path / "bin/starts"
    assert not starts.exists() or len(starts.read_text().splitlines()) == 3


def test_a_fork_server_that_could_not_be_started_is_tried_again(workshop, tmp_path, caplog):
    (tmp_path / "bin").mkdir()
    script = environment_of(
        tmp_path / "bin",
        '#!/bin/sh\ncase "$1" in *fork_server/server.py) test -e "$(dirname "$0")/room" || exit 1;; esac\n'
        'exec @PYTHON@ "$@"\n',
    )

    async def forked(executor) -> bool:
        bench = workshop.bench("lucky")
        command = replace(bench.command, argv=(script, *bench.command.argv[1:]))
        attempt = await executor.start(bench.directory, "t", command)
        assert (await attempt.wait()).exit_code == 0, bench.log
        return any(server.served for server in executor._servers.values())

    async def main():
        executor = ForkServerExecutor(workshop.host)
        executor.pause_seconds = 0.001
        assert not await forked(executor)
        assert not await forked(executor)
        (tmp_path / "bin/room").touch()
        executor._not_before = dict.fromkeys(executor._not_before, 0.0)  # the pause is over
        assert await forked(executor)
        assert not executor._losses
        await executor.close()

    asyncio.run(main())
    pauses = [float(one.split()[1]) for one in caplog.messages if one.startswith("for ")]
    assert pauses == [0.001, 0.002]
    assert caplog.messages[-1] == f"tasks of {tmp_path}/bin/python are forked again"
