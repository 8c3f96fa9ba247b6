"""What the control plane asks of the place where uploads and the data of executions live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from google.protobuf import timestamp_pb2


@dataclass(frozen=True)
class SignedUrl:
    """An URL that works until it expires, and only for one method and one object."""

    url: str
    expires_at: timestamp_pb2.Timestamp


class Objects(Protocol):
    """Objects by key (``project/domain/…``) in one bucket; a native URL is the absolute path of an object's file."""

    def native_url(self, key: str) -> str:
        """The URI that tasks and clients on this machine read. Raises InvalidArgument for a key outside the bucket."""

    def exists(self, uri: str) -> bool:
        """Whether there is an object; False for an URI outside the bucket."""

    def size(self, uri: str) -> int | None:
        """How many bytes the object has; None when it is missing or outside the bucket."""

    def md5(self, uri: str) -> bytes | None:
        """The digest of the object's bytes; None when there is no object."""

    def read(self, uri: str, limit: int) -> bytes | None:
        """The object's bytes; None when it is missing, larger than ``limit`` bytes, or outside the bucket."""

    def sign(self, method: str, uri: str, expires_in: float, content_md5: bytes = b"") -> SignedUrl:
        """An URL of our own HTTP side for GET or PUT of that native URL, good for ``expires_in`` seconds.

        With ``content_md5`` a PUT takes only the bytes that have that digest.
        """
