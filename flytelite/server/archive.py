"""A snapshot as one file: a .tar.gz that people can open, and that is read here as if an enemy had written it.

snapshot.json       what it is: format, where its data directory was, what it holds
documents.jsonl     documents of the store, one a line: table, key, document
my-s3-bucket/…      objects
attempts/…          logs
images/…            what the images of ImageSpecs stand for
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import orjson

from flytelite import __version__
from flytelite.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from flytelite.server.admin.arrivals import entries_of
from flytelite.server.admin.snapshot_tables import Entry
from flytelite.server.store import format_2

FORMAT = 2
MANIFEST = "snapshot.json"
DOCUMENTS = "documents.jsonl"
BUCKET = "my-s3-bucket"
ATTEMPTS = "attempts"
LOG = "task.log"
IMAGES = "images"

DOCUMENT_BYTES = 256 * 1024 * 1024
"""Documents are one entry of the journal when they arrive, and are in memory meanwhile."""
MANIFEST_BYTES = 16 * 1024 * 1024
MAX_FILES = 1_000_000
NAME_BYTES = 8192
SPARE_BYTES = 64 * 1024 * 1024
"""Free space that an archive must leave."""

_BLOCK = tarfile.BLOCKSIZE
_COPIED_AT_ONCE = 1024 * 1024
_NOT_WHOLE = "the archive is not a whole .tar.gz of `flytelite export`"


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself. ``bytes`` are those of all other files in it together."""

    data_dir: str
    executions: tuple[str, ...]
    files: int
    bytes: int
    format: int = FORMAT
    written_by: str = f"flytelite {__version__}"


def write(
    target: Path, data_dir: Path, executions: Iterable[str], entries: Iterable[Entry], files: Mapping[str, Path]
) -> Manifest:
    """Write an archive of documents and files; ``files`` are by their names in it.

    Raises FailedPrecondition when there are too many documents, or when a file changes while it is read.
    """
    documents = b"".join(orjson.dumps(entry._asdict()) + b"\n" for entry in entries)
    if len(documents) > DOCUMENT_BYTES:
        raise FailedPrecondition(
            f"{len(documents)} bytes of documents are too many for one archive, which holds {DOCUMENT_BYTES}; "
            "name the executions to export"
        )
    sizes = {name: path.stat().st_size for name, path in files.items()}
    manifest = Manifest(
        data_dir=str(data_dir),
        executions=tuple(executions),
        files=len(files),
        bytes=len(documents) + sum(sizes.values()),
    )
    with tarfile.open(target, "w:gz", format=tarfile.GNU_FORMAT, compresslevel=6) as tar:
        _add(tar, MANIFEST, io.BytesIO(orjson.dumps(asdict(manifest), option=orjson.OPT_INDENT_2) + b"\n"))
        _add(tar, DOCUMENTS, io.BytesIO(documents))
        for name, path in sorted(files.items()):
            with path.open("rb") as file:
                try:
                    _add(tar, name, file, sizes[name])
                except OSError as error:
                    raise FailedPrecondition(f"{path} cannot be exported: {error}") from error
    return manifest


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int | None = None) -> None:
    info = tarfile.TarInfo(name)
    info.size = content.seek(0, os.SEEK_END) if size is None else size
    content.seek(0)
    tar.addfile(info, content)


def unpack(archive: Path, directory: Path) -> Manifest:
    """Write the files of an archive into an empty directory, each synced, and return what the archive says it is.

    Only regular files are accepted, below the places that an archive has, and not a byte more than the archive
    declares and the disk has room for. Raises InvalidArgument, and ResourceExhausted when there is no room.
    """
    try:
        with gzip.open(archive) as stream:
            return _Unpacking(stream, directory).run()
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.HeaderError, UnicodeError) as error:
        raise InvalidArgument(f"{_NOT_WHOLE}: {error}") from error


def documents(directory: Path, manifest: Manifest) -> list[Entry]:
    """The documents of an unpacked archive, as they are kept now. Raises InvalidArgument."""
    with (directory / DOCUMENTS).open("rb") as file:
        try:
            found = list(entries_of(orjson.loads(line) for line in file))
        except orjson.JSONDecodeError as error:
            raise InvalidArgument(f"{DOCUMENTS} of the archive is damaged: {error}") from error
    if manifest.format > 1:
        return found
    try:
        converted = format_2.convert({(entry.table, entry.key): entry.document for entry in found})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidArgument(f"{DOCUMENTS} of the archive cannot be read: {error!r}") from error
    return [Entry(table, key, document) for (table, key), document in converted.items()]


