"""The user's entities as registration requests, made by flytekit, and the version that their content gives."""

from __future__ import annotations

import hashlib
import importlib
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyteidl.admin import launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2
from google.protobuf.message import Message

from flytelite.cli.endpoint import Endpoint
from flytelite.cli.failure import Usage
from flytelite.cli.source import Source, explain

PICKLE_FORMAT = "PythonPickle"


@dataclass(frozen=True)
class Registrable:
    """One entity ready to be registered: a TaskCreateRequest, WorkflowCreateRequest or LaunchPlanCreateRequest."""

    request: Any
    activate: bool = False

    @property
    def id(self) -> identifier_pb2.Identifier:
        """What it is registered as."""
        return self.request.id


class NothingToRegister(Usage):
    """The modules have no task, workflow or launch plan."""


class Serializer:
    """Turns what flytekit has collected while the user's modules were imported into requests.

    ``bundle_url`` is where a task finds its code; both it and the version may still be unknown, since the version is
    derived from what this makes.
    """

    def __init__(
        self, source: Source, endpoint: Endpoint, project: str, domain: str, images: Sequence[str] = ()
    ) -> None:
        self._source = source
        self._project = project
        self._domain = domain
        self._images = image_config(images)
        self.remote = make_remote(endpoint, project, domain)

    def serialize(self, version: str = "", bundle_url: str = "") -> list[Registrable]:
        """Every task, workflow and launch plan, dependencies first, each workflow with its default launch plan.

        Raises Failure naming file, line and reason when flytekit refuses one of them; NothingToRegister when there
        are none.
        """
        from flytekit.core.context_manager import FlyteContextManager
        from flytekit.tools.serialize_helpers import get_registrable_entities

        try:
            with FlyteContextManager.with_context(self.context(version, bundle_url)) as context:
                models = get_registrable_entities(context)
        except Exception as error:
            raise explain(error, self._source.root) from error
        if not models:
            raise NothingToRegister(
                f"{', '.join(self._source.modules)} under {self._source.root} has no task, workflow or launch plan; "
                "decorate a function with @task or @workflow"
            )
        made = [_registrable(model) for model in models]
        # flytekit makes a map task anew for every place that uses it; equal ones are one entity.
        return list(
            {(entity.id.resource_type, entity.id.name, str(entity.request)): entity for entity in made}.values()
        )

    def context(self, version: str = "", bundle_url: str = "") -> Any:
        """flytekit's context builder for loading and serialising: constants and defaults are uploaded where needed."""
        from flytekit.configuration import FastSerializationSettings, SerializationSettings

        settings = SerializationSettings(
            image_config=self._images,
            project=self._project,
            domain=self._domain,
            version=version,
            source_root=str(self._source.root),
            fast_serialization_settings=FastSerializationSettings(
                enabled=True, destination_dir=".", distribution_location=bundle_url or None
            ),
        )
        return self.remote.context.with_serialization_settings(settings)


def prepare_flytekit() -> None:
    """Import flytekit, and keep our Ctrl-C."""
    handler = signal.getsignal(signal.SIGINT)
    importlib.import_module("flytekit")
    signal.signal(signal.SIGINT, handler)  # flytekit's own ends the process without a word


def image_config(images: Sequence[str]) -> Any:
    """What names of images stand for: ``NAME=IMAGE`` each, or only an image, which is the default one.

    Without any it is what the configuration file says. Raises Usage.
    """
    from flytekit.configuration import ImageConfig

    if not images:
        return ImageConfig.auto_default_image()
    try:
        return ImageConfig.validate_image(None, "--image", tuple(images))
    except (ValueError, AssertionError) as error:
        raise Usage(f"--image {' '.join(images)} cannot be used: {error}") from error


def make_remote(endpoint: Endpoint, project: str, domain: str) -> Any:
    """flytekit's remote for that server: its file access uploads what a literal must point to."""
    from flytekit.configuration import Config
    from flytekit.remote import FlyteRemote
    from flytekit.remote.remote_fs import REMOTE_PLACEHOLDER

    return FlyteRemote(
        Config.for_endpoint(endpoint.authority, insecure=endpoint.insecure),
        default_project=project,
        default_domain=domain,
        data_upload_location=REMOTE_PLACEHOLDER,
        interactive_mode_enabled=False,
    )


def content_version(bundle: Path, bundle_url: str, entities: Sequence[Registrable]) -> str:
    """The version of unversioned entities: one digest of the code, where it lies, and the specifications."""
    digest = hashlib.sha256(bundle.read_bytes())
    digest.update(bundle_url.encode())
    for entity in entities:
        request = type(entity.request)()
        request.CopyFrom(entity.request)
        _forget_random_addresses(request)
        digest.update(request.SerializeToString(deterministic=True))
    return digest.hexdigest()[:20]


def _registrable(model: Any) -> Registrable:
    registrable = _as_request(model)
    for part in _parts(registrable.request):
        if isinstance(part, core_workflow_pb2.Node):
            # flytekit keeps them in a set, so that their order differs from process to process.
            part.upstream_node_ids.sort()
    return registrable


def _as_request(model: Any) -> Registrable:
    from flytekit.models.admin.workflow import WorkflowSpec
    from flytekit.models.task import TaskSpec

    if isinstance(model, TaskSpec):
        return Registrable(task_pb2.TaskCreateRequest(id=model.template.id.to_flyte_idl(), spec=model.to_flyte_idl()))
    if isinstance(model, WorkflowSpec):
        return Registrable(
            workflow_pb2.WorkflowCreateRequest(id=model.template.id.to_flyte_idl(), spec=model.to_flyte_idl())
        )
    return Registrable(
        launch_plan_pb2.LaunchPlanCreateRequest(id=model.id.to_flyte_idl(), spec=model.spec.to_flyte_idl()),
        activate=bool(model.should_auto_activate),
    )


def _forget_random_addresses(request: Message) -> None:
    """Blank the URIs that flytekit draws anew at each serialization: pickled and tabular constants and defaults."""
    for part in _parts(request):
        if isinstance(part, (literals_pb2.StructuredDataset, literals_pb2.Schema)) or (
            isinstance(part, literals_pb2.Blob) and part.metadata.type.format == PICKLE_FORMAT
        ):
            part.uri = ""


def _parts(message: Message) -> Iterator[Message]:
    """A message and all messages in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if isinstance(value, Message):
            parts = [value]
        elif field.message_type.GetOptions().map_entry:
            parts = [part for part in value.values() if isinstance(part, Message)]
        else:
            parts = list(value)
        for part in parts:
            yield from _parts(part)
