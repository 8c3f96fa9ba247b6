"""Every error that a workflow can provoke, in FlyteAdmin's words."""

from __future__ import annotations

from typing import Any

import pytest

from flytelite.compiler.errors import CompilationFailed
from flytelite.compiler.library import LaunchPlanInterface


@pytest.fixture
def errors(compiled: Any) -> Any:
    def found(template: Any, *sub_workflows: Any, **more: Any) -> list[tuple[str, str, str]]:
        with pytest.raises(CompilationFailed) as failure:
            compiled(template, *sub_workflows, **more)
        return [(error.code, error.node_id, error.description) for error in failure.value.errors]

    return found


def scalar(**primitive: Any) -> dict[str, Any]:
    return {"scalar": {"primitive": primitive}}


def collection(*values: dict[str, Any]) -> dict[str, Any]:
    return {"collection": {"bindings": list(values)}}


PROMISE = {"promise": {"nodeId": "", "var": "n"}}

ONE_NODE: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
    ("double", {}, [("ParameterNotBound", "Parameter not bound [n].")]),
    ("double", {"n": 1, "m": 1}, [("VariableNameNotFound", "Variable [m] not found on node [n0].")]),
    ("double", {"n": ".a.b"}, [("SyntaxError", "Failed to parse element [a.b].")]),
    ("double", {"n": {"scalar": {}}}, [("UnrecognizedValue", "Unrecognized value [<nil>].")]),
    ("double", {"n": {"scalar": {"blob": {}}}}, [("UnrecognizedValue", "Unrecognized value [*core.Scalar_Blob].")]),
    (
        "double",
        {"n": {}},
        [("MismatchingBindings", "Input [n] on node [n0] expects bindings of type [simple:INTEGER].  Received []")],
    ),
    (
        "double",
        {"n": collection(scalar(integer=1))},
        [
            (
                "MismatchingBindings",
                "Input [n] on node [n0] expects bindings of type [simple:INTEGER].  "
                "Received [bindings:{scalar:{primitive:{integer:1}}}]",
            )
        ],
    ),
    (
        "double",
        {"n": scalar(stringValue="a")},
        [
            (
                "MismatchingTypes",
                "Variable [n] (type [simple:STRING]) doesn't match expected type [simple:INTEGER].",
            )
        ],
    ),
    (
        "greet",
        {"name": ".n"},
        [
            (
                "MismatchingTypes",
                "The output variable 'n' has type [simple:INTEGER], but it's assigned to the input variable 'name' "
                "which has type type [simple:STRING].",
            )
        ],
    ),
    (
        "total",
        {"values": collection(scalar(integer=1), scalar(boolean=True))},
        [
            (
                "MismatchingTypes",
                "Variable [values] (type [simple:BOOLEAN]) doesn't match expected type [simple:INTEGER].",
            )
        ],
    ),
    (
        "paint",
        {"color": scalar(stringValue="blue")},
        [
            (
                "IllegalEnumValue",
                "Input [color] on node [n0] is an Enum and expects value to be one of [[red green]].  Received [blue]",
            )
        ],
    ),
    (
        "lists",
        {"values": {"map": {"bindings": {"a": PROMISE}}}},
        [
            (
                "IncompatibleBindingUnionValue",
                "Input [values] on node [n0] expects bindings of union type "
                "[union_type:{variants:{collection_type:{simple:INTEGER}} variants:{simple:STRING}}].  "
                'Received [map:{bindings:{key:"a" value:{promise:{var:"n"}}}}] which does not match any of the '
                "variants.",
            )
        ],
    ),
    (
        "either",
        {"values": collection()},
        [
            (
                "AmbiguousBindingUnionValue",
                "Input [values] on node [n0] expects bindings of union type "
                "[union_type:{variants:{collection_type:{simple:INTEGER}} "
                "variants:{collection_type:{simple:FLOAT}}}].  Received [collection:{}] which is ambiguous as both "
                "variants [collection_type:{simple:INTEGER}] and [collection_type:{simple:FLOAT}] match.",
            )
        ],
    ),
    ("untyped", {"n": 1}, [("ValueRequired", "Value required [param.Type].")]),
]


@pytest.mark.parametrize(("task", "inputs", "expected"), ONE_NODE)
def test_bindings_of_one_node(
    task: str, inputs: dict[str, Any], expected: list[tuple[str, str]], templates: Any, errors: Any
) -> None:
    found = errors(templates.workflow([templates.node("n0", task, **inputs)]))
    assert found == [(code, "n0", text) for code, text in expected]


