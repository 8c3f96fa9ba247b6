"""The two small protocols through which the engine reaches the control plane: a read view and an event sink.

The engine declares them, the server's app module implements them over the admin, and tests may implement them over
anything. Every change the engine makes to an execution is an event; its own bookkeeping travels as notes in the same
atomic batch as the events it belongs to, so the two never disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from flyteidl.admin import execution_pb2, launch_plan_pb2, node_execution_pb2, signal_pb2, task_execution_pb2
from flyteidl.admin.matchable_resource_pb2 import PluginOverrides, TaskResourceAttributes
from flyteidl.core import compiler_pb2, identifier_pb2, literals_pb2
from flyteidl.event import event_pb2

Event: TypeAlias = event_pb2.WorkflowExecutionEvent | event_pb2.NodeExecutionEvent | event_pb2.TaskExecutionEvent
Note: TypeAlias = Mapping[str, Any]
"""A JSON object of the engine's own, by key."""


@dataclass(frozen=True)
class Launch:
    """All that is needed to run (or resume) one execution.

    ``spec`` holds the values after merging request, launch plan, attributes and defaults (max_parallelism, envs,
    raw_output_data_config, interruptible, overwrite_cache, labels, security_context), not the spec as it was sent.
    ``task_resources`` is what tasks get by default and the most they may have (``resources.effective_resources``),
    ``plugin_overrides`` which plugins are to run which types of tasks. ``phase`` and ``abort_cause`` tell a restarted
    engine where the execution stands.
    """

    id: identifier_pb2.WorkflowExecutionIdentifier
    workflow: compiler_pb2.CompiledWorkflowClosure
    inputs: literals_pb2.LiteralMap
    spec: execution_pb2.ExecutionSpec
    phase: int
    abort_cause: str = ""
    task_resources: TaskResourceAttributes = field(default_factory=TaskResourceAttributes)
    plugin_overrides: PluginOverrides = field(default_factory=PluginOverrides)


@dataclass(frozen=True)
class CachedArtifact:
    """Outputs in the catalog: the absolute path of their file, or an URI for ``ReadView.literal_map``.

    The metadata are those of the cache service: which execution computed them, and from which version of the task.
    """

    id: str
    outputs: str
    metadata: Mapping[str, str]
    dataset_metadata: Mapping[str, str]


@dataclass(frozen=True)
class ReservationHolder:
    """Who computes an artifact, and for how many seconds more without word from them; None: until they are done."""

    owner: str
    expires_in: float | None = None


@dataclass(frozen=True)
class UnsyncedFiles:
    """Small files of an execution that were written, and are not surely on disk: their content by path."""

    execution: identifier_pb2.WorkflowExecutionIdentifier
    contents: Mapping[Path, bytes]


class ReadView(Protocol):
    """What the engine may read. Messages handed out are shared: never change one."""

    def launch(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> Launch:
        """Raises NotFound."""

    def unfinished(self) -> list[identifier_pb2.WorkflowExecutionIdentifier]:
        """Every execution whose phase is not terminal, oldest first."""

    def execution(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> execution_pb2.Execution | None: ...

    def eager_children(
        self, id: identifier_pb2.WorkflowExecutionIdentifier
    ) -> list[identifier_pb2.WorkflowExecutionIdentifier]:
        """The executions that eager tasks of this one have started and that have not ended."""

    def execution_outputs(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> literals_pb2.LiteralMap:
        """The outputs of a SUCCEEDED execution. Raises NotFound."""

    def node_execution(self, id: identifier_pb2.NodeExecutionIdentifier) -> node_execution_pb2.NodeExecution | None: ...

    def node_executions(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> list[node_execution_pb2.NodeExecution]:
        """Every node execution of the execution, nested ones too, in the order they were created."""

    def children(self, id: identifier_pb2.NodeExecutionIdentifier) -> list[node_execution_pb2.NodeExecution]:
        """The node executions directly inside of a node, in the order they were created."""

    def task_executions(self, id: identifier_pb2.NodeExecutionIdentifier) -> list[task_execution_pb2.TaskExecution]:
        """The attempts of a node, by retry_attempt."""

    def launch_plan(self, id: identifier_pb2.Identifier) -> launch_plan_pb2.LaunchPlan | None: ...

    def note(self, key: str) -> Note | None:
        """The engine's own bookkeeping under that key."""

    def artifact(self, dataset: identifier_pb2.Identifier, tag: str) -> CachedArtifact | None:
        """What the catalog has under a tag of a dataset."""

    def literal_map(self, uri: str) -> literals_pb2.LiteralMap | None:
        """The map at an URI that is no path of a file."""


class EventSink(Protocol):
    """What the engine may change."""

    def emit(
        self,
        *events: Event,
        notes: Mapping[str, Note | None] | None = None,
        files: UnsyncedFiles | None = None,
    ) -> None:
        """Record events and notes (None removes one) as one atomic batch, by the same rules as the public event RPCs.

        ``files`` survive power loss as soon as the batch does.

        An event that was recorded before is ignored. Raises FailedPrecondition when the execution, node or task
        execution is terminal already, InvalidArgument for a malformed event.
        """

    async def durable(self) -> None:
        """Wait until everything emitted so far survives power loss; for as long as the disk refuses it."""

    def create_execution(
        self, request: execution_pb2.ExecutionCreateRequest
    ) -> identifier_pb2.WorkflowExecutionIdentifier:
        """Launch a child. Raises what CreateExecution raises; AlreadyExists means adopt."""

    def terminate_execution(self, id: identifier_pb2.WorkflowExecutionIdentifier, cause: str) -> None:
        """Ask for the end of a child; one that has ended already is left alone."""

    def signal(self, id: identifier_pb2.SignalIdentifier, type: Any) -> signal_pb2.Signal:
        """Get or create the signal (``type``: flyteidl.core.LiteralType)."""

    def keep_artifact(
        self, dataset: identifier_pb2.Identifier, tag: str, artifact: CachedArtifact, *, replace: bool
    ) -> str:
        """Put outputs into the catalog; the artifact's id. What is there stays, or keeps its id and is replaced."""

    def reserve(self, dataset: identifier_pb2.Identifier, tag: str, owner: str) -> ReservationHolder:
        """Take the reservation for the artifact unless another has it; who has it now."""

    def release(self, dataset: identifier_pb2.Identifier, tag: str, owner: str) -> None:
        """Give the reservation back, if the owner has it."""
