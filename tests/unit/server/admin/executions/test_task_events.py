"""Which task events are accepted, what they leave, and how it is read."""

from __future__ import annotations

import pytest
from flyteidl.admin import event_pb2 as event_requests
from flyteidl.admin import node_execution_pb2, task_execution_pb2
from flyteidl.core import catalog_pb2, identifier_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.event import event_pb2
from google.protobuf import json_format, struct_pb2

from flytelite.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted

Phase = core_execution_pb2.TaskExecution
Node = core_execution_pb2.NodeExecution
ERROR = core_execution_pb2.ExecutionError(code="USER:X", message="m" * 200)


@pytest.fixture
def id(admin) -> identifier_pb2.WorkflowExecutionIdentifier:
    made = admin.run("run-1")
    admin.node_event(made, "n0", Node.RUNNING)
    return made


def attempt(admin, id, number: int = 0) -> task_execution_pb2.TaskExecution:
    request = task_execution_pb2.TaskExecutionGetRequest(id=admin.attempt_id(id, "n0", number))
    return admin.attempts.get(request)


def listed(admin, id, node: str = "n0", **request) -> task_execution_pb2.TaskExecutionList:
    return admin.attempts.list(
        task_execution_pb2.TaskExecutionListRequest(
            node_execution_id=admin.node_id(id, node), **{"limit": 100, **request}
        )
    )


def struct(**values) -> struct_pb2.Struct:
    return json_format.ParseDict(values, struct_pb2.Struct())


def log(name: str, **fields) -> core_execution_pb2.TaskLog:
    return core_execution_pb2.TaskLog(name=name, **{"uri": f"/logs/{name}", **fields})


def resource(index: int, attempt: int = 0, **fields) -> event_pb2.ExternalResourceInfo:
    return event_pb2.ExternalResourceInfo(index=index, retry_attempt=attempt, **fields)


def test_an_attempt_from_queue_to_success(admin, id):
    admin.task_event(id, "n0", Phase.QUEUED, 1, input_uri="/a/inputs.pb", task_type="python-task", event_version=1)
    admin.task_event(id, "n0", Phase.RUNNING, 2, task_type="other")
    admin.task_event(id, "n0", Phase.RUNNING, 3, version=1)
    admin.task_event(id, "n0", Phase.SUCCEEDED, 4, output_uri="/a/outputs.pb", reported_at=admin.at(5))
    found = attempt(admin, id)
    assert found.id == admin.attempt_id(id, "n0")
    assert found.input_uri == "/a/inputs.pb"
    closure = found.closure
    assert closure.phase == Phase.SUCCEEDED
    assert (closure.created_at, closure.started_at, closure.updated_at) == (admin.at(1), admin.at(2), admin.at(5))
    assert closure.duration.ToMilliseconds() == 2000
    assert closure.output_uri == "/a/outputs.pb"
    assert (closure.task_type, closure.event_version) == ("python-task", 1)


def test_each_attempt_is_a_row_of_its_own(admin, id):
    admin.task_event(id, "n0", Phase.FAILED, error=ERROR)
    admin.task_event(id, "n0", Phase.RUNNING, retry_attempt=1)
    assert attempt(admin, id).closure.error == ERROR
    assert listed(admin, id).task_executions[0].closure.error == ERROR  # untrimmed, other than those of nodes
    numbers = [execution.id.retry_attempt for execution in admin.attempts.of_node(admin.node_id(id, "n0"))]
    assert numbers == [0, 1]


def test_a_phase_is_recorded_once_in_each_version(admin, id):
    admin.task_event(id, "n0", Phase.RUNNING, version=2)
    for version in (1, 2):
        with pytest.raises(AlreadyExists, match="have already recorded task execution phase RUNNING"):
            admin.task_event(id, "n0", Phase.RUNNING, version=version)
    admin.task_event(id, "n0", Phase.RUNNING, version=3)
    admin.task_event(id, "n0", Phase.QUEUED)  # lower phases are accepted


