from __future__ import annotations

import asyncio
import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from flytelite.engine.tasks import bundles
from flytelite.engine.tasks.bundles import Bundles, UnusableBundle, parse

WRAPPED = ("pyflyte-execute", "--inputs", "{{.input}}", "--resolver", "r", "--", "task-module", "m")


def archive(path: Path, members, mode="w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                name, content = member
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def link(name: str, target: str, kind=tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def place(bundles: Bundles, uri: Path | str, target: Path) -> Path:
    asyncio.run(bundles.place(str(uri), target))
    return target


def test_the_wrapper_is_taken_off():
    argv = ["pyflyte-fast-execute", "--additional-distribution", "/b.tar.gz", "--dest-dir", "/root", "--", *WRAPPED]
    fast = parse(argv)
    assert (fast.distribution, fast.destination) == ("/b.tar.gz", "/root")
    assert fast.command == (
        *WRAPPED[:3],
        "--dynamic-addl-distro",
        "/b.tar.gz",
        "--dynamic-dest-dir",
        "/root",
        *WRAPPED[3:],
    )
    assert parse(list(WRAPPED)) is None
    assert parse(["pyflyte-fast-execute", "--additional-distribution=/b", "--", "sh", "-c", "true"]).command == (
        "sh",
        "-c",
        "true",
    )


@pytest.mark.parametrize("option", ["--additional-distribution", "--dest-dir"])
def test_a_placeholder_that_nobody_filled_in(option):
    with pytest.raises(UnusableBundle, match="registered without its code"):
        parse(["pyflyte-fast-execute", option, "{{ .remote_package_path }}", "--", *WRAPPED])


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_every_attempt_has_a_copy_of_its_own(tmp_path, mode):
    bundle = archive(tmp_path / "code.tar.gz", [("pkg/a.py", b"1"), link("b.py", "pkg/a.py")], mode)
    bundles = Bundles(tmp_path / "cache")
    first = place(bundles, bundle, tmp_path / "one")
    (first / "pkg/a.py").write_text("changed")
    second = place(bundles, f"file://{bundle}", tmp_path / "two")
    assert (second / "pkg/a.py").read_bytes() == b"1"
    assert (second / "b.py").read_bytes() == b"1"
    assert os.access(second / "pkg/a.py", os.W_OK)


def test_equal_bytes_are_unpacked_once_and_new_bytes_again(tmp_path):
    cache = tmp_path / "cache"
    bundle = archive(tmp_path / "code.tar.gz", [("a.py", b"1")], "w")
    same = tmp_path / "same.tar.gz"
    same.write_bytes(bundle.read_bytes())
    bundles = Bundles(cache)
    place(bundles, bundle, tmp_path / "one")
    place(bundles, same, tmp_path / "two")
    assert len(list(cache.iterdir())) == 1
    archive(bundle, [("a.py", b"22")], "w")
    assert (place(bundles, bundle, tmp_path / "three") / "a.py").read_bytes() == b"22"
    assert len(list(cache.iterdir())) == 2


def test_pickled_code_stays_packed(tmp_path):
    bundle = tmp_path / "pkl.gz"
    bundle.write_bytes(gzip.compress(b"pickle"))
    assert (
        gzip.decompress((place(Bundles(tmp_path / "cache"), bundle, tmp_path / "one") / "pkl.gz").read_bytes())
        == b"pickle"
    )


@pytest.mark.parametrize(
    "member",
    [
        ("../evil.py", b"1"),
        ("/evil.py", b"1"),
        ("a/../../evil.py", b"1"),
        link("evil", "/etc/passwd"),
        link("a/evil", "../../outside"),
        link("evil", "../outside", tarfile.LNKTYPE),
        link("evil", "", tarfile.CHRTYPE),
        link("evil", "", tarfile.FIFOTYPE),
    ],
)
def test_an_archive_that_reaches_outside_is_refused(tmp_path, member):
    bundle = archive(tmp_path / "code.tar.gz", [("good.py", b"1"), member])
    with pytest.raises(UnusableBundle, match="holds"):
        place(Bundles(tmp_path / "cache"), bundle, tmp_path / "one")
    assert not list((tmp_path / "cache").glob("*"))


def test_what_is_no_archive(tmp_path):
    bundle = tmp_path / "code.tar.gz"
    bundle.write_bytes(b"no archive")
    with pytest.raises(UnusableBundle, match="not a readable tar archive"):
        place(Bundles(tmp_path / "cache"), bundle, tmp_path / "one")
    with pytest.raises(UnusableBundle, match="cannot be read"):
        place(Bundles(tmp_path / "cache"), tmp_path / "missing", tmp_path / "one")
    with pytest.raises(UnusableBundle, match="not an absolute path"):
        place(Bundles(tmp_path / "cache"), "code.tar.gz", tmp_path / "one")


def test_links_that_lead_outside_together_are_refused(tmp_path):
    up = link("d/e/f/up", "../../..")
    members = [*(directory(name) for name in ("d", "d/e", "d/e/f")), up, link("out", "d/e/f/up/../../../etc")]
    path = archive(tmp_path / "links.tar.gz", [])
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.addfile(member)
    with pytest.raises(UnusableBundle):
        place(Bundles(tmp_path / "cache"), path, tmp_path / "work")
    assert not (tmp_path / "work/out").exists()


def directory(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    return member


def test_archives_made_to_fill_disks_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "MOST_BYTES_ALWAYS", 1_000_000)
    zeros = tmp_path / "zeros.tar.gz"
    with tarfile.open(zeros, "w:gz") as tar:
        member = tarfile.TarInfo("zeros")
        member.size = 50_000_000
        tar.addfile(member, io.BytesIO(bytes(member.size)))
    with pytest.raises(UnusableBundle, match="made to fill disks"):
        place(Bundles(tmp_path / "cache"), zeros, tmp_path / "work")
    monkeypatch.setattr(bundles, "MOST_FILES", 10)
    many = tmp_path / "many.tar.gz"
    with tarfile.open(many, "w:gz") as tar:
        for number in range(11):
            tar.addfile(tarfile.TarInfo(str(number)))
    with pytest.raises(UnusableBundle, match="more than 10 files"):
        place(Bundles(tmp_path / "cache"), many, tmp_path / "work")
    assert not list((tmp_path / "cache").iterdir())


def test_a_copy_keeps_modes_times_and_links(tmp_path):
    path = tmp_path / "code.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        script = tarfile.TarInfo("run.sh")
        script.size, script.mode, script.mtime = 3, 0o755, 1_000_000
        tar.addfile(script, io.BytesIO(b"abc"))
        tar.addfile(link("again.sh", "run.sh"))
    cache = Bundles(tmp_path / "cache")
    for name in ("one", "two"):
        place(cache, path, tmp_path / name)
        status = (tmp_path / name / "run.sh").stat()
        assert (status.st_mode & 0o777, status.st_mtime) == (0o755, 1_000_000)
        assert os.readlink(tmp_path / name / "again.sh") == "run.sh"
    (tmp_path / "one/run.sh").write_text("changed")
    assert (tmp_path / "two/run.sh").read_text() == "abc"


def test_what_was_being_unpacked_when_an_engine_died_is_removed(tmp_path):
    bundle = archive(tmp_path / "code.tar.gz", [("a.py", b"1")])
    cache = Bundles(tmp_path / "cache")
    place(cache, bundle, tmp_path / "one")
    (tmp_path / "cache/.half.1234/a").mkdir(parents=True)
    cache.sweep()
    (kept,) = (tmp_path / "cache").iterdir()
    assert (kept / "a.py").read_bytes() == b"1"
