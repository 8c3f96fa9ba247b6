"""What a forked process does to be the flytekit task process that a command line would have made.

Runs inside a fork server, in the task's own Python environment: standard library, flytekit and what flytekit needs.
``prepare`` is called once, before the first fork; ``run`` in each forked child.
"""
# Plain os and open: every task runs this, and pathlib takes its time.
# ruff: noqa: PTH100, PTH110, PTH112, PTH116, PTH119, PTH120, PTH123, PTH208

from __future__ import annotations

import asyncio
import atexit
import ctypes
import functools
import gc
import importlib
import logging
import os
import random
import shutil
import signal
import site
import sys
import tempfile
import threading
import time
import types
import weakref
from collections.abc import Sequence
from typing import Any, NoReturn

STARTUP_HOOKS = frozenset({"sitecustomize", "usercustomize"})
"""Modules that an interpreter imports by itself when it starts."""

FAILED_FLUSH = 120
"""The interpreter's exit code when what was printed cannot be written."""

EXIT_CALLBACKS_SECONDS = 5.0
"""How long what is registered to run at the exit may take, once the task has ended."""

NEVER_PRELOADED = frozenset({"cupy", "jax", "tensorflow", "torch"})
"""Libraries that may talk to a graphics processor once they are imported, which no fork survives."""

CONNECTORS = "flytekit.extend.backend.base_connector"

HUGE_PAGE = 2 * 1024 * 1024
MADV_COLLAPSE = 25

QUIET = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Keeps pyarrow's allocator from starting a thread when it is imported."""

DOCSTRING = "Short.\n\nLong.\n\n:param a: text\n:returns: text\n"


class UnsafeToFork(Exception):
    """What was imported did more than to define things."""


class Entrypoint:
    """One of flytekit's commands, and its command line without click's parser, which costs milliseconds."""

    def __init__(self, name: str, command: Any) -> None:
        import click

        self.name = name
        self.command = command
        self.numbers: set[str] = set()
        self.names: dict[str, str] = {}
        required = []
        for parameter in command.params:
            if not isinstance(parameter, click.Option):
                continue
            if parameter.required:
                required.append(f"{parameter.opts[0]}=0")
            if not parameter.is_flag and parameter.nargs == 1 and not parameter.multiple:
                self.names.update(dict.fromkeys(parameter.opts, parameter.name))
                if parameter.type is click.INT:
                    self.numbers.add(parameter.name)
        (self.rest,) = [parameter.name for parameter in command.params if isinstance(parameter, click.Argument)]
        # click itself says what is passed for what is not given.
        self.defaults: dict[str, Any] = command.make_context(name, [*required, "--", "x"]).params

    def parameters(self, arguments: Sequence[str]) -> dict[str, Any] | None:
        """What click would make of ``--name value ... -- rest``; None for anything else."""
        if "--" not in arguments:
            return None
        end = arguments.index("--")
        given: dict[str, Any] = {}
        for name, value in zip(arguments[:end:2], arguments[1:end:2], strict=False):
            parameter = self.names.get(name)
            if parameter is None or parameter in given or value.startswith("--"):
                return None
            given[parameter] = value
        rest = tuple(arguments[end + 1 :])
        required = {parameter.name for parameter in self.command.params if parameter.required}
        if end % 2 or not rest or not required <= given.keys() | {self.rest}:
            return None
        try:
            given.update({name: int(given[name]) for name in self.numbers & given.keys()})
        except ValueError:
            return None
        return {**self.defaults, **given, self.rest: rest}

    def call(self, program: str, arguments: Sequence[str]) -> None:
        """Run the command as its console script does. Raises SystemExit, and what the script would raise."""
        import click

        parameters = self.parameters(arguments)
        if parameters is not None:
            context = click.Context(self.command, info_name=os.path.basename(program))
            context.params = parameters
            self.command.make_context = lambda *_, **__: context
            _carry_directly(parameters["inputs"], parameters["output_prefix"])
        self.command.main(list(arguments), os.path.basename(program))


class Prepared:
    """What the process was like before the first fork, for its children to start from."""

    def __init__(self) -> None:
        from flytekit.bin import entrypoint
        from flytekit.core.docstring import Docstring
        from flytekit.core.interface import transform_function_to_interface
        from flytekit.utils.asyn import run_sync

        self.umask = os.umask(0o022)
        os.umask(self.umask)
        self.path = list(sys.path)
        commands = (entrypoint.execute_task_cmd, entrypoint.map_execute_task_cmd)
        self.entrypoints = {command.name: Entrypoint(command.name, command) for command in commands}
        self.places = {path: os.stat(path).st_mtime_ns for path in _site_packages()}
        self.loop_start = functools.partial(run_sync, _nothing)
        self.interface = functools.partial(transform_function_to_interface, _sample, Docstring(DOCSTRING))
        self.settle()

    def settle(self) -> None:
        """Remember what is imported by now, and keep the collector from touching it. Raises UnsafeToFork."""
        names = {name.partition(".")[0] for name in sys.modules}
        self.modules = frozenset(sys.modules)
        self.libraries = (names | STARTUP_HOOKS) - set(sys.builtin_module_names)
        _forget_exit_callbacks()
        child = os.fork()  # libraries for linear algebra end their threads before a fork and start them when needed
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        threads = len(os.listdir("/proc/self/task"))
        if threads > 1:
            raise UnsafeToFork(f"imports started {threads - 1} threads")
        gc.collect()
        gc.freeze()
        _use_huge_pages()


