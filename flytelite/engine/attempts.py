"""One attempt of a task, from its intent to its result."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from flyteidl.core import execution_pb2, literals_pb2, tasks_pb2

from flytelite.engine import data, naming
from flytelite.engine.executors.interface import Attempt, Command, Outcome
from flytelite.engine.failures import SYSTEM, USER, execution_error
from flytelite.engine.record import Note
from flytelite.engine.run import Run
from flytelite.engine.secrets.files import UnusableFile
from flytelite.engine.secrets.grants import Grant, UnknownSecret
from flytelite.engine.tasks import container, environment, results, templates
from flytelite.engine.waiting import persistently, until_there_is_space


@dataclass(frozen=True)
class Work:
    """What an attempt has to do. ``unique_id`` is the node's, or that of an array's element ``element``."""

    run: Run
    template: tasks_pb2.TaskTemplate
    unique_id: str
    attempt: int
    inputs: literals_pb2.LiteralMap
    inputs_file: Path
    output_directory: Path
    recovered_checkpoint: str = ""
    element: int | None = None

    @cached_property
    def name(self) -> str:
        """The attempt's generated name."""
        return naming.generated_name(self.run.id.name, self.unique_id, self.attempt)

    @cached_property
    def place(self) -> container.Place:
        """The attempt's own directories on this machine."""
        id = self.run.id
        settings = self.run.services.settings
        return container.Place(
            data.attempt_directory(settings, id.project, id.domain, id.name, self.unique_id, self.attempt)
        )

    @property
    def raw_prefix(self) -> str:
        """Where the attempt writes offloaded data."""
        return data.raw_output_prefix(self.run.raw_prefix, naming.shard(self.name), self.name)

    @property
    def checkpoint(self) -> str:
        """Where the attempt writes its checkpoint."""
        return f"{self.raw_prefix}/{data.CHECKPOINTS}"

    @property
    def previous_checkpoint(self) -> str:
        """The checkpoint of the attempt before; of the recovered execution for the first one; else empty."""
        if self.attempt == 0:
            return self.recovered_checkpoint
        name = naming.generated_name(self.run.id.name, self.unique_id, self.attempt - 1)
        return f"{data.raw_output_prefix(self.run.raw_prefix, naming.shard(name), name)}/{data.CHECKPOINTS}"

    @property
    def log_links(self) -> list[execution_pb2.TaskLog]:
        """Where people read what the attempt prints."""
        id = self.run.id
        path = "/".join(data.component(part) for part in (id.project, id.domain, id.name, self.unique_id))
        route = f"http://{self.run.services.endpoint}/logs/{path}/{self.attempt}"
        file = f"file://{self.place.log}"
        return [execution_pb2.TaskLog(name=name, uri=uri) for name, uri in (("task log", route), ("log file", file))]


async def run(
    work: Work,
    intent: Note | None,
    queued: Callable[[Note | None], None],
    started: Callable[[], None],
) -> results.Succeeded | results.Failed:
    """Run the attempt, or take it over when an earlier engine left its ``intent``.

    ``queued`` records the intent, which becomes durable before a process exists; it gets None when there will be
    none. ``started`` is told that the process runs. Cancelling ends the process first. Never raises for what the task
    does.
    """
    masked: tuple[str, ...] | None = None
    if intent is not None:
        place = Path(str(intent["directory"]))
        process = work.run.services.executor.adopt(place, str(intent["token"]))
    else:
        try:
            command = await until_there_is_space(lambda: _command(work))
        except container.BadTaskFormat as error:
            queued(None)
            return results.Failed(execution_error(USER, "BadTaskFormat", str(error)), retryable=False)
        except (UnknownSecret, UnusableFile) as error:
            queued(None)
            return results.Failed(execution_error(USER, "SecretNotFound", str(error)), retryable=False)
        except OSError as error:
            queued(None)
            return _not_started(error)
        token = secrets.token_hex(16)
        masked = command.masked
        queued({"token": token, "directory": str(work.place.attempt), "argv": list(command.argv)})
        await work.run.services.sink.durable()
        process = work.run.services.executor.start(work.place.attempt, token, command)
    starting = asyncio.ensure_future(process)
    try:
        outcome = await _outcome(starting, started)
    except OSError as error:
        return _not_started(error)
    except asyncio.CancelledError:
        await _end(starting)
        await asyncio.to_thread(work.place.clear)
        raise
    return await until_there_is_space(lambda: asyncio.to_thread(_result, work, outcome, masked))


