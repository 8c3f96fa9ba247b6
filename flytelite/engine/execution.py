"""One workflow execution from RUNNING to its last event.

Rules: ``flytepropeller/pkg/controller/workflow/executor.go``.
"""

from __future__ import annotations

from typing import Any

from flyteidl.core import execution_pb2

from flytelite.compiler.errors import CompilationFailed
from flytelite.compiler.executable import validate_executable
from flytelite.engine import data, notes
from flytelite.engine.aborting import abort_all, cascading
from flytelite.engine.events import WORKFLOW_TERMINAL, WorkflowPhase, workflow_event
from flytelite.engine.failures import SYSTEM, NodeFailed, execution_error
from flytelite.engine.level import Level, Library, run_failure_node, run_level
from flytelite.engine.naming import END_NODE
from flytelite.engine.run import AUTO_ABORT, Run

_ORDER = {
    WorkflowPhase.UNDEFINED: 0,
    WorkflowPhase.QUEUED: 0,
    WorkflowPhase.RUNNING: 1,
    WorkflowPhase.SUCCEEDING: 2,
    WorkflowPhase.FAILING: 2,
    WorkflowPhase.ABORTING: 2,
    **dict.fromkeys(WORKFLOW_TERMINAL, 3),
}


async def execute(run: Run) -> None:
    """Run, or go on running, the execution. Cancelled, it leaves no node of it running."""
    launch = run.launch
    level = Level(run, launch.workflow.primary, Library(launch.workflow), run.directory)
    level.on_failure = lambda error: _advance(run, WorkflowPhase.FAILING, error=error)
    if not run.resumed and (objection := _objection(run)) is not None:
        _end(run, WorkflowPhase.FAILED, error=objection)
        return
    try:
        if launch.phase == WorkflowPhase.FAILING:
            await _go_on_failing(run, level)
        _advance(run, WorkflowPhase.RUNNING)
        await run_level(level, launch.inputs)
    except NodeFailed as failure:
        _advance(run, WorkflowPhase.FAILING, error=failure.error)
        _end_eager_children(run, run.reason(failure.error.message))
        _end(run, WorkflowPhase.FAILED, error=failure.error)
        return
    _advance(run, WorkflowPhase.SUCCEEDING)
    directory = data.node_directory(run.directory, None, END_NODE)
    _end(run, WorkflowPhase.SUCCEEDED, output_uri=str(data.output_directory(directory, 0) / data.OUTPUTS))


async def abort(run: Run) -> None:
    """End what an earlier engine may have left running, and record the abort.

    The event carries no error: it would replace the abort metadata, in which the cause is.
    """
    await abort_all(run, run.reason())
    _end_eager_children(run, run.reason())
    _end(run, WorkflowPhase.ABORTED)


def _end_eager_children(run: Run, reason: str) -> None:
    """End what eager tasks have started: flytekit leaves that to the tasks, which may be gone.

    Its handler of SIGTERM, which should end them, fails itself (flytekit 1.16).
    """
    for child in run.services.view.eager_children(run.id):
        run.services.sink.terminate_execution(child, cascading(run, reason))


def failed(run: Run, error: execution_pb2.ExecutionError) -> None:
    """The last event of an execution that the engine could not carry to its end."""
    _end(run, WorkflowPhase.FAILED, error=error)


def _objection(run: Run) -> execution_pb2.ExecutionError | None:
    """Why the workflow cannot be run at all: FlyteAdmin creates an execution that has failed (``transformers``)."""
    try:
        validate_executable(run.launch.workflow)
    except CompilationFailed as error:
        return execution_error(SYSTEM, "Unknown", str(error))
    return None


async def _go_on_failing(run: Run, level: Level) -> None:
    """After a restart: the failure is on record, and perhaps what it left running is still to be ended."""
    services = run.services
    execution = services.view.execution(run.id)
    assert execution is not None
    if not (services.view.note(notes.execution_key(run.id)) or {}).get("cleaned"):
        await abort_all(run, AUTO_ABORT)
    level.inputs = run.launch.inputs
    await run_failure_node(level, execution.closure.error)
    raise NodeFailed(execution.closure.error)


def _advance(run: Run, phase: int, **fields: Any) -> None:
    """Record a phase unless the execution has come that far or farther."""
    if _ORDER[run.phase] < _ORDER[phase]:
        run.phase = phase
        run.services.sink.emit(workflow_event(run.id, phase, **fields))


def _end(run: Run, phase: int, **fields: Any) -> None:
    run.phase = phase
    run.services.sink.emit(workflow_event(run.id, phase, **fields), notes={notes.execution_key(run.id): None})
