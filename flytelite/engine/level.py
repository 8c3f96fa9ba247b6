"""One level of nodes: the root workflow, a sub-workflow, or what a dynamic task made.

Each node is a coroutine that awaits its upstream nodes; the same function runs every level.
Rules: ``flytepropeller/pkg/controller/nodes/predicate.go`` (readiness), ``.../workflow/executor.go`` (failing),
``.../nodes/subworkflow/subworkflow.go``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flyteidl.core import compiler_pb2, execution_pb2, identifier_pb2, literals_pb2, tasks_pb2, workflow_pb2
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier

from flytelite.engine import bindings, notes, offloading
from flytelite.engine.events import NodePhase
from flytelite.engine.failures import SYSTEM, USER, NodeFailed, NodeTimedOut, execution_error, failed
from flytelite.engine.naming import END_NODE, START_NODE, Parent, unique_node_id
from flytelite.engine.run import AUTO_ABORT, Run
from flytelite.engine.waiting import end_all, persistently

if TYPE_CHECKING:
    from flytelite.engine.nodes.node import NodeRun

    RunNode = Callable[["Level", workflow_pb2.Node], Awaitable["NodeResult"]]

_BLOCKING = frozenset({NodePhase.SKIPPED, NodePhase.FAILED, NodePhase.TIMED_OUT})


@dataclass(frozen=True)
class NodeResult:
    """How a node ended; ``outputs`` is None for one that has none."""

    phase: int
    outputs: literals_pb2.LiteralMap | None = None


class Library:
    """The tasks and sub-workflows of a compiled closure, by identifier."""

    def __init__(self, closure: compiler_pb2.CompiledWorkflowClosure) -> None:
        self._tasks = {_key(item.template.id): item.template for item in closure.tasks}
        self._workflows = {_key(item.template.id): item for item in closure.sub_workflows}

    def task(self, id: identifier_pb2.Identifier) -> tasks_pb2.TaskTemplate:
        """The template of that id. Raises NodeFailed when the closure lacks it."""
        found = self._tasks.get(_key(id))
        if found is None:
            raise failed(SYSTEM, "BadSpecificationError", f"failed to find task with id [{id.name}:{id.version}]")
        return found

    def workflow(self, id: identifier_pb2.Identifier) -> compiler_pb2.CompiledWorkflow:
        """The sub-workflow of that id. Raises NodeFailed when the closure lacks it."""
        found = self._workflows.get(_key(id))
        if found is None:
            message = f"failed to find sub workflow with ID [{id.name}:{id.version}]"
            raise failed(SYSTEM, "SubWorkflowExecutionFailed", message)
        return found


def _key(id: identifier_pb2.Identifier) -> tuple[str, str, str, str]:
    return (id.project, id.domain, id.name, id.version)


class Level:
    """A workflow being run below ``directory``, inside the node that ``parent`` names, which is ``inside``."""

    def __init__(
        self,
        run: Run,
        workflow: compiler_pb2.CompiledWorkflow,
        library: Library,
        directory: Path,
        parent: Parent | None = None,
        *,
        inside: NodeRun | None = None,
    ) -> None:
        self.run = run
        self.workflow = workflow
        self.library = library
        self.directory = directory
        self.parent = parent
        self.inside = inside
        self.inputs = literals_pb2.LiteralMap()
        self.failing_reason = AUTO_ABORT if parent is None else "subworkflow failed"
        self.on_failure: Callable[[execution_pb2.ExecutionError], None] | None = None
        self.failure: execution_pb2.ExecutionError | None = None
        self.timed_out = False
        self.tasks: dict[str, asyncio.Task[NodeResult]] = {}
        self._doomed: bool | None = None
        self._upstream = {id: list(ids.ids) for id, ids in workflow.connections.upstream.items()}
        self._aliases = {node.id: bindings.output_aliases(node) for node in workflow.template.nodes}

    async def ready(self, node_id: str, inside: str = "") -> bool:
        """Wait for all upstream nodes; False when one of them keeps the node from running.

        ``inside`` is the branch node that an arm belongs to: it is upstream of the arm but waits for it.
        """
        upstream = [self.tasks[id] for id in self._upstream.get(node_id, ()) if id in self.tasks and id != inside]
        if upstream:
            await asyncio.wait(upstream)
        if any(task.cancelled() or task.exception() is not None for task in upstream):
            await self.ending()
        return all(task.result().phase not in _BLOCKING for task in upstream)

    @property
    def abort_reason(self) -> str:
        """Why a node of this level is aborted: a node that it is inside of is late, or somebody's wish, or a failure in
        the level, or one outside of it."""
        late = None if self.inside is None else self.inside.late_reason
        return late or self.run.reason(AUTO_ABORT if self.failure is None else self.failing_reason)

    async def ending(self) -> None:
        """Wait to be cancelled: a node of this level failed, so all others are about to be."""
        await asyncio.Event().wait()

    def fail(self, error: execution_pb2.ExecutionError) -> None:
        """Remember why the level fails: the first failure, or under the lenient policy the last."""
        if self.failure is None or self.run.lenient:
            self.failure = error
        if self.on_failure is not None and not self.run.lenient:
            self.on_failure(self.failure)

    def is_doomed(self) -> bool:
        """Whether the record holds the failure of a node that ends this level."""
        if self._doomed is None:
            self._doomed = self._look_for_failure()
        return self._doomed

    def _look_for_failure(self) -> bool:
        if self.run.lenient:
            return False
        view = self.run.services.view
        for node in self.workflow.template.nodes:
            name = unique_node_id(self.parent, node.id)
            found = view.node_execution(NodeExecutionIdentifier(node_id=name, execution_id=self.run.id))
            if found is not None and found.closure.phase in (NodePhase.FAILED, NodePhase.TIMED_OUT):
                return True
        return False

    def outputs(self, node_id: str) -> literals_pb2.LiteralMap | None:
        """The outputs of a node that has ended. Raises KeyError for an unknown node."""
        if node_id == START_NODE:
            return self.inputs
        task = self.tasks[node_id]
        return task.result().outputs if task.done() and not task.cancelled() else None

    async def resolve(self, node: workflow_pb2.Node) -> literals_pb2.LiteralMap:
        """The node's inputs. Raises NodeFailed with code BindingResolutionFailure."""
        upstream = [self.outputs(id) for id in self._upstream.get(node.id, ()) if id == START_NODE or id in self.tasks]
        if offloading.any_offloaded(upstream):
            return await asyncio.to_thread(self._resolve, node)  # it may read files
        return self._resolve(node)

    def _resolve(self, node: workflow_pb2.Node) -> literals_pb2.LiteralMap:
        try:
            return bindings.resolve_all(node.id, node.inputs, self.outputs, self._aliases)
        except bindings.BindingResolutionFailure as error:
            raise failed(SYSTEM, "BindingResolutionFailure", str(error)) from error


