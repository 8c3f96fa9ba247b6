from __future__ import annotations

import math

import pytest
from flyteidl.admin import common_pb2, description_entity_pb2, matchable_resource_pb2, project_domain_attributes_pb2
from flyteidl.core import identifier_pb2, tasks_pb2
from google.protobuf import struct_pb2

from flytelite.config import Settings
from flytelite.errors import AlreadyExists, InvalidArgument, NotFound
from flytelite.server.admin.attributes import Attributes
from flytelite.server.admin.tasks import Tasks

P, D = "flytesnacks", "development"
CPU, GPU, MEMORY = tasks_pb2.Resources.CPU, tasks_pb2.Resources.GPU, tasks_pb2.Resources.MEMORY
Entry = tasks_pb2.Resources.ResourceEntry


def listed(tasks, **fields):
    request = {"id": common_pb2.NamedEntityIdentifier(project=P, domain=D), "limit": 10} | fields
    return tasks.list(common_pb2.ResourceListRequest(**request))


def versions(page) -> list[str]:
    return [f"{task.id.name}:{task.id.version}" for task in page.tasks]


def test_a_task_comes_back_compiled(tasks, task_request):
    request = task_request()
    request.spec.template.custom["key"] = "value"
    request.spec.template.id.name = "something else"
    request.spec.description.CopyFrom(description_entity_pb2.DescriptionEntity(short_description="adds one"))
    tasks.create(request)
    task = tasks.get(common_pb2.ObjectGetRequest(id=request.id))
    assert task.id == task.closure.compiled_task.template.id == request.id
    assert task.short_description == "adds one"
    assert task.closure.created_at.seconds > 0
    assert dict(task.closure.compiled_task.template.custom) == {"key": "value"}
    assert request.spec.template.id.name == "something else"


def test_a_get_fills_the_resource_type_and_needs_all_parts(tasks, task_request):
    request = task_request()
    tasks.create(request)
    untyped = identifier_pb2.Identifier(project=P, domain=D, name="t", version="1")
    assert tasks.get(common_pb2.ObjectGetRequest(id=untyped)).id == request.id
    with pytest.raises(InvalidArgument, match=r"^missing version$"):
        tasks.get(common_pb2.ObjectGetRequest(id=identifier_pb2.Identifier(project=P, domain=D, name="t")))
    untyped.version = "2"
    with pytest.raises(NotFound, match=r"^missing entity of type TASK with identifier .*version"):
        tasks.get(common_pb2.ObjectGetRequest(id=untyped))
    assert tasks.find(untyped) is None


def test_the_same_structure_again_is_a_duplicate(store, tasks, task_request):
    tasks.create(task_request())
    position = store.position
    with pytest.raises(AlreadyExists, match=r"^task with identical structure already exists$"):
        tasks.create(task_request())
    assert store.position == position


def test_another_structure_is_refused_with_the_difference(store, tasks, task_request):
    tasks.create(task_request())
    position = store.position
    with pytest.raises(InvalidArgument) as caught:
        tasks.create(task_request(container=tasks_pb2.Container(image="j", args=["run"])))
    assert str(caught.value) == (
        "t task with different structure already exists. (Please register a new version of the task):\n"
        "/template/container/image:\n\t- i \n\t+ j"
    )
    assert caught.value.details == ()
    assert store.position == position


def test_a_description_alone_makes_no_new_structure(tasks, descriptions, task_request):
    tasks.create(task_request())
    described = task_request()
    described.spec.description.short_description = "new"
    with pytest.raises(AlreadyExists):
        tasks.create(described)
    with pytest.raises(NotFound):
        descriptions.get(common_pb2.ObjectGetRequest(id=described.id))


def test_what_json_cannot_say_is_not_kept(store, tasks, task_request):
    request, position = task_request(), store.position
    request.spec.template.custom["x"] = float("nan")
    with pytest.raises(InvalidArgument, match=r"^Task .* cannot be kept: "):
        tasks.create(request)
    assert tasks.find(request.id) is None
    assert store.position == position