@pytest.mark.parametrize("end", [Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED])
def test_what_has_ended_stays_ended(admin, id, end):
    admin.task_event(id, "n0", end)
    with pytest.raises(FailedPrecondition) as refused:
        admin.task_event(id, "n0", end, version=1)
    assert refused.value.details[0].already_in_terminal_state.current_phase == Phase.Phase.Name(end)


def test_a_retryable_failure_is_no_end(admin, id):
    admin.task_event(id, "n0", Phase.RETRYABLE_FAILED)
    admin.task_event(id, "n0", Phase.RUNNING)
    assert attempt(admin, id).closure.phase == Phase.RUNNING


def test_reasons_gather(admin, id):
    admin.task_event(id, "n0", Phase.QUEUED, 1, reason="queued")
    admin.task_event(id, "n0", Phase.QUEUED, 2, version=1, reason="queued")
    two = [event_pb2.EventReason(reason=text, occurred_at=admin.at(3)) for text in ("starting", "started")]
    admin.task_event(id, "n0", Phase.RUNNING, 4, reasons=two)
    closure = attempt(admin, id).closure
    assert [reason.message for reason in closure.reasons] == ["queued", "starting", "started"]
    assert closure.reasons[0].occurred_at == admin.at(1)
    assert closure.reason == "started"


def test_new_logs_replace_those_of_the_same_name_or_uri(admin, id):
    def names() -> list[tuple[str, str]]:
        return [(one.name, one.uri) for one in attempt(admin, id).closure.logs]

    admin.task_event(id, "n0", Phase.RUNNING, logs=[log("a"), log("b"), log("c")])
    admin.task_event(id, "n0", Phase.RUNNING, version=1, logs=[log("a", uri="/new"), log("d", uri="/logs/b")])
    assert names() == [("a", "/new"), ("d", "/logs/b"), ("c", "/logs/c")]
    admin.task_event(id, "n0", Phase.RUNNING, version=2)
    assert names() == [("a", "/new"), ("d", "/logs/b"), ("c", "/logs/c")]


def test_logs_are_hidden_while_pending_and_once_finished(admin, id):
    logs = [log("late"), log("early", ShowWhilePending=True), log("brief", HideOnceFinished=True)]
    admin.task_event(id, "n0", Phase.QUEUED, logs=logs)
    assert len(attempt(admin, id).closure.logs) == 3  # the first event is kept as it is
    admin.task_event(id, "n0", Phase.INITIALIZING)
    assert [one.name for one in attempt(admin, id).closure.logs] == ["early"]
    admin.task_event(id, "n0", Phase.RUNNING, logs=logs[2:])
    admin.task_event(id, "n0", Phase.SUCCEEDED)
    assert [one.name for one in attempt(admin, id).closure.logs] == ["early"]


def test_custom_info_is_merged_and_null_deletes(admin, id):
    admin.task_event(id, "n0", Phase.QUEUED)
    admin.task_event(id, "n0", Phase.RUNNING, custom_info=struct(a=1, b={"c": 1, "d": [1]}, e="x"))
    admin.task_event(id, "n0", Phase.RUNNING, version=1, custom_info=struct(a=None, b={"c": 2, "f": None}, e={"g": 1}))
    assert attempt(admin, id).closure.custom_info == struct(b={"c": 2, "d": [1]}, e={"g": 1})


