"""The path of the code in what an import has made: in each attempt it has to be the path of the attempt's own copy."""

from __future__ import annotations

import _imp
import gc
import importlib
import inspect
import linecache
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

BATCH = 1000
TEXTS = (str, bytes, PurePath, re.Pattern)


class Fixed(Exception):
    """The path is in something that cannot be changed."""


class Places:
    """Where the path ``root`` of imported code is.

    ``codes`` are the bodies of its modules, ``path`` is where modules are found.
    """

    def __init__(self, root: str, codes: Sequence[CodeType], path: Sequence[str]) -> None:
        self.root = root
        self._path = list(path)
        self._mark = root.rpartition("/")[2]
        self._codes = list(codes)
        self._known = {id(code) for code in _nested(self._codes)}
        self._slots: list[tuple[Any, Any, Any]] = []
        self._classes: list[tuple[type, str, Any]] = []
        self._skipped = {id(one) for one in (self, vars(self), self._path, self._slots, self._classes)}

    def find(self, *ours: object) -> None:
        """Find them, but not in ``ours``. Raises Fixed."""
        self._skipped |= {id(one) for one in ours}
        _forget(self._mark)
        gc.collect()
        for holder in self._search(gc.get_objects()):  # what was made since the last gc.freeze
            self._note(holder)
        if self._is_in_libraries():
            raise Fixed("in what was there before")

    def _is_in_libraries(self) -> bool:
        """Whether it is in what was there before; that a child looks at, because to look at an object is to copy it."""
        child = os.fork()
        if child == 0:
            found = True
            try:
                os.nice(19)
                made = set(map(id, gc.get_objects()))
                gc.unfreeze()
                found = bool(self._search([one for one in gc.get_objects() if id(one) not in made]))
            finally:
                os._exit(int(found))
        return bool(os.waitpid(child, 0)[1])

    def _search(self, objects: list[Any]) -> list[Any]:
        """Those that hold the path. Raises Fixed."""
        # The type, not isinstance: that has libraries which are imported when they are needed think that they are.
        paths = [one for one in objects if issubclass(type(one), PurePath) and self._mentions(one)]
        internals = {id(part) for path in paths for part in (path, *gc.get_referents(path))}
        self._skipped |= {id(objects), id(paths), *internals}
        holders: list[Any] = []
        queue = objects
        while queue:
            found, queue = self._holders(queue)
            holders += found
            self._skipped |= {id(holders), id(found), id(queue)}
        return holders

    def move(self, target: str) -> None:
        """Have all of them say ``target``; called once, in a process of its own."""
        for container, key, value in self._slots:
            container[key] = self._moved(value, target)
        for owner, name, value in self._classes:
            setattr(owner, name, self._moved(value, target))
        for code in self._codes:
            _imp._fix_co_filename(code, code.co_filename.replace(self.root, target, 1))  # type: ignore[attr-defined]
        sys.path[:] = [self._moved(place, target) for place in self._path]

    def _moved(self, value: Any, target: str) -> Any:
        return type(value)(str(value).replace(self.root, target))

    def _holders(self, objects: list[Any]) -> tuple[list[Any], list[Any]]:
        """Those that refer to the path, and what the collector does not list because it refers to nothing more."""
        holders: list[Any] = []
        more: list[Any] = []
        for begin in range(0, len(objects), BATCH):
            batch = objects[begin : begin + BATCH]
            referents = _referents(*batch)
            more += [one for one in referents if (type(one) is dict or type(one) is tuple) and not gc.is_tracked(one)]
            if self._are_mentioned(referents):
                holders += [one for one in batch if type(one) is not FrameType and self._holds(one)]
            for one in batch:
                if type(one) is FunctionType and self._is_unknown(one.__code__):
                    raise Fixed(f"in the code of {one.__qualname__}")
        return holders, list({id(one): one for one in more}.values())

    def _holds(self, one: Any) -> bool:
        return id(one) not in self._skipped and any(self._mentions(part) for part in _referents(one))

    def _are_mentioned(self, values: list[Any]) -> bool:
        """Whether any of many values mentions the path; most are none that could."""
        if self._mark in "\0".join([one for one in values if type(one) is str]):
            return True
        kinds = {kind for kind in set(map(type, values)) if kind is not str and issubclass(kind, TEXTS)}
        return bool(kinds) and any(self._mentions(one) for one in values if type(one) in kinds)

    def _is_unknown(self, code: CodeType) -> bool:
        """Whether it is of the path, but not of a module's body."""
        return self._mark in code.co_filename and id(code) not in self._known

    def _mentions(self, value: Any) -> bool:
        kind = type(value)
        if issubclass(kind, str | PurePath):
            return self._mark in str(value)
        if issubclass(kind, bytes):
            return self._mark.encode() in value
        return kind is re.Pattern and self._mark in str(value.pattern)

    def _note(self, holder: Any) -> None:
        """Remember where in the holder the path is. Raises Fixed."""
        if isinstance(holder, dict):
            pairs = list(holder.items())
        elif isinstance(holder, list):
            pairs = list(enumerate(holder))
        elif hasattr(holder, "__dict__") and not isinstance(holder, type):
            others = [one for one in gc.get_referents(holder) if self._mentions(one)]
            holder = vars(holder)
            pairs = list(holder.items())
            if any(all(one is not value for _, value in pairs) for one in others):
                raise Fixed("in a slot of an object")
        else:
            raise Fixed(f"in a {type(holder).__name__}")
        owner = _class_of(holder)
        for key, value in pairs:
            if self._mentions(key):
                raise Fixed("as a key")
            if not self._mentions(value):
                continue
            if type(value) is not str and not issubclass(type(value), PurePath):
                raise Fixed(f"as {type(value).__name__}")
            if self.root not in str(value):
                raise Fixed(f"in {key!r}, which says {value!r}")
            if owner is not None:
                self._classes.append((owner, key, value))
            else:
                self._slots.append((holder, key, value))


