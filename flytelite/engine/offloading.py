"""Literals that are too large to be passed on: they stay in a file, and what is passed on is its address.

Rules: ``flytepropeller/pkg/controller/nodes/common/utils.go``. Tasks do the same with their outputs when they are told
the limits; who needs what is inside loads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from flyteidl.core import interface_pb2, literals_pb2

from flytelite.config import Settings
from flytelite.engine import data
from flytelite.engine.catalog import literal_hash

MEGABYTE = 1024 * 1024
SUFFIX = "_offloaded_metadata.pb"


class CannotLoad(OSError):
    """The file of an offloaded literal cannot be read."""


class TooLargeToOffload(Exception):
    """A literal is larger than what may be offloaded."""


def is_offloaded(literal: literals_pb2.Literal) -> bool:
    """Whether the literal is only the address of one."""
    return bool(literal.HasField("offloaded_metadata"))


def load(literal: literals_pb2.Literal) -> literals_pb2.Literal:
    """The literal itself, read from its file if it was offloaded; blocks then. Raises CannotLoad."""
    if not is_offloaded(literal):
        return literal
    uri = literal.offloaded_metadata.uri
    if "://" in uri.removeprefix("file://"):
        raise CannotLoad(f"the offloaded literal at [{uri}] is not on this machine")
    try:
        found = data.read_message(Path(uri.removeprefix("file://")), literals_pb2.Literal, None)
    except (OSError, data.Unreadable) as error:
        raise CannotLoad(f"the offloaded literal at [{uri}] cannot be read: {error}") from error
    if found is None:
        raise CannotLoad(f"the offloaded literal at [{uri}] is gone")
    return found


def any_offloaded(maps: Iterable[literals_pb2.LiteralMap | None]) -> bool:
    """Whether a literal of the maps is only an address."""
    return any(is_offloaded(literal) for found in maps if found is not None for literal in found.literals.values())


async def loaded(literals: literals_pb2.LiteralMap) -> literals_pb2.LiteralMap:
    """The map with its literals themselves. Raises CannotLoad."""
    if not any_offloaded([literals]):
        return literals
    return await asyncio.to_thread(_loaded, literals)


def _loaded(literals: literals_pb2.LiteralMap) -> literals_pb2.LiteralMap:
    found = literals_pb2.LiteralMap()
    for name, literal in literals.literals.items():
        found.literals[name].CopyFrom(load(literal))
    return found


def environment(settings: Settings) -> dict[str, str]:
    """What tasks are told of the limits; nothing when offloading is off."""
    if not settings.literal_offloading_min_mb:
        return {}
    return {
        "_F_L_MIN_SIZE_MB": str(settings.literal_offloading_min_mb),
        "_F_L_MAX_SIZE_MB": str(settings.literal_offloading_max_mb),
    }


async def offloaded(
    outputs: literals_pb2.LiteralMap, declared: interface_pb2.VariableMap, directory: Path, settings: Settings
) -> literals_pb2.LiteralMap:
    """The outputs with those in files of the directory that are too large. Raises TooLargeToOffload and OSError."""
    least = settings.literal_offloading_min_mb
    if not least or outputs.ByteSize() < least * MEGABYTE:
        return outputs
    return await asyncio.to_thread(_offloaded, outputs, declared, directory, settings)


def _offloaded(
    outputs: literals_pb2.LiteralMap, declared: interface_pb2.VariableMap, directory: Path, settings: Settings
) -> literals_pb2.LiteralMap:
    found = literals_pb2.LiteralMap()
    for name, literal in outputs.literals.items():
        size = literal.ByteSize()
        most = settings.literal_offloading_max_mb
        if size // MEGABYTE >= most:
            message = f"literal size [{size // MEGABYTE}] MB is larger than the max size [{most}] MB for offloading"
            raise TooLargeToOffload(message)
        if size // MEGABYTE < settings.literal_offloading_min_mb:
            found.literals[name].CopyFrom(literal)
            continue
        path = directory / f"{name}{SUFFIX}"
        data.write_bytes(path, literal.SerializeToString(deterministic=True))
        metadata = literals_pb2.LiteralOffloadedMetadata(
            uri=str(path), size_bytes=size, inferred_type=declared.variables[name].type
        )
        short = literals_pb2.Literal(offloaded_metadata=metadata, hash=literal.hash or literal_hash(literal))
        found.literals[name].CopyFrom(short)
    return found
