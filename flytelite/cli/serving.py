"""What ``flytelite up`` does with its options. Imports no parser of command lines: that would be half of the start."""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from flytelite import __version__, config
from flytelite.cli.failure import FAILED, NEVER_STARTED, USAGE, Failure, Usage, drop_output
from flytelite.cli.running import down_command, read_running
from flytelite.errors import FlyteError
from flytelite.server.data_directory import CONFIG_FILE, Running, flytectl_config


def up(
    *,
    host: str | None = None,
    port: int | None = None,
    grpc_port: int | None = None,
    data_dir: Path | None = None,
    executor: str | None = None,
    durability: str | None = None,
    ephemeral: bool = False,
    detach: bool = False,
    write_config: bool = False,
    print_config: bool = False,
    ready_fd: int | None = None,
    verbose: bool = False,
) -> None:
    """Start the server and serve until Ctrl-C, or until it runs in the background. Raises Failure."""
    flags = {
        "host": host,
        "port": port,
        "grpc_port": grpc_port,
        "data_dir": data_dir,
        "executor": executor,
        "durability": durability,
        "ephemeral": ephemeral or None,
        "log_level": "debug" if verbose else None,
    }
    try:
        settings = config.load(flags)
    except FlyteError as error:
        raise Failure(error.message, USAGE if _is_usable_without_options() else NEVER_STARTED) from error
    if print_config:
        _print_settings(settings)
        return
    if settings.ephemeral and ready_fd is None:  # else the process that waits has done it
        if data_dir is not None:
            raise Usage("--ephemeral keeps nothing in a data directory; leave out --data-dir")
        import tempfile

        settings = dataclasses.replace(settings, data_dir=Path(tempfile.mkdtemp(prefix="flytelite-")).resolve())
    try:
        if detach:
            _detach({**flags, "data_dir": settings.data_dir}, settings, write_config)
        else:
            _serve(settings, write_config, ready_fd)
    except Failure as failure:
        _remove_ephemeral(settings, ready_fd)
        if failure.exit_code == NEVER_STARTED:
            _tell_of_running(settings)
        raise
    if not detach:
        _remove_ephemeral(settings, None)


def _is_usable_without_options() -> bool:
    try:
        config.load({})
    except FlyteError:
        return False
    return True


def _tell_of_running(settings: config.Settings) -> None:
    """Say that the server is there already, which is more than that its port is taken or its store in use."""
    running = read_running(settings.data_dir)
    if running is not None:
        raise Failure(
            f"a server runs on {settings.data_dir} already, at {running.endpoint} (process {running.pid}); "
            f"`{down_command(settings.data_dir)}` stops it, and --data-dir chooses another directory",
            NEVER_STARTED,
        )


def _serve(settings: config.Settings, write_config: bool, ready_fd: int | None) -> None:
    import asyncio
    import logging

    from flytelite.server.app import serve

    # Of libraries what is wrong; how much of our own is a setting. A server that runs for weeks says when it was.
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"
    )
    started = False

    def ready(running: Running) -> None:
        nonlocal started
        started = True
        if write_config:
            write_home_config(running)
        if ready_fd is None:
            print_banner(running, settings, "Ctrl-C")
            return
        from flytelite.cli.child import report_ready

        report_ready(ready_fd, running)

    try:
        asyncio.run(serve(settings, ready))
    except FlyteError as error:
        raise Failure(error.message, FAILED if started else NEVER_STARTED) from error


def _detach(flags: dict[str, Any], settings: config.Settings, write_config: bool) -> None:
    from flytelite.cli.child import LOG_FILE, start

    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items() if value is not None]
    switches = {"--log-level=debug": "--verbose", "--ephemeral=True": "--ephemeral"}
    arguments = [switches.get(argument, argument) for argument in arguments]
    _, running = start(arguments, settings.data_dir)
    if write_config:
        write_home_config(running)
    print_banner(running, settings, down_command(settings.data_dir))
    _print(f"  log              {settings.data_dir / LOG_FILE}\n")


def _remove_ephemeral(settings: config.Settings, ready_fd: int | None) -> None:
    if settings.ephemeral and ready_fd is None:  # who waits for a server that did not start still reads its log
        shutil.rmtree(settings.data_dir, ignore_errors=True)


def _promise(settings: config.Settings) -> str:
    if settings.ephemeral:
        return "temporary: NOTHING IS KEPT, all is gone when the server stops"
    if settings.durability == "relaxed":
        return "kept: everything is there again at the next start; power loss may cost the last second"
    return "kept: everything is there again at the next start"


def print_banner(running: Running, settings: config.Settings, stop: str) -> None:
    """One screen that says all that is needed to use the server and to stop it."""
    _print(
        f"\nflytelite {__version__} is ready\n\n"
        f"  address          {running.endpoint}  (gRPC and REST, e.g. http://{running.endpoint}/api/v1/version)\n"
        f"  data directory   {settings.data_dir}  ({_promise(settings)})\n"
        f"  for clients      export FLYTECTL_CONFIG={shlex.quote(str(settings.data_dir / CONFIG_FILE))}\n"
        f"  to stop          {stop}\n"
    )


def _print(text: str) -> None:
    """Print; that nobody reads it (``flytelite up | head``), or a full disk, is no reason to end the server."""
    try:
        print(text, flush=True)
    except OSError:
        drop_output()


def write_home_config(running: Running) -> None:
    """Write ``~/.flyte/config.yaml`` for this server; another configuration that was there is kept beside it."""
    path = Path.home() / ".flyte" / "config.yaml"
    text = f"# Written by flytelite up --write-config\n{flytectl_config(running.endpoint)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.read_text().startswith("# Written by flytelite"):
            kept = next(
                name for number in range(1, 1000) if not (name := path.with_name(f"config.yaml.kept-{number}")).exists()
            )
            path.rename(kept)
            print(f"flytelite: {path} was not ours; it is kept as {kept}", file=sys.stderr)
        path.write_text(text)
    except OSError as error:
        print(
            f"flytelite: {path} cannot be written ({error.strerror}); export FLYTECTL_CONFIG instead", file=sys.stderr
        )


def _print_settings(settings: config.Settings) -> None:
    import yaml

    values = {name: _plain(value) for name, value in dataclasses.asdict(settings).items()}
    print(yaml.safe_dump(values, sort_keys=False), end="")


def _plain(value: Any) -> Any:
    """A setting as flytelite.yaml has it; rules of images are a mapping there."""
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, tuple):
        return value
    if value and isinstance(value[0], dict):
        return {rule["pattern"]: {k: _plain(v) for k, v in rule.items() if v and k != "pattern"} for rule in value}
    return list(value)
