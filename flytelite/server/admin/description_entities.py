"""Descriptions of task and workflow versions.

Source: flyteadmin/pkg/manager/impl/description_entity_manager.go,
flyteadmin/pkg/repositories/transformers/description_entity.go.
"""

from __future__ import annotations

from flyteidl.admin import common_pb2, description_entity_pb2
from flyteidl.core import identifier_pb2

from flytelite.errors import NotFound
from flytelite.server.admin.clock import Clock, now
from flytelite.server.admin.filters import Kind, timestamp_text
from flytelite.server.admin.identifiers import entity_key, join
from flytelite.server.admin.listing import ROW, Entity, Listing, sort_of
from flytelite.server.admin.records import Record, Records
from flytelite.server.admin.validation import (
    identifier_fields,
    limit,
    named_entity_identifier,
    resource_type,
    with_default_type,
)
from flytelite.server.store.interface import Condition, Operator, Store

_COLUMNS = {
    **ROW,
    "resource_type": Kind.INTEGER,
    "project": Kind.TEXT,
    "domain": Kind.TEXT,
    "name": Kind.TEXT,
    "version": Kind.TEXT,
    "short_description": Kind.TEXT,
    "long_description": Kind.OPAQUE,
    "link": Kind.TEXT,
}
# In errors and prefixes a description goes by what it describes.
DESCRIPTIONS = {
    identifier_pb2.TASK: Entity("t", "task", _COLUMNS),
    identifier_pb2.WORKFLOW: Entity("w", "workflow", _COLUMNS),
    identifier_pb2.LAUNCH_PLAN: Entity("l", "launch_plan", _COLUMNS),
}
DESCRIPTION_ENTITIES = DESCRIPTIONS[identifier_pb2.TASK].schema("description_entities", indexed=["name"])


class DescriptionEntities:
    """The description entity RPCs. Rows come with CreateTask and CreateWorkflow."""

    def __init__(self, store: Store, clock: Clock = now) -> None:
        self._clock = clock
        self._records = Records(store, DESCRIPTION_ENTITIES, description_entity_pb2.DescriptionEntity)
        self._listings = {type: Listing(self._records, entity) for type, entity in DESCRIPTIONS.items()}

    def put(self, id: identifier_pb2.Identifier, description: description_entity_pb2.DescriptionEntity) -> None:
        """Store the description of a version."""
        entity = description_entity_pb2.DescriptionEntity(id=id, short_description=description.short_description)
        entity.long_description.SetInParent()  # both are always there, if empty
        entity.long_description.MergeFrom(description.long_description)
        entity.source_code.SetInParent()
        entity.source_code.link = description.source_code.link
        stamp = timestamp_text(self._clock())
        columns = {
            "resource_type": id.resource_type,
            "project": id.project,
            "domain": id.domain,
            "name": id.name,
            "version": id.version,
            "short_description": entity.short_description,
            "link": entity.source_code.link,
            "created_at": stamp,
            "updated_at": stamp,
        }
        self._records.put(Record(_key(id), entity, columns))

    def get(self, request: common_pb2.ObjectGetRequest) -> description_entity_pb2.DescriptionEntity:
        """GetDescriptionEntity. Raises InvalidArgument, NotFound."""
        id = with_default_type(request.id, identifier_pb2.TASK)
        resource_type(id.resource_type)
        identifier_fields(id)
        record = self._records.get(_key(id))
        if record is None:
            raise NotFound("entry not found")
        return record.message

    def list(
        self, request: description_entity_pb2.DescriptionEntityListRequest
    ) -> description_entity_pb2.DescriptionEntityList:
        """ListDescriptionEntities: all versions of one name, of any type if none is given. Raises InvalidArgument."""
        named_entity_identifier(request.id)
        limit(request.limit)
        listing = self._listings.get(request.resource_type, self._listings[identifier_pb2.TASK])
        scope = {"name": request.id.name, "project": request.id.project, "domain": request.id.domain}
        if request.resource_type != identifier_pb2.UNSPECIFIED:
            scope["resource_type"] = request.resource_type
        page = listing.page(
            rpc="ListDescriptionEntities",
            limit=request.limit,
            token=request.token,
            filters=request.filters,
            sort_by=sort_of(request),
            scope=[Condition(column, Operator.EQUAL, (value,)) for column, value in scope.items()],
        )
        return description_entity_pb2.DescriptionEntityList(
            descriptionEntities=[record.message for record in page.records], token=page.token
        )


def _key(id: identifier_pb2.Identifier) -> str:
    return f"{join(id.resource_type)}/{entity_key(id)}"
