"""One execution while it runs: what all of its nodes share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from flyteidl.core import identifier_pb2, workflow_pb2

from flytelite.config import Settings
from flytelite.engine import data
from flytelite.engine.admission import Admission
from flytelite.engine.connectors.registry import Connectors
from flytelite.engine.environments.choice import Environments
from flytelite.engine.events import WorkflowPhase
from flytelite.engine.executors.interface import Executor
from flytelite.engine.places import Places, Slot, left_running
from flytelite.engine.record import EventSink, Launch, ReadView
from flytelite.engine.secrets.grants import Secrets
from flytelite.engine.small_files import SmallFiles
from flytelite.engine.tasks.bundles import Bundles
from flytelite.engine.tasks.container_engines import Engines
from flytelite.engine.tasks.memory import MemoryWatch
from flytelite.engine.tasks.temporary import Temporary
from flytelite.engine.trash import Trash

AUTO_ABORT = "Some node execution failed, auto-abort."


class Bells:
    """Lets coroutines wait for something to happen to a thing outside the engine: a child execution, a signal."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, ...], asyncio.Event] = {}

    def ring(self, key: tuple[str, ...]) -> None:
        """Wake all who wait for the thing; they look again."""
        event = self._waiting.pop(key, None)
        if event is not None:
            event.set()

    def listen(self, key: tuple[str, ...]) -> asyncio.Event:
        """An event for the next ring. Take it before looking at the thing, so that no ring is missed."""
        return self._waiting.setdefault(key, asyncio.Event())


def execution_bell(id: identifier_pb2.WorkflowExecutionIdentifier) -> tuple[str, ...]:
    """The bell that rings when an execution has ended."""
    return ("execution", id.project, id.domain, id.name)


def signal_bell(id: identifier_pb2.SignalIdentifier) -> tuple[str, ...]:
    """The bell that rings when a signal was set."""
    execution = id.execution_id
    return ("signal", execution.project, execution.domain, execution.name, id.signal_id)


@dataclass(frozen=True)
class Services:
    """What the whole engine shares."""

    view: ReadView
    sink: EventSink
    settings: Settings
    endpoint: str
    executor: Executor
    bundles: Bundles
    trash: Trash
    temporary: Temporary
    secrets: Secrets
    engines: Engines
    connectors: Connectors
    admission: Admission
    environments: Environments
    host: dict[str, str]
    engine_host: dict[str, str]
    bells: Bells = field(default_factory=Bells)
    memory: MemoryWatch = field(default_factory=MemoryWatch)
    files: SmallFiles = field(default_factory=SmallFiles)


class Run:
    """One execution: its settings, its slots, and whether it is being ended.

    The root workflow's failure policy, interruptible default and max_parallelism hold for all nested levels.
    """

    def __init__(self, services: Services, launch: Launch) -> None:
        self.services = services
        self.launch = launch
        self.id = launch.id
        self.directory: Path = data.execution_directory(services.settings, launch.id)
        self.phase: int = launch.phase
        self.abort_cause: str | None = None
        self.stopping = False
        limit = launch.spec.max_parallelism
        running = left_running(services.view, launch.id) if self.resumed else ()
        self.places = Places(limit, running) if limit > 0 else None
        template = launch.workflow.primary.template
        policy = template.metadata.on_failure
        self.lenient: bool = policy == workflow_pb2.WorkflowMetadata.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE
        self.interruptible: bool = (
            launch.spec.interruptible.value
            if launch.spec.HasField("interruptible")
            else template.metadata_defaults.interruptible
        )
        self.raw_prefix: str = (
            launch.spec.raw_output_data_config.output_location_prefix or services.settings.raw_data_prefix
        )

    @property
    def resumed(self) -> bool:
        """Whether an earlier engine had begun it."""
        return self.launch.phase not in (WorkflowPhase.UNDEFINED, WorkflowPhase.QUEUED)

    @property
    def aborting(self) -> bool:
        """Whether somebody asked for the end of the execution."""
        return self.abort_cause is not None

    def slot(self, counted: bool, who: str) -> Slot:
        """A place for a node, by the key of its note; nodes that do not count always have one."""
        return Slot(self.places if counted else None, who)

    def forget(self, who: str) -> None:
        """What an earlier engine left running is ended, and needs no place."""
        if self.places is not None:
            self.places.forget(who)

    def reason(self, otherwise: str = AUTO_ABORT) -> str:
        """Why nodes are being aborted."""
        return otherwise if self.abort_cause is None else self.abort_cause

    @property
    def recovered_from(self) -> identifier_pb2.WorkflowExecutionIdentifier | None:
        """The execution that this one recovers, if it does."""
        metadata = self.launch.spec.metadata
        recovered = metadata.mode == metadata.ExecutionMode.RECOVERED
        return metadata.reference_execution if recovered and metadata.HasField("reference_execution") else None
