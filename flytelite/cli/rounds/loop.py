"""The loop of ``--watch``: wait for an edit, have a round done, say what happens."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flytelite.cli.endpoint import discover
from flytelite.cli.failure import INTERRUPTED
from flytelite.cli.rounds.code import Code
from flytelite.cli.rounds.job import INTERRUPT, SUPERSEDE, Job, Run
from flytelite.cli.rounds.process import Round, WarmProcess
from flytelite.cli.rounds.sentinel import Sentinel

MOST_NAMES = 3
END_SECONDS = 7.0
"""A round that is told to end gives itself a little less."""


@dataclass(frozen=True)
class Edit:
    """Something may have changed in the directories that are looked at."""


@dataclass(frozen=True)
class Word:
    """What a round said; None is its end."""

    said: dict[str, Any] | None


def watch(
    paths: Sequence[Path], endpoint: str | None, job: Callable[[tuple[str, ...]], Job], *, whole_tree: bool = False
) -> int:
    """Do a round now and after each edit, until Ctrl-C. ``job`` makes the job of a round for some modules.

    ``whole_tree`` says that all files of the source root matter, not only the paths and what they import.
    Raises Failure when there is no server to begin with, Usage when the paths are no code.
    """
    code = Code(paths, whole_tree=whole_tree)
    _need_server(endpoint)
    with WarmProcess() as process:
        loop = Loop(code, process, job)
        try:
            loop.run()
        except KeyboardInterrupt:
            loop.end()
    return INTERRUPTED


class Loop:
    """Edits while a round goes on make one more round."""

    def __init__(self, code: Code, process: WarmProcess, job: Callable[[tuple[str, ...]], Job]) -> None:
        self._code = code
        self._process = process
        self._job = job
        self._events: queue.SimpleQueue[Edit | Word] = queue.SimpleQueue()
        self._sentinel = Sentinel(lambda: self._events.put(Edit()))
        self._round: Round | None = None
        self._doing: tuple[str, ...] = ()
        self._due = code.source.modules

    def run(self) -> None:
        """Never returns; Ctrl-C ends it."""
        self._look_around()
        self._begin()
        while True:
            match self._events.get():
                case Edit():
                    self._on_edit()
                case Word(None):
                    self._on_end()
                case Word(said):
                    self._on_word(said or {})

    def end(self) -> None:
        """End the round that goes on, in order."""
        self._sentinel.stop()
        if self._round is not None:
            self._round.order(INTERRUPT)
            self._round.wait(END_SECONDS)

    def _on_edit(self) -> None:
        edited = self._code.edited()
        while self._look_around():  # a new directory may have got files before it was looked at
            edited |= self._code.edited()
        if not edited:
            return
        print(f"\nedited: {_names(edited, self._code.source.root)}", flush=True)
        self._due = tuple(dict.fromkeys((*self._due, *self._code.modules(edited))))
        if self._round is None:
            self._begin()
        elif isinstance(self._job(self._due).task, Run):
            self._round.order(SUPERSEDE)

    def _on_word(self, said: dict[str, Any]) -> None:
        if "loaded" in said:
            self._code.loaded(said["loaded"])
            self._look_around()
        elif said["code"] == 0:
            self._doing = ()

    def _on_end(self) -> None:
        self._round = None
        failed, self._doing = self._doing, ()
        if self._due:
            self._due = tuple(dict.fromkeys((*failed, *self._due)))
            self._begin()
            return
        self._due = failed
        print(f"waiting for edits of {_count(self._code.files())}; Ctrl-C ends this", flush=True)

    def _begin(self) -> None:
        self._doing, self._due = self._due, ()
        self._round = self._process.begin(self._job(self._doing), lambda said: self._events.put(Word(said)))

    def _look_around(self) -> bool:
        return self._sentinel.look_at(self._code.directories())


def _need_server(endpoint: str | None) -> None:
    """A client's failure when nobody listens; gRPC, which takes a while to import, only then."""
    server = discover(endpoint)
    host, _, port = server.authority.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=5):
        return
    from flytelite.cli.client import Client

    with Client(server) as client:
        client.version()


def _names(edited: set[Path], root: Path) -> str:
    names = sorted(os.path.relpath(path, root) for path in edited)
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _count(files: int) -> str:
    return f"{files} file{'' if files == 1 else 's'}"
