"""The addresses under which DICOMweb stands, and one way to put an endpoint under all of them (PS3.18 8.3, 10).

``/dicom-web``
    everything in the caller's scope
``/dicom-web/readings/{reading_id}``
    the studies of one case, and the priors of its patient that the caller may open
``/dicom-web/held/{study_id}``
    one study by our own id, which is unambiguous where two institutions use one Study Instance UID
``/dicom-web/shares/{share_id}``
    the studies of one order, for a guest whom a link lets in
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Final, Literal

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from worklist.errors import NotFound
from worklist.queries.imaging import Root

BASE: Final = "/dicom-web"
ROOTS: Final = (BASE, f"{BASE}/readings/{{reading_id}}", f"{BASE}/held/{{study_id}}", f"{BASE}/shares/{{share_id}}")
NARROW: Final[tuple[tuple[str, Literal["reading", "held", "share"], str], ...]] = (
    ("reading_id", "reading", "no_such_reading"),
    ("study_id", "held", "no_such_study"),
    ("share_id", "share", "no_such_share"),
)

Endpoint = Callable[[Request], Awaitable[Response]]


class Resources(APIRouter):
    """Endpoints that stand under every root.

    Paths name their parts ``{study_uid}``, ``{series_uid}``, ``{instance_uid}`` and ``{frames}``. They are plain
    routes: an endpoint takes the request and answers with a response, and stays out of the API's own description.
    """

    every: ClassVar[list[Resources]] = []
    """All there are, to say which methods an address takes."""

    def __init__(self) -> None:
        super().__init__()
        self.every.append(self)

    def at(self, path: str, *, methods: Sequence[str] = ("GET",)) -> Callable[[Endpoint], Endpoint]:
        """Serve `path` below every root; HEAD goes with GET."""

        def add(endpoint: Endpoint) -> Endpoint:
            for root in ROOTS:
                self.add_route(root + path, endpoint, methods=list(methods), include_in_schema=False)
            return endpoint

        return add


def root_of(request: Request) -> Root:
    """The root that a request came under.

    Raises
    ------
    NotFound
        ``no_such_reading``, ``no_such_study``, ``no_such_share`` for an id that nothing of ours has.
    """
    for name, kind, code in NARROW:
        id = request.path_params.get(name)
        if id is not None:
            if not (id.isascii() and id.isalnum()):
                raise NotFound(code)
            return Root(kind, id)
    return Root("all")


def path_of(root: Root) -> str:
    """The address of a root, without the host."""
    names = {"all": "", "reading": f"/readings/{root.id}", "held": f"/held/{root.id}", "share": f"/shares/{root.id}"}
    return BASE + names[root.kind]


def base_url(request: Request) -> str:
    """How the caller reaches this server, without a slash at the end: what a proxy says of itself is honoured by
    uvicorn, where it is told to trust it."""
    return str(request.base_url).rstrip("/")


def is_dicomweb(request: Request) -> bool:
    """Whether a request is for these addresses."""
    return request.url.path == BASE or request.url.path.startswith(f"{BASE}/")


async def anything_else(request: Request) -> Response:
    """OPTIONS says which methods an address takes, and nothing of what lies there, so nobody need sign in. What came
    this far with another method is 405 where the address exists, and else 404."""
    methods = set()
    for route in (route for resources in Resources.every for route in resources.routes):
        for name in getattr(route, "methods", None) or ():
            if route.matches({**request.scope, "method": name})[0] is Match.FULL:
                methods.add(name)
    if not methods:
        raise HTTPException(404)
    allowed = {"Allow": ", ".join(sorted({*methods, "OPTIONS"}))}
    if request.method != "OPTIONS":
        raise HTTPException(405, headers=allowed)
    return Response(status_code=204, headers=allowed)


router = APIRouter()
"""Goes on last, behind everything that serves."""
router.add_route(
    f"{BASE}/{{rest:path}}",
    anything_else,
    methods=["OPTIONS", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
    include_in_schema=False,
)
