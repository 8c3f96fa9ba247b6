"""A task's template as the command of one attempt, with all that the attempt finds around it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flyteidl.core import tasks_pb2

from flytelite.engine import data, naming, offloading
from flytelite.engine.admission import Ticket
from flytelite.engine.environments import overlay
from flytelite.engine.environments.choice import OWN, Environment
from flytelite.engine.executors.interface import Command, Limits
from flytelite.engine.secrets.grants import Grant
from flytelite.engine.tasks import (
    container,
    environment,
    pods,
    raw_containers,
    stores,
    task_types,
    templates,
)
from flytelite.engine.tasks.container_engines import Engine
from flytelite.engine.tasks.refusals import BadTaskFormat

if TYPE_CHECKING:
    from flytelite.engine.attempts import Work


GPUS = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Prepared:
    """``remarks`` are for people. ``removal`` is a command that ends what the command's own end may leave running.

    ``where`` is the Python environment; None in a container.
    """

    command: Command
    remarks: tuple[str, ...] = ()
    removal: tuple[str, ...] = ()
    where: Environment | None = None


@dataclass(frozen=True)
class Surroundings:
    """Where a command will run: in a container of ``engine``, or else in the Python environment ``where``."""

    where: Environment
    engine: Engine | None = None


async def surround(work: Work) -> Surroundings:
    """Find, or first make, what the command will run in. That takes its time, and nothing of the machine's tickets.

    Raises BadTaskFormat, BuildFailed and NoEnvironment, and OSError when a file cannot be written.
    """
    found = pods.container_of(work.template)
    engine = await work.run.services.engines.find() if found.data_config.enabled else None
    return Surroundings(OWN if engine is not None else await _where(work, found), engine)


def installs(work: Work) -> bool:
    """Whether making the command includes the installation of packages for this attempt alone."""
    found = pods.container_of(work.template)
    variables = (*found.env, *work.run.launch.spec.envs.values)
    return not found.data_config.enabled and any(one.key == overlay.RUNTIME_PACKAGES for one in variables)


async def prepare(work: Work, around: Surroundings) -> Prepared:
    """Make the attempt's directories and its command.

    Raises BadTaskFormat, BuildFailed, UnknownSecret and UnusableFile, and OSError when a file cannot be written.
    """
    adaptation = task_types.type_of(work.template).adapt(work.template)
    found = pods.container_of(work.template)
    remarks = (*adaptation.remarks, *pods.remarks(work.template))
    if work.demand.remark:
        remarks = (*remarks, work.demand.remark)
    grant = await asyncio.to_thread(_grant, work) if work.template.security_context.secrets else Grant()
    if found.data_config.enabled:
        prepared = await _prepare_raw(work, found, grant, remarks, around)
    else:
        where = around.where
        env = {**where.adapt(work.run.services.host), **adaptation.env, **_environment(work, found)}
        made = await container.command(found, variables(work), env, work.place, work.run.services.bundles, where=where)
        if env.get(overlay.RUNTIME_PACKAGES):
            packages = await asyncio.to_thread(overlay.install, where, made.env, work.place.packages, made.log)
            made = replace(made, env=packages)
        prepared = Prepared(made, remarks, where=where)
        if grant.values:
            secret_env = grant.environment(work.place.secrets)
            prepared = replace(prepared, command=replace(made, secret_env=secret_env, masked=grant.masked))
    if grant.files or prepared.remarks or stores.local_path(work.raw_prefix) is None:
        await asyncio.to_thread(_finish, work, grant, prepared)
    return prepared


def limits(work: Work) -> Limits:
    """What the attempt's process may have at most, if limits are enforced."""
    enforced = work.run.services.settings.enforce_limits
    return Limits(memory=int(work.resources.memory.limit)) if enforced else Limits()


