from __future__ import annotations

import asyncio
import logging

import pytest
from flyteidl.admin import event_pb2, project_pb2, task_pb2, version_pb2

from flytelite.errors import (
    AlreadyExists,
    Code,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    Unavailable,
    Unimplemented,
)
from flytelite.server import api
from flytelite.server.dispatch import MAX_ERROR_BYTES, MAX_LEVELS, Dispatcher
from flytelite.server.store.interface import TableSchema
from flytelite.server.store.memory import MemoryStore

VERSION = "flyteidl.service.AdminService/GetVersion"
CREATE = "flyteidl.service.AdminService/CreateTask"


class SlowDisk(MemoryStore):
    """A store whose journal reaches the disk when told."""

    def __init__(self):
        super().__init__()
        self.flushed = asyncio.Event()
        self.waited_for: list[int | None] = []
        self.broken = False

    async def durable(self, position=None):
        self.waited_for.append(position)
        await self.flushed.wait()
        if self.broken:
            raise Unavailable("the disk is gone")


def call(dispatcher: Dispatcher, method: str = VERSION):
    return asyncio.run(dispatcher.call(method, version_pb2.GetVersionRequest()))


def raising(error: Exception) -> Dispatcher:
    def handler(request):
        raise error

    return Dispatcher({VERSION: handler}, MemoryStore())


def test_synchronous_and_asynchronous_handlers_answer():
    answer = version_pb2.GetVersionResponse()

    async def coroutine(request):
        await asyncio.sleep(0)
        return answer

    for handler in (lambda request: answer, coroutine):
        assert call(Dispatcher({VERSION: handler}, MemoryStore())) is answer


def test_a_write_is_answered_when_it_is_on_disk():
    async def scenario():
        store = SlowDisk()
        table = store.table(TableSchema("tasks"))

        def create(request):
            table.put("key", {"a": 1})
            return task_pb2.TaskCreateResponse()

        dispatcher = Dispatcher({CREATE: create}, store)
        task = asyncio.create_task(dispatcher.call(CREATE, task_pb2.TaskCreateRequest()))
        done, _ = await asyncio.wait([task], timeout=0.01)
        assert not done
        assert store.waited_for == [store.position]
        store.flushed.set()
        assert isinstance(await task, task_pb2.TaskCreateResponse)

    asyncio.run(scenario())


def test_a_read_does_not_wait():
    async def scenario():
        store = SlowDisk()
        dispatcher = Dispatcher({VERSION: lambda request: version_pb2.GetVersionResponse()}, store)
        await dispatcher.call(VERSION, version_pb2.GetVersionRequest())
        assert store.waited_for == []

    asyncio.run(scenario())


def test_a_write_that_the_disk_refuses_is_not_acknowledged():
    async def scenario():
        store = SlowDisk()
        store.broken = True
        store.flushed.set()
        table = store.table(TableSchema("tasks"))

        def create(request):
            table.put("key", {"a": 1})
            return task_pb2.TaskCreateResponse()

        with pytest.raises(Unavailable, match="the disk is gone"):
            await Dispatcher({CREATE: create}, store).call(CREATE, task_pb2.TaskCreateRequest())

    asyncio.run(scenario())


def test_absent_handler_is_named_and_absent_service_is_unknown():
    dispatcher = Dispatcher({VERSION: lambda request: None}, MemoryStore())
    with pytest.raises(Unimplemented, match=r"^AdminService.CreateTask is not implemented by flytelite yet$"):
        call(dispatcher, CREATE)
    with pytest.raises(Unimplemented, match=r"^unknown service flyteidl.service.IdentityService$"):
        call(dispatcher, "flyteidl.service.IdentityService/UserInfo")


def test_handlers_of_no_rpc_are_refused():
    with pytest.raises(ValueError, match="AdminService/GetVersoin"):
        Dispatcher({"flyteidl.service.AdminService/GetVersoin": lambda request: None}, MemoryStore())


def test_flyte_errors_pass_with_their_details():
    detail = event_pb2.EventFailureReason()
    with pytest.raises(AlreadyExists, match=r"^exists$") as caught:
        call(raising(AlreadyExists("exists", [detail])))
    assert caught.value.details == (detail,)


def test_long_errors_are_cut_and_lose_their_details():
    with pytest.raises(FailedPrecondition) as caught:
        call(raising(FailedPrecondition("é" * 20_000, [event_pb2.EventFailureReason()])))
    assert caught.value.message == "é" * (MAX_ERROR_BYTES // 2)
    assert caught.value.details == ()


def test_other_exceptions_become_internal_and_are_logged(caplog):
    with caplog.at_level(logging.ERROR), pytest.raises(Internal, match=r"AdminService\.GetVersion .* KeyError: 'x'"):
        call(raising(KeyError("x")))
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("answer", [None, "text", project_pb2.Projects()])
def test_an_answer_of_another_type_is_internal(answer):
    with pytest.raises(Internal, match="TypeError"):
        call(Dispatcher({VERSION: lambda request: answer}, MemoryStore()))


def test_statistics_count_codes_and_seconds():
    dispatcher = raising(AlreadyExists("exists"))
    for _ in range(3):
        with pytest.raises(AlreadyExists):
            call(dispatcher)
    with pytest.raises(Unimplemented):
        call(dispatcher, CREATE)
    assert dispatcher.statistics[VERSION].calls == {Code.ALREADY_EXISTS: 3}
    assert dispatcher.statistics[CREATE].calls == {Code.UNIMPLEMENTED: 1}
    assert dispatcher.statistics[VERSION].seconds > 0


def nested(levels: int) -> task_pb2.TaskCreateRequest:
    """A request of so many levels."""
    request = task_pb2.TaskCreateRequest()
    type = request.spec.template.interface.inputs.variables["x"].type  # the eighth level: the map has an entry
    for _ in range(levels - 8):
        type = type.collection_type
    type.SetInParent()
    return request


def test_depth():
    for levels in (8, 9, 50):
        assert api.is_deeper(nested(levels), levels - 1)
        assert not api.is_deeper(nested(levels), levels)


def test_a_request_that_nests_too_deeply_never_reaches_its_handler():
    seen = []

    def create(request):
        seen.append(request)
        return task_pb2.TaskCreateResponse()

    dispatcher = Dispatcher({CREATE: create}, MemoryStore())
    asyncio.run(dispatcher.call(CREATE, nested(MAX_LEVELS)))
    with pytest.raises(InvalidArgument, match="more than 90 levels"):
        asyncio.run(dispatcher.call(CREATE, nested(MAX_LEVELS + 1)))
    assert len(seen) == 1
