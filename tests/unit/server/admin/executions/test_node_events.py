"""Which node events are accepted, what they leave, and how it is read."""

from __future__ import annotations

import pytest
from flyteidl.admin import event_pb2 as event_requests
from flyteidl.admin import node_execution_pb2
from flyteidl.core import catalog_pb2, compiler_pb2, identifier_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.event import event_pb2

from flytelite.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound

Phase = core_execution_pb2.NodeExecution
ERROR = core_execution_pb2.ExecutionError(code="USER:X", message="m" * 200, kind=core_execution_pb2.ExecutionError.USER)


@pytest.fixture
def id(admin) -> identifier_pb2.WorkflowExecutionIdentifier:
    return admin.run("run-1")


def node(admin, id, name: str = "n0") -> node_execution_pb2.NodeExecution:
    return admin.nodes.get(node_execution_pb2.NodeExecutionGetRequest(id=admin.node_id(id, name)))


def data(admin, id, name: str = "n0") -> node_execution_pb2.NodeExecutionGetDataResponse:
    return admin.nodes.data(node_execution_pb2.NodeExecutionGetDataRequest(id=admin.node_id(id, name)))


def listed(admin, id, parent: str = "", **request) -> node_execution_pb2.NodeExecutionList:
    return admin.nodes.list(
        node_execution_pb2.NodeExecutionListRequest(
            workflow_execution_id=id, unique_parent_id=parent, **{"limit": 100, **request}
        )
    )


def ids(page: node_execution_pb2.NodeExecutionList) -> list[str]:
    return [execution.id.node_id for execution in page.node_executions]


def dynamic_workflow(admin) -> event_pb2.TaskNodeMetadata:
    workflow = admin.identifier(identifier_pb2.WORKFLOW, "dynamic_n0", "abc")
    closure = compiler_pb2.CompiledWorkflowClosure()
    closure.primary.template.id.CopyFrom(workflow)
    closure.primary.template.nodes.add(id="dn0")
    metadata = event_pb2.TaskNodeMetadata()
    metadata.dynamic_workflow.id.CopyFrom(workflow)
    metadata.dynamic_workflow.compiled_workflow.CopyFrom(closure)
    metadata.dynamic_workflow.dynamic_job_spec_uri = "/a/futures.pb"
    return metadata


def test_a_node_from_queue_to_success(admin, id):
    admin.node_event(id, "n0", Phase.QUEUED, 1, input_uri="/a/inputs.pb", retry_group="0")
    admin.node_event(id, "n0", Phase.RUNNING, 2, deck_uri="/a/deck.html", input_uri="/other")
    admin.node_event(id, "n0", Phase.SUCCEEDED, 3.5, output_uri="/a/outputs.pb", reported_at=admin.at(4))
    found = node(admin, id)
    assert found.id == admin.node_id(id, "n0")
    assert found.input_uri == "/a/inputs.pb"
    assert found.metadata.spec_node_id == "n0"
    assert found.metadata.retry_group == "0"
    closure = found.closure
    assert closure.phase == Phase.SUCCEEDED
    assert (closure.created_at, closure.started_at, closure.updated_at) == (admin.at(1), admin.at(2), admin.at(4))
    assert closure.duration.ToMilliseconds() == 1500
    assert closure.output_uri == "/a/outputs.pb"
    assert closure.deck_uri == ""  # the last event named none


def test_a_node_may_end_with_its_first_event(admin, id):
    admin.node_event(id, "start-node", Phase.SUCCEEDED, output_data=admin.literal_map(x=1))
    closure = node(admin, id, "start-node").closure
    assert not closure.HasField("started_at")
    assert not closure.HasField("duration")
    assert data(admin, id, "start-node").full_outputs == admin.literal_map(x=1)


def test_outputs_and_errors_count_only_at_the_end(admin, id):
    admin.node_event(id, "n0", Phase.RUNNING, output_uri="/early", input_data=admin.literal_map(x=1))
    admin.node_event(id, "n0", Phase.FAILING, error=ERROR)
    assert node(admin, id).closure.WhichOneof("output_result") is None
    admin.node_event(id, "n0", Phase.FAILED, error=ERROR)
    assert node(admin, id).closure.error == ERROR
    assert data(admin, id).full_inputs == admin.literal_map(x=1)
    assert len(listed(admin, id).node_executions[0].closure.error.message) == 100
    assert ids(listed(admin, id, filters="eq(error_kind,USER)+eq(error_code,USER:X)")) == ["n0"]


def test_a_phase_is_recorded_once_and_its_metadata_with_it(admin, id):
    admin.node_event(id, "n0", Phase.RUNNING)
    with pytest.raises(AlreadyExists, match="This phase was already recorded RUNNING for"):
        admin.node_event(id, "n0", Phase.RUNNING, is_parent=True)
    assert not node(admin, id).metadata.is_parent_node


