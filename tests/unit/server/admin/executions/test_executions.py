"""Starting, ending and reading executions."""

from __future__ import annotations

import re

import pytest
from flyteidl.admin import common_pb2, execution_pb2, launch_plan_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2

from flytelite.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from flytelite.server.admin.changes import AbortRequested, ExecutionCreated

Phase = core_execution_pb2.WorkflowExecution
Mode = execution_pb2.ExecutionMetadata.ExecutionMode


def listed(admin, filters: str = "", limit: int = 100, token: str = "", **request) -> execution_pb2.ExecutionList:
    scope = common_pb2.NamedEntityIdentifier(
        project="flytesnacks", domain=request.pop("domain", "development"), name=request.pop("name", "")
    )
    return admin.executions.list(
        common_pb2.ResourceListRequest(id=scope, limit=limit, token=token, filters=filters, **request)
    )


def names(page: execution_pb2.ExecutionList) -> list[str]:
    return [execution.id.name for execution in page.executions]


def notice(*recipients: str, phase: int = Phase.SUCCEEDED) -> common_pb2.Notification:
    return common_pb2.Notification(
        phases=[phase], email=common_pb2.EmailNotification(recipients_email=list(recipients))
    )


class TestCreate:
    def test_an_execution_begins_undefined_and_as_it_was_sent(self, admin):
        metadata = execution_pb2.ExecutionMetadata(mode=Mode.SCHEDULED, principal="me")
        id = admin.run("run-1", metadata=metadata, tags=["t"])
        execution = admin.execution(id)
        assert id == identifier_pb2.WorkflowExecutionIdentifier(
            project="flytesnacks", domain="development", name="run-1"
        )
        assert execution.closure.phase == Phase.UNDEFINED
        assert execution.closure.created_at == execution.closure.updated_at
        assert not execution.closure.HasField("started_at")
        assert execution.closure.workflow_id == admin.identifier(identifier_pb2.WORKFLOW, "double")
        assert execution.closure.state_change_details.state == execution_pb2.EXECUTION_ACTIVE
        assert execution.spec.metadata.mode == Mode.SCHEDULED
        assert execution.spec.metadata.principal == ""
        assert execution.spec.metadata.system_metadata.namespace == "flytesnacks-development"
        assert execution.spec.max_parallelism == 25
        assert execution.spec.security_context.HasField("run_as")
        assert list(execution.spec.tags) == ["t"]
        assert not execution.spec.HasField("inputs")
        assert admin.published == [ExecutionCreated(id)]

    def test_a_name_is_made_when_none_is_given(self, admin):
        made = {admin.run().name for _ in range(20)}
        assert len(made) == 20
        assert all(re.fullmatch("a[bcdfghjklmnpqrstvwxz2456789]{19}", name) for name in made)

    def test_a_name_can_be_taken_once(self, admin):
        admin.run("run-1")
        with pytest.raises(AlreadyExists, match="value with matching already exists"):
            admin.run("run-1")
        assert names(listed(admin)) == ["run-1"]

    @pytest.mark.parametrize("name", ["1-run", "run_1", "run.1", "run\n"])
    def test_names_that_kubernetes_refuses_are_refused(self, admin, name):
        with pytest.raises(InvalidArgument, match="invalid name format: "):
            admin.run(name)

    def test_names_have_63_characters_at_most_and_may_be_upper_case(self, admin):
        admin.run("A" * 63)
        with pytest.raises(InvalidArgument, match="size of name exceeded length 63 : aaa"):
            admin.run("A" * 64)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda request: request.ClearField("project"), "missing project"),
            (lambda request: request.ClearField("domain"), "missing domain"),
            (lambda request: request.ClearField("spec"), "missing spec"),
            (lambda request: request.spec.ClearField("launch_plan"), "missing id"),
            (lambda request: request.spec.launch_plan.ClearField("version"), "missing version"),
            (lambda request: setattr(request, "domain", "moon"), "domain [moon] is unrecognized by system"),
            (
                lambda request: setattr(request.spec.launch_plan, "resource_type", identifier_pb2.WORKFLOW),
                "Invalid reference entity resource type [WORKFLOW], only [LAUNCH_PLAN, TASK] allowed",
            ),
            (lambda request: request.inputs.literals["x"].Clear(), "missing valid literal in inputs x"),
            (
                lambda request: request.spec.notifications.notifications.append(notice(phase=Phase.RUNNING)),
                "missing recipients",
            ),
        ],
    )
    def test_requests_that_say_too_little_are_refused(self, admin, change, message):
        request = admin.request("run-1")
        change(request)
        with pytest.raises(InvalidArgument) as refused:
            admin.executions.create(request)
        assert refused.value.message == message

    def test_an_unknown_launch_plan_is_not_found(self, admin):
        with pytest.raises(NotFound, match="missing entity of type LAUNCH_PLAN with identifier"):
            admin.run(plan="nothing")

    def test_inputs_may_come_in_the_spec_as_from_old_clients(self, admin):
        request = admin.request("run-1", inputs=admin.literal_map())
        request.spec.inputs.CopyFrom(admin.literal_map(x=5))
        id = admin.executions.create(request).id
        assert not request.inputs.literals
        assert admin.executions.inputs(id) == admin.literal_map(x=5)
        assert admin.execution(id).spec.inputs == admin.literal_map(x=5)
        assert not listed(admin).executions[0].spec.HasField("inputs")

    def test_a_refused_request_leaves_nothing(self, admin, store):
        position = store.position
        with pytest.raises(InvalidArgument):
            admin.run("run-1", inputs=admin.literal_map(y=1))
        assert store.position == position

    def test_notifications_of_the_request_go_before_those_of_the_launch_plan(self, admin):
        metadata = launch_plan_pb2.LaunchPlanMetadata(notifications=[notice("plan@x")])
        spec = launch_plan_pb2.LaunchPlanSpec(entity_metadata=metadata)
        admin.plan("noisy", "v1", spec, admin.identifier(identifier_pb2.WORKFLOW, "double"))
        asked = execution_pb2.NotificationList(notifications=[notice("request@x")])
        found = [
            [notification.email.recipients_email[0] for notification in admin.execution(id).closure.notifications]
            for id in (
                admin.run(plan="noisy"),
                admin.run(plan="noisy", disable_all=True),
                admin.run(plan="noisy", notifications=asked),
            )
        ]
        assert found == [["plan@x"], [], ["request@x"]]

    def test_a_child_takes_after_the_execution_of_its_node(self, admin):
        parent = admin.run("parent", execution_cluster_label={"value": "blue"})
        node = admin.node_id(parent, "n0")
        metadata = execution_pb2.ExecutionMetadata(mode=Mode.CHILD_WORKFLOW, parent_node_execution=node)
        with pytest.raises(NotFound, match="missing entity of type node execution"):
            admin.run("child", metadata=metadata)
        admin.node_event(parent, "n0", core_execution_pb2.NodeExecution.QUEUED)
        child = admin.execution(admin.run("child", metadata=metadata))
        assert child.spec.metadata.nesting == 1
        assert child.spec.metadata.parent_node_execution == node
        assert child.spec.execution_cluster_label.value == "blue"
        assert names(listed(admin, "eq(mode,5)")) == []
        assert names(listed(admin, f"eq(mode,{Mode.CHILD_WORKFLOW})")) == ["child"]

    def test_a_launch_plan_runs_no_more_often_than_its_policy_allows(self, admin):
        policy = launch_plan_pb2.ConcurrencyPolicy(max=1, behavior=launch_plan_pb2.CONCURRENCY_LIMIT_BEHAVIOR_SKIP)
        workflow = admin.identifier(identifier_pb2.WORKFLOW, "double")
        for version in ("v1", "v2"):
            admin.plan("single", version, launch_plan_pb2.LaunchPlanSpec(concurrency_policy=policy), workflow)
        first = admin.run(plan="single")
        admin.run(plan="single")  # the first has not begun to run
        admin.workflow_event(first, Phase.RUNNING)
        with pytest.raises(AlreadyExists, match=r"concurrency limit \(1\) reached for launch plan single; skipping"):
            admin.run(launch_plan=admin.identifier(identifier_pb2.LAUNCH_PLAN, "single", "v2"))
        admin.workflow_event(first, Phase.SUCCEEDED)
        admin.run(plan="single")

    @pytest.mark.parametrize("behavior", [launch_plan_pb2.CONCURRENCY_LIMIT_BEHAVIOR_UNSPECIFIED, 7])
    def test_a_policy_that_says_nothing_or_nonsense_of_what_is_too_much(self, admin, behavior):
        policy = launch_plan_pb2.ConcurrencyPolicy(max=1, behavior=behavior)
        workflow = admin.identifier(identifier_pb2.WORKFLOW, "double")
        admin.plan("free", "v1", launch_plan_pb2.LaunchPlanSpec(concurrency_policy=policy), workflow)
        admin.workflow_event(admin.run(plan="free"), Phase.RUNNING)
        if behavior == 7:
            with pytest.raises(InvalidArgument, match=r"^unsupported concurrency-limit behavior: 7$"):
                admin.run(plan="free")
        else:
            admin.run(plan="free")


