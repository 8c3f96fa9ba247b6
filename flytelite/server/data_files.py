"""Which files of a data directory belong to executions, and the URIs inside them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from flyteidl.core import compiler_pb2, dynamic_job_pb2, errors_pb2, identifier_pb2, literals_pb2, tasks_pb2
from google.protobuf.message import Message

from flytelite.config import Settings
from flytelite.engine import data, naming
from flytelite.strings import Change, in_message, strings_of

OBJECT_DEPTH = 3
"""A directory of raw data, or of an upload, lies at least so deep in the bucket; above are places of many."""

_MESSAGES: dict[str, type[Message]] = {
    data.INPUTS: literals_pb2.LiteralMap,
    data.OUTPUTS: literals_pb2.LiteralMap,
    data.ERROR: errors_pb2.ErrorDocument,
    data.FUTURES: dynamic_job_pb2.DynamicJobSpec,
    data.COMPILED_DYNAMIC: compiler_pb2.CompiledWorkflowClosure,
    data.TASK_TEMPLATE: tasks_pb2.TaskTemplate,
}
_IN_THE_MAKING = re.compile(r"\..+\.[0-9a-f]{8}")
_OFFLOADED = "_offloaded_metadata.pb"


class DataFiles:
    """The files of one data directory. Everything here blocks on the disk."""

    def __init__(self, settings: Settings) -> None:
        self.root = settings.data_dir
        self.bucket = settings.bucket
        self._settings = settings

    def metadata(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> Path:
        """The directory of inputs, outputs, errors and decks of an execution."""
        return data.execution_directory(self._settings, id)

    def attempts(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> Path:
        """The directory of what its attempts left on this machine: logs."""
        parts = (id.project, id.domain, id.name)
        return self.root.joinpath("attempts", *(data.component(part) for part in parts))

    def raw(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> Iterator[Path]:
        """The directories of what its attempts offloaded to the default place, as far as they exist."""
        for attempt in self.attempts(id).glob("*/*"):
            if attempt.name.isdigit():
                name = naming.generated_name(id.name, attempt.parent.name, int(attempt.name))
                directory = self.bucket / "data" / naming.shard(name) / name
                if directory.is_dir():
                    yield directory

    def logs(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> Iterator[Path]:
        """The logs of its attempts."""
        return self.attempts(id).glob("*/*/task.log")

    def named_by(self, text: str) -> Iterator[Path]:
        """The files of the bucket that a string is the URI of: one, or all below a directory."""
        path = Path(text.removeprefix("file://"))
        if not path.is_absolute() or not path.is_relative_to(self.bucket) or "\0" in text:
            return
        if path.is_symlink() or not path.resolve().is_relative_to(self.bucket.resolve()):
            return
        if path.is_file():
            yield path
        elif len(path.relative_to(self.bucket).parts) >= OBJECT_DEPTH:
            yield from files_below(path)


def files_below(directory: Path) -> Iterator[Path]:
    """All regular files below a directory; symbolic links are not followed, files in the making are left out."""
    for place, _, names in os.walk(directory):
        for name in names:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink() and not _IN_THE_MAKING.fullmatch(name):
                yield path


def message_in(path: Path) -> Any | None:
    """The message in a file of the engine's or flytekit's, told by the file's name; None in any other file."""
    kind = literals_pb2.Literal if path.name.endswith(_OFFLOADED) else _MESSAGES.get(path.name)
    if kind is None:
        return None
    try:
        return data.read_message(path, kind, None)
    except data.Unreadable:
        return None


def strings_in_files(paths: Iterable[Path]) -> set[str]:
    """Every string of the messages in those files."""
    return set().union(*(strings_of(message) for path in paths if (message := message_in(path)) is not None))


def rewrite(path: Path, change: Change) -> None:
    """Change the strings of the message in a file, if it holds one."""
    message = message_in(path)
    if message is None:
        return
    before = message.SerializeToString(deterministic=True)
    in_message(message, change)
    after = message.SerializeToString(deterministic=True)
    if after != before:
        data.write_bytes(path, after)


def size_of(directory: Path) -> int:
    """Bytes of all files below a directory."""
    total = 0
    for place, _, names in os.walk(directory):
        total += sum(Path(place, name).lstat().st_size for name in names)
    return total