def test_elements_of_a_map_task_are_merged_by_index_and_attempt(admin, id):
    def elements() -> list[tuple[int, int, int]]:
        found = attempt(admin, id).closure.metadata.external_resources
        return [(one.index, one.retry_attempt, one.phase) for one in found]

    metadata = {"external_resources": [resource(2), resource(0), resource(1)], "generated_name": "pod"}
    admin.task_event(id, "n0", Phase.QUEUED, metadata=metadata)
    assert elements() == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
    changed = resource(1, phase=Phase.FAILED, external_id="x", logs=[log("a"), log("b", HideOnceFinished=True)])
    again = resource(1, 1, phase=Phase.RUNNING)
    admin.task_event(id, "n0", Phase.RUNNING, metadata={"external_resources": [again, changed]})
    assert elements() == [(0, 0, 0), (1, 0, Phase.FAILED), (1, 1, Phase.RUNNING), (2, 0, 0)]
    cached = resource(1, phase=Phase.SUCCEEDED, cache_status=catalog_pb2.CACHE_HIT, logs=[log("a", uri="/new")])
    admin.task_event(id, "n0", Phase.RUNNING, version=1, metadata={"external_resources": [cached]})
    stored = attempt(admin, id).closure.metadata
    assert (stored.generated_name, stored.external_resources[1].external_id) == ("pod", "x")
    assert stored.external_resources[1].cache_status == catalog_pb2.CACHE_HIT
    assert [(one.name, one.uri) for one in stored.external_resources[1].logs] == [("a", "/new"), ("b", "/logs/b")]
    admin.task_event(id, "n0", Phase.SUCCEEDED)
    assert [one.name for one in attempt(admin, id).closure.metadata.external_resources[1].logs] == ["a"]


def test_elements_that_come_with_a_later_event_stay_in_its_order(admin, id):
    admin.task_event(id, "n0", Phase.QUEUED)
    metadata = {"external_resources": [resource(1), resource(0)]}
    admin.task_event(id, "n0", Phase.RUNNING, metadata=metadata)
    later = {"external_resources": [resource(2, external_id="x"), resource(2, phase=Phase.RUNNING)]}
    admin.task_event(id, "n0", Phase.RUNNING, version=1, metadata=later)
    found = attempt(admin, id).closure.metadata.external_resources
    assert [(one.index, one.external_id, one.phase) for one in found] == [
        (1, "", 0),
        (0, "", 0),
        (2, "x", Phase.RUNNING),
    ]


def test_metadata_names_are_kept_and_pools_are_not(admin, id):
    pool = {"allocation_token": "t"}
    admin.task_event(id, "n0", Phase.QUEUED, metadata={"plugin_identifier": "container", "resource_pool_info": [pool]})
    admin.task_event(id, "n0", Phase.RUNNING, metadata={"generated_name": "pod", "instance_class": 1})
    metadata = attempt(admin, id).closure.metadata
    assert (metadata.plugin_identifier, metadata.generated_name, metadata.instance_class) == ("container", "pod", 1)
    assert not metadata.resource_pool_info


def test_data_come_with_their_urls(admin, id):
    admin.task_event(id, "n0", Phase.SUCCEEDED, input_data=admin.literal_map(x=1), output_data=admin.literal_map(o0=2))
    request = task_execution_pb2.TaskExecutionGetDataRequest(id=admin.attempt_id(id, "n0"))
    data = admin.attempts.data(request)
    assert (data.full_inputs, data.full_outputs) == (admin.literal_map(x=1), admin.literal_map(o0=2))
    assert data.flyte_urls.outputs == "flyte://v1/flytesnacks/development/run-1/n0/0/o"
    assert data.flyte_urls.deck == ""
    assert data.HasField("inputs")
    request.id.task_id.ClearField("resource_type")
    assert admin.attempts.data(request) == data


