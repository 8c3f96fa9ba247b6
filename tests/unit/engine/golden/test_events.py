"""The events of each kind of node and of each outcome, against the golden sequences beside."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flyteidl.admin import execution_pb2 as admin
from flyteidl.core import execution_pb2, identifier_pb2

from flytelite.engine import data
from flytelite.engine.events import NODE_TERMINAL, TASK_TERMINAL
from flytelite.engine.events import TaskPhase as Task

HERE = Path(__file__).parent
DEADLINE = 240


@dataclass
class Scenario:
    """One execution of a golden sequence; ``{place}`` in an input is its own directory.

    It starts once that of ``after`` is over, or has sent the event ``at`` if one is named.
    """

    workflow: str
    inputs: dict[str, Any] = field(default_factory=dict)
    after: str = ""
    at: str = ""
    recovers: str = ""
    make: str = ""
    change: Callable[[Any], None] | None = None
    drive: Callable[[Stage, str], Awaitable[None]] | None = None
    spec: dict[str, Any] = field(default_factory=dict)


class Stage:
    """Runs the scenarios of one file on one engine, all at once but for those that come after another."""

    def __init__(self, bench, name: str, scenarios: dict[str, Scenario]) -> None:
        self.bench = bench
        self.scenarios = scenarios
        source = (HERE / f"{name}.py").read_text()
        self.closures: dict[str, Any] = {}
        for workflow in dict.fromkeys(scenario.workflow for scenario in scenarios.values()):
            bench.build(source, workflow)
            self.closures.update(bench.closures)
        bench.closures = self.closures
        self.ids: dict[str, Any] = {}
        self.over: dict[str, asyncio.Event] = {}

    def place(self, name: str) -> Path:
        place = self.bench.directory / "places" / name
        place.mkdir(parents=True, exist_ok=True)
        return place

    async def play(self) -> None:
        propeller = self.bench.engine()
        await propeller.start()
        self.over = {name: asyncio.Event() for name in self.scenarios}
        try:
            async with asyncio.timeout(DEADLINE):
                await asyncio.gather(*(self._run(name) for name in self.scenarios))
        except TimeoutError:
            waiting = [name for name, over in self.over.items() if not over.is_set()]
            told = {name: self.bench.ledger.lines(self.ids[name])[-3:] for name in waiting if name in self.ids}
            pytest.fail(f"not over after {DEADLINE} s: {told}")
        finally:
            await propeller.stop()

    async def _run(self, name: str) -> None:
        scenario = self.scenarios[name]
        if scenario.at:
            await self.line(scenario.after, scenario.at)
        elif scenario.after:
            await self.over[scenario.after].wait()
        closure = self.closures[f"flow.{scenario.workflow}"]
        if scenario.change is not None:
            fresh = type(closure)()
            fresh.CopyFrom(closure)
            scenario.change(fresh)
            closure = fresh
        spec = dict(scenario.spec)
        if scenario.recovers:
            old = self.ids[scenario.recovers]
            spec["metadata"] = admin.ExecutionMetadata(mode=admin.ExecutionMetadata.RECOVERED, reference_execution=old)
        place = str(self.place(name))
        if scenario.make:
            (self.place(name) / scenario.make).touch()
        inputs = {
            key: value.format(place=place) if isinstance(value, str) else value
            for key, value in scenario.inputs.items()
        }
        self.ids[name] = self.bench.ledger.create(name, closure, self.bench.literals(**inputs), **spec)
        self.bench.propeller.launch(self.ids[name])
        if scenario.drive is not None:
            await scenario.drive(self, name)
        await self.bench.ledger.ended(self.ids[name])
        self.over[name].set()

    def events(self, name: str) -> list:
        return [event for event in self.bench.ledger.events if execution_of(event) == self.ids[name]]

    def children(self) -> list:
        return [one.id for one in self.bench.ledger.executions.values()]

    def directory(self, name: str) -> Path:
        return data.execution_directory(self.bench.settings, self.ids[name])

    # what a scenario does while it runs

    async def line(self, name: str, line: str) -> None:
        """Wait for an event."""
        await self.bench.ledger.until(lambda: name in self.ids and line in self.bench.ledger.lines(self.ids[name]))

    def abort(self, name: str) -> None:
        self.bench.ledger.terminate(self.ids[name], "enough")
        self.bench.propeller.abort(self.ids[name], "enough")

    def set_signal(self, name: str, signal_id: str, value: Any) -> None:
        id = identifier_pb2.SignalIdentifier(signal_id=signal_id, execution_id=self.ids[name])
        self.bench.ledger.signal(id, None).value.CopyFrom(self.bench.literals(x=value).literals["x"])
        self.bench.propeller.signal_set(id)


def execution_of(event):
    for path in ("execution_id", "id.execution_id", "parent_node_execution_id.execution_id"):
        found = event
        for part in path.split("."):
            if part not in found.DESCRIPTOR.fields_by_name:
                break
            found = getattr(found, part)
        else:
            return found
    raise AssertionError(event)


def when(line: str, act: Callable[[Stage, str], None]) -> Callable[[Stage, str], Awaitable[None]]:
    """Once the execution has sent the event, do something."""

    async def drive(stage: Stage, name: str) -> None:
        await stage.line(name, line)
        act(stage, name)

    return drive


def touch(file: str) -> Callable[[Stage, str], None]:
    return lambda stage, name: (stage.place(name) / file).touch()


def signal(signal_id: str, value: Any) -> Callable[[Stage, str], None]:
    return lambda stage, name: stage.set_signal(name, signal_id, value)


async def release_both(stage: Stage, name: str) -> None:
    """Two runs of a serialized task: let the first one end when the other one waits."""
    await stage.line("second", "n0 QUEUED")
    (stage.place("first") / "go").touch()


def abort(stage: Stage, name: str) -> None:
    stage.abort(name)


async def fail_when_both_run(stage: Stage, name: str) -> None:
    await stage.line(name, "n0-0-n0 TE0 RUNNING")
    await stage.line(name, "n0-0-n1 TE0 RUNNING")
    (stage.place(name) / "fail").touch()


def when_child_runs(act: Callable[[Stage, str], None]) -> Callable[[Stage, str], Awaitable[None]]:
    async def drive(stage: Stage, name: str) -> None:
        child = f"{name}-n0-0"
        await stage.bench.ledger.until(lambda: any(id.name == child for id in stage.children()))
        stage.ids[child] = next(id for id in stage.children() if id.name == child)
        await stage.line(child, "n0 TE0 RUNNING")
        act(stage, name)

    return drive


def abort_child(stage: Stage, name: str) -> None:
    stage.abort(f"{name}-n0-0")


async def abort_when_two_run(stage: Stage, name: str) -> None:
    """One element has ended and two run: the third and fourth of them find no place."""

    def two() -> bool:
        phases = {}
        for event in stage.events(name) if name in stage.ids else ():
            if "metadata" in event.DESCRIPTOR.fields_by_name:
                phases.update({one.index: one.phase for one in event.metadata.external_resources})
        return [phases.get(index) for index in range(3)] == [Task.SUCCEEDED, Task.RUNNING, Task.RUNNING]

    await stage.bench.ledger.until(two)
    stage.abort(name)


def misname_plan(closure) -> None:
    node = next(node for node in closure.primary.template.nodes if node.id == "n0")
    node.workflow_node.launchplan_ref.name = "nothing"


def add_list(closure) -> None:
    """Give the array a second list, of another length."""
    node = next(node for node in closure.primary.template.nodes if node.id == "n0")
    node.inputs.add(var="other").binding.collection.bindings.add().scalar.primitive.integer = 1


def mislead(closure) -> None:
    """Let the task's input come from an attribute that nothing has."""
    node = next(node for node in closure.primary.template.nodes if node.id == "n0")
    node.inputs[0].binding.promise.attr_path.add(string_value="nowhere")
    node.inputs[0].binding.promise.var = "missing"


