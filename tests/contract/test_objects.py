"""Uploads and downloads through signed URLs."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import socket
import threading
from urllib.parse import quote, urlsplit

import httpx
import pytest

KEY = "flytesnacks/development/ABC===/a b.tar.gz"


def signed(transports, method="PUT", key=KEY, expires_in=60.0, content_md5=b"") -> str:
    return transports.bucket.sign(method, transports.bucket.native_url(key), expires_in, content_md5).url


def md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def leftovers(transports):
    return os.listdir(transports.settings.data_dir / "uploads")


def test_upload_as_flytekit_does(transports):
    body = os.urandom(3_000_000)
    answer = httpx.put(signed(transports), content=body, headers={"Content-MD5": md5(body)})
    assert (answer.status_code, answer.content) == (200, b"")
    path = transports.bucket.path(KEY)
    assert path.read_bytes() == body
    assert path == transports.settings.bucket / "flytesnacks" / "development" / "ABC===" / "a b.tar.gz"
    assert transports.bucket.md5(str(path)) == hashlib.md5(body).digest()
    assert leftovers(transports) == []


def test_url_works_raw_and_percent_encoded(transports):
    url = signed(transports, key="p/d/ABC===/name")
    assert "/p/d/ABC%3D%3D%3D/name?" in url
    assert httpx.put(url, content=b"x").status_code == 200
    assert httpx.put(url.replace("%3D", "="), content=b"x").status_code == 200


def test_chunked_upload_without_a_digest(transports):
    body = (b"x" * 700_000 for _ in range(5))
    assert httpx.put(signed(transports, key="p/d/chunked"), content=body).status_code == 200
    assert transports.bucket.path("p/d/chunked").stat().st_size == 3_500_000


def test_any_content_type_of_an_upload_is_fine(transports):
    url = signed(transports, key="p/d/curl")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert httpx.put(url, content=b"x", headers=headers).status_code == 200


def test_upload_replaces(transports):
    url = signed(transports, key="p/d/again")
    for body in (b"one", b"", b"three"):
        assert httpx.put(url, content=body).status_code == 200
        assert transports.bucket.path("p/d/again").read_bytes() == body


@pytest.mark.parametrize("promised", [md5(b"other"), "###", "", b"\xe9"])
def test_wrong_digest_leaves_nothing(transports, promised):
    answer = httpx.put(signed(transports, key="p/d/bad"), content=b"body", headers={"Content-MD5": promised})
    assert answer.status_code == 400
    assert "Content-MD5" in answer.text
    assert not transports.bucket.path("p/d/bad").exists()
    assert leftovers(transports) == []


@pytest.mark.parametrize(
    ("body", "sent", "status"),
    [
        (b"right", md5(b"right"), 200),
        (b"right", None, 200),
        (b"wrong", md5(b"right"), 400),
        (b"wrong", None, 400),
        (b"", None, 400),
        (b"wrong", md5(b"wrong"), 403),
        (b"right", md5(b"wrong"), 403),
        (b"right", "", 403),
        (b"right", "###", 400),
    ],
)
def test_url_for_one_content_takes_no_other(transports, body, sent, status):
    key = f"p/d/one/{status}-{sent is None}-{len(body)}-{body.decode()}"
    url = signed(transports, key=key, content_md5=hashlib.md5(b"right").digest())
    answer = httpx.put(url, content=body, headers={} if sent is None else {"Content-MD5": sent})
    assert answer.status_code == status, answer.text
    assert transports.bucket.path(key).exists() == (status == 200)
    assert ("Content-MD5" in answer.text) == (status != 200)
    assert leftovers(transports) == []


def test_digest_of_an_url_cannot_be_left_out_or_changed(transports):
    url = signed(transports, key="p/d/promised", content_md5=hashlib.md5(b"right").digest())
    digest = hashlib.md5(b"right").hexdigest()
    for other in ("", f"&md5={hashlib.md5(b'wrong').hexdigest()}", f"&md5={digest}&md5=", f"&md5={digest.upper()}"):
        answer = httpx.put(url.replace(f"&md5={digest}", other), content=b"wrong")
        assert answer.status_code == 403, other
    assert not transports.bucket.path("p/d/promised").exists()


def test_other_content_does_not_replace_what_is_there(transports):
    url = signed(transports, key="p/d/kept", content_md5=hashlib.md5(b"right").digest())
    for body, status in ((b"right", 200), (b"wrong", 400), (b"right", 200)):
        assert httpx.put(url, content=body).status_code == status
        assert transports.bucket.path("p/d/kept").read_bytes() == b"right"


def test_broken_off_upload_leaves_nothing(transports):
    url = urlsplit(signed(transports, key="p/d/broken"))
    with socket.create_connection(("127.0.0.1", transports.port), timeout=10) as connection:
        connection.sendall(
            f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nonly this".encode()
        )
        connection.shutdown(socket.SHUT_WR)
        connection.recv(100)
    tasks = transports.listener.http.tasks
    transports.run(lambda: _all_done(tasks))
    assert not transports.bucket.path("p/d/broken").exists()
    assert leftovers(transports) == []


async def _all_done(tasks):
    for task in tuple(tasks):
        await task


def test_expect_continue(transports):
    url = urlsplit(signed(transports, key="p/d/expect"))
    with socket.create_connection(("127.0.0.1", transports.port), timeout=10) as connection:
        head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue"
        connection.sendall(f"{head}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(b"body")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(("content", "chunks"), [(b"", b"0\r\n\r\n"), (b"body", b"4\r\nbody\r\n0\r\n\r\n")])
def test_chunks_with_a_length_of_0(transports, content, chunks):
    url = urlsplit(signed(transports, key=f"p/d/both{len(content)}", content_md5=hashlib.md5(content).digest()))
    head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nTransfer-Encoding: chunked"
    with socket.create_connection(("127.0.0.1", transports.port), timeout=10) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode() + chunks)
        status = connection.recv(1000).split()[1]
    assert status == (b"400" if content else b"200")
    assert transports.bucket.path(f"p/d/both{len(content)}").exists() == (not content)


def test_server_answers_others_during_an_upload(transports):
    url = urlsplit(signed(transports, key="p/d/slow"))
    connection = http.client.HTTPConnection("127.0.0.1", transports.port, timeout=10)
    connection.putrequest("PUT", f"{url.path}?{url.query}")
    connection.putheader("Content-Length", "2000000")
    connection.endheaders()
    connection.send(b"x" * 1_500_000)
    assert httpx.get(f"{transports.url}/api/v1/version").status_code == 200
    connection.send(b"x" * 500_000)
    assert connection.getresponse().status == 200


def test_parallel_uploads_of_one_key(transports):
    url = signed(transports, key="p/d/race")
    bodies = [bytes([number]) * 2_000_000 for number in range(4)]
    threads = [threading.Thread(target=httpx.put, args=(url,), kwargs={"content": body}) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert transports.bucket.path("p/d/race").read_bytes() in bodies


def test_download_and_ranges(transports):
    httpx.put(signed(transports, key="p/d/data"), content=b"0123456789")
    url = signed(transports, "GET", "p/d/data")
    answer = httpx.get(url)
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert answer.headers["content-type"] == "application/octet-stream"
    part = httpx.get(url, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert httpx.get(url, headers={"Range": "bytes=99-"}).status_code == 416
    head = httpx.head(url)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "10", b"")


def test_deck_is_a_page_of_no_origin(transports):
    httpx.put(signed(transports, key="p/d/deck.html"), content=b"<b>deck</b>")
    answer = httpx.get(signed(transports, "GET", "p/d/deck.html"))
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in answer.headers["content-security-policy"]
    assert "x-frame-options" not in answer.headers


def test_missing_object(transports):
    assert httpx.get(signed(transports, "GET", "p/d/absent")).status_code == 404
    assert httpx.get(signed(transports, "GET", "p/d")).status_code == 404


def test_signatures_are_for_one_method_one_key_and_some_time(transports):
    httpx.put(signed(transports, key="p/d/secret"), content=b"x")
    get = signed(transports, "GET", "p/d/secret")
    assert httpx.put(get, content=b"y").status_code == 403
    assert httpx.get(signed(transports, "PUT", "p/d/secret")).status_code == 403
    assert httpx.get(get.replace("secret", "secret2")).status_code == 403
    assert httpx.get(get.split("?")[0]).status_code == 403
    assert httpx.get(get.replace("expires=", "expires=9")).status_code == 403
    assert httpx.get(get + "0").status_code == 403
    expired = httpx.get(signed(transports, "GET", "p/d/secret", expires_in=-1))
    assert (expired.status_code, expired.text) == (403, "this signed URL has expired\n")
    assert transports.bucket.path("p/d/secret").read_bytes() == b"x"


@pytest.mark.parametrize("key", ["../escape", "p/../../escape", "p//d", "p/./d", "", "p/d/%2e%2e/x"])
def test_urls_of_other_keys_are_not_signed(transports, key):
    answer = httpx.put(f"{transports.url}/objects/{quote(key)}?expires=99999999999&signature=00", content=b"x")
    assert answer.status_code in (403, 307, 404, 400)
    assert not (transports.settings.data_dir / "escape").exists()


def test_a_directory_is_in_the_way(transports):
    httpx.put(signed(transports, key="p/dir/file"), content=b"x")
    assert httpx.put(signed(transports, key="p/dir"), content=b"x").status_code == 400
    below = httpx.put(signed(transports, key="p/dir/file/below"), content=b"x")
    assert (below.status_code, "cannot be an object" in below.text) == (400, True)
    assert leftovers(transports) == []


def test_foreign_page_cannot_use_a_signed_url_to_write(transports):
    answer = httpx.put(signed(transports), content=b"x", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
