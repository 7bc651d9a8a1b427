"""Settings: environment over file over defaults, every mistake told at once."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from huren.settings import SettingsWrong, describe, load


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
