"""Unmodified flytekit against a real server: what its clients do is done, and outputs are those of plain Python."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPORT = "everything.workflow.report"
NODES = {f"n{number}" for number in range(11)} | {"start-node", "end-node"}

TASKS = {"describe", "read", "scale", "annotate", "archive", "remember", "judge", "tabulate", "total"}


@pytest.fixture(scope="module")
def expected(client: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the workflow returns in plain Python."""
    return client.load("everything.workflow").expected(tmp_path_factory.mktemp("plain") / "source.txt")


@pytest.fixture(scope="module")
def greeting_run(client: Any) -> Any:
    """A finished execution to look at."""
    execution = client.run("greetings.greeting", name="ada", sync_nodes=True)
    assert client.phase(execution) == "SUCCEEDED", execution.closure.error
    return execution


@pytest.fixture(params=["config file", "variables"])
def pointed(request: pytest.FixtureRequest, server: Any) -> dict[str, str]:
    """The variables by which a person points flytekit at the server, in both ways."""
    return server.by_config_file if request.param == "config file" else server.by_address


@pytest.fixture(scope="module", autouse=True)
def waiting_script(server: Any, environ: dict[str, str], projects: Path, tmp_path_factory: Any) -> Iterator[Any]:
    """A script that executes with wait=True, started first and read last: flytekit looks only every 30 seconds."""
    script = tmp_path_factory.mktemp("script") / "wait.py"
    script.write_text(
        textwrap.dedent(
            """
            from flytekit.configuration import Config
            from flytekit.remote import FlyteRemote
            import faults

            remote = FlyteRemote(Config.auto(), default_project="flytesnacks", default_domain="development")
            workflow = remote.fast_register_workflow(faults.recovering, version="waiting")
            execution = remote.execute(workflow, inputs={"value": 1}, wait=True)
            print(execution.outputs["o0"])
            """
        )
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env={**environ, **server.by_config_file, "PYTHONPATH": str(projects / "faults")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_pyflyte_register_registers_tasks_workflows_and_launch_plans(
    pyflyte: Any, server: Any, client: Any, projects: Path
) -> None:
    folder = projects / "everything"
    printed = pyflyte("register", "--version", "by-pyflyte", "everything", env=server.by_config_file, cwd=folder).stdout
    assert "Successfully registered" in printed

    remote = client.remote
    workflow = remote.fetch_workflow(name=REPORT, version="by-pyflyte")
    assert {node.id for node in workflow.flyte_nodes} == NODES - {"start-node", "end-node"}
    assert set(workflow.interface.outputs) == set(client.load("everything.workflow").Report._fields)
    assert remote.fetch_launch_plan(name=REPORT, version="by-pyflyte").workflow_id == workflow.id
    task = remote.fetch_task(name="everything.stations.scale", version="by-pyflyte")
    assert set(task.interface.inputs) == {"value", "factor"}
    assert {task.id.name.rpartition(".")[2] for task in remote.list_tasks_by_version("by-pyflyte")} == TASKS


def test_pyflyte_run_remote_gives_the_outputs_of_plain_python(
    pyflyte: Any, server: Any, client: Any, projects: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    values = client.load("everything.workflow").arguments(tmp_path / "source.txt")
    values |= {
        "source": tmp_path / "source.txt",
        "limits": json.dumps(values["limits"].model_dump()),
        "began": values["began"].strftime("%Y-%m-%dT%H:%M:%S"),
        "grade": values["grade"].value,
        "period": "1 hour 0.25 seconds",  # pyflyte cannot read a timedelta's own default
    }
    arguments = [part for name, value in values.items() for part in (f"--{name}", value)]
    printed = pyflyte(
        *("run", "--remote", "--wait", "--poll-interval", "1", "everything/workflow.py", "report"),
        *arguments,
        env=server.by_address,
        cwd=projects / "everything",
        timeout=120,
    ).stdout
    execution = client.remote.fetch_execution(name=execution_name(printed))
    client.remote.sync(execution)
    outputs = client.typed_outputs(execution, REPORT)
    assert client.load("everything.workflow").comparable(outputs) == expected


def test_flyte_remote_registers_executes_and_walks_every_node(
    client: Any, projects: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    module = client.load("everything.workflow")
    workflow = register_workflow(client, module.report, projects / "everything")
    execution = client.remote.execute(workflow, inputs=module.arguments(tmp_path / "source.txt"))
    execution = client.remote.wait(execution, timeout=90, poll_interval=1, sync_nodes=False)
    assert client.phase(execution) == "SUCCEEDED", execution.closure.error

    execution = client.remote.sync(execution, sync_nodes=True)
    assert module.comparable(client.typed_outputs(execution, REPORT)) == expected
    nodes = execution.node_executions
    assert set(nodes) == NODES
    assert {node.closure.phase for node in nodes.values()} == {3}  # SUCCEEDED
    scaled = [
        node for node in nodes.values() if node.task_executions and "scale" in node.task_executions[0].id.task_id.name
    ]
    assert sorted(node.outputs["o0"] for node in scaled) == [0.5, 7.0, 7.5]
    described = next(node for node in nodes.values() if node.inputs and "floor" in node.inputs.literals)
    assert described.inputs["floor"] == 3
    assert described.inputs["indoor"] is False
    assert len(described.task_executions) == 1


def test_fetch(client: Any, greeting_run: Any) -> None:
    remote, version = client.remote, client.register("greetings.greeting").id.version
    assert remote.fetch_task(name="greetings.greet").id.version == version
    assert remote.fetch_workflow(name="greetings.greeting").id.version == version
    assert remote.fetch_launch_plan(name="greetings.greeting").workflow_id.version == version
    fetched = remote.fetch_execution(name=greeting_run.id.name)
    assert fetched.outputs["o0"] == "hello ada hello ada"
    assert fetched.inputs["name"] == "ada"
    assert fetched.inputs["times"] == 2
    assert greeting_run.id.name in {execution.id.name for execution in remote.recent_executions(limit=100)}


def test_fetching_what_does_not_exist_says_so(client: Any) -> None:
    from flytekit.exceptions.user import FlyteEntityNotExistException

    with pytest.raises(FlyteEntityNotExistException):
        client.remote.fetch_workflow(name="greetings.absent", version="v1")
    with pytest.raises(FlyteEntityNotExistException):
        client.remote.fetch_execution(name="absent")


def test_a_launch_plan_with_fixed_and_default_inputs_runs(client: Any, projects: Path) -> None:
    greetings = client.load("greetings")
    plan = client.remote.register_script(
        greetings.greeting_world, source_path=str(projects / "greetings"), module_name="greetings"
    )
    execution = client.wait(client.remote.execute(plan, inputs={"times": 3}))
    assert execution.outputs["o0"] == "hello world hello world hello world"


def test_outputs_that_fit_into_no_message_are_fetched_and_handed_on(client: Any) -> None:
    sizes = client.load("large").SIZES
    execution = client.run("large.handed_on", sync_nodes=True)
    assert client.phase(execution) == "SUCCEEDED", execution.closure.error
    child = execution.node_executions["n0"].workflow_executions[0]
    for texts in (
        execution.outputs["o0"],
        child.node_executions["n0"].outputs["o0"],
        child.node_executions["n1"].inputs["texts"],
    ):
        assert [len(one) for one in texts] == sizes
    assert execution.outputs["o1"] == sizes


def test_a_single_task_runs(client: Any, greeting_run: Any) -> None:
    task = client.remote.fetch_task(name="greetings.greet")
    execution = client.wait(client.remote.execute(task, inputs={"name": "eve", "times": 1}), sync_nodes=True)
    assert client.phase(execution) == "SUCCEEDED", execution.closure.error
    assert execution.outputs["o0"] == "hello eve"


def test_a_task_that_was_registered_without_its_code_says_so(client: Any) -> None:
    task = client.load("greetings").greet
    execution = client.wait(client.remote.execute(task, inputs={"name": "eve", "times": 1}, version="without-code"))
    assert client.phase(execution) == "FAILED"
    message = execution.error.message
    assert "which has no module 'greetings'" in message
    assert "registered without its code" in message
    assert "fast_register_workflow" in message


def test_terminate_ends_the_process_of_the_task(client: Any, wait_until: Any, is_alive: Any, tmp_path: Path) -> None:
    execution = client.start("waiting.lingering_once", place=str(tmp_path))
    ledger = tmp_path / "one.begun"
    process = int(wait_until(lambda: ledger.exists() and ledger.read_text(), "the task to begin"))
    client.remote.terminate(execution, "it has waited long enough")
    execution = client.wait(execution)
    assert client.phase(execution) == "ABORTED"
    assert client.message(execution).closure.abort_metadata.cause == "it has waited long enough"
    wait_until(lambda: not is_alive(process), "the task's process to end")


def test_pyflyte_get_launchplan(pyflyte: Any, pointed: dict[str, str], greeting_run: Any) -> None:
    printed = pyflyte("get", "launchplan", "-p", "flytesnacks", "-d", "development", env=pointed).stdout
    assert "greetings.greeting" in printed


def test_pyflyte_info_names_the_version(pyflyte: Any, pointed: dict[str, str], server: Any) -> None:
    printed = pyflyte("info", env=pointed).stdout
    assert server.endpoint in printed
    assert re.search(r"Backend Version: *v\d", printed), printed


def test_pyflyte_relaunches(pyflyte: Any, server: Any, client: Any, greeting_run: Any) -> None:
    target = ["-p", "flytesnacks", "-d", "development", "--execution-id", greeting_run.id.name]
    printed = pyflyte("execution", *target, "relaunch", env=server.by_config_file).stdout
    name = re.search(r'name: "(\w+)"|development:(\w+)', printed)
    assert name, printed
    again = client.wait(client.remote.fetch_execution(name=name.group(1) or name.group(2)))
    assert again.id.name != greeting_run.id.name
    assert again.outputs["o0"] == "hello ada hello ada"
    assert client.message(again).spec.metadata.reference_execution.name == greeting_run.id.name


def test_pyflyte_fetches_data_by_its_address(pyflyte: Any, server: Any, greeting_run: Any) -> None:
    address = f"flyte://v1/flytesnacks/development/{greeting_run.id.name}/n0/o"
    printed = pyflyte("fetch", address, env=server.by_address).stdout
    assert "hello ada hello ada" in printed


def test_execute_waits_when_told_to(waiting_script: subprocess.Popen[str]) -> None:
    printed, _ = waiting_script.communicate(timeout=120)
    assert waiting_script.returncode == 0, printed
    assert printed.strip().splitlines()[-1] == "ready after 1"


def register_workflow(client: Any, workflow: Any, root: Path) -> Any:
    """Upload the code as a person who uses register_workflow does."""
    from flytekit.configuration import FastSerializationSettings, ImageConfig, SerializationSettings
    from flytekit.constants import CopyFileDetection
    from flytekit.tools.fast_registration import FastPackageOptions

    options = FastPackageOptions([], copy_style=CopyFileDetection.ALL)
    _, location = client.remote.fast_package(root, options=options)
    settings = SerializationSettings(
        image_config=ImageConfig.auto_default_image(),
        project="flytesnacks",
        domain="development",
        version="by-remote",
        fast_serialization_settings=FastSerializationSettings(
            enabled=True, destination_dir=".", distribution_location=location
        ),
    )
    return client.remote.register_workflow(workflow, settings, version="by-remote")


def execution_name(printed: str) -> str:
    """The name of the execution whose console address a command printed."""
    found = re.findall(r"executions/(\w+)", printed)
    assert found, printed
    return str(found[-1])
