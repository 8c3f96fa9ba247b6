"""A real listener with real transports over a few handlers, in a thread with its own loop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from flyteidl.admin import event_pb2, execution_pb2, project_pb2, task_pb2, version_pb2
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from flytelite.config import Settings
from flytelite.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from flytelite.server.dispatch import Dispatcher, Handler
from flytelite.server.grpc.server import GrpcServer
from flytelite.server.listener import Listener, bind
from flytelite.server.objects import Bucket
from flytelite.server.rest.app import create_app
from flytelite.server.store.interface import Store, TableSchema
from flytelite.server.store.memory import MemoryStore

T = TypeVar("T")


class Handlers:
    """A control plane of few rules: enough to see what a transport does with messages and errors."""

    def __init__(self, store: Store) -> None:
        self.tasks = store.table(TableSchema("tasks"))
        self.seen: list[Message] = []
        self.slow_started = threading.Semaphore(0)
        self.slow_goes_on = asyncio.Event()

    def table(self) -> dict[str, Handler]:
        methods: dict[str, Handler] = {
            "GetVersion": self.get_version,
            "ListProjects": self.list_projects,
            "CreateTask": self.create_task,
            "GetTask": self.get_task,
            "ListTasks": self.list_tasks,
            "CreateExecution": self.create_execution,
            "CreateNodeEvent": self.create_node_event,
            "GetExecution": self.get_execution,
            "TerminateExecution": self.terminate_execution,
            "UpdateNamedEntity": self.refuse,
        }
        return {f"flyteidl.service.AdminService/{name}": handler for name, handler in methods.items()}

    def get_version(self, request: Any) -> Message:
        version = version_pb2.Version(Build="b", Version="v1", BuildTime="t")
        return version_pb2.GetVersionResponse(control_plane_version=version)

    def list_projects(self, request: Any) -> Message:
        self.seen.append(request)
        project = project_pb2.Project(id="flytesnacks", name="flytesnacks")
        project.labels.values["team"] = "x"
        return project_pb2.Projects(projects=[project])

    def create_task(self, request: Any) -> Message:
        if not request.id.name:
            raise InvalidArgument("missing name")
        if request.id.name in self.tasks:
            raise AlreadyExists(f"task {request.id.name} exists")
        self.seen.append(request)
        self.tasks.put(request.id.name, {"version": request.id.version})
        return task_pb2.TaskCreateResponse()

    def get_task(self, request: Any) -> Message:
        self.seen.append(request)
        document = self.tasks.get(request.id.name)
        if document is None:
            raise NotFound(f"missing entity of type TASK with identifier {request.id.name}")
        return task_pb2.Task(id=request.id, short_description="é")

    def list_tasks(self, request: Any) -> Message:
        self.seen.append(request)
        return task_pb2.TaskList(token="next")

    def create_execution(self, request: Any) -> Message:
        raise KeyError("a bug")

    def create_node_event(self, request: Any) -> Message:
        reason = event_pb2.EventFailureReason()
        reason.already_in_terminal_state.current_phase = "SUCCEEDED"
        raise FailedPrecondition("already terminal", [reason])

    async def get_execution(self, request: Any) -> Message:
        self.slow_started.release()
        await self.slow_goes_on.wait()
        return execution_pb2.Execution(id=request.id)

    def terminate_execution(self, request: Any) -> Message:
        self.seen.append(request)
        return execution_pb2.ExecutionTerminateResponse()

    def refuse(self, request: Any) -> Message:
        raise InvalidArgument(request.metadata.description)


@dataclass
class Transports:
    """A running pair of transports and the loop they live on."""

    settings: Settings
    loop: asyncio.AbstractEventLoop
    handlers: Handlers
    dispatcher: Dispatcher
    bucket: Bucket
    grpc: GrpcServer
    listener: Listener
    endless_closed: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        return self.listener.port

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine on the server's loop and give its result."""

        async def call() -> T:
            return await function()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(30)

    async def stop(self, grace: float = 0.0) -> None:
        await asyncio.gather(self.grpc.stop(grace), self.listener.stop(grace))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def start_transports(settings: Settings) -> Transports:
    store = MemoryStore()
    handlers = Handlers(store)
    dispatcher = Dispatcher(handlers.table(), store)
    bucket = Bucket.open(settings)
    grpc_server = GrpcServer(dispatcher, settings)
    accepting = bind(settings.host, settings.port)
    try:
        await grpc_server.start()
    except BaseException:
        accepting.close()
        raise
    closed = threading.Event()

    async def endless(request: Request) -> StreamingResponse:
        async def stream() -> Any:
            try:
                yield b"first\n"
                await asyncio.Event().wait()
            finally:
                closed.set()

        return StreamingResponse(stream())

    listener = Listener(
        accepting,
        grpc_server.take,
        lambda: create_app(dispatcher, settings, bucket, [Route("/endless", endless)]),
    )
    await listener.start()
    loop = asyncio.get_running_loop()
    return Transports(settings, loop, handlers, dispatcher, bucket, grpc_server, listener, closed)


@contextmanager
def running_transports(data_dir: Path, **changes: Any) -> Iterator[Transports]:
    """Transports on a free port, stopped without grace when the block ends."""
    settings = replace(Settings(port=free_port(), data_dir=data_dir), **changes)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        started = asyncio.run_coroutine_threadsafe(start_transports(settings), loop).result(30)
        try:
            yield started
        finally:
            started.run(started.stop)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Any]:
    """Starts transports of the test's own: ``with start(grpc_port=1) as started:``."""
    return lambda **changes: running_transports(tmp_path, **changes)


@pytest.fixture(name="free_port")
def a_free_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def transports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transports]:
    with running_transports(tmp_path_factory.mktemp("data"), allowed_origins=("http://console.local:3000",)) as started:
        yield started
