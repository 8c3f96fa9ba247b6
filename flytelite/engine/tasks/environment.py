"""The environment of a task process.

Nothing is inherited from the server but a short list of what a program needs to find its way on this machine; the
rest is what FlytePropeller sets (``flyteplugins/go/tasks/pluginmachinery/flytek8s/k8s_resource_adds.go``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from flyteidl.core import identifier_pb2

ALLOWED = frozenset(
    {
        "ALL_PROXY",
        "CURL_CA_BUNDLE",
        "DYLD_LIBRARY_PATH",
        "HOME",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "JAVA_HOME",
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",
        "LOGNAME",
        "NO_PROXY",
        "PATH",
        "REQUESTS_CA_BUNDLE",
        "SHELL",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "TZ",
        "USER",
        "VIRTUAL_ENV",
    }
)
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


def from_host(host: Mapping[str, str]) -> dict[str, str]:
    """The variables of this machine that a task may see, the Python environment's programs first in PATH."""
    kept = {name: value for name, value in host.items() if name.upper() in ALLOWED or name.startswith("LC_")}
    # The interpreter's own place, not where a virtual environment's link points.
    programs = str(Path(sys.executable).parent)
    kept["PATH"] = os.pathsep.join([programs, kept.get("PATH") or DEFAULT_PATH])
    return kept


def for_container_engine(host: Mapping[str, str]) -> dict[str, str]:
    """The variables that docker's or podman's own command gets: how it finds its daemon and its configuration."""
    prefixes = ("CONTAINER", "DOCKER_", "PODMAN_", "XDG_")
    return {**from_host(host), **{name: value for name, value in host.items() if name.startswith(prefixes)}}


def of_execution(
    execution: identifier_pb2.WorkflowExecutionIdentifier,
    workflow_name: str,
    task: identifier_pb2.Identifier,
    attempt: int,
) -> dict[str, str]:
    """Who the attempt is. ``attempt`` counts all attempts from 0."""
    return {
        "FLYTE_INTERNAL_EXECUTION_WORKFLOW": f"{execution.project}:{execution.domain}:{workflow_name}",
        "FLYTE_INTERNAL_EXECUTION_ID": execution.name,
        "FLYTE_INTERNAL_EXECUTION_PROJECT": execution.project,
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": execution.domain,
        "FLYTE_ATTEMPT_NUMBER": str(attempt),
        "FLYTE_INTERNAL_TASK_PROJECT": task.project,
        "FLYTE_INTERNAL_TASK_DOMAIN": task.domain,
        "FLYTE_INTERNAL_TASK_NAME": task.name,
        "FLYTE_INTERNAL_TASK_VERSION": task.version,
    }


def of_array_element(index: int) -> dict[str, str]:
    """Which element of a map task the attempt is."""
    return {
        "BATCH_JOB_ARRAY_INDEX_VAR_NAME": "FLYTE_K8S_ARRAY_INDEX",
        "FLYTE_K8S_ARRAY_INDEX": str(index),
    }


def of_platform(endpoint: str) -> dict[str, str]:
    """How a task reaches the control plane (eager tasks, FlyteRemote)."""
    return {
        "FLYTE_PLATFORM_URL": endpoint,
        "FLYTE_PLATFORM_INSECURE": "true",
        "FLYTE_SECRETS_ENV_PREFIX": "_FSEC_",
    }
