"""Documents of a snapshot that come from elsewhere: checked, moved to where they are now, and put beside one's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flyteidl.admin import launch_plan_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from flytelite.compiler.digests import is_same
from flytelite.errors import AlreadyExists, Internal, InvalidArgument
from flytelite.server.admin import phases
from flytelite.server.admin.closures import CLOSURES, digest_of
from flytelite.server.admin.execution_settings import Config
from flytelite.server.admin.execution_tables import EXECUTIONS, NODE_EXECUTIONS
from flytelite.server.admin.identifiers import join
from flytelite.server.admin.launch_plans import as_registered
from flytelite.server.admin.literal_maps import LITERAL_MAPS, SCHEME, document_of, map_of
from flytelite.server.admin.registry_tables import LAUNCH_PLANS, TASKS, WORKFLOWS
from flytelite.server.admin.snapshot_tables import CARRIED, OF_EXECUTION, Entry, execution_of
from flytelite.server.admin.snapshots import LITERAL_MAP, Place, closure_holders
from flytelite.server.store.interface import Condition, Document, Operator, Store
from flytelite.strings import Change, in_document, in_message

_ENTITIES = {TASKS.name: "task", WORKFLOWS.name: "workflow", LAUNCH_PLANS.name: "launch plan"}
_NEEDED = {
    EXECUTIONS.name: ("created_at", "inputs_uri", "user_inputs_uri", "workflow_id", "user"),
    LAUNCH_PLANS.name: ("project_domain", "name", "state", "launch_condition_type"),
}
"""Columns without which a document cannot be worked with; lists do without the others."""
_INACTIVE, _ACTIVE = launch_plan_pb2.INACTIVE, launch_plan_pb2.ACTIVE


def relocation(old: str, new: str) -> Change:
    """Replaces one absolute directory by another wherever a text names it or something below it."""
    pattern = re.compile(rf"(?<![\w.~-]){re.escape(old)}(?![\w.~-])")

    def change(text: str) -> str:
        return pattern.sub(lambda _: new, text) if old in text else text

    return change


@dataclass
class Outcome:
    """What came of documents: how many are new, and the keys of executions that are new or were here already."""

    added: int = 0
    executions: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)


def checked(entries: Iterable[Entry]) -> list[Entry]:
    """The entries, if they are documents of a snapshot: of known tables, readable, under their own keys, of
    executions that have ended. Raises InvalidArgument."""
    found = list(entries)
    keys = {(entry.table, entry.key) for entry in found}
    for entry in found:
        try:
            _check(entry, keys)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, json_format.Error) as error:
            raise InvalidArgument(
                f"the document {entry.key!r} of table {entry.table!r} cannot be read: {type(error).__name__}: {error}"
            ) from error
    return found


def moved(entries: Sequence[Entry], change: Change) -> list[Entry]:
    """The entries with ``change`` applied to every string, and with the digests that go with the new content.

    ``entries`` are ``checked``. Raises InvalidArgument.
    """
    maps: dict[str, Entry] = {}
    for entry in entries:
        if entry.table == LITERAL_MAPS.name:
            maps[entry.key] = _moved_map(entry, change)

    def everywhere(text: str) -> str:
        return LITERAL_MAP.sub(lambda found: SCHEME + _new_digest(maps, found[1]), change(text))

    closures: dict[str, Entry] = {}
    rest: list[Entry] = []
    for entry in entries:
        if entry.table != LITERAL_MAPS.name:
            document = in_document(entry.document, everywhere)
            if entry.table == CLOSURES.name:
                closures[entry.key] = Entry(CLOSURES.name, digest_of(document["message"]), document)
            else:
                rest.append(entry._replace(document=document))
    for entry in rest:
        _settle_digests(entry, closures)
    return [*maps.values(), *closures.values(), *rest]


class Arrivals:
    """Puts the documents of a snapshot into a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tables = {name: store.table(carried.schema) for name, carried in CARRIED.items()}

    def known(self, entries: Iterable[Entry]) -> set[str]:
        """The keys of executions among the entries that are here already.

        Raises AlreadyExists when one of that name is another execution, or when a version of a task, workflow or
        launch plan exists with another structure.
        """
        found: set[str] = set()
        for entry in entries:
            mine = self._tables[entry.table].get(entry.key)
            if mine is None:
                continue
            if entry.table == EXECUTIONS.name:
                _check_same_execution(entry, mine)
                found.add(entry.key)
            elif entry.table in _ENTITIES and not _is_same(entry, Entry(entry.table, entry.key, mine)):
                raise AlreadyExists(
                    f"{_ENTITIES[entry.table]} {entry.key} is registered here with a different structure; import into "
                    "another data directory"
                )
        return found

    def put(self, entries: Sequence[Entry]) -> Outcome:
        """Add what is not here yet, in one atomic batch; what is here stays as it is. Raises what ``known`` raises."""
        outcome = Outcome(known=self.known(entries))
        with self._store.batch():
            for entry in entries:
                if entry.table in OF_EXECUTION and execution_of(entry.key) in outcome.known:
                    continue
                if entry.key in self._tables[entry.table]:
                    continue
                document = self._settled(entry.document) if entry.table == LAUNCH_PLANS.name else entry.document
                self._tables[entry.table].put(entry.key, document)
                outcome.added += 1
                if entry.table == EXECUTIONS.name:
                    outcome.executions.append(entry.key)
        return outcome

    def _settled(self, document: Document) -> Document:
        """A launch plan as it may be here: inactive if it would start executions by itself, or if another version of
        it is active."""
        same = (("project_domain", document["project_domain"]), ("name", document["name"]), ("state", _ACTIVE))
        conditions = tuple(Condition(column, Operator.EQUAL, (value,)) for column, value in same)
        taken = self._tables[LAUNCH_PLANS.name].count(conditions) > 0
        if document["state"] != _ACTIVE or not (taken or document["launch_condition_type"]):
            return document
        message = dict(document["message"])
        message["closure"] = {key: value for key, value in message["closure"].items() if key != "state"}
        return {**document, "state": _INACTIVE, "message": message}


