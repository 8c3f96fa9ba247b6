"""Secrets of real tasks: who gets them, where they are, and where they never show."""

from __future__ import annotations

import json

import pytest
from flyteidl.core import execution_pb2

from flytelite.engine import data
from flytelite.engine.secrets.files import Scope, SecretFiles

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED

VALUE = "hunter2-hunter2"

DECLARING = """
import json, os, sys
import flytekit
from flytekit import Secret, task, workflow

ENV = Secret(group="db", key="password", mount_requirement=Secret.MountType.ENV_VAR, env_var="PGPASSWORD")
FILE = Secret(group="api", key="token")

@task(secret_requests=[ENV, FILE])
def show() -> str:
    secrets = flytekit.current_context().secrets
    password, token = secrets.get("db", "password"), secrets.get("api", "token")
    os.write(1, password[:7].encode())
    os.write(1, password[7:].encode() + b" on stdout\\n")
    print(token, "on stderr", file=sys.stderr)
    place = os.environ["FLYTE_SECRETS_DEFAULT_DIR"]
    assert os.environ["PGPASSWORD"] == os.environ["_FSEC_DB_PASSWORD"] == password
    with open(f"{place}/api/token") as file:
        assert file.read() == token
    return json.dumps([password[::-1], token[::-1], place])

@task
def stranger(seen: str) -> str:
    return json.dumps(sorted(name for name in os.environ if "FSEC" in name or name == "PGPASSWORD") + [seen])

@task(secret_requests=[ENV])
def failing() -> str:
    raise ValueError("refused " + os.environ["PGPASSWORD"])
    return ""

@task(secret_requests=[ENV])
def leaving() -> str:
    print("so long,", os.environ["PGPASSWORD"], flush=True)
    os._exit(3)
    return ""

@task(secret_requests=[Secret(group="no-such", key="thing")])
def asking() -> str:
    return "never"

@workflow
def wf() -> str:
    return stranger(seen=show())

@workflow
def bad() -> str:
    return failing()

@workflow
def left() -> str:
    return leaving()

@workflow
def unknown() -> str:
    return asking()
"""


@pytest.fixture
def known(bench):
    files = SecretFiles(bench.settings.secrets)
    files.set(Scope("flytesnacks", "development"), "DB_PASSWORD", VALUE)
    files.set(Scope(), "API_TOKEN", "token-of-somebody")
    return bench


def log_of(bench, node: str) -> str:
    return data.log_path(bench.settings, "flytesnacks", "development", "exec", node, 0).read_text()


def traces(bench) -> str:
    """All that is told to others or kept: events, notes, and every file but those of the secrets themselves."""
    files = (path for path in bench.settings.data_dir.rglob("*") if path.is_file())
    kept = [path.read_bytes().decode(errors="replace") for path in files if bench.settings.secrets not in path.parents]
    return "\n".join([str(bench.ledger.events), json.dumps(bench.ledger.notes), *kept])


def test_a_task_gets_what_it_declares_and_nobody_else_does(known):
    closure = known.run(DECLARING)
    assert closure.phase == SUCCEEDED, closure
    *others, seen = json.loads(known.outputs()["o0"])
    assert others == []
    password, token, place = json.loads(seen)
    assert (password[::-1], token[::-1]) == (VALUE, "token-of-somebody")
    attempt = data.attempt_directory(known.settings, "flytesnacks", "development", "exec", "n0", 0)
    assert place == str(attempt / "secrets")
    assert not (attempt / "secrets").exists()
    assert "*** on stdout\n" in log_of(known, "n0")
    assert "*** on stderr\n" in log_of(known, "n0")
    assert VALUE not in traces(known)
    assert "token-of-somebody" not in traces(known)


@pytest.mark.parametrize("name", ["bad", "left"])
def test_what_fails_does_not_tell_the_value(known, name):
    closure = known.run(DECLARING, name)
    assert closure.phase == FAILED
    assert ("refused ***" if name == "bad" else "so long, ***") in closure.error.message
    assert VALUE not in traces(known)


def test_the_server_s_environment_goes_first(known, monkeypatch):
    monkeypatch.setenv("FLYTELITE_SECRET_DB_PASSWORD", "from-the-server")
    closure = known.run(DECLARING, "bad")
    assert "refused ***" in closure.error.message
    assert "from-the-server" not in traces(known)


def test_an_unknown_secret_fails_the_attempt_at_once(bench):
    closure = bench.run(DECLARING, "unknown")
    assert (closure.phase, closure.error.code) == (FAILED, "SecretNotFound")
    assert closure.error.kind == execution_pb2.ExecutionError.USER
    assert "flytelite secrets set no-such thing" in closure.error.message
    assert bench.ledger.phases("n0") == ["QUEUED", "TE0 QUEUED", "RUNNING", "TE0 FAILED", "FAILED"]


def test_an_attempt_that_outlives_the_engine_is_masked_too(known):
    source = DECLARING.replace('raise ValueError("refused ', 'import time; time.sleep(2); raise ValueError("refused ')
    known.id = known.ledger.create("exec", known.build(source, "bad"))
    known.crash("n0 TE0 RUNNING")
    closure = known.go(known.id)
    assert closure.error.code == "USER:RuntimeError"
    assert "refused ***" in closure.error.message
    assert VALUE not in traces(known)
