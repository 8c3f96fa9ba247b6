from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flytelite.cli import application, serving, starting
from flytelite.cli.failure import NEVER_STARTED, Failure

WORDS = [
    *("--host", "--port", "--grpc-port", "--data-dir", "--executor", "--durability", "--ready-fd", "--port=7"),
    *(
        "--ephemeral",
        "--detach",
        "--write-config",
        "--print-config",
        "--verbose",
        "--data-dir=a=b",
        "--host=",
        "--bogus",
    ),
    *(
        "0",
        "1",
        "0065535",
        "65536",
        "-1",
        "x",
        "",
        "fork",
        "relaxed",
        ".",
        "1.0",
        "٣",
        "--",
        "-h",
        "--help",
        "--detach=1",
    ),
]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(WORDS), max_size=5))
def test_plain_options_mean_what_the_parser_makes_of_them(words):
    plain = starting.options(words)
    if plain is None:
        return
    called: list[dict[str, Any]] = []
    original = serving.up
    serving.up = lambda **values: called.append(values)
    try:
        assert application.run(["up", *words]) == 0
    finally:
        serving.up = original
    assert called == [{**called[0], **plain}]
    assert {name for name, value in called[0].items() if value not in (None, False)} <= plain.keys()


@pytest.mark.parametrize(
    "arguments",
    [[], ["--verbose", "up"], ["down"], ["up", "--help"], ["up", "--bogus"], ["up", "--port", "99999"], ["up", "x"]],
)
def test_all_else_is_for_the_parser(arguments):
    assert starting.run(arguments) is None


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Failure("no such port", NEVER_STARTED), NEVER_STARTED, "flytelite: no such port"),
        (KeyError("x"), 1, "flytelite: this is a bug in flytelite: KeyError: 'x'; --verbose shows where"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_end_as_one_sentence(error, code, said, monkeypatch, capsys):
    def fail(**values: Any) -> None:
        raise error

    monkeypatch.setattr(serving, "up", fail)
    assert starting.run(["up"]) == code
    assert capsys.readouterr().err.strip() == said


INTERRUPTED_WHILE_IMPORTING = """
import os, signal, sys
class Finder:
    def find_spec(name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder)
signal.signal(signal.SIGINT, signal.default_int_handler)
from flytelite.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["flytelite.cli.starting", "flytelite.cli.application"])
def test_ctrl_c_while_commands_are_imported_is_no_traceback(module):
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_IMPORTING, module], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (130, "")
