"""The code bundle of fast registration: an archive of the user's files, uploaded once per content."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from flyteidl.service import dataproxy_pb2

from flytelite.cli.client import Client
from flytelite.cli.failure import Failure
from flytelite.cli.rounds.imports import Imports
from flytelite.cli.source import Source

UPLOAD_TIMEOUT = 300.0


def make_bundle(source: Source, directory: Path) -> Path:
    """Archive the code into ``directory`` and return the file; equal files give an equal archive.

    Of a directory everything is taken that .gitignore, .dockerignore and .flyteignore let through; of a single file
    what it has imported from its source root, and what its functions will.
    """
    from flytekit.constants import CopyFileDetection
    from flytekit.tools.fast_registration import FastPackageOptions, fast_package

    style = CopyFileDetection.ALL if source.whole_tree else CopyFileDetection.LOADED_MODULES
    options = FastPackageOptions(ignores=[_unrelated_files()], copy_style=style)
    try:
        with _without_foreign_modules(source.root), _with_later_imports(source):
            return Path(fast_package(source.root, directory, deref_symlinks=False, options=options))
    except OSError as error:
        raise Failure(f"the code under {source.root} cannot be packed: {error}") from error


def upload_bundle(client: Client, bundle: Path, project: str, domain: str) -> str:
    """Upload the archive through CreateUploadLocation and return its address for tasks."""
    content = bundle.read_bytes()
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    location = client.call(
        client.data_proxy.CreateUploadLocation,
        dataproxy_pb2.CreateUploadLocationRequest(
            project=project, domain=domain, filename=bundle.name, content_md5=digest
        ),
    )
    headers = {"Content-MD5": base64.b64encode(digest).decode(), **dict(location.headers)}
    _put(location.signed_url, content, headers)
    return str(location.native_url)


def _put(url: str, content: bytes, headers: dict[str, str]) -> None:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=UPLOAD_TIMEOUT)
    try:
        connection.request("PUT", f"{parts.path}?{parts.query}" if parts.query else parts.path, content, headers)
        response = connection.getresponse()
        body = response.read(1000).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"the code cannot be uploaded to {parts.netloc}: {error}") from error
    finally:
        connection.close()
    if response.status not in (200, 201):
        raise Failure(f"the code cannot be uploaded: {parts.netloc} answered {response.status} {body}")


@contextlib.contextmanager
def _without_foreign_modules(root: Path) -> Iterator[None]:
    """Hide libraries that are imported when they are first used, and what a path such as ``ROOT/../x`` leads out to.

    flytekit asks every module for its file, which imports pandas, pyarrow and more where they are lazy; that takes
    longer than all the rest of a registration. And it takes such a path, as a program's may be, for one below the root.
    """
    modules = sys.modules.items()
    hidden = {name: module for name, module in modules if _is_lazy(module, root) or _leads_out(module, root)}
    for name in hidden:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.modules.update(hidden)


@contextlib.contextmanager
def _with_later_imports(source: Source) -> Iterator[None]:
    """Show what import statements in functions name as if it had been imported: a task will.

    A name that an installed library has here is the library's in the task too.
    """
    imports = Imports(source.root)
    named = {file for file in set().union(*map(imports.needs, source.modules)) if file.is_file()}
    shown = {}
    for file in sorted(named - {Path(path) for path in map(_file, sys.modules.values()) if path}):
        if not _is_library(file.relative_to(source.root).parts[0].removesuffix(".py"), source.root):
            name = f"{__name__} {file}"
            shown[name] = ModuleType(name)
            shown[name].__file__ = str(file)
    sys.modules.update(shown)
    try:
        yield
    finally:
        for name in shown:
            sys.modules.pop(name, None)


def _is_library(name: str, root: Path) -> bool:
    """Whether a module of that name is here, but not below the root; a namespace may be anybody's."""
    file = _file(sys.modules.get(name))
    return file is not None and not Path(file).is_relative_to(root)


def _file(module: object) -> str | None:
    """A module's file; the plain attribute, since any other access imports what is lazy."""
    if not issubclass(type(module), ModuleType):
        return None
    file = object.__getattribute__(module, "__dict__").get("__file__")
    return file if isinstance(file, str) else None


def _is_lazy(module: ModuleType, root: Path) -> bool:
    if type(module).__name__ != "_LazyModule":  # importlib's, which has no public name
        return False
    spec = object.__getattribute__(module, "__spec__")  # the plain attribute: any other access imports it
    return not Path(spec.origin or "").is_relative_to(root)


def _leads_out(module: ModuleType, root: Path) -> bool:
    file = _file(module)
    return file is not None and ".." in Path(file).parts and not Path(file).resolve().is_relative_to(root)


def _unrelated_files() -> Any:
    """An ignore rule for what lies in a project's folder and is never its code."""
    from flytekit.tools.ignore import Ignore

    class UnrelatedFiles(Ignore):  # type: ignore[misc,unused-ignore]
        def _is_ignored(self, path: str) -> bool:
            root = Path(self.root)
            parents = [root / parent for parent in Path(path).parents if parent.name]
            return any(
                # A directory that ignores itself for git, as a data directory does, is left out without git too.
                parent.name in ("__pycache__", ".venv") or _is_environment(parent) or _ignores_itself(parent)
                for parent in parents
            )

    return UnrelatedFiles


def _is_environment(directory: Path) -> bool:
    return (directory / "pyvenv.cfg").is_file()


def _ignores_itself(directory: Path) -> bool:
    ignore = directory / ".gitignore"
    return ignore.is_file() and ignore.read_text().strip() == "*"
