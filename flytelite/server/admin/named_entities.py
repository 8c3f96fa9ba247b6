"""Names of tasks, workflows and launch plans across their versions, with a description and a display state.

Source: flyteadmin/pkg/manager/impl/named_entity_manager.go, flyteadmin/pkg/repositories/gormimpl/named_entity_repo.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flyteidl.admin import common_pb2
from flyteidl.core import identifier_pb2

from flytelite.errors import InvalidArgument, NotFound
from flytelite.server.admin.clock import Clock, now
from flytelite.server.admin.filters import Filter, Kind, timestamp_text
from flytelite.server.admin.identifiers import join
from flytelite.server.admin.listing import ROW, Entity, Join, Listing, check_sort, next_token, page_offset, sort_of
from flytelite.server.admin.records import Record, Records
from flytelite.server.admin.validation import (
    limit,
    missing,
    named_entity_identifier,
    require,
    resource_type,
    type_name,
)
from flytelite.server.store.interface import Condition, Operator, Query, Store

NAMED_TYPES = frozenset({identifier_pb2.TASK, identifier_pb2.WORKFLOW, identifier_pb2.LAUNCH_PLAN})
_NAME = {"resource_type": Kind.INTEGER, "project": Kind.TEXT, "domain": Kind.TEXT, "name": Kind.TEXT}
_METADATA = {"description": Kind.TEXT, "state": Kind.INTEGER}
NAMED_ENTITY = Entity(code="nen", prefix="entities", columns={**_NAME, **_METADATA})
NAMED_ENTITY_METADATA = Entity(code="nem", prefix="named_entity_metadata", columns={**ROW, **_NAME, **_METADATA})
NAMED_ENTITIES = NAMED_ENTITY.schema(
    "named_entities", indexed=["name", "scope"], sorted=["name"], extra=["scope", "created_at", "updated_at"]
)
GENERATED_NAMES = ".flytegen%"

_BY_NAME = common_pb2.Sort(key="name", direction=common_pb2.Sort.ASCENDING)


class NamedEntities:
    """The named entity RPCs, and the lists of names of the three nouns that have versions."""

    def __init__(self, store: Store, clock: Clock = now) -> None:
        self._clock = clock
        self._records = Records(store, NAMED_ENTITIES, common_pb2.NamedEntity)
        metadata = Join((NAMED_ENTITY_METADATA,), stored={name: name for name in NAMED_ENTITY_METADATA.columns})
        self._listing = Listing(self._records, NAMED_ENTITY, [metadata])

    def register(self, id: identifier_pb2.Identifier, state: int = common_pb2.NAMED_ENTITY_ACTIVE) -> None:
        """Note that there is a version of that name. ``state`` other than ACTIVE (NamedEntityState) is set also when
        the name was known before; the version of ``id`` does not matter."""
        key = _key(id.resource_type, id)
        known = self._records.get(key)
        if known is not None and state in (common_pb2.NAMED_ENTITY_ACTIVE, known.message.metadata.state):
            return
        record, stamp = self._records.edit(key), timestamp_text(self._clock())
        if record is None:
            record = Record(key, common_pb2.NamedEntity(resource_type=id.resource_type), {"created_at": stamp})
            record.message.id.MergeFrom(
                common_pb2.NamedEntityIdentifier(project=id.project, domain=id.domain, name=id.name)
            )
        record.message.metadata.state = state
        self._put(record, stamp)

    def list(self, request: common_pb2.NamedEntityListRequest) -> common_pb2.NamedEntityList:
        """ListNamedEntities, without ``.flytegen`` names unless there are filters. Raises InvalidArgument."""
        require(request.project, "project")
        require(request.domain, "domain")
        resource_type(request.resource_type)
        limit(request.limit)
        if request.resource_type not in NAMED_TYPES:
            raise InvalidArgument(
                f"Cannot list entity names for resource type: {type_name(request.resource_type)}",
            )
        page = self._listing.page(
            rpc="ListNamedEntities",
            limit=request.limit,
            token=request.token,
            filters=request.filters,
            sort_by=sort_of(request),
            scope=_scope(request.resource_type, request.project, request.domain),
            implicit=_not_generated,
        )
        return common_pb2.NamedEntityList(entities=[record.message for record in page.records], token=page.token)

    def get(self, request: common_pb2.NamedEntityGetRequest) -> common_pb2.NamedEntity:
        """GetNamedEntity. Raises InvalidArgument, and NotFound when no version has that name."""
        resource_type(request.resource_type)
        named_entity_identifier(request.id)
        return self._existing(request.resource_type, request.id).message

    def update(self, request: common_pb2.NamedEntityUpdateRequest) -> common_pb2.NamedEntityUpdateResponse:
        """UpdateNamedEntity: sets the state; an empty description keeps the old. Raises InvalidArgument, NotFound."""
        resource_type(request.resource_type)
        named_entity_identifier(request.id)
        if not request.HasField("metadata"):
            raise missing("metadata")
        state = request.metadata.state
        if state != common_pb2.NAMED_ENTITY_ACTIVE and request.resource_type not in NAMED_TYPES:
            raise InvalidArgument(f"Resource [{type_name(request.resource_type)}] cannot have its state updated")
        existing = self._existing(request.resource_type, request.id)
        record = self._records.edit(existing.key)
        assert record is not None
        metadata = record.message.metadata
        metadata.state = state
        metadata.description = request.metadata.description or metadata.description
        self._put(record, timestamp_text(self._clock()))
        return common_pb2.NamedEntityUpdateResponse()

    def identifiers(
        self,
        request: common_pb2.NamedEntityIdentifierListRequest,
        resource_type: int,
        columns: Iterable[str],
        rpc: str,
    ) -> common_pb2.NamedEntityIdentifierList:
        """ListTaskIds and its like: all names in a domain, by name, filters ignored.

        ``columns`` are those of the entity that is named; only the parts of a name among them can be sorted by.
        Raises InvalidArgument.
        """
        require(request.project, "project")
        require(request.domain, "domain")
        limit(request.limit)
        key, descending = check_sort(sort_of(request) or _BY_NAME, columns)
        if key not in ("project", "domain", "name"):
            raise InvalidArgument(f"invalid sort key '{key}': names can be sorted by project, domain and name")
        offset = page_offset(request.token, rpc)
        scope = tuple(_scope(resource_type, request.project, request.domain))
        query = Query(scope, "name", descending, offset, request.limit)
        found = self._listing.following(query, (rpc, scope, descending))
        token = next_token(offset, len(found), request.limit)
        return common_pb2.NamedEntityIdentifierList(entities=[record.message.id for record in found], token=token)

    def _existing(self, resource_type: int, id: common_pb2.NamedEntityIdentifier) -> Record[common_pb2.NamedEntity]:
        if resource_type not in NAMED_TYPES:
            raise InvalidArgument(f"Cannot get NamedEntityMetadata for resource type: {type_name(resource_type)}")
        record = self._records.get(_key(resource_type, id))
        if record is None:
            raise NotFound("entry not found")
        return record

    def _put(self, record: Record[common_pb2.NamedEntity], stamp: str) -> None:
        entity = record.message
        record.columns |= {
            "scope": join(entity.resource_type, entity.id.project, entity.id.domain),
            "resource_type": entity.resource_type,
            "project": entity.id.project,
            "domain": entity.id.domain,
            "name": entity.id.name,
            "description": entity.metadata.description,
            "state": entity.metadata.state,
            "updated_at": stamp,
        }
        self._records.put(record)


def _key(resource_type: int, id: identifier_pb2.Identifier | common_pb2.NamedEntityIdentifier) -> str:
    return join(resource_type, id.project, id.domain, id.name)


def _scope(resource_type: int, project: str, domain: str) -> Sequence[Condition]:
    return (Condition("scope", Operator.EQUAL, (join(resource_type, project, domain),)),)


def _not_generated(filters: Sequence[Filter]) -> Sequence[Condition]:
    return () if filters else (Condition("name", Operator.NOT_LIKE, (GENERATED_NAMES,)),)