@pytest.mark.parametrize("end", [Phase.SUCCEEDED, Phase.TIMED_OUT, Phase.SKIPPED, Phase.RECOVERED])
def test_what_has_ended_stays_ended(admin, id, end):
    admin.node_event(id, "n0", end)
    with pytest.raises(FailedPrecondition) as refused:
        admin.node_event(id, "n0", Phase.RUNNING)
    assert refused.value.details[0].already_in_terminal_state.current_phase == "RUNNING"


def test_failing_and_dynamic_running_are_not_the_end(admin, id):
    for phase in (Phase.DYNAMIC_RUNNING, Phase.FAILING, Phase.RUNNING, Phase.SUCCEEDED):
        admin.node_event(id, "n0", phase)
    assert node(admin, id).closure.phase == Phase.SUCCEEDED


def test_flags_stay_on(admin, id):
    admin.node_event(id, "n0", Phase.RUNNING, is_parent=True, is_dynamic=True)
    admin.node_event(id, "n0", Phase.SUCCEEDED, is_array=True)
    metadata = node(admin, id).metadata
    assert (metadata.is_parent_node, metadata.is_dynamic, metadata.is_array) == (True, True, True)


def test_the_cache_is_told_of_with_its_key(admin, id):
    hit = catalog_pb2.CACHE_HIT
    admin.node_event(id, "n0", Phase.RUNNING, task_node_metadata={"cache_status": hit, "checkpoint_uri": "/c"})
    metadata = node(admin, id).closure.task_node_metadata
    assert (metadata.cache_status, metadata.checkpoint_uri) == (catalog_pb2.CACHE_DISABLED, "/c")
    key = catalog_pb2.CatalogMetadata(dataset_id=admin.identifier(identifier_pb2.DATASET, "data"))
    admin.node_event(id, "n0", Phase.SUCCEEDED, task_node_metadata={"cache_status": hit, "catalog_key": key})
    metadata = node(admin, id).closure.task_node_metadata
    assert (metadata.cache_status, metadata.catalog_key, metadata.checkpoint_uri) == (hit, key, "")
    assert ids(listed(admin, id, filters="eq(cache_status,CACHE_HIT)")) == ["n0"]


def test_a_launched_execution_must_exist_and_is_kept(admin, id):
    child = identifier_pb2.WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name="child")
    launched = {"execution_id": child}
    admin.node_event(id, "n0", Phase.QUEUED, workflow_node_metadata=launched)  # told too early: not looked at
    assert not node(admin, id).closure.HasField("workflow_node_metadata")
    with pytest.raises(NotFound, match="missing entity of type execution"):
        admin.node_event(id, "n0", Phase.RUNNING, workflow_node_metadata=launched)
    admin.run("child")
    admin.node_event(id, "n0", Phase.RUNNING, workflow_node_metadata=launched)
    admin.node_event(id, "n0", Phase.SUCCEEDED, workflow_node_metadata={"execution_id": id})
    assert node(admin, id).closure.workflow_node_metadata.executionId == child


def test_a_dynamic_workflow_is_kept_when_later_events_have_none(admin, id):
    admin.node_event(id, "n0", Phase.RUNNING)
    request = node_execution_pb2.GetDynamicNodeWorkflowRequest(id=admin.node_id(id, "n0"))
    with pytest.raises(NotFound, match="node does not contain dynamic workflow"):
        admin.nodes.dynamic_workflow(request)
    metadata = dynamic_workflow(admin)
    admin.node_event(id, "n0", Phase.DYNAMIC_RUNNING, task_node_metadata=metadata, is_dynamic=True, is_parent=True)
    admin.node_event(id, "n0", Phase.SUCCEEDED)
    made = metadata.dynamic_workflow
    assert admin.nodes.dynamic_workflow(request).compiled_workflow == made.compiled_workflow
    found = data(admin, id).dynamic_workflow
    assert (found.id, found.compiled_workflow) == (made.id, made.compiled_workflow)
    assert found.dynamic_job_spec_uri == node(admin, id).closure.dynamic_job_spec_uri == "/a/futures.pb"


def test_children_are_listed_below_their_parent(admin, id):
    for name in ("n0", "n1"):
        admin.node_event(id, name, Phase.RUNNING)
    parent = {"parent_node_metadata": {"node_id": "n0"}}
    admin.node_event(id, "n0-0-n0", Phase.QUEUED, spec_node_id="n0-n0", **parent)
    admin.node_event(id, "n0-0-n1", Phase.QUEUED, spec_node_id="n0-n1", **parent)
    assert ids(listed(admin, id)) == ["n0", "n1"]
    assert ids(listed(admin, id, "n0")) == ["n0-0-n0", "n0-0-n1"]
    assert ids(listed(admin, id, "n1")) == []
    assert [execution.id.node_id for execution in admin.nodes.of_execution(id)] == ["n0", "n1", "n0-0-n0", "n0-0-n1"]
    # A branch has children, which only lists tell.
    assert [execution.metadata.is_parent_node for execution in listed(admin, id).node_executions] == [True, False]
    assert not node(admin, id).metadata.is_parent_node
    with pytest.raises(NotFound, match="missing entity of type node execution"):
        listed(admin, id, "n9")
    with pytest.raises(NotFound, match="missing entity of type node execution"):
        admin.node_event(id, "n9-0-n0", Phase.QUEUED, parent_node_metadata={"node_id": "n9"})
    assert admin.nodes.find(admin.node_id(id, "n9-0-n0")) is None


