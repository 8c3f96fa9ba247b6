"""Filters and pages of the cache service's lists.

Source: datacatalog/pkg/repositories/transformers/{filters,pagination}.go, .../manager/impl/validators/.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flyteidl.datacatalog import datacatalog_pb2

from flytelite.errors import InvalidArgument
from flytelite.server.admin.validation import require

PAGE = 50
"""How many a page has when the request does not say (``datacatalog/pkg/common/filters.go``)."""
MAX_PAGE = 1000
"""The most a page has, whatever is asked for, since the data of each artifact is read for it."""

_OFFSET = re.compile(r"[0-9]{1,10}")
_Options = datacatalog_pb2.PaginationOptions


@dataclass(frozen=True)
class Page:
    """A part of a list, ordered by time of creation."""

    offset: int = 0
    limit: int = PAGE
    descending: bool = True

    def of(self, keys: Sequence[str]) -> Sequence[str]:
        """The keys that are on the page."""
        return keys[self.offset : self.offset + self.limit]

    def next_token(self, shown: int) -> str:
        """Where the next page begins, whether there is one or not."""
        return str(self.offset + shown)


class Wanted(NamedTuple):
    """One property that what is listed must have: of ``dataset``, ``tag`` or ``partition``, by field and value."""

    entity: str
    field: str
    value: str


def page(options: datacatalog_pb2.PaginationOptions) -> Page:
    """The page that is asked for. Raises InvalidArgument."""
    offset = 0
    if options.token.strip(" "):
        if not _OFFSET.fullmatch(options.token) or int(options.token) >= 2**32:
            raise InvalidArgument(f"Invalid token value: {options.token}")
        offset = int(options.token)
    if options.sortKey not in _Options.SortKey.values():
        raise InvalidArgument(f"Invalid sort key {options.sortKey}")
    if options.sortOrder not in _Options.SortOrder.values():
        raise InvalidArgument(f"Invalid sort order {options.sortOrder}")
    return Page(offset, min(options.limit or PAGE, MAX_PAGE), options.sortOrder == _Options.DESCENDING)


def wanted(listed: str, filters: Iterable[datacatalog_pb2.SinglePropertyFilter], allowed: set[str]) -> list[Wanted]:
    """The properties that filters ask for. Raises InvalidArgument, also for those of entities not ``allowed``.

    ``listed`` is the name of what is listed, for errors.
    """
    found = []
    for filter in filters:
        kind = filter.WhichOneof("property_filter") or ""
        entity = kind.removesuffix("_filter")
        if kind and entity not in allowed:
            raise InvalidArgument(f"{listed} cannot be filtered by {entity.title()} properties")
        if filter.operator not in datacatalog_pb2.SinglePropertyFilter.ComparisonOperator.values():
            raise InvalidArgument(f"unsupported filter expression operator index: {filter.operator}")
        found.append(_wanted(entity, filter))
    return found


def _wanted(entity: str, filter: datacatalog_pb2.SinglePropertyFilter) -> Wanted:
    if entity == "tag" and filter.tag_filter.HasField("tag_name"):
        require(filter.tag_filter.tag_name, "TagName")
        return Wanted(entity, "name", filter.tag_filter.tag_name)
    if entity == "partition" and filter.partition_filter.HasField("key_val"):
        pair = filter.partition_filter.key_val
        require(pair.key, "PartitionKey")
        require(pair.value, "PartitionValue")
        return Wanted(entity, pair.key, pair.value)
    if entity == "dataset":
        field = filter.dataset_filter.WhichOneof("property")
        if field in ("project", "domain", "name", "version"):
            value = getattr(filter.dataset_filter, field)
            require(value, field)
            return Wanted(entity, field, value)
    # FlyteAdmin's cache service knows no way from artifacts to these either.
    raise InvalidArgument(f"no such entity {entity}: the filter names no property that can be filtered by")


def split(wanted: Iterable[Wanted], entity: str) -> Iterator[tuple[str, str]]:
    """Field and value of those that are about an entity."""
    return ((field, value) for found, field, value in wanted if found == entity)
