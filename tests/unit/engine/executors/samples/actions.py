"""Tasks that do what tasks should not do, and one that tells all about the process it finds itself in."""

import asyncio
import atexit
import json
import locale
import logging
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flytekit import current_context, map_task, task, workflow
from flytekit.configuration import PlatformConfig
from flytekit.core.context_manager import FlyteContextManager, FlyteEntities
from flytekit.core.type_engine import TypeEngine
from flytekit.utils.asyn import run_sync


def double(number: int) -> int:
    return 2 * number


@task
def describe(text: str) -> str:
    """What a task can see of its process."""
    main = sys.modules["__main__"]
    numbers = {number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)}
    umask = os.umask(0)
    os.umask(umask)
    return json.dumps(
        {
            "environ": dict(os.environ),
            "cwd": os.getcwd(),
            "argv": sys.argv,
            "orig_argv": sys.orig_argv,
            "executable": sys.executable,
            "path": sys.path,
            "main": [main.__name__, main.__file__, str(main.__spec__), main.__package__],
            "umask": umask,
            "handlers": {str(number): repr(signal.getsignal(number)).split(" at ")[0] for number in sorted(numbers)},
            "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
            "descriptors": _descriptors(),
            "group": os.getpgid(0) == os.getpid(),
            "session": os.getsid(0) == os.getppid(),
            "streams": [
                (stream.encoding, stream.errors, stream.line_buffering, stream.isatty())
                for stream in (sys.stdout, sys.stderr)
            ],
            "locale": locale.setlocale(locale.LC_ALL),
            "zone": [time.tzname, time.localtime(0).tm_hour],
            "loggers": {
                name: [logging.getLogger(name).level, [type(one).__name__ for one in logging.getLogger(name).handlers]]
                for name in ("", "flytekit", "user_space", "developer")
            },
            "excepthook": repr(sys.excepthook).split(" at ")[0],
            "thread": [threading.current_thread().name, threading.current_thread() is threading.main_thread()],
            "method": multiprocessing.get_start_method(),
            "temporary": tempfile.gettempdir(),
            "sandbox": str(FlyteContextManager.current_context().file_access.local_sandbox_dir).split("flyte")[0],
            "working": [_works_in_its_own_directory(), _in_thread(_works_in_its_own_directory)],
            "execution": current_context().execution_id.name,
            "endpoint": PlatformConfig.auto().endpoint,
            "entities": [entity.name for entity in FlyteEntities.entities],
            "transformers": sorted(str(one).partition(" at ")[0] for one in TypeEngine._REGISTRY),
            "collector": [__import__("gc").isenabled(), __import__("gc").get_threshold()],
        }
    )


def _descriptors() -> list[str]:
    """What is open apart from the event loop that flytekit runs beside the task."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the listing itself
        links.append(target.split(":")[0])
    return sorted(links)


def _works_in_its_own_directory() -> bool:
    return Path(current_context().working_directory).is_relative_to(tempfile.gettempdir())


def _in_thread(call):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


@task
def lucky(text: str) -> str:
    return f"{random.random()} {FlyteContextManager.current_context().file_access.get_random_string()}"


@task
def leave_traces(text: str) -> str:
    """What the next attempt must not see."""
    os.environ["TRACE"] = "here"
    os.chdir("/")
    os.umask(0o077)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    json.trace = "here"
    sys.path.insert(0, "/trace")
    random.seed(1)
    return "left"


@task
def find_traces(text: str) -> str:
    return json.dumps(
        [
            os.environ.get("TRACE"),
            os.getcwd() == "/",
            os.umask(0o022),
            signal.getsignal(signal.SIGTERM) is signal.SIG_IGN,
            hasattr(json, "trace"),
            "/trace" in sys.path,
        ]
    )


@task
def end(text: str) -> str:
    """End in the way that ``text`` names."""
    print("printed before", flush=text in ("exit now", "die"))
    if text == "raise":
        raise ValueError("not like this")
    if text == "exit":
        sys.exit(3)
    if text == "exit with words":
        sys.exit("words")
    if text == "exit now":
        os._exit(4)
    if text == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if text == "close":
        sys.stdout.close()
        os.close(1)
    if text == "late":
        threading.Thread(target=_late, name="late").start()
        atexit.register(print, "printed at exit")
    if text == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    if text == "pools":
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return str(pool.map(double, [1, 2]))
    return text


def _late() -> None:
    threading.main_thread().join()
    print("printed late")


@task
def fork(text: str) -> str:
    """Leave a child behind."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    return str(child)


@task
def daemon(text: str) -> str:
    """Leave a process of another session behind, as a daemon does."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        child = os.fork()
        if child == 0:
            time.sleep(600)
        os.write(writer, str(child).encode())
        os._exit(0)
    os.wait()
    return os.read(reader, 100).decode()


@task
def share(text: str) -> str:
    """Leave shared memory behind, and a process that has it open."""
    from multiprocessing import shared_memory

    memory = shared_memory.SharedMemory(create=True, size=16)
    print(f"shared {memory.name}", flush=True)
    if os.fork() == 0:
        time.sleep(600)
    if text == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if text == "ignore":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path("running").touch()
        time.sleep(600)
    return memory.name


@task
def loops(text: str) -> str:
    """Use the event loops that flytekit and asyncio have ready."""
    from flytekit.extend.backend import base_connector

    async def tell(number: int) -> int:
        await asyncio.sleep(0)
        return number

    ready = base_connector.local_connector_loop
    return json.dumps([ready.run_until_complete(tell(1)), asyncio.run(tell(2)), run_sync(tell, 3)])


@task
def write_much(text: str) -> str:
    """Write more than the largest file that may be."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    Path("much").write_bytes(bytes(1_000_000))
    return "written"


@task
def hold(text: str) -> str:
    """Wait for the file ``text``."""
    Path("running").touch()
    while not Path(text).exists():
        time.sleep(0.01)
    return "held"


@task
def ignore(text: str) -> str:
    """Do not listen to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path("running").touch()
    time.sleep(600)
    return "never"


@task
def twice(number: int) -> int:
    return 2 * number


mapped = map_task(twice)


@workflow
def all_of_them(text: str) -> str:
    return describe(text=text)
