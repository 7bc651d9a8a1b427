"""Small answers for poor links: gzip, for browsers that take it. Files are packed once, pages as they are made."""

from __future__ import annotations

import gzip
import secrets
from functools import lru_cache
from os import PathLike, stat_result
from pathlib import Path
from typing import Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from starlette.datastructures import Headers
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

PACKABLE: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
WORTH_PACKING: Final = 600  # bytes; less fits into one packet anyway
PAGE_LEVEL: Final = 5  # of gzip: higher levels cost a page time for a hundredth of its size
FILE_LEVEL: Final = 9
BLURRED: Final = 64  # most characters that a page is longer than it need be


def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding header (RFC 9110 section 12.5.3) takes gzip."""
    for item in accepted.split(","):
        name, _, weight = item.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def page(request: Request, text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A page or a part of one.

    A page holds a secret (its CSRF value) beside words from its address. Packed together, their length could tell an
    observer who makes a browser ask many times how well the two agree, so it is blurred at random.
    """
    answer = HTMLResponse(text, status_code=status, headers={"Vary": "Accept-Encoding", **(headers or {})})
    if len(answer.body) < WORTH_PACKING or not takes_gzip(request.headers.get("Accept-Encoding", "")):
        return answer
    noise = f"<!-- {secrets.token_hex(BLURRED)[: secrets.randbelow(BLURRED) + 1]} -->"
    answer.body = gzip.compress(bytes(answer.body) + noise.encode(), PAGE_LEVEL)
    answer.headers["Content-Length"] = str(len(answer.body))
    answer.headers["Content-Encoding"] = "gzip"
    return answer


class PackedFiles(StaticFiles):
    """Static files, packed where that makes them smaller and the browser takes it."""

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """One file, or 304."""
        path, asked = Path(full_path), Headers(scope=scope)
        kind = PACKABLE.get(path.suffix, "")
        if not kind or stat_result.st_size < WORTH_PACKING or not takes_gzip(asked.get("accept-encoding", "")):
            answer = super().file_response(full_path, stat_result, scope, status_code)
            if kind:
                answer.headers["Vary"] = "Accept-Encoding"
            return answer
        body = _packed(path, stat_result.st_mtime_ns)
        mark = f'"{stat_result.st_mtime_ns:x}-{stat_result.st_size:x}-gzip"'
        headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding", "ETag": mark}
        answer = Response(body, status_code, headers, kind)
        return NotModifiedResponse(answer.headers) if self.is_not_modified(answer.headers, asked) else answer


@lru_cache(maxsize=500)
def _packed(path: Path, _changed: int) -> bytes:
    return gzip.compress(path.read_bytes(), FILE_LEVEL, mtime=0)
