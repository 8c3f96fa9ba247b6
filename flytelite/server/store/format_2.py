"""From format 1 to 2: compiled workflows are no longer kept with each workflow and dynamic node, but once, by digest;
active schedules are documents.

What is here knows documents as they were then, and stays as it is whatever becomes of them later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from flytelite.server.store.interface import Document, Query, Store, Table, TableSchema

Place = tuple[str, str]
"""A table and a key."""

WORKFLOWS, NODES, CLOSURES = "workflows", "node_executions", "closures"
OLD_CLOSURES, OLD_DYNAMIC = "workflow_closures", "dynamic_workflows"
_PARTITIONED = (NODES, OLD_DYNAMIC)
_AT_ONCE = 50
PLANS, SCHEDULES = "launch_plans", "schedules"
_ACTIVE = 1


def convert(documents: Mapping[Place, Document]) -> dict[Place, Document]:
    """Documents of format 1 as they are in format 2; those of format 2 stay as they are.

    A workflow or dynamic node must come together with its closure.
    """
    new = {place: document for place, document in documents.items() if place[0] not in (OLD_CLOSURES, OLD_DYNAMIC)}
    for (table, key), document in documents.items():
        extra = document.get("extra", {})
        if table == WORKFLOWS and (OLD_CLOSURES, key) in documents:
            digest, _ = _keep(new, documents[OLD_CLOSURES, key])
            new[table, key] = {**document, "extra": {**extra, "closure": digest}}
        elif table == NODES and (old := documents.get((OLD_DYNAMIC, str(extra.get("dynamic_workflow"))))):
            digest, id = _keep(new, old)
            new[table, key] = {**document, "extra": {**extra, "dynamic_workflow": {"id": id, "closure": digest}}}
    return new


async def migrate(store: Store) -> None:
    """Convert all documents, some at a time; what is interrupted is gone on with by doing it again."""
    names = (WORKFLOWS, NODES, CLOSURES, OLD_CLOSURES, OLD_DYNAMIC)
    tables = {name: store.table(TableSchema(name, partition=3 if name in _PARTITIONED else 0)) for name in names}
    for number, places in enumerate(_groups(tables), start=1):
        old = {(table, key): tables[table].get(key) for table, key in places}
        found = {place: document for place, document in old.items() if document is not None}
        new = convert(found)
        with store.batch():
            for (table, key), document in new.items():
                if found.get((table, key)) != document and not (table == CLOSURES and key in tables[table]):
                    tables[table].put(key, document)
            for table, key in found.keys() - new.keys():
                tables[table].remove(key)
        if number % _AT_ONCE == 0:
            await store.durable()
    _schedule(store)
    await store.durable()


def _schedule(store: Store) -> None:
    """Have the schedules fire, from now on, that were activated before there was a scheduler to note them."""
    plans, schedules = store.table(TableSchema(PLANS)), store.table(TableSchema(SCHEDULES))
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "000Z")
    for key in plans.keys(Query()):
        document = plans.get(key)
        if document is None or document.get("state") != _ACTIVE or key in schedules:
            continue
        message = document["message"]
        schedule = message.get("spec", {}).get("entityMetadata", {}).get("schedule")
        if schedule:
            with store.batch():
                schedules.put(key, {"launch_plan": message["id"], "schedule": schedule, "since": now, "last": None})


def _groups(tables: Mapping[str, Table]) -> Iterator[list[Place]]:
    """What has to be converted together, and at once."""
    for key in tables[OLD_CLOSURES].keys(Query()):
        yield [(WORKFLOWS, key), (OLD_CLOSURES, key)]
    for key in tables[OLD_DYNAMIC].keys(Query()):
        node = "/".join(key.split("/", 4)[:4])
        yield [(NODES, node), (OLD_DYNAMIC, key)]


def _keep(new: dict[Place, Document], old: Document) -> tuple[str, Any]:
    """Add the closure of an old document; returns its digest and the workflow's own identifier."""
    message = old["message"]
    primary = message.get("primary", {})
    template = dict(primary.get("template", {}))
    id = template.pop("id", {})
    content = {**message, "primary": {**primary, "template": template}}
    digest = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
    new[CLOSURES, digest] = {"message": content}
    return digest, id
