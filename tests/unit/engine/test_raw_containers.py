"""Raw containers of real flytekit tasks: as processes of this machine, and by a container engine.

No container engine is needed to run these tests: a script that understands the part of podman's command line that
flytelite uses stands in for that program. It runs the command itself, with the paths of its volumes replaced.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import replace

import pytest
from flyteidl.core import execution_pb2
from flyteidl.event import event_pb2

from flytelite.engine import data
from flytelite.engine.secrets.files import Scope, SecretFiles

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED

SOURCE = """
from flytekit import ContainerTask, Secret, kwtypes, task, workflow
from flytekit.types.file import FlyteFile

SCRIPT = '''
set -e
n=$(cat /var/in/n)
echo $((n * n)) > /var/out/square
cat /var/in/text > /var/out/copied.txt
echo "given {{.inputs.n}}, $1, $GREETING, ${TOKEN:+a token}"
test -z "$TOKEN" || echo "it is $TOKEN"
'''

square = ContainerTask(
    name="square",
    image="alpine:3",
    command=["sh", "-c", SCRIPT, "sh"],
    arguments=["{{.inputs.n}}"],
    inputs=kwtypes(n=int, text=FlyteFile),
    outputs=kwtypes(square=int, copied=FlyteFile),
    input_data_dir="/var/in",
    output_data_dir="/var/out",
    environment={"GREETING": "hello /var/in"},
    secret_requests=[Secret(group="api", key="token", mount_requirement=Secret.MountType.ENV_VAR, env_var="TOKEN")],
)
failing = ContainerTask(
    name="failing",
    image="alpine:3",
    command=["sh", "-c", "echo no such table > /var/out/_ERROR"],
    outputs=kwtypes(n=int),
    input_data_dir="/var/in",
    output_data_dir="/var/out",
)
sleeping = ContainerTask(
    name="sleeping",
    image="alpine:3",
    command=["sh", "-c", "trap '' TERM; sleep 600"],
    outputs=kwtypes(n=int),
    input_data_dir="/var/in",
    output_data_dir="/var/out",
)

@task
def write() -> FlyteFile:
    with open("text", "w") as file:
        file.write("some text")
    return FlyteFile("text")

@task
def read(n: int, file: FlyteFile) -> str:
    with open(file) as opened:
        return f"{n}: {opened.read()}"

@workflow
def wf(n: int) -> str:
    found, copied = square(n=n, text=write())
    return read(n=found, file=copied)

@workflow
def bad() -> int:
    return failing()

@workflow
def long() -> int:
    return sleeping()
