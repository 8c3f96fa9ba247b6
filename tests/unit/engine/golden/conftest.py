"""How golden sequences are read, and how events are told in the same words.

A ``.txt`` file holds sections ``== name: what it shows``, each the events of one execution in their order, one a line.
They are written down from FlytePropeller's rules (its executor, handlers and transformers), never from what this engine
sends. A title that ends in ``(any order)`` is compared node by node. A line that begins with ``?`` need not be there: a
slow machine may start no process before its time is up.

A line names the node, the phase and the fields that clients depend on: spec node id, node name, target entity, parent
and retry group, the flags, input and output URI below the execution's directory, the error as kind and code, cache and
reservation status, whose artifact, the generated name that the checkpoint is of, the child execution, the number of
nodes of a dynamic workflow. Of the name of a map task the hash is left out.

A task's line names attempt, phase, phase version, task, task type, plugin, generated name and instance class. An
array's elements are told as ``[index/attempt=phase ...]``; its RUNNING events are one line with what they came to, as
changes that happen at the same time share an event.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flyteidl.core import catalog_pb2, execution_pb2
from flyteidl.event import event_pb2

HERE = Path(__file__).parent
Node = execution_pb2.NodeExecution.Phase
Task = execution_pb2.TaskExecution.Phase
Workflow = execution_pb2.WorkflowExecution.Phase
Metadata = event_pb2.TaskExecutionMetadata


def sections(name: str) -> dict[str, tuple[bool, list[str]]]:
    """The sequences of a file by their names, each with whether its order counts."""
    found: dict[str, tuple[bool, list[str]]] = {}
    for section in re.split(r"^== ", (HERE / f"{name}.txt").read_text(), flags=re.MULTILINE)[1:]:
        title, *lines = section.strip().splitlines()
        found[title.partition(":")[0]] = (not title.endswith("(any order)"), lines)
    return found


def of_these(lines: list[str], told: list[str]) -> list[str]:
    """The expected lines, of those that need not be there only what was told."""
    wanted = [(line.startswith("? "), line.removeprefix("? ")) for line in lines]
    return [line for optional, line in wanted if not optional or line in told]


def by_node(lines: list[str]) -> list[str]:
    """The lines node by node, those of each in their order."""
    return sorted(lines, key=lambda line: line.split()[0])


class Teller:
    """Tells the events of one execution."""

    def __init__(self, directory: Path, execution: str) -> None:
        self.directory = str(directory) + "/"
        self.execution = execution

    def tell(self, events: list) -> list[str]:
        lines: list[str] = []
        for event in events:
            if isinstance(event, event_pb2.WorkflowExecutionEvent):
                lines.append(self._words("WE", Workflow.Name(event.phase), **self._results(event)))
            elif isinstance(event, event_pb2.NodeExecutionEvent):
                lines.append(self._node(event))
            elif event.task_type == "container_array":
                self._array(event, lines)
            elif event.phase != Task.Value("WAITING_FOR_RESOURCES"):  # how busy a machine is belongs to no sequence
                lines.append(self._task(event))
        return [re.sub(r"(?:flow\.)?(map_\w+?)_[0-9a-f]{32}-arraynode", r"\1", line) for line in lines]

    def _words(self, *words: str, **fields: str) -> str:
        return " ".join([*(word for word in words if word), *(f"{key}={text}" for key, text in fields.items() if text)])

    def _path(self, uri: str) -> str:
        return uri.removeprefix(self.directory)

    def _results(self, event) -> dict[str, str]:
        error = ""
        if event.HasField("error"):
            kind = execution_pb2.ExecutionError.ErrorKind.Name(event.error.kind)
            error = f"{kind}/{event.error.code}"
        return {"out": self._path(event.output_uri), "error": error}

    def _node(self, event) -> str:
        flags = [
            name
            for name in ("is_parent", "is_dynamic", "is_array", "is_in_dynamic_chain", "is_eager")
            if getattr(event, name)
        ]
        metadata = event.task_node_metadata
        cache = metadata.cache_status
        target = event.target_entity.name.rpartition(".")[2]
        return self._words(
            event.id.node_id,
            Node.Name(event.phase),
            f"spec={event.spec_node_id}",
            *([f"name={event.node_name}"] if event.node_name else []),
            *([f"target={target}"] if target else []),
            *([f"parent={event.parent_node_metadata.node_id}"] if event.HasField("parent_node_metadata") else []),
            *([f"group={event.retry_group}"] if event.retry_group else []),
            *flags,
            *([f"in={self._path(event.input_uri)}"] if event.input_uri else []),
            *(f"{key}={text}" for key, text in self._results(event).items() if text),
            *([f"deck={self._path(event.deck_uri)}"] if event.deck_uri else []),
            catalog_pb2.CatalogCacheStatus.Name(cache) if cache else "",
            *self._catalog(metadata),
            **self._target(event),
        )

    def _catalog(self, metadata) -> list[str]:
        words = []
        if metadata.HasField("catalog_key"):
            words.append("dataset=" + metadata.catalog_key.dataset_id.name.rpartition(".")[2])
            source = metadata.catalog_key.source_task_execution.node_execution_id.execution_id.name
            words += [f"source={source}"] if source else []
        if metadata.reservation_status:
            words.append(catalog_pb2.CatalogReservation.Status.Name(metadata.reservation_status))
        return words

    def _target(self, event) -> dict[str, str]:
        metadata = event.task_node_metadata
        made = metadata.dynamic_workflow
        generated = metadata.checkpoint_uri.removesuffix("/_flytecheckpoints").rpartition("/")[2]
        return {
            "checkpoint": generated,
            "dynamic": f"{made.id.name}/{len(made.compiled_workflow.primary.template.nodes)}" if made.id.name else "",
            "futures": self._path(made.dynamic_job_spec_uri),
            "child": event.workflow_node_metadata.execution_id.name,
        }

    def _task(self, event) -> str:
        return self._words(
            event.parent_node_execution_id.node_id,
            f"TE{event.retry_attempt}",
            Task.Name(event.phase),
            f"v{event.phase_version}",
            event.task_id.name.rpartition(".")[2],
            event.task_type,
            event.metadata.plugin_identifier,
            event.metadata.generated_name,
            Metadata.InstanceClass.Name(event.metadata.instance_class),
            **{"in": self._path(event.input_uri)},
            **self._results(event),
            logs=str(len(event.logs) or ""),
        )

    def _array(self, event, lines: list[str]) -> None:
        """RUNNING events become one line, which holds what the elements have come to so far."""
        elements: dict[str, str] = {}
        head = [f"{event.parent_node_execution_id.node_id} TE{event.retry_attempt} {Task.Name(event.phase)}"]
        if event.phase == Task.Value("RUNNING"):
            if lines and lines[-1].startswith(head[0]):
                elements = dict(word.split("=", 1) for word in re.search(r"\[(.*)\]", lines.pop())[1].split())
        else:
            head.append(f"v{event.phase_version}")
        for resource in event.metadata.external_resources:
            name = f"{resource.index}/{resource.retry_attempt}"
            cache = resource.cache_status
            status = "+" + catalog_pb2.CatalogCacheStatus.Name(cache) if cache else ""
            elements[name] = Task.Name(resource.phase) + status
        told = " ".join(f"{name}={elements[name]}" for name in sorted(elements))
        lines.append(
            self._words(
                *head,
                event.task_id.name.rpartition(".")[2],
                event.task_type,
                event.metadata.plugin_identifier,
                f"[{told}]",
                **{"in": self._path(event.input_uri)},
                **self._results(event),
            )
        )


@pytest.fixture
def teller():
    return Teller


@pytest.fixture
def golden():
    """``golden(file)``: its sections."""
    return sections


@pytest.fixture(name="of_these")
def of_these_fixture():
    return of_these


@pytest.fixture(name="by_node")
def by_node_fixture():
    return by_node
