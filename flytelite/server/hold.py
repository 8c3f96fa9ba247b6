"""GetExecution that answers as soon as the execution has ended, instead of at once that it has not.

flytekit looks at a running execution every 30 seconds, so a run of 40 milliseconds would cost its caller 30 seconds. A
short wait in the answer, far below any client's deadline, gives it the end of a short run at its first look.
"""

from __future__ import annotations

import asyncio

from flyteidl.admin import execution_pb2
from flyteidl.core import identifier_pb2

from flytelite.server.admin.changes import Change, Changes, ExecutionChanged, ServerStopping
from flytelite.server.admin.executions import Executions
from flytelite.server.admin.phases import WORKFLOW_TERMINAL


class HeldExecutions:
    """GetExecution, held for at most ``seconds`` while the execution runs; 0 never holds."""

    def __init__(self, executions: Executions, changes: Changes, seconds: float) -> None:
        self._executions = executions
        self._changes = changes
        self._seconds = seconds

    async def get(self, request: execution_pb2.WorkflowExecutionGetRequest) -> execution_pb2.Execution:
        """The execution as it stands when it has ended, or the time is up. Raises what GetExecution raises."""
        execution = self._executions.get(request)
        if self._seconds <= 0 or execution.closure.phase in WORKFLOW_TERMINAL:
            return execution
        await self._until_ended(execution.id)
        return self._executions.get(request)

    async def _until_ended(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> None:
        ended = asyncio.Event()

        def listener(change: Change) -> None:
            if isinstance(change, ServerStopping) or (
                isinstance(change, ExecutionChanged) and change.terminal and change.id == id
            ):
                ended.set()

        with self._changes.listening(listener):
            try:
                await asyncio.wait_for(ended.wait(), self._seconds)
            except TimeoutError:
                return
