"""One attempt of a task as a job of a connector: started, watched, ended.

Rules: ``flyteplugins/go/tasks/plugins/webapi/connector/plugin.go`` and ``launcher.go``, ``monitor.go`` and ``cache.go``
of ``.../pluginmachinery/internal/webapi``.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyteidl.admin import agent_pb2
from flyteidl.core import identifier_pb2, tasks_pb2
from google.protobuf import json_format

from flytelite.engine import commands, data
from flytelite.engine.connectors.registry import NoConnector, Route
from flytelite.engine.events import TaskPhase
from flytelite.engine.failures import SYSTEM, USER, execution_error
from flytelite.engine.record import Note
from flytelite.engine.run import Run
from flytelite.engine.tasks import results, task_types, templates
from flytelite.engine.tasks.refusals import BadTaskFormat
from flytelite.engine.waiting import persistently

if TYPE_CHECKING:
    from flytelite.engine.attempts import Reporter, Work

FAILED = "TaskFailedWithError"
LOST = "AutoRefreshCacheFailed"

LAUNCHED = 2
"""The phase version of the event that tells of the job's start."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
PAUSE_GROWTH = 1.4
"""Between two looks at a job: often at first, and seldom at one that takes long."""

FAILURES = 5
"""So many looks in a row may have no answer (max-system-failures)."""
FAILURE_PAUSE = 2.0

_PHASES = frozenset(
    {TaskPhase.QUEUED, TaskPhase.WAITING_FOR_RESOURCES, TaskPhase.INITIALIZING, TaskPhase.RUNNING, TaskPhase.UNDEFINED}
)
_STATES = {
    agent_pb2.RETRYABLE_FAILURE: TaskPhase.RETRYABLE_FAILED,
    agent_pb2.PERMANENT_FAILURE: TaskPhase.FAILED,
    agent_pb2.PENDING: TaskPhase.INITIALIZING,
    agent_pb2.RUNNING: TaskPhase.RUNNING,
    agent_pb2.SUCCEEDED: TaskPhase.SUCCEEDED,
}
"""What older services say instead of a phase."""

logger = logging.getLogger(__name__)


async def run(work: Work, intent: Note | None, reporter: Reporter, needed: bool) -> results.Succeeded | results.Failed:
    """Run the attempt through its connector, or go on with the job that an earlier engine noted as its ``intent``.

    Cancelling ends the job, unless it is the engine that stops: the next one goes on with it.
    """
    if intent is None:
        try:
            job = await _find(work, needed)
            if job.route.is_sync:
                return await job.execute(reporter)
            intent = await _create(job)
            reporter.queued(intent, reason="launched", version=LAUNCHED)
        except (BadTaskFormat, NoConnector) as error:
            if isinstance(error, NoConnector):
                error = task_types.without_connector(work.template, str(error))
            reporter.queued(None)
            return results.Failed(execution_error(USER, "BadTaskFormat", str(error)), retryable=False)
        except _CallFailed as error:
            return results.Failed(execution_error(USER, FAILED, str(error)), retryable=True)
    try:
        await work.run.services.sink.durable()
        return await _watch(work, intent, reporter)
    except asyncio.CancelledError:
        if not work.run.stopping:
            await persistently(asyncio.ensure_future(end(work.run, intent)))
        raise


async def end(run: Run, intent: Note) -> None:
    """End the job that an intent tells of. What the connector refuses is in the log: there is nobody else to tell."""
    from flytelite.engine.connectors.client import ServiceFailed

    category = _category(intent)
    request = agent_pb2.DeleteTaskRequest(task_type=category.name, task_category=category, resource_meta=_meta(intent))
    try:
        route = await run.services.connectors.find(category.name, category.version, needed=True)
        assert route is not None
        await route.client.delete(request)
    except (NoConnector, ServiceFailed) as error:
        logger.warning("the job of an aborted task of type [%s] may go on: %s", category.name, error)


class _CallFailed(Exception):
    """The service did not start the job."""


async def _find(work: Work, needed: bool) -> Job:
    template = work.template
    route = await work.run.services.connectors.find(template.type, template.task_type_version, needed)
    if route is None:
        raise NoConnector(f"no connector service serves the type [{template.type}] any more")
    return Job(work, route)


async def _create(job: Job) -> dict[str, object]:
    """Start the job. Cancelling lets the call end first, so that there is no job that nobody knows."""
    creating = asyncio.ensure_future(job.create())
    try:
        return await asyncio.shield(creating)
    except asyncio.CancelledError:
        try:
            intent = await persistently(creating)
        except (_CallFailed, BadTaskFormat):
            raise asyncio.CancelledError from None
        await persistently(asyncio.ensure_future(end(job.work.run, intent)))
        raise