def _not_started(error: OSError) -> results.Failed:
    message = f"the process cannot be started: {error}"
    return results.Failed(execution_error(SYSTEM, "FailedToBuildResource", message), retryable=True)


async def _outcome(starting: asyncio.Future[Attempt], started: Callable[[], None]) -> Outcome:
    attempt = await asyncio.shield(starting)
    started()
    return await attempt.wait()


async def _end(starting: asyncio.Future[Attempt]) -> None:
    """End the process and wait until it is gone, whoever else asks for what meanwhile."""
    try:
        attempt = await persistently(starting)
    except OSError:
        return  # it never started
    attempt.cancel()
    await persistently(asyncio.ensure_future(attempt.wait()))


def _result(work: Work, outcome: Outcome, masked: tuple[str, ...] | None) -> results.Succeeded | results.Failed:
    """What came of it. ``masked`` is None for an attempt that an earlier engine started."""
    declared = bool(work.template.interface.outputs.variables)
    id = work.run.id
    if masked is None:
        masked = work.run.services.secrets.masked(id.project, id.domain, work.template.security_context.secrets)
    results.mask(work.output_directory, masked)
    result = results.judge(outcome, work.output_directory, declared, work.name, work.place.log)
    work.place.clear()
    return result


async def _command(work: Work) -> Command:
    """The attempt's command. Raises BadTaskFormat, UnknownSecret and UnusableFile."""
    found = container.container_of(work.template)
    grant = await asyncio.to_thread(_grant, work) if work.template.security_context.secrets else Grant()
    made = await container.command(
        found, _variables(work), _environment(work, found), work.place, work.run.services.bundles
    )
    if not grant.values:
        return made
    await asyncio.to_thread(grant.write, work.place.secrets)
    return replace(made, secret_env=grant.environment(work.place.secrets), masked=grant.masked)


def _grant(work: Work) -> Grant:
    id = work.run.id
    return work.run.services.secrets.grant(id.project, id.domain, work.template.security_context.secrets)


def _variables(work: Work) -> templates.Variables:
    def write_template() -> str:
        path = work.inputs_file.with_name(data.TASK_TEMPLATE)
        data.write_bytes(path, work.template.SerializeToString(deterministic=True))
        return str(path)

    return templates.Variables(
        input=str(work.inputs_file),
        input_prefix=str(work.inputs_file.parent),
        output_prefix=str(work.output_directory),
        raw_output_data_prefix=work.raw_prefix,
        checkpoint_output_prefix=work.checkpoint,
        previous_checkpoint_prefix=work.previous_checkpoint,
        per_retry_unique_key=naming.per_retry_unique_key(work.name),
        namespace=f"{work.run.id.project}-{work.run.id.domain}",
        inputs=work.inputs,
        task_template_path=write_template,
    )


def _environment(work: Work, found: tasks_pb2.Container) -> dict[str, str]:
    """Later wins; the order is FlytePropeller's, on top of what this machine lends."""
    services = work.run.services
    workflow = work.run.launch.workflow.primary.template.id.name
    return {
        **services.host,
        **{item.key: item.value for item in found.env},
        **environment.of_execution(work.run.id, workflow, work.template.id, work.attempt),
        **{item.key: item.value for item in work.run.launch.spec.envs.values},
        **(environment.of_array_element(work.element) if work.element is not None else {}),
        **environment.of_platform(services.endpoint),
    }
