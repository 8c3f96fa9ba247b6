"""What can go wrong when a process that has imported much is forked into tasks, and which tests hold the rule to it.

Each topic names its rule's place and the tests; this module checks that all of them are there.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).parent

PITFALLS: dict[str, dict[str, list[str]]] = {
    "threads, gRPC channels: no fork server with threads": {
        "test_fork_executor.py": ["test_without_a_fork_server_tasks_are_subprocesses_and_one_line_says_why"],
        "test_fork_libraries.py": ["test_imports_that_no_fork_survives_are_refused"],
    },
    "event loops captured before the fork": {"test_fork_executor.py": ["test_each_attempt_has_event_loops_of_its_own"]},
    "numpy, pandas and libraries of the graphics processor": {
        "test_fork_libraries.py": [
            "test_the_second_attempt_finds_the_libraries_of_the_first",
            "test_imports_that_no_fork_survives_are_refused",
        ],
    },
    "variables that are read while a process starts": {
        "test_fork_executor.py": ["test_a_variable_that_is_read_at_the_start_gets_a_new_process"],
    },
    "flytekit's default context, logging, streams, cwd, path, argv, umask, __main__, signals, descriptors": {
        "test_fork_executor.py": ["test_a_forked_task_finds_what_a_new_process_would"],
    },
    "what the fork server played itself, and objects that never end": {
        "fork_server/test_practice.py": ["test_a_process_that_has_practised_is_as_it_was_but_for_its_code"],
        "test_fork_modules.py": ["test_what_users_make_ends_when_nobody_refers_to_it"],
    },
    "one attempt's changes to its process": {
        "test_fork_executor.py": ["test_no_attempt_sees_what_another_did_to_its_process"],
    },
    "modules of another code version": {
        "test_fork_modules.py": [
            "test_modules_are_in_the_attempts_own_copy_which_is_as_it_was_registered",
            "test_another_environment_or_code_version_has_its_own",
        ],
        "test_module_refusals.py": ["test_what_a_module_must_not_do", "test_what_a_module_must_not_leave"],
        "test_fork_executor.py": [
            "test_two_code_versions_at_once",
            "test_a_module_with_the_name_of_a_library_gets_a_new_interpreter",
        ],
        "test_fork_libraries.py": ["test_new_code_of_the_same_module_finds_them_too_and_runs_as_it_is"],
    },
    "random numbers": {
        "test_fork_executor.py": ["test_random_numbers_differ"],
        "test_fork_modules.py": ["test_each_attempt_has_random_numbers_of_its_own"],
    },
    "environments": {
        "test_fork_executor.py": ["test_packages_installed_later_get_a_new_fork_server"],
        "test_fork_libraries.py": ["test_another_environment_has_its_own"],
    },
    "death of the fork server, of a waiter, of the engine": {
        "test_fork_losses.py": [
            "test_the_death_of_the_fork_server_harms_no_attempt_and_stops_no_new_one",
            "test_a_killed_waiter_is_a_lost_attempt_and_its_task_ends",
            "test_an_attempt_outlives_its_engine_and_is_adopted_and_the_fork_server_does_not",
            "test_a_killed_spare_is_replaced_and_none_is_left",
        ],
    },
    "leaving without taking the interpreter apart": {
        "test_fork_executor.py": ["test_a_forked_task_ends_as_a_new_process_would", "test_exit_codes"],
    },
    "what a task leaves running": {
        "test_fork_executor.py": [
            "test_what_a_task_leaves_running_ends_with_it",
            "test_a_daemon_ends_with_its_task",
            "test_shared_memory_ends_with_its_task",
        ],
    },
    "quotas": {"test_fork_executor.py": ["test_a_full_quota_is_the_attempts_own_failure"]},
}


@pytest.mark.parametrize("topic", PITFALLS)
def test_each_pitfall_has_its_tests(topic):
    for module, wanted in PITFALLS[topic].items():
        tree = ast.parse((HERE / module).read_text())
        there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert set(wanted) <= there, f"{module} lacks {set(wanted) - there}"