@dataclass(frozen=True)
class Job:
    """One attempt, and the service that it goes to."""

    work: Work
    route: Route

    @property
    def _category(self) -> agent_pb2.TaskCategory:
        return agent_pb2.TaskCategory(name=self.work.template.type, version=self.route.version)

    async def execute(self, reporter: Reporter) -> results.Succeeded | results.Failed:
        """Do the task within one call. Raises _CallFailed and BadTaskFormat."""
        from flytelite.engine.connectors.client import ServiceFailed

        header = agent_pb2.CreateRequestHeader(
            template=await asyncio.to_thread(self._template),
            output_prefix=str(self.work.output_directory),
            task_execution_metadata=self._metadata(),
        )
        parts = [
            agent_pb2.ExecuteTaskSyncRequest(header=header),
            agent_pb2.ExecuteTaskSyncRequest(inputs=self.work.inputs()),
        ]
        try:
            resource = await self.route.client.execute(parts)
        except ServiceFailed as error:
            return results.Failed(execution_error(USER, FAILED, str(error)), retryable=True)
        phase = _phase(resource)
        if phase in _PHASES:
            message = f"the connector answered with phase [{phase}], which is no end: {resource.message}"
            return results.Failed(execution_error(SYSTEM, FAILED, message), retryable=False)
        reporter.progressed(phase, resource.message, resource.log_links, resource.custom_info)
        return await asyncio.to_thread(_result, self.work, phase, resource)

    async def create(self) -> dict[str, object]:
        """Start the job; what has to be kept of it. Raises _CallFailed and BadTaskFormat."""
        from flytelite.engine.connectors.client import ServiceFailed

        request = agent_pb2.CreateTaskRequest(
            template=await asyncio.to_thread(self._template),
            inputs=self.work.inputs(),
            output_prefix=str(self.work.output_directory),
            task_execution_metadata=self._metadata(),
        )
        try:
            meta = await self.route.client.create(request)
        except ServiceFailed as error:
            raise _CallFailed(f"failed to create task from connector: {error}") from error
        category = self._category
        return {
            "resource_meta": base64.b64encode(meta).decode(),
            "type": category.name,
            "type_version": category.version,
        }

    def _template(self) -> tasks_pb2.TaskTemplate:
        """The task's template with its variables replaced, and the directory that they name. Raises BadTaskFormat."""
        self.work.output_directory.mkdir(parents=True, exist_ok=True)
        template = tasks_pb2.TaskTemplate()
        template.CopyFrom(self.work.template)
        template.task_type_version = self.route.version  # services look for their connector by it
        variables = commands.variables(self.work)
        try:
            if template.WhichOneof("target") == "container":
                template.container.args[:] = templates.render(template.container.args, variables)
            elif template.WhichOneof("target") == "k8s_pod":
                pod = json_format.MessageToDict(template.k8s_pod.pod_spec)
                for container in pod.get("containers", []):
                    container["args"] = templates.render(container.get("args", []), variables)
                template.k8s_pod.pod_spec.Clear()
                json_format.ParseDict(pod, template.k8s_pod.pod_spec)
        except templates.UnknownInput as error:
            raise BadTaskFormat(str(error)) from error
        return template

    def _metadata(self) -> agent_pb2.TaskExecutionMetadata:
        work = self.work
        spec = work.run.launch.spec
        node = identifier_pb2.NodeExecutionIdentifier(node_id=work.unique_id, execution_id=work.run.id)
        id = identifier_pb2.TaskExecutionIdentifier(
            task_id=work.template.id, node_execution_id=node, retry_attempt=work.attempt
        )
        return agent_pb2.TaskExecutionMetadata(
            task_execution_id=id,
            namespace=f"{work.run.id.project}-{work.run.id.domain}",
            labels=spec.labels.values,
            annotations=spec.annotations.values,
            environment_variables={item.key: item.value for item in spec.envs.values},
            identity=spec.security_context.run_as,
        )


async def _watch(work: Work, intent: Note, reporter: Reporter) -> results.Succeeded | results.Failed:
    """Look at the job until it has ended, and tell what changes.

    A service that cannot be found is one that does not answer: after a restart it may take longer to be there.
    """
    from flytelite.engine.connectors.client import ServiceFailed

    category = _category(intent)
    request = agent_pb2.GetTaskRequest(
        task_type=category.name,
        task_category=category,
        resource_meta=_meta(intent),
        output_prefix=str(work.output_directory),
    )
    route, failures, pause = None, 0, FIRST_PAUSE
    while True:
        try:
            if route is None or failures:  # a service of this machine that died is another one now
                route = (await _find(work, needed=True)).route
            resource = await route.client.get(request)
        except (ServiceFailed, NoConnector) as error:
            failures += 1
            if failures > FAILURES:
                return results.Failed(execution_error(USER, LOST, str(error)), retryable=False)
            reporter.goes_on()
            await asyncio.sleep(FAILURE_PAUSE * (failures - 1))
            continue
        failures = 0
        phase = _phase(resource)
        reporter.progressed(phase, resource.message, resource.log_links, resource.custom_info)
        if phase not in _PHASES:
            return await asyncio.to_thread(_result, work, phase, resource)
        reporter.goes_on()
        await asyncio.sleep(pause)
        pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE)


def _result(work: Work, phase: int, resource: agent_pb2.Resource) -> results.Succeeded | results.Failed:
    """What came of a job that has ended in that phase. Writes its outputs."""
    if phase != TaskPhase.SUCCEEDED:
        return _failure(phase, resource)
    outputs = work.output_directory
    declared = bool(work.template.interface.outputs.variables)
    if declared and resource.HasField("outputs"):
        data.write_bytes(outputs / data.OUTPUTS, resource.outputs.SerializeToString(deterministic=True))
    return results.read(outputs, declared)


def _category(intent: Note) -> agent_pb2.TaskCategory:
    return agent_pb2.TaskCategory(name=str(intent["type"]), version=int(intent["type_version"]))


def _meta(intent: Note) -> bytes:
    return base64.b64decode(str(intent["resource_meta"]))


def _phase(resource: agent_pb2.Resource) -> int:
    if resource.phase == TaskPhase.UNDEFINED:
        return int(_STATES.get(resource.state, TaskPhase.UNDEFINED))
    return int(resource.phase)


def _failure(phase: int, resource: agent_pb2.Resource) -> results.Failed:
    code = resource.agent_error.code or FAILED
    if phase == TaskPhase.ABORTED:
        message = f"failed to run the job with aborted phase. {resource.message}".rstrip()
    else:
        message = f"failed to run the job: {resource.message}"
    return results.Failed(execution_error(USER, code, message), retryable=phase == TaskPhase.RETRYABLE_FAILED)
