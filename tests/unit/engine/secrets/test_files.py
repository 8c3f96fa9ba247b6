"""The dotenv files of secrets: names, scopes, quoting, and who may read them."""

from __future__ import annotations

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flytelite.engine.secrets.files import Scope, SecretFiles, UnusableFile, from_environment, name_of

VALUES = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\0"))


@pytest.fixture
def files(tmp_path) -> SecretFiles:
    return SecretFiles(tmp_path / "secrets")


def test_names_are_those_of_variables():
    assert name_of("db-1", "", "pass.word") == "DB_1_PASS_WORD"


def test_each_scope_has_a_file_of_its_own(files):
    for scope in (Scope(), Scope("p"), Scope("p", "d")):
        files.set(scope, "NAME", str(scope))
    assert sorted(str(path.relative_to(files.directory)) for path in files.directory.glob("**/*.env")) == [
        ".env",
        "p/.env",
        "p/d.env",
    ]
    assert list(files.known_scopes()) == [Scope(), Scope("p"), Scope("p", "d")]
    assert files.read(Scope("p")) == {"NAME": "project p"}


def test_only_the_owner_can_read_them_and_git_does_not_see_them(files):
    files.set(Scope("p"), "NAME", "value")
    path = files.path(Scope("p"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert (files.directory / ".gitignore").read_text() == "*\n"


def test_a_file_that_others_can_read_is_refused(files):
    files.set(Scope(), "NAME", "value")
    files.path(Scope()).chmod(0o640)
    with pytest.raises(UnusableFile, match=r"chmod 600 .*\.env"):
        files.read(Scope())


def test_what_people_write_themselves_is_read_and_kept(files):
    files.directory.mkdir()
    path = files.path(Scope())
    path.touch(0o600)
    path.write_text("# mine\nexport db-1_password=plain # why\nTOKEN='old'\nMULTI=\"a\\nb\"\nEMPTY=")
    assert files.read(Scope()) == {"DB_1_PASSWORD": "plain", "TOKEN": "old", "MULTI": "a\nb", "EMPTY": ""}
    files.set(Scope(), "TOKEN", "new")
    assert path.read_text().startswith("# mine\nexport db-1_password=plain # why\nMULTI=")
    assert files.read(Scope())["TOKEN"] == "new"
    assert files.remove(Scope(), "DB_1_PASSWORD")
    assert not files.remove(Scope(), "DB_1_PASSWORD")


def test_a_line_that_is_none_is_named_but_not_shown(files):
    files.directory.mkdir()
    path = files.path(Scope())
    path.touch(0o600)
    path.write_text("GOOD=1\nhunter2 is no name\n")
    with pytest.raises(UnusableFile, match="line 2 of") as caught:
        files.read(Scope())
    assert "hunter2" not in str(caught.value)


@given(value=VALUES)
def test_every_value_comes_back_as_it_was(tmp_path_factory, value):
    files = SecretFiles(tmp_path_factory.mktemp("secrets"))
    files.set(Scope(), "BEFORE", "x")
    files.set(Scope(), "NAME", value)
    files.set(Scope(), "AFTER", "y")
    assert files.read(Scope()) == {"BEFORE": "x", "NAME": value, "AFTER": "y"}


def test_variables_of_the_server():
    environ = {"FLYTELITE_SECRET_DB_PASSWORD": "1", "FLYTELITE_SECRETS_DIR": "/x", "OTHER": "2"}
    assert from_environment(environ) == {"DB_PASSWORD": "1"}


def test_line_ends_are_kept(tmp_path):
    files = SecretFiles(tmp_path)
    files.set(Scope(), "K", "a\r\nb\rc\n")
    assert files.read(Scope()) == {"K": "a\r\nb\rc\n"}
