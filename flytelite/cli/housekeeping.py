"""Export, import and clean, where they happen: in the running server of a data directory, else here, under its lock."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from flyteidl.core import identifier_pb2

from flytelite import config
from flytelite.cli.failure import Failure
from flytelite.cli.running import down_command, read_running
from flytelite.config import Settings
from flytelite.server.housekeeping import opened

TIMEOUT = 3600.0
"""Seconds in which the server must have packed or unpacked an archive, or removed what it was asked to."""
PREFIX = "/flytelite/v1"
SUMMARY = "flytelite-summary"


class Housekeeping:
    """One data directory. Answers are the fields of ``Exported``, ``Imported`` and ``Removal``."""

    def __init__(self, data_dir: Path | None) -> None:
        self._settings: Settings = config.load({"data_dir": data_dir})
        self._server = read_running(self._settings.data_dir)

    def export(self, executions: list[str], target: Path) -> dict[str, Any]:
        """Write an archive of executions (``project/domain/name``; none: all) to a file that appears when complete."""
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            if self._server is not None:
                summary = self._download("export", {"executions": executions}, temporary)
            else:
                summary = asyncio.run(self._export(executions, temporary))
            temporary.replace(target)
        except OSError as error:
            raise Failure(f"{target} cannot be written: {error.strerror or error}") from error
        finally:
            temporary.unlink(missing_ok=True)
        return summary

    def take_in(self, archive: Path) -> dict[str, Any]:
        """Add what an archive holds."""
        if self._server is None:
            return asyncio.run(self._take_in(archive))
        with archive.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return self._ask("import", file, {"Content-Type": "application/gzip", "Content-Length": str(size)})

    def preview(self, older_than: timedelta, keep_last: int) -> dict[str, Any]:
        """What would be removed."""
        if self._server is None:
            return asyncio.run(self._preview(older_than, keep_last))
        return self._ask_json("clean/preview", {"older_than": older_than.total_seconds(), "keep_last": keep_last})

    def remove(self, executions: list[str]) -> dict[str, Any]:
        """Remove those executions."""
        if self._server is None:
            return asyncio.run(self._remove(executions))
        return self._ask_json("clean", {"executions": executions})

    async def _export(self, executions: list[str], target: Path) -> dict[str, Any]:
        ids = [_id(name) for name in executions]
        async with opened(self._settings) as (archives, _):
            return asdict(await archives.export(ids, target))

    async def _take_in(self, archive: Path) -> dict[str, Any]:
        async with opened(self._settings, make=True) as (archives, _):
            return asdict(await archives.take_in(archive))

    async def _preview(self, older_than: timedelta, keep_last: int) -> dict[str, Any]:
        async with opened(self._settings) as (_, cleaning):
            return asdict(await cleaning.preview(older_than, keep_last))

    async def _remove(self, executions: list[str]) -> dict[str, Any]:
        async with opened(self._settings) as (_, cleaning):
            return asdict(await cleaning.remove(executions))

    def _ask_json(self, path: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        return self._ask(path, json.dumps(asked).encode(), {"Content-Type": "application/json"})

    def _ask(self, path: str, body: bytes | IO[bytes], headers: Mapping[str, str]) -> dict[str, Any]:
        connection, response = self._request(path, body, headers)
        try:
            answer: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        return answer

    def _download(self, path: str, asked: Mapping[str, Any], target: Path) -> dict[str, Any]:
        body = json.dumps(asked).encode()
        connection, response = self._request(path, body, {"Content-Type": "application/json"})
        try:
            with target.open("xb") as file:
                shutil.copyfileobj(response, file)
            promised = response.headers.get("Content-Length")
            if promised is not None and int(promised) != target.stat().st_size:
                raise Failure("the server broke off in the middle of the archive")
            summary: dict[str, Any] = json.loads(response.headers[SUMMARY])
        except http.client.HTTPException as error:
            raise Failure(f"the server broke off in the middle of the archive: {error!r}") from error
        finally:
            connection.close()
        return summary

    def _request(
        self, path: str, body: bytes | IO[bytes], headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        assert self._server is not None
        connection = http.client.HTTPConnection(self._server.endpoint, timeout=TIMEOUT)
        try:
            connection.request("POST", f"{PREFIX}/{path}", body, dict(headers))
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise Failure(self._refusal(response))
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Failure(f"the server at {self._server.endpoint} does not answer: {error}") from error
        except Failure:
            connection.close()
            raise
        return connection, response

    def _refusal(self, response: http.client.HTTPResponse) -> str:
        assert self._server is not None
        said = response.read(10_000).decode(errors="replace").strip()
        if response.status == http.client.NOT_FOUND and said.startswith("{"):  # the gateway's words, not the route's
            return (
                f"the server at {self._server.endpoint} is of a version that cannot do this; stop it with "
                f"`{down_command(Path(self._server.data_dir))}`, and `flytelite up` starts the one that is installed"
            )
        return said or f"it answered {response.status}"


def _id(name: str) -> identifier_pb2.WorkflowExecutionIdentifier:
    project, domain, execution = name.split("/")
    return identifier_pb2.WorkflowExecutionIdentifier(project=project, domain=domain, name=execution)


def size_text(size: int) -> str:
    """Bytes as a person reads them."""
    if size < 1024:
        return f"{size} bytes"
    amount = float(size)
    for unit in ("KiB", "MiB", "GiB"):
        amount /= 1024
        if amount < 1024 or unit == "GiB":
            break
    return f"{amount:.1f} {unit}"


def counted(number: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
