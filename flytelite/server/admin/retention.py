"""Which executions are old enough to go, what of theirs others still use, and their removal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from flyteidl.admin import execution_pb2
from google.protobuf import timestamp_pb2

from flytelite.errors import FailedPrecondition
from flytelite.server.admin import phases
from flytelite.server.admin.catalog.tables import ARTIFACTS
from flytelite.server.admin.execution_tables import EXECUTIONS
from flytelite.server.admin.filters import timestamp_text
from flytelite.server.admin.identifiers import execution_key
from flytelite.server.admin.registry_tables import LAUNCH_PLANS, TASKS, WORKFLOWS
from flytelite.server.admin.snapshot_tables import CARRIED, Entry
from flytelite.server.admin.snapshots import ENDED, Place, Snapshots, shared_in, strings_in
from flytelite.server.pace import Pace
from flytelite.server.store.interface import Condition, Operator, Query, Store

RECOVERED = execution_pb2.ExecutionMetadata.ExecutionMode.RECOVERED


class Retention:
    """Old executions of a store. What is registered, and what was uploaded, never goes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tables = {name: store.table(carried.schema) for name, carried in CARRIED.items()}
        self._tables[ARTIFACTS.name] = store.table(ARTIFACTS)
        self.snapshots = Snapshots(store)
        self._executions = self._tables[EXECUTIONS.name]

    async def due(self, ended_before: timestamp_pb2.Timestamp, keep_last: int = 0) -> list[str]:
        """The keys of executions that ended before that time, oldest first.

        Of each workflow, whatever its version, the newest ``keep_last`` stay. So does an execution that an execution
        which stays has started, or that a running one recovers from.
        """
        before = timestamp_text(ended_before)
        conditions = (
            Condition("execution_updated_at", Operator.LESS, (before,)),
            Condition("phase", Operator.IN, ENDED),
        )
        old = self._executions.keys(Query(conditions, order_by="created_at"))
        kept = self._recovered_from()
        newest: dict[tuple[str, str], set[str]] = {}
        due: dict[str, str | None] = {}
        pace = Pace()
        for key in old:
            await pace.pause()
            document = self._executions.get(key)
            if document is None or key in kept:
                continue
            group = (document["project_domain"], document["workflow.name"])
            if group not in newest:
                newest[group] = self._newest(group, keep_last)
            if key not in newest[group]:
                due[key] = document["parent_node_execution_id"]
        return [key for key in due if self._parents_go(key, due)]

    async def visit_staying(self, leaving: set[str], look: Callable[[set[str]], None]) -> set[Place]:
        """Call ``look`` with every string, document by document, of what stays when those executions have left.

        Returns the literal maps and closures that stay.
        """
        waiting: list[Place] = []
        pace = Pace()

        def visit(entry: Entry) -> None:
            strings = strings_in(entry)
            waiting.extend(shared_in(entry, strings))
            look(strings)

        for table in (TASKS.name, WORKFLOWS.name, LAUNCH_PLANS.name, ARTIFACTS.name):
            for key in self._tables[table].keys(Query()):
                self._visit(table, key, visit)
                await pace.pause()
        for key in self._executions.keys(Query()):
            for entry in self.snapshots.of_execution(key) if key not in leaving else ():
                visit(entry)
            await pace.pause()
        staying: set[Place] = set()
        while waiting:
            place = waiting.pop()
            if place not in staying:
                staying.add(place)
                self._visit(*place, visit)
                await pace.pause()
        return staying

    def remove(self, keys: Sequence[str], unused: Iterable[Place]) -> int:
        """Remove the documents of executions, and what nothing refers to then, in one atomic batch; how many went.

        Raises FailedPrecondition for an execution that has not ended.
        """
        gone = 0
        with self._store.batch():
            for key in keys:
                for entry in list(self.snapshots.of_execution(key)):
                    if entry.table == EXECUTIONS.name and entry.document["phase"] not in ENDED:
                        raise FailedPrecondition(f"execution {key} has not ended, it is {entry.document['phase']}")
                    gone += len(self._tables[entry.table].remove(entry.key))
            for table, key in unused:
                gone += len(self._tables[table].remove(key))
        return gone

    def _newest(self, group: tuple[str, str], count: int) -> set[str]:
        columns = ("project_domain", "workflow.name")
        conditions = tuple(
            Condition(column, Operator.EQUAL, (value,)) for column, value in zip(columns, group, strict=True)
        )
        query = Query(conditions, order_by="created_at", descending=True, limit=count)
        return set(self._executions.keys(query)) if count else set()

    def _recovered_from(self) -> set[str]:
        """The executions whose results running executions may still read."""
        running = Condition("phase", Operator.IN, phases.UNFINISHED)
        recovering = (running, Condition("mode", Operator.EQUAL, (RECOVERED,)))
        found = self.snapshots.executions.find(Query(recovering))
        return {execution_key(record.message.spec.metadata.reference_execution) for record in found}

    def _parents_go(self, key: str, due: dict[str, str | None]) -> bool:
        """Whether the execution that started this one, and the one that started that, go too, or are gone."""
        parent = due[key]
        while parent is not None:
            key = "/".join(parent.split("/", 3)[:3])
            if key not in self._executions:
                return True
            if key not in due:
                return False
            parent = due[key]
        return True

    def _visit(self, table: str, key: str, visit: Callable[[Entry], None]) -> None:
        document = self._tables[table].get(key)
        if document is not None:
            visit(Entry(table, key, document))
