"""Which files of a source root a module needs, read from import statements, so without running anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

Stamp = tuple[int, int, int]


def stamp(path: Path) -> Stamp | None:
    """What tells a file from itself after an edit; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)


class Imports:
    """The import statements of the files below ``root``, each file read once after each edit."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: dict[Path, tuple[Stamp, frozenset[str]]] = {}

    def needs(self, module: str) -> set[Path]:
        """The module's file and those that it imports, directly or not.

        Also the files that would be imported if they were there: a missing module, once written, is an edit.
        """
        found: set[Path] = set()
        waiting = [module]
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            for file in self._candidates(name):
                found.add(file)
                if file.is_file():
                    waiting += self._imported(file, name)
            parent = name.rpartition(".")[0]
            if parent:
                waiting.append(parent)
        return found

    def _candidates(self, name: str) -> Iterator[Path]:
        place = self._root.joinpath(*name.split("."))
        yield place.with_name(f"{place.name}.py")
        yield place / "__init__.py"

    def _imported(self, file: Path, name: str) -> frozenset[str]:
        now = stamp(file)
        known = self._read.get(file)
        if known is not None and known[0] == now:
            return known[1]
        try:
            tree = ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError):
            return known[1] if known is not None else frozenset()  # half an edit: it imports what it did before
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        names = frozenset(_names(tree, package))
        if now is not None:
            self._read[file] = (now, names)
        return names


def _names(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parts, base] if base else parts)
            if base:
                yield base
            # What is imported from a package may be a module of it.
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names if alias.name != "*")
