"""Which modules of users no fork server imports, and why."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from flytelite.engine.executors import fork_commands
from flytelite.engine.executors.fork_client import Refused, branched

from .processes import alive
from .versions import Versions, told

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork servers are used on Linux only")


TOGETHER = [
    ("import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()", "start_new_thread"),
    ("import subprocess; subprocess.run(['true'])", "subprocess.Popen"),
    ("import os\nif os.fork() == 0: os._exit(0)", "os.fork"),
    ("import socket; SOCKET = socket.socket()", "socket.__new__"),
    ("import os; DESCRIPTOR = os.open(__file__, os.O_RDONLY)", "changes open files"),
    ("import os; os.chdir('/')", "os.chdir"),
    ("import os; os.umask(0o077)", "umask"),
    ("import signal; signal.signal(signal.SIGUSR1, print)", "_signal.signal"),
    ("import signal; signal.setitimer(signal.ITIMER_VIRTUAL, 100)", "setitimer"),
    ("import os; os.environ['MINE'] = '1'", "os.putenv"),
    ("import atexit; atexit.register(print)", "atexit.register"),
    ("import os; os.register_at_fork(before=lambda: None)", "register_at_fork"),
    ("import mmap; MEMORY = mmap.mmap(-1, 4096)", "changes memory shared"),
    ("import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))", "changes limits"),
    ("import gc; gc.disable()", "garbage collector"),
    ("import sys; sys.excepthook = print", "hooks"),
    ("import sys; sys.argv.append('x')", "arguments"),
    ("import json; json.loads = eval", "replaces json.loads"),
    ("import socket; socket.socket.family = None", "replaces socket.socket.family"),
    ("print('imported')", "prints"),
    ("import os; NAME = os.environ.get('FLYTE_INTERNAL_EXECUTION_ID')", "FLYTE_INTERNAL_EXECUTION_ID"),
    ("import os; NUMBER = os.getenv('FLYTE_ATTEMPT_NUMBER')", "FLYTE_ATTEMPT_NUMBER"),
    ("import os; ALL = dict(os.environ)", "all variables"),
    ("import flytekit; CONTEXT = flytekit.current_context()", "current context"),
    ("import socket; socket.setdefaulttimeout(5)", "setdefaulttimeout"),
    ("import os; PID = os.getpid()", "posix.getpid"),
    ("import time; START = time.time()", "time.time"),
    ("from datetime import datetime; START = datetime.now()", "datetime.now"),
    ("import uuid; ID = uuid.uuid4()", "posix.urandom"),
    ("import random; NUMBER = random.random()", "random.random"),
    ("import random; random.seed(1)", "random.seed"),
    ("import numpy; numpy.random.seed(1)", "numpy's random"),
    ("import ssl; KEY = ssl.RAND_bytes(8)", "RAND_bytes"),
    ("from pathlib import Path; TEXT = Path('/etc/hostname').read_text()", "reads /etc/hostname"),
    ("from pathlib import Path; THERE = Path('/etc/passwd').exists()", "looks at /etc/passwd"),
    ("import os; LIST = os.listdir('/etc')", "lists /etc"),
    ("open('out.txt', 'w').close()", "writes out.txt"),
    ("import tempfile; PLACE = tempfile.gettempdir()", "TMPDIR"),
    ("KEPT = bytearray(300 * 1024 * 1024)", "MiB of memory"),
    ("import sys; sys.path.insert(0, '/opt'); import os; sys.modules['mine'] = type(sys)('mine')\n"
     "sys.modules['mine'].__file__ = '/opt/mine.py'", "imports /opt/mine.py"),
]  # fmt: skip

ALONE = [
    ("import flytekit; DECK = flytekit.Deck('mine', 'text')", "current context"),
    ("import secrets; KEY = secrets.token_hex()", "posix.urandom"),
    ("import random; GENERATOR = random.Random()", "random.seed"),
    ("import numpy; GENERATOR = numpy.random.default_rng()", "posix.urandom"),
    ("import grpc; CHANNEL = grpc.insecure_channel('localhost:1')", "open files|threads"),
    ("import asyncio; LOOP = asyncio.new_event_loop()", "open files"),
    ("import weakref\nclass K: pass\nK = K(); F = weakref.finalize(K, print)", "at the exit"),
    ("import multiprocessing; LOCK = multiprocessing.Lock()", "memory shared"),
    ("KEPT = (__file__,)", "in a tuple"),
    ("import string; string.kept = __file__", "in what was there before"),
    ("KEPT = {__file__: 1}", "as a key"),
    ("import re; KEPT = [re.compile(__file__)]", "Pattern"),
    ("def made(): pass\nmade.__code__ = made.__code__.replace(co_name='other')", "in the code of made"),
    ("raise ValueError('not here')", "ValueError: not here"),
    ("import sys; sys.exit(3)", "SystemExit"),
    ("class Mute(Exception):\n    def __str__(self): raise RuntimeError\nraise Mute", "its process ended"),
]


def refusal(forks, workshop, code: Path) -> Exception:
    """Why the module ``told`` of that directory is not imported for all."""
    bench = workshop.bench("tell", module="told", code=code)
    copy = code.with_name(f".{code.name}.copy")
    task = {"module": "told", "program": bench.command.argv[0], "code": str(code), "copy": str(copy), "seconds": 20}

    async def main():
        root = forks.executor._server(fork_commands.interpreter_for(bench.command, forks.executor.host))
        server = branched(root, ["numpy", "uuid", "tempfile", "secrets"], workshop.host, task)
        with pytest.raises(Refused) as caught:
            await server.until_ready()
        await server.close()
        return caught.value

    found = forks.runner.run(main())
    assert not copy.exists()
    return found


@pytest.fixture(scope="module")
def all_at_once(forks, module_workshop):
    """What is said of a module that does all of it."""
    workshop = module_workshop
    versions = Versions(forks, workshop)
    return str(refusal(forks, workshop, versions.make({"told.py": "\n".join(start for start, _ in TOGETHER)})))


@pytest.mark.parametrize(("start", "reason"), TOGETHER, ids=[reason for _, reason in TOGETHER])
def test_what_a_module_must_not_do(all_at_once, start, reason):
    assert reason in all_at_once


@pytest.mark.parametrize(("start", "reason"), ALONE, ids=[reason for _, reason in ALONE])
def test_what_a_module_must_not_leave(forks, workshop, start, reason):
    found = refusal(forks, workshop, Versions(forks, workshop).make(told(start)))
    assert re.search(reason, str(found))


def test_a_module_with_the_name_of_a_library_is_imported_by_each_attempt(forks, workshop):
    code = Versions(forks, workshop).make({**told(), "requests.py": ""})
    assert "names of libraries" in str(refusal(forks, workshop, code))


STARTING = """
import os, subprocess, threading
from pathlib import Path
PIDS = [subprocess.Popen(["sleep", "600"], start_new_session=True).pid]
READER, WRITER = os.pipe()
if os.fork() == 0:
    if (PID := os.fork()) == 0:
        threading.Event().wait()
    os.write(WRITER, str(PID).encode())
    os._exit(0)
PIDS.append(int(os.read(READER, 100)))
raise ValueError(PIDS)
"""


def test_what_a_refused_import_has_started_ends_with_it(forks, workshop):
    found = refusal(forks, workshop, Versions(forks, workshop).make(told(STARTING)))
    pids = re.findall(r"\d+", str(found).partition("ValueError")[2])
    assert len(pids) == 2
    assert not [pid for pid in pids if alive(int(pid))]


def test_an_import_that_takes_for_ever_is_ended(forks, workshop, monkeypatch):
    code = Versions(forks, workshop).make(told("import threading; threading.Event().wait()"))
    bench = workshop.bench("tell", module="told", code=code)
    copy = code.with_name(".copy")
    task = {"module": "told", "program": bench.command.argv[0], "code": str(code), "copy": str(copy), "seconds": 1}

    async def main():
        root = forks.executor._server(fork_commands.interpreter_for(bench.command, forks.executor.host))
        server = branched(root, [], workshop.host, task)
        with pytest.raises(Refused, match="its process ended"):
            await server.until_ready()
        await server.close()

    forks.runner.run(main())
