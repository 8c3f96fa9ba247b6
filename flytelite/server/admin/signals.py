"""Signals: values from outside for which gate nodes wait.

Source: flyteadmin/pkg/manager/impl/signal_manager.go, .../validation/signal_validator.go.
"""

from __future__ import annotations

from flyteidl.admin import signal_pb2
from flyteidl.core import identifier_pb2

from flytelite.compiler.types import castable, literal_type
from flytelite.errors import AlreadyExists, InvalidArgument
from flytelite.server.admin import validation
from flytelite.server.admin.changes import Changes, SignalSet
from flytelite.server.admin.clock import Clock, now
from flytelite.server.admin.execution_tables import SIGNAL, SIGNALS
from flytelite.server.admin.filters import timestamp_text
from flytelite.server.admin.identifiers import execution_key, join, text
from flytelite.server.admin.listing import Listing, sort_of
from flytelite.server.admin.records import Record, Records
from flytelite.server.store.interface import Condition, Operator, Store


class Signals:
    """The signal RPCs. Messages handed out are shared: never change one."""

    def __init__(self, store: Store, changes: Changes, clock: Clock = now) -> None:
        self._records = Records(store, SIGNALS, signal_pb2.Signal)
        self._listing = Listing(self._records, SIGNAL)
        self._changes = changes
        self._clock = clock

    def get_or_create(self, request: signal_pb2.SignalGetOrCreateRequest) -> signal_pb2.Signal:
        """GetOrCreateSignal; the execution need not exist.

        Raises InvalidArgument, and AlreadyExists when there is one of another type.
        """
        _check_identifier(request.id)
        if not request.HasField("type"):
            raise validation.missing("type")
        existing = self._records.get(_key(request.id))
        if existing is None:
            return self._insert(request)
        if existing.message.type != request.type:
            raise AlreadyExists(
                f"value with matching already exists (signal [{text(request.id)}] "
                f"of type [{text(existing.message.type)}])"
            )
        return existing.message

    def list(self, request: signal_pb2.SignalListRequest) -> signal_pb2.SignalList:
        """ListSignals of one execution. Raises InvalidArgument."""
        execution = request.workflow_execution_id
        try:
            validation.execution_identifier(execution)
        except InvalidArgument:
            raise validation.missing("execution_id") from None
        validation.limit(request.limit)
        page = self._listing.page(
            rpc="ListSignals",
            limit=request.limit,
            token=request.token,
            filters=request.filters,
            sort_by=sort_of(request),
            scope=[Condition("execution", Operator.EQUAL, (execution_key(execution),))],
        )
        return signal_pb2.SignalList(signals=[record.message for record in page.records], token=page.token)

    def set(self, request: signal_pb2.SignalSetRequest) -> signal_pb2.SignalSetResponse:
        """SetSignal, any number of times.

        Raises InvalidArgument, also when no gate has made the signal yet or the value is of another type.
        """
        _check_identifier(request.id)
        if not request.HasField("value"):
            raise validation.missing("value")
        record = self._records.edit(_key(request.id))
        if record is None:
            raise InvalidArgument(
                f"failed to validate that signal [{text(request.id)}] exists, err: [signal does not exist]"
            )
        type = literal_type(request.value)
        if type is None:
            raise InvalidArgument("Failed to validate literal type for [] with err: got unknown literal type")
        if not castable(record.message.type, type):
            raise InvalidArgument(
                f"requested signal value [{text(request.value)}] is not castable to existing signal type "
                f"[{text(record.message.type)}]"
            )
        record.message.value.CopyFrom(request.value)
        record.columns["updated_at"] = timestamp_text(self._clock())
        self._records.put(record)
        self._changes.publish(SignalSet(record.message.id))
        return signal_pb2.SignalSetResponse()

    def _insert(self, request: signal_pb2.SignalGetOrCreateRequest) -> signal_pb2.Signal:
        execution, stamp = request.id.execution_id, timestamp_text(self._clock())
        signal = signal_pb2.Signal(id=request.id, type=request.type)
        columns = {
            "execution": execution_key(execution),
            "execution_project": execution.project,
            "execution_domain": execution.domain,
            "execution_name": execution.name,
            "signal_id": request.id.signal_id,
            "created_at": stamp,
            "updated_at": stamp,
        }
        self._records.put(Record(_key(request.id), signal, columns))
        return signal


def _key(id: identifier_pb2.SignalIdentifier) -> str:
    return f"{execution_key(id.execution_id)}/{join(id.signal_id)}"


def _check_identifier(id: identifier_pb2.SignalIdentifier) -> None:
    if not id.ByteSize():
        raise validation.missing("id")
    if not id.HasField("execution_id"):
        raise validation.missing("execution_id")
    validation.require(id.signal_id, "signal_id")
    validation.execution_identifier(id.execution_id)
