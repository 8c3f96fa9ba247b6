"""Raw containers: images that know nothing of flytekit, run by docker or podman, or else as a process of this machine.

Rules: ``flyteplugins/go/tasks/pluginmachinery/flytek8s/copilot.go``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from flyteidl.core import literals_pb2, tasks_pb2

from flytelite.engine.secrets.grants import Grant
from flytelite.engine.tasks import copilot, templates
from flytelite.engine.tasks.container import Place
from flytelite.engine.tasks.container_engines import Engine, Run

INPUT_PATH = "/var/flyte/inputs"
OUTPUT_PATH = "/var/flyte/outputs"
SECRETS_PATH = "/etc/flyte/secrets"


@dataclass(frozen=True)
class RawContainer:
    """A container with a data configuration, and the places of one attempt of it."""

    container: tasks_pb2.Container
    place: Place

    @property
    def input_path(self) -> str:
        """Where the command expects its inputs."""
        return self.container.data_config.input_path.rstrip("/") or INPUT_PATH

    @property
    def output_path(self) -> str:
        """Where the command leaves its outputs."""
        return self.container.data_config.output_path.rstrip("/") or OUTPUT_PATH

    def write_inputs(self, inputs: literals_pb2.LiteralMap, seen: str) -> None:
        """Put the inputs where the command finds them. Blocks. Raises BadTaskFormat and OSError."""
        copilot.clear(self.place.inputs, self.place.outputs)
        copilot.Inputs(self.place.inputs, seen).write(inputs, self.container.data_config.format)

    def in_engine(
        self, engine: Engine, name: str, variables: templates.Variables, env: Mapping[str, str], grant: Grant
    ) -> tuple[str, ...]:
        """The command that runs the container. ``env`` is what the container has beside its secrets."""
        mounts = {self.input_path: self.place.inputs, self.output_path: self.place.outputs}
        if grant.files:
            mounts[SECRETS_PATH] = self.place.secrets
        return engine.command(
            Run(
                name=name,
                image=self.container.image,
                command=templates.render(self.container.command, variables),
                args=templates.render(self.container.args, variables),
                env=env,
                secret_names=sorted(grant.environment(SECRETS_PATH)),
                mounts=mounts,
            )
        )

    def on_host(self) -> tasks_pb2.Container:
        """The container with its input and output paths replaced by directories of the attempt's own."""
        found = tasks_pb2.Container(
            image=self.container.image,
            command=map(self._here, self.container.command),
            args=map(self._here, self.container.args),
        )
        for item in self.container.env:
            found.env.append(literals_pb2.KeyValuePair(key=item.key, value=self._here(item.value)))
        return found

    def _here(self, text: str) -> str:
        for seen, path in ((self.input_path, self.place.inputs), (self.output_path, self.place.outputs)):
            text = re.sub(rf"{re.escape(seen)}(?![\w.-])", lambda _, path=path: str(path), text)  # type: ignore[misc]
        return text


def without_engine(message: str, image: str, allowed: str) -> str:
    """What is wrong with a command here, and how its image would run. ``allowed``: the setting ``containers``."""
    if allowed == "auto":
        how = "neither docker nor podman answers: start one of them (it is looked for in PATH, docker first)"
    else:
        how = f"the setting `containers: {allowed}` has it run here: set `containers: auto` and have docker or podman"
    return f"{message}. It is in the image [{image}], which is not run as a container, as {how}"


def host_remark(image: str, allowed: str) -> str:
    """What people are told of a container that does not run as one. ``allowed`` is the setting ``containers``."""
    why = "no container engine answers" if allowed == "auto" else f"containers: {allowed}"
    return (
        f"{why}: the command of the image [{image}] runs as a process of this machine, with this machine's programs"
        " and files (the setting `containers` can forbid it)"
    )