class TestAgain:
    def test_relaunch_repeats_spec_and_inputs_as_sent(self, admin):
        first = admin.run("first", inputs=admin.literal_map(x=3), overwrite_cache=True, tags=["kept"])
        request = execution_pb2.ExecutionRelaunchRequest(id=first, name="second")
        id = admin.executions.relaunch(request).id
        second = admin.execution(id)
        assert id.name == "second"
        assert second.spec.metadata.mode == Mode.RELAUNCH
        assert second.spec.metadata.reference_execution == first
        assert list(second.spec.tags) == ["kept"]
        assert second.spec.overwrite_cache is False
        assert admin.executions.inputs(id) == admin.literal_map(x=3)
        assert admin.execution(first).spec.metadata.mode == Mode.MANUAL

    def test_recover_may_belong_to_another_node(self, admin):
        first = admin.run("first", overwrite_cache=True)
        admin.node_event(first, "n0", core_execution_pb2.NodeExecution.QUEUED)
        metadata = execution_pb2.ExecutionMetadata(parent_node_execution=admin.node_id(first, "n0"))
        request = execution_pb2.ExecutionRecoverRequest(id=first, metadata=metadata)
        second = admin.execution(admin.executions.recover(request).id)
        assert second.spec.metadata.mode == Mode.RECOVERED
        assert second.spec.metadata.reference_execution == first
        assert second.spec.metadata.parent_node_execution.node_id == "n0"
        assert second.spec.overwrite_cache is True

    def test_what_never_ran_cannot_be_repeated(self, admin):
        id = identifier_pb2.WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name="none")
        with pytest.raises(NotFound):
            admin.executions.relaunch(execution_pb2.ExecutionRelaunchRequest(id=id))
        with pytest.raises(NotFound):
            admin.executions.recover(execution_pb2.ExecutionRecoverRequest(id=id))


