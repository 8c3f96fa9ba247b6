"""Copies of stored files for tasks, which may change what they are given.

On a cluster a task downloads its inputs from the object store and may do with them what it likes. Here the address of
an input is the path of the stored file itself, and flytekit opens that in place: a task that appends to its input would
change it for all who read it later. So each attempt gets copies of its own, and what it hands on without a change is
the stored file again.
"""

from __future__ import annotations

import errno
import fcntl
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from flyteidl.core import dynamic_job_pb2, literals_pb2
from google.protobuf.message import Message

from flytelite import strings
from flytelite.engine import data

COPIED_BYTES = 64 * 1024 * 1024
"""So much is copied for one attempt, where the file system cannot let files share what they have in common."""

PICKLE = "PythonPickle"
"""The format of blobs that flytekit only ever reads."""

ORIGINALS = "originals.json"
_CLONE = 0x40049409  # FICLONE of Linux
_NO_CLONE = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM})


def copy(inputs: literals_pb2.LiteralMap, bucket: Path, directory: Path) -> tuple[dict[str, str], list[str]]:
    """Copy the files and directories of ``bucket`` that the inputs name into ``directory``.

    Returns the copies by the paths of what they are copies of, and the paths of what is too large to be copied. Raises
    OSError. Blocks.
    """
    root = f"{bucket}/"
    if root.encode() not in inputs.SerializeToString():
        return {}, []
    named = {text for part in _parts(inputs.literals.values()) for text in strings.strings_of(part)}
    copies: dict[str, str] = {}
    too_large = []
    left = COPIED_BYTES
    for number, stored in enumerate(sorted(text for text in named if text.startswith(root))):
        source = Path(stored)
        if source.resolve().is_relative_to(bucket.resolve()) and source.exists():
            target = directory / str(number) / source.name
            target.parent.mkdir(parents=True)
            taken = _copy(source, target, left)
            if taken is None:
                too_large.append(stored)
            else:
                left -= taken
                copies[stored] = str(target)
    if copies:
        originals = {private: stored for stored, private in copies.items()}
        (directory / ORIGINALS).write_text(json.dumps(originals), encoding="utf-8")
    return copies, too_large


def replace(literals: literals_pb2.LiteralMap, paths: Mapping[str, str]) -> literals_pb2.LiteralMap:
    """The literals with other paths in place of those that are keys of ``paths``."""
    replaced = literals_pb2.LiteralMap()
    replaced.CopyFrom(literals)
    for part in _parts(replaced.literals.values()):
        strings.in_message(part, lambda text: paths.get(text, text))
    return replaced


def give_back(directory: Path, results: Path) -> None:
    """Have the results of an attempt name what is stored where they name its copies. Raises OSError. Blocks."""
    try:
        originals = json.loads((directory / ORIGINALS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    for name, message in ((data.OUTPUTS, literals_pb2.LiteralMap()), (data.FUTURES, dynamic_job_pb2.DynamicJobSpec())):
        path = results / name
        with suppress(data.TooLarge, data.Unreadable):  # whoever judges the results will say so
            content = data.read_file(path, data.DOWNLOAD_LIMIT)
            if content is not None and f"{directory}/".encode() in content:
                found: Message = data.parse_message(path, content, type(message))
                strings.in_message(found, partial(_stored, originals))
                data.write_bytes(path, found.SerializeToString(deterministic=True))


def _stored(originals: Mapping[str, str], text: str) -> str:
    """The stored path of a copy, or of what is inside of one."""
    for private, stored in originals.items():
        if text == private or text.startswith(f"{private}/"):
            return stored + text[len(private) :]
    return text


def _parts(literals: Iterable[literals_pb2.Literal]) -> Iterator[Message]:
    """The values that can name a file: blobs, and dataclasses with files among their fields."""
    for literal in literals:
        kind = literal.WhichOneof("value")
        if kind == "collection":
            yield from _parts(literal.collection.literals)
        elif kind == "map":
            yield from _parts(literal.map.literals.values())
        elif kind == "scalar":
            yield from _parts_of_scalar(literal.scalar)


def _parts_of_scalar(scalar: literals_pb2.Scalar) -> Iterator[Message]:
    kind: Any = scalar.WhichOneof("value")
    if kind == "union":
        yield from _parts([scalar.union.value])
    elif kind in ("binary", "generic") or (kind == "blob" and scalar.blob.metadata.type.format != PICKLE):
        yield getattr(scalar, kind)


def _copy(source: Path, target: Path, most: int) -> int | None:
    """Copy a file or a directory; the bytes that were copied, or None when they would be more than ``most``."""
    files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    if size > most and not (files and _clones(files[0], target.parent / "clone")):
        return None
    cloned: list[int] = []

    def one(source: str, target: str) -> None:
        if not _clone(source, target):
            shutil.copyfile(source, target)
        else:
            cloned.append(Path(target).stat().st_size)
        shutil.copymode(source, target)

    if source.is_file():
        one(str(source), str(target))
    else:
        shutil.copytree(source, target, symlinks=True, copy_function=one)
    return size - sum(cloned)


def _clones(source: Path, probe: Path) -> bool:
    """Whether the file system can."""
    try:
        return _clone(str(source), str(probe))
    finally:
        probe.unlink(missing_ok=True)


def _clone(source: str, target: str) -> bool:
    """Make a file that shares its blocks with another until one of them is written to; whether that can be done."""
    if not sys.platform.startswith("linux"):
        return False
    with Path(source).open("rb") as content, Path(target).open("wb") as file:
        try:
            fcntl.ioctl(file, _CLONE, content.fileno())
        except OSError as error:
            if error.errno in _NO_CLONE:
                return False
            raise
    return True
