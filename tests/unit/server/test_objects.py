from __future__ import annotations

import hashlib
import stat
import time
from dataclasses import replace
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from flytelite.config import Settings
from flytelite.errors import InvalidArgument, PermissionDenied
from flytelite.server.objects import SECRET_FILE, Bucket


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path, port=1234)


@pytest.fixture
def bucket(settings):
    return Bucket.open(settings)


def put(bucket: Bucket, key: str, body: bytes) -> str:
    upload = bucket.upload(key)
    upload.write(body)
    upload.commit()
    return bucket.native_url(key)


def parts(url: str) -> tuple[str, str, str, str]:
    split = urlsplit(url)
    query = parse_qs(split.query)
    md5 = query.get("md5", [""])[0]
    return unquote(split.path).removeprefix("/objects/"), query["expires"][0], md5, query["signature"][0]


def test_native_url_is_a_plain_path(bucket, settings):
    assert bucket.native_url("p/d/name") == f"{settings.data_dir}/my-s3-bucket/p/d/name"


@pytest.mark.parametrize(
    "key",
    ["", "/", "/etc/passwd", "a/", "a//b", ".", "..", "a/../b", "a/..", "./a", "a" * 300, "a/" * 3000 + "a"],
)
def test_keys_that_are_none(bucket, key):
    with pytest.raises(InvalidArgument, match="not the key of an object"):
        bucket.native_url(key)


@pytest.mark.parametrize("key", ["a\0b", "a/b\n", "\n/b", "a\tb", "a\x1fb", "a\x7fb"])
def test_keys_that_no_url_holds(bucket, key):
    with pytest.raises(InvalidArgument, match="has a control character in it"):
        bucket.native_url(key)
    with pytest.raises(InvalidArgument, match="has a control character in it"):
        bucket.sign("GET", f"{bucket.native_url('k')}/{key}", 60)


def test_symbolic_links_do_not_lead_out(bucket, settings, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("x")
    (settings.bucket / "link").symlink_to(outside)
    with pytest.raises(InvalidArgument, match="leads out of the bucket"):
        bucket.path("link/secret")
    uri = str(settings.bucket / "link" / "secret")
    assert not bucket.exists(uri)
    assert bucket.read(uri, 100) is None
    assert bucket.md5(uri) is None
    (settings.bucket / "inside").mkdir()
    (settings.bucket / "alias").symlink_to(settings.bucket / "inside")
    assert bucket.path("alias/file")


def test_exists_read_and_md5(bucket):
    uri = put(bucket, "p/d/name", b"body")
    assert bucket.exists(uri)
    assert bucket.read(uri, 4) == b"body"
    assert bucket.read(uri, 3) is None
    assert bucket.md5(uri) == hashlib.md5(b"body").digest()
    for absent in (uri + "x", bucket.native_url("p"), "s3://other/key", "/etc/passwd", ""):
        assert not bucket.exists(absent)
        assert bucket.read(absent, 100) is None
        assert bucket.md5(absent) is None


def test_remembered_digest_is_forgotten_when_the_file_changes(bucket):
    uri = put(bucket, "p/d/name", b"body")
    bucket.path("p/d/name").write_bytes(b"longer body")
    assert bucket.md5(uri) == hashlib.md5(b"longer body").digest()


def test_signed_url(bucket):
    signed = bucket.sign("PUT", bucket.native_url("p/d/A==/ä b"), 60)
    assert signed.url.startswith("http://localhost:1234/objects/p/d/A%3D%3D/%C3%A4%20b?expires=")
    assert abs(signed.expires_at.seconds - time.time() - 60) < 5
    key, expires, _, signature = parts(signed.url)
    bucket.verify("PUT", key, expires, "", signature)
    for method, other_key, other_expires, other_md5, other_signature in (
        ("GET", key, expires, "", signature),
        ("PUT", key + "x", expires, "", signature),
        ("PUT", key, str(int(expires) + 1), "", signature),
        ("PUT", key, expires, "00", signature),
        ("PUT", key, expires, "", ""),
        ("PUT", key, "soon", "", signature),
        ("PUT", key, expires, "", "ä"),
    ):
        with pytest.raises(PermissionDenied):
            bucket.verify(method, other_key, other_expires, other_md5, other_signature)


def test_url_of_one_content(bucket):
    key, expires, md5, signature = parts(bucket.sign("PUT", bucket.native_url("k"), 60, b"\x01\xff").url)
    assert md5 == "01ff"
    bucket.verify("PUT", key, expires, md5, signature)
    for other in ("", "01fe", "01FF"):
        with pytest.raises(PermissionDenied):
            bucket.verify("PUT", key, expires, other, signature)


def test_only_the_bucket_is_signed(bucket):
    for uri in ("/etc/passwd", "s3://my-s3-bucket/key", f"{bucket.native_url('a')}/../../x"):
        with pytest.raises(InvalidArgument):
            bucket.sign("GET", uri, 60)


def test_secret_is_private_and_outlives_the_process(bucket, settings):
    path = settings.data_dir / SECRET_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    signed = parts(bucket.sign("GET", bucket.native_url("k"), 60).url)
    path.chmod(0o644)
    Bucket.open(settings).verify("GET", *signed)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"torn")
    with pytest.raises(PermissionDenied):
        Bucket.open(settings).verify("GET", *signed)


def test_nothing_is_seen_before_commit_and_a_crash_leaves_nothing(bucket, settings):
    upload = bucket.upload("p/d/name")
    upload.write(b"half")
    assert not bucket.exists(bucket.native_url("p/d/name"))
    again = Bucket.open(settings)
    assert not any((settings.data_dir / "uploads").iterdir())
    upload.discard()
    put(again, "p/d/name", b"whole")
    assert again.read(again.native_url("p/d/name"), 10) == b"whole"


def test_discard_after_commit_keeps_the_object(bucket):
    upload = bucket.upload("k")
    upload.write(b"x")
    upload.commit()
    upload.discard()
    assert bucket.exists(bucket.native_url("k"))


def test_authority_follows_the_settings(settings):
    bucket = Bucket.open(replace(settings, host="box.lan", port=5))
    assert bucket.sign("GET", bucket.native_url("k"), 1).url.startswith("http://box.lan:5/objects/k?")
