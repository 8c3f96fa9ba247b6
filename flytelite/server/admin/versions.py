"""GetVersion."""

from __future__ import annotations

from functools import cached_property

from flyteidl.admin import version_pb2

from flytelite import __version__


class Versions:
    """Which control plane this is."""

    def get(self, request: version_pb2.GetVersionRequest) -> version_pb2.GetVersionResponse:
        """GetVersion. ``Version`` is that of the flyteidl whose API is served, for clients compare it with their own;
        ``Build`` names this program (flyteadmin/pkg/manager/impl/version_manager.go)."""
        return self._answer

    @cached_property
    def _answer(self) -> version_pb2.GetVersionResponse:
        from importlib import metadata

        # Looking for the metadata takes longer than all the rest of the call.
        version = version_pb2.Version(Version=f"v{metadata.version('flyteidl')}", Build=f"flytelite-{__version__}")
        return version_pb2.GetVersionResponse(control_plane_version=version)