def test_unknown_output(templates: Any, errors: Any) -> None:
    assert errors(templates.workflow([templates.node("n0", n=".nope")])) == [
        ("ParameterNotBound", "n0", "Parameter not bound [n]."),
        ("VariableNameNotFound", "start-node", "Variable [nope] not found on node [start-node]."),
    ]


def test_a_name_prefixes_variables_in_messages(templates: Any, errors: Any) -> None:
    first = templates.node("n0", n=".n") | {"metadata": {"name": "first"}}
    second = templates.node("n1", "greet", name="n0.o0") | {"metadata": {"name": "second"}}
    ((code, _, text),) = errors(templates.workflow([first, second]))
    assert code == "MismatchingTypes"
    assert text.startswith("The output variable 'first.o0' has type")
    assert "input variable 'second.name'" in text


def test_bound_more_than_once_and_binding_without_value(templates: Any, errors: Any) -> None:
    node = templates.node("n0", n=1)
    node["inputs"] += [{"var": "n", "binding": scalar(integer=2)}]
    assert errors(templates.workflow([node])) == [
        ("ParameterBoundMoreThanOnce", "n0", "Input [n] is bound more than once.")
    ]
    assert errors(templates.workflow([templates.node("n0") | {"inputs": [{"var": "n"}]}])) == [
        ("ParameterNotBound", "n0", "Parameter not bound [n]."),
        ("ValueRequired", "n0", "Value required [Binding]."),
    ]


def test_attribute_paths(templates: Any, errors: Any, compiled: Any) -> None:
    def uses(attribute: str) -> Any:
        promise = {"promise": {"nodeId": "n0", "var": "o0", "attrPath": [{"stringValue": attribute}]}}
        return templates.workflow([templates.node("n0", "point"), templates.node("n1", n=promise)])

    compiled(uses("x"))
    assert errors(uses("y")) == [
        (
            "FieldNotFound",
            "n1",
            'Variable [o0] (type [simple:STRUCT structure:{dataclass_type:{key:"x" value:{simple:INTEGER}}}]) '
            "doesn't have field [y].",
        )
    ]


def test_an_index_needs_a_list(templates: Any, errors: Any, compiled: Any) -> None:
    many = templates.node("n0", "many")
    compiled(templates.workflow([many, templates.node("n1", n="n0.[0].o0")]))
    ((code, node_id, text),) = errors(
        templates.workflow([templates.node("n0", n=1), templates.node("n1", n="n0.[0].o0")])
    )
    assert (code, node_id) == ("MismatchingTypes", "n1")
    assert text.startswith("The output variable '[0].o0' has type [simple:INTEGER]")


def test_unknown_references(templates: Any, errors: Any) -> None:
    text = 'project:"p" domain:"d" name:"nope" version:"v"'
    assert errors(templates.workflow([templates.node("n0", "nope")])) == [
        ("TaskReferenceNotFound", "start-node", f"Referenced Task [resource_type:TASK {text}] not found.")
    ]
    plan = {"id": "n0", "workflowNode": {"launchplanRef": templates.identifier("LAUNCH_PLAN", "nope")}}
    assert errors(templates.workflow([plan])) == [
        (
            "WorkflowReferenceNotFound",
            "start-node",
            f"Referenced Workflow [resource_type:LAUNCH_PLAN {text}] not found.",
        )
    ]
    child = {"id": "n0", "workflowNode": {"subWorkflowRef": templates.identifier("WORKFLOW", "nope")}}
    assert errors(templates.workflow([child])) == [
        ("WorkflowReferenceNotFound", "n0", f"Referenced Workflow [resource_type:WORKFLOW {text}] not found.")
    ]
    assert errors(templates.workflow([{"id": "n0", "workflowNode": {}}]))[0] == (
        "WorkflowReferenceNotFound",
        "n0",
        "Referenced Workflow [<nil>/<nil>] not found.",
    )
    found = errors(templates.workflow([templates.node("n0", n="n9.o0")]))
    assert ("NodeReferenceNotFound", "n9", "Referenced node [n9] not found.") in found


