from __future__ import annotations

from importlib import metadata

from flyteidl.admin import version_pb2

from flytelite import __version__
from flytelite.server.admin.versions import Versions


def test_the_version_is_that_of_the_api():
    version = Versions().get(version_pb2.GetVersionRequest()).control_plane_version
    assert version.Version == f"v{metadata.version('flyteidl')}"
    assert version.Build == f"flytelite-{__version__}"
