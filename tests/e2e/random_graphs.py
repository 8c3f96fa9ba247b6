"""Workflows made at random: source text of a module, from a seeded generator.

A graph is a workflow of nodes v0, v1, ... of random kinds, each fed by nodes before it. Its failure policy is the
lenient one, as under the other it is chance which nodes begin before the first failure. Each attempt of a task writes
to the file ``ledger`` of the execution's place that it begins, and that it ends.
"""

from __future__ import annotations

from random import Random

HEAD = """
import functools, os, sys, time
from pathlib import Path
from flytekit import LaunchPlan, WorkflowFailurePolicy, conditional, dynamic, map_task, task, workflow
from flytekit.exceptions.user import FlyteRecoverableException

LENIENT = WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE


def tell(place: str, word: str, name: str) -> None:
    with open(Path(place) / "ledger", "a") as ledger:
        ledger.write(f"{word} {name} {os.environ['FLYTE_ATTEMPT_NUMBER']}\\n")


def work(place: str, name: str, pause: int, fail: str, value: int) -> int:
    tell(place, "begin", name)
    time.sleep(pause / 1000)
    first = os.environ["FLYTE_ATTEMPT_NUMBER"] == "0"
    if fail == "always":
        tell(place, "end", name)
        raise ValueError("as it was told")
    tried = Path(place) / f"{name}.tried"
    if fail in ("once", "exit") and not tried.exists():
        tell(place, "end", name)
        tried.touch()
        if fail == "exit":
            sys.exit(3)
        raise FlyteRecoverableException("not the first time")
    tell(place, "succeed", name)
    return value


@task(retries=1)
def step(place: str, name: str, pause: int, fail: str, values: list[int]) -> int:
    return work(place, name, pause, fail, sum(values) % 97 + 1)


@task(retries=1)
def element(x: int, place: str, name: str, pause: int, fail: str) -> int:
    return work(place, f"{name}.{os.environ['FLYTE_K8S_ARRAY_INDEX']}", pause, fail if x % 2 else "", x + 1)


@dynamic(retries=1)
def several(place: str, name: str, pause: int, fail: str, count: int, values: list[int]) -> int:
    work(place, name, pause, "once" if fail == "once" else "", 0)
    fails = ["" if fail == "once" else fail, "", ""]
    made = [
        step(place=place, name=f"{name}.{i}", pause=pause, fail=fails[i], values=values) for i in range(count)
    ]
    return step(place=place, name=f"{name}.last", pause=pause, fail="", values=made)


@workflow(failure_policy=LENIENT)
def pair(place: str, name: str, other: str, pause: int, fail: str, values: list[int]) -> int:
    first = step(place=place, name=name, pause=pause, fail=fail, values=values)
    return step(place=place, name=other, pause=pause, fail="", values=[first, 2])


pair_plan = LaunchPlan.get_or_create(pair, __name__ + ".pair_plan")


@workflow(failure_policy=LENIENT)
def graph(place: str) -> int:
"""

KINDS = ("task", "task", "sub_workflow", "launch_plan", "branch", "map", "dynamic")
FAILURES = ("", "", "", "", "", "once", "exit", "always")


def source(random: Random, size: int) -> str:
    """A module with a workflow ``graph`` that takes ``place``."""
    lines = [_node(random, f"v{i}", [f"v{j}" for j in range(i)]) for i in range(size)]
    last = ", ".join(f"v{i}" for i in range(size))
    lines.append(f'return step(place=place, name="last", pause=0, fail="", values=[{last}])')
    return HEAD + "".join(f"    {line}\n" for line in lines)


def _node(random: Random, name: str, before: list[str]) -> str:
    fed = random.sample(before, min(len(before), random.randrange(3)))
    values = ", ".join(fed) or str(random.randrange(9))
    pause, fail = random.randrange(0, 400, 20), random.choice(FAILURES)
    common = f'place=place, pause={pause}, fail="{fail}"'
    kind = random.choice(KINDS)
    if kind == "branch" and fed:
        arms = [f'step({common}, name="{name}{arm}", values=[{values}])' for arm in "ab"]
        return f'{name} = conditional("{name}").if_({fed[0]} > 2).then({arms[0]}).else_().then({arms[1]})'
    if kind == "map":
        mapped = f'map_task(functools.partial(element, {common}, name="{name}"))(x=[{values}, 3, 4])'
        return f'{name} = step(place=place, name="{name}.sum", pause=0, fail="", values={mapped})'
    if kind == "dynamic":
        return f'{name} = several({common}, name="{name}", count={random.randrange(1, 4)}, values=[{values}])'
    if kind in ("sub_workflow", "launch_plan"):
        called = "pair" if kind == "sub_workflow" else "pair_plan"
        return f'{name} = {called}({common}, name="{name}", other="{name}.next", values=[{values}])'
    return f'{name} = step({common}, name="{name}", values=[{values}])'
