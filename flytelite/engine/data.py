"""Where inputs, outputs, errors, decks and raw data live, and how files get there: temp name, fsync, rename.

Inputs and outputs that the engine writes have a shorter way when they are small: ``small_files.py``.

The layout is FlytePropeller's (``flytepropeller/pkg/apis/flyteworkflow/v1alpha1``): below
``metadata/propeller/{project}-{domain}-{execution}`` of the bucket. URIs are plain absolute paths.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from flyteidl.core import identifier_pb2, literals_pb2
from google.protobuf.message import DecodeError, Message

from flytelite.config import Settings
from flytelite.engine.naming import Parent
from flytelite.engine.waiting import until_there_is_space

DOWNLOAD_LIMIT = 10 * 1024 * 1024
"""Bytes of an inputs, outputs, error or futures file; what Flyte's helm chart sets."""

SMALL = 16 * 1024
"""Bytes up to which the record holds the content of a file until it is on disk."""

INPUTS = "inputs.pb"
OUTPUTS = "outputs.pb"
ERROR = "error.pb"
FUTURES = "futures.pb"
COMPILED_DYNAMIC = "dynamic_compiled.pb"
TASK_TEMPLATE = "task.pb"
DECK = "deck.html"
CHECKPOINTS = "_flytecheckpoints"

_PLAIN = re.compile(r"[A-Za-z0-9_=@+,~-][A-Za-z0-9._=@+,~-]*")

M = TypeVar("M", bound=Message)


class TooLarge(Exception):
    """A file holds more than DOWNLOAD_LIMIT bytes."""


class Unreadable(Exception):
    """A file exists but does not hold the message it should."""


def component(name: str) -> str:
    """The name as one part of a path; what could leave the directory or hide in it is percent-encoded."""
    if _PLAIN.fullmatch(name):
        return name
    return quote(name, safe=" ").replace(".", "%2E") or "%"


def metadata_directory(settings: Settings) -> Path:
    """Where all executions have their metadata."""
    return settings.bucket / "metadata" / "propeller"


def execution_directory(settings: Settings, id: identifier_pb2.WorkflowExecutionIdentifier) -> Path:
    """The directory of all metadata of an execution."""
    return metadata_directory(settings) / component(f"{id.project}-{id.domain}-{id.name}")


def node_directory(level: Path, parent: Parent | None, node_id: str) -> Path:
    """A node's data directory: ``level`` is the execution's directory, or the enclosing node's output directory."""
    own = component(node_id)
    return level.joinpath(own, "data") if parent is None else level / own


def output_directory(data_directory: Path, attempt: int) -> Path:
    """Where that attempt of a node writes its results."""
    return data_directory / str(attempt)


def attempt_of(result: Path) -> int:
    """The number of the attempt in whose output directory a file is."""
    name = result.parent.name
    return int(name) if name.isdecimal() else 0


def raw_output_prefix(prefix: str, shard: str, generated_name: str) -> str:
    """Where that attempt writes offloaded data; ``prefix`` may be any URI."""
    return f"{prefix.rstrip('/')}/{shard}/{generated_name}"


def attempt_directory(  # noqa: PLR0917  the parts of one name
    settings: Settings, project: str, domain: str, execution: str, node_id: str, attempt: int
) -> Path:
    """Everything local about one attempt of a task: its log, exit record and working directory."""
    parts = (project, domain, execution, node_id, str(attempt))
    return settings.data_dir.joinpath("attempts", *(component(part) for part in parts))


def log_path(  # noqa: PLR0917  the parts of one name
    settings: Settings, project: str, domain: str, execution: str, node_id: str, attempt: int
) -> Path:
    """The file with what an attempt printed; ``node_id`` is the unique node id."""
    return attempt_directory(settings, project, domain, execution, node_id, attempt) / "task.log"


def write_bytes(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Replace a file so that after a crash it holds the old or the new content, never a part.

    ``mode`` is whom the new file lets in, less what the process's umask keeps out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:  # noqa: PTH123
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_unsynced(path: Path, content: bytes) -> None:
    """Write a small file that nobody reads yet. It survives the end of this process, but perhaps not power loss."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        descriptor = os.open(path, flags, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, flags, 0o666)
    try:
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Make the directory's entries survive power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file that somebody else wrote, and its name, survive power loss."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    sync_directory(path.parent)


def read_file(path: Path, limit: int | None = None) -> bytes | None:
    """The content of a file; None when there is none. Raises TooLarge."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if limit is not None and size > limit:
                raise TooLarge(f"output file @[{path}] is too large [{size}] bytes, max allowed [{limit}] bytes")
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def parse_message(path: Path, content: bytes, message_type: type[M]) -> M:
    """The message that a file's content is. Raises Unreadable, which names the file."""
    message = message_type()
    try:
        message.ParseFromString(content)
    except DecodeError as error:
        raise Unreadable(f"{path} does not hold a {message_type.DESCRIPTOR.full_name}: {error}") from error
    return message


def read_message(path: Path, message_type: type[M], limit: int | None = DOWNLOAD_LIMIT) -> M | None:
    """The message in the file; None when there is no file. Raises TooLarge and Unreadable."""
    content = read_file(path, limit)
    return None if content is None else parse_message(path, content, message_type)


async def write_literals(path: Path, literals: Message) -> None:
    """Write a message to a file, in a thread, once the disk has space for it."""
    content = literals.SerializeToString(deterministic=True)
    await until_there_is_space(lambda: asyncio.to_thread(write_bytes, path, content))


async def read_literals(path: Path) -> literals_pb2.LiteralMap | None:
    """The literal map in a file that the engine wrote, or accepted before, whatever its size; None when there is none.

    Raises Unreadable.
    """
    found: literals_pb2.LiteralMap | None = await asyncio.to_thread(read_message, path, literals_pb2.LiteralMap, None)
    return found


def copy_file(source: Path, target: Path) -> bool:
    """Copy a file's content atomically; False when there is no source."""
    try:
        content = source.read_bytes()
    except FileNotFoundError:
        return False
    write_bytes(target, content)
    return True


def remove_tree(path: Path) -> None:
    """Remove a directory of a finished attempt; what cannot be removed stays."""
    shutil.rmtree(path, ignore_errors=True)
