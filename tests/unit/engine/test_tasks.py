"""What a task process is given: environment, directories, decks, log links, and commands that cannot be made."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from flyteidl.admin import common_pb2, matchable_resource_pb2
from flyteidl.core import execution_pb2, literals_pb2, tasks_pb2
from flyteidl.event import event_pb2
from google.protobuf import json_format

from flytelite.config import Settings
from flytelite.engine import data
from flytelite.engine.tasks.environment import from_host
from flytelite.engine.tasks.pods import container_of
from flytelite.engine.tasks.refusals import BadTaskFormat

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED

ENVIRONMENT = """
import json, os, sys
from flytekit import task, workflow

@task(environment={"OWN": "1", "FLYTE_INTERNAL_TASK_NAME": "forged", "PYTHONPATH": "/mine"})
def show() -> str:
    with open("scratch", "w") as file:
        file.write("mine")
    return json.dumps({
        "env": dict(os.environ),
        "cwd": os.getcwd(),
        "files": sorted(os.listdir(".")),
        "argv": sys.argv,
        "temporary": os.path.realpath(os.environ["TMPDIR"]),
    })

@workflow
def wf() -> str:
    return show()
"""


def test_the_environment_of_a_task(bench, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "x")
    monkeypatch.setenv("PYTHONPATH", "/the/live/tree")
    envs = common_pb2.Envs(values=[literals_pb2.KeyValuePair(key="GIVEN", value="2")])
    closure = bench.run(ENVIRONMENT, envs=envs)
    assert closure.phase == SUCCEEDED, closure
    seen = json.loads(bench.ledger.execution_outputs(bench.id).literals["o0"].scalar.primitive.string_value)
    env = seen["env"]
    assert env["OWN"] == "1"
    assert env["GIVEN"] == "2"
    assert "SECRET_OF_THE_SERVER" not in env
    assert env["FLYTE_INTERNAL_EXECUTION_WORKFLOW"] == "flytesnacks:development:flow.wf"
    assert env["FLYTE_INTERNAL_EXECUTION_ID"] == "exec"
    assert env["FLYTE_INTERNAL_TASK_NAME"] == "flow.show"
    assert env["FLYTE_INTERNAL_TASK_VERSION"] == "v1"
    assert env["FLYTE_ATTEMPT_NUMBER"] == "0"
    assert env["FLYTE_PLATFORM_URL"] == "localhost:30080"
    assert env["FLYTE_PLATFORM_INSECURE"] == "true"
    assert env["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    attempt = bench.settings.data_dir / "attempts/flytesnacks/development/exec/n0/0"
    assert seen["cwd"] == str(attempt / "work")
    assert Path(seen["temporary"]).parent == bench.settings.data_dir / "tmp"
    assert env["PYTHONPATH"] == f"/mine:{attempt / 'work'}"
    assert {"flow.py", "scratch"} <= set(seen["files"])
    assert not (attempt / "work").exists()
    assert not list((bench.settings.data_dir / "tmp").iterdir())


SOCKETS = """
import multiprocessing
from flytekit import task, workflow

@task
def count() -> str:
    with multiprocessing.Manager() as manager:
        shared = manager.list()
        child = multiprocessing.get_context("fork").Process(target=shared.append, args=(1,))
        child.start()
        child.join()
        return str(list(shared))

@workflow
def wf() -> str:
    return count()
"""


def test_temporary_files_can_be_sockets_however_long_the_attempts_path_is(bench):
    closure = bench.run(SOCKETS)
    assert closure.phase == SUCCEEDED, closure
    assert bench.ledger.execution_outputs(bench.id).literals["o0"].scalar.primitive.string_value == "[1]"


def test_log_links(bench):
    bench.run(ENVIRONMENT)
    event = [one for one in bench.ledger.of("n0") if isinstance(one, event_pb2.TaskExecutionEvent)][-1]
    path = data.log_path(bench.settings, "flytesnacks", "development", "exec", "n0", 0)
    assert [(log.name, log.uri) for log in event.logs] == [
        ("task log", "http://localhost:30080/logs/flytesnacks/development/exec/n0/0"),
        ("log file", f"file://{path}"),
    ]
    assert path.is_file()
    assert event.metadata.generated_name == "exec-n0-0"


DECK = """
from flytekit import Deck, task, workflow

@task(enable_deck=True)
def shown() -> int:
    Deck("mine", "hello")
    return 1

@task(enable_deck=True)
def failing() -> int:
    Deck("mine", "hello")
    raise ValueError("no good")
    return 1

@workflow
def wf() -> int:
    return shown()

@workflow
def bad() -> int:
    return failing()
