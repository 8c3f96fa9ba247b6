from __future__ import annotations

import pytest
from flyteidl.admin import common_pb2, launch_plan_pb2, project_pb2, schedule_pb2
from flyteidl.core import identifier_pb2, interface_pb2, literals_pb2, types_pb2

from flytelite.errors import AlreadyExists, InvalidArgument, NotFound

P, D = "flytesnacks", "development"
ACTIVE, INACTIVE = launch_plan_pb2.ACTIVE, launch_plan_pb2.INACTIVE
SCOPE = common_pb2.NamedEntityIdentifier(project=P, domain=D)


@pytest.fixture
def registered(tasks, workflows, launch_plans, task_request, workflow_request):
    """Launch plans over workflow w, which takes an integer x."""
    tasks.create(task_request())
    workflows.create(workflow_request())
    return launch_plans


def literal(value: object) -> literals_pb2.Literal:
    field = "integer" if isinstance(value, int) else "string_value"
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(**{field: value})))


def parameter(value: object = None, simple: int = types_pb2.INTEGER, **behavior: object) -> interface_pb2.Parameter:
    default = {} if value is None else {"default": literal(value)}
    variable = interface_pb2.Variable(type=types_pb2.LiteralType(simple=simple))
    return interface_pb2.Parameter(var=variable, **default, **behavior)


def defaults(**parameters: interface_pb2.Parameter) -> interface_pb2.ParameterMap:
    return interface_pb2.ParameterMap(parameters=parameters)


def fixed(**values: object) -> literals_pb2.LiteralMap:
    return literals_pb2.LiteralMap(literals={name: literal(value) for name, value in values.items()})


def scheduled(**schedule: object) -> launch_plan_pb2.LaunchPlanMetadata:
    return launch_plan_pb2.LaunchPlanMetadata(schedule=schedule_pb2.Schedule(**schedule))


def cron(text: str) -> launch_plan_pb2.LaunchPlanMetadata:
    return scheduled(cron_schedule=schedule_pb2.CronSchedule(schedule=text))


def get(launch_plans, request: launch_plan_pb2.LaunchPlanCreateRequest) -> launch_plan_pb2.LaunchPlan:
    return launch_plans.get(common_pb2.ObjectGetRequest(id=request.id))


def set_state(launch_plans, request: launch_plan_pb2.LaunchPlanCreateRequest, state: int) -> None:
    launch_plans.update(launch_plan_pb2.LaunchPlanUpdateRequest(id=request.id, state=state))


def listed(launch_plans, **fields: object) -> list[str]:
    page = launch_plans.list(common_pb2.ResourceListRequest(**({"id": SCOPE, "limit": 10} | fields)))
    return [f"{plan.id.name}:{plan.id.version}" for plan in page.launch_plans]


def test_open_inputs_become_required_parameters(registered, launch_plan_request):
    request = launch_plan_request()
    registered.create(request)
    plan = get(registered, request)
    expected = plan.closure.expected_inputs.parameters["x"]
    assert (expected.required, expected.var.description) == (True, "the x")
    assert plan.spec.default_inputs == plan.closure.expected_inputs
    assert set(plan.closure.expected_outputs.variables) == {"o0"}
    assert plan.closure.state == INACTIVE
    assert plan.closure.created_at == plan.closure.updated_at
    assert not request.spec.default_inputs.parameters


