"""What the import of a user's modules asks for and does while it runs.

A module that merely defines things may be imported once for many attempts. Noted is whatever an attempt's own process
would have answered otherwise (its variables, process ids, time, randomness, files outside of its code) and whatever a
fork would share or lose (threads, processes, connections, handlers).
"""
# ruff: noqa: PTH118, PTH120

from __future__ import annotations

import _random
import datetime
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

OF_ONE_ATTEMPT = frozenset(
    {
        "BATCH_JOB_ARRAY_INDEX_OFFSET",
        "BATCH_JOB_ARRAY_INDEX_VAR_NAME",
        "FLYTE_ATTEMPT_NUMBER",
        "FLYTE_EXECUTION_URL",
        "FLYTE_K8S_ARRAY_INDEX",
        "PYTHONPATH",
        "TMPDIR",
        "_F_EE_ROOT",
        "_F_SS_C",
    }
)
"""Variables that differ between attempts of a task, beside FLYTE_INTERNAL_*."""

READS = {
    "_ssl": {"RAND_bytes", "RAND_priv_bytes", "RAND_status"},
    "_uuid": {"generate_time_safe"},
    "posix": {
        "access", "getloadavg", "getpgid", "getpgrp", "getpid", "getppid", "getrandom", "getsid", "lstat", "readlink",
        "stat", "statvfs", "times", "urandom",
    },
    "time": {
        "asctime", "clock_gettime", "clock_gettime_ns", "ctime", "gmtime", "localtime", "monotonic", "monotonic_ns",
        "perf_counter", "perf_counter_ns", "process_time", "process_time_ns", "strftime", "thread_time", "time",
        "time_ns",
    },
}  # fmt: skip
"""Functions whose answers belong to an attempt. flytekit's own decorators and the import system may ask."""

ACTS = {
    "_signal": {"alarm", "pthread_sigmask", "raise_signal", "set_wakeup_fd", "setitimer", "siginterrupt", "signal"},
    "_socket": {"setdefaulttimeout"},
    "_thread": {"start_joinable_thread", "start_new_thread"},
    "atexit": {"_clear", "register", "unregister"},
    "faulthandler": {"disable", "dump_traceback_later", "enable", "register", "unregister"},
    "posix": {"nice", "register_at_fork", "setpgid", "setsid", "umask"},
}
"""Functions that nobody may call, because what they do belongs to the process."""

NOW = frozenset({"now", "today", "utcnow"})
DRAWS = frozenset({"getrandbits", "random", "seed", "setstate"})
NAMES = frozenset().union(*READS.values(), *ACTS.values(), NOW, DRAWS)

EVENTS = (
    "ctypes.", "fcntl.", "ftplib.", "http.", "imaplib.", "mmap.", "nntplib.", "poplib.", "resource.", "shutil.",
    "smtplib.", "socket.", "sqlite3.", "subprocess.", "syslog.", "telnetlib.", "tempfile.", "urllib.", "webbrowser.",
    "os.chdir", "os.chflags", "os.chmod", "os.chown", "os.exec", "os.fchdir", "os.fork", "os.getxattr", "os.kill",
    "os.link", "os.lockf", "os.mkdir", "os.posix_spawn", "os.putenv", "os.remove", "os.rename", "os.rmdir",
    "os.setxattr", "os.spawn", "os.symlink", "os.system", "os.truncate", "os.unsetenv", "os.utime", "pty.spawn",
    "signal.", "builtins.input", "sys.addaudithook", "sys.setprofile", "sys.settrace",
)  # fmt: skip
"""Beginnings of the names of the interpreter's audit events that stand for more than a definition."""

IMPORT = "<frozen importlib"
LISTINGS = frozenset({"os.listdir", "os.scandir"})
CONTEXTS = ("current_context", "initialize", "pop_context", "push_context", "with_context")
LOOKS = ("access", "lstat", "readlink", "stat")


