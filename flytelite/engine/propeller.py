"""Starts, resumes, aborts and stops executions: one asyncio task each."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass

from flyteidl.core import identifier_pb2

from flytelite.config import Settings
from flytelite.engine import data, execution, placement
from flytelite.engine.aborting import abort_all
from flytelite.engine.admission import Admission
from flytelite.engine.catalog import reservation_bell
from flytelite.engine.connectors import local_service
from flytelite.engine.connectors.registry import Connectors
from flytelite.engine.environments.choice import Environments
from flytelite.engine.events import WORKFLOW_TERMINAL, WorkflowPhase
from flytelite.engine.executors.fork_executor import ForkServerExecutor
from flytelite.engine.executors.interface import Executor
from flytelite.engine.executors.masking import MaskingExecutor
from flytelite.engine.executors.subprocess import SubprocessExecutor
from flytelite.engine.failures import SYSTEM, execution_error
from flytelite.engine.machine import this_machine
from flytelite.engine.record import EventSink, ReadView
from flytelite.engine.run import Run, Services, execution_bell, signal_bell
from flytelite.engine.secrets.files import ENVIRONMENT_PREFIX, SecretFiles
from flytelite.engine.secrets.grants import Secrets
from flytelite.engine.tasks.bundles import Bundles
from flytelite.engine.tasks.container_engines import Engines
from flytelite.engine.tasks.environment import for_container_engine, from_host
from flytelite.engine.tasks.temporary import Temporary
from flytelite.engine.trash import Trash
from flytelite.errors import FlyteError

logger = logging.getLogger(__name__)

_Key = tuple[str, str, str]


@dataclass
class _Entry:
    """An execution in the engine's hands. ``run`` is None until its task has begun."""

    task: asyncio.Task[None]
    run: Run | None = None
    abort_cause: str | None = None