class TestTerminate:
    def test_it_is_aborting_at_once(self, admin):
        id = admin.run()
        updated_at = admin.execution(id).closure.updated_at
        for cause in ("first", "second"):
            admin.executions.terminate(execution_pb2.ExecutionTerminateRequest(id=id, cause=cause))
        closure = admin.execution(id).closure
        assert closure.phase == Phase.ABORTING
        assert closure.abort_metadata.cause == "second"
        assert closure.updated_at == updated_at
        assert AbortRequested(id, "first") in admin.published
        assert admin.executions.unfinished() == [id]

    def test_what_has_ended_stays_as_it_is(self, admin):
        id = admin.run()
        admin.workflow_event(id, Phase.SUCCEEDED)
        with pytest.raises(FailedPrecondition, match="Cannot abort an already terminated") as refused:
            admin.executions.terminate(execution_pb2.ExecutionTerminateRequest(id=id))
        assert refused.value.details[0].already_in_terminal_state.current_phase == "SUCCEEDED"

    def test_unknown_executions_are_not_found(self, admin):
        id = identifier_pb2.WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name="none")
        with pytest.raises(NotFound, match="missing entity of type execution with identifier"):
            admin.executions.terminate(execution_pb2.ExecutionTerminateRequest(id=id))
        id.name = ""
        with pytest.raises(InvalidArgument, match="missing name"):
            admin.executions.terminate(execution_pb2.ExecutionTerminateRequest(id=id))