class Watch:
    """Watches, as a context manager, what is imported from ``root``; ``places`` are where libraries are.

    ``found`` is what it did, in words; ``codes`` are the bodies of the modules. Without ``calls`` it does not see which
    functions are called, and leaves the interpreter's code as it is: after a look at calls, Python 3.12 and its forks
    prepare each function anew once it runs again (PEP 669).
    """

    def __init__(self, root: str, places: Sequence[str], *, calls: bool) -> None:
        import flytekit

        self.root = root
        self.calls = calls
        self.found: dict[str, None] = {}
        self.codes: list[CodeType] = []
        self._places = tuple(f"{place}/" for place in places)
        self._standard = f"{os.path.dirname(os.__file__)}/"
        self._flytekit = f"{os.path.dirname(flytekit.__file__)}/"
        self._trusted = (IMPORT, self._flytekit, f"{self._standard}logging/")
        self._contexts = _contexts()
        self._parameters = _parameters()
        self._looks = {name: getattr(os, name) for name in LOOKS}
        environ: Any = os.environ
        self._environ, self._data = environ, environ._data

    def __enter__(self) -> Watch:
        for name, look in self._looks.items():
            setattr(os, name, self._looking(look))
        self._environ._data = _Variables(self._data, self.note)
        if self.calls:
            sys.setprofile(self._profile)
        _audit(self)
        return self

    def __exit__(self, *_: object) -> None:
        _audit(None)
        if self.calls:
            sys.setprofile(None)
        self._environ._data = self._data
        for name, look in self._looks.items():
            setattr(os, name, look)

    def note(self, what: str) -> None:
        """Remember that it did so."""
        self.found[what] = None

    def event(self, name: str, arguments: tuple[Any, ...]) -> None:
        """An audit event of the interpreter."""
        if name == "exec":
            (code,) = arguments
            if code.co_name == "<module>" and code.co_filename.startswith(self.root):
                self.codes.append(code)
        elif name == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.note(f"writes {path}")
            elif not self._is_code(path) and not _is_import(sys._getframe(2)):
                self.note(f"reads {path}")
        elif name in LISTINGS:
            if not self._is_code(arguments[0]) and not _is_import(sys._getframe(2)):
                self.note(f"lists {arguments[0]}")
        elif name.startswith(EVENTS):
            self.note(f"does {name}")

    def _looking(self, look: Callable[..., Any]) -> Callable[..., Any]:
        def looking(path: Any, *arguments: Any, **options: Any) -> Any:
            if not self._is_code(path) and not self._is_trusted(sys._getframe(1)):
                self.note(f"looks at {path}")
            return look(path, *arguments, **options)

        return looking

    def _is_code(self, path: Any) -> bool:
        """Whether a path is of the user's code, which is what its version says, or of installed libraries."""
        if isinstance(path, int):
            return True  # who opened it was asked for it
        try:
            whole = os.path.normpath(os.path.join(self.root, os.fsdecode(path)))
        except TypeError:
            return False
        return f"{whole}/".startswith((f"{self.root}/", self._standard, *self._places)) or self.root.startswith(
            whole.rstrip("/") + "/"
        )

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            if argument.__name__ in NAMES:
                self._called(frame, argument)
        elif event == "call":
            code = frame.f_code
            if code is self._parameters or (code in self._contexts and self._is_own(frame.f_back)):
                self.note("asks for flytekit's current context")

    def _is_own(self, frame: FrameType | None) -> bool:
        return frame is not None and frame.f_code.co_filename.startswith(self.root)

    def _called(self, frame: FrameType, function: Any) -> None:
        owner, name = getattr(function, "__self__", None), function.__name__
        if isinstance(owner, ModuleType):
            if name in ACTS.get(owner.__name__, ()):
                self.note(f"calls {owner.__name__}.{name}")
            read = name in READS.get(owner.__name__, ()) and frame.f_code.co_name != "looking"
        elif isinstance(owner, type):
            read = name in NOW and issubclass(owner, datetime.date)
        else:
            read = name in DRAWS and isinstance(owner, _random.Random)
        if read and not self._is_trusted(frame):
            self.note(f"asks for {getattr(owner, '__name__', 'random')}.{name}")

    def _is_trusted(self, frame: FrameType | None) -> bool:
        """Whether it is for itself that the import system or flytekit asks; Python's library asks for its callers."""
        while frame is not None:
            file = frame.f_code.co_filename
            if file.startswith(self._trusted):
                return True
            if not file.startswith(("<", self._standard)) or file.startswith(self._places):
                return False
            frame = frame.f_back
        return False


def _is_import(frame: FrameType) -> bool:
    """Whether the import system asks; where it finds a module is looked at afterwards."""
    return frame.f_code.co_filename.startswith(IMPORT)


class _Variables(dict[bytes, bytes]):
    """The variables of ``os.environ``, which tell when one of an attempt's own is asked for."""

    def __init__(self, data: dict[bytes, bytes], note: Callable[[str], None]) -> None:
        super().__init__(data)
        self._note = note

    def __getitem__(self, name: bytes) -> bytes:
        text = os.fsdecode(name)
        if text in OF_ONE_ATTEMPT or text.startswith("FLYTE_INTERNAL_"):
            self._note(f"reads the variable {text}")
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[bytes]:
        self._note("reads all variables")
        return super().__iter__()

    def items(self) -> Any:
        self._note("reads all variables")
        return super().items()


def _contexts() -> set[CodeType]:
    """The functions that tell of which execution a task is part, or change it."""
    import flytekit
    from flytekit.core import context_manager

    owners = (flytekit, context_manager.FlyteContextManager, context_manager.FlyteContext)
    functions = [getattr(owner, name, None) for owner in owners for name in CONTEXTS]
    return {function.__code__ for function in functions if isinstance(function, FunctionType)}


def _parameters() -> CodeType:
    """The property that gives, for example to a Deck, what belongs to an attempt."""
    from flytekit.core.context_manager import FlyteContext

    getter: Any = FlyteContext.__dict__["user_space_params"].fget
    code: CodeType = getter.__code__
    return code


_heard: list[Watch | None] = []
"""The watch that hears of audit events: an audit hook stays as long as its process."""


def _audit(watch: Watch | None) -> None:
    if not _heard:
        sys.addaudithook(_hook)
    _heard[:] = [watch]


def _hook(name: str, arguments: tuple[Any, ...]) -> None:
    watch = _heard[0] if _heard else None
    if watch is not None:
        watch.event(name, arguments)
