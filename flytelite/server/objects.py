"""The bucket: uploads and the data of executions as plain files under one directory, with signed URLs."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import hmac
import os
import re
import secrets
import shutil
import time
from pathlib import Path
from urllib.parse import quote

from google.protobuf import timestamp_pb2

from flytelite.config import Settings
from flytelite.errors import FailedPrecondition, FlyteError, InvalidArgument, PermissionDenied, ResourceExhausted
from flytelite.server.admin.objects import SignedUrl

SECRET_FILE = "url-signing-secret"  # noqa: S105
SECRET_BYTES = 32
READ_BLOCK = 1024 * 1024
URL_PREFIX = "/objects/"

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")


class Bucket:
    """Objects by key below ``root``; the object of key ``a/b`` is the file ``root/a/b``."""

    def __init__(self, root: Path, uploads: Path, authority: str, secret: bytes) -> None:
        self._root = root
        self._real_root = root.resolve()
        self._uploads = uploads
        self._authority = authority
        self._secret = secret
        self._digests: dict[str, tuple[int, int, bytes]] = {}

    @classmethod
    def open(cls, settings: Settings) -> Bucket:
        """The bucket of a data directory that this process owns; what a crash left of uploads is removed."""
        uploads = settings.data_dir / "uploads"
        shutil.rmtree(uploads, ignore_errors=True)
        uploads.mkdir(parents=True)
        settings.bucket.mkdir(exist_ok=True)
        return cls(settings.bucket, uploads, settings.authority, _secret(settings.data_dir / SECRET_FILE))

    def path(self, key: str) -> Path:
        """Where the object of that key is or would be.

        Raises InvalidArgument for a key that leaves the bucket, or that no URL can hold: FlyteAdmin makes keys from
        parsed URLs (flytestdlib/storage/url_path.go), and those have no control characters.
        """
        parts = key.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise InvalidArgument(f"{key!r} is not the key of an object: no part of it may be empty, . or ..")
        if _CONTROL_CHARACTER.search(key):
            raise InvalidArgument(f"{key!r} is not the key of an object: it has a control character in it")
        path = self._root.joinpath(*parts)
        if _is_too_long(path):
            raise InvalidArgument(f"{key!r} is not the key of an object: its name is too long for this disk")
        if not path.resolve().is_relative_to(self._real_root):
            raise InvalidArgument(f"{key!r} is not the key of an object: it leads out of the bucket")
        return path

    def native_url(self, key: str) -> str:
        return str(self.path(key))

    def exists(self, uri: str) -> bool:
        path = self._file(uri)
        return path is not None and path.is_file()

    def size(self, uri: str) -> int | None:
        path = self._file(uri)
        return path.stat().st_size if path is not None and path.is_file() else None

    def md5(self, uri: str) -> bytes | None:
        """As ``Objects.md5``; the digest of what was uploaded to this process is remembered, others are computed."""
        path = self._file(uri)
        if path is None or not path.is_file():
            return None
        stat = path.stat()
        known = self._digests.get(str(path))
        if known is not None and known[:2] == (stat.st_mtime_ns, stat.st_size):
            return known[2]
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, _new_md5).digest()
        self.remember(path, digest)
        return digest

    def remember(self, path: Path, digest: bytes) -> None:
        """Keep the digest of a file for as long as it does not change."""
        stat = path.stat()
        self._digests[str(path)] = (stat.st_mtime_ns, stat.st_size, digest)

    def read(self, uri: str, limit: int) -> bytes | None:
        path = self._file(uri)
        if path is None or not path.is_file() or path.stat().st_size > limit:
            return None
        return path.read_bytes()

    def sign(self, method: str, uri: str, expires_in: float, content_md5: bytes = b"") -> SignedUrl:
        """As ``Objects.sign``. Raises InvalidArgument for an URI outside the bucket."""
        key = self._key(uri)
        if key is None:
            raise InvalidArgument(f"{uri!r} is not in flytelite's bucket {self._root}")
        self.path(key)
        expires = int(time.time() + expires_in)
        query = f"expires={expires}"
        if content_md5:
            query += f"&md5={content_md5.hex()}"
        signature = self._signature(method, key, str(expires), content_md5.hex())
        url = f"http://{self._authority}{URL_PREFIX}{quote(key)}?{query}&signature={signature}"
        return SignedUrl(url, timestamp_pb2.Timestamp(seconds=expires))

    def verify(self, method: str, key: str, expires: str, md5: str, signature: str) -> None:
        """Raises PermissionDenied unless ``sign`` made this URL for that method and it has not expired."""
        if not hmac.compare_digest(self._signature(method, key, expires, md5).encode(), signature.encode()):
            raise PermissionDenied(f"this URL was not signed by this server for {method} of that object")
        if int(expires) < time.time():
            raise PermissionDenied("this signed URL has expired")

    def upload(self, key: str) -> Upload:
        """Begin to write an object. Blocks on the disk, as everything an Upload does."""
        return Upload(self, self.path(key), self._uploads / secrets.token_hex(16), self._root)

    def _signature(self, method: str, key: str, expires: str, md5: str) -> str:
        return hmac.new(self._secret, f"{method}\n{key}\n{expires}\n{md5}".encode(), hashlib.sha256).hexdigest()

    def _key(self, uri: str) -> str | None:
        prefix = f"{self._root}{os.sep}"
        return uri.removeprefix(prefix).replace(os.sep, "/") if uri.startswith(prefix) else None

    def _file(self, uri: str) -> Path | None:
        key = self._key(uri)
        if key is None:
            return None
        with contextlib.suppress(InvalidArgument):
            return self.path(key)
        return None


class Upload:
    """An object that is being written: it appears under its key whole and durable, or not at all."""

    def __init__(self, bucket: Bucket, target: Path, temporary: Path, root: Path) -> None:
        self._bucket = bucket
        self._target = target
        self._root = root
        self._temporary = temporary
        try:
            self._file = temporary.open("xb")
        except OSError as error:
            raise _disk_error(target, error) from error
        self._digest = _new_md5()
        self.size = 0

    def write(self, block: bytes | bytearray) -> None:
        """Append. Raises ResourceExhausted when the disk is full."""
        try:
            self._file.write(block)
        except OSError as error:
            raise _disk_error(self._target, error) from error
        self._digest.update(block)
        self.size += len(block)

    def commit(self, *promised: bytes) -> None:
        """Make it the object of its key; ``promised`` are the digests that it must have.

        Raises InvalidArgument when its digest is another, FailedPrecondition when a directory is in the way.
        """
        digest = self._digest.digest()
        for content_md5 in promised:
            if content_md5 != digest:
                raise InvalidArgument(
                    f"Content-MD5 is to be {_in_base64(content_md5)} but the {self.size} bytes received have "
                    f"{_in_base64(digest)}"
                )
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._temporary.replace(self._target)
            _sync_directories(self._target.parent, self._root)
        except OSError as error:
            raise _disk_error(self._target, error) from error
        self._bucket.remember(self._target, digest)

    def discard(self) -> None:
        """Remove what was written, unless it was committed."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


def _is_too_long(path: Path) -> bool:
    try:
        path.lstat()
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    return False


def _new_md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


def _in_base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _disk_error(target: Path, error: OSError) -> FlyteError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceExhausted(f"{target} cannot be written: {error.strerror}")
    if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG):
        return FailedPrecondition(f"{target} cannot be an object: {error.strerror}")
    return FailedPrecondition(f"{target} cannot be written: {error.strerror or error}")


def _sync_directories(directory: Path, root: Path) -> None:
    """Make the names from ``directory`` up to ``root`` survive power loss."""
    if os.name == "nt":
        return  # directories cannot be opened there
    for level in (directory, *directory.parents):
        descriptor = os.open(level, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if level == root:
            return


def _secret(path: Path) -> bytes:
    """The key that signs URLs: made once, readable by its owner only."""
    with contextlib.suppress(FileNotFoundError):
        secret = path.read_bytes()
        if len(secret) == SECRET_BYTES:
            path.chmod(0o600)
            return secret
    secret = secrets.token_bytes(SECRET_BYTES)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
    temporary.replace(path)
    return secret
