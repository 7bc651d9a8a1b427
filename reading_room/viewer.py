"""OHIF: where it shows which images, and its files with the security policies that they need.

`scripts/vendor_ohif.py` puts the files into reading_room/vendor/ohif; `reading_room/pages/viewer.py` serves them. The
viewer learns from its own address which DICOMweb root it may ask: the case's (`case`), one held study's (`held`) or a
guest's (`share`); see reading_room/static/ohif-config.js.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

FILES: Final = Path(__file__).parent / "vendor" / "ohif"
KEPT: Final = "public, max-age=31536000, immutable"  # the folder's name says which edition it is
TYPES: Final = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".wasm": "application/wasm",
    ".png": "image/png",
    ".ico": "image/vnd.microsoft.icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain",
}

# OHIF writes style attributes; its PDF viewport is an <object>. Nothing may be evaluated in the document.
DOCUMENT: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src 'self'; frame-src 'self'; object-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
# A worker obeys the policy of its own script: the decoders compile with `new Function`, and reach nothing else.
WORKER: Final = "default-src 'none'; script-src 'self' 'unsafe-eval'; connect-src 'self'"
WORKERS: Final = (
    "8097.bundle.",
    "136.bundle.",
    "2299.bundle.",
    "compute.bundle.",
    "polySeg.bundle.",
    "histogram-worker.bundle.",
    "interpolation.bundle.",
    "dataLoader.worker.",
)
SLIDES: Final = "SM"  # DICOM PS3.3 C.7.3.1.1.1: slide microscopy


def address(
    study_uids: Sequence[str],
    *,
    case: str = "",
    held: str = "",
    share: str = "",
    modality: str = "",
    beside: Sequence[str] = (),
) -> str:
    """Where the viewer shows some studies: of a case, one held study by our id, or what a guest's share opens.

    `beside` are Study Instance UIDs of a prior: the viewer begins with the first study and the prior side by side.
    """
    mode = "microscopy" if modality == SLIDES and not beside else "viewer"
    query = {
        "StudyInstanceUIDs": ",".join([*study_uids[:1], *beside, *study_uids[1:]]),
        **({"case": case} if case else {"share": share} if share else {"held": held}),
    }
    if beside:
        query["hangingProtocolId"] = "huren-compare"
    return f"/ohif/{mode}?{urlencode(query, safe=',@/')}"


def installed() -> bool:
    """Whether OHIF is there at all; pages show the previews where it is not."""
    return bool(_edition())


def document(tag: str, config: str) -> str:
    """The viewer's page for a reader's language (BCP 47) with the address of our settings; empty when not installed."""
    return _page(_edition()).replace("@@LANG@@", escape(tag)).replace("@@CONFIG@@", escape(config))


def find(name: str) -> Path | None:
    """The file at an address below /ohif/, if there is one: no name from the wire becomes a path."""
    return _files().get(name)


def licences() -> Path | None:
    """The licences of OHIF and of the decoders that it carries."""
    return find(f"{_edition()}/LICENSES.txt")


def headers_of(path: Path) -> dict[str, str]:
    """The headers of a file's answer: how long it is kept, and for a worker's script its policy."""
    headers = {"Cache-Control": KEPT, "Vary": "Accept-Encoding"}
    if path.name.startswith(WORKERS):
        headers["Content-Security-Policy"] = WORKER
    return headers


def compressed(path: Path) -> Path | None:
    """The gzip copy that the install made of a file, if it made one."""
    small = path.with_name(path.name + ".gz")
    return small if small.is_file() else None


@lru_cache(maxsize=1)
def _edition() -> str:
    """The folder of the edition that is installed, or nothing."""
    folders = sorted(folder.name for folder in FILES.glob("[0-9]*") if (folder / "index.html").is_file())
    return folders[-1] if folders else ""


@lru_cache(maxsize=1)
def _files() -> Mapping[str, Path]:
    """Every file that may be asked for, by its address below /ohif/: no name from the wire becomes a path."""
    edition = _edition()
    root = FILES / edition
    return {
        f"{edition}/{path.relative_to(root).as_posix()}": path
        for path in (root.rglob("*") if edition else ())
        if path.suffix in TYPES
    }


@lru_cache(maxsize=1)
def _page(edition: str) -> str:
    return "" if not edition else (FILES / edition / "index.html").read_text(encoding="utf-8")