def test_defaults_stay_and_fixed_inputs_are_not_expected(registered, launch_plan_request):
    with_default = launch_plan_request("a", default_inputs=defaults(x=parameter(7)))
    registered.create(with_default)
    assert get(registered, with_default).closure.expected_inputs.parameters["x"].default == literal(7)
    with_fixed = launch_plan_request("b", fixed_inputs=fixed(x=8))
    registered.create(with_fixed)
    assert not get(registered, with_fixed).closure.expected_inputs.parameters
    assert get(registered, with_fixed).spec.fixed_inputs == fixed(x=8)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"default_inputs": defaults(y=parameter(1))}, "unexpected default_input y"),
        ({"fixed_inputs": fixed(y=1)}, "unexpected fixed_input y"),
        ({"fixed_inputs": fixed(x="text")}, "invalid fixed_input wrong type x, expected "),
        (
            {"default_inputs": defaults(x=parameter("a", types_pb2.STRING))},
            "invalid default_input wrong type x, expected ",
        ),
        ({"default_inputs": defaults(x=parameter("a"))}, "Type mismatch for Parameter x in default_inputs has type "),
        (
            {"default_inputs": defaults(x=parameter())},
            "Invalid variable x in default_inputs - variable has neither default, nor is required",
        ),
        ({"default_inputs": defaults(x=interface_pb2.Parameter())}, "The Variable component of the Parameter x in "),
        ({"default_inputs": {"parameters": {"": parameter(1)}}}, "missing key in default_inputs"),
        (
            {"default_inputs": defaults(x=parameter(artifact_query={"uri": "a"}))},
            "artifact mode not enabled but query found default_inputs x",
        ),
        ({"fixed_inputs": {"literals": {"x": literals_pb2.Literal()}}}, "missing valid literal in fixed_inputs x"),
        (
            {"fixed_inputs": {"literals": {"x": {"scalar": {}}}}},
            "Failed to validate literal type for [x] with err: ",
        ),
        ({"labels": {"values": {"-": "x"}}}, "invalid label key [-]: "),
        ({"entity_metadata": {"notifications": [{}]}}, "invalid value for notification type"),
        (
            {"entity_metadata": {"launch_conditions": {"type_url": "x/google.protobuf.Duration", "value": b"\0"}}},
            "Launch condition must be empty, found [x/google.protobuf.Duration]",
        ),
    ],
)
def test_specs_that_cannot_be_used(store, registered, launch_plan_request, spec, message):
    position = store.position
    with pytest.raises(InvalidArgument) as caught:
        registered.create(launch_plan_request(**spec))
    assert str(caught.value).startswith(message)
    assert store.position == position


def test_a_workflow_without_inputs_takes_none(registered, workflows, workflow_request, launch_plan_request):
    request = workflow_request("none")
    request.spec.template.interface.ClearField("inputs")
    binding = request.spec.template.nodes[0].inputs[0].binding
    binding.scalar.primitive.integer = 1
    workflows.create(request)
    plan = launch_plan_request("none", workflow_id=request.id, default_inputs=defaults(x=parameter(1)))
    with pytest.raises(InvalidArgument, match=r"^invalid launch plan default inputs, expected none but found 1$"):
        registered.create(plan)
    plan = launch_plan_request("none", workflow_id=request.id, fixed_inputs=fixed(x=1))
    with pytest.raises(InvalidArgument, match=r"^invalid launch plan fixed inputs, expected none but found 1$"):
        registered.create(plan)
    plan = launch_plan_request("none", workflow_id=request.id)
    registered.create(plan)
    # Consoles read the parameters of both without asking whether they are there.
    assert get(registered, plan).spec.HasField("default_inputs")
    assert get(registered, plan).closure.HasField("expected_inputs")


def test_the_workflow_is_looked_up_first(registered, launch_plan_request):
    with pytest.raises(InvalidArgument, match=r"^missing id$"):
        registered.create(launch_plan_pb2.LaunchPlanCreateRequest())
    request = launch_plan_request()
    request.id.Clear()
    request.spec.workflow_id.version = "9"
    with pytest.raises(NotFound, match=r"^missing entity of type WORKFLOW with identifier "):
        registered.create(request)
    request.spec.workflow_id.resource_type = identifier_pb2.TASK
    with pytest.raises(InvalidArgument, match=r"^unexpected resource type task "):
        registered.create(request)


