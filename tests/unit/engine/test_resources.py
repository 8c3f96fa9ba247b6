from __future__ import annotations

from fractions import Fraction

import pytest
from flyteidl.admin import matchable_resource_pb2
from flyteidl.core import tasks_pb2
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from flytelite.engine.resources import Amount, EffectiveResources, effective_resources

NAMES = {name.lower(): value for name, value in tasks_pb2.Resources.ResourceName.items()}
MI, GI = 1024**2, 1024**3


def entries(asked: dict[str, str]) -> list[tasks_pb2.Resources.ResourceEntry]:
    return [tasks_pb2.Resources.ResourceEntry(name=NAMES[name], value=value) for name, value in asked.items()]


def resources(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None) -> tasks_pb2.Resources:
    return tasks_pb2.Resources(requests=entries(requests or {}), limits=entries(limits or {}))


def container(*asked: dict[str, str]) -> tasks_pb2.TaskTemplate:
    return tasks_pb2.TaskTemplate(container=tasks_pb2.Container(resources=resources(*asked)))


def platform(defaults: dict[str, str] | None = None, limits: dict[str, str] | None = None):
    return matchable_resource_pb2.TaskResourceAttributes(defaults=defaults or {}, limits=limits or {})


def amount(request: float, limit: float) -> Amount:
    return Amount(Fraction(request), Fraction(limit))


NOTHING = platform()
FLYTE = platform({"cpu": "2", "memory": "200Mi"}, {"cpu": "2", "memory": "1Gi", "gpu": "1"})
"""FlyteAdmin's own configuration."""


def test_who_asks_for_nothing_gets_what_the_platform_gives():
    assert effective_resources(container(), None, NOTHING) == EffectiveResources()
    found = effective_resources(container(), None, FLYTE)
    assert found == EffectiveResources(cpu=amount(2, 2), memory=amount(200 * MI, 200 * MI))
    generous = platform({"cpu": "1", "gpu": "1", "ephemeral_storage": "1Gi"})
    assert effective_resources(container(), None, generous).gpu == amount(1, 1)
    assert effective_resources(container(), None, generous).ephemeral_storage == amount(GI, GI)


@pytest.mark.parametrize(
    ("requests", "limits", "expected"),
    [
        ({"cpu": "500m"}, {}, amount(0.5, 0.5)),
        ({}, {"cpu": "1"}, amount(1, 1)),
        ({"cpu": "500m"}, {"cpu": "1"}, amount(0.5, 1)),
        ({"cpu": "8"}, {}, amount(2, 2)),
        ({"cpu": "1"}, {"cpu": "8"}, amount(1, 2)),
        ({"cpu": "1500m"}, {"cpu": "1"}, amount(1, 1)),
        ({"cpu": "0"}, {}, amount(2, 2)),
        ({"cpu": "many"}, {}, amount(2, 2)),
    ],
)
def test_requests_and_limits_complete_and_bound_each_other(requests, limits, expected):
    assert effective_resources(container(requests, limits), None, FLYTE).cpu == expected


def test_gpus_and_storage_only_for_those_who_ask():
    found = effective_resources(container({"gpu": "1", "ephemeral_storage": "1G"}), None, FLYTE)
    assert (found.gpu, found.ephemeral_storage) == (amount(1, 1), amount(10**9, 10**9))
    assert effective_resources(container({"gpu": "4"}), None, FLYTE).gpu == amount(1, 1)
    assert effective_resources(container(), None, FLYTE).gpu == Amount()


def test_a_node_overrides_what_it_names():
    own = container({"cpu": "1", "memory": "1Gi"}, {"cpu": "4"})
    found = effective_resources(own, resources({"cpu": "2", "gpu": "1"}), NOTHING)
    assert found == EffectiveResources(cpu=amount(2, 4), memory=amount(GI, GI), gpu=amount(1, 1))
    # The limit that the task got from its request stays, and the request cannot exceed it: so it is in Flyte.
    assert effective_resources(container({"cpu": "1"}), resources({"cpu": "2"}), NOTHING).cpu == amount(1, 1)
    both = resources({"cpu": "2"}, {"cpu": "3"})
    assert effective_resources(container({"cpu": "1"}), both, NOTHING).cpu == amount(2, 3)
    assert effective_resources(container({"cpu": "1"}), both, FLYTE).cpu == amount(2, 2)
    assert effective_resources(container({"cpu": "1"}), resources({"cpu": "0"}), NOTHING).cpu == amount(1, 1)


def test_the_primary_container_of_a_pod_counts():
    template = tasks_pb2.TaskTemplate(config={"primary_container_name": "main"})
    pod = {
        "containers": [
            {"name": "side", "resources": {"requests": {"cpu": "9"}}},
            {"name": "main", "resources": {"requests": {"cpu": 1.5, "nvidia.com/gpu": 1}, "limits": {"memory": "1Gi"}}},
        ]
    }
    json_format.ParseDict(pod, template.k8s_pod.pod_spec)
    found = effective_resources(template, None, NOTHING)
    assert found == EffectiveResources(cpu=amount(1.5, 1.5), memory=amount(GI, GI), gpu=amount(1, 1))
    assert effective_resources(template, resources({"cpu": "1"}), NOTHING).cpu == amount(1, 1)
    assert effective_resources(tasks_pb2.TaskTemplate(), None, NOTHING) == EffectiveResources()


quantity = st.sampled_from(["", "0", "250m", "1", "2", "3500m", "x"])
asked = st.dictionaries(st.sampled_from(["cpu", "memory", "gpu"]), quantity)


@given(asked, asked, asked, asked, asked, asked)
def test_no_request_exceeds_its_limit_and_no_limit_the_platform(requests, limits, more, higher, defaults, ceilings):
    attributes = platform(defaults, ceilings)
    found = effective_resources(container(requests, limits), resources(more, higher), attributes)
    highest = effective_resources(container(ceilings), None, NOTHING)
    for name in ("cpu", "memory", "gpu"):
        mine, ceiling = getattr(found, name), getattr(highest, name).request
        assert mine.request <= mine.limit
        assert not ceiling or mine.limit <= ceiling
        assert (mine.request == 0) == (mine.limit == 0)
