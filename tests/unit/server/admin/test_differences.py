from __future__ import annotations

from flyteidl.core import tasks_pb2

from flytelite.server.admin.differences import MAX_BYTES, different_structure

Task = tasks_pb2.TaskTemplate


def test_each_changed_path_with_its_old_and_new_value():
    old = Task(type="a", config={"k": "1"}, container=tasks_pb2.Container(args=["x", "y"]))
    new = Task(type="b", config={"k": "1", "n": "2"}, container=tasks_pb2.Container(args=["x"]))
    assert different_structure("t", "task", old, new) == (
        "t task with different structure already exists. (Please register a new version of the task):\n"
        "/config/n:\n\t+ 2\n"
        "/container/args/1:\n\t- y \n"
        "/type:\n\t- a \n\t+ b"
    )


def test_a_huge_difference_is_cut():
    text = different_structure("t", "task", Task(type="ä" * MAX_BYTES), Task(type="b"))
    assert len(text.encode()) <= MAX_BYTES
    assert text.endswith("(more differences than fit into one message)")


def test_what_json_cannot_say_is_no_reason_to_fail():
    task = Task()
    task.custom["x"] = float("nan")
    text = different_structure("t", "task", Task(), task)
    assert text.startswith("t task with different structure already exists.")
    assert "the difference cannot be shown: " in text
