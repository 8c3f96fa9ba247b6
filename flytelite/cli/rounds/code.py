"""The files whose edits matter, and which modules an edit of some of them means."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from watchfiles import Change, DefaultFilter

from flytelite.cli.failure import Usage
from flytelite.cli.rounds.imports import Imports, Stamp, stamp
from flytelite.cli.source import Source, is_foreign, locate


class Code:
    """The code that the paths of a command line mean, as it is edited. Raises Usage when they mean none now.

    With ``whole_tree`` all files of the source root belong to it.
    """

    def __init__(self, paths: Sequence[Path], *, whole_tree: bool = False) -> None:
        self._paths = paths
        self.source: Source = locate(paths)
        directories = [path.resolve() for path in paths if path.is_dir()]
        self._directories = [self.source.root] if whole_tree else directories
        self._imports = Imports(self.source.root)
        self._loaded: set[Path] = set()
        self._stamps: dict[Path, Stamp | None] = {}
        self._needs: dict[str, set[Path]] = {}
        self._look()

    def edited(self) -> set[Path]:
        """The files that are not what they were when this was last asked, and looks for new ones."""
        before = self._stamps
        self._look()
        return {path for path, now in self._stamps.items() if now != before.get(path)}

    def loaded(self, files: Iterable[str]) -> None:
        """Learn what a round has loaded: import statements do not tell everything."""
        new = {Path(file) for file in files} - self._loaded
        self._loaded |= new
        self._stamps |= {path: stamp(path) for path in new if path not in self._stamps}

    def modules(self, edited: set[Path]) -> tuple[str, ...]:
        """The modules to register after such an edit: all, when a file changed that is no module's."""
        python = set().union(*self._needs.values())
        if edited - python:
            return self.source.modules
        return tuple(name for name in self.source.modules if self._needs[name] & edited)

    def files(self) -> int:
        """How many files matter."""
        return sum(now is not None for now in self._stamps.values())

    def directories(self) -> frozenset[Path]:
        """Where edits can happen. What does not exist yet appears in the nearest directory that does."""
        return frozenset(_existing(path.parent) for path in self._stamps)

    def _look(self) -> None:
        try:
            self.source = locate(self._paths)
        except Usage:
            pass  # the file is gone, perhaps for a moment; the round will say so
        else:
            self._needs = {name: self._imports.needs(name) for name in self.source.modules}
        files = self._loaded.union(*self._needs.values())
        for directory in self._directories:
            files |= _tree(directory)
        self._stamps = {path: stamp(path) for path in files}


def _tree(directory: Path) -> set[Path]:
    """The files of a directory that belong to its code, as far as can be said without git."""
    wanted = DefaultFilter()
    found = set()
    for current, names, files in os.walk(directory):
        here = Path(current)
        names[:] = [name for name in names if not name.startswith((".", "__")) and not is_foreign(here / name)]
        for name in files:
            path = here / name
            if not name.startswith(".") and wanted(Change.modified, str(path)):
                found.add(path)
    return found


def _existing(directory: Path) -> Path:
    while not directory.is_dir():
        directory = directory.parent
    return directory
