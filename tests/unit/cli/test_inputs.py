"""Reading an entity's inputs from the command line."""

from __future__ import annotations

from typing import Any, Optional

import pytest
import typer
from flytekit import LaunchPlan, task, workflow

from flytelite.cli.application import build
from flytelite.cli.endpoint import Endpoint
from flytelite.cli.failure import Usage
from flytelite.cli.inputs import Inputs, inputs_of, literal_map
from flytelite.cli.run import OWN_FLAGS, read_arguments
from flytelite.cli.serialization import make_remote


@task
def scale(value: int, by: float = 2.0, loud: bool = False, note: Optional[str] = None) -> float:  # noqa: UP045
    return value * by


@workflow
def scaling(value: int, by: float = 3.0, no_wait: bool = False) -> float:
    return scale(value=value, by=by)


plan = LaunchPlan.get_or_create(scaling, "test_inputs.plan", default_inputs={"by": 4.0}, fixed_inputs={"no_wait": True})


@pytest.fixture
def remote() -> Any:
    return make_remote(Endpoint("localhost:1", "test"), "p", "d")


def read(arguments: str, entity: Any = scale) -> dict[str, Any]:
    return read_arguments(arguments.split(), inputs_of(entity))[0]


def described(inputs: Inputs) -> dict[str, tuple[bool, Any]]:
    return {input.name: (input.required, input.default) for input in inputs}


def test_the_inputs_of_each_kind_of_entity() -> None:
    assert described(inputs_of(scale)) == {
        "value": (True, None),
        "by": (False, 2.0),
        "loud": (False, False),
        "note": (False, None),
    }
    assert described(inputs_of(scaling)) == {"value": (True, None), "by": (False, 3.0), "no_wait": (False, False)}
    assert described(inputs_of(plan)) == {"value": (True, None), "by": (False, 4.0)}


def test_values_come_as_words_or_with_an_equals_sign() -> None:
    assert read("--value 3 --by=0.5 --note hi") == {"value": 3, "by": 0.5, "note": "hi"}
    assert read("--value -3") == {"value": -3}


def test_a_bool_may_stand_alone() -> None:
    assert read("--loud") == {"loud": True}
    assert read("--loud --help") == {"loud": True}
    assert read("--loud --value 1") == {"loud": True, "value": 1}
    assert read("--loud false") == {"loud": False}
    assert read("--loud=no") == {"loud": False}
    assert read("--no-loud --value 1") == {"loud": False, "value": 1}


def test_an_input_wins_over_an_option_of_the_same_name() -> None:
    assert read_arguments(["--no-wait"], inputs_of(scale)) == ({}, {"--no-wait"})
    assert read_arguments(["--no-wait"], inputs_of(scaling)) == ({"no_wait": True}, set())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--value many", ["--value", "int", "'many'"]),
        ("--value", ["--value", "int"]),
        ("--loud maybe", ["--loud", "bool", "'maybe'"]),
        ("--loud=maybe", ["--loud", "bool", "'maybe'"]),
        ("--loud=-1", ["--loud", "bool", "'-1'"]),
        ("--no-loud maybe", ["--no-loud takes no value", "'maybe'", "--loud takes true or false"]),
        ("--no-loud=true", ["--no-loud takes no value", "'true'"]),
        ("--colour red", ["--colour", "--value (int)"]),
        ("--project x", ["--project", "before FILE"]),
        ("stray", ["stray"]),
    ],
)
def test_what_cannot_be_read_names_itself_and_the_type(arguments: str, told: list[str]) -> None:
    with pytest.raises(Usage) as refused:
        read(arguments)
    for word in told:
        assert word in refused.value.sentence


def test_missing_inputs_are_named_with_their_types() -> None:
    with pytest.raises(Usage, match=r"needs the input --value \(int\)"):
        inputs_of(scaling).check_complete({})
    inputs_of(scaling).check_complete({"value": 1})


def test_only_a_task_is_sent_its_defaults(remote: Any) -> None:
    workflow_inputs = literal_map(remote, inputs_of(scaling), {"value": 3}, with_defaults=False)
    assert list(workflow_inputs.literals) == ["value"]
    assert workflow_inputs.literals["value"].scalar.primitive.integer == 3
    task_inputs = literal_map(remote, inputs_of(scale), {"value": 3}, with_defaults=True).literals
    assert sorted(task_inputs) == ["by", "loud", "note", "value"]
    assert task_inputs["by"].scalar.primitive.float_value == 2.0
    assert task_inputs["note"].scalar.union.value.scalar.HasField("none_type")


def test_every_option_of_run_that_comes_too_late_is_told_where_it_goes() -> None:
    command: Any = typer.main.get_command(build(("run",)))
    named = {flag for option in command.commands["run"].params for flag in option.opts if flag.startswith("-")}
    assert {"--endpoint", "--watch"} <= named
    for flag in named - OWN_FLAGS:
        with pytest.raises(Usage, match="an option of `run` goes before FILE"):
            read(flag)