def _check(entry: Entry, keys: set[Place]) -> None:
    carried = CARRIED.get(entry.table)
    if carried is None:
        raise ValueError("snapshots do not carry that table")
    if entry.table in OF_EXECUTION and (EXECUTIONS.name, execution_of(entry.key)) not in keys:
        raise ValueError("its execution is not in the snapshot")
    for holder in closure_holders(entry):
        if (CLOSURES.name, holder["closure"]) not in keys:
            raise ValueError("its closure is not in the snapshot")
    if carried.message_type is None:
        return
    message = _message(entry)
    if carried.key is not None and carried.key(message) != entry.key:
        raise ValueError(f"its key would be {carried.key(message)!r}")
    for column in _NEEDED.get(entry.table, ()):
        entry.document[column]  # a KeyError is told to the user
    if entry.table == EXECUTIONS.name:
        _check_execution(entry, message)


def _check_execution(entry: Entry, message: Any) -> None:
    phase = phases.name(phases.WORKFLOW, message.closure.phase)
    if message.closure.phase not in phases.WORKFLOW_TERMINAL or entry.document["phase"] != phase:
        raise ValueError(f"the execution has not ended, it is {phase}")
    if join(message.id.project, message.id.domain) != entry.document["project_domain"]:
        raise ValueError("its columns are another execution's")
    json_format.ParseDict(entry.document["extra"]["config"], Config())


def _message(entry: Entry) -> Any:
    carried = CARRIED[entry.table]
    assert carried.message_type is not None
    message: Message = carried.message_type()
    json_format.ParseDict(entry.document["message"], message, ignore_unknown_fields=True)
    return message


def _moved_map(entry: Entry, change: Change) -> Entry:
    """A literal map under the digest of what it becomes."""
    try:
        map = map_of(entry.key, entry.document)
    except Internal as error:
        raise InvalidArgument(error.message) from error
    in_message(map, change)
    encoded = map.SerializeToString(deterministic=True)
    return Entry(LITERAL_MAPS.name, hashlib.sha256(encoded).hexdigest(), document_of(map, encoded))


def _new_digest(maps: Mapping[str, Entry], digest: str) -> str:
    return maps[digest].key if digest in maps else digest


def _settle_digests(entry: Entry, closures: Mapping[str, Entry]) -> None:
    """Let a moved entry refer to closures by the digests that they have now; ``closures`` are by those before."""
    if entry.table == NODE_EXECUTIONS.name:
        for holder in closure_holders(entry):
            holder["closure"] = closures[holder["closure"]].key
    elif entry.table == WORKFLOWS.name:
        entry.document["extra"] = {"closure": closures[entry.document["extra"]["closure"]].key}


def _is_same(one: Entry, other: Entry) -> bool:
    """Whether two documents of one key are of tasks, workflows or launch plans with the same structure."""
    if one.table == WORKFLOWS.name:
        return bool(one.document["extra"]["closure"] == other.document["extra"]["closure"])
    mine, theirs = _message(one), _message(other)
    if one.table == TASKS.name:
        return is_same(mine.closure.compiled_task, theirs.closure.compiled_task)
    return is_same(as_registered(mine), as_registered(theirs))


def _check_same_execution(entry: Entry, mine: Document) -> None:
    identity = ("created_at", "workflow_id", "launch_plan_id", "task_id")
    if any(entry.document.get(column) != mine.get(column) for column in identity):
        raise AlreadyExists(f"there is another execution {entry.key} here; import into another data directory")


def entries_of(lines: Iterable[Any]) -> Iterator[Entry]:
    """The entries that parsed JSON lines stand for. Raises InvalidArgument."""
    for line in lines:
        if (
            not isinstance(line, dict)
            or line.keys() != {"table", "key", "document"}
            or not isinstance(line["table"], str)
            or not isinstance(line["key"], str)
            or not isinstance(line["document"], dict)
        ):
            raise InvalidArgument("a line of the snapshot's documents has not exactly a table, a key and a document")
        yield Entry(line["table"], line["key"], line["document"])
