"""One server for all rows: real transports over a control plane that is replaced for each call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from google.protobuf import timestamp_pb2
from google.protobuf.message import Message

from flytelite.config import Settings
from flytelite.server.admin.changes import Changes
from flytelite.server.admin.clock import Clock
from flytelite.server.admin.control_plane import ControlPlane
from flytelite.server.dispatch import Dispatcher, MethodStatistics
from flytelite.server.grpc.server import GrpcServer
from flytelite.server.listener import Listener, bind
from flytelite.server.objects import Bucket
from flytelite.server.rest.app import create_app
from flytelite.server.store.memory import MemoryStore

from .rows import METHODS, Call

START = 1_700_000_000
"""The first moment of every world's clock, which moves a second with each look at it."""


class World:
    """A control plane over a store, which is empty unless another control plane had it before."""

    def __init__(
        self, settings: Settings, bucket: Bucket, store: MemoryStore | None = None, clock: Clock | None = None
    ) -> None:
        self.bucket_path = str(settings.bucket)
        self.store = MemoryStore() if store is None else store
        seconds = count(START)
        self.control_plane = ControlPlane(
            settings,
            self.store,
            bucket,
            Changes(),
            clock=clock or (lambda: timestamp_pb2.Timestamp(seconds=next(seconds))),
        )
        self._handlers = self.control_plane.handlers()
        self.dispatcher = Dispatcher(self._handlers, self.store)

    def do(self, call: Call) -> Any:
        """Answer a call without any transport."""
        return self.answer(call.method, call.message(self.bucket_path))

    def answer(self, method: str, request: Message) -> Any:
        """The same for a request that was made elsewhere."""
        return self._handlers[METHODS[method].name](request)


class Stage:
    """The dispatcher that the transports know: it hands each call to that of the current world."""

    def __init__(self) -> None:
        self.current: Dispatcher

    @property
    def statistics(self) -> dict[str, MethodStatistics]:
        return self.current.statistics

    async def call(self, method: str, request: Message) -> Message:
        return await self.current.call(method, request)


class Server:
    """Transports that listen, on a stage."""

    def __init__(self, settings: Settings, bucket: Bucket, stage: Any, grpc: GrpcServer, listener: Listener) -> None:
        self.settings = settings
        self._bucket = bucket
        self._stage = stage
        self._grpc = grpc
        self._listener = listener

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self._listener.port}"

    def world(
        self,
        given: Sequence[Call] = (),
        objects: Mapping[str, bytes] | None = None,
        clock: Clock | None = None,
        **settings: Any,
    ) -> World:
        """Replace what the server knows by a world in which these calls were made and these objects are there."""
        self._fill_bucket(objects or {})
        world = World(replace(self.settings, **settings), self._bucket, clock=clock)
        for call in given:
            world.do(call)
        self._stage.current = world.dispatcher
        return world

    def restarted(self, world: World) -> World:
        """A world that knows only what is in the store of another one, as after a restart."""
        again = World(self.settings, self._bucket, world.store)
        self._stage.current = again.dispatcher
        return again

    def _fill_bucket(self, objects: Mapping[str, bytes]) -> None:
        for left in [path for path in self.settings.bucket.rglob("*") if path.is_file()]:
            left.unlink()
        for key, content in objects.items():
            path = self.settings.bucket / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    async def stop(self) -> None:
        await asyncio.gather(self._grpc.stop(0), self._listener.stop(0))


async def _start(data_dir: Path) -> Server:
    socket = bind("127.0.0.1", 0)
    try:
        settings = Settings(port=socket.getsockname()[1], data_dir=data_dir)
        stage: Any = Stage()
        grpc = GrpcServer(stage, settings)
        await grpc.start()
    except BaseException:
        socket.close()
        raise
    bucket = Bucket.open(settings)
    listener = Listener(socket, grpc.take, lambda: create_app(stage, settings, bucket))
    await listener.start()
    return Server(settings, bucket, stage, grpc, listener)


@contextmanager
def running(data_dir: Path) -> Iterator[Server]:
    """A server in a thread with its own loop, stopped without grace when the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(_start(data_dir), loop).result(30)
        try:
            server.world()
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