def bounded(work: Work, ticket: Ticket, command: Command) -> Command:
    """The command with its limits, and with the graphics processors that are its own."""
    env = command.env
    if ticket.gpus and GPUS not in env:
        env = {**env, GPUS: ",".join(map(str, ticket.gpus))}
    return replace(command, env=env, limits=limits(work))


async def _prepare_raw(
    work: Work, found: tasks_pb2.Container, grant: Grant, remarks: tuple[str, ...], around: Surroundings
) -> Prepared:
    raw = raw_containers.RawContainer(found, work.place)
    engine, where = around.engine, around.where

    def make() -> Prepared:
        work.place.make()
        raw.write_inputs(work.inputs(), raw.input_path if engine is not None else str(work.place.inputs))
        return _in_engine(work, raw, grant, engine) if engine is not None else _on_host(work, raw, grant, where)

    prepared = await asyncio.to_thread(make)
    return replace(prepared, remarks=(*remarks, *prepared.remarks))


def _in_engine(work: Work, raw: raw_containers.RawContainer, grant: Grant, engine: Engine) -> Prepared:
    argv = raw.in_engine(engine, work.name, variables(work), _environment(work, raw.container), grant)
    command = Command(
        argv=argv,
        env=container.with_temporary(work.run.services.engine_host, work.place),
        cwd=work.place.work,
        log=work.place.log,
        secret_env=grant.environment(raw_containers.SECRETS_PATH),
        masked=grant.masked,
    )
    return Prepared(command, removal=engine.removal(work.name))


def _on_host(work: Work, raw: raw_containers.RawContainer, grant: Grant, where: Environment) -> Prepared:
    found, allowed = raw.on_host(), work.run.services.engines.allowed
    env = container.with_temporary({**where.adapt(work.run.services.host), **_environment(work, found)}, work.place)
    try:
        argv = container.program(templates.render([*found.command, *found.args], variables(work)), env)
    except BadTaskFormat as error:
        raise BadTaskFormat(raw_containers.without_engine(str(error), raw.container.image, allowed)) from error
    command = Command(
        argv=argv,
        env=env,
        cwd=work.place.work,
        log=work.place.log,
        secret_env=grant.environment(work.place.secrets),
        masked=grant.masked,
    )
    remark = raw_containers.host_remark(raw.container.image, allowed)
    return Prepared(command, (remark,), where=where)


async def _where(work: Work, found: tasks_pb2.Container) -> Environment:
    """The Python environment that the container's image stands for."""
    id = work.run.id
    for_flytekit = container.is_for_flytekit(found)
    return await work.run.services.environments.choose(found.image, id.project, id.domain, for_flytekit)


def _finish(work: Work, grant: Grant, prepared: Prepared) -> None:
    """What few attempts need before they start: secrets, lines in the log, a look at the store of their data."""
    stores.check(work.raw_prefix, prepared.command.env)
    grant.write(work.place.secrets)
    with work.place.log.open("a", encoding="utf-8") as log:
        log.writelines(f"flytelite: {remark}\n" for remark in prepared.remarks)


def _grant(work: Work) -> Grant:
    id = work.run.id
    return work.run.services.secrets.grant(id.project, id.domain, work.template.security_context.secrets)


def variables(work: Work) -> templates.Variables:
    """The values of the variables in the task's command."""

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
        inputs=work.inputs(),
        bucket=work.run.services.settings.bucket,
        task_template_path=write_template,
    )


def _environment(work: Work, found: tasks_pb2.Container) -> dict[str, str]:
    """Later wins; the order is FlytePropeller's. What this machine lends comes before all of it."""
    workflow = work.run.launch.workflow.primary.template.id.name
    return {
        **{item.key: item.value for item in found.env},
        **environment.of_execution(work.run.id, workflow, work.template.id, work.attempt),
        **offloading.environment(work.run.services.settings),
        **{item.key: item.value for item in work.run.launch.spec.envs.values},
        **(environment.of_array_element(work.element) if work.element is not None else {}),
        **environment.of_platform(work.run.services.endpoint),
    }
