"""One attempt of a task, from its intent to its result."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

from flyteidl.core import execution_pb2, literals_pb2, tasks_pb2
from google.protobuf import struct_pb2

from flytelite.engine import commands, data, naming, waiting
from flytelite.engine.admission import Demand, Ticket
from flytelite.engine.environments.advice import advice
from flytelite.engine.environments.choice import BuildFailed, Environment, NoEnvironment
from flytelite.engine.executors.interface import Attempt, Outcome
from flytelite.engine.failures import SYSTEM, USER, execution_error
from flytelite.engine.record import Note
from flytelite.engine.resources import EffectiveResources, effective_resources
from flytelite.engine.run import Run
from flytelite.engine.secrets.files import UnusableFile
from flytelite.engine.secrets.grants import UnknownSecret
from flytelite.engine.tasks import container, container_engines, copilot, pods, private_inputs, results, task_types
from flytelite.engine.tasks.refusals import BadTaskFormat
from flytelite.engine.waiting import is_refusal, persistently, until_there_is_space

SUBMITTED = "task submitted"
STARTS = 60
"""How often a process that the machine has no room for is tried to start, a second apart."""

logger = logging.getLogger(__name__)

_NEVER_STARTED = (BadTaskFormat, BuildFailed, NoEnvironment, UnknownSecret, UnusableFile, OSError)


@dataclass(frozen=True)
class Work:
    """What an attempt has to do. ``unique_id`` is the node's, or that of an array's element ``element``.

    ``inputs`` gives the values for the command's template variables; an element's are cut out of the lists on demand.
    """

    run: Run
    template: tasks_pb2.TaskTemplate
    unique_id: str
    attempt: int
    inputs: Callable[[], literals_pb2.LiteralMap]
    inputs_file: Path
    output_directory: Path
    recovered_checkpoint: str = ""
    element: int | None = None
    overrides: tasks_pb2.Resources | None = None

    @cached_property
    def resources(self) -> EffectiveResources:
        """What the attempt asks for and may use."""
        return effective_resources(self.template, self.overrides, self.run.launch.task_resources)

    @cached_property
    def demand(self) -> Demand:
        """What the attempt takes of the machine while it runs.

        Nothing when it only waits for executions that it launched: those have to be able to run.
        """
        if self.template.metadata.is_eager:
            return Demand()
        return self.run.services.admission.demand(self.resources)

    @cached_property
    def name(self) -> str:
        """The attempt's generated name."""
        return naming.generated_name(self.run.id.name, self.unique_id, self.attempt)

    @cached_property
    def place(self) -> container.Place:
        """The attempt's own directories on this machine."""
        id = self.run.id
        services = self.run.services
        return container.Place(
            data.attempt_directory(services.settings, id.project, id.domain, id.name, self.unique_id, self.attempt),
            services.temporary,
        )

    @property
    def results_directory(self) -> Path:
        """Where the attempt's results are: elements of legacy map tasks make a directory for themselves."""
        if self.element is not None and self.template.type == task_types.CONTAINER_ARRAY:
            return self.output_directory / str(self.element)
        return self.output_directory

    @cached_property
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


class Reporter(Protocol):
    """Whom an attempt tells how it goes."""

    def queued(self, intent: Note | None, *remarks: str, reason: str = SUBMITTED, version: int = 0) -> None:
        """Record the intent, which becomes durable before a process exists; None when there will be none."""

    def waiting(self, reason: str) -> None:
        """The attempt exists, but what it asks for is not free."""

    def started(self) -> None:
        """The process runs."""

    def goes_on(self) -> None:
        """The attempt is not over: what has to end in time has not."""

    def ended(self, outcome: Outcome) -> None:
        """The process is gone; what it took goes with the next event."""

    def progressed(
        self, phase: int, reason: str, logs: Sequence[execution_pb2.TaskLog], custom_info: struct_pb2.Struct
    ) -> None:
        """What is not a process has come to a phase, or has something new to say in it."""


async def run(work: Work, intent: Note | None, reporter: Reporter) -> results.Succeeded | results.Failed:
    """Run the attempt as a process, or take it over when an earlier engine left its ``intent``.

    Cancelling ends the process first. Never raises for what the task does.
    """
    made: _Made | None = None
    if intent is None:
        try:
            made = await until_there_is_space(lambda: _make(work))
        except _NEVER_STARTED as error:
            reporter.queued(None)
            return await _not_started(work, error)
    admission = work.run.services.admission
    ticket = admission.insist(work.demand) if intent is not None else admission.enter(work.demand)
    if ticket is None:
        reporter.waiting(admission.shortage(work.demand))
        ticket = await admission.wait(work.demand)
    with admission.holding(ticket):
        return await _run(work, intent, reporter, ticket, made)


@dataclass(frozen=True)
class _Made:
    """What an attempt has before it is admitted; its command only if that takes long to make."""

    around: commands.Surroundings
    prepared: commands.Prepared | None


async def _make(work: Work) -> _Made:
    """Whoever has to build first keeps nobody else from running."""
    around = await commands.surround(work)
    return _Made(around, await commands.prepare(work, around) if commands.installs(work) else None)


