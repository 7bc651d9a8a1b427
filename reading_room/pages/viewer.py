"""OHIF under /ohif: the page that loads it, and its files.

The files carry no data, so they need no sign-in; the page does, and the DICOMweb door asks for itself.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from gateway.guests import let_in
from gateway.http import NotSignedIn, require_ready
from reading_room import viewer
from reading_room.pages.frame import View, asking, go_on, new_router, static_address
from worklist.errors import NotFound
from worklist.people import Actor

router = new_router()


@router.get("/ohif")
@router.get("/ohif/")
def no_list() -> Response:
    """OHIF's own list of studies is never shown: ours is."""
    return go_on("/")


@router.get("/ohif/licences")
def licences() -> Response:
    """The licences of OHIF and of the decoders that it carries."""
    path = viewer.licences()
    if path is None:
        raise NotFound("page_not_found")
    return FileResponse(path, media_type="text/plain; charset=utf-8")


@router.get("/ohif/{edition}/{name:path}")
def file(request: Request, edition: str, name: str) -> Response:
    """One file of the viewer, compressed where the browser takes it so."""
    path = viewer.find(f"{edition}/{name}")
    if path is None:
        raise NotFound("page_not_found")
    headers = viewer.headers_of(path)
    small = viewer.compressed(path) if "gzip" in request.headers.get("Accept-Encoding", "") else None
    if small is not None:
        headers["Content-Encoding"] = "gzip"
    return FileResponse(small or path, media_type=viewer.TYPES[path.suffix], headers=headers)


@router.get("/ohif/{mode}")
def page(request: Request, mode: str, actor: Annotated[Actor | None, Depends(asking)]) -> Response:
    """The viewer's page, for each of its modes. `case`, `held` or `share` in the address names what it may ask for.

    Raises
    ------
    NotSignedIn, NotReady
        For a window of its own. In a frame our sign-in page may not be shown, so a frame says it in words.
    NotFound
        ``viewer_not_installed``; ``no_such_share`` for a guest whose link is over.
    """
    if not mode.isalpha():
        raise NotFound("page_not_found")
    headers = {"Content-Security-Policy": viewer.DOCUMENT}
    view = View(request, actor)
    share = request.query_params.get("share", "")
    if share:
        let_in(view.web, request, share[:64])
        return _document(view, headers)
    if actor is None and request.headers.get("Sec-Fetch-Dest") == "iframe":
        return HTMLResponse(view.part("viewer_signed_out.html"), status_code=401, headers=headers)
    if actor is None:
        raise NotSignedIn("not_signed_in")
    require_ready(view.web, actor)
    return _document(view, headers)


def _document(view: View, headers: dict[str, str]) -> Response:
    text = viewer.document(view.words.tag, static_address("ohif-config.js"))
    if not text:
        raise NotFound("viewer_not_installed")
    return HTMLResponse(text, headers=headers)
