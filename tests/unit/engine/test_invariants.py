"""What must hold whenever the engine is killed, rule by rule, and which tests hold it to the rule.

Each rule names its tests, by module below ``tests``; this module checks that all of them are there, and has those that
are about batches: what is recorded together, and before what.
"""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest
from flyteidl.core import execution_pb2
from flyteidl.event import event_pb2

from flytelite.engine import data
from flytelite.engine.executors.subprocess import SubprocessExecutor
from flytelite.engine.propeller import Propeller

TESTS = Path(__file__).parents[2]
SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED

RULES: dict[str, dict[str, list[str]]] = {
    "1. files first, whole, and then the record that names them": {
        "unit/engine/test_data.py": ["test_a_file_is_old_or_new_whatever_fails", "test_half_a_write_changes_nothing"],
        "unit/engine/test_invariants.py": ["test_an_event_comes_with_the_content_of_the_files_that_it_names"],
        "unit/server/test_file_log.py": ["test_what_a_power_cut_cost_is_written_again"],
        "unit/engine/test_dynamic.py": ["test_a_crash_keeps_the_graph_that_was_made"],
    },
    "2. the intent is on record before there is a process, and an attendant outlives the engine": {
        "unit/engine/test_invariants.py": ["test_an_intent_is_durable_before_its_process_is_started"],
        "unit/engine/test_subprocess_executor.py": ["test_another_engine_adopts_a_running_attempt"],
        "unit/engine/executors/test_fork_losses.py": [
            "test_an_attempt_outlives_its_engine_and_is_adopted_and_the_fork_server_does_not"
        ],
    },
    "3. the exit record is the only proof of an end": {
        "unit/engine/test_subprocess_executor.py": [
            "test_adopting_settles_from_the_exit_record",
            "test_a_killed_shim_is_a_lost_attempt_and_its_task_ends",
        ],
        "unit/engine/executors/test_fork_losses.py": ["test_a_killed_waiter_is_a_lost_attempt_and_its_task_ends"],
    },
    "4. an output directory belongs to one attempt": {
        "e2e/test_restart.py": ["test_a_lost_attempt_is_run_again"],
        "unit/engine/test_failures.py": ["test_a_checkpoint_reaches_the_next_attempt"],
    },
    "5. a restart settles, adopts, or loses": {
        "unit/engine/test_restart.py": [
            "test_a_crash_leaves_tasks_running_and_the_next_engine_adopts_them",
            "test_a_task_that_ended_while_no_engine_ran_is_settled_from_its_exit_record",
        ],
        "e2e/test_restart.py": ["test_a_lost_attempt_is_run_again"],
        "e2e/test_conformance_endings.py": ["test_18_what_runs_in_a_map_survives_a_killed_server"],
    },
    "6. what has ended is never run again": {
        "e2e/test_restart.py": ["test_attempts_that_survive_a_killed_server_are_not_run_twice"],
        "fault/test_fork_server.py": ["test_every_attempt_runs_once_whoever_is_killed"],
        "fault/test_kill.py": ["test_a_few_kills", "test_two_hundred_kills"],
        "unit/engine/test_subprocess_executor.py": ["test_cancel_before_the_shim_is_up"],
    },
    "7. the next attempt's number and the end of the one before are one batch": {
        "unit/engine/test_invariants.py": ["test_the_end_of_an_attempt_and_the_next_ones_number_are_one_batch"],
    },
    "8. an abort that was asked for is carried out, and complete when nothing runs": {
        "unit/engine/test_restart.py": [
            "test_an_abort_that_was_asked_for_before_a_crash",
            "test_a_crash_while_failing",
        ],
        "unit/engine/test_failures.py": ["test_abort_ends_the_processes_first"],
        "unit/engine/test_subprocess_executor.py": [
            "test_cancel_gives_the_task_time_to_clean_up",
            "test_cancel_kills_what_does_not_listen_and_its_children",
        ],
        "unit/engine/connectors/test_jobs.py": ["test_a_job_aborted_while_no_engine_ran_is_deleted"],
    },
    "9. one engine for each data directory": {
        "unit/server/store/test_journal.py": ["test_a_second_opener_learns_who_holds_the_directory"],
    },
    "10. child executions are found again by their names": {
        "unit/engine/test_launch_plans.py": ["test_a_crash_while_a_child_runs"],
        "unit/engine/connectors/test_job_maps.py": ["test_the_jobs_of_a_map_are_watched_on_by_the_next_engine"],
    },
    "11. a reservation and what is put into the cache survive a restart": {
        "unit/engine/test_invariants.py": ["test_a_restarted_engine_has_its_own_reservation"],
        "unit/server/admin/test_reservations.py": ["test_at_any_moment_at_most_one_has_it"],
    },
    "12. timers follow from recorded times": {
        "unit/engine/test_invariants.py": ["test_a_gate_does_not_sleep_longer_for_a_restart"],
        "unit/engine/test_deadlines.py": [
            "test_what_has_ended_while_no_engine_ran_has_ended_in_time",
            "test_what_still_runs_is_late",
            "test_what_was_ended_as_late_just_before_the_engine_was_killed_is_late",
        ],
        "unit/server/test_scheduler.py": ["test_a_clock_that_jumps_fires_nothing_twice"],
    },
    "13. phases only move forward": {
        "unit/server/admin/executions/test_node_events.py": ["test_what_has_ended_stays_ended"],
        "unit/server/admin/executions/test_task_events.py": ["test_what_has_ended_stays_ended"],
        "unit/server/admin/executions/test_workflow_events.py": ["test_what_has_ended_stays_ended"],
    },
    "14. the fork server is disposable": {
        "unit/engine/executors/test_fork_losses.py": [
            "test_the_death_of_the_fork_server_harms_no_attempt_and_stops_no_new_one"
        ],
        "fault/test_fork_server.py": ["test_every_attempt_runs_once_whoever_is_killed"],
    },
    "15. what was left half done is cleared away": {
        "unit/engine/test_bundles.py": ["test_what_was_being_unpacked_when_an_engine_died_is_removed"],
        "unit/engine/environments/test_building.py": ["test_what_was_not_finished_is_made_anew"],
        "unit/engine/test_subprocess_executor.py": ["test_a_killed_shim_is_a_lost_attempt_and_its_task_ends"],
    },
    "16. after a reboot all attempts are lost": {
        "unit/engine/test_subprocess_executor.py": ["test_after_a_reboot_nobody_is_taken_for_the_attempt"],
    },
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_has_its_tests(rule):
    for module, wanted in RULES[rule].items():
        tree = ast.parse((TESTS / module).read_text())
        functions = ast.FunctionDef | ast.AsyncFunctionDef
        there = {node.name for node in ast.walk(tree) if isinstance(node, functions)}
        assert set(wanted) <= there, f"{module} lacks {set(wanted) - there}"


RETRIED = """
from flytekit import task, workflow
from flytekit.exceptions.user import FlyteRecoverableException
from pathlib import Path

@task(retries=1)
def second_time(directory: str) -> int:
    path = Path(directory, "once")
    if not path.exists():
        path.touch()
        raise FlyteRecoverableException("not yet")
    return 1

@workflow
def inner(directory: str) -> int:
    return second_time(directory=directory)

@workflow
def wf(directory: str) -> int:
    return inner(directory=directory)
"""


@pytest.fixture
def batches(bench, monkeypatch):
    """All that is recorded: events, notes and files, batch by batch."""
    emit, found = bench.ledger.emit, []

    def remember(*events, notes=None, files=None):
        found.append((events, {key: note and dict(note) for key, note in (notes or {}).items()}, files))
        emit(*events, notes=notes, files=files)

    monkeypatch.setattr(bench.ledger, "emit", remember)
    return found


def test_an_event_comes_with_the_content_of_the_files_that_it_names(bench, batches):
    assert bench.run(RETRIED, inputs={"directory": str(bench.directory)}).phase == SUCCEEDED
    kept: set[Path] = set()
    named: set[Path] = set()
    for events, _, files in batches:
        for path, content in files.contents.items() if files is not None else ():
            assert path.read_bytes() == content
            kept.add(path)
        for event in events:
            if isinstance(event, event_pb2.NodeExecutionEvent):
                named |= {Path(uri) for uri in (event.input_uri, event.output_uri) if uri}
        assert named <= kept
    assert {path.name for path in named} == {data.INPUTS, data.OUTPUTS}


def test_the_end_of_an_attempt_and_the_next_ones_number_are_one_batch(bench, batches):
    assert bench.run(RETRIED, inputs={"directory": str(bench.directory)}).phase == SUCCEEDED
    failed = execution_pb2.TaskExecution.FAILED
    (notes,) = [
        notes
        for events, notes, _ in batches
        if any(isinstance(one, event_pb2.TaskExecutionEvent) and one.phase == failed for one in events)
    ]
    assert [(note["attempt"], "intent" in note) for note in notes.values()] == [(1, False)]


class Watchful(SubprocessExecutor):
    """Looks at the record when it is asked to start a process."""

    def __init__(self, ledger) -> None:
        super().__init__()
        self.ledger = ledger
        self.durable = 0
        self.seen = []

    async def start(self, directory, token, command):
        intents = [note["intent"]["token"] for note in self.ledger.notes.values() if "intent" in note]
        self.seen.append((token in intents, self.durable))
        return await super().start(directory, token, command)


def test_an_intent_is_durable_before_its_process_is_started(bench, monkeypatch):
    closure = bench.build(RETRIED)
    id = bench.ledger.create("exec", closure, bench.literals(directory=str(bench.directory)))
    executor = Watchful(bench.ledger)

    async def durable():
        await asyncio.sleep(0)
        executor.durable += 1

    monkeypatch.setattr(bench.ledger, "durable", durable)

    async def main():
        propeller = Propeller(bench.ledger, bench.ledger, bench.settings, "localhost:30080", executor)
        await propeller.start()
        found = await asyncio.wait_for(bench.ledger.ended(id), 120)
        await propeller.stop()
        return found

    assert asyncio.run(main()).phase == SUCCEEDED
    assert executor.seen == [(True, 1), (True, 2)]


SERIALIZED = """
import time
from pathlib import Path
from flytekit import task, workflow

@task(cache=True, cache_version="1", cache_serialize=True)
def slow(directory: str) -> int:
    while not Path(directory, "go").exists():
        time.sleep(0.01)
    return 1

@workflow
def wf(directory: str) -> int:
    return slow(directory=directory)
"""


def test_a_restarted_engine_has_its_own_reservation(bench):
    closure = bench.build(SERIALIZED)
    bench.id = bench.ledger.create("exec", closure, bench.literals(directory=str(bench.directory)))
    bench.crash("n0 TE0 RUNNING")
    (held,) = bench.ledger.reservations.values()
    (bench.directory / "go").touch()
    assert bench.go(bench.id).phase == SUCCEEDED
    assert held == "exec-n0-0"
    assert not bench.ledger.reservations
    assert len(bench.ledger.artifacts) == 1


SLEEPING = """
from datetime import timedelta
from flytekit import sleep, workflow

@workflow
def wf():
    sleep(timedelta(minutes=30))
"""


def test_a_gate_does_not_sleep_longer_for_a_restart(bench):
    closure = bench.build(SLEEPING)
    bench.id = bench.ledger.create("exec", closure)
    bench.crash("n0 RUNNING")
    (note,) = [note for note in bench.ledger.notes.values() if "queued_at" in note]
    note["started_at"] -= 1800  # the half hour has passed while no engine ran
    assert bench.go(bench.id).phase == SUCCEEDED