"""


@pytest.mark.parametrize("name", ["wf", "bad"])
def test_decks_are_promised_and_kept(bench, name):
    bench.run(DECK, name)
    events = [one for one in bench.ledger.of("n0") if isinstance(one, event_pb2.NodeExecutionEvent)]
    queued, running, last = events
    assert not queued.deck_uri
    assert running.deck_uri == last.deck_uri
    assert Path(last.deck_uri).is_file()


def test_a_program_that_is_not_here(bench):
    closure = bench.build(ENVIRONMENT)
    container = closure.tasks[0].template.container
    container.args[:] = ["no-such-program"]
    bench.id = bench.ledger.create("exec", closure)
    found = bench.go(bench.id)
    assert (found.phase, found.error.code) == (FAILED, "BadTaskFormat")
    assert "[no-such-program]" in found.error.message
    assert bench.ledger.phases("n0") == ["QUEUED", "TE0 QUEUED", "RUNNING", "TE0 FAILED", "FAILED"]
    attempt = data.log_path(bench.settings, "flytesnacks", "development", "exec", "n0", 0).parent
    assert not list(attempt.iterdir()), "what was made for it stays"


def test_an_echo_needs_no_process(bench):
    source = """
from flytekit import workflow
from flytekit.core.interface import Interface
from flytekit.core.task import Echo

echo = Echo(name="echo", inputs={"a": int})

@workflow
def wf(a: int) -> int:
    return echo(a=a)
"""
    closure = bench.run(source, inputs={"a": 4})
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "4"}
    assert bench.ledger.phases("n0") == ["QUEUED", "TE0 SUCCEEDED", "SUCCEEDED"]


PLUGINS = """
from flytekit import map_task, task, workflow
from flytekit.core.task import Echo

echo = Echo(name="echo", inputs={"a": int})

@task
def same(a: int) -> int:
    return a

@workflow
def wf(a: int) -> int:
    return same(a=a)

@workflow
def echoing(a: int) -> int:
    return echo(a=a)

@workflow
def mapped(a: int) -> list[int]:
    return map_task(same)(a=[a])
"""


@pytest.mark.parametrize(
    ("name", "type", "plugins", "behavior", "runs"),
    [
        ("wf", "python-task", ["spark"], "FAIL", False),
        ("mapped", "python-task", ["spark"], "FAIL", False),
        ("echoing", "echo", ["container"], "FAIL", False),
        ("wf", "python-task", ["spark"], "USE_DEFAULT", True),
        ("wf", "python-task", ["spark", "container"], "FAIL", True),
        ("wf", "spark", ["ray"], "FAIL", True),
        ("wf", "python-task", [], "FAIL", True),
    ],
)
def test_plugin_overrides(bench, name, type, plugins, behavior, runs):
    closure = bench.build(PLUGINS, name)
    bench.id = bench.ledger.create("exec", closure, bench.literals(a=4))
    overrides = matchable_resource_pb2.PluginOverrides(
        overrides=[{"task_type": type, "plugin_id": plugins, "missing_plugin_behavior": behavior}]
    )
    bench.ledger.override_plugins(bench.id, overrides)
    found = bench.go(bench.id)
    assert found.phase == (SUCCEEDED if runs else FAILED), found
    if not runs:
        assert f"defined for task type [{type}]: PLUGIN_OVERRIDE attributes demand [" in found.error.message
        assert name == "mapped" or found.error.code == "UnsupportedTaskTypeError"


def test_a_raw_output_prefix_of_the_execution(bench):
    prefix = str(bench.directory / "elsewhere")
    source = """
from flytekit import current_context, task, workflow

@task
def where() -> str:
    return current_context().raw_output_prefix

@workflow
def wf() -> str:
    return where()
"""
    bench.run(source, raw_output_data_config=common_pb2.RawOutputDataConfig(output_location_prefix=prefix))
    found = bench.outputs()["o0"]
    assert found.startswith(prefix)
    assert found.endswith("/exec-n0-0")


def test_the_primary_container_of_a_pod():
    pod = {"containers": [{"name": "side"}, {"name": "main", "args": ["a"], "env": [{"name": "X", "value": "1"}]}]}
    template = tasks_pb2.TaskTemplate(config={"primary_container_name": "main"})
    json_format.ParseDict(pod, template.k8s_pod.pod_spec)
    container = container_of(template)
    assert list(container.args) == ["a"]
    assert container.env[0].key == "X"
    template.config["primary_container_name"] = "other"
    with pytest.raises(BadTaskFormat, match=r"Primary container \[other\] not found"):
        container_of(template)
    with pytest.raises(BadTaskFormat, match=r"type \[spark\] runs no command"):
        container_of(tasks_pb2.TaskTemplate(type="spark"))


def test_the_host_lends_little():
    kept = from_host({"HOME": "/h", "LC_ALL": "C", "https_proxy": "p", "AWS_SECRET": "s", "PYTHONPATH": "x"})
    assert kept == {"HOME": "/h", "LC_ALL": "C", "https_proxy": "p", "PATH": kept["PATH"]}
    assert kept["PATH"].endswith(":/usr/local/bin:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("n0", "n0"), ("..", "%2E%2E"), (".", "%2E"), ("a/b", "a%2Fb"), ("", "%"), ("a\0b", "a%00b"), (".git", "%2Egit")],
)
def test_names_cannot_leave_their_directory(name, expected):
    assert data.component(name) == expected


def test_files_are_replaced_whole(tmp_path):
    path = tmp_path / "a/b/outputs.pb"
    data.write_bytes(path, b"one")
    data.write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert [one.name for one in path.parent.iterdir()] == ["outputs.pb"]
    assert asyncio.run(data.read_literals(tmp_path / "missing")) is None
    assert Settings(data_dir=tmp_path).bucket == tmp_path / "my-s3-bucket"
