"""The user's code: which modules a path means, and loading them so that a mistake in them reads well."""

from __future__ import annotations

import ast
import importlib
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from flytelite.cli.failure import Failure, Usage

_NEVER_LOADED = {"__main__.py", "setup.py", "conftest.py"}
_NO_IMAGE = re.compile(r"Image Config with name (\S+) not found")


@dataclass(frozen=True)
class Source:
    """Python modules under one root, the directory that is on ``sys.path`` in a task too.

    ``whole_tree`` says that a directory was named: then everything in the root belongs to the code, not only what
    was imported.
    """

    root: Path
    modules: tuple[str, ...]
    whole_tree: bool


def locate(paths: Sequence[Path]) -> Source:
    """What the paths mean: a file is one module, a directory all modules in it.

    The root is the nearest directory that is not a package, as in ``pyflyte``. Raises Usage when a path is not
    there, cannot be read, is not Python, or two of them have different roots.
    """
    files: list[Path] = []
    roots: dict[Path, Path] = {}
    for path in paths:
        path = path.resolve()  # noqa: PLW2901
        if path.is_dir():
            try:
                found = list(_python_files(path))
            except OSError as error:
                raise Usage(f"{error.filename} cannot be read ({error.strerror}); name another path") from error
            if not found:
                raise Usage(f"{path} has no Python file that uses flytekit")
        elif path.suffix == ".py" and path.is_file():
            found = [path]
        else:
            problem = "is not a Python file" if path.exists() else "does not exist"
            raise Usage(f"{path} {problem}; name a .py file or a directory of them")
        files += found
        roots[_root_of(path)] = path
    if len(roots) > 1:
        described = ", ".join(f"{path} belongs to {root}" for root, path in roots.items())
        raise Usage(f"the paths have different source roots ({described}); register them one by one")
    root = next(iter(roots))
    modules = dict.fromkeys(_module_name(file, root) for file in files)
    return Source(root, tuple(modules), whole_tree=any(path.is_dir() for path in paths))


def load(source: Source) -> list[ModuleType]:
    """Import the modules. Raises Failure with file, line and reason when the user's code cannot be imported."""
    sys.path.insert(0, str(source.root))
    modules = []
    for name in source.modules:
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as error:
            failure = explain(error, source.root)
            library = _library_named(name, source.root)
            if library is not None and f"'{name}'" in str(error):
                reason = f"{failure.sentence}; {library} has that name too: rename the file"
                failure = Failure(reason, detail=failure.detail)
            raise failure from error
        place = Path(module.__file__ or "").resolve()
        if not place.is_relative_to(source.root):
            raise Failure(
                f"{source.root / name.replace('.', os.sep)}.py cannot be loaded: the module name {name!r} already "
                f"belongs to {place}; rename the file"
            )
        modules.append(module)
    return modules


def _library_named(module: str, root: Path) -> str | None:
    """The file of an installed library that a module below the root keeps from being imported."""
    paths = [path for path in sys.path if Path(path).resolve() != root]
    spec = PathFinder.find_spec(module.partition(".")[0], paths)
    return spec.origin if spec is not None else None


def explain(error: BaseException, root: Path) -> Failure:
    """The user's file, the line and the reason of an error that came out of the user's code."""
    from flytelite.engine.environments.building import BuildFailed

    if isinstance(error, BuildFailed):
        return Failure(str(error))  # the code is as it should be; the environment of its image is not to be had
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frames = _frames(error, root)
    detail = "".join(traceback.format_list(frames)).rstrip()
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}, line {error.lineno}: "
        detail = "".join(traceback.format_exception_only(error)).rstrip()
        return Failure(f"{place}{type(error).__name__}: {error.msg}", detail=detail)
    if isinstance(error, ModuleNotFoundError):
        reason += f"; install it where flytelite runs, or check that the source root {root} is the one you mean"
    if isinstance(error, AssertionError) and (named := _NO_IMAGE.search(str(error))):
        reason = f"container_image names the image {named[1]!r}; --image {named[1]}=IMAGE says what it stands for"
    place = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else f"the code under {root} cannot be used"
    return Failure(f"{place}: {reason}", detail=detail)


