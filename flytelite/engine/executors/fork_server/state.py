"""What every interpreter makes for itself, made anew in a forked process."""
# Plain os and open: every task runs this, and pathlib takes its time.

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import random
import signal
import sys
import tempfile
import types
import weakref

CONNECTORS = "flytekit.extend.backend.base_connector"


def fresh_main(program: str) -> None:
    """A ``__main__`` like the console script's, for multiprocessing and pickle."""
    main = types.ModuleType("__main__")
    main.__file__ = program
    main.__dict__["__builtins__"] = sys.modules["builtins"]
    sys.modules["__main__"] = main


def fresh_state() -> None:
    """What every interpreter makes for itself, so that no two tasks share it."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as interpreters start
    random.seed()
    numbers = sys.modules.get("numpy.random")
    if numbers is not None:
        numbers.seed()
    # The engine has just made it. tempfile would find out by making a file there, and removing it.
    tempfile.tempdir = os.environ.get("TMPDIR")
    if connector_loop() is not None:
        sys.modules[CONNECTORS].localconnector_loop = asyncio.new_event_loop()  # type: ignore[attr-defined]
    fresh_context()


def connector_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that flytekit makes while it is imported; forked processes would share what it waits for."""
    loop = getattr(sys.modules.get(CONNECTORS), "localconnector_loop", None)
    return loop if isinstance(loop, asyncio.AbstractEventLoop) else None


def fresh_context() -> None:
    """Do again what flytekit does when it is imported and that depends on the environment, draws random numbers or
    makes directories."""
    from flytekit.configuration import Config, DataConfig, file
    from flytekit.core import context_manager, data_persistence

    data_persistence.random.seed()  # flytekit's own generator, which names what tasks upload
    if hasattr(file.get_config_file, "cache_clear"):
        file.get_config_file.cache_clear()  # the environment and the working directory say which
    place = tempfile.mkdtemp(prefix="flyte-")
    data_persistence.flyte_tmp_dir = place
    # Threads of users find their working directory below it.
    defaults = [place if one == Config.local_sandbox_path else one for one in Config.__init__.__defaults__ or ()]
    Config.__init__.__defaults__ = tuple(defaults)
    Config.local_sandbox_path = place
    provider = data_persistence.FileAccessProvider(
        local_sandbox_dir=f"{place}/sandbox", raw_output_prefix=f"{place}/raw", data_config=DataConfig.auto()
    )
    data_persistence.default_local_file_access_provider = provider
    context_manager.default_local_file_access_provider = provider
    context_manager.FlyteContextManager.initialize()


def forget_exit_callbacks() -> None:
    """What libraries registered belongs to this process: tasks run their own callbacks, and the interpreter's."""
    atexit._clear()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]
    atexit.register(logging.shutdown)
    pools = sys.modules.get("multiprocessing.util")
    if pools is not None:
        atexit.register(pools._exit_function)