TASKS = {
    "task": Scenario("task_wf", {"n": 3}),
    "silent": Scenario("silent_wf"),
    "populate": Scenario("kept_wf", {"n": 3}),
    "hit": Scenario("kept_wf", {"n": 3}, after="populate"),
    "overwrite": Scenario("kept_wf", {"n": 3}, after="hit", spec={"overwrite_cache": True}),
    "first": Scenario("guarded_wf", {"place": "PLACE"}, drive=release_both),
    "second": Scenario("guarded_wf", {"place": "PLACE"}, after="first", at="n0 TE0 RUNNING"),
    "retry": Scenario("flaky_wf", {"place": "{place}"}),
    "exhausted": Scenario("never_wf"),
    "permanent": Scenario("broken_wf"),
    "system": Scenario("leave_wf"),
    "expired": Scenario("slow_wf", after="system"),
    "late": Scenario("slower_wf", after="system"),
    "aborted": Scenario("hold_wf", {"place": "{place}"}, drive=when("n0 TE0 RUNNING", abort)),
    "deck": Scenario("shown_wf"),
    "interruptible": Scenario("preemptible_wf"),
    "draw": Scenario("drawn_wf"),
    "drawn": Scenario("drawn_wf", after="draw"),
    "unbound": Scenario("task_wf", {"n": 3}, change=mislead),
}
NESTED = {
    "sub": Scenario("outer", {"n": 3}),
    "empty": Scenario("silent", {"n": 3}),
    "pair": Scenario("pair_wf", {"place": "{place}"}, drive=fail_when_both_run),
    "plan": Scenario("planned", {"n": 3}),
    "badplan": Scenario("planned", {"n": -3}),
    "refused": Scenario("planned", {"n": 3}, change=misname_plan),
    "orphan": Scenario("held_wf", {"place": "{place}"}, drive=when_child_runs(abort_child)),
    "plan-abort": Scenario("held_wf", {"place": "{place}"}, drive=when_child_runs(abort)),
    "branch": Scenario("chosen", {"n": 3}),
    "branch-fail": Scenario("chosen", {"n": 0}),
    "arm-fails": Scenario("negative", {"n": -3}),
    "deep": Scenario("deep", {"n": 3}),
}
GATES = {
    "approve": Scenario("approved", drive=when("n1 RUNNING", signal("sure", True))),
    "reject": Scenario("approved", drive=when("n1 RUNNING", signal("sure", False))),
    "signal": Scenario("given", drive=when("n0 RUNNING", signal("number", 5))),
    "late-signal": Scenario("hurried"),
    "sleep": Scenario("asleep"),
    "gate-abort": Scenario("given", drive=when("n0 RUNNING", abort)),
}
ARRAYS = {
    "map": Scenario("mapped", {"ns": [1, 2]}),
    "nothing": Scenario("mapped", {"ns": []}),
    "enough": Scenario("tolerant", {"ns": [-1, 1, 2, -2]}),
    "fail": Scenario("mapped", {"ns": [-1]}),
    "again": Scenario("flaky_wf", {"ns": [0, 1], "place": "{place}"}),
    "kept": Scenario("kept_wf", {"ns": [7]}),
    "known": Scenario("kept_wf", {"ns": [7]}, after="kept"),
    "map-abort": Scenario("hold_wf", {"ns": [0, 1, 2, 3], "place": "{place}"}, drive=abort_when_two_run),
    "lengths": Scenario("mapped", {"ns": [1, 2]}, change=add_list),
}
DYNAMICS = {
    "dynamic": Scenario("once_wf", {"n": 3}),
    "chain": Scenario("below_wf", {"n": 3}),
    "plain": Scenario("plain_wf", {"n": 3}),
    "hopeless": Scenario("hopeless_wf", {"n": -3}),
    "second-try": Scenario("flaky_wf", {"place": "{place}"}),
    "cached": Scenario("kept_wf", {"n": 3}),
    "cached-hit": Scenario("kept_wf", {"n": 3}, after="cached"),
    "dynamic-again": Scenario("once_wf", {"n": 3}, after="dynamic", recovers="dynamic"),
}
ENDINGS = {
    "lenient": Scenario("lenient"),
    "handled": Scenario("handled", {"n": 3}),
    "handled-below": Scenario("outer", {"n": 3}),
    "badly-handled": Scenario("badly_handled", {"n": 3}),
    "half": Scenario("two_steps", {"place": "{place}"}),
    "recovered": Scenario("two_steps", {"place": "{place}"}, after="half", recovers="half", make="ready"),
}
FILES = {
    "tasks": TASKS,
    "nested": NESTED,
    "gates": GATES,
    "arrays": ARRAYS,
    "dynamics": DYNAMICS,
    "endings": ENDINGS,
}


