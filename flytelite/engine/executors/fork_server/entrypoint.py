"""flytekit's commands as a forked process calls them: without click's parser, and without its event loop for files."""
# Plain os and open: every task runs this, and pathlib takes its time.
# ruff: noqa: PTH119

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from typing import Any


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
        if parameters is None:
            self.command.main(list(arguments), os.path.basename(program))
            return
        context = click.Context(self.command, info_name=os.path.basename(program))
        context.params = parameters
        self.command.make_context = lambda *_, **__: context
        try:
            with carried_directly(parameters["inputs"], parameters["output_prefix"]):
                self.command.main(list(arguments), os.path.basename(program))
        finally:
            del self.command.make_context


@contextlib.contextmanager
def carried_directly(inputs: str, outputs: str) -> Iterator[None]:
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
    try:
        yield
    finally:
        FileAccessProvider.get_data, FileAccessProvider.put_data = get, put
