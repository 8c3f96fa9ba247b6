"""The table is complete: every method of flyteidl's services has rows, and the rows tell themselves apart."""

from __future__ import annotations

from collections import Counter

import pytest
from flyteidl.datacatalog import datacatalog_pb2
from flyteidl.service import admin_pb2, auth_pb2, dataproxy_pb2, identity_pb2, signal_pb2

from flytelite.errors import Code

from .rows import METHODS, Row
from .table import ROWS
from .ways import address, bindings

SERVICES = {
    admin_pb2.DESCRIPTOR.services_by_name["AdminService"]: 56,
    dataproxy_pb2.DESCRIPTOR.services_by_name["DataProxyService"]: 4,
    signal_pb2.DESCRIPTOR.services_by_name["SignalService"]: 3,
    auth_pb2.DESCRIPTOR.services_by_name["AuthMetadataService"]: 2,
    identity_pb2.DESCRIPTOR.services_by_name["IdentityService"]: 1,
    datacatalog_pb2.DESCRIPTOR.services_by_name["DataCatalog"]: 10,
}
WITHOUT_AUTHENTICATION = {"AuthMetadataService", "IdentityService"}
CANNOT_FAIL = {"AdminService/GetDomains", "AdminService/GetVersion"}
"""Their requests have no fields."""

ALL = sorted(f"{service.name}/{method.name}" for service in SERVICES for method in service.methods)


def rows_of(method: str) -> list[Row]:
    return [row for row in ROWS if row.call.method == method]


def test_every_method_of_the_descriptors_is_served():
    assert {service.name: len(service.methods) for service in SERVICES} == {
        service.name: count for service, count in SERVICES.items()
    }
    assert set(ALL) == METHODS.keys()


@pytest.mark.parametrize("method", ALL)
def test_every_method_succeeds_once_and_fails_once(method: str):
    codes = {row.code for row in rows_of(method)}
    if method.partition("/")[0] in WITHOUT_AUTHENTICATION:
        assert codes == {Code.UNIMPLEMENTED}
        return
    assert Code.OK in codes
    assert method in CANNOT_FAIL or Code.INVALID_ARGUMENT in codes or Code.NOT_FOUND in codes


def test_no_row_is_there_twice():
    assert [row for row, times in Counter(map(str, ROWS)).items() if times > 1] == []


def test_only_one_method_of_flyteadmin_is_not_bound_to_rest():
    unbound = [name for name, method in METHODS.items() if not list(bindings(method))]
    assert [name for name in unbound if not name.startswith("DataCatalog/")] == ["SignalService/GetOrCreateSignal"]
    assert len(unbound) == 11


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if list(bindings(method))])
def test_rows_go_through_every_binding(method: str):
    """Additional bindings too; those that cannot succeed are the others' business."""
    gone = {found[0] for row in rows_of(method) if (found := address(METHODS[method], row.call.message("")))}
    assert gone == set(bindings(METHODS[method]))


def test_rows_that_no_url_can_say_leave_a_part_of_the_path_empty():
    for row in ROWS:
        method, request = METHODS[row.call.method], row.call.message("")
        if address(method, request) is None:
            paths = [binding.path(request) for binding in bindings(method)]
            assert not any(paths) or row.title in ("another kind",), row
