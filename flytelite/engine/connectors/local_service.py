"""The connector service of this machine: a child process, started when the first task needs it and whenever it died."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from flytelite.connector_settings import ConnectorSettings
from flytelite.engine.connectors import serve

SCRIPT = Path(serve.__file__)
START_SECONDS = 60.0
STOP_SECONDS = 5.0

logger = logging.getLogger(__name__)


class CannotServe(Exception):
    """The service does not start; the message has its last words."""


class LocalService:
    """Serves the connectors of the Python environment and of some ``modules``. ``log`` gets what it prints."""

    def __init__(self, modules: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.modules = tuple(modules)
        self._env = dict(env)
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._settings: ConnectorSettings | None = None
        self._starting = asyncio.Lock()

    async def settings(self) -> ConnectorSettings:
        """The address of the service, which runs when this returns. Raises CannotServe."""
        async with self._starting:
            if self._settings is None or self._process is None or self._process.returncode is not None:
                self._settings = await self._start()
            return self._settings

    async def close(self) -> None:
        """End the service."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _start(self) -> ConnectorSettings:
        with self._log.open("ab") as log:
            begin = log.tell()
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(SCRIPT),
                *self.modules,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._env,
                start_new_session=True,
            )
        self._process = process
        assert process.stdout is not None
        try:
            port = await asyncio.wait_for(_port(process.stdout), START_SECONDS)
        except (TimeoutError, EOFError) as error:
            await self.close()
            raise CannotServe(self._why(begin)) from error
        logger.info("a connector service of this machine listens on port %d", port)
        return ConnectorSettings(f"127.0.0.1:{port}")

    def _why(self, begin: int) -> str:
        with self._log.open("rb") as log:
            log.seek(begin)
            said = log.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
        hint = ""
        if "prometheus_client" in said[-1] or "httpx" in said[-1]:
            hint = " (`pip install 'flytekit[connector]'` installs what connectors need)"
        return f"the connector service of this machine does not start: {said[-1]}{hint}; {self._log} has the rest"


async def _port(stdout: asyncio.StreamReader) -> int:
    """The port that it says it listens on. Raises EOFError when it ends without a word."""
    line = (await stdout.readline()).decode()
    if not line:
        raise EOFError
    return int(line.removeprefix(serve.READY))


def environment(host: Mapping[str, str], without: str) -> dict[str, str]:
    """The user's own environment, in which connectors find their credentials, without names that begin with that."""
    kept = {name: value for name, value in host.items() if not name.startswith(without)}
    programs = str(Path(sys.executable).parent)
    return {**kept, "PATH": os.pathsep.join(part for part in (programs, kept.get("PATH", "")) if part)}
