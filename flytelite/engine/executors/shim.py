"""The parent of one task process. Run as ``python -I -S shim.py DIRECTORY TOKEN GRACE FILES MEMORY ARGV...``.

It outlives the engine, so that a crash of the server neither kills a task nor loses how it ended: it writes who it is
to ``process``, runs the command in a process group of its own, and last of all writes ``exit``. SIGTERM, or a file
``cancel`` that is there when it starts, asks for the end of the task: the group gets SIGTERM, after GRACE seconds
SIGKILL. FILES is how many files the task may have open. MEMORY is how many bytes of its own the task may have, 0 for
all that it can get. The shim's stdin is a locked file, which nobody else holds, so the lock says whether it lives;
stdout and stderr are the task's log.

Standard library only, and little of it: a shim is started for every attempt. Records are lines of ``name value``,
renamed into place; they need not survive power loss, because an attempt without a record counts as lost.
"""
# Plain open and try: pathlib and contextlib cost milliseconds of start-up.
# ruff: noqa: PTH105, PTH110, PTH123, PTH208, SIM105

from __future__ import annotations

import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import resource
    from collections.abc import Callable, Iterable, Iterator

CANNOT_EXECUTE = 127
MOST_GENERATIONS = 100

PROCESS = "process"
EXIT = "exit"
CANCEL = "cancel"
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def boot_id() -> str:
    """What tells one boot of the machine from another; empty where the system does not say."""
    try:
        with open(BOOT_ID) as file:
            return file.read().strip()
    except OSError:
        return ""


def start_time(pid: int) -> str:
    """The start time of a process in the system's own words; empty where the system does not say."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def write(directory: str, name: str, lines: list[tuple[str, object]]) -> None:
    """Write a record that is there wholly or not at all."""
    temporary = f"{directory}/.{name}"
    with open(temporary, "w") as file:
        file.write("".join(f"{key} {value}\n" for key, value in lines))
    os.replace(temporary, f"{directory}/{name}")


def is_tracker(pid: int) -> bool:
    """Whether a process is multiprocessing's resource tracker, or joblib's."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"resource_tracker" in file.read()
    except OSError:
        return False


def kill_group(group: int) -> None:
    """SIGKILL to a group, but to no resource tracker in it.

    Those remove what all others have left in shared memory, which would stay for ever, and then end by themselves.
    """
    for _ in range(MOST_GENERATIONS):
        found = [pid for pid in members(group) if not is_tracker(pid)]
        if not found:
            return
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
    os.killpg(group, signal.SIGKILL)


def members(group: int) -> Iterator[int]:
    """The processes of a group that have not ended. Raises OSError where the system does not tell."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    state, _, in_group = file.read().rpartition(")")[2].split()[:3]
            except (OSError, ValueError):
                continue
            if int(in_group) == group and state not in "ZX":
                yield int(name)


class Task:
    """The task process and what was asked of it."""

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self.pid = 0
        self.ending = False
        signal.signal(signal.SIGTERM, self.end)
        signal.signal(signal.SIGALRM, self.kill)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def end(self, number: int = 0, frame: object = None) -> None:
        """SIGTERM to the group, and an alarm for the rest."""
        if not self.ending:
            self.ending = True
            signal.setitimer(signal.ITIMER_REAL, max(self.grace, 0.001))
        self.send(signal.SIGTERM)

    def kill(self, number: int = 0, frame: object = None) -> None:
        """SIGKILL; the rest of the group is ended when the task has."""
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass

    def send(self, number: int) -> None:
        """A signal to whoever of the group is left."""
        if self.pid:
            try:
                os.killpg(self.pid, number)
            except (ProcessLookupError, PermissionError):
                pass

    def end_rest(self) -> None:
        """As in a container: what the main process leaves behind ends with it."""
        try:
            os.killpg(self.pid, 0)
        except OSError:
            return  # mostly
        try:
            kill_group(self.pid)
        except OSError:
            self.send(signal.SIGKILL)

    def run(self, become: Callable[[], object]) -> None:
        """Fork, and have the child become the task."""
        held = {signal.SIGTERM, signal.SIGALRM}
        signal.pthread_sigmask(signal.SIG_BLOCK, held)
        self.pid = os.fork()
        if self.pid == 0:
            begin(become, held)
        try:
            os.setpgid(self.pid, self.pid)
        except OSError:
            pass  # the child was quicker, or is gone
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)


def begin(become: Callable[[], object], held: Iterable[signal.Signals]) -> None:
    """In the child: a process group of its own, the system's signal behaviour, no lock, and then the task."""
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
        become()
    except OSError as error:
        os.write(2, f"flytelite cannot start the task: {error}\n".encode())
    finally:
        os._exit(CANNOT_EXECUTE)


