"""The smallest project: one task, one workflow with a default input, one launch plan that fixes an input."""

from __future__ import annotations

from flytekit import LaunchPlan, task, workflow


@task
def greet(name: str, times: int) -> str:
    return " ".join([f"hello {name}"] * times)


@workflow
def greeting(name: str, times: int = 2) -> str:
    return greet(name=name, times=times)


greeting_world = LaunchPlan.get_or_create(
    workflow=greeting, name="greetings.greeting_world", default_inputs={"times": 1}, fixed_inputs={"name": "world"}
)