def _use_huge_pages() -> None:
    """Have the memory in few large pages where the system can do that: a fork copies a table of all pages.

    It saves a tenth of what a short task costs. Where it cannot be had (before Linux 6.1), nothing changes.
    """
    system = ctypes.CDLL(None)
    with open("/proc/self/maps", encoding="utf-8") as file:
        mappings = [line.split() for line in file]
    for addresses, access, _, _, _, *name in mappings:
        if access == "rw-p" and name in ([], ["[heap]"]):
            begin, end = (int(address, 16) for address in addresses.split("-"))
            for place in range(-(-begin // HUGE_PAGE) * HUGE_PAGE, end - HUGE_PAGE + 1, HUGE_PAGE):
                system.madvise(ctypes.c_void_p(place), ctypes.c_size_t(HUGE_PAGE), MADV_COLLAPSE)


def prepare() -> Prepared:
    """Import flytekit and whatever its tasks need first. Raises UnsafeToFork, and what an import raises."""
    # Tasks log for machines, not for people at a terminal: flytekit asks this variable while it is imported.
    os.environ.setdefault("FLYTE_INTERNAL_EXECUTION_ID", "fork-server")
    from flytekit.core import data_persistence

    shutil.rmtree(data_persistence.flyte_tmp_dir)
    _fresh_context()  # in a flytekit that it does not fit, it fails here and not in every task
    shutil.rmtree(data_persistence.flyte_tmp_dir)
    loop = _connector_loop()
    if loop is not None:
        loop.close()
    return Prepared()


def extend(prepared: Prepared, modules: Sequence[str], env: dict[str, str]) -> Prepared:
    """In a fork of the process: import more. Raises UnsafeToFork, and what an import raises."""
    os.environ.clear()
    os.environ.update({**QUIET, **env})
    time.tzset()
    before = _open_files()
    for name in modules:
        importlib.import_module(name)
    found = NEVER_PRELOADED & {name.partition(".")[0] for name in sys.modules}
    if found:
        raise UnsafeToFork(f"{', '.join(sorted(found))} would not survive a fork")
    opened = _open_files() - before
    if opened:
        raise UnsafeToFork(f"imports left {len(opened)} files or connections open")
    prepared.settle()
    return prepared


def _open_files() -> set[str]:
    listed = os.listdir("/proc/self/fd")
    return {name for name in listed if os.path.exists(f"/proc/self/fd/{name}")}  # not the listing's own


def _carry_directly(inputs: str, outputs: str) -> None:
    """Have flytekit copy a task's inputs and results, when they are files of this machine, without its event loop.

    That takes a tenth of what a short task takes. Every other transfer, and one that fails, is left to flytekit.
    """
    from flytekit.core.data_persistence import FileAccessProvider

    get, put = FileAccessProvider.get_data, FileAccessProvider.put_data

    def get_data(self: Any, remote_path: str, local_path: str, is_multipart: bool = False, **options: Any) -> Any:
        if remote_path == inputs and inputs.startswith("/") and not is_multipart and not options:
            try:
                shutil.copyfile(inputs, local_path)
            except OSError:
                pass
            else:
                return None
        return get(self, remote_path, local_path, is_multipart, **options)

    def put_data(self: Any, local_path: Any, remote_path: str, is_multipart: bool = False, **options: Any) -> Any:
        if remote_path == outputs and outputs.startswith("/") and is_multipart and not options:
            try:
                shutil.copytree(local_path, outputs, copy_function=shutil.copyfile, dirs_exist_ok=True)
            except (OSError, shutil.Error):
                pass
            else:
                return outputs
        return put(self, local_path, remote_path, is_multipart, **options)

    FileAccessProvider.get_data, FileAccessProvider.put_data = get_data, put_data


async def _nothing() -> None:
    """What flytekit's loop is started with."""


def _sample(text: str, number: int = 0) -> str:
    return text * number


def warm(prepared: Prepared) -> None:
    """Do ahead, in a process that is going to be a task, what each task does alike.

    It starts the loop that flytekit runs beside a task, and has memory copied that the fork server has shared so far.
    """
    prepared.loop_start()
    prepared.interface()


def _forget_exit_callbacks() -> None:
    """What libraries registered belongs to this process: tasks run their own callbacks, and the interpreter's."""
    atexit._clear()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]
    atexit.register(logging.shutdown)
    pools = sys.modules.get("multiprocessing.util")
    if pools is not None:
        atexit.register(pools._exit_function)


def _site_packages() -> list[str]:
    places = [*site.getsitepackages(), site.getusersitepackages()]
    return [place for place in places if place in sys.path and os.path.isdir(place)]


def run(prepared: Prepared, argv: list[str], env: dict[str, str], cwd: str, lesson: str) -> NoReturn:
    """Become the process of that command; ``argv[0]`` is the path of flytekit's console script.

    Into the file ``lesson``, unless it is empty, go the libraries that it imports.

    The log is on descriptors 1 and 2 and nothing else is open. A working directory that would have other modules take
    the place of those that are imported already gets an interpreter of its own.
    """
    os.umask(prepared.umask)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    paths = [os.path.abspath(path) for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    if any(shadows(path, prepared.libraries) for path in paths):
        os.execve(argv[0], argv, env)  # noqa: S606  there is no shell
    sys.argv = list(argv)
    sys.orig_argv = [sys.executable, *argv]
    sys.path[:] = list(dict.fromkeys([os.path.dirname(argv[0]), *paths, *prepared.path]))
    _fresh_main(argv[0])
    _fresh_state()
    code = _call(prepared.entrypoints[os.path.basename(argv[0])], argv)
    if lesson:
        _teach(prepared, lesson)
    _leave(code)


def shadows(directory: str, libraries: frozenset[str] | set[str]) -> bool:
    """Whether modules in a directory, which comes first in the path, have the names of imported libraries."""
    try:
        entries = os.listdir(directory)
    except OSError:
        return False
    for entry in entries:
        stem, _, suffix = entry.partition(".")
        if stem in libraries and (suffix in ("py", "pyc") or suffix.endswith("so")):
            return True
        if entry in libraries and os.path.exists(f"{directory}/{entry}/__init__.py"):
            return True
    return False


def _teach(prepared: Prepared, lesson: str) -> None:
    """Write down the libraries that were imported since the fork, in that order; nothing that users write."""
    homes = tuple(f"{place}/" for place in (*prepared.places, os.path.dirname(os.__file__)))
    names = []
    for name, module in list(sys.modules.items()):
        new = name not in prepared.modules and not name.startswith("__")
        origin = getattr(module, "__file__", None) if new else None
        if isinstance(origin, str) and origin.startswith(homes):
            names.append(name)
    with open(lesson, "w", encoding="utf-8") as file:
        file.write("\n".join(names))


def _fresh_main(program: str) -> None:
    """A ``__main__`` like the console script's, for multiprocessing and pickle."""
    main = types.ModuleType("__main__")
    main.__file__ = program
    main.__dict__["__builtins__"] = sys.modules["builtins"]
    sys.modules["__main__"] = main


def _fresh_state() -> None:
    """What every interpreter makes for itself, so that no two tasks share it."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as interpreters start
    random.seed()
    numbers = sys.modules.get("numpy.random")
    if numbers is not None:
        numbers.seed()
    tempfile.tempdir = None
    if _connector_loop() is not None:
        sys.modules[CONNECTORS].local_connector_loop = asyncio.new_event_loop()  # type: ignore[attr-defined]
    _fresh_context()


def _connector_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that flytekit makes while it is imported; forked processes would share what it waits for."""
    loop = getattr(sys.modules.get(CONNECTORS), "local_connector_loop", None)
    return loop if isinstance(loop, asyncio.AbstractEventLoop) else None


def _fresh_context() -> None:
    """Do again what flytekit does when it is imported and that depends on the environment or makes directories."""
    from flytekit.configuration import DataConfig
    from flytekit.core import context_manager, data_persistence

    place = tempfile.mkdtemp(prefix="flyte-")
    data_persistence.flyte_tmp_dir = place
    provider = data_persistence.FileAccessProvider(
        local_sandbox_dir=f"{place}/sandbox", raw_output_prefix=f"{place}/raw", data_config=DataConfig.auto()
    )
    data_persistence.default_local_file_access_provider = provider
    context_manager.default_local_file_access_provider = provider
    context_manager.FlyteContextManager.initialize()


def _call(entrypoint: Entrypoint, argv: list[str]) -> int:
    """Run the command; the exit code that an interpreter would make of how it ended."""
    try:
        try:
            entrypoint.call(argv[0], argv[1:])
        finally:
            _flush()  # as an interpreter does before it says how its script ended
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return (ended.code or 0) & 0xFF
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _leave(code: int) -> NoReturn:
    """End as an interpreter does, but for taking itself apart, and for waiting for ever."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        _limit_exit_callbacks(code)
        atexit._run_exitfuncs()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(code if _flush() else FAILED_FLUSH)


def _limit_exit_callbacks(code: int) -> None:
    """The task has ended and said how: callbacks that then wait for each other must not keep its process.

    flytekit's do so when an eager task ends while its deck is being published.
    """

    def leave(*_: object) -> None:
        _flush()
        os._exit(code)

    signal.signal(signal.SIGALRM, leave)
    signal.setitimer(signal.ITIMER_REAL, EXIT_CALLBACKS_SECONDS)


def _flush() -> bool:
    """Write out what was printed; whether that worked."""
    written = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except (OSError, ValueError):
            written = False
    return written
