"""What goes over the wire: gRPC calls and HTTP requests, most of them wrong somewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from flytelite.server import api

from ..rpcs.rows import METHODS, Call
from ..rpcs.ways import BINARY, JSON, Binding, as_query, bindings
from .messages import Mutator, parts
from .values import TEXTS, text

INTERESTING = ("AdminService/Create", "AdminService/Update", "DataProxyService/Create", "SignalService/")
BUCKET = "/bucket"
"""Not the real one: its name would change what is sent from run to run."""

WEIGHT = 4
"""So much more often than the others."""

TYPES = [
    *(JSON, BINARY, f"{JSON}; charset=utf-8", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data"),
    *("application/grpc", "application/xml", "", ";", "*/*", "a" * 500, "application/json, text/plain, */*"),
]
TOKENS = [
    *("null", "[]", "{}", "true", "-1", "1e999", "-0", "NaN", "Infinity", "9" * 400, "9" * 5000, '""', '"\\ud800"'),
    *(
        '"\\u0000"',
        "[[[[",
        '{"a":',
        "1.5",
        '"x"',
        '{"id":1}',
        "[" * 2000,
        '{"a":' * 2000,
        '"AAAA"',
        '"2024-02-30T00:00Z"',
    ),
]


@dataclass(frozen=True)
class Attempt:
    """One request. ``verb`` is empty for gRPC, whose ``path`` is ``/service/method``."""

    verb: str
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        headers = " ".join(f"{name}: {value[:60]}" for name, value in self.headers.items())
        return f"{self.verb or 'gRPC'} {self.path[:300]} {headers} {self.body[:2000]!r}"


class Fuzzer:
    """Makes attempts; the same seed and number make the same attempt."""

    def __init__(self, seed: str, good: Sequence[Call], bad: Sequence[Call]) -> None:
        """``good`` calls succeed when nothing is changed, which brings attempts further than ``bad`` ones get."""
        self._seed = seed
        self._good, self._bad = _by_method(good), _by_method(bad)
        self._corpus = parts([call.message(BUCKET) for call in (*good, *bad)])
        self._methods = [method for method in METHODS for _ in range(1 + WEIGHT * method.startswith(INTERESTING))]

    def attempt(self, number: int) -> Attempt:
        """The attempt of that number."""
        random = Random(f"{self._seed}/{number}")
        method, message = self._message(random, number)
        routes = list(bindings(method))
        if random.random() < 0.5 or not routes:
            return _over_grpc(random, method, message)
        return _over_http(random, random.choice(routes), message)

    def _message(self, random: Random, number: int) -> tuple[api.Method, Message]:
        mutator = Mutator(random, self._corpus)
        if random.random() < 0.1:
            method = METHODS[random.choice(self._methods)]
            message = method.request_class()
            mutator.fill(message, random.choice([1, 2, 4]))
            return method, message
        calls = self._good if random.random() < 0.8 else self._bad
        call = random.choice(calls[random.choice([method for method in self._methods if method in calls])])
        message = call.message(BUCKET)
        if random.random() < 0.7:
            _rename(call.method, message, number)
        for _ in range(random.choice([0, 1, 1, 1, 2, 4])):
            mutator.mutate(message)
        return METHODS[call.method], message


def _by_method(calls: Sequence[Call]) -> dict[str, list[Call]]:
    """Every call once."""
    sorted_out: dict[str, list[Call]] = {}
    for call in {json.dumps([call.method, call.request]): call for call in calls}.values():
        sorted_out.setdefault(call.method, []).append(call)
    return sorted_out


def _rename(method: str, message: Any, number: int) -> None:
    """Give what is to be created a name that is free."""
    name = method.partition("/")[2]
    if name in ("CreateTask", "CreateWorkflow", "CreateLaunchPlan"):
        message.id.version = f"f{number}"
    elif name in ("CreateExecution", "RelaunchExecution", "RecoverExecution"):
        message.name = f"f{number}"
    elif name == "CreateNodeEvent":
        message.event.id.node_id = f"f{number}"
    elif name == "CreateTaskEvent":
        message.event.retry_attempt = number
    elif name == "RegisterProject":
        message.project.id = f"f{number}"


def _over_grpc(random: Random, method: api.Method, message: Message) -> Attempt:
    body = message.SerializeToString(deterministic=True)
    path = f"/{method.name}"
    if random.random() < 0.15:
        body = _broken(random, body)
    elif random.random() < 0.02:
        path = random.choice([f"{path}X", f"/x.{method.name}", path.lower(), "/"])
    return Attempt("", path, body)


def _over_http(random: Random, binding: Binding, message: Message) -> Attempt:
    segments = [_segment(random, message, part) for part in binding.segments]
    path = "/" + "/".join(segments)
    headers = {"Accept": random.choice([JSON, BINARY, "*/*", *TYPES])}
    body = b""
    if binding.body or random.random() < 0.05:
        headers["Content-Type"] = random.choice([JSON, BINARY])
        body = _body(random, message, headers["Content-Type"])
        if random.random() < 0.1:
            headers["Content-Type"] = random.choice(TYPES)
    if not binding.body or random.random() < 0.05:
        path += _query(random, message, binding.variables)
    verb = binding.verb
    if random.random() < 0.03:
        verb = random.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW"])
    if random.random() < 0.02:
        path = random.choice([path * 20, f"{path}/", f"//{path}", f"{path}/..", "*", f"{path}%00", "/api/v1/openapi"])
    return Attempt(verb, path, body, headers)


def _segment(random: Random, message: Any, part: str) -> str:
    if not part.startswith("{"):
        return part
    if random.random() < 0.1:
        return random.choice([quote(text(random)[:3000], safe=""), "%FF%FE", "%00", "%2F", "%", "%zz", "a%252Fb", "."])
    *parents, name = part[1:-1].split(".")
    for parent in parents:
        message = getattr(message, parent)
    return quote(str(getattr(message, name))[:3000], safe="") or "x"


def _query(random: Random, message: Message, bound: list[str]) -> str:
    said = as_query(message, bound)
    if said is None or random.random() < 0.1:
        said = []
    pairs = [f"{quote(name)}={quote(value[:5_000])}" for name, value in said]
    for _ in range(random.choice([0, 0, 1, 3])):
        name = random.choice(["limit", "token", "filters", "sort_by.key", "sort_by.direction", "id", "id.project", "x"])
        name = random.choice([name, name, f"{name}[a]", f"{name}.x", f"[{name}", "", "%zz"])
        value = random.choice(["-1", "1", "99999999999999999999", "", "%", "%ff", "%2B", "null", "ASCENDING", "7"])
        value = random.choice([value, quote(text(random, name)[:5_000])])
        pairs.append(random.choice([f"{name}={value}", f"{name}={value}", name, f"{name}={value}&{name}={value}"]))
    return f"?{'&'.join(pairs)}" if pairs else ""


def _body(random: Random, message: Message, content_type: str) -> bytes:
    if content_type == BINARY:
        body = message.SerializeToString(deterministic=True)
        return _broken(random, body) if random.random() < 0.15 else body
    try:
        said = json_format.MessageToDict(message, preserving_proto_field_name=random.random() < 0.5)
        written = json.dumps(said, sort_keys=True)
    except (ValueError, TypeError, json_format.Error, DecodeError, RecursionError):
        written = "{}"  # some messages cannot be said in JSON
    if random.random() < 0.3:
        written = _broken_json(random, written)
    return written.encode("utf-8", "surrogatepass")


def _broken_json(random: Random, written: str) -> str:
    kind = random.randrange(5)
    if kind == 0:
        return written[: random.randrange(len(written) + 1)]
    if kind == 1:
        return random.choice([*TOKENS, "\ufeff" + written, written * 2, f"[{written}]", written.replace('"', "'")])
    # in the place of some value
    places = [index for index, character in enumerate(written) if character == ":"]
    if not places:
        return random.choice(TOKENS)
    place = random.choice(places) + 1
    rest = written[place:]
    end = min((rest.find(mark) for mark in ",}" if mark in rest), default=len(rest))
    value = random.choice(TOKENS) if kind < 4 else json.dumps(random.choice(TEXTS))
    return written[:place] + value + rest[end:]


def _broken(random: Random, body: bytes) -> bytes:
    """Bytes that are protobuf no more, or surprising protobuf."""
    data = bytearray(body)
    kind = random.randrange(7)
    if kind == 0:
        return bytes(data[: random.randrange(len(data) + 1)])
    if kind == 1:
        for _ in range(random.choice([1, 3, 20])):
            if data:
                data[random.randrange(len(data))] = random.randrange(256)
        return bytes(data)
    if kind == 2:
        letters = [index for index, byte in enumerate(data) if chr(byte).isalpha()]
        if letters:
            data[random.choice(letters)] = random.choice([0x80, 0xC0, 0xFF, 0xED])  # no UTF-8 any more
        return bytes(data)
    endings = [b"\x0b" * 5000, b"\x0a\xff\xff\xff\xff\x0f", b"\xff" * 11, random.randbytes(30), bytes(body)]
    return bytes(data) + random.choice(endings) if kind < 6 else random.randbytes(random.choice([1, 10, 1000]))
