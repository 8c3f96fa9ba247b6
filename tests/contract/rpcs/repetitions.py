"""RelaunchExecution and RecoverExecution."""

from __future__ import annotations

from collections.abc import Iterator

from flytelite.errors import Code

from .executions import DATA, EMPTY, GET, INPUTS
from .rows import Call, Row, changed, fails, refused, succeeds
from .words import HAVE_EXECUTION, HAVE_NODE, HAVE_SUCCEEDED, INACTIVE, NODE, RUN, archived, named

RELAUNCH, RECOVER = "AdminService/RelaunchExecution", "AdminService/RecoverExecution"
AGAIN = {"id": RUN, "name": "again"}


def rows() -> Iterator[Row]:
    yield from _relaunch()
    yield from _recover()
    for method in (RELAUNCH, RECOVER):
        yield from _errors(method)


def _relaunch() -> Iterator[Row]:
    def stored(**metadata: object) -> list[tuple[Call, object]]:
        spec = {"metadata": {"mode": "RELAUNCH", "reference_execution": RUN, **metadata}}
        return [
            (Call(GET, {"id": named("again")}), {"spec": spec, "closure": {"phase": None}}),
            (Call(DATA, {"id": named("again")}), {"full_inputs": INPUTS}),
        ]

    answer = {"id": named("again")}
    yield succeeds(RELAUNCH, "one that has ended", AGAIN, answer, given=HAVE_SUCCEEDED, then=stored())
    yield succeeds(RELAUNCH, "one that has not", AGAIN, answer, given=HAVE_EXECUTION, then=stored())
    fresh = changed(AGAIN, overwrite_cache=True)
    then = [(Call(GET, {"id": named("again")}), {"spec": {"overwrite_cache": True}})]
    yield succeeds(RELAUNCH, "overwriting the cache", fresh, answer, given=HAVE_SUCCEEDED, then=then)
    nameless = {"id": RUN}
    yield succeeds(RELAUNCH, "without a name", nameless, given=HAVE_SUCCEEDED, varies=["id.name"])


def _recover() -> Iterator[Row]:
    answer = {"id": named("again")}
    metadata = {"mode": "RECOVERED", "reference_execution": RUN}
    then = [(Call(GET, {"id": named("again")}), {"spec": {"metadata": metadata}})]
    yield succeeds(RECOVER, "one that has ended", AGAIN, answer, given=HAVE_SUCCEEDED, then=then)
    child = changed(AGAIN, metadata={"parent_node_execution": NODE})
    then = [(Call(GET, {"id": named("again")}), {"spec": {"metadata": {**metadata, "parent_node_execution": NODE}}})]
    yield succeeds(RECOVER, "for a node", child, answer, given=HAVE_NODE, then=then)
    orphan = changed(child, metadata__parent_node_execution__node_id="n9")
    words = "missing entity of type node execution with identifier "
    yield fails(RECOVER, "for an unknown node", orphan, Code.NOT_FOUND, words, given=HAVE_NODE)


def _errors(method: str) -> Iterator[Row]:
    unknown = changed(AGAIN, id__name="nobody")
    yield fails(method, "an unknown execution", unknown, Code.NOT_FOUND, EMPTY, given=HAVE_EXECUTION)
    yield fails(method, "no id", {"name": "again"}, Code.NOT_FOUND, EMPTY, given=HAVE_EXECUTION)
    taken = changed(AGAIN, name="run")
    words = "value with matching already exists"
    yield fails(method, "a name that is taken", taken, Code.ALREADY_EXISTS, words, given=HAVE_EXECUTION)
    bad = changed(AGAIN, name="1again")
    yield refused(method, "a bad name", bad, "invalid name format: 1again", given=HAVE_EXECUTION)
    inactive = {"details": [INACTIVE], "given": (*HAVE_EXECUTION, archived())}
    yield refused(method, "of an archived project", AGAIN, "is not active", **inactive)