def test_lists(tasks, task_request):
    for name, version in (("a", "1"), ("b", "1"), ("a", "2")):
        tasks.create(task_request(name, version))
    assert versions(listed(tasks)) == ["a:1", "b:1", "a:2"]
    of_a = common_pb2.NamedEntityIdentifier(project=P, domain=D, name="a")
    newest = common_pb2.Sort(key="created_at", direction=common_pb2.Sort.DESCENDING)
    page = listed(tasks, id=of_a, limit=1, sort_by=newest)
    assert (versions(page), page.token) == (["a:2"], "1")
    assert versions(listed(tasks, filters="eq(task.version,1)+eq(type,python-task)")) == ["a:1", "b:1"]
    assert page.tasks[0].closure.compiled_task.template.container.image == "i"
    after = listed(tasks).tasks[0].closure.created_at.ToJsonString()
    assert versions(listed(tasks, filters=f"gt(created_at,{after})")) == ["b:1", "a:2"]
    elsewhere = common_pb2.NamedEntityIdentifier(project=P, domain="staging")
    assert versions(listed(tasks, id=elsewhere)) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": None}, "missing id"),
        ({"id": common_pb2.NamedEntityIdentifier(domain=D)}, "missing project"),
        ({"id": common_pb2.NamedEntityIdentifier(project=P)}, "missing domain"),
        ({"limit": 0}, "invalid value for limit"),
        ({"filters": "eq(workflow.name,w)"}, "'w' entity is not allowed in filters"),
        ({"token": "x"}, "invalid pagination token x for ListTasks"),
    ],
)
def test_lists_that_cannot_be_made(tasks, fields, message):
    with pytest.raises(InvalidArgument) as caught:
        listed(tasks, **fields)
    assert str(caught.value) == message


def test_names(tasks, task_request):
    for name, version in (("b", "1"), ("a", "1"), ("b", "2")):
        tasks.create(task_request(name, version))
    request = common_pb2.NamedEntityIdentifierListRequest(project=P, domain=D, limit=10)
    assert [id.name for id in tasks.list_ids(request).entities] == ["a", "b"]


def test_requests_are_checked_in_order(tasks, task_request):
    request = task_request(type="", metadata=None, interface=None)
    request.spec.template.container.image = ""
    request.id.resource_type, request.id.project = identifier_pb2.UNSPECIFIED, "x"
    repairs = [
        ("unexpected resource type unspecified", lambda: setattr(request.id, "resource_type", identifier_pb2.TASK)),
        ("failed to validate that project [x]", lambda: setattr(request.id, "project", P)),
        ("missing type", lambda: setattr(request.spec.template, "type", "python-task")),
        ("missing metadata", request.spec.template.metadata.runtime.SetInParent),
        ("missing runtime version", lambda: setattr(request.spec.template.metadata.runtime, "version", "1")),
        ("missing typed interface", request.spec.template.interface.SetInParent),
        ("missing image", lambda: setattr(request.spec.template.container, "image", "i")),
    ]
    for message, repair in repairs:
        with pytest.raises(InvalidArgument) as caught:
            tasks.create(request)
        assert str(caught.value).startswith(message)
        repair()
    tasks.create(request)
    request.ClearField("spec")
    with pytest.raises(InvalidArgument, match=r"^missing spec$"):
        tasks.create(request)


def test_a_task_that_does_not_compile(tasks, task_request):
    with pytest.raises(InvalidArgument, match=r"^task failed compilation with Collected Errors: 1\n"):
        tasks.create(task_request(container=tasks_pb2.Container(image="i")))


def container(requests: dict[int, str], limits: dict[int, str] | None = None) -> tasks_pb2.Container:
    resources = tasks_pb2.Resources(
        requests=[Entry(name=name, value=value) for name, value in requests.items()],
        limits=[Entry(name=name, value=value) for name, value in (limits or {}).items()],
    )
    return tasks_pb2.Container(image="i", args=["run"], resources=resources)