def test_versions_are_immutable(registered, launch_plan_request):
    registered.create(launch_plan_request())
    set_state(registered, launch_plan_request(), ACTIVE)
    with pytest.raises(AlreadyExists, match=r"^launch plan with identical structure already exists$"):
        registered.create(launch_plan_request())
    with pytest.raises(InvalidArgument) as caught:
        registered.create(launch_plan_request(max_parallelism=5))
    assert str(caught.value) == (
        "w launch plan with different structure already exists. (Please register a new version of the launch plan):\n"
        "/max_parallelism:\n\t+ 5"
    )
    assert caught.value.details == ()


def test_one_version_of_a_name_is_active(registered, launch_plan_request):
    first, second, other = launch_plan_request(), launch_plan_request(version="2"), launch_plan_request("other")
    for request in (first, second, other):
        registered.create(request)
    set_state(registered, other, ACTIVE)
    active = launch_plan_pb2.ActiveLaunchPlanRequest(id={"project": P, "domain": D, "name": "w"})
    with pytest.raises(NotFound, match=r"^No active launch plan could be found: flytesnacks:development:w$"):
        registered.get_active(active)
    for request in (first, second, second):
        before = get(registered, request).closure.updated_at
        set_state(registered, request, ACTIVE)
        found = registered.get_active(active)
        assert (found.id, found.closure.state, found.closure.updated_at) == (request.id, ACTIVE, before)
    assert get(registered, first).closure.state == INACTIVE
    assert listed(registered, filters="eq(state,1)") == ["w:2", "other:1"]
    set_state(registered, second, INACTIVE)
    set_state(registered, second, INACTIVE)
    assert get(registered, second).closure.updated_at.seconds > get(registered, second).closure.created_at.seconds
    assert listed(registered, filters="eq(state,1)") == ["other:1"]


def test_updates_fill_the_resource_type_and_check_the_rest(registered, launch_plan_request):
    request = launch_plan_request()
    registered.create(request)
    request.id.resource_type = identifier_pb2.UNSPECIFIED
    set_state(registered, request, ACTIVE)
    assert registered.find(request.id).closure.state == ACTIVE
    with pytest.raises(InvalidArgument, match=r"^Unrecognized launch plan state 7 for update for launch plan \["):
        set_state(registered, request, 7)
    for state in (ACTIVE, INACTIVE):
        with pytest.raises(NotFound, match=r"^missing entity of type LAUNCH_PLAN with identifier "):
            set_state(registered, launch_plan_request("unknown"), state)
    request.id.version = ""
    with pytest.raises(InvalidArgument, match=r"^missing version$"):
        set_state(registered, request, ACTIVE)


def test_lists_join_workflows(registered, workflows, workflow_request, launch_plan_request):
    workflows.create(workflow_request("v"))
    registered.create(launch_plan_request("a"))
    registered.create(launch_plan_request("b", workflow_id=workflow_request("v").id))
    registered.create(launch_plan_request("c", workflow_id=workflow_request("v").id, fixed_inputs=fixed(x=1)))
    assert listed(registered, filters="eq(workflow.name,v)") == ["b:1", "c:1"]
    assert listed(registered, filters="eq(workflow.name,v)+eq(launch_plan.name,c)") == ["c:1"]
    later = workflows.find(workflow_request("w").id).closure.created_at.ToJsonString()
    assert listed(registered, filters=f"gt(workflow.created_at,{later})", limit=1) == ["b:1"]
    newest = common_pb2.Sort(key="updated_at", direction=common_pb2.Sort.DESCENDING)
    assert listed(registered, sort_by=newest, limit=2) == ["c:1", "b:1"]
    with pytest.raises(InvalidArgument, match=r"^'t' entity is not allowed in filters$"):
        listed(registered, filters="eq(task.name,t)")


