"""The gateway's routes, derived from the google.api.http options of flyteidl's descriptors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from google.api import annotations_pb2, http_pb2

from flytelite.errors import NotFound, Unimplemented
from flytelite.server import api
from flytelite.server.rest.query import FieldPath

Segment = str | FieldPath
"""A literal, or the field that a variable sets."""


@dataclass(frozen=True)
class Route:
    """One binding of an RPC. ``body`` says that the request's body is the whole message (``body: "*"``)."""

    verb: str
    template: str
    segments: tuple[Segment, ...]
    body: bool
    method: api.Method

    @property
    def variables(self) -> tuple[FieldPath, ...]:
        """The fields that the path sets."""
        return tuple(segment for segment in self.segments if isinstance(segment, tuple))

    def match(self, path: tuple[str, ...]) -> dict[FieldPath, str] | None:
        """The values of the variables when the path has this shape."""
        values: dict[FieldPath, str] = {}
        for segment, text in zip(self.segments, path, strict=True):
            if isinstance(segment, tuple):
                values[segment] = text
            elif segment != text:
                return None
        return values


class Routes:
    """Every route of every RPC."""

    def __init__(self) -> None:
        self.all = tuple(route for method in api.methods() for route in _routes(method))
        self._by_length: dict[int, list[Route]] = {}
        for route in self.all:
            self._by_length.setdefault(len(route.segments), []).append(route)

    def find(self, verb: str, path: str) -> tuple[Route, dict[FieldPath, str]]:
        """The route of a decoded path and the values of its variables.

        Raises NotFound for a path that no route has, Unimplemented for a known path with another verb (what a gateway
        answers as 501, HEAD included).
        """
        segments = tuple(path.removeprefix("/").split("/"))
        known = False
        for route in self._by_length.get(len(segments), ()):
            values = route.match(segments)
            if values is None:
                continue
            if route.verb == verb:
                return route, values
            known = True
        raise Unimplemented("Method Not Allowed") if known else NotFound("Not Found")


def _routes(method: api.Method) -> Iterator[Route]:
    rule = method.descriptor.GetOptions().Extensions[annotations_pb2.http]
    for binding in (rule, *rule.additional_bindings):
        verb = binding.WhichOneof("pattern")
        if verb is None:
            continue  # a gRPC-only method
        yield _route(method, verb, binding)


def _route(method: api.Method, verb: str, binding: http_pb2.HttpRule) -> Route:
    template: str = getattr(binding, verb)
    if binding.body not in ("", "*") or binding.response_body or "=" in template or ":" in template:
        raise ValueError(f"{method.name} has an http option of a kind that no flyteidl had so far: {binding}")
    return Route(
        verb=verb.upper(),
        template=template,
        segments=tuple(_segment(text) for text in template.removeprefix("/").split("/")),
        body=binding.body == "*",
        method=method,
    )


def _segment(text: str) -> Segment:
    return tuple(text[1:-1].split(".")) if text.startswith("{") else text