class TestRead:
    def test_archived_executions_are_hidden_unless_a_filter_names_a_state(self, admin):
        admin.run("kept")
        id = admin.run("archived")
        admin.executions.update(execution_pb2.ExecutionUpdateRequest(id=id, state=execution_pb2.EXECUTION_ARCHIVED))
        assert names(listed(admin)) == ["kept"]
        assert names(listed(admin, "eq(state,1)")) == ["archived"]
        assert names(listed(admin, "eq(launch_plan.state,0)")) == ["kept", "archived"]
        details = admin.execution(id).closure.state_change_details
        assert details.state == execution_pb2.EXECUTION_ARCHIVED
        assert details.occurred_at.seconds > admin.execution(id).closure.created_at.seconds

    def test_a_list_sees_one_project_and_domain(self, admin):
        request = admin.request("staged")
        request.domain = "staging"
        admin.executions.create(request)
        admin.run("run-1")
        admin.run("run-2")
        assert names(listed(admin)) == ["run-1", "run-2"]
        assert names(listed(admin, domain="staging")) == ["staged"]
        assert names(listed(admin, name="run-2")) == ["run-2"]
        with pytest.raises(InvalidArgument, match="invalid value for limit"):
            listed(admin, limit=0)

    def test_pages_follow_each_other(self, admin):
        for number in range(5):
            admin.run(f"run-{number}")
        sort = common_pb2.Sort(key="created_at")
        first = listed(admin, limit=2, sort_by=sort)
        second = listed(admin, limit=3, token=first.token, sort_by=sort)
        assert (names(first), first.token) == (["run-4", "run-3"], "2")
        assert (names(second), second.token) == (["run-2", "run-1", "run-0"], "5")
        assert listed(admin, limit=3, token="5").executions == []
        with pytest.raises(InvalidArgument, match="invalid pagination token -1 for ListExecutions"):
            listed(admin, token="-1")

    def test_filters_reach_the_phase_the_name_and_what_was_run(self, admin):
        admin.register("other")
        first, second = admin.run("run-1"), admin.run("run-2", plan="other")
        admin.workflow_event(first, Phase.RUNNING, 10)
        admin.workflow_event(first, Phase.FAILED, 75, error={"code": "USER", "message": "m", "kind": 1})
        found = {
            filters: names(listed(admin, filters))
            for filters in (
                "value_in(phase,FAILED;RUNNING)",
                "eq(execution_name,run-2)",
                "eq(workflow.name,other)",
                "eq(launch_plan.name,double)+eq(launch_plan.version,v1)",
                "eq(error_kind,USER)",
                "gte(duration,1m)+lt(duration,70)",
                "eq(started_at,2023-11-14T22:13:30Z)",
                "eq(launch_plan.schedule_type,NONE)+eq(workflow.name,other)",
                "eq(launch_plan.state,1)",
            )
        }
        assert list(found.values()) == [
            ["run-1"],
            ["run-2"],
            ["run-2"],
            ["run-1"],
            ["run-1"],
            ["run-1"],
            ["run-1"],
            ["run-2"],
            [],
        ]
        assert second.name == "run-2"
        for refused in ("eq(name,run-1)", "eq(project.name,x)"):
            with pytest.raises(InvalidArgument):
                listed(admin, refused)

    def test_tags_and_labels_are_rows_that_join(self, admin):
        admin.run("tagged", tags=["a", "b"], labels=common_pb2.Labels(values={"a": "1"}))
        admin.run("other", tags=["c"])
        assert names(listed(admin, "eq(execution_tag.key,c)")) == ["other"]
        assert names(listed(admin, "eq(execution_tag.key,a)+eq(execution_tag.value,1)")) == ["tagged"]
        assert names(listed(admin, "value_in(admin_tag.name,b;c)")) == ["tagged", "other"]
        assert names(listed(admin, "value_in(execution_tag.key,a;b)")) == ["tagged"] * 3
        assert names(listed(admin, "eq(execution_tag.key,b)+eq(execution_tag.value,1)")) == []

    def test_lists_shorten_errors(self, admin):
        id = admin.run()
        message = "é" * 80
        admin.workflow_event(id, Phase.FAILED, error={"message": message})
        assert listed(admin).executions[0].closure.error.message == "é" * 50
        assert admin.execution(id).closure.error.message == message

    def test_data_are_inline_and_empty_while_there_are_none(self, admin, settings):
        id = admin.run(inputs=admin.literal_map(x=4))
        request = execution_pb2.WorkflowExecutionGetDataRequest(id=id)
        data = admin.executions.data(request)
        assert data.full_inputs == admin.literal_map(x=4)
        assert data.HasField("full_outputs")
        assert not data.full_outputs.literals
        assert data.HasField("inputs")
        assert data.HasField("outputs")
        with pytest.raises(NotFound, match="has no outputs"):
            admin.executions.outputs(id)
        file = settings.bucket / "outputs.pb"
        file.write_bytes(admin.literal_map(o0=8).SerializeToString())
        admin.workflow_event(id, Phase.SUCCEEDED, output_uri=str(file))
        assert admin.executions.data(request).full_outputs == admin.literal_map(o0=8)
        assert admin.executions.outputs(id) == admin.literal_map(o0=8)

    def test_unfinished_executions_come_oldest_first(self, admin):
        ids = [admin.run(f"run-{number}") for number in range(4)]
        admin.workflow_event(ids[1], Phase.RUNNING)
        admin.workflow_event(ids[2], Phase.FAILED)
        admin.workflow_event(ids[3], Phase.FAILING)
        assert [id.name for id in admin.executions.unfinished()] == ["run-0", "run-1", "run-3"]

    def test_unfinished_executions_are_found_by_a_label(self, admin):
        def labelled(name, value):
            return admin.run(name, labels=common_pb2.Labels(values={"eager-exec": value, "other": "parent"}))

        ids = [labelled("run-0", "parent"), labelled("run-1", "parent"), labelled("run-2", "somebody")]
        admin.workflow_event(ids[1], Phase.FAILED)
        scope = ("flytesnacks", "development", "eager-exec")
        assert admin.executions.unfinished_labelled(*scope, "parent") == [ids[0]]
        assert admin.executions.unfinished_labelled(*scope, "nobody") == []
        assert admin.executions.unfinished_labelled("flytesnacks", "production", "eager-exec", "parent") == []

    def test_nothing_is_found_of_an_unknown_execution(self, admin):
        id = identifier_pb2.WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name="none")
        assert admin.executions.find(id) is None
        for read in (
            admin.executions.inputs,
            admin.executions.outputs,
            admin.executions.resolved_spec,
            admin.execution,
        ):
            with pytest.raises(NotFound):
                read(id)
        with pytest.raises(NotFound):
            admin.executions.data(execution_pb2.WorkflowExecutionGetDataRequest(id=id))
