"""The data proxy."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import md5
from typing import Any

from flytelite.errors import Code

from .node_executions import INPUTS
from .rows import Row, changed, fails, refused, succeeds
from .words import HAVE_ATTEMPT, HAVE_NODE, HAVE_SUCCEEDED, NODE, ONE, OUTPUTS, PROJECT, SCOPE, node_event

UPLOAD, DOWNLOAD, LINK, DATA = (
    f"DataProxyService/{name}"
    for name in ("CreateUploadLocation", "CreateDownloadLocation", "CreateDownloadLink", "GetData")
)
CONTENT = b"def main(): ...\n"
MD5 = b64encode(md5(CONTENT, usedforsecurity=False).digest()).decode()
FILE = f"{PROJECT}/development/root/main.py"
DECK = f"{PROJECT}/development/run/deck.html"
URL = f"flyte://v1/{PROJECT}/development/run/n0"
SIGNED = re.compile(r"http://localhost:\d+/objects/.+\?expires=\d+(?:&md5=[0-9a-f]{32})?&signature=[0-9a-f]{64}")
TIMED = ["signed_url", "expires_at"]


def rows() -> Iterator[Row]:
    yield from _upload()
    yield from _upload_errors()
    yield from _download()
    yield from _link()
    yield from _data()
    yield from _data_errors()


def _upload() -> Iterator[Row]:
    registered = {**SCOPE, "filename": "main.py", "content_md5": MD5, "add_content_md5_metadata": True}
    headers = {"Content-MD5": MD5, "x-amz-meta-flyteContentMD5": MD5}
    native = re.compile(rf".*/my-s3-bucket/{PROJECT}/development/[A-Z2-7]+=*/main\.py")
    answer = {"signed_url": SIGNED, "native_url": native, "headers": headers}
    yield succeeds(UPLOAD, "of a digest, as fast registration", registered, answer, varies=TIMED)
    plain = changed(registered, add_content_md5_metadata=None)
    answer = {"headers": {"Content-MD5": MD5, "x-amz-meta-flyteContentMD5": None}}
    yield succeeds(UPLOAD, "without metadata", plain, answer, varies=TIMED)
    rooted = {**SCOPE, "filename_root": "root"}
    answer = {"native_url": re.compile(rf".*/{PROJECT}/development/root/[a-z0-9]{{20}}"), "headers": None}
    yield succeeds(UPLOAD, "below a root, as flyte://", rooted, answer, varies=[*TIMED, "native_url"])
    soon = {**SCOPE, "filename": "main.py", "filename_root": "root", "expires_in": "60s"}
    yield succeeds(UPLOAD, "of a new name", soon, {}, varies=TIMED)
    same = changed(soon, content_md5=MD5)
    yield succeeds(UPLOAD, "of what is there", same, varies=TIMED, objects={FILE: CONTENT})


def _upload_errors() -> Iterator[Row]:
    request = {**SCOPE, "filename": "main.py", "filename_root": "root"}
    for part in ("project", "domain"):
        words = "project and domain are required parameters"
        yield refused(UPLOAD, f"no {part}", changed(request, **{part: None}), words)
    words = "content_md5 or filename_root is a required parameter"
    yield refused(UPLOAD, "no digest and no root", changed(request, filename_root=None), words)
    words = "], specify a matching hash if you wish to rewrite"
    for title, digest in {"no digest": None, "another digest": b64encode(b"x" * 16).decode()}.items():
        taken = request if digest is None else changed(request, content_md5=digest)
        yield fails(
            UPLOAD, f"a name that is taken, {title}", taken, Code.ALREADY_EXISTS, words, objects={FILE: CONTENT}
        )
    yield refused(UPLOAD, "two hours", changed(request, expires_in="7200s"), "cannot exceed max allowed expiration")
    yield refused(UPLOAD, "a negative time", changed(request, expires_in="-1s"), "is invalid")
    for name in ("../../x", "a//b", "."):
        yield refused(UPLOAD, f"file {name}", changed(request, filename=name), "is not the key of an object")
    for part in ("filename", "filename_root"):
        odd = changed(request, **{part: "a\nb"})
        yield refused(UPLOAD, f"a line feed in {part}", odd, "has a control character in it")


def _download() -> Iterator[Row]:
    request = {"native_url": f"{{bucket}}/{FILE}"}
    answer = {"signed_url": SIGNED}
    yield succeeds(DOWNLOAD, "of an object", request, answer, varies=TIMED, objects={FILE: CONTENT})
    yield succeeds(DOWNLOAD, "of no object", changed(request, expires_in="60s"), answer, varies=TIMED)
    words = "error while validating request: native_url is a required parameter"
    yield refused(DOWNLOAD, "no URL", {}, words)
    words = "error while validating request: expiresIn"
    yield refused(DOWNLOAD, "two hours", changed(request, expires_in="7200s"), words)
    yield refused(DOWNLOAD, "outside the bucket", {"native_url": "/etc/passwd"}, "is not in flytelite's bucket")
    yield refused(DOWNLOAD, "out of the bucket", {"native_url": "{bucket}/../x"}, "is not the key of an object")
    yield refused(DOWNLOAD, "a line feed", {"native_url": "{bucket}/a\nb"}, "has a control character in it")


def _decked(uri: str) -> tuple[Any, ...]:
    return (*HAVE_NODE, node_event("SUCCEEDED", 4, deck_uri=uri))


def _link() -> Iterator[Row]:
    request = {"artifact_type": "ARTIFACT_TYPE_DECK", "node_execution_id": NODE}
    given = _decked(f"{{bucket}}/{DECK}")
    answer = {"signed_url": [SIGNED], "pre_signed_urls": {"signed_url": [SIGNED]}}
    varies = [*TIMED, "pre_signed_urls"]
    yield succeeds(LINK, "to a deck", request, answer, varies=varies, given=given, objects={DECK: b"<p>deck"})
    yield fails(LINK, "to a deck that is gone", request, Code.NOT_FOUND, "object not found", given=given)
    words = "no deckUrl found for request ["
    yield fails(LINK, "of a node without deck", request, Code.NOT_FOUND, words, given=HAVE_NODE)
    invalid = "error while validating request. Error: "
    untyped = changed(request, artifact_type=None)
    yield refused(LINK, "no type", untyped, f"{invalid}invalid artifact type [ARTIFACT_TYPE_UNDEFINED]")
    yield refused(LINK, "no source", changed(request, node_execution_id=None), f"{invalid}source is required")
    yield refused(LINK, "two hours", changed(request, expires_in="7200s"), f"{invalid}expiresIn")
    nowhere = changed(request, node_execution_id__node_id="n9")
    yield refused(LINK, "of an unknown node", nowhere, "failed to find node execution [", given=HAVE_NODE)


def _data() -> Iterator[Row]:
    answers = {
        f"{URL}/i": {"literal_map": INPUTS},
        f"{URL}/o": {"literal_map": OUTPUTS},
        f"{URL}/i/x": {"literal": ONE},
        f"{URL}/0/o": {"literal_map": OUTPUTS},
        f"{URL}/0/o/o0": {"literal": ONE},
    }
    for url, answer in answers.items():
        yield succeeds(DATA, url, {"flyte_url": url}, answer, given=HAVE_SUCCEEDED)
    deck = {"flyte_url": f"{URL}/d"}
    given = _decked(f"{{bucket}}/{DECK}")
    answer = {"pre_signed_urls": {"signed_url": [SIGNED]}}
    yield succeeds(DATA, "a deck", deck, answer, given=given, varies=["pre_signed_urls"], objects={DECK: b"<p>deck"})
    yield fails(DATA, "no deck", deck, Code.NOT_FOUND, "no deckUrl found for request [", given=HAVE_NODE)
    words = "missing entity of type node execution with identifier "
    nowhere = {"flyte_url": f"flyte://v1/{PROJECT}/development/run/n9/o"}
    yield fails(DATA, "an unknown node", nowhere, Code.NOT_FOUND, words, given=HAVE_NODE)


def _data_errors() -> Iterator[Row]:
    validating = "failed to validate resolve artifact request. Error: "
    refusals = {
        "": f"{validating}source is required",
        "s3://bucket/x": f"{validating}request does not start with the correct prefix",
        "flyte://v1/p/d": "failed to parse artifact url Error: ",
        f"{URL}/x": "failed to parse artifact url Error: ",
        f"{URL}/i/a b": "failed to parse artifact url Error: ",
        f"{URL}/o/y": "name [y] not found in node execution [",
        f"{URL}/0/o/y": "name [y] not found in task execution [",
        f"{URL}/{'9' * 5000}/o": "failed to parse artifact url Error: ",
        f"{URL}/9/o": "with retry attempt [9]",
        f"{URL}/0/d": "deck type cannot be specified with a retry attempt",
    }
    for url, message in refusals.items():
        yield refused(DATA, url[:80] or "no URL", {"flyte_url": url}, message, given=HAVE_ATTEMPT)
