"""The server as a whole: what is built from what, and in which order it starts and stops. Nothing else wires."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyteidl.core import identifier_pb2

from flytelite.config import Settings
from flytelite.engine.executors import open_files
from flytelite.engine.threads import Threads
from flytelite.server.admin.changes import (
    AbortRequested,
    Change,
    Changes,
    ExecutionChanged,
    ExecutionCreated,
    ReservationReleased,
    ServerStopping,
    SignalSet,
)
from flytelite.server.admin.clock import Clock, now
from flytelite.server.admin.control_plane import ControlPlane
from flytelite.server.admin.execution_tables import EXECUTIONS
from flytelite.server.admin.phases import WORKFLOW_TERMINAL
from flytelite.server.data_directory import DataDirectory, Running
from flytelite.server.dispatch import Dispatcher
from flytelite.server.file_log import FileLog
from flytelite.server.grpc.server import GrpcServer
from flytelite.server.hold import HeldExecutions
from flytelite.server.listener import Listener, bind
from flytelite.server.objects import Bucket
from flytelite.server.scheduler import Scheduler
from flytelite.server.store.interface import Store
from flytelite.server.store.journal import JournalStore
from flytelite.server.store.memory import MemoryStore

if TYPE_CHECKING:
    from flytelite.engine.propeller import Propeller
    from flytelite.server.engine_record import EngineRecord

GET_EXECUTION = "flyteidl.service.AdminService/GetExecution"
DRAIN_SECONDS = 2.0
"""How long running calls may take once the server stops."""
RELAXED_SECONDS = 1.0
"""Between syncs of the journal with relaxed durability: about what power loss may cost."""

log = logging.getLogger(__name__)


async def serve(settings: Settings, ready: Callable[[Running], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; a second one of the first two ends the process at once.

    ``ready`` is called when the port answers. Raises FlyteError when the server cannot start: the port is taken, the
    data directory cannot be written or is another server's.
    """
    stop = asyncio.Event()
    _on_signals(stop)
    open_files.raise_limit()
    async with running(settings) as server:
        ready(server)
        await stop.wait()
        _log_stop()


@asynccontextmanager
async def running(settings: Settings, clock: Clock = now) -> AsyncIterator[Running]:
    """A server that answers while the block runs; ``clock`` is a parameter so that tests can move it.

    Raises what ``serve`` raises.
    """
    logging.getLogger("flytelite").setLevel(settings.log_level.upper())
    asyncio.get_running_loop().set_default_executor(Threads(thread_name_prefix="asyncio"))
    async with AsyncExitStack() as stack:
        socket = bind(settings.host, settings.port)
        stack.callback(socket.close)
        settings = replace(settings, port=socket.getsockname()[1])
        directory = DataDirectory(settings)
        directory.prepare()
        store = _open_store(settings)
        stack.push_async_callback(store.close)

        changes = Changes()
        bucket = Bucket.open(settings)
        control_plane = ControlPlane(settings, store, bucket, changes, clock)
        dispatcher = Dispatcher(control_plane.handlers(), store)
        files = FileLog(store, settings.bucket)
        files.restore(store.table(EXECUTIONS))
        files.attend()
        stack.push_async_callback(files.close)

        scheduler = Scheduler(control_plane.schedules, control_plane.executions.create, store, changes, clock)

        # Only for gRPC: the console, which speaks HTTP, shows what is, and looks again soon.
        held = HeldExecutions(control_plane.executions, changes, settings.hold)
        grpc = GrpcServer(dispatcher.answering({GET_EXECUTION: held.get}), settings)
        await grpc.start()
        stack.push_async_callback(grpc.stop, 0)
        listener = Listener(
            socket,
            grpc.take,
            lambda: _make_app(dispatcher, settings, bucket, control_plane, store, scheduler=scheduler),
        )
        await listener.start()
        stack.push_async_callback(_drain, listener, grpc, changes)
        # Clients are answered already; what they create meanwhile the engine finds when it starts.
        record_class, engine_class = await asyncio.to_thread(_load_engine)
        record = record_class(control_plane, store, files)
        propeller = engine_class(record, record, settings, settings.authority)
        stack.enter_context(changes.listening(lambda change: _tell(propeller, change)))
        # The engine ends before the port closes: its processes may still be talking to it.
        stack.push_async_callback(propeller.stop)
        stack.push_async_callback(scheduler.stop)
        announced = directory.announce()
        stack.callback(directory.withdraw)
        await propeller.start()
        await scheduler.start()
        # What exists now lives as long as the server: the garbage collector need not walk it again and again.
        gc.freeze()
        yield announced