class Propeller:
    """The engine. All methods are called on the loop that ``start`` ran on.

    ``endpoint`` is the host:port at which tasks reach the control plane.
    """

    def __init__(
        self, view: ReadView, sink: EventSink, settings: Settings, endpoint: str, executor: Executor | None = None
    ) -> None:
        host = from_host(os.environ)
        self._services = Services(
            view=view,
            sink=sink,
            settings=settings,
            endpoint=endpoint,
            executor=executor or _executor(settings, host),
            bundles=Bundles(settings.data_dir / "bundles"),
            trash=Trash(settings.data_dir / "trash"),
            temporary=Temporary(settings.data_dir / "tmp"),
            secrets=Secrets(SecretFiles.of(settings), os.environ),
            engines=Engines(settings.containers),
            connectors=_connectors(settings),
            admission=Admission(this_machine().overridden(settings.capacity)),
            environments=Environments(settings),
            host=host,
            engine_host=for_container_engine(os.environ),
        )
        self._entries: dict[_Key, _Entry] = {}
        self._stopping = False

    async def start(self) -> None:
        """Resume every unfinished execution."""
        self._services.executor.warm()
        self._services.trash.sweep()
        await asyncio.to_thread(self._make_directories)
        for id in self._services.view.unfinished():
            self.launch(id)

    def launch(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> None:
        """Begin, or resume, an execution; nothing if the engine has it already."""
        key = _key(id)
        if self._stopping or key in self._entries:
            return
        task = asyncio.create_task(self._execute(key, id), name=f"execution {id.name}")
        self._entries[key] = _Entry(task)
        task.add_done_callback(lambda _: self._entries.pop(key, None))

    def abort(self, id: identifier_pb2.WorkflowExecutionIdentifier, cause: str) -> None:
        """End an execution; its nodes and itself are recorded as ABORTED once nothing of it runs."""
        self.launch(id)
        entry = self._entries.get(_key(id))
        if entry is None or entry.abort_cause is not None:
            return
        entry.abort_cause = cause
        if entry.run is not None:
            entry.run.abort_cause = cause
            entry.task.cancel()

    def signal_set(self, id: identifier_pb2.SignalIdentifier) -> None:
        """Wake the gate that waits for the signal."""
        self._services.bells.ring(signal_bell(id))

    def reservation_released(self, dataset: identifier_pb2.Identifier, tag: str) -> None:
        """Wake who waits to compute the artifact."""
        self._services.bells.ring(reservation_bell(dataset, tag))

    def execution_ended(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> None:
        """Wake the node that waits for this child execution."""
        self._services.bells.ring(execution_bell(id))

    async def stop(self) -> None:
        """End running attempts and leave their executions to the next start."""
        self._stopping = True
        entries = list(self._entries.values())
        for entry in entries:
            if entry.run is not None:
                entry.run.stopping = True
            entry.task.cancel()
        if entries:
            await asyncio.wait([entry.task for entry in entries])
        await self._services.connectors.close()
        await self._services.executor.close()
        await self._services.environments.close()
        await asyncio.to_thread(self._services.trash.close)
        await asyncio.to_thread(self._services.temporary.close)
        self._services.files.close()

    def _make_directories(self) -> None:
        placement.spread(data.metadata_directory(self._services.settings))
        self._services.temporary.open()
        self._services.bundles.sweep()

    async def _execute(self, key: _Key, id: identifier_pb2.WorkflowExecutionIdentifier) -> None:
        """Run one execution; whatever goes wrong here is told in its record and in the log."""
        entry = self._entries[key]
        try:
            entry.run = Run(self._services, self._services.view.launch(id))
            entry.run.abort_cause = entry.abort_cause
            await self._run(entry, entry.run)
        except asyncio.CancelledError:
            if not self._stopping:
                logger.exception("execution %s was cancelled by nobody", id.name)
            raise
        except Exception:
            # Nothing is left to tell it to but the log: the record itself refused.
            logger.exception("execution %s/%s/%s cannot be run", *key)

    async def _run(self, entry: _Entry, run: Run) -> None:
        if run.launch.phase == WorkflowPhase.ABORTING and not run.aborting:
            entry.abort_cause = run.abort_cause = run.launch.abort_cause
        if run.aborting or not await self._carry_out(entry, run):
            await execution.abort(run)

    async def _carry_out(self, entry: _Entry, run: Run) -> bool:
        """Run it to its end; False when it has to be aborted instead."""
        try:
            await execution.execute(run)
        except asyncio.CancelledError:
            if self._stopping or not run.aborting:
                raise
            entry.task.uncancel()
        except Exception as error:
            # The control plane may have accepted an abort while a step was under way, and refuse that step.
            if not run.aborting:
                await _fail(run, error)
        else:
            return True
        return not run.aborting


def _executor(settings: Settings, host: dict[str, str]) -> Executor:
    return MaskingExecutor(ForkServerExecutor(host) if settings.executor == "fork" else SubprocessExecutor())


def _connectors(settings: Settings) -> Connectors:
    env = local_service.environment(os.environ, without=ENVIRONMENT_PREFIX)
    local = local_service.LocalService(settings.connector_modules, env, settings.data_dir / "connectors.log")
    return Connectors(settings.connectors, local)


async def _fail(run: Run, error: Exception) -> None:
    """End an execution that the engine cannot go on with, and say why."""
    found = run.services.view.execution(run.id)
    if found is not None and found.closure.phase in WORKFLOW_TERMINAL:
        logger.warning("execution %s was ended by somebody else", run.id.name)
        await abort_all(run, "the execution was ended by somebody else")
        return
    logger.error("execution %s failed inside the engine", run.id.name, exc_info=error)
    reason = _text(error)
    await abort_all(run, reason)
    execution.failed(run, execution_error(SYSTEM, "RuntimeExecutionError", reason))


def _text(error: BaseException) -> str:
    kind = error.code.name if isinstance(error, FlyteError) else type(error).__name__
    return f"{kind}: {error}"


def _key(id: identifier_pb2.WorkflowExecutionIdentifier) -> _Key:
    return (id.project, id.domain, id.name)
