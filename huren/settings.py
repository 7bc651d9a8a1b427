"""Settings: from the environment (``HUREN_…``) and one TOML file, validated once, frozen from then on.

The environment wins over the file, the file over the defaults. ``HUREN_…_FILE`` names a file that holds the value: what
stands in the environment is inherited by every child, shown by the container engine, and copied into reports of
crashes. All mistakes are reported together, each with the name of its setting. `docs/configuration.md` is generated
from the fields below.

Long, since it is one list: every setting with its check and its sentence.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from gateway.orthanc import Server
from gateway.outgoing import Allowed
from worklist.people import ROLES

PREFIX = "HUREN_"
IN_FILE = "_FILE"
PASSWORD = re.compile(r"(://[^:@/]*:).*@")  # of a URL
DATA = Path("data")
UNREACHABLE = ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


class SettingsWrong(ValueError):
    """One or more settings are wrong; `mistakes` has one sentence for each."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


def _setting(default: Any, read: Callable[[Any], Any], text: str, unit: str = "", secret: bool = False) -> Any:
    return field(
        default=default, metadata={"read": read, "text": text, "unit": unit, "secret": secret}, repr=not secret
    )


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


def _any_path(value: Any) -> Path | None:
    return _path(value) if _any_text(str(value or "")) else None


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


def _archive_address(value: Any) -> str:
    address = _web_address(value)
    if "@" in urlsplit(address).netloc:
        raise ValueError("must not hold name and password; they are settings of their own")
    return address


def _database(value: Any) -> str:
    url = _any_text(value)
    if url and urlsplit(url).scheme not in ("sqlite", "postgresql", "postgresql+psycopg"):
        raise ValueError("must begin with sqlite:/// or postgresql://")
    url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    try:
        _ = url and make_url(url)
    except (ArgumentError, ValueError):  # whose words may show a piece of the password
        raise ValueError("is not the URL of a database") from None
    return url


def _broker(value: Any) -> str:
    url = _any_text(value)
    if url and urlsplit(url).scheme not in ("redis", "rediss", "amqp", "amqps"):
        raise ValueError("must begin with redis://, rediss://, amqp:// or amqps://")
    return url