def find_entity(module: ModuleType, name: str) -> Any:
    """The workflow, task or launch plan of that name in a module.

    ``name`` is the variable's or, for a launch plan, its registered name. Raises Usage that says what the module has.
    """
    from flytekit import LaunchPlan

    found: Any = module if name else None
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        found = next((x for x in vars(module).values() if isinstance(x, LaunchPlan) and x.name == name), None)
    if is_entity(found):
        return found
    names = ", ".join(key for key, value in vars(module).items() if is_entity(value)) or "none"
    if not name:
        raise Usage(f"name what to run; the tasks, workflows and launch plans of {module.__file__}: {names}")
    if found is None:
        raise Usage(f"{module.__file__} has no {name!r}; its tasks, workflows and launch plans: {names}")
    kind = "function" if callable(found) else type(found).__name__
    line = definition_line(module, name)
    raise Usage(
        f"{module.__file__}, line {line}: {name} is a plain {kind}, not a task, workflow or launch plan; "
        f"this file has: {names}"
    )


def is_entity(value: Any) -> bool:
    """Whether a value of a module can be registered and run."""
    from flytekit import LaunchPlan
    from flytekit.core.base_task import PythonTask
    from flytekit.core.workflow import WorkflowBase

    return isinstance(value, (PythonTask, WorkflowBase, LaunchPlan))


def is_task(entity: Any) -> bool:
    """Whether an entity is a task, and neither a workflow nor a launch plan."""
    from flytekit.core.base_task import PythonTask

    return isinstance(entity, PythonTask)


def _root_of(path: Path) -> Path:
    directory = path if path.is_dir() else path.parent
    while (directory / "__init__.py").exists():
        directory = directory.parent
    return directory


def _module_name(file: Path, root: Path) -> str:
    parts = list(file.relative_to(root).with_suffix("").parts)
    if any("." in part for part in parts):
        raise Usage(f"{file} cannot be imported: a name of Python's has no dots; rename the file or its directory")
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def _python_files(directory: Path) -> Iterator[Path]:
    """The modules in a directory. Outside a package only files that mention flytekit: the rest is not ours to run."""
    for current, names, files in os.walk(directory):
        here = Path(current)
        names[:] = sorted(name for name in names if not name.startswith((".", "__")) and not is_foreign(here / name))
        in_package = (here / "__init__.py").exists()
        for file in sorted(files):
            path = here / file
            if file.endswith(".py") and file not in _NEVER_LOADED and (in_package or b"flytekit" in path.read_bytes()):
                yield path


def is_foreign(directory: Path) -> bool:
    """Whether a directory below a source root holds other people's code: installed packages, an environment."""
    return directory.name in ("node_modules", "site-packages") or (directory / "pyvenv.cfg").exists()


def _frames(error: BaseException, root: Path) -> list[traceback.FrameSummary]:
    """The frames in the user's code, innermost last; flytekit wraps errors, so causes are searched too."""
    for cause in _causes(error):
        frames = [
            frame
            for frame in traceback.extract_tb(cause.__traceback__)
            if Path(frame.filename).is_relative_to(root) and "site-packages" not in frame.filename
        ]
        if frames:
            return frames
    return []


def _causes(error: BaseException) -> Iterable[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def definition_line(module: ModuleType, name: str) -> int:
    """The line where a module defines a name; 1 when it does not do so at sight."""
    tree = ast.parse(Path(module.__file__ or "").read_text())
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        named = {target.id for target in targets if isinstance(target, ast.Name)}
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            named = {node.name}
        if name in named:
            return int(node.lineno)  # type: ignore[attr-defined]
    return 1
