"""Real clients: flytekit in this process, and the command lines `pyflyte` and `flytelite` as child processes."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

PROJECTS = Path(__file__).parent / "projects"
POLL = timedelta(milliseconds=200)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@dataclass
class Shell:
    """Runs a command to its end in the tests' environment, with everything it printed in ``stdout``."""

    environ: Mapping[str, str]
    command: list[str]

    def __call__(
        self,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        code: int | None = 0,
        timeout: float = 90,
    ) -> subprocess.CompletedProcess[str]:
        """Fails the test when the exit code is not ``code`` (None: any will do)."""
        done = subprocess.run(
            [*self.command, *map(str, arguments)],
            env={**self.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        if code is not None and done.returncode != code:
            pytest.fail(f"{' '.join(map(str, done.args))}\nexit code {done.returncode}, expected {code}\n{done.stdout}")
        return done


@dataclass
class Client:
    """A FlyteRemote of one server, and the projects it has registered there, each once."""

    server: Any
    home: Path
    registered: dict[str, Any] = field(default_factory=dict)

    @property
    def remote(self) -> Any:
        remote = self._remote  # made before flytekit is imported here: it reads its configuration at import
        import fsspec
        from flytekit.remote.remote_fs import get_flyte_fs

        # flytekit uploads inputs to the server of whichever FlyteRemote was made last in the process.
        fsspec.register_implementation("flyte", get_flyte_fs(remote=remote), clobber=True)
        return remote

    @cached_property
    def _remote(self) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            # Set before flytekit is imported too: it looks for its configuration only once in a process.
            patch.setenv("HOME", str(self.home))
            patch.delenv("FLYTECTL_CONFIG", raising=False)
            patch.setenv("FLYTE_PLATFORM_URL", self.server.endpoint)
            patch.setenv("FLYTE_PLATFORM_INSECURE", "true")
            from flytekit.configuration import Config
            from flytekit.remote import FlyteRemote

            return FlyteRemote(Config.auto(), default_project="flytesnacks", default_domain="development")

    def register(self, name: str) -> Any:
        """The registered workflow ``module.attribute``, whose module is in a project of the same name."""
        if name not in self.registered:
            module, _, attribute = name.rpartition(".")
            entity = getattr(self.load(module), attribute)
            folder = PROJECTS / module.split(".")[0]
            self.registered[name] = self.remote.register_script(entity, source_path=str(folder), module_name=module)
        return self.registered[name]

    def start(self, name: str, /, **inputs: Any) -> Any:
        """Start an execution of a workflow of the projects."""
        return self.remote.execute(self.register(name), inputs=inputs)

    def wait(self, execution: Any, sync_nodes: bool = False, seconds: int = 90) -> Any:
        """Wait for the end; a run that does not end in time fails the test with what the server printed."""
        from flytekit.exceptions.user import FlyteTimeout

        try:
            return self.remote.wait(execution, timeout=seconds, poll_interval=POLL, sync_nodes=sync_nodes)
        except FlyteTimeout:
            nodes = {name: node.closure.phase for name, node in self.nodes(execution).items()}
            printed = self.server.printed()[-5000:]
            pytest.fail(f"{execution.id.name} did not end in {seconds} s; phases of its nodes: {nodes}\n{printed}")

    def run(self, name: str, /, sync_nodes: bool = False, **inputs: Any) -> Any:
        """Run to the end, whatever that is."""
        return self.wait(self.start(name, **inputs), sync_nodes)

    def outputs(self, name: str, /, **inputs: Any) -> dict[str, Any]:
        """Run, expect success, and return the outputs in the types of the workflow's interface."""
        execution = self.run(name, **inputs)
        assert self.phase(execution) == "SUCCEEDED", execution.closure.error
        return self.typed_outputs(execution, name)

    def typed_outputs(self, execution: Any, name: str) -> dict[str, Any]:
        module, _, attribute = name.rpartition(".")
        types = getattr(self.load(module), attribute).python_interface.outputs
        return {output: execution.outputs.get(output, as_type=kind) for output, kind in types.items()}

    def phase(self, execution: Any) -> str:
        """The name of an execution's phase."""
        from flyteidl.core.execution_pb2 import WorkflowExecution

        return str(WorkflowExecution.Phase.Name(execution.closure.phase))

    def load(self, module: str) -> Any:
        """Import a module of the projects under the name that it has for its users."""
        assert self.remote is not None  # flytekit is first imported there
        folder = str(PROJECTS / module.split(".")[0])
        if folder not in sys.path:
            sys.path.insert(0, folder)
        return importlib.import_module(module)

    # What flytekit's own models leave out is read as the messages of the API.

    def message(self, execution: Any) -> Any:
        """The Execution."""
        from flyteidl.admin.execution_pb2 import WorkflowExecutionGetRequest

        return self.remote.client.raw.get_execution(WorkflowExecutionGetRequest(id=execution.id.to_flyte_idl()))

    def nodes(self, execution: Any, parent: str = "") -> dict[str, Any]:
        """The NodeExecutions of one level, by the ids that the nodes have in the workflow."""
        from flyteidl.admin.node_execution_pb2 import NodeExecutionListRequest

        request = NodeExecutionListRequest(
            workflow_execution_id=execution.id.to_flyte_idl(), unique_parent_id=parent, limit=100
        )
        found = self.remote.client.raw.list_node_executions_paginated(request).node_executions
        return {node.metadata.spec_node_id: node for node in found}

    def attempts(self, execution: Any, node: str = "n0") -> list[Any]:
        """The TaskExecutions of a node, oldest first."""
        from flyteidl.admin.task_execution_pb2 import TaskExecutionListRequest
        from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier

        request = TaskExecutionListRequest(
            node_execution_id=NodeExecutionIdentifier(node_id=node, execution_id=execution.id.to_flyte_idl()), limit=100
        )
        found = self.remote.client.raw.list_task_executions_paginated(request).task_executions
        return sorted(found, key=lambda attempt: attempt.id.retry_attempt)


@pytest.fixture(scope="session")
def pyflyte(environ: dict[str, str]) -> Shell:
    return Shell(environ, [str(Path(sys.executable).with_name("pyflyte"))])


@pytest.fixture(scope="session")
def flytelite(environ: dict[str, str]) -> Shell:
    return Shell(environ, [sys.executable, "-m", "flytelite"])


@pytest.fixture(scope="session")
def client(server: Any, home: Path) -> Client:
    """The client of the shared server."""
    return Client(server, home)


@pytest.fixture(scope="session")
def connect(home: Path) -> Callable[[Any], Client]:
    """``connect(server)``: a client of a server of the test's own."""
    return lambda server: Client(server, home)


@pytest.fixture(scope="session")
def projects() -> Path:
    return PROJECTS