def _roles(value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else _any_text(value).split(",")
    roles = tuple(dict.fromkeys(name.strip() for name in names if str(name).strip()))
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise ValueError(f"there is no role {', '.join(unknown)}; there are {', '.join(ROLES)}")
    return roles


def _hosts(value: Any) -> tuple[str, ...]:
    entries = value if isinstance(value, list) else _any_text(value).split(",")
    hosts = tuple(dict.fromkeys(str(entry).strip() for entry in entries if str(entry).strip()))
    Allowed.read(hosts)
    return hosts


def _systems(value: Any) -> tuple[tuple[str, str], ...]:
    entries = value if isinstance(value, list) else _any_text(value).split(",")
    found: dict[str, str] = {}
    for entry in filter(None, (str(entry).strip() for entry in entries)):
        key, _, uri = (part.strip() for part in entry.partition("="))
        if not re.fullmatch(r"[a-z-]+(/\S+)?", key) or not re.fullmatch(r"[a-z][a-z0-9+.-]*:\S+", uri):
            raise ValueError(f"{entry}: must be like patient/TS01=urn:oid:2.16.156.1")
        if key in found or uri in found.values():
            raise ValueError(f"{entry}: is named twice")
        found[key] = uri
    return tuple(found.items())


def _issuer(value: Any) -> str:
    address = _web_address(value)
    parts = urlsplit(address)
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ValueError("must begin with https://: anybody on the way could sign in as anybody")
    return address


port = _whole(0, 65535)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything an operator can set."""

    data: Path = _setting(DATA, _path, "Folder of the database file, the object store and secrets.")
    database: str = _setting("", _database, "Database URL. Empty: the SQLite file huren.sqlite3 in the data folder.")
    database_password: str = _setting(
        "", _any_text, "Password of the database, so that it needs not stand in the URL.", secret=True
    )
    broker: str = _setting(
        "",
        _broker,
        "Queue between `huren scheduler` and `huren worker`: redis:// or amqp://. The embedded server needs none.",
    )
    drop_folder: Path | None = _setting(
        None,
        _any_path,
        "Folder in which carts drop ECG files by FTP or SMB: one folder in it for each device, named as on its record. "
        "Empty: none is watched.",
    )
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
    identifier_systems: tuple[tuple[str, str], ...] = _setting(
        (),
        _systems,
        "What numbers are called in FHIR, as name=URI with commas between them: `patient/TS01=urn:oid:…`, "
        "`placer/TS01=…`, `visit/TS01=…`, `accession=…`, `procedure=…`. What is not named gets an address below "
        "public_url.",
    )
    second_factor_roles: tuple[str, ...] = _setting(
        (),
        _roles,
        "Roles whose people must have a second factor, with commas between them. Set it to PACS admin, security "
        "admin, auditor at least. Empty: it is everybody's own choice.",
    )
    oidc_issuer: str = _setting(
        "", _issuer, "Issuer address of an OpenID Connect provider that people may sign in with. Empty: none."
    )
    oidc_client_id: str = _setting("", _any_text, "What the provider calls us.")
    oidc_client_secret: str = _setting("", _any_text, "Our secret towards the provider.", secret=True)
    oidc_name: str = _setting("", _any_text, "What the sign-in page calls the provider. Empty: its host name.")
    notice_hosts: tuple[str, ...] = _setting(
        (),
        _hosts,
        "Where webhooks and mail servers of notices may be: hosts, host:port and networks such as 10.1.0.0/16, with "
        "commas between them. This machine and link-local addresses count only as networks. Empty: nowhere.",
    )
    region_hosts: tuple[str, ...] = _setting(
        (),
        _hosts,
        "Where regional platforms may be that results are published to, written as notice_hosts. Empty: nowhere.",
    )
    dimse_host: str = _setting("127.0.0.1", _word, "Address that the DICOM door listens on.")
    dimse_port: int = _setting(11112, port, "Port of the DICOM door.")
    dimse_tls_port: int = _setting(
        2762, port, "Port of the DICOM door over TLS, for devices with a certificate. 0: none."
    )
    ae_title: str = _setting("HUREN", _ae_title, "Our AE title; devices must call it by this name.")
    dimse_stock: bool = _setting(
        False,
        _flag,
        "Leave the receiving of DICOM objects to the library: slower, each object in memory. For trouble only.",
    )
    dimse_associations: int = _setting(50, _whole(1, 1000), "Associations at the same time, all devices together.")
    largest_object: int = _setting(512, _whole(1, 100_000), "Largest DICOM object that is taken.", unit="MiB")
    mllp_host: str = _setting("127.0.0.1", _word, "Address that the HL7 door listens on.")
    mllp_port: int = _setting(2575, port, "Port of the HL7 door.")
    mllp_tls_port: int = _setting(2576, port, "Port of the HL7 door over TLS, for devices with a certificate. 0: none.")
    largest_message: int = _setting(1024, _whole(1, 65536), "Largest HL7 message that is taken.", unit="KiB")
    tls_certificate: Path | None = _setting(
        None,
        _any_path,
        "Our certificate for the device doors, and the chain above it, in PEM. Empty: one that we made ourselves, in "
        "the folder tls of the data folder.",
    )
    tls_key: Path | None = _setting(None, _any_path, "The private key of tls_certificate, in PEM, without a password.")
    reserve: int = _setting(
        512,
        _whole(0, 1_000_000),
        "Free disk space below which new objects are refused, so that signing goes on.",
        unit="MiB",
    )
    disk_warning: int = _setting(
        10_240,
        _whole(0, 100_000_000),
        "Free disk space below which the PACS admins get a notice and `/readyz` says degraded.",
        unit="MiB",
    )
    metrics_host: str = _setting("127.0.0.1", _word, "Address that the port for metrics listens on.")
    metrics_port: int = _setting(
        0,
        port,
        "Port on which each process gives its own metrics to Prometheus, without asking who it is. Processes of one "
        "machine need one each. 0: none.",
    )
    archive_url: str = _setting(
        "",
        _archive_address,
        "Address of an Orthanc that every complete study is copied to and read back from, on this machine or an inner "
        "network. Empty: no archive.",
    )
    archive_user: str = _setting("", _any_text, "Our name there.")
    archive_password: str = _setting("", _any_text, "Our password there.", secret=True)
    archive_replica_url: str = _setting(
        "", _web_address, "Address of a second Orthanc that gets the same. Empty: none."
    )
    archive_replica_user: str = _setting("", _any_text, "Our name at the second one.")
    archive_replica_password: str = _setting("", _any_text, "Our password at the second one.", secret=True)
    archive_trusted: Path | None = _setting(
        None, _any_path, "PEM file of certificates that the archives may show over https. Empty: known authorities."
    )
    archive_keep_days: int = _setting(
        0,
        _whole(0, 36_500),
        "How long images stay here after every archive gave them back and their report is signed. Then they are read "
        "from the archive. 0: for ever.",
        unit="days",
    )
    archive_cache: int = _setting(
        10_240, _whole(0, 10_000_000), "Room for images that were read from the archive again.", unit="MiB"
    )
    tsa_url: str = _setting(
        "",
        _web_address,
        "Address of a time stamping authority (RFC 3161) that stamps the register of signed versions. Empty: none.",
    )
    tsa_trusted: Path | None = _setting(
        None, _any_path, "PEM file of the certificates that its time stamps have to lead to."
    )
    workers: int = _setting(4, _whole(1, 64), "Threads that run jobs in the embedded server, or in one `huren worker`.")

    @property
    def database_url(self) -> str:
        """The database to open, with its password."""
        if not self.database:
            return f"sqlite:///{self.data / 'huren.sqlite3'}"
        if not self.database_password:
            return self.database
        return make_url(self.database).set(password=self.database_password).render_as_string(hide_password=False)

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
    def tls_folder(self) -> Path:
        """Where the certificate that we made ourselves and its key are kept."""
        return self.data / "tls"

    @property
    def archives(self) -> tuple[Server, ...]:
        """The archives that are in use."""
        url, user, password = self.archive_replica_url, self.archive_replica_user, self.archive_replica_password
        both = (
            Server("archive", self.archive_url, self.archive_user, self.archive_password, self.archive_trusted),
            Server("replica", url, user, password, self.archive_trusted),
        )
        return tuple(server for server in both if server.url)

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
    for where, name, raw in (*_from_file(file, mistakes), *_from_environment(environment, mistakes)):
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
    names = ("web_port", "dimse_port", "dimse_tls_port", "mllp_port", "mllp_tls_port", "metrics_port")
    ports = [number for name in names if (number := getattr(settings, name))]
    if len(set(ports)) < len(ports):
        mistakes.append(f"{', '.join(names)}: two doors cannot share a port")
    if settings.database_password and not settings.database.startswith("postgresql"):
        mistakes.append("database_password: an SQLite file has none; set database, too")
    elif settings.database_password and make_url(settings.database).password:
        mistakes.append("database, database_password: two passwords; take the one out of the URL")
    if settings.oidc_issuer and not (settings.oidc_client_id and settings.reached_at):
        mistakes.append("oidc_issuer: set oidc_client_id, and public_url for the way back, too")
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        mistakes.append("tls_certificate, tls_key: set both or neither")
    if bool(settings.tsa_url) != (settings.tsa_trusted is not None):
        mistakes.append("tsa_url, tsa_trusted: set both or neither; a stamp of just anybody says nothing")
    if settings.archive_replica_url and settings.archive_replica_url == settings.archive_url:
        mistakes.append("archive_replica_url: is the archive itself; a second copy belongs on another disk")
    if settings.archive_keep_days and not settings.archives:
        mistakes.append("archive_keep_days: there is no archive that images could be read from; set archive_url")
    if mistakes:
        raise SettingsWrong(mistakes)
    return settings


def shown(settings: Settings) -> Iterator[tuple[str, str]]:
    """Every setting and its value; of a secret only whether there is one, of a URL not its password."""
    for f in fields(Settings):
        value = str(getattr(settings, f.name))
        yield f.name, "(set, not shown)" if f.metadata["secret"] and value else PASSWORD.sub(r"\1***@", value)


def describe() -> Iterator[str]:
    """Lines of `docs/configuration.md`."""
    yield "# Configuration"
    yield ""
    yield "Generated by `huren settings --markdown`; do not edit. Each setting comes from the environment variable or,"
    yield "without its prefix and in lower case, from the TOML file that `HUREN_CONFIG` names. The environment wins."
    yield ""
    yield "Instead of a variable, the same one with `_FILE` at its end may name a file that holds the value (but for"
    yield "one newline at its end): `HUREN_DATABASE_PASSWORD_FILE=/run/secrets/database_password`. For secrets always"
    yield "do so: what stands in the environment is seen by whoever sees the process. Both at once are a mistake. A"
    yield "setting with a star is a secret: `huren settings` does not show it, nor the password inside a URL."
    yield ""
    yield "| environment | in the file | default | meaning |"
    yield "|---|---|---|---|"
    for f in fields(Settings):
        unit = f" ({f.metadata['unit']})" if f.metadata["unit"] else ""
        star = " *" if f.metadata["secret"] else ""
        yield f"| `{PREFIX}{f.name.upper()}`{star} | `{f.name}` | `{_shown(f)}` | {f.metadata['text']}{unit} |"


def _shown(f: Field[Any]) -> str:
    if f.default is MISSING or f.default in ("", None, ()):
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


def _from_environment(environment: Mapping[str, str], mistakes: list[str]) -> list[tuple[str, str, Any]]:
    found = []
    for key, raw in sorted(environment.items()):
        if not key.startswith(PREFIX) or key == PREFIX + "CONFIG":
            continue
        if key.endswith(IN_FILE):
            whose = key.removesuffix(IN_FILE)
            if whose in environment:
                mistakes.append(f"{whose}, {key}: set one of them")
                continue
            try:
                raw = Path(raw).read_text("utf-8").removesuffix("\n")
            except (OSError, ValueError) as error:  # a file of other bytes is a ValueError
                words = error.strerror if isinstance(error, OSError) else "is not a text in UTF-8"
                mistakes.append(f"{key}: {raw}: {words}")
                continue
            found.append((key, whose.removeprefix(PREFIX).lower(), raw))
        else:
            found.append((key, key.removeprefix(PREFIX).lower(), raw))
    return found