@pytest.mark.parametrize(
    ("requests", "limits", "message"),
    [
        ({CPU: "2"}, {CPU: "1"}, "Requested CPU default [2] is greater than the limit [1]"),
        ({CPU: "1"}, {CPU: "9"}, "Requested CPU limit [9] is greater than current limit"),
        ({MEMORY: "3Gi"}, {}, "Requested MEMORY default [3Gi] is greater than current limit"),
        ({GPU: "1"}, {GPU: "2"}, "For extended resource 'gpu' the default value must equal the limit value"),
        ({GPU: "0.5"}, {}, "gpu for ["),
        ({CPU: "lots"}, {}, "Parsing of CPU request failed for value lots"),
    ],
)
def test_resources_that_are_too_much(tasks, attributes, task_request, requests, limits, message):
    allowed = matchable_resource_pb2.TaskResourceSpec(cpu="4", memory="2Gi", gpu="nonsense")
    row = project_domain_attributes_pb2.ProjectDomainAttributes(project=P, domain=D)
    row.matching_attributes.task_resource_attributes.limits.CopyFrom(allowed)
    attributes.update_project_domain(project_domain_attributes_pb2.ProjectDomainAttributesUpdateRequest(attributes=row))
    with pytest.raises(InvalidArgument) as caught:
        tasks.create(task_request(container=container(requests, limits)))
    assert str(caught.value).startswith(message)


def test_the_settings_limit_resources_where_no_attributes_do(
    store, projects, named_entities, descriptions, clock, task_request
):
    settings = Settings(task_resource_limits=("cpu=2",))
    tasks = Tasks(
        store, projects, named_entities, descriptions, Attributes(store, projects, settings, clock), clock=clock
    )
    with pytest.raises(InvalidArgument, match=r"greater than current limit set in the platform configuration \[2\]"):
        tasks.create(task_request(container=container({CPU: "3"})))
    tasks.create(task_request(container=container({CPU: "2", MEMORY: "1Ti"})))


def test_resources_are_named_once(tasks, task_request):
    twice = container({CPU: "1"})
    twice.resources.requests.add(name=CPU, value="1")
    with pytest.raises(InvalidArgument, match=r"^can't specify CPU limit for task \[.*\] multiple times$"):
        tasks.create(task_request(container=twice))


def test_resources_that_are_fine(tasks, task_request):
    tasks.create(task_request(container=container({CPU: "100", GPU: "1"}, {GPU: "1"})))
    assert tasks.find(task_request().id) is not None


def pod(**spec: object) -> tasks_pb2.K8sPod:
    struct = struct_pb2.Struct()
    struct.update(spec)
    return tasks_pb2.K8sPod(pod_spec=struct)


def test_pods(tasks, task_request):
    good = {"name": "main", "resources": {"requests": {"cpu": 1, "nvidia.com/gpu": "x"}, "limits": {"cpu": "2"}}}
    tasks.create(task_request(container=None, k8s_pod=pod(containers=[good])))
    bad = {"name": "main", "resources": {"requests": {"ephemeral-storage": "2Gi"}, "limits": {"ephemeral-storage": 1}}}
    cases = [
        (r"^invalid TaskSpecification", tasks_pb2.K8sPod()),
        (r"containers must be a list", pod(containers="x")),
        (r"^invalid pod spec for task .*NaN", pod(containers=math.nan)),
        (r"requests and limits must be objects", pod(containers=[{"resources": {"limits": [1]}}])),
        (r"^Requested EPHEMERAL_STORAGE default \[2Gi\] is greater than the limit", pod(containers=[bad])),
        (r"^Parsing of MEMORY request failed", pod(containers=[{"resources": {"requests": {"memory": [1]}}}])),
    ]
    for number, (message, spec) in enumerate(cases):
        with pytest.raises(InvalidArgument, match=message):
            tasks.create(task_request(f"p{number}", container=None, k8s_pod=spec))