def test_active_lists_and_names(registered, launch_plan_request):
    for name in ("b", "a"):
        registered.create(launch_plan_request(name))
    set_state(registered, launch_plan_request("a"), ACTIVE)
    page = registered.list_active(launch_plan_pb2.ActiveLaunchPlanListRequest(project=P, domain=D, limit=1))
    assert ([plan.id.name for plan in page.launch_plans], page.token) == (["a"], "1")
    names = registered.list_ids(common_pb2.NamedEntityIdentifierListRequest(project=P, domain=D, limit=5))
    assert [id.name for id in names.entities] == ["a", "b"]
    with pytest.raises(InvalidArgument, match=r"^missing and/or invalid parameters: limit$"):
        registered.list_ids(common_pb2.NamedEntityIdentifierListRequest(project=P, domain=D))
    with pytest.raises(InvalidArgument, match=r"^invalid pagination token x$"):
        registered.list_ids(common_pb2.NamedEntityIdentifierListRequest(project=P, domain=D, limit=5, token="x"))
    with pytest.raises(InvalidArgument, match=r"^missing name$"):
        registered.get_active(launch_plan_pb2.ActiveLaunchPlanRequest(id=SCOPE))


def test_schedules_are_a_column(registered, launch_plan_request):
    rate = schedule_pb2.FixedRate(value=1, unit=schedule_pb2.HOUR)
    plans = {"none": {}, "cron": {"entity_metadata": cron("@daily")}, "rate": {"entity_metadata": scheduled(rate=rate)}}
    for name, spec in plans.items():
        registered.create(launch_plan_request(name, fixed_inputs=fixed(x=1), **spec))
    assert listed(registered, filters="ne(schedule_type,NONE)") == ["cron:1", "rate:1"]
    assert listed(registered, filters="eq(schedule_type,RATE)") == ["rate:1"]
    assert listed(registered, filters="eq(launch_condition_type,SCHED)") == ["cron:1", "rate:1"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"entity_metadata": cron("@daily")},
            "Cannot create a launch plan with a schedule if there is an unbound required input. [x] is required",
        ),
        ({"entity_metadata": cron("hourly"), "fixed_inputs": fixed(x=1)}, "Invalid cron expression: "),
        (
            {"entity_metadata": scheduled(cron_expression="0 10 * * ? *"), "fixed_inputs": fixed(x=1)},
            "Invalid cron expression: expected exactly 5 fields, found 6",
        ),
        (
            {
                "entity_metadata": scheduled(rate={"value": 1}, kickoff_time_input_arg="x"),
                "fixed_inputs": fixed(x=1),
            },
            "Cannot create a schedule with a KickoffTimeInputArg that does not point to a free input. [x] is not free",
        ),
        (
            {"entity_metadata": scheduled(rate={"value": 1}, kickoff_time_input_arg="x")},
            "KickoffTimeInputArg must reference a datetime input. [x] is a [",
        ),
    ],
)
def test_schedules_that_cannot_run(registered, launch_plan_request, spec, message):
    with pytest.raises(InvalidArgument) as caught:
        registered.create(launch_plan_request(**spec))
    assert str(caught.value).startswith(message)


def test_deprecated_schedules_cannot_be_activated(registered, launch_plan_request):
    old = scheduled(cron_expression="0 10 * * ?")
    request = launch_plan_request(fixed_inputs=fixed(x=1), entity_metadata=old)
    registered.create(request)
    with pytest.raises(InvalidArgument, match=r"unknown schedule expression type"):
        set_state(registered, request, ACTIVE)
    assert get(registered, request).closure.state == INACTIVE


def test_archived_projects_take_no_launch_plans_but_keep_theirs(registered, projects, launch_plan_request):
    registered.create(launch_plan_request())
    projects.update(project_pb2.Project(id=P, state=project_pb2.Project.ARCHIVED))
    with pytest.raises(InvalidArgument, match=r"is not active$"):
        registered.create(launch_plan_request(version="2"))
    set_state(registered, launch_plan_request(), ACTIVE)
    assert listed(registered) == ["w:1"]
