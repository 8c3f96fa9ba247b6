"""Prometheus' text format, with the names that FlyteAdmin's gRPC interceptor (go-grpc-prometheus) uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flytelite import __version__
from flytelite.errors import Code
from flytelite.server.dispatch import Dispatcher

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics_text(dispatcher: Dispatcher, scheduled: Mapping[str, int]) -> str:
    """The calls so far, by method and code, and the seconds they took; and how often schedules fired, by outcome."""
    return "\n".join([*_lines(dispatcher), *_scheduled(scheduled)]) + "\n"


def _scheduled(outcomes: Mapping[str, int]) -> Iterator[str]:
    yield "# HELP flytelite_scheduled_executions_total Times at which schedules fired, by what came of it."
    yield "# TYPE flytelite_scheduled_executions_total counter"
    for outcome, count in sorted(outcomes.items()):
        yield f'flytelite_scheduled_executions_total{{outcome="{outcome}"}} {count}'


def _lines(dispatcher: Dispatcher) -> Iterator[str]:
    yield "# HELP flytelite_info The running version."
    yield "# TYPE flytelite_info gauge"
    yield f'flytelite_info{{version="{__version__}"}} 1'
    yield "# HELP grpc_server_handled_total RPCs completed, over gRPC and over REST."
    yield "# TYPE grpc_server_handled_total counter"
    for name, statistics in sorted(dispatcher.statistics.items()):
        for code, count in sorted(statistics.calls.items()):
            yield f'grpc_server_handled_total{{grpc_code="{_go_name(code)}",{_labels(name)}}} {count}'
    yield "# HELP grpc_server_handling_seconds Time until the answer, durability included."
    yield "# TYPE grpc_server_handling_seconds summary"
    for name, statistics in sorted(dispatcher.statistics.items()):
        yield f"grpc_server_handling_seconds_sum{{{_labels(name)}}} {statistics.seconds:.6f}"
        yield f"grpc_server_handling_seconds_count{{{_labels(name)}}} {statistics.calls.total()}"


def _labels(name: str) -> str:
    service, _, method = name.partition("/")
    return f'grpc_method="{method}",grpc_service="{service}",grpc_type="unary"'


def _go_name(code: Code) -> str:
    if code in (Code.OK, Code.CANCELLED):
        return "OK" if code is Code.OK else "Canceled"
    return code.name.title().replace("_", "")