@pytest.fixture
def stage(bench):
    return lambda name: Stage(bench, name, FILES[name])


@pytest.mark.parametrize("name", FILES)
def test_events_are_as_written(stage, golden, teller, of_these, by_node, name):
    played = stage(name)
    for scenario in played.scenarios.values():  # the two that must share their inputs
        scenario.inputs = {
            key: str(played.place("first")) if value == "PLACE" else value for key, value in scenario.inputs.items()
        }
    asyncio.run(played.play())
    expected = golden(name)
    assert set(expected) == set(played.scenarios)
    differences = []
    for scenario, (ordered, lines) in expected.items():
        events = played.events(scenario)
        check_all(events, scenario)
        told = teller(played.directory(scenario), scenario).tell(events)
        lines = of_these(lines, told)  # noqa: PLW2901
        differences += difference(scenario, lines if ordered else by_node(lines), told if ordered else by_node(told))
    assert not differences, "\n" + "\n".join(differences)
    assert not [key for key in played.bench.ledger.notes if not key.startswith("artifact")]


def difference(scenario: str, expected: list[str], told: list[str]) -> list[str]:
    return list(difflib.unified_diff(expected, told, f"{scenario} expected", f"{scenario} told", n=1, lineterm=""))


def check_all(events, scenario: str) -> None:
    """What holds for every event, whatever it tells."""
    last: dict[str, tuple[int, int]] = {}
    versions: dict[tuple[str, int], tuple[int, int]] = {}
    nodes: set[str] = set()
    ended: set[str] = set()
    for event in events:
        assert event.producer_id == "propeller"
        if "parent_node_execution_id" in event.DESCRIPTOR.fields_by_name:
            node = event.parent_node_execution_id.node_id
            assert node in nodes, f"{scenario}: {node} has a task event before its own"
            attempt = node, event.retry_attempt
            before = versions.get(attempt, (-1, -1))
            assert event.phase != before[0] or event.phase_version > before[1]
            assert before[0] not in TASK_TERMINAL
            versions[attempt] = event.phase, event.phase_version
            check_reasons(event)
        elif "spec_node_id" in event.DESCRIPTOR.fields_by_name:
            node = event.id.node_id
            assert node not in ended, f"{scenario}: {node} has an event after its end"
            parent = event.parent_node_metadata.node_id
            assert not parent or (parent in nodes and parent not in ended)
            nodes.add(node)
            if event.phase in NODE_TERMINAL:
                ended.add(node)
        else:
            continue
        assert event.event_version == 1
        at = event.occurred_at.seconds, event.occurred_at.nanos
        assert at >= last.get(node, (0, 0)), f"{scenario}: {node} goes back in time"
        assert at <= (event.reported_at.seconds + 1, 0)
        last[node] = at


def check_reasons(event) -> None:
    if event.task_type != "container_array" and event.phase == execution_pb2.TaskExecution.QUEUED:
        assert event.reasons
    assert event.reason == (event.reasons[-1].reason if event.reasons else "")
    for log in event.logs:
        assert log.uri
        assert log.name