def test_lists_are_filtered(admin, id):
    admin.task_event(id, "n0", Phase.FAILED)
    admin.task_event(id, "n0", Phase.RUNNING, retry_attempt=1)

    def attempts(filters: str) -> list[int]:
        return [one.id.retry_attempt for one in listed(admin, id, filters=filters).task_executions]

    assert attempts("eq(retry_attempt,1)") == [1]
    assert attempts("eq(phase,FAILED)") == [0]
    assert attempts("eq(name,run-1)") == [0, 1]  # stands for the execution's name
    assert attempts("eq(task.name,tasks.double)") == [0, 1]
    assert attempts("eq(task.type,python-task)") == [0, 1]
    assert attempts("eq(task.type,other)") == []
    assert attempts("eq(node_execution.phase,RUNNING)+eq(execution.phase,UNDEFINED)") == [0, 1]
    assert attempts("eq(node_execution.phase,FAILED)") == []
    assert listed(admin, id, limit=1).token == "1"
    assert listed(admin, id, "n9").task_executions == []
    with pytest.raises(InvalidArgument, match="invalid value for limit"):
        listed(admin, id, limit=0)


def test_nodes_made_by_a_task_are_listed_below_it(admin, id):
    admin.task_event(id, "n0", Phase.RUNNING)
    metadata = {"id": admin.attempt_id(id, "n0")}
    admin.node_event(id, "n0-dn0", Node.QUEUED, parent_task_metadata=metadata)
    assert attempt(admin, id).is_parent
    request = node_execution_pb2.NodeExecutionForTaskListRequest(task_execution_id=metadata["id"], limit=10)
    assert [node.id.node_id for node in admin.nodes.list_for_task(request).node_executions] == ["n0-dn0"]
    assert [node.id.node_id for node in admin.nodes.children(id)] == ["n0"]
    request.task_execution_id.retry_attempt = 7
    with pytest.raises(NotFound, match="missing entity of type task execution"):
        admin.nodes.list_for_task(request)
    with pytest.raises(NotFound, match="missing entity of type task execution"):
        unknown = {"id": request.task_execution_id}
        admin.node_event(id, "n0-dn1", Node.QUEUED, parent_task_metadata=unknown)


def test_malformed_events_are_refused(admin, id, settings):
    def event(**fields) -> event_pb2.TaskExecutionEvent:
        usual = {
            "task_id": admin.identifier(identifier_pb2.TASK, "tasks.double"),
            "parent_node_execution_id": admin.node_id(id, "n0"),
            "phase": Phase.RUNNING,
            "occurred_at": admin.at(1),
        }
        return event_pb2.TaskExecutionEvent(**{**usual, **fields})

    large = admin.literal_map(o="x" * settings.max_inline_bytes)
    other = identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name="n")
    workflow = admin.identifier(identifier_pb2.WORKFLOW, "tasks.double")
    for sent, kind, message in (
        (event_pb2.TaskExecutionEvent(), InvalidArgument, "missing event"),
        (event(occurred_at=None), InvalidArgument, "missing occurred_at"),
        (event(output_data=large), ResourceExhausted, "Output data size exceeds"),
        (event(parent_node_execution_id=None), InvalidArgument, "missing node_execution_id"),
        (event(task_id=None), InvalidArgument, "missing task_id"),
        (event(task_id=workflow), InvalidArgument, "unexpected resource type workflow"),
        (event(parent_node_execution_id=admin.node_id(other, "n0")), NotFound, "missing entity of type execution"),
        (
            event(parent_node_execution_id=admin.node_id(id, "n9")),
            NotFound,
            r"Failed to get existing node execution id: \[",
        ),
        (event(producer_id="elsewhere"), FailedPrecondition, "Cluster/producer from event"),
        (event(custom_info=struct(x=1), phase=99), InvalidArgument, "invalid value for phase"),
    ):
        with pytest.raises(kind, match=message):
            admin.events.create_task_event(event_requests.TaskExecutionEventRequest(event=sent))
    assert admin.attempts.of_node(admin.node_id(id, "n0")) == []


def test_what_json_cannot_say_is_refused_and_leaves_nothing(admin, id, store):
    position = store.position
    info = struct_pb2.Struct()
    info.fields["x"].number_value = float("nan")
    with pytest.raises(InvalidArgument, match="cannot be kept"):
        admin.task_event(id, "n0", Phase.RUNNING, custom_info=info, input_data=admin.literal_map(x=1))
    assert store.position == position
