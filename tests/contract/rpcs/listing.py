"""What every list refuses alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .rows import Call, Row, changed, refused


def list_errors(
    method: str, request: dict[str, Any], *, rpc: str, code: str, foreign: str, given: Sequence[Call] = ()
) -> Iterator[Row]:
    """``rpc`` names the list in errors, ``code`` is its entity's, ``foreign`` (``workflow:w``) one that it does not
    join."""
    entity, _, foreign_code = foreign.partition(":")
    yield from token_and_sort_errors(method, request, rpc, given)
    refusals = {
        "eq(created_at": "invalid value for filters",
        "(created_at,x)": "invalid value for filters",
        "like(created_at,2024-01-01T00:00:00Z)": "unrecognized filter function: like",
        "eq(nonsense,x)": f"'{code}.nonsense' is invalid filter",
        f"eq({entity}.name,x)": f"'{foreign_code}' entity is not allowed in filters",
        "gt(created_at,yesterday)": "invalid value [yesterday] for created_at",
        "eq(created_at,2024-01-01;2024-01-02)": "takes one value, got 2",
        "contains(created_at,2024-01-01)": "cannot be applied to created_at",
    }
    for filters, message in refusals.items():
        yield refused(method, f"filters {filters}", changed(request, filters=filters), message, given=given)


def token_and_sort_errors(method: str, request: dict[str, Any], rpc: str, given: Sequence[Call] = ()) -> Iterator[Row]:
    of = f" for {rpc}" if rpc else ""
    for token in ("x", "-1", "1.5", "99999999999999999999"):
        message = f"invalid pagination token {token}{of}"
        yield refused(method, f"token {token}", changed(request, token=token), message, given=given)
    unsorted = changed(request, sort_by={"key": "nonsense"})
    yield refused(method, "another sort key", unsorted, "invalid sort key 'nonsense'", given=given)


def limit_error(method: str, request: dict[str, Any]) -> Row:
    return refused(method, "no limit", changed(request, limit=None), "invalid value for limit")


def scope_errors(method: str, request: dict[str, Any]) -> Iterator[Row]:
    """What a ResourceListRequest must have."""
    yield limit_error(method, request)
    yield refused(method, "no id", changed(request, id=None), "missing id")
    yield refused(method, "no project", changed(request, id__project=None), "missing project")
    yield refused(method, "no domain", changed(request, id__domain=None), "missing domain")


def sorted_by(key: str, direction: str = "ASCENDING") -> dict[str, str]:
    return {"key": key, "direction": direction}
