"""The services that a server without authentication does not have."""

from __future__ import annotations

from collections.abc import Iterator

from flytelite.errors import Code

from .rows import Row, fails


def rows() -> Iterator[Row]:
    for method in (
        "AuthMetadataService/GetOAuth2Metadata",
        "AuthMetadataService/GetPublicClientConfig",
        "IdentityService/UserInfo",
    ):
        words = f"unknown service flyteidl.service.{method.partition('/')[0]}"
        yield fails(method, "is not there", {}, Code.UNIMPLEMENTED, words)
