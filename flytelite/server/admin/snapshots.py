"""What belongs to an execution: its documents, and those of all that it takes to look at it and to repeat it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from flyteidl.admin import execution_pb2
from flyteidl.core import identifier_pb2

from flytelite.errors import FailedPrecondition, NotFound
from flytelite.server.admin import phases
from flytelite.server.admin.closures import CLOSURES
from flytelite.server.admin.execution_tables import (
    EXECUTION_TAGS,
    EXECUTIONS,
    NODE_EXECUTIONS,
    SIGNALS,
    TASK_EXECUTIONS,
)
from flytelite.server.admin.identifiers import execution_key, join
from flytelite.server.admin.literal_maps import LITERAL_MAPS, SCHEME, map_of
from flytelite.server.admin.records import Records
from flytelite.server.admin.registry_tables import WORKFLOWS
from flytelite.server.admin.snapshot_tables import (
    CARRIED,
    ENTITY_TABLES,
    Entry,
    description_key,
    named_entity_key,
)
from flytelite.server.pace import Pace
from flytelite.server.store.interface import Condition, Operator, Query, Store
from flytelite.strings import strings_of

Id: TypeAlias = identifier_pb2.WorkflowExecutionIdentifier
Place = tuple[str, str]
"""A table and a key."""

LITERAL_MAP = re.compile(re.escape(SCHEME) + "([0-9a-f]{64})")
ENDED = tuple(name for name, value in phases.WORKFLOW.items() if value in phases.WORKFLOW_TERMINAL)


@dataclass
class Selection:
    """The documents of a snapshot, what is referred to before what refers, and the executions among them.

    ``left_out`` counts the executions that have not ended.
    """

    entries: list[Entry] = field(default_factory=list)
    executions: list[Id] = field(default_factory=list)
    left_out: int = 0


class Snapshots:
    """Reads the documents of executions out of a store."""

    def __init__(self, store: Store) -> None:
        self._tables = {name: store.table(carried.schema) for name, carried in CARRIED.items()}
        self.executions = Records(store, EXECUTIONS, execution_pb2.Execution)

    async def select(self, ids: Sequence[Id]) -> Selection:
        """Those executions and the executions that they started, with the entities they ran; all that there is when
        none is named, except executions that have not ended.

        Raises NotFound for an unknown execution, FailedPrecondition for one that has not ended.
        """
        chosen = Selection()
        keys = [self._checked(id) for id in ids]
        wanted: set[Place] = set()
        if not ids:
            keys = self._tables[EXECUTIONS.name].keys(Query((Condition("phase", Operator.IN, ENDED),)))
            chosen.left_out = len(self._tables[EXECUTIONS.name]) - len(keys)
            wanted = {(table, key) for table in ENTITY_TABLES.values() for key in self._tables[table].keys(Query())}
        entries = await self._executions(keys, chosen)
        entities = await self._entities(entries, wanted)
        chosen.entries = [*self._projects(entities, chosen), *self._literal_maps([*entities, *entries])]
        chosen.entries += [*entities, *entries]
        return chosen

    def of_execution(self, key: str) -> Iterator[Entry]:
        """Every document of the execution of that key; the execution itself comes last."""
        record = self.executions.get(key)
        if record is None:
            return
        spec = record.message.spec
        tags = {*spec.labels.values.items(), *((tag, "") for tag in spec.tags)}
        nodes = self._keys(NODE_EXECUTIONS.name, Condition("execution", Operator.EQUAL, (key,)))
        tasks = self._keys(TASK_EXECUTIONS.name, Condition("node_execution", Operator.IN, tuple(nodes)))
        signals = self._keys(SIGNALS.name, Condition("execution", Operator.EQUAL, (key,)))
        for table, found in (
            (EXECUTION_TAGS.name, [f"{key}/{join(*tag)}" for tag in sorted(tags)]),
            (NODE_EXECUTIONS.name, nodes),
            (TASK_EXECUTIONS.name, tasks),
            (SIGNALS.name, signals),
            (EXECUTIONS.name, [key]),
        ):
            yield from (entry for one in found if (entry := self._entry(table, one)) is not None)

    def _checked(self, id: Id) -> str:
        record = self.executions.get(execution_key(id))
        name = f"{id.project}/{id.domain}/{id.name}"
        if record is None:
            raise NotFound(f"there is no execution {name}")
        if record.message.closure.phase not in phases.WORKFLOW_TERMINAL:
            phase = phases.name(phases.WORKFLOW, record.message.closure.phase)
            raise FailedPrecondition(f"execution {name} has not ended, it is {phase}: wait for its end, or abort it")
        return record.key

    async def _executions(self, keys: Sequence[str], chosen: Selection) -> list[Entry]:
        entries: list[Entry] = []
        waiting, seen = list(reversed(keys)), set(keys)
        pace = Pace()
        while waiting:
            key = waiting.pop()
            record = self.executions.get(key)
            if record is None or record.message.closure.phase not in phases.WORKFLOW_TERMINAL:
                continue
            chosen.executions.append(record.message.id)
            for entry in self.of_execution(key):
                entries.append(entry)
                child = _child(entry)
                if child is not None and child not in seen:
                    seen.add(child)
                    waiting.append(child)
            await pace.pause()
        return entries

    async def _entities(self, entries: Sequence[Entry], wanted: set[Place]) -> list[Entry]:
        """The tasks, workflows, their closures and launch plans that the entries name, and those that these name, and
        so on."""
        found: list[Entry] = []
        waiting = [*wanted]
        for entry in entries:
            waiting += (*entities_in(entry.document), *closures_in(entry))
        seen: set[Place] = set()
        pace = Pace()
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            for entry in self._entity(*place) if place[0] != CLOSURES.name else self._existing(place):
                found.append(entry)
                waiting += (*entities_in(entry.document), *closures_in(entry))
            await pace.pause()
        return found

    def _entity(self, table: str, key: str) -> Iterator[Entry]:
        entity = self._entry(table, key)
        if entity is None:
            return
        resource_type = next(type for type, name in ENTITY_TABLES.items() if name == table)
        id = identifier_pb2.Identifier()
        id.project, id.domain, id.name = (str(entity.document[part]) for part in ("project", "domain", "name"))
        others = [
            ("named_entities", named_entity_key(resource_type, id)),
            ("description_entities", description_key(resource_type, key)),
        ]
        yield from (entry for place in others if (entry := self._entry(*place)) is not None)
        yield entity

    def _projects(self, entities: Sequence[Entry], chosen: Selection) -> Iterator[Entry]:
        names = {str(entry.document["project"]) for entry in entities if entry.document.get("project")}
        for name in sorted(names | {id.project for id in chosen.executions}):
            entry = self._entry("projects", name)
            if entry is not None:
                yield entry

    def _literal_maps(self, entries: Sequence[Entry]) -> Iterator[Entry]:
        digests: set[str] = set()
        for entry in entries:
            digests |= literal_maps_in(strings_in(entry))
        for digest in sorted(digests):
            map = self._entry(LITERAL_MAPS.name, digest)
            if map is not None:
                yield map

    def _entry(self, table: str, key: str) -> Entry | None:
        document = self._tables[table].get(key) if key else None
        return None if document is None else Entry(table, key, document)

    def _existing(self, place: Place) -> Iterator[Entry]:
        entry = self._entry(*place)
        if entry is not None:
            yield entry

    def _keys(self, table: str, condition: Condition) -> list[str]:
        return self._tables[table].keys(Query((condition,)))


def entities_in(value: Any) -> Iterator[Place]:
    """Table and key of every task, workflow and launch plan that a document's JSON names by its Identifier."""
    if isinstance(value, list):
        for item in value:
            yield from entities_in(item)
    elif isinstance(value, dict):
        type = value.get("resourceType")
        table = ENTITY_TABLES.get(identifier_pb2.ResourceType.Value(type)) if type in _TYPES else None
        if table is not None:
            yield table, join(*(str(value.get(part, "")) for part in ("project", "domain", "name", "version")))
        for item in value.values():
            yield from entities_in(item)


