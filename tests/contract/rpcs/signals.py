"""The signal RPCs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flytelite.errors import Code

from .listing import limit_error, list_errors, sorted_by
from .rows import Call, Row, changed, fails, refused, succeeds
from .words import INTEGER, ONE, RUN, TEXT

GET_OR_CREATE, LIST, SET = (f"SignalService/{name}" for name in ("GetOrCreateSignal", "ListSignals", "SetSignal"))
ID = {"signal_id": "go", "execution_id": RUN}
REQUEST = {"id": ID, "type": INTEGER}
HAVE_SIGNAL = (Call(GET_OR_CREATE, REQUEST),)
HAVE_VALUE = (*HAVE_SIGNAL, Call(SET, {"id": ID, "value": ONE}))
LISTED = Call(LIST, {"workflow_execution_id": RUN, "limit": 10})


def rows() -> Iterator[Row]:
    yield from _get_or_create()
    yield from _set()
    yield from _list()


def _identifier_errors(method: str, request: dict[str, Any]) -> Iterator[Row]:
    missing = {
        "id": "missing id",
        "id__execution_id": "missing execution_id",
        "id__signal_id": "missing signal_id",
        "id__execution_id__project": "missing project",
        "id__execution_id__domain": "missing domain",
        "id__execution_id__name": "missing name",
    }
    for path, message in missing.items():
        yield refused(method, f"no {path.replace('__', '.')}", changed(request, **{path: None}), message)


def _get_or_create() -> Iterator[Row]:
    new = {**REQUEST, "value": None}
    yield succeeds(GET_OR_CREATE, "a new one", REQUEST, new, then=[(LISTED, {"signals": [new]})])
    yield succeeds(GET_OR_CREATE, "one that waits", REQUEST, new, given=HAVE_SIGNAL)
    yield succeeds(GET_OR_CREATE, "one that is set", REQUEST, {**REQUEST, "value": ONE}, given=HAVE_VALUE)
    other = changed(REQUEST, type={"simple": "STRING"})
    words = "value with matching already exists"
    yield fails(GET_OR_CREATE, "one of another type", other, Code.ALREADY_EXISTS, words, given=HAVE_SIGNAL)
    yield refused(GET_OR_CREATE, "no type", changed(REQUEST, type=None), "missing type")
    yield from _identifier_errors(GET_OR_CREATE, REQUEST)


def _set() -> Iterator[Row]:
    request = {"id": ID, "value": ONE}
    then = [(LISTED, {"signals": [{"value": ONE}]})]
    yield succeeds(SET, "a value", request, given=HAVE_SIGNAL, then=then)
    yield succeeds(SET, "a value again", request, given=HAVE_VALUE, then=then)
    yield refused(SET, "an unknown signal", request, "failed to validate that signal [")
    yield refused(SET, "another type", changed(request, value=TEXT), "is not castable to existing", given=HAVE_SIGNAL)
    yield refused(SET, "no value", changed(request, value=None), "missing value")
    untyped = changed(request, value={"collection": {"literals": [{}]}})
    yield refused(SET, "a value of no type", untyped, "got unknown literal type", given=HAVE_SIGNAL)
    yield from _identifier_errors(SET, request)


def _list() -> Iterator[Row]:
    request = dict(LISTED.request)
    stop = Call(GET_OR_CREATE, changed(REQUEST, id__signal_id="stop"))
    given = (*HAVE_VALUE, stop)
    first, second = {**REQUEST, "value": ONE}, {"id": {"signal_id": "stop"}, "value": None}
    yield succeeds(LIST, "all", request, {"signals": [first, second], "token": None}, given=given)
    page = changed(request, limit=1, sort_by=sorted_by("signal_id", "DESCENDING"))
    yield succeeds(LIST, "a page", page, {"signals": [second], "token": "1"}, given=given)
    filtered = changed(request, filters="eq(signal.signal_id,go)")
    yield succeeds(LIST, "filtered", filtered, {"signals": [first]}, given=given)
    nobody = changed(request, workflow_execution_id__name="nobody")
    yield succeeds(LIST, "of an unknown execution", nobody, {"signals": None}, given=given)
    yield limit_error(LIST, request)
    yield refused(LIST, "no execution", changed(request, workflow_execution_id=None), "missing execution_id")
    yield refused(LIST, "no name", changed(request, workflow_execution_id__name=None), "missing execution_id")
    yield from list_errors(LIST, request, rpc="ListSignals", code="s", foreign="task:t")