async def run_level(level: Level, inputs: literals_pb2.LiteralMap) -> literals_pb2.LiteralMap:
    """Run all nodes; the outputs of the end node. Raises NodeFailed when the workflow failed.

    When it fails, its failure node has run; what a failure node raises replaces the error.
    """
    level.inputs = inputs
    try:
        return await _run_nodes(level)
    except NodeFailed as failure:
        if level.on_failure is not None:
            level.on_failure(failure.error)
        await run_failure_node(level, failure.error)
        raise NodeFailed(failure.error) from failure


async def run_failure_node(level: Level, error: execution_pb2.ExecutionError) -> None:
    """Run the workflow's failure node if it has one. Raises NodeFailed when that fails.

    When it takes too long the root fails with that, a sub-workflow with its first error.
    """
    from flytelite.engine.nodes.lifecycle import run_node

    if not level.workflow.template.HasField("failure_node"):
        return
    if level.parent is None:
        # After a restart all unfinished nodes but those of the failure node are left-overs: say that there are none.
        key = notes.execution_key(level.run.id)
        level.run.services.sink.emit(notes={key: {"cleaned": True}})
    try:
        await run_node(level, level.workflow.template.failure_node, original=error)
    except NodeTimedOut as late:
        if level.parent is None:
            raise failed(USER, "TimedOut", "FailureNode Timed-out") from late


async def _run_nodes(level: Level) -> literals_pb2.LiteralMap:
    from flytelite.engine.nodes.lifecycle import run_node

    for node in level.workflow.template.nodes:
        level.tasks[node.id] = asyncio.create_task(_member(level, node, run_node), name=node.id)
    tasks = level.tasks.values()
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await end_all(tasks)
        await _end_left_over(level)
    for task in tasks:
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, NodeFailed | NodeTimedOut):
            raise error
    if level.failure is not None:
        raise NodeFailed(level.failure)
    return level.outputs(END_NODE) or literals_pb2.LiteralMap()


async def _end_left_over(level: Level) -> None:
    """End what an earlier engine left running of nodes that were cancelled before they had taken it up."""
    from flytelite.engine.aborting import abort_left_over

    run = level.run
    if run.stopping or not run.resumed:
        return
    names = [unique_node_id(level.parent, name) for name, task in level.tasks.items() if task.cancelled()]
    ids = [NodeExecutionIdentifier(node_id=name, execution_id=run.id) for name in names]
    await persistently(asyncio.ensure_future(abort_left_over(run, ids, level.abort_reason)))


async def _member(level: Level, node: workflow_pb2.Node, run: RunNode) -> NodeResult:
    """Run a node. Under the default policy its failure ends all others, else only those after it."""
    try:
        return await run(level, node)
    except (NodeFailed, NodeTimedOut) as failure:
        if isinstance(failure, NodeFailed):
            phase, error = NodePhase.FAILED, failure.error
        else:
            phase, error = NodePhase.TIMED_OUT, execution_error(USER, "Timeout", "Timeout in node")
            level.timed_out = True
        level.fail(error)
        if not level.run.lenient:
            raise
        return NodeResult(phase)