def closure_holders(entry: Entry) -> list[dict[str, Any]]:
    """What in a document refers to a closure, under ``closure``: a workflow does, and a dynamic node."""
    extra = entry.document.get("extra", {})
    if entry.table == WORKFLOWS.name:
        return [extra]
    return [extra["dynamic_workflow"]] if entry.table == NODE_EXECUTIONS.name and "dynamic_workflow" in extra else []


def closures_in(entry: Entry) -> Iterator[Place]:
    """Table and key of the closure that a document refers to."""
    yield from ((CLOSURES.name, holder["closure"]) for holder in closure_holders(entry))


def shared_in(entry: Entry, strings: Iterable[str]) -> Iterator[Place]:
    """Table and key of all that the entry, with these ``strings``, refers to and that others may refer to as well."""
    yield from closures_in(entry)
    yield from ((LITERAL_MAPS.name, digest) for digest in literal_maps_in(strings))


def strings_in(entry: Entry) -> set[str]:
    """Every string of a document."""
    if entry.table == LITERAL_MAPS.name:
        return strings_of(map_of(entry.key, entry.document))
    return strings_of(entry.document)


def literal_maps_in(strings: Iterable[str]) -> set[str]:
    """The digests of the literal maps that strings refer to."""
    return {digest for text in strings for digest in LITERAL_MAP.findall(text)}


def _child(entry: Entry) -> str | None:
    """The key of the execution that a node started."""
    if entry.table != NODE_EXECUTIONS.name:
        return None
    id = entry.document["message"].get("closure", {}).get("workflowNodeMetadata", {}).get("executionId")
    return None if id is None else join(*(id.get(part, "") for part in ("project", "domain", "name")))


_TYPES = frozenset(identifier_pb2.ResourceType.keys())
