from __future__ import annotations

import pytest
from flyteidl.core import errors_pb2, execution_pb2, literals_pb2
from google.protobuf import timestamp_pb2

from flytelite.engine import data
from flytelite.engine.executors.interface import Outcome
from flytelite.engine.failures import SYSTEM, UNKNOWN, USER
from flytelite.engine.tasks.results import Circumstances, Failed, Succeeded, judge

GOOD = Outcome(exit_code=0)


def result(directory, outcome=GOOD, declared=True, **around):
    return judge(outcome, directory, declared, Circumstances("exec-n0-0", directory / "task.log", **around))


def document(**fields) -> bytes:
    return errors_pb2.ErrorDocument(error=errors_pb2.ContainerError(**fields)).SerializeToString()


def outputs(directory):
    found = literals_pb2.LiteralMap()
    found.literals["o0"].scalar.primitive.integer = 1
    (directory / data.OUTPUTS).write_bytes(found.SerializeToString())
    return found


def test_outputs(tmp_path):
    found = outputs(tmp_path)
    content = found.SerializeToString()
    assert result(tmp_path) == Succeeded(found, files={tmp_path / data.OUTPUTS: content})


def test_an_error_wins_over_outputs(tmp_path):
    outputs(tmp_path)
    content = document(code="USER:X", message="m", kind=errors_pb2.ContainerError.NON_RECOVERABLE, origin=USER)
    (tmp_path / data.ERROR).write_bytes(content)
    found = result(tmp_path)
    assert (found.error.code, found.error.message, found.error.kind, found.retryable) == ("USER:X", "m", USER, False)


def test_a_recoverable_error(tmp_path):
    content = document(code="X", kind=errors_pb2.ContainerError.RECOVERABLE, origin=execution_pb2.ExecutionError.SYSTEM)
    (tmp_path / data.ERROR).write_bytes(content)
    found = result(tmp_path)
    assert (found.error.kind, found.retryable) == (SYSTEM, True)


def test_the_earliest_worker_error_counts(tmp_path):
    for name, second in (("a", 5), ("b", 2), ("c", 9)):
        content = document(code=name, timestamp=timestamp_pb2.Timestamp(seconds=second), worker=name)
        (tmp_path / f"error-{name}.pb").write_bytes(content)
    found = result(tmp_path)
    assert (found.error.code, found.error.worker, found.error.timestamp.seconds) == ("b", "b", 2)


def test_nothing_at_all(tmp_path):
    found = result(tmp_path)
    assert (found.error.code, found.error.kind, found.retryable) == ("OutputsNotFound", UNKNOWN, True)
    written = tmp_path / data.OUTPUTS
    assert result(tmp_path, declared=False) == Succeeded(literals_pb2.LiteralMap(), files={written: b""})
    assert written.is_file()


def test_outputs_that_are_too_large(tmp_path):
    (tmp_path / data.OUTPUTS).write_bytes(bytes(data.DOWNLOAD_LIMIT + 1))
    found = result(tmp_path)
    assert (found.error.code, found.error.kind, found.retryable) == ("OutputSizeExceeded", UNKNOWN, False)


def test_outputs_that_are_no_message(tmp_path):
    (tmp_path / data.OUTPUTS).write_bytes(b"\xff\xff\xff")
    found = result(tmp_path)
    assert (found.error.kind, found.retryable) == (SYSTEM, True)


@pytest.mark.parametrize(
    ("outcome", "code", "text"),
    [
        (Outcome(exit_code=3), "Interrupted", "[exec-n0-0] terminated with exit code (3). Reason [Error]"),
        (Outcome(exit_code=137, signal=9), "Interrupted", "exit code (137). Reason [Signal 9]"),
        (Outcome(lost=True), "ResourceDeletedExternally", "left no exit record"),
    ],
)
def test_a_bad_end_is_a_system_failure_whatever_was_written(tmp_path, outcome, code, text):
    outputs(tmp_path)
    (tmp_path / "task.log").write_text("x\n" * 500 + "the end\n")
    found = result(tmp_path, outcome)
    assert isinstance(found, Failed)
    assert (found.error.code, found.error.kind, found.retryable) == (code, SYSTEM, True)
    assert text in found.error.message
    if not outcome.lost:
        assert "the end" in found.error.message
        assert found.error.message.count("x\n") < 100


@pytest.mark.parametrize(
    ("exit_code", "around", "kind", "code"),
    [
        (137, {"memory_ran_out": True}, USER, "OOMKilled"),
        (137, {}, SYSTEM, "Interrupted"),
        (3, {"memory_ran_out": True}, SYSTEM, "Interrupted"),
        (3, {"is_sidecar": True}, USER, "Error"),
        (137, {"is_sidecar": True}, SYSTEM, "Interrupted"),
    ],
)
def test_whose_failure_an_exit_is(tmp_path, exit_code, around, kind, code):
    outcome = Outcome(exit_code=exit_code, signal=9 if exit_code == 137 else 0)
    found = result(tmp_path, outcome, **around)
    assert (found.error.kind, found.error.code, found.retryable) == (kind, code, True)
    assert f"exit code ({exit_code})" in found.error.message
