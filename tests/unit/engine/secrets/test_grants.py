"""What an attempt is given of the secrets that it declares."""

from __future__ import annotations

import stat

import pytest
from flyteidl.core.security_pb2 import Secret

from flytelite.config import Settings
from flytelite.engine.secrets.files import Scope, SecretFiles
from flytelite.engine.secrets.grants import Secrets, UnknownSecret


@pytest.fixture
def files(tmp_path) -> SecretFiles:
    return SecretFiles(tmp_path / "secrets")


def grant(files, *declared, environ=None):
    return Secrets(files, environ or {}).grant("p", "d", declared)


def test_a_variable(files):
    files.set(Scope(), "DB_PASSWORD", "hunter2")
    granted = grant(files, Secret(group="db", key="password", mount_requirement=Secret.ENV_VAR, env_var="PGPASS"))
    assert granted.environment("/place") == {
        "_FSEC_DB_PASSWORD": "hunter2",
        "PGPASS": "hunter2",
        "FLYTE_SECRETS_ENV_PREFIX": "_FSEC_",
    }
    assert not granted.files


@pytest.mark.parametrize("mount", [Secret.FILE, Secret.ANY])
def test_a_file(files, tmp_path, mount):
    files.set(Scope(), "DB_1_PASSWORD", "hunter2\n")
    granted = grant(files, Secret(group="Db-1", key="Password", mount_requirement=mount, env_var="PGFILE"))
    place = tmp_path / "place"
    granted.write(place)
    assert granted.environment(place) == {
        "FLYTE_SECRETS_DEFAULT_DIR": str(place),
        "FLYTE_SECRETS_FILE_PREFIX": "",
        "PGFILE": f"{place}/db-1/password",
    }
    assert (place / "db-1/password").read_text() == "hunter2\n"
    assert stat.S_IMODE((place / "db-1/password").stat().st_mode) == 0o600
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_versions_go_before_what_has_none(files):
    files.set(Scope(), "DB_KEY", "plain")
    files.set(Scope(), "DB_V2_KEY", "second")
    declared = [Secret(group="db", key="key", group_version=version, mount_requirement=1) for version in ("v1", "v2")]
    assert [dict(grant(files, secret).variables) for secret in declared] == [
        {"_FSEC_DB_KEY": "plain", "_FSEC_DB_V1_KEY": "plain"},
        {"_FSEC_DB_KEY": "second", "_FSEC_DB_V2_KEY": "second"},
    ]


def test_the_nearest_value_wins(files):
    secret = Secret(group="g", key="k", mount_requirement=Secret.ENV_VAR)
    seen = []
    for scope in (Scope(), Scope("p"), Scope("p", "d"), Scope("other"), Scope("p", "other")):
        files.set(scope, "G_K", str(scope))
        seen.append(grant(files, secret).values[0])
    assert seen == ["all projects", "project p", *["project p, domain d"] * 3]
    assert grant(files, secret, environ={"FLYTELITE_SECRET_G_K": "server"}).values == ("server",)


def test_an_unknown_one_is_named_with_what_to_do(files):
    with pytest.raises(UnknownSecret) as caught:
        grant(files, Secret(group="db-1", key="password"))
    for word in ("[db-1]", "[password]", "project p, domain d", "flytelite secrets set db-1 password"):
        assert word in str(caught.value)
    assert "FLYTELITE_SECRET_DB_1_PASSWORD" in str(caught.value)


def test_the_command_is_for_the_directory_that_the_server_looks_in(tmp_path):
    data = tmp_path / "my data"
    assert SecretFiles.of(Settings(data_dir=data)).command("g", "k") == (
        f"flytelite secrets set g k --data-dir '{tmp_path}/my data'"
    )
    elsewhere = SecretFiles.of(Settings(data_dir=data, secrets_dir=str(data / "kept")))
    assert elsewhere.command("g", "") == f"FLYTELITE_SECRETS_DIR='{data}/kept' flytelite secrets set g"


@pytest.mark.parametrize("secret", [Secret(), Secret(group="..", key="k"), Secret(group="g", key="a/b")])
def test_what_cannot_be_given_is_refused(files, secret):
    files.set(Scope(), "G_A_B", "1")
    files.set(Scope(), "___K", "1")
    with pytest.raises(UnknownSecret):
        grant(files, secret)


def test_lines_and_trimmed_values_are_masked_too(files):
    files.set(Scope(), "G_K", "  -----BEGIN-----\nabcdefgh\nxy\n")
    files.set(Scope(), "G_SHORT", "ab")
    granted = grant(files, Secret(group="g", key="k"), Secret(group="g", key="short"))
    assert granted.masked == (
        "  -----BEGIN-----\nabcdefgh\nxy\n",
        "  -----BEGIN-----\\nabcdefgh\\nxy\\n",
        "-----BEGIN-----\nabcdefgh\nxy",
        "-----BEGIN-----\\nabcdefgh\\nxy",
        "-----BEGIN-----",
        "abcdefgh",
    )
    assert "BEGIN" not in repr(granted)


@pytest.mark.parametrize(
    "form",
    [
        """a"b'c<d>&\\é""",
        """a\\"b'c<d>&\\\\\\u00e9""",
        """a\\"b'c<d>&\\\\é""",
        """a"b'c&lt;d&gt;&amp;\\é""",
        """a"b\\'c<d>&\\\\é""",
    ],
    ids=["as it is", "JSON in ASCII", "JSON", "HTML", "Python"],
)
def test_a_value_is_masked_however_it_is_quoted(files, form):
    files.set(Scope(), "G_K", """a"b'c<d>&\\é""")
    assert form in grant(files, Secret(group="g", key="k")).masked