def test_nodes_of_old_engines_are_parents_when_they_have_children(admin, id):
    admin.node_event(id, "n0", Phase.RUNNING, event_version=0)
    admin.node_event(id, "n0-0-n0", Phase.QUEUED, parent_node_metadata={"node_id": "n0"})
    assert node(admin, id).metadata.is_parent_node


def test_lists_are_filtered_sorted_and_paged(admin, id):
    for second, name in enumerate(("n2", "n1", "n0")):
        admin.node_event(id, name, Phase.QUEUED, second)
    admin.node_event(id, "n1", Phase.RUNNING)
    assert ids(listed(admin, id, filters="eq(phase,RUNNING)")) == ["n1"]
    assert ids(listed(admin, id, filters="eq(execution.phase,UNDEFINED)")) == ["n2", "n1", "n0"]
    assert ids(listed(admin, id, filters="eq(execution.phase,RUNNING)")) == []
    page = listed(admin, id, limit=2, sort_by={"key": "node_id", "direction": "ASCENDING"})
    assert (ids(page), page.token) == (["n0", "n1"], "2")
    assert ids(listed(admin, id, limit=2, token="2", sort_by={"key": "node_id", "direction": "ASCENDING"})) == ["n2"]
    with pytest.raises(InvalidArgument, match="invalid value for limit"):
        listed(admin, id, limit=0)
    with pytest.raises(InvalidArgument, match="missing execution_id"):
        listed(admin, identifier_pb2.WorkflowExecutionIdentifier(project="p"))
    with pytest.raises(InvalidArgument, match="invalid pagination token x for ListNodeExecutions"):
        listed(admin, id, token="x")


def test_data_name_their_urls(admin, id):
    admin.node_event(id, "n0", Phase.RUNNING)
    base = "flyte://v1/flytesnacks/development/run-1/n0"
    urls = data(admin, id).flyte_urls
    assert (urls.inputs, urls.outputs, urls.deck) == (f"{base}/i", f"{base}/o", "")
    admin.node_event(id, "n0", Phase.SUCCEEDED, deck_uri="/a/deck.html")
    found = data(admin, id)
    assert found.flyte_urls.deck == f"{base}/d"
    assert found.HasField("inputs")
    assert found.HasField("full_outputs")


def test_malformed_events_are_refused(admin, id):
    def send(**fields) -> None:
        event = event_pb2.NodeExecutionEvent(**fields)
        admin.events.create_node_event(event_requests.NodeExecutionEventRequest(event=event))

    with pytest.raises(InvalidArgument, match="missing event"):
        send()
    with pytest.raises(InvalidArgument, match="missing node_id"):
        send(id={"execution_id": id}, phase=Phase.RUNNING)
    with pytest.raises(InvalidArgument, match="occurred_at"):
        send(id=admin.node_id(id, "n0"), phase=Phase.RUNNING)
    with pytest.raises(NotFound, match=r"Failed to get existing execution id: \["):
        send(id={"node_id": "n0"}, phase=Phase.RUNNING, occurred_at=admin.at(1))
    with pytest.raises(FailedPrecondition, match="Cluster/producer from event"):
        send(id=admin.node_id(id, "n0"), phase=Phase.RUNNING, occurred_at=admin.at(1), producer_id="elsewhere")
    with pytest.raises(InvalidArgument, match="timestamp"):
        late = {"seconds": 10**14}
        send(id=admin.node_id(id, "n0"), phase=Phase.RUNNING, occurred_at=admin.at(1), reported_at=late)
    assert admin.nodes.of_execution(id) == []


def test_nodes_may_end_after_their_execution(admin, id):
    admin.node_event(id, "n0", Phase.RUNNING)
    admin.workflow_event(id, core_execution_pb2.WorkflowExecution.FAILED)
    admin.node_event(id, "n0", Phase.ABORTED, error=ERROR)
    assert node(admin, id).closure.phase == Phase.ABORTED


def test_unknown_nodes_are_not_found(admin, id):
    assert admin.nodes.find(admin.node_id(id, "n0")) is None
    for read in (node, data):
        with pytest.raises(NotFound, match="missing entity of type node execution with identifier"):
            read(admin, id)
