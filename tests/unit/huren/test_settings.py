"""Settings: environment over file over defaults, every mistake told at once."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from sqlalchemy import make_url

from huren.settings import SettingsWrong, describe, load, shown


def test_defaults_stand_where_nothing_is_said() -> None:
    settings = load({})
    assert (settings.web_port, settings.dimse_port, settings.mllp_port) == (8042, 11112, 2575)
    assert settings.database_url == f"sqlite:///{settings.data / 'huren.sqlite3'}"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "huren.toml"
    file.write_text('web_port = 9000\nae_title = "COUNTY"\n', "utf-8")
    settings = load({"HUREN_CONFIG": str(file), "HUREN_WEB_PORT": "9001"})
    assert (settings.web_port, settings.ae_title) == (9001, "COUNTY")


def test_all_mistakes_are_reported_together(tmp_path: Path) -> None:
    file = tmp_path / "huren.toml"
    file.write_text('colour = "blue"\nsecure_cookies = "maybe"\n', "utf-8")
    with pytest.raises(SettingsWrong) as wrong:
        load({"HUREN_CONFIG": str(file), "HUREN_WEB_PORT": "x", "HUREN_AE_TITLE": "A" * 17, "HUREN_NOPE": "1"})
    told = "\n".join(wrong.value.mistakes)
    for name in ("colour", "secure_cookies", "HUREN_WEB_PORT", "HUREN_AE_TITLE", "HUREN_NOPE"):
        assert name in told
    assert len(wrong.value.mistakes) == 5


def test_two_doors_cannot_share_a_port() -> None:
    with pytest.raises(SettingsWrong, match="share a port"):
        load({"HUREN_WEB_PORT": "2575"})


def test_a_file_that_is_no_toml_is_told(tmp_path: Path) -> None:
    file = tmp_path / "huren.toml"
    file.write_bytes(b"\xff\xfe = [")
    with pytest.raises(SettingsWrong, match=r"huren\.toml"):
        load({"HUREN_CONFIG": str(file)})


def test_settings_are_frozen() -> None:
    settings = load({})
    with pytest.raises(FrozenInstanceError):
        settings.web_port = 1  # type: ignore[misc]


def test_the_page_of_settings_is_up_to_date() -> None:
    page = Path(__file__).parents[3] / "docs" / "configuration.md"
    assert page.read_text("utf-8") == "\n".join(describe()) + "\n"


def test_the_lifecycle_diagrams_are_up_to_date() -> None:
    from huren.diagrams import markdown, replace_between_marks

    page = (Path(__file__).parents[3] / "docs" / "architecture.md").read_text("utf-8")
    assert replace_between_marks(page, markdown()) == page, "run: huren lifecycle --output docs/architecture.md"


def test_a_certificate_comes_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(SettingsWrong, match="set both or neither"):
        load({"HUREN_TLS_CERTIFICATE": str(tmp_path / "a.pem")})
    settings = load({"HUREN_TLS_CERTIFICATE": str(tmp_path / "a.pem"), "HUREN_TLS_KEY": str(tmp_path / "a.key")})
    assert settings.tls_certificate == tmp_path / "a.pem"
    assert load({}).tls_certificate is None
    with pytest.raises(SettingsWrong, match="share a port"):
        load({"HUREN_DIMSE_TLS_PORT": "11112"})


def test_a_file_may_hold_any_setting(tmp_path: Path) -> None:
    port, secret = tmp_path / "port", tmp_path / "secret"
    port.write_text("9001", "utf-8")
    secret.write_text(
        "two lines \n and a half\n\n", "utf-8"
    )  # one newline is the editor's, the second one is somebody's
    settings = load({"HUREN_WEB_PORT_FILE": str(port), "HUREN_OIDC_NAME_FILE": str(secret)})
    assert settings.web_port == 9001
    assert settings.oidc_name == "two lines \n and a half"
    toml = tmp_path / "huren.toml"
    toml.write_text("web_port = 9000\n", "utf-8")
    assert load({"HUREN_CONFIG": str(toml), "HUREN_WEB_PORT_FILE": str(port)}).web_port == 9001


def test_what_is_wrong_with_files_is_told_with_the_rest(tmp_path: Path) -> None:
    wrong_value, no_text = tmp_path / "value", tmp_path / "bytes"
    wrong_value.write_text("x\n", "utf-8")
    no_text.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsWrong) as wrong:
        load(
            {
                "HUREN_AE_TITLE": "A",
                "HUREN_AE_TITLE_FILE": str(wrong_value),
                "HUREN_BROKER_FILE": str(tmp_path / "none"),
                "HUREN_OIDC_NAME_FILE": str(no_text),
                "HUREN_WEB_PORT_FILE": str(wrong_value),
                "HUREN_NOPE_FILE": str(wrong_value),
                "HUREN_WORKERS": "many",
            }
        )
    told = sorted(wrong.value.mistakes)
    assert [line.split(":")[0] for line in told] == [
        "HUREN_AE_TITLE, HUREN_AE_TITLE_FILE",
        "HUREN_BROKER_FILE",
        "HUREN_NOPE_FILE",
        "HUREN_OIDC_NAME_FILE",
        "HUREN_WEB_PORT_FILE",
        "HUREN_WORKERS",
    ]
    assert "No such file" in told[1]


def test_the_database_s_password_has_a_place_of_its_own(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("p@ss:w/rd?#%\n", "utf-8")
    url = "postgresql://huren@/huren?host=/run/postgresql"
    settings = load({"HUREN_DATABASE": url, "HUREN_DATABASE_PASSWORD_FILE": str(secret)})
    opened = make_url(settings.database_url)
    assert (opened.username, opened.password, opened.database) == ("huren", "p@ss:w/rd?#%", "huren")
    assert opened.query == {"host": "/run/postgresql"}
    assert load({"HUREN_DATABASE": url}).database_url == url.replace("postgresql:", "postgresql+psycopg:")
    for wrong in ({}, {"HUREN_DATABASE": "sqlite:///here"}, {"HUREN_DATABASE": "postgresql://me:secret@host/huren"}):
        with pytest.raises(SettingsWrong, match="database_password"):
            load({**wrong, "HUREN_DATABASE_PASSWORD_FILE": str(secret)})
    with pytest.raises(SettingsWrong, match="HUREN_DATABASE: is not the URL"):
        load({"HUREN_DATABASE": "postgresql://host:port/huren"})


def test_systems_of_identifiers_are_named_by_key() -> None:
    named = load({"HUREN_IDENTIFIER_SYSTEMS": "patient/TS01=urn:oid:1.2.3, accession=http://county.example/acc"})
    assert dict(named.identifier_systems) == {"patient/TS01": "urn:oid:1.2.3", "accession": "http://county.example/acc"}
    for wrong in ("TS01=urn:oid:1", "patient/TS01=1.2.3", "accession=urn:a:1,accession=urn:a:2", "a=urn:x:1,b=urn:x:1"):
        with pytest.raises(SettingsWrong, match="HUREN_IDENTIFIER_SYSTEMS"):
            load({"HUREN_IDENTIFIER_SYSTEMS": wrong})


def test_secrets_are_not_shown() -> None:
    settings = load(
        {
            "HUREN_DATABASE": "postgresql://me@host/huren",
            "HUREN_DATABASE_PASSWORD": "hidden1",
            "HUREN_BROKER": "redis://:hidden2@host/0",
            "HUREN_OIDC_CLIENT_SECRET": "hidden3",
        }
    )
    assert "hidden1" not in repr(settings)
    seen = dict(shown(settings))
    assert "hidden" not in str(seen)
    assert (seen["broker"], seen["database_password"]) == ("redis://:***@host/0", "(set, not shown)")
    assert dict(shown(load({})))["database_password"] == ""