def test_nodes_without_parts(templates: Any, errors: Any) -> None:
    def one(**target: Any) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = errors(templates.workflow([{"id": "n0", **target}]))
        return found

    def required(name: str) -> tuple[str, str, str]:
        return ("ValueRequired", "n0", f"Value required [{name}].")

    assert one() == [required("Target")]
    assert one(taskNode={}) == [required("TaskNode.ReferenceId")]
    assert one(gateNode={}) == [("NoConditionFound", "n0", "Can't find any condition in gate node [n0].")]
    assert one(gateNode={"signal": {"outputVariableName": "o0"}}) == [required("GateNode.Signal.Type")]
    assert one(gateNode={"signal": {"type": {"simple": "STRING"}}}) == [required("GateNode.Signal.OutputVariableName")]
    assert one(arrayNode={}) == [("ValueRequired", "", "Value required [Target].")]
    assert ("ValueRequired", "<node>", "Value required [Id].") in errors(templates.workflow([templates.node("", n=1)]))


def test_aliases(templates: Any, errors: Any, compiled: Any) -> None:
    def using(*aliases: dict[str, str]) -> Any:
        return templates.workflow(
            [templates.node("n0", n=1) | {"outputAliases": aliases}, templates.node("n1", n="n0.a")]
        )

    compiled(using({"var": "o0", "alias": "a"}))
    again = errors(using({"var": "o0", "alias": "a"}, {"var": "o0", "alias": "b"}))
    text = "Duplicate alias [b] found. An output alias can only be used once in the Workflow."
    assert ("DuplicateAlias", "n0", text) in again
    assert ("ParameterNotBound", "n0", "Parameter not bound [a].") in errors(using({"var": "o9", "alias": "a"}))


def branch(templates: Any, *cases: dict[str, Any], **rest: Any) -> Any:
    if_else = {"case": cases[0], "other": list(cases[1:])} if cases else {}
    node = {"id": "b", "branchNode": {"ifElse": if_else | rest}, "inputs": templates.bindings({"x": ".n"})}
    return templates.workflow([node])


def comparison(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    return {"comparison": {"operator": "EQ", "leftValue": left, "rightValue": right}}


def test_branches(templates: Any, errors: Any, compiled: Any) -> None:
    then = templates.node("n0", n=".n")
    good = {"condition": comparison({"var": "x"}, {"primitive": {"integer": 1}}), "thenNode": then}
    other = {"error": {"failedNodeId": "fail", "message": "no"}}
    compiled(branch(templates, good, **other))

    no_default = "Branch Node must have either the else case set or a default error."
    assert errors(branch(templates, good)) == [("BranchNodeHasNoDefault", "b", no_default)]
    no_condition = "One of the branches on the node doesn't have a condition."
    assert errors(branch(templates, {"thenNode": then}, **other)) == [("BranchNodeHasNoCondition", "b", no_condition)]
    found = errors(branch(templates, good, {"condition": good["condition"]}, **other))
    assert ("BranchNodeIdNotFound", "b", "BranchNode not assigned") in found
    assert ("ValueRequired", "b", "Value required [IfElse.Case.ThenNode].") in found
    assert ("ValueRequired", "b", "Value required [Branch.IfElse.Case].") in errors(branch(templates, **other))
    assert ("ValueRequired", "b", "Value required [Branch.IfElse.Case.ThenNode].") in errors(
        branch(templates, {"condition": good["condition"]}, **other)
    )
    assert ("ValueRequired", "b", "Value required [Branch.IfElse].") in errors(
        templates.workflow([{"id": "b", "branchNode": {}}])
    )


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({}, ("ValueRequired", "Value required [Expr].")),
        (comparison({"var": "x"}, {}), ("ValueRequired", "Value required [RightValue.Val].")),
        ({"comparison": {"rightValue": {"var": "x"}}}, ("ValueRequired", "Value required [LeftValue].")),
        (comparison({"var": "x"}, {"scalar": {"noneType": {}}}), ("ValueRequired", "Value required [RightValue.Val].")),
        (comparison({"var": "x"}, {"var": "y"}), ("VariableNameNotFound", "Variable [y] not found on node [b].")),
        (
            comparison({"var": "x"}, {"primitive": {"stringValue": "a"}}),
            (
                "MismatchingTypes",
                "Variable [RightValue] (type [simple:STRING]) doesn't match expected type [simple:INTEGER].",
            ),
        ),
        (
            {"conjunction": {"leftExpression": comparison({"var": "x"}, {"var": "x"})}},
            ("BranchNodeHasNoCondition", "One of the branches on the node doesn't have a condition."),
        ),
    ],
)
def test_conditions(condition: dict[str, Any], expected: tuple[str, str], templates: Any, errors: Any) -> None:
    case = {"condition": condition, "thenNode": templates.node("n0", n=".n")}
    ((code, node_id, text),) = errors(branch(templates, case, error={"message": "no"}))
    assert (code, node_id, text) == (expected[0], "b", expected[1])