def limit(memory: int) -> None:
    """Have this process, and what it starts, get at most so many bytes of memory of its own; 0 changes nothing."""
    if memory:
        import resource

        # Where there is no RLIMIT_DATA that counts everything, the address space; it holds more than is ever used.
        kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
        _, hard = resource.getrlimit(kind)
        soft = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(kind, (soft, soft))


def limit_open_files(soft: int) -> None:
    """Have this process, and what it starts, open at most so many files, as before the server allowed itself more."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def execute(argv: list[str]) -> None:
    """Become a program; says so in the log when there is no such program."""
    try:
        os.execvp(argv[0], argv)  # noqa: S606  there is no shell
    except OSError as error:
        os.write(2, f"flytelite cannot execute {argv[0]}: {error.strerror}\n".encode())


def identity(token: str) -> list[tuple[str, object]]:
    """Who attends an attempt: this process."""
    return [
        ("token", token),
        ("pid", os.getpid()),
        ("start_time", start_time(os.getpid())),
        ("boot_id", boot_id()),
    ]


def write_exit(  # noqa: PLR0917  the parts of one record
    directory: str, token: str, started: float, ended: float, status: int, usage: resource.struct_rusage
) -> None:
    """The exit record; ``status`` and ``usage`` are as os.wait4 returns them.

    Tasks fill disks, so this may find a full one, and whoever writes it may have other tasks to attend: it raises
    nothing, and takes the place that the record of the process has. Where that fails too the attempt counts as lost.
    """
    code = os.waitstatus_to_exitcode(status)
    lines = [
        ("token", token),
        ("exit_code", code if code >= 0 else 128 - code),
        ("signal", -code if code < 0 else 0),
        ("started_at", started),
        ("ended_at", ended),
        ("peak_memory", usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)),
        ("cpu_time", usage.ru_utime + usage.ru_stime),
    ]
    try:
        write(directory, EXIT, lines)
    except OSError:
        try:
            overwrite(directory, lines)
        except OSError:
            pass


def overwrite(directory: str, lines: list[tuple[str, object]]) -> None:
    """Make the exit record of the record of the process, which takes no space that this does not have already."""
    with open(f"{directory}/{PROCESS}", "r+") as file:
        file.write("".join(f"{key} {value}\n" for key, value in lines))
        file.truncate()
    os.replace(f"{directory}/{PROCESS}", f"{directory}/{EXIT}")


def attend(directory: str, token: str, task: Task, become: Callable[[], object]) -> None:
    """Run one attempt to its end; ``become`` is what its process does."""
    who = identity(token)
    write(directory, PROCESS, who)
    # In this order: whoever cancels writes the file before it reads the record, so one of the two sees the other.
    if os.path.exists(f"{directory}/{CANCEL}"):
        task.end()
    started = time.time()
    task.run(become)
    try:
        write(directory, PROCESS, [*who, ("task_pid", task.pid), ("task_start_time", start_time(task.pid))])
    except OSError:
        pass  # the disk is full; who has been started goes on
    if task.ending:
        task.end()
    _, status, usage = os.wait4(task.pid, 0)
    ended = time.time()
    task.end_rest()
    write_exit(directory, token, started, ended, status, usage)


def main() -> None:
    """Run the attempt that the command line names."""
    directory, token, grace, files, memory, *argv = sys.argv[1:]

    def become() -> None:
        limit_open_files(int(files))
        limit(int(memory))
        execute(argv)

    attend(directory, token, Task(float(grace)), become)


if __name__ == "__main__":
    main()
    os._exit(0)  # somebody waits for this end: the interpreter's own takes milliseconds, and nothing is buffered
