"""How a setting names connector services: addresses, or mappings with more to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_TIMEOUT = 10.0
_FIELDS = frozenset({"endpoint", "task_types", "insecure", "timeout", "timeouts"})
_CALLS = frozenset({"ListAgents", "CreateTask", "GetTask", "DeleteTask", "ExecuteTaskSync"})


@dataclass(frozen=True)
class ConnectorSettings:
    """One connector service (``flyteplugins/go/tasks/plugins/webapi/connector/config.go``).

    ``task_types`` are what it serves besides what it lists itself. ``timeout`` is that of every call in seconds, 0 for
    none; ``timeouts`` are those of single calls, by their names.
    """

    endpoint: str
    task_types: tuple[str, ...] = ()
    insecure: bool = True
    timeout: float = DEFAULT_TIMEOUT
    timeouts: tuple[tuple[str, float], ...] = ()

    def seconds(self, call: str) -> float | None:
        """How long a call may take; None for any time."""
        return dict(self.timeouts).get(call, self.timeout) or None


def parse(value: Any) -> tuple[ConnectorSettings, ...]:
    """The services that a setting names: a list, or text with commas. Raises ValueError and TypeError."""
    items = [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise TypeError("a list of services is needed")
    return tuple(item if isinstance(item, ConnectorSettings) else _one(item) for item in items)


def _one(item: Any) -> ConnectorSettings:
    if isinstance(item, str):
        item = {"endpoint": item}
    if not isinstance(item, Mapping):
        raise TypeError(f"a service is an address or a mapping, not {item!r}")
    unknown = set(map(str, item)) - _FIELDS
    if unknown:
        raise ValueError(f"a service has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(_FIELDS))}")
    endpoint = str(item.get("endpoint", "")).strip().removeprefix("dns:///")
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"the endpoint {endpoint!r} is no address; write it as host:port")
    types = item.get("task_types", ())
    timeouts = item.get("timeouts", {})
    if isinstance(types, str) or not isinstance(timeouts, Mapping) or set(timeouts) - _CALLS:
        raise ValueError(f"task_types is a list, timeouts a mapping of {', '.join(sorted(_CALLS))} to seconds")
    return ConnectorSettings(
        endpoint=endpoint,
        task_types=tuple(map(str, types)),
        insecure=_truth(item.get("insecure", True)),
        timeout=_seconds(item.get("timeout", DEFAULT_TIMEOUT)),
        timeouts=tuple(sorted((str(call), _seconds(value)) for call, value in timeouts.items())),
    )


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"insecure is true or false, not {value!r}")
    return value


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not seconds >= 0:
        raise ValueError("a timeout cannot be negative")
    return seconds
