"""Code bundles: what ``pyflyte-fast-execute`` does in a container, done once per bundle by the engine.

A distribution is unpacked into a cache by the digest of its bytes; each attempt gets a writable copy of its own as
its working directory, so that versions and attempts never see each other's files.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from flytelite.engine.waiting import is_refusal

if TYPE_CHECKING:
    import tarfile

FAST_EXECUTE = "pyflyte-fast-execute"
PICKLED_CODE = "pkl.gz"
"""The name of a notebook's cloudpickled code, which tasks read as it is."""


MOST_FILES = 100_000
MOST_BYTES_ALWAYS = 256 * 1024 * 1024
"""So many bytes are unpacked however small their archive is."""
MOST_EXPANSION = 200
"""Code is compressed to a fifth or so, files that are all alike to a two-hundredth."""
COPY_BYTES = 1 << 30


class UnusableBundle(Exception):
    """The task's code cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class FastExecute:
    """What ``pyflyte-fast-execute`` was asked to do around the command ``wrapped``."""

    distribution: str
    destination: str
    wrapped: tuple[str, ...]

    @property
    def command(self) -> tuple[str, ...]:
        """The command as the wrapper would run it.

        Tasks made by a dynamic task need the same bundle: the entrypoint is told, ahead of the resolver's arguments.
        """
        if not self.distribution or "--resolver" not in self.wrapped:
            return self.wrapped
        at = self.wrapped.index("--resolver")
        added = ("--dynamic-addl-distro", self.distribution, "--dynamic-dest-dir", self.destination)
        return (*self.wrapped[:at], *added, *self.wrapped[at:])


def is_fast(argv: Sequence[str]) -> bool:
    """Whether a command is inside of the wrapper."""
    return bool(argv) and PurePosixPath(argv[0]).name == FAST_EXECUTE


def parse(argv: Sequence[str]) -> FastExecute | None:
    """Take the wrapper off a command; None when there is none. Raises UnusableBundle."""
    if not is_fast(argv):
        return None
    options = {"--additional-distribution": "", "--dest-dir": ""}
    rest = iter(argv[1:])
    for part in rest:
        if part == "--":
            break
        name, equals, value = part.partition("=")
        if name not in options:
            raise UnusableBundle(f"{FAST_EXECUTE} has no option {part}")
        options[name] = value if equals else next(rest, "")
    distribution, destination = options["--additional-distribution"], options["--dest-dir"]
    for option, value in options.items():
        if "{{" in value:
            raise UnusableBundle(
                f"the task was registered without its code: {option} is still the placeholder {value}."
                " Register it with `pyflyte register` or `flytectl register files`, which upload the code."
            )
    return FastExecute(distribution, destination or ".", tuple(rest))


_Stamp = tuple[str, int, int, int]


class Bundles:
    """The cache of unpacked distributions below ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._unpacking: dict[Path, asyncio.Task[None]] = {}
        self._known: dict[_Stamp, Path] = {}

    def sweep(self) -> None:
        """Remove what an engine left that died while it unpacked; only one engine has the directory. Blocks."""
        for path in self.directory.glob(".*"):
            shutil.rmtree(path, ignore_errors=True)

    def place_known(self, distribution: str, target: Path) -> Path | None:
        """Copy the files of a distribution from where they are in the cache; None when they are not. Blocks a little.

        Nobody may write there.
        """
        unpacked = self._known.get(_stamp(distribution))
        if unpacked is None or not unpacked.is_dir():
            return None
        shutil.copytree(unpacked, target, symlinks=True, dirs_exist_ok=True, copy_function=_copy)
        return unpacked

    async def place(self, distribution: str, target: Path) -> Path:
        """Copy the files of a distribution into ``target``, unpacked once by all who ask. Raises UnusableBundle.

        Returns where they are unpacked.
        """
        path = local_path(distribution)
        task = self._unpacking.get(path)
        if task is None:
            task = self._unpacking[path] = asyncio.create_task(asyncio.to_thread(self._learn, distribution))
            task.add_done_callback(lambda _: self._unpacking.pop(path, None))
        await asyncio.shield(task)
        unpacked = await asyncio.to_thread(self.place_known, distribution, target)
        if unpacked is None:
            raise UnusableBundle(f"the code bundle {distribution} changed while it was unpacked")
        return unpacked

    def _learn(self, distribution: str) -> None:
        stamp = _stamp(distribution)
        self._known[stamp] = self._unpack(local_path(distribution))

    def _unpack(self, archive: Path) -> Path:
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = PICKLED_CODE if archive.name.endswith(PICKLED_CODE) else ""
        target = self.directory / f"{digest[:40]}{'-' if name else ''}{name}"
        if target.is_dir():
            return target
        temporary = self.directory / f".{target.name}.{secrets.token_hex(4)}"
        temporary.mkdir(parents=True)
        try:
            if name:
                shutil.copyfile(archive, temporary / archive.name)
            else:
                extract(archive, temporary)
            temporary.rename(target)
        except OSError as error:
            if is_refusal(error):
                raise
            if not target.is_dir():  # else another server with the same data was quicker
                raise UnusableBundle(f"the code bundle {archive} cannot be unpacked: {error}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return target


def _stamp(distribution: str) -> _Stamp:
    """What tells a file from itself after a change."""
    path = local_path(distribution)
    try:
        status = path.stat()
    except OSError as error:
        raise UnusableBundle(f"the code bundle {distribution} cannot be read: {error.strerror}") from error
    return (str(path), status.st_ino, status.st_size, status.st_mtime_ns)


def local_path(uri: str) -> Path:
    """The file of a distribution. Raises UnusableBundle for a relative path."""
    path = Path(uri.removeprefix("file://"))
    if not path.is_absolute():
        raise UnusableBundle(f"the code bundle {uri} is not an absolute path")
    return path


def is_local(uri: str) -> bool:
    """Whether the distribution is a file on this machine rather than an object of some store."""
    return "://" not in uri.removeprefix("file://")


def extract(archive: Path, target: Path) -> None:
    """Unpack a tar archive, gzip or plain, that stays inside ``target``. Raises UnusableBundle."""
    import tarfile

    try:
        with tarfile.open(archive, mode="r:*") as tar:
            members = _members(archive, tar)
            # Python before 3.11.4 has no filters; each member was checked above.
            safely: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            tar.extractall(target, members=members, **safely)  # noqa: S202
    except tarfile.TarError as error:
        raise UnusableBundle(f"the code bundle {archive} is not a readable tar archive: {error}") from error


def _members(archive: Path, tar: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """What the archive holds, which is nothing that could do harm."""
    most = max(MOST_BYTES_ALWAYS, archive.stat().st_size * MOST_EXPANSION)
    members: list[tarfile.TarInfo] = []
    size = 0
    for member in tar:
        _check(archive, member)
        members.append(member)
        size += member.size
        if len(members) > MOST_FILES:
            raise UnusableBundle(f"the code bundle {archive} holds more than {MOST_FILES} files")
        if size > most:
            raise UnusableBundle(
                f"the code bundle {archive} holds more than {most} bytes, {MOST_EXPANSION} times its own size:"
                " it looks like an archive that is made to fill disks"
            )
    return members


def _copy(source: str, target: str) -> None:
    """A file that shares its blocks with another until one of them is written to, where the disk can do that."""
    if hasattr(os, "copy_file_range"):
        try:
            with Path(source).open("rb") as original, Path(target).open("wb") as copy:
                while os.copy_file_range(original.fileno(), copy.fileno(), COPY_BYTES):
                    pass
        except OSError as error:
            if is_refusal(error):
                raise
        else:
            shutil.copystat(source, target)
            return
    shutil.copy2(source, target)


def _check(archive: Path, member: tarfile.TarInfo) -> None:
    if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
        raise UnusableBundle(f"the code bundle {archive} holds {member.name}, which is neither file nor directory")
    if not _inside(member.name):
        raise UnusableBundle(f"the code bundle {archive} holds {member.name}, which lies outside of it")
    if member.issym() or member.islnk():
        base = str(PurePosixPath(member.name).parent) if member.issym() else "."
        if PurePosixPath(member.linkname).is_absolute() or not _inside(f"{base}/{member.linkname}"):
            raise UnusableBundle(f"the code bundle {archive} holds {member.name}, a link that leads outside of it")


def _inside(name: str) -> bool:
    path = os.path.normpath(name)
    return not (path.startswith(("/", "../")) or path == ".." or "\0" in name)
