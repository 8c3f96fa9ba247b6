"""Registering the user's code: everything is serialised before the first request is sent."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
from flyteidl.admin import launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2

from flytelite.cli.bundle import make_bundle, upload_bundle
from flytelite.cli.client import TIMEOUT, Client
from flytelite.cli.compilation import check
from flytelite.cli.endpoint import Endpoint
from flytelite.cli.failure import Failure
from flytelite.cli.serialization import Registrable, Serializer, content_version, prepare_flytekit
from flytelite.cli.source import Source, load

KINDS = {
    identifier_pb2.TASK: "task",
    identifier_pb2.WORKFLOW: "workflow",
    identifier_pb2.LAUNCH_PLAN: "launch plan",
}


@dataclass(frozen=True)
class Registration:
    """What one registration did."""

    version: str
    new: tuple[identifier_pb2.Identifier, ...]
    existing: tuple[identifier_pb2.Identifier, ...]

    def identifier(self, name: str, is_task: bool) -> identifier_pb2.Identifier:
        """What to execute for an entity of that name: the task, or the launch plan, which a workflow has too."""
        kind = identifier_pb2.TASK if is_task else identifier_pb2.LAUNCH_PLAN
        return next(id for id in (*self.new, *self.existing) if id.name == name and id.resource_type == kind)

    @property
    def summary(self) -> str:
        """One line: what is new, or that nothing is."""
        if not self.new:
            return f"nothing changed: version {self.version} is already registered"
        counts = Counter(KINDS[id.resource_type] for id in self.new)
        parts = [f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in counts.items()]
        kept = f", {len(self.existing)} existed already" if self.existing else ""
        return f"registered {', '.join(parts)} as version {self.version}{kept}"


class Program:
    """The user's code, loaded and known to serialise; it can be registered.

    ``loaded`` is called with the source root once the modules are imported; ``images`` are those of ``--image``.
    """

    def __init__(
        self,
        source: Source,
        endpoint: Endpoint,
        project: str,
        domain: str,
        loaded: Callable[[Path], None] = lambda root: None,
        *,
        images: Sequence[str] = (),
    ) -> None:
        prepare_flytekit()
        self._source = source
        self._project = project
        self._domain = domain
        self._serializer = Serializer(source, endpoint, project, domain, images)
        from flytekit.core.context_manager import FlyteContextManager

        with FlyteContextManager.with_context(self._serializer.context()):
            self.modules: list[ModuleType] = load(source)
        loaded(source.root)

    @property
    def remote(self) -> Any:
        """The flytekit remote whose file access uploads inputs."""
        return self._serializer.remote

    def register(self, client: Client, version: str | None = None) -> Registration:
        """Register tasks, then workflows and launch plans in the order in which they need each other.

        Without a version it is derived from the content. Raises Failure; nothing has been registered when the
        reason lies in the user's code.
        """
        draft = self._serializer.serialize()
        check(client, self._source, draft)
        with tempfile.TemporaryDirectory(prefix="flytelite-bundle-") as directory:
            bundle = make_bundle(self._source, Path(directory))
            url = upload_bundle(client, bundle, self._project, self._domain)
            version = version or content_version(bundle, url, draft)
        return _create_all(client, version, self._serializer.serialize(version, url))


def _create_all(client: Client, version: str, entities: list[Registrable]) -> Registration:
    tasks = [entity for entity in entities if isinstance(entity.request, task_pb2.TaskCreateRequest)]
    others = [entity for entity in entities if not isinstance(entity.request, task_pb2.TaskCreateRequest)]
    new: list[identifier_pb2.Identifier] = []
    existing: list[identifier_pb2.Identifier] = []
    # Tasks need nothing of each other: all are sent before the first answer is awaited.
    calls = [(task, client.admin.CreateTask.future(task.request, timeout=TIMEOUT)) for task in tasks]
    for task, call in calls:
        (new if _succeeds(client, task, call) else existing).append(task.id)
    for entity in others:
        is_workflow = isinstance(entity.request, workflow_pb2.WorkflowCreateRequest)
        method = client.admin.CreateWorkflow if is_workflow else client.admin.CreateLaunchPlan
        created = _succeeds(client, entity, method.future(entity.request, timeout=TIMEOUT))
        (new if created else existing).append(entity.id)
        if entity.activate:
            active = launch_plan_pb2.LaunchPlanUpdateRequest(id=entity.id, state=launch_plan_pb2.ACTIVE)
            client.call(client.admin.UpdateLaunchPlan, active)
    return Registration(version, tuple(new), tuple(existing))


def _succeeds(client: Client, entity: Registrable, call: Any) -> bool:
    """Whether the entity is new; False when it was there before, in identical form."""
    try:
        call.result()
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.ALREADY_EXISTS:
            return False
        reason = client.failure(error).sentence
        raise Failure(f"{KINDS[entity.id.resource_type]} {entity.id.name} cannot be registered: {reason}") from error
    return True