def attribute(module: Any, name: str) -> Any:
    """What a module has under that name; one that is imported when it is asked for something is not asked."""
    return object.__getattribute__(module, "__dict__").get(name) if issubclass(type(module), ModuleType) else None


def _referents(*objects: Any) -> list[Any]:
    """What they refer to, with the names in dictionaries, of which the collector does not tell."""
    found = gc.get_referents(*objects)
    found += [key for one in objects if issubclass(type(one), dict) for key in dict.keys(one) if type(key) is str]
    return found


def _forget(mark: str) -> None:
    """Empty the caches that name files, which fill themselves again."""
    from flytekit.core import tracker

    sanitized: dict[Any, Any] = getattr(tracker._mod_sanitizer, "_module_cache", {})
    caches: list[dict[Any, Any]] = [sys.path_importer_cache, linecache.cache, inspect.modulesbyfile, sanitized]
    by_module: dict[Any, Any] = inspect._filesbymodname  # type: ignore[attr-defined]
    for cache in caches:
        for key in [key for key in cache if mark in str(key)]:
            del cache[key]
    for key in [key for key, file in by_module.items() if mark in str(file)]:
        del by_module[key]
    for module in list(sys.modules.values()):
        path = attribute(module, "__path__")
        if hasattr(path, "_last_parent_path"):  # of a package without a file, which then looks where it is
            path._last_parent_path = ()
    importlib.invalidate_caches()


def _nested(codes: Iterable[CodeType]) -> Iterable[CodeType]:
    for code in codes:
        yield code
        yield from _nested(one for one in code.co_consts if isinstance(one, CodeType))


def _class_of(namespace: Any) -> type | None:
    """The class whose attributes are in a dict, which has to be told of changes."""
    if isinstance(namespace, dict) and "__module__" in namespace:
        for one in gc.get_referrers(namespace):
            if isinstance(one, type):
                return one
    return None
