from __future__ import annotations

import pytest

from flytelite.errors import NotFound, Unimplemented
from flytelite.server import api
from flytelite.server.rest.routes import Routes

ROUTES = Routes()


def test_every_rpc_but_one_has_a_route():
    routed = {route.method.name for route in ROUTES.all}
    unrouted = {method.name for method in api.methods()} - routed
    assert {name for name in unrouted if not name.startswith("datacatalog.DataCatalog/")} == {
        "flyteidl.service.SignalService/GetOrCreateSignal"
    }
    assert len(ROUTES.all) == 56 + 4 + 2 + 1 + 4 + 2  # admin, its additional bindings, auth, identity, data, signals


def test_no_path_has_two_routes():
    for route in ROUTES.all:
        path = "/".join(segment if isinstance(segment, str) else "x" for segment in route.segments)
        found, _ = ROUTES.find(route.verb, f"/{path}")
        assert found is route


def test_variables_are_found_in_the_path():
    route, values = ROUTES.find("GET", "/api/v1/node_executions/p/d/e/n0/dynamic_workflow")
    assert route.method.name.endswith("/GetDynamicNodeWorkflow")
    assert values[("id", "node_id")] == "n0"
    assert values[("id", "execution_id", "name")] == "e"
    assert not route.body


def test_unknown_and_wrong_verb():
    with pytest.raises(NotFound, match=r"^Not Found$"):
        ROUTES.find("GET", "/api/v2/version")
    with pytest.raises(Unimplemented, match=r"^Method Not Allowed$"):
        ROUTES.find("POST", "/api/v1/version")
