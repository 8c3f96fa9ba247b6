"""Archives that were made to do harm, or that were damaged on their way."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import orjson
import pytest

from flytelite.errors import FailedPrecondition, FlyteError, InvalidArgument, ResourceExhausted
from flytelite.server import archive
from flytelite.server.admin.snapshot_tables import Entry

MANIFEST = {"written_by": "flytelite 0.1.0", "data_dir": "/old/data", "executions": [], "files": 1}
ENTRY = Entry("projects", "p", {"message": {"id": "p"}})
LINE = orjson.dumps(ENTRY._asdict()) + b"\n"


def member(name: str, content: bytes = b"x", type: bytes = tarfile.REGTYPE, **fields) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content), type
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def pack(
    path: Path, *members, format: int = tarfile.GNU_FORMAT, declared_format: int = archive.FORMAT, **changed
) -> Path:
    """An archive whose manifest declares what it holds, except what ``changed`` says."""
    contents = [member(archive.DOCUMENTS, LINE), *members]
    sizes = sum(len(content) for _, content in contents)
    manifest = {**MANIFEST, "files": len(members), "bytes": sizes, "format": declared_format, **changed}
    with tarfile.open(path, "w:gz", format=format) as tar:
        for info, content in [member(archive.MANIFEST, orjson.dumps(manifest)), *contents]:
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return tmp_path / "x.tar.gz"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "deep" / "place"
    place.mkdir(parents=True)
    return place


def test_what_is_written_can_be_read(packed: Path, place: Path, tmp_path: Path) -> None:
    long = "my-s3-bucket/" + "/".join("d" * 60 for _ in range(5)) + "/ü.bin"
    (tmp_path / "content").write_bytes(b"12345" * 1000)
    manifest = archive.write(packed, Path("/old/data"), ["p/d/n"], [ENTRY], {long: tmp_path / "content"})
    assert archive.unpack(packed, place) == manifest
    assert (manifest.data_dir, manifest.executions, manifest.files) == ("/old/data", ("p/d/n",), 1)
    assert (place / long).read_bytes() == b"12345" * 1000
    assert archive.documents(place, manifest) == [ENTRY]


def test_directories_in_an_archive_that_was_packed_anew_are_passed_over(packed: Path, place: Path) -> None:
    folder = member("my-s3-bucket/a", b"", tarfile.DIRTYPE)
    pack(packed, folder, member("my-s3-bucket/a/b"), files=1)
    archive.unpack(packed, place)
    assert (place / "my-s3-bucket/a/b").read_bytes() == b"x"


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../x",
        "my-s3-bucket/../../x",
        "my-s3-bucket/a//b",
        "my-s3-bucket/./b",
        "my-s3-bucket",
        "store/journal-000000000001.jsonl",
        "config.yaml",
        "attempts/p/d/n/n0/0/process",
        "attempts/p/d/n/n0/0/exit",
    ],
)
def test_a_name_outside_the_places_of_an_archive_is_refused(packed: Path, place: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match="is not the name of a file"):
        archive.unpack(pack(packed, member(name)), place)
    assert [path.name for path in place.rglob("*")] == [archive.DOCUMENTS]
    assert not (place.parent / "x").exists()


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (tarfile.SYMTYPE, {"linkname": "/etc/passwd"}),
        (tarfile.LNKTYPE, {"linkname": "documents.jsonl"}),
        (tarfile.CHRTYPE, {"devmajor": 1, "devminor": 3}),
        (tarfile.FIFOTYPE, {}),
    ],
)
def test_links_and_devices_are_refused(packed: Path, place: Path, kind: bytes, fields: dict) -> None:
    with pytest.raises(InvalidArgument, match="is not a plain file"):
        archive.unpack(pack(packed, member("my-s3-bucket/a", b"", kind, **fields)), place)


@pytest.mark.parametrize(
    ("members", "changed", "says"),
    [
        ([member("my-s3-bucket/a"), member("my-s3-bucket/a")], {}, "twice"),
        ([member("my-s3-bucket/a"), member("my-s3-bucket/a/b")], {}, "in the way"),
        ([member("my-s3-bucket/a", b"0" * 10_000_000)], {"bytes": len(LINE) + 10}, "more than"),
        ([member("my-s3-bucket/a"), member("my-s3-bucket/b")], {"files": 1}, "more than"),
        ([member("my-s3-bucket/a")], {"files": 2}, "less than"),
        ([member("my-s3-bucket/a")], {"bytes": 100_000}, "less than"),
        ([], {"data_dir": "relative"}, "no data directory"),
        ([], {"data_dir": "/"}, "no data directory"),
        ([], {"files": -1}, "declares"),
        ([], {"bytes": "many"}, "cannot be read"),
        ([], {"executions": 3}, "cannot be read"),
    ],
)
def test_an_archive_that_is_not_what_it_says_is_refused(packed, place, members, changed, says) -> None:
    with pytest.raises(InvalidArgument, match=says):
        archive.unpack(pack(packed, *members, **changed), place)


def test_more_than_the_disk_holds_is_refused_before_anything_is_written(packed: Path, place: Path) -> None:
    with pytest.raises(ResourceExhausted, match="no room"):
        archive.unpack(pack(packed, bytes=2**62), place)
    assert list(place.iterdir()) == []


def test_a_newer_format_asks_for_an_upgrade(packed: Path, place: Path) -> None:
    with pytest.raises(FailedPrecondition, match="upgrade flytelite"):
        archive.unpack(pack(packed, declared_format=3), place)


@pytest.mark.parametrize("size", [0, 1, 50, 200, -1])
def test_half_an_archive_is_refused(packed: Path, place: Path, size: int) -> None:
    pack(packed, member("my-s3-bucket/a", bytes(range(256)) * 40))
    packed.write_bytes(packed.read_bytes()[:size])
    with pytest.raises(InvalidArgument, match="not a whole"):
        archive.unpack(packed, place)


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100, b"\0" * 2000])
def test_anything_else_is_refused(packed: Path, place: Path, content: bytes) -> None:
    for bytes_ in (content, gzip.compress(content)):
        packed.write_bytes(bytes_)
        with pytest.raises(InvalidArgument):
            archive.unpack(packed, place)


def test_headers_that_grow_in_memory_are_refused(packed: Path, place: Path) -> None:
    huge = "my-s3-bucket/" + "n" * 100_000
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with pytest.raises(InvalidArgument):
            archive.unpack(pack(packed, member(huge), format=format), place)


@pytest.mark.parametrize(
    "line", [b"[]", b"{}", b'{"table":1,"key":"","document":{}}', b"{", b'{"table":"a","key":"b"}']
)
def test_documents_must_be_entries(place: Path, line: bytes) -> None:
    (place / archive.DOCUMENTS).write_bytes(line + b"\n")
    with pytest.raises(FlyteError):
        archive.documents(place, archive.Manifest("/old/data", (), 0, 0))