def test_arms_give_one_name_one_type(templates: Any, errors: Any) -> None:
    condition = comparison({"var": "x"}, {"primitive": {"integer": 1}})
    case = {"condition": condition, "thenNode": templates.node("n0", n=".n")}
    other = templates.node("n1", "greet", name=scalar(stringValue="a"))
    mismatch = (
        "MismatchingTypes",
        "b-n1",
        "Variable [o0] (type [simple:INTEGER]) doesn't match expected type [simple:STRING].",
    )
    assert mismatch in errors(branch(templates, case, elseNode=other))


def test_structure(templates: Any, errors: Any) -> None:
    text = 'resource_type:WORKFLOW project:"p" domain:"d" name:"w" version:"v"'
    assert errors(templates.workflow([])) == [("NoNodesFound", text, f"Can't find any nodes in workflow [{text}].")]
    cycle = [templates.node("n0", n=".n", upstream=["n1"]), templates.node("n1", n="n0.o0")]
    assert errors(templates.workflow(cycle)) == [
        (
            "CycleDetected",
            "start-node",
            "A cycle has been detected while traversing the Workflow [start-node>n0>n1>n0].",
        )
    ]
    island = [templates.node("n0", n=1, upstream=["n1"]), templates.node("n1", n=1, upstream=["n0"])]
    assert errors(templates.workflow([*island, templates.node("n2", n=1)])) == [
        ("UnreachableNodes", "start-node", "The Workflow contain unreachable nodes [n0,n1].")
    ]
    unbound = templates.workflow([templates.node("n0", n=1)], outputs={"o0": "INTEGER"})
    assert errors(unbound) == [("ParameterNotBound", "end-node", "Parameter not bound [o0].")]


def test_sub_workflows(templates: Any, errors: Any) -> None:
    def calls(name: str) -> dict[str, Any]:
        return {"id": "n0", "workflowNode": {"subWorkflowRef": templates.identifier("WORKFLOW", name)}}

    child = templates.workflow([templates.node("n0", n=1)], inputs={}, name="child")
    ((code, _, text),) = errors(templates.workflow([calls("child")]), child, child)
    assert (code, text) == ("DuplicateId", "Trying to insert two nodes with the same id.")

    one, other = (templates.workflow([calls(to)], inputs={}, name=name) for name, to in (("a", "b"), ("b", "a")))
    assert errors(templates.workflow([calls("a")]), one, other) == [
        ("CycleDetected", "start-node", "A cycle has been detected while traversing the Workflow [a>b>a].")
    ]

    child.ClearField("interface")
    assert errors(templates.workflow([calls("child")]), child) == [
        ("ValueRequired", "n0", "Value required [WorkflowNode.Template.Interface].")
    ]
    broken = templates.workflow([templates.node("n0")], inputs={}, name="child")
    assert errors(templates.workflow([calls("child")]), broken) == [
        ("ParameterNotBound", "n0", "Parameter not bound [n].")
    ]


def test_launch_plans(templates: Any, errors: Any, compiled: Any) -> None:
    plan = LaunchPlanInterface(templates.id("LAUNCH_PLAN", "plan"))
    for name, required in (("needed", True), ("defaulted", False)):
        plan.expected_inputs.parameters[name].var.type.simple = 1
        plan.expected_inputs.parameters[name].required = required

    def calls(**inputs: Any) -> Any:
        reference = {"launchplanRef": templates.identifier("LAUNCH_PLAN", "plan")}
        return templates.workflow([{"id": "n0", "workflowNode": reference, "inputs": templates.bindings(inputs)}])

    compiled(calls(needed=1), launch_plans=[plan])
    compiled(calls(needed=1, defaulted=2), launch_plans=[plan])
    assert errors(calls(defaulted=1), launch_plans=[plan]) == [
        ("ParameterNotBound", "n0", "Parameter not bound [needed].")
    ]
    assert errors(calls(needed=1, fixed=1), launch_plans=[plan]) == [
        ("VariableNameNotFound", "n0", "Variable [fixed] not found on node [n0].")
    ]


def test_tasks_without_identifier(templates: Any) -> None:
    from flyteidl.core import compiler_pb2

    from flytelite.compiler.workflows import compile_workflow

    template = templates.workflow([templates.node("n0", n=1)])
    with pytest.raises(CompilationFailed) as failure:
        compile_workflow(template, [], [compiler_pb2.CompiledTask()], [])
    assert str(failure.value) == (
        "Collected Errors: 1\n\tError 0: Code: ValueRequired, Node Id: task, "
        "Description: Value required [Template.Id].\n"
    )