async def _run(
    work: Work, intent: Note | None, reporter: Reporter, ticket: Ticket, made: _Made | None
) -> results.Succeeded | results.Failed:
    masked: tuple[str, ...] | None = None
    where: Environment | None = None
    if made is not None:
        try:
            prepared = made.prepared
            if prepared is None:
                prepared = await until_there_is_space(lambda: commands.prepare(work, made.around))
        except _NEVER_STARTED as error:
            reporter.queued(None)
            return await _not_started(work, error)
        command = commands.bounded(work, ticket, prepared.command)
        masked, where = command.masked, prepared.where
        intent = _intent(work, prepared)
        reporter.queued(intent, *prepared.remarks)
        await work.run.services.sink.durable()
        begin = partial(work.run.services.executor.start, work.place.attempt, str(intent["token"]), command)
    else:
        assert intent is not None
        begin = partial(work.run.services.executor.adopt, Path(str(intent["directory"])), str(intent["token"]))
    try:
        outcome = await _attended(begin, reporter)
        reporter.ended(outcome)
    except OSError as error:
        return await _not_started(work, error)
    except asyncio.CancelledError:
        await persistently(asyncio.ensure_future(asyncio.to_thread(put_away, work.run, intent)))
        raise
    return await until_there_is_space(lambda: asyncio.to_thread(_result, work, intent, outcome, masked, where))


async def end(run: Run, intent: Note) -> None:
    """End the process that an intent tells of, if it still runs."""
    attempt = await run.services.executor.adopt(Path(str(intent["directory"])), str(intent["token"]))
    await _cancel(attempt)
    await attempt.wait()
    await asyncio.to_thread(put_away, run, intent)


def _intent(work: Work, prepared: commands.Prepared) -> dict[str, Any]:
    intent: dict[str, Any] = {
        "token": secrets.token_hex(16),
        "directory": str(work.place.attempt),
        "argv": list(prepared.command.argv),
    }
    return intent | ({"removal": list(prepared.removal)} if prepared.removal else {})


def put_away(run: Run, intent: Note) -> None:
    """Remove what only the running attempt needed, and end what its process may have left running. Blocks."""
    if intent.get("removal"):
        container_engines.remove([str(part) for part in intent["removal"]])
    container.Place(Path(str(intent["directory"])), run.services.temporary).clear(run.services.trash)


async def _not_started(work: Work, error: Exception) -> results.Failed:
    """Put away what was made for it, and say why there is no process."""
    await asyncio.to_thread(work.place.clear, work.run.services.trash)
    return _refusal(error)


def _refusal(error: Exception) -> results.Failed:
    """Something that another attempt will not change, or a machine that refuses."""
    if isinstance(error, BadTaskFormat):
        return results.Failed(execution_error(USER, "BadTaskFormat", str(error)), retryable=False)
    if isinstance(error, BuildFailed | NoEnvironment):
        return results.Failed(execution_error(USER, "EnvironmentNotFound", str(error)), retryable=False)
    if isinstance(error, UnknownSecret | UnusableFile):
        return results.Failed(execution_error(USER, "SecretNotFound", str(error)), retryable=False)
    message = f"the process cannot be started: {error}"
    return results.Failed(execution_error(SYSTEM, "FailedToBuildResource", message), retryable=True)


async def _attended(begin: Callable[[], Awaitable[Attempt]], reporter: Reporter) -> Outcome:
    """Have it started and see it end; cancelling ends it. Raises OSError when there is no process.

    A machine that has no room for one more process has it when others end; but it may not be they who fill it.
    """
    left = STARTS
    while True:
        starting = asyncio.ensure_future(begin())
        try:
            try:
                attempt = await asyncio.shield(starting)
            except OSError as error:
                left -= 1
                if not left or not is_refusal(error):
                    raise
                if left == STARTS - 1:
                    logger.warning("an attempt waits, for the machine refuses: %s", error)
                await asyncio.sleep(waiting.SPACE_SECONDS)
                continue
            reporter.started()
            if not attempt.ended:
                reporter.goes_on()
            return await attempt.wait()
        except asyncio.CancelledError:
            await _end(starting)
            raise


async def _end(starting: asyncio.Future[Attempt]) -> None:
    """End the process and wait until it is gone, whoever else asks for what meanwhile."""
    try:
        attempt = await persistently(starting)
    except OSError:
        return  # it never started
    await persistently(asyncio.ensure_future(_cancel(attempt)))
    await persistently(asyncio.ensure_future(attempt.wait()))


async def _cancel(attempt: Attempt) -> None:
    """Ask for its end, which takes a file: it must be heard of whatever the machine lacks."""

    async def ask() -> None:
        attempt.cancel()

    await until_there_is_space(ask)


def _result(
    work: Work, intent: Note, outcome: Outcome, masked: tuple[str, ...] | None, where: Environment | None
) -> results.Succeeded | results.Failed:
    """What came of it. ``masked`` and ``where`` are None for an attempt that an earlier engine started."""
    interface = work.template.interface
    id = work.run.id
    if masked is None:
        masked = work.run.services.secrets.masked(id.project, id.domain, work.template.security_context.secrets)
    if pods.container_of(work.template).data_config.enabled and not outcome.lost and outcome.exit_code == 0:
        copilot.collect(work.place.outputs, interface.outputs, work.results_directory, work.raw_prefix)
    private_inputs.give_back(work.place.copies, work.results_directory)
    results.mask(work.results_directory, masked)
    declared = bool(interface.outputs.variables)
    around = results.Circumstances(
        name=work.name,
        log=work.place.log,
        is_sidecar=work.template.type == pods.SIDECAR,
        memory_ran_out=outcome.exit_code == results.KILLED and work.run.services.memory.ran_out(),
    )
    result = results.judge(outcome, work.results_directory, declared, around)
    if isinstance(result, results.Failed) and (limit := commands.limits(work).memory):
        result = results.with_memory_limit(result, outcome, limit, work.name)
    if where is not None and isinstance(result, results.Failed):
        sent = container.has_code(pods.container_of(work.template))
        advised = advice(result.error.message, where, work.place.work, sent)
        result.error.message += f"\n\n{advised}" if advised else ""
    put_away(work.run, intent if outcome.lost or outcome.exit_code else {**intent, "removal": []})
    return result
