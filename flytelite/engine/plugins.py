"""How the attempt of a task runs, by its type: as a process, through a connector, or in the engine itself."""

from __future__ import annotations

from dataclasses import replace

from flyteidl.core import tasks_pb2

from flytelite.engine import attempts, data
from flytelite.engine.attempts import Reporter, Work
from flytelite.engine.connectors import job
from flytelite.engine.failures import USER, execution_error
from flytelite.engine.record import Note
from flytelite.engine.run import Run, Services
from flytelite.engine.tasks import echo, plugin_choice, results, task_types


def identifier(services: Services, template: tasks_pb2.TaskTemplate) -> str:
    """The plugin that events name."""
    if _may_be_connected(template) and services.connectors.serves(template.type, template.task_type_version):
        return task_types.CONNECTOR_PLUGIN
    return task_types.type_of(template).plugin


async def run(work: Work, intent: Note | None, reporter: Reporter) -> results.Succeeded | results.Failed:
    """Run the attempt, or go on with what an earlier engine began and noted as its ``intent``."""
    if intent is None:
        reporter.goes_on()
        if (refused := _refusal(work)) is not None:
            reporter.queued(None)
            return refused
    if work.template.type == echo.TYPE:
        return await _echo(work)
    if await _is_connected(work, intent):
        return await job.run(work, intent, reporter, task_types.needs_connector(work.template))
    return await attempts.run(work, intent, reporter)


def _refusal(work: Work) -> results.Failed | None:
    """The end of an attempt whose plugin may not run it."""
    plugin = identifier(work.run.services, work.template)
    message = plugin_choice.refusal(work.template.type, plugin, work.run.launch.plugin_overrides)
    if message is None:
        return None
    return results.Failed(execution_error(USER, "UnsupportedTaskTypeError", message), retryable=False)


async def end(run: Run, intent: Note) -> None:
    """End what an earlier engine began, if it still runs."""
    if "resource_meta" in intent:
        await job.end(run, intent)
    else:
        await attempts.end(run, intent)


async def _is_connected(work: Work, intent: Note | None) -> bool:
    template = work.template
    if intent is not None:
        return "resource_meta" in intent
    if task_types.needs_connector(template):
        return True
    if not _may_be_connected(template):
        return False
    connectors = work.run.services.connectors
    return await connectors.find(template.type, template.task_type_version, needed=False) is not None


def _may_be_connected(template: tasks_pb2.TaskTemplate) -> bool:
    return template.type not in task_types.OF_THE_ENGINE


async def _echo(work: Work) -> results.Succeeded | results.Failed:
    result = echo.echo(work.template, work.inputs())
    if isinstance(result, results.Succeeded) and result.outputs is not None:
        path = work.output_directory / data.OUTPUTS
        files = await work.run.services.files.write(path, result.outputs)
        return replace(result, files=files)
    return result
