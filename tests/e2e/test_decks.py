"""Decks as flyteconsole and FlyteRemote read them: while a task runs, when it has ended, and when it has failed."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import pytest


def deck_of(client: Any, execution: Any) -> str | None:
    """The deck of the first node by its download link; None as long as there is none."""
    import grpc
    from flyteidl.service.dataproxy_pb2 import ARTIFACT_TYPE_DECK, CreateDownloadLinkRequest
    from flytekit.exceptions.system import FlyteSystemException
    from flytekit.exceptions.user import FlyteEntityNotExistException

    (node,) = [node for name, node in client.nodes(execution).items() if name == "n0"]
    if not node.closure.deck_uri:
        return None
    request = CreateDownloadLinkRequest(artifact_type=ARTIFACT_TYPE_DECK, node_execution_id=node.id)
    try:
        link = client.remote.client._dataproxy_stub.CreateDownloadLink(request)
        with urllib.request.urlopen(link.pre_signed_urls.signed_url[0]) as answer:
            return answer.read().decode()
    except (grpc.RpcError, urllib.error.HTTPError, FlyteSystemException, FlyteEntityNotExistException):
        return None  # it is not there yet


@pytest.mark.parametrize("fails", [False, True])
def test_a_deck_can_be_read_while_the_task_runs_and_afterwards(
    client: Any, tmp_path: Path, wait_until: Any, fails: bool
) -> None:
    signal = tmp_path / "go"
    execution = client.start("decks.live", signal=str(signal), fails=fails)
    try:
        shown = wait_until(lambda: "n0" in client.nodes(execution) and deck_of(client, execution), "a deck")
        assert "so far: half" in shown
        assert client.nodes(execution)["n0"].closure.phase == 2  # RUNNING
    finally:
        signal.touch()
    done = client.wait(execution)
    assert client.phase(done) == ("FAILED" if fails else "SUCCEEDED")
    assert "at last: all" in (deck_of(client, done) or "")


def test_a_task_without_a_deck_has_none(client: Any) -> None:
    done = client.run("decks.without")
    assert client.phase(done) == "SUCCEEDED"
    assert client.nodes(done)["n0"].closure.deck_uri == ""