def _open_store(settings: Settings) -> JournalStore | MemoryStore:
    if settings.ephemeral:
        return MemoryStore()
    return JournalStore.open(settings.store, sync_every=RELAXED_SECONDS if settings.durability == "relaxed" else 0.0)


def _load_engine() -> tuple[type[EngineRecord], type[Propeller]]:
    from flytelite.engine.propeller import Propeller
    from flytelite.server.engine_record import EngineRecord

    return EngineRecord, Propeller


async def _drain(listener: Listener, grpc: GrpcServer, changes: Changes) -> None:
    changes.publish(ServerStopping())
    await asyncio.gather(listener.stop(DRAIN_SECONDS), grpc.stop(DRAIN_SECONDS))


def _tell(propeller: Propeller, change: Change) -> None:
    match change:
        case ExecutionCreated(id):
            propeller.launch(id)
        case AbortRequested(id, cause):
            propeller.abort(id, cause)
        case SignalSet(id):
            propeller.signal_set(id)
        case ReservationReleased(dataset, tag):
            propeller.reservation_released(dataset, tag)
        case ExecutionChanged(id, terminal=True):
            propeller.execution_ended(id)


def _make_app(
    dispatcher: Dispatcher,
    settings: Settings,
    bucket: Bucket,
    control_plane: ControlPlane,
    store: Store,
    *,
    scheduler: Scheduler,
) -> Any:
    from flytelite.engine import data
    from flytelite.server.cleaning import Cleaning
    from flytelite.server.rest.app import create_app
    from flytelite.server.rest.environment_routes import environment_routes
    from flytelite.server.rest.housekeeping_routes import Housekeeping, housekeeping_routes
    from flytelite.server.rest.live import live_routes
    from flytelite.server.rest.schedule_routes import schedule_routes
    from flytelite.server.snapshots import UPLOADS, Archives

    def is_terminal(id: identifier_pb2.WorkflowExecutionIdentifier) -> bool | None:
        execution = control_plane.executions.find(id)
        return None if execution is None else execution.closure.phase in WORKFLOW_TERMINAL

    def log_path(project: str, domain: str, execution: str, node_id: str, attempt: int) -> Path:
        return data.log_path(settings, project, domain, execution, node_id, attempt)

    lock = asyncio.Lock()
    archives, cleaning = Archives(settings, store, lock), Cleaning(settings, store, lock)
    housekeeping = Housekeeping(
        archives.export, archives.take_in, cleaning.preview, cleaning.remove, settings.data_dir / UPLOADS
    )
    routes = [
        *live_routes(control_plane.changes, is_terminal, log_path),
        *housekeeping_routes(housekeeping),
        *environment_routes(settings.environments),
        *schedule_routes(control_plane.schedules),
    ]
    return create_app(dispatcher, settings, bucket, routes, scheduled=scheduler.outcomes)


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def handle(number: int) -> None:
        if stop.is_set():
            # The user asked twice: whatever holds the server up, it ends now. Attempts are adopted at the next start.
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, handle, number)
    # A terminal that closes sends it, a shell once more. nohup has it ignored.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, stop.set)


def _log_stop() -> None:
    log.info("stopping: running tasks are ended and go on at the next start")
