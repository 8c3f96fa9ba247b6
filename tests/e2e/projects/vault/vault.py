"""A task with secrets, one of which it prints."""

from __future__ import annotations

import flytekit
from flytekit import Secret, task, workflow

PASSWORD = Secret(group="db", key="password", mount_requirement=Secret.MountType.ENV_VAR)
TOKEN = Secret(group="api", key="token")


@task(secret_requests=[PASSWORD, TOKEN])
def measure() -> int:
    secrets = flytekit.current_context().secrets
    password, token = secrets.get("db", "password"), secrets.get("api", "token")
    print(f"the password is {password}, the token {token}")
    return len(password) + len(token)


@workflow
def measured() -> int:
    return measure()