"""

PODMAN = """#!{python}
import json, os, sys
with open({calls!r}, "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
verb, *rest = sys.argv[1:]
if verb == "info":
    sys.exit({info})
if verb == "rm":
    sys.exit(0)
assert verb == "run", sys.argv
mounts, env, command = {{}}, {{"PATH": os.environ["PATH"]}}, []
while rest[0].startswith("--"):
    option = rest.pop(0)
    if option in ("--rm", "--init"):
        continue
    value = rest.pop(0)
    if option == "--volume":
        here, _, there = value.partition(":")
        mounts[there] = here
    elif option == "--env":
        name, given, value = value.partition("=")
        env[name] = value if given else os.environ[name]
    elif option == "--entrypoint":
        command = [value]
    else:
        assert option == "--name", option
image, *arguments = rest
command += arguments
for there, here in mounts.items():
    command = [part.replace(there, here) for part in command]
os.execvpe(command[0], command, env)
"""


def remarks(bench, node: str) -> list[str]:
    found = [one for one in bench.ledger.of(node) if isinstance(one, event_pb2.TaskExecutionEvent)]
    return [reason.reason for event in found for reason in event.reasons]


def log_of(bench, node: str) -> str:
    return data.log_path(bench.settings, "flytesnacks", "development", "exec", node, 0).read_text()


@pytest.fixture(autouse=True)
def token(bench):
    SecretFiles(bench.settings.secrets).set(Scope(), "API_TOKEN", "hunter2-hunter2")


@pytest.fixture
def on(bench, monkeypatch, tmp_path):
    """Chooses the setting, and answers the calls of the stand-in for podman, whose daemon answers or not."""
    calls = tmp_path / "calls"

    def choose(containers: str, answers: bool = True):
        bench.settings = replace(bench.settings, containers=containers)
        program = tmp_path / "bin/podman"
        program.parent.mkdir()
        program.write_text(PODMAN.format(python=sys.executable, calls=str(calls), info=0 if answers else 125))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.defpath}")
        return lambda: [json.loads(line) for line in calls.read_text().splitlines()]

    return choose


def test_on_this_machine(bench, on):
    on("host")
    closure = bench.run(SOURCE, inputs={"n": 7})
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "49: some text"}
    log = log_of(bench, "n1")
    place = data.attempt_directory(bench.settings, "flytesnacks", "development", "exec", "n1", 0)
    assert f"given 7, 7, hello {place}/inputs, a token" in log
    assert "it is ***" in log
    assert "the command of the image [alpine:3] runs as a process of this machine" in log.splitlines()[0]
    assert any("runs as a process of this machine" in remark for remark in remarks(bench, "n1"))
    assert not (place / "inputs").exists()


def test_an_engine_that_does_not_answer_leaves_it_to_this_machine(bench, on):
    calls = on("auto", answers=False)
    closure = bench.run(SOURCE, inputs={"n": 3})
    assert closure.phase == SUCCEEDED, closure
    assert calls() == [["info"]]
    assert any("no container engine answers" in remark for remark in remarks(bench, "n1"))


@pytest.mark.parametrize(
    ("containers", "told"),
    [
        ("auto", "neither docker nor podman answers: start one of them (it is looked for in PATH, docker first)"),
        ("host", "the setting `containers: host` has it run here: set `containers: auto` and have docker or podman"),
    ],
)
def test_a_program_that_only_the_image_has(bench, on, containers, told):
    on(containers, answers=False)
    closure = bench.run(SOURCE.replace('["sh", "-c", "echo', '["apk", "-c", "echo'), "bad")
    assert (closure.phase, closure.error.code) == (FAILED, "BadTaskFormat")
    assert "[apk] of the task's command is not on this machine" in closure.error.message
    assert f"It is in the image [alpine:3], which is not run as a container, as {told}" in closure.error.message


def test_in_an_engine(bench, on):
    calls = on("auto")
    closure = bench.run(SOURCE, inputs={"n": 5})
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "25: some text"}
    info, run = calls()
    assert info == ["info"]
    assert run[:5] == ["run", "--rm", "--init", "--name", "exec-n1-0"]
    assert "GREETING=hello /var/in" in run
    assert "TOKEN" in run
    assert run[run.index("alpine:3") + 1 :][0] == "-c"
    assert "hunter2-hunter2" not in json.dumps(run)
    assert "it is ***" in log_of(bench, "n1")
    assert remarks(bench, "n1") == ["task submitted"]
    assert not any(part.startswith("HOME=") for part in run)


def test_an_aborted_container_is_removed(bench, on):
    calls = on("podman")
    closure = bench.build(SOURCE, "long")
    bench.id = bench.ledger.create("exec", closure)

    async def main():
        propeller = bench.engine()
        propeller._services.executor.inner.otherwise.grace = 0.2
        await propeller.start()
        await bench.ledger.until(lambda: "n0 TE0 RUNNING" in bench.ledger.lines())
        bench.ledger.terminate(bench.id)
        propeller.abort(bench.id, "enough")
        await bench.ledger.ended(bench.id)
        await propeller.stop()

    import asyncio

    asyncio.run(asyncio.wait_for(main(), 60))
    assert calls()[-1] == ["rm", "--force", "exec-n0-0"]


@pytest.mark.parametrize(("containers", "told"), [("never", "forbidden"), ("docker", "`containers: docker`")])
def test_a_way_to_forbid_it(bench, on, containers, told):
    on(containers)
    closure = bench.run(SOURCE, "bad")
    assert (closure.phase, closure.error.code) == (FAILED, "BadTaskFormat")
    assert told in closure.error.message


def test_the_container_says_what_went_wrong(bench, on):
    on("host")
    closure = bench.run(SOURCE, "bad")
    assert closure.phase == FAILED
    assert closure.error.code == "RetriesExhausted|OutputUploadFailed"
    assert "User Error: no such table" in closure.error.message
