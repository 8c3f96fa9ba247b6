"""What the engine asks of a place where commands run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Limits:
    """What a process may have at most; 0 is as much as there is. ``memory`` is bytes of its own data."""

    memory: int = 0


@dataclass(frozen=True)
class Command:
    """One process to run. ``log`` receives its stdout and stderr; ``cwd`` and the log's directory exist already.

    ``secret_env`` is on top of ``env`` and for the process of this attempt alone. No text of ``masked`` may be read in
    the log. ``code`` is a directory with the same content as ``cwd`` that nobody writes to, kept under a name that says
    what is in it; None when there is more in ``cwd``.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    limits: Limits = Limits()
    secret_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    masked: tuple[str, ...] = field(default=(), repr=False)
    code: Path | None = None

    @property
    def whole_env(self) -> dict[str, str]:
        """All variables of the process."""
        return {**self.env, **self.secret_env}


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    ``exit_code`` follows the shell: 128 + n for death by signal n. ``lost`` means that nobody saw it end: nothing it
    left behind can be trusted. Of one that is taken over it may be certain that it never ``began``. ``refusal`` says
    why the program could not be started at all. Times are seconds since the epoch, ``peak_memory`` bytes, ``cpu_time``
    seconds.
    """

    exit_code: int = 0
    signal: int = 0
    started_at: float = 0.0
    ended_at: float = 0.0
    peak_memory: int = 0
    cpu_time: float = 0.0
    lost: bool = False
    began: bool = True
    refusal: str = ""


class Attempt(Protocol):
    """A command that was started, by this engine or by one before it."""

    async def wait(self) -> Outcome:
        """Return once nothing of the attempt runs any more. May be awaited more than once."""

    @property
    def ended(self) -> bool:
        """Whether it is known to have ended; of one that is taken over that is known at once."""

    def cancel(self) -> None:
        """Ask for its end: SIGTERM, a grace period, SIGKILL, to all of its processes. Returns at once."""


class Executor(Protocol):
    """Starts commands. ``directory`` is the attempt's own and tells one attempt from all others for ever."""

    async def start(self, directory: Path, token: str, command: Command) -> Attempt:
        """Start a command. Raises OSError when no process can be made."""

    async def adopt(self, directory: Path, token: str) -> Attempt:
        """Take over what an earlier engine started there; an attempt that cannot be found again ends as lost."""

    def warm(self) -> None:
        """Prepare, in the background, for the first command. Returns at once."""

    async def close(self) -> None:
        """Give up the executor's own processes; attempts are not touched."""