class _Unpacking:
    def __init__(self, stream: gzip.GzipFile, directory: Path) -> None:
        self._stream = stream
        self._directory = directory
        self._names: set[str] = set()

    def run(self) -> Manifest:
        members = self._members()
        first = next(members, None)
        if first is None or first[0] != MANIFEST or first[1] > MANIFEST_BYTES:
            raise InvalidArgument(f"{_NOT_WHOLE}: it does not begin with {MANIFEST}")
        manifest = _manifest(self._read(first[1]))
        if manifest.bytes > shutil.disk_usage(self._directory).free - SPARE_BYTES:
            raise ResourceExhausted(f"the archive holds {manifest.bytes} bytes, for which the disk has no room")
        left = manifest.bytes
        for name, size in members:
            left -= size
            if left < 0 or len(self._names) > manifest.files or (name == DOCUMENTS and size > DOCUMENT_BYTES):
                raise InvalidArgument(f"the archive holds more than its {MANIFEST} says")
            self._write(name, size)
        if left or len(self._names) != manifest.files + 1 or DOCUMENTS not in self._names:
            raise InvalidArgument(f"the archive holds less than its {MANIFEST} says")
        return manifest

    def _members(self) -> Iterator[tuple[str, int]]:
        """Name and size of each file; its content is next in the stream, and must be read before the next turn."""
        long_name = ""
        headers = 0
        while any(block := self._read(_BLOCK)):
            headers += 1
            if headers > 3 * MAX_FILES:
                raise InvalidArgument(f"the archive has more than {MAX_FILES} files")
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if info.type == tarfile.GNUTYPE_LONGNAME and info.size <= NAME_BYTES and not long_name:
                content = self._read(info.size)
                self._read(-info.size % _BLOCK)
                long_name = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
                continue
            name, long_name = long_name or info.name, ""
            if info.isdir() and info.size == 0:
                continue
            if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.size < 0:
                raise InvalidArgument(f"{name!r} in the archive is not a plain file, or it was not packed by flytelite")
            yield name, info.size
            self._read(-info.size % _BLOCK)
        # Reading to the end is what makes gzip compare its checksum.
        if self._stream.read(_COPIED_AT_ONCE).strip(b"\0") or self._stream.read(1):
            raise InvalidArgument(f"{_NOT_WHOLE}: something follows its end")

    def _write(self, name: str, size: int) -> None:
        _check_name(name)
        if name in self._names:
            raise InvalidArgument(f"{name!r} is in the archive twice")
        self._names.add(name)
        target = self._directory / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                while size > 0:
                    block = self._read(min(size, _COPIED_AT_ONCE))
                    file.write(block)
                    size -= len(block)
                file.flush()
                os.fsync(file.fileno())
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise InvalidArgument(f"{name!r} in the archive is in the way of another file") from error

    def _read(self, size: int) -> bytes:
        content = self._stream.read(size)
        if len(content) != size:
            raise EOFError("it ends too early")
        return content


def _manifest(content: bytes) -> Manifest:
    try:
        found: Any = orjson.loads(content)
        number = int(found["format"])
        if number > FORMAT:
            raise FailedPrecondition(
                f"the archive has format {number}, written by {found.get('written_by')}; flytelite {__version__} reads "
                f"up to {FORMAT}: upgrade flytelite"
            )
        manifest = Manifest(
            data_dir=str(found["data_dir"]),
            executions=tuple(str(name) for name in found["executions"]),
            files=int(found["files"]),
            bytes=int(found["bytes"]),
            format=number,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidArgument(f"{MANIFEST} of the archive cannot be read: {error!r}") from error
    if len(PurePosixPath(manifest.data_dir).parts) < 2 or not manifest.data_dir.startswith("/"):
        raise InvalidArgument(f"{MANIFEST} of the archive says {manifest.data_dir!r}, which is no data directory")
    if not 0 <= manifest.files <= MAX_FILES or manifest.bytes < 0:
        raise InvalidArgument(f"{MANIFEST} of the archive declares {manifest.files} files of {manifest.bytes} bytes")
    return manifest


def _check_name(name: str) -> None:
    parts = name.split("/")
    is_place = (
        name == DOCUMENTS
        or (parts[0] in (BUCKET, IMAGES) and len(parts) > 1)
        # Of attempts only logs: the other files there tell the engine which processes are its own.
        or (parts[0] == ATTEMPTS and len(parts) > 1 and parts[-1] == LOG)
    )
    if not is_place or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise InvalidArgument(f"{name!r} is not the name of a file that an archive of flytelite can hold")
