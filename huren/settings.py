"""Settings: from the environment (``HUREN_…``) and one TOML file, validated once, frozen from then on.

The environment wins over the file, the file over the defaults. All mistakes are reported together, each with the
name of its setting. `docs/configuration.md` is generated from the fields below.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PREFIX = "HUREN_"
DATA = Path("data")
UNREACHABLE = ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


class SettingsWrong(ValueError):
    """One or more settings are wrong; `mistakes` has one sentence for each."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


def _setting(default: Any, read: Callable[[Any], Any], text: str, unit: str = "") -> Any:
    return field(default=default, metadata={"read": read, "text": text, "unit": unit})


def _word(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty")
    return value.strip()


def _any_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("must be a text")
    return value.strip()


def _path(value: Any) -> Path:
    return Path(_word(str(value))).expanduser().absolute()


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("1", "true", "yes", "on"):
        return True
    if str(value).lower() in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("must be true or false")


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        try:
            number = int(str(value))
        except ValueError:
            raise ValueError("must be a whole number") from None
        if isinstance(value, bool) or not low <= number <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return number

    return read


def _ae_title(value: Any) -> str:
    title = _word(value)
    if len(title) > 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise ValueError("must be an AE title: at most 16 ASCII characters without backslash (DICOM PS3.5 6.2)")
    return title


def _web_address(value: Any) -> str:
    address = _any_text(value).rstrip("/")
    parts = urlsplit(address)
    if address and (parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment):
        raise ValueError("must begin with http:// or https:// and have no ? or #")
    return address


def _database(value: Any) -> str:
    url = _any_text(value)
    if url and urlsplit(url).scheme not in ("sqlite", "postgresql", "postgresql+psycopg"):
        raise ValueError("must begin with sqlite:/// or postgresql://")
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


port = _whole(0, 65535)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything an operator can set."""

    data: Path = _setting(DATA, _path, "Folder of the database file, the object store and secrets.")
    database: str = _setting("", _database, "Database URL. Empty: the SQLite file huren.sqlite3 in the data folder.")
    web_host: str = _setting("127.0.0.1", _word, "Address that the web door listens on.")
    web_port: int = _setting(8042, port, "Port of the web door. (Orthanc uses the same by default.)")
    secure_cookies: bool = _setting(
        False, _flag, "Send cookies over HTTPS only. Set it wherever browsers come through HTTPS."
    )
    public_url: str = _setting(
        "",
        _web_address,
        "How people outside reach the web door, printed in reports' QR codes. Empty: web_host and web_port, or no QR "
        "code where those say this machine alone.",
    )
    dimse_host: str = _setting("127.0.0.1", _word, "Address that the DICOM door listens on.")
    dimse_port: int = _setting(11112, port, "Port of the DICOM door.")
    ae_title: str = _setting("HUREN", _ae_title, "Our AE title; devices must call it by this name.")
    dimse_associations: int = _setting(50, _whole(1, 1000), "Associations at the same time, all devices together.")
    largest_object: int = _setting(512, _whole(1, 100_000), "Largest DICOM object that is taken.", unit="MiB")
    mllp_host: str = _setting("127.0.0.1", _word, "Address that the HL7 door listens on.")
    mllp_port: int = _setting(2575, port, "Port of the HL7 door.")
    largest_message: int = _setting(1024, _whole(1, 65536), "Largest HL7 message that is taken.", unit="KiB")
    reserve: int = _setting(
        512,
        _whole(0, 1_000_000),
        "Free disk space below which new objects are refused, so that signing goes on.",
        unit="MiB",
    )
    workers: int = _setting(4, _whole(1, 64), "Threads that run jobs in the embedded server.")

    @property
    def database_url(self) -> str:
        """The database to open."""
        return self.database or f"sqlite:///{self.data / 'huren.sqlite3'}"

    @property
    def reached_at(self) -> str:
        """The address of the web door as people outside type it, without a slash at the end; empty where nobody can
        reach it: an address of this machine alone must not be sealed into a report."""
        if self.public_url or self.web_host in UNREACHABLE:
            return self.public_url
        host = f"[{self.web_host}]" if ":" in self.web_host else self.web_host
        return f"http://{host}:{self.web_port}"

    @property
    def seals(self) -> Path:
        """Where the institutions' keys and certificates for signing PDFs are kept."""
        return self.data / "seals"

    @property
    def store_folder(self) -> Path:
        """Where objects are kept."""
        return self.data / "objects"


def load(environment: Mapping[str, str] | None = None, file: Path | None = None) -> Settings:
    """Read, validate and freeze the settings.

    `file` is the TOML file; without it, the one that ``HUREN_CONFIG`` names, if any.

    Raises
    ------
    SettingsWrong
        with every mistake that was found.
    """
    environment = os.environ if environment is None else environment
    known = {f.name: f for f in fields(Settings)}
    mistakes: list[str] = []
    values: dict[str, Any] = {}
    named = environment.get(PREFIX + "CONFIG", "")
    file = file or (Path(named) if named else None)
    for where, name, raw in (*_from_file(file, mistakes), *_from_environment(environment)):
        if name not in known:
            mistakes.append(f"{where}: there is no such setting")
            continue
        try:
            values[name] = known[name].metadata["read"](raw)
        except (TypeError, ValueError) as error:
            mistakes.append(f"{where}: {error}")
    if "data" not in values:
        values["data"] = DATA.absolute()
    settings = Settings(**values)
    ports = [settings.web_port, settings.dimse_port, settings.mllp_port]
    if len({p for p in ports if p}) < len([p for p in ports if p]):
        mistakes.append("web_port, dimse_port, mllp_port: two doors cannot share a port")
    if mistakes:
        raise SettingsWrong(mistakes)
    return settings


def describe() -> Iterator[str]:
    """Lines of `docs/configuration.md`."""
    yield "# Configuration"
    yield ""
    yield "Generated by `huren settings --markdown`; do not edit. Each setting comes from the environment variable or,"
    yield "without its prefix and in lower case, from the TOML file that `HUREN_CONFIG` names. The environment wins."
    yield ""
    yield "| environment | in the file | default | meaning |"
    yield "|---|---|---|---|"
    for f in fields(Settings):
        unit = f" ({f.metadata['unit']})" if f.metadata["unit"] else ""
        yield f"| `{PREFIX}{f.name.upper()}` | `{f.name}` | `{_shown(f)}` | {f.metadata['text']}{unit} |"


def _shown(f: Field[Any]) -> str:
    if f.default is MISSING or f.default == "":
        return " "
    return str(f.default).lower() if isinstance(f.default, bool) else str(f.default)


def _from_file(file: Path | None, mistakes: list[str]) -> list[tuple[str, str, Any]]:
    if file is None:
        return []
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        mistakes.append(f"{file}: {error}")
        return []
    return [(f"{name} in {file}", name, raw) for name, raw in content.items()]


def _from_environment(environment: Mapping[str, str]) -> list[tuple[str, str, Any]]:
    return [
        (key, key.removeprefix(PREFIX).lower(), raw)
        for key, raw in sorted(environment.items())
        if key.startswith(PREFIX) and key != PREFIX + "CONFIG"
    ]
