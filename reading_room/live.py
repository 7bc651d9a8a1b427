"""News for open pages (``GET /live``): server-sent events that say what kind of thing moved, and nothing else. Each
browser is told of what is its person's: of their institution, their centers, themselves.

One task of the process looks at the database about once a second for all browsers together, so an open page costs
neither a thread nor a connection to the database. What is told carries no data: the page asks again for the part that
shows such things, within the scope of whoever looks at it, and is answered 304 where nothing changed for them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from typing import Any, Final

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.http import NotReady, Served, Web, maybe_actor, require_ready
from worklist.errors import HurenError
from worklist.people import Actor
from worklist.queries.news import ALL, EVERYBODY, News, Watch, ears, heard

LOOK_EVERY: Final = 1.0  # seconds
HEARTBEAT: Final = 20.0  # seconds; below what proxies wait for on a silent connection
RECENT: Final = 15.0  # seconds: news that a page may have missed between being made and listening
LINGER: Final = 60.0  # seconds that are looked on when nobody listens: people go from page to page
MOST_STREAMS: Final = 6  # of one session; a browser shares one among its pages

log = structlog.get_logger(__name__)
router = APIRouter(include_in_schema=False)


class Stream:
    """One browser that listens. News of one kind that it has not been sent yet is told once."""

    def __init__(self, actor: Actor) -> None:
        self.session_id = actor.session_id
        self.has_ended = False
        self._ears = ears(actor)
        self._kinds: set[str] = set()
        self._wake = asyncio.Event()

    def tell(self, moved: Collection[tuple[str, str]]) -> None:
        """These moved, each a kind and whose; what is not the person's is passed over."""
        if kinds := heard(moved, self._ears):
            self._kinds |= kinds
            self._wake.set()

    def end(self) -> None:
        """Close the connection; the browser may come back."""
        self.has_ended = True
        self._wake.set()

    async def events(self) -> AsyncIterator[bytes]:
        """The body of the answer, until the stream is ended."""
        yield b": Huren\n\n"
        while not self.has_ended:
            try:
                await asyncio.wait_for(self._wake.wait(), HEARTBEAT)
            except TimeoutError:
                yield b": still here\n\n"
                continue
            self._wake.clear()
            kinds, self._kinds = sorted(self._kinds), set()
            for kind in kinds:
                yield f"event: {kind}\ndata: moved\n\n".encode()


class Live:
    """All browsers that listen to this process, and the task that looks for them."""

    def __init__(self) -> None:
        self.streams: set[Stream] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._recent: dict[tuple[str, str], float] = {}
        self._last_left = 0.0

    def open(self, web: Web, actor: Actor) -> Stream | None:
        """A new stream for the actor's session; None if it has as many as it may."""
        if sum(s.session_id == actor.session_id for s in self.streams) >= MOST_STREAMS:
            return None
        if self._watcher is None or self._watcher.done():
            # What happened before the first look is not known, so everything may have.
            self._recent = dict.fromkeys(((kind, EVERYBODY) for kind in ALL), time.monotonic())
            self._watcher = asyncio.get_running_loop().create_task(self._watch(web), name="live")
        since = time.monotonic() - RECENT
        stream = Stream(actor)
        stream.tell([moved for moved, at in self._recent.items() if at > since])
        self.streams.add(stream)
        return stream

    def leave(self, stream: Stream) -> None:
        """The browser is gone."""
        self.streams.discard(stream)
        self._last_left = time.monotonic()

    def close(self) -> None:
        """End every stream: the process is about to stop."""
        for stream in self.streams:
            stream.end()

    async def _watch(self, web: Web) -> None:
        watch = Watch()
        try:
            while self.streams or time.monotonic() - self._last_left < LINGER:
                sessions = {stream.session_id for stream in self.streams}
                try:
                    news = await asyncio.to_thread(
                        web.database.read, lambda s, ids=sessions: watch.look(s, web.clock(), ids)
                    )
                except HurenError as error:  # the database is away: browsers keep their slow polls meanwhile
                    log.warning("nothing to tell browsers", code=error.code)
                else:
                    self._tell(news)
                await asyncio.sleep(LOOK_EVERY)
        finally:
            self.close()  # whoever still listens would hear nothing: let them come again, and a new watcher begin

    def _tell(self, news: News) -> None:
        at = time.monotonic()
        self._recent = {moved: told for moved, told in self._recent.items() if told > at - RECENT}
        self._recent |= dict.fromkeys(news.moved, at)
        for stream in self.streams:
            if stream.session_id in news.ended:
                stream.end()
            else:
                stream.tell(news.moved)


@router.get("/live")
async def live(request: Request, web: Served) -> Response:
    """Listen. 204 tells a browser that there is nothing for it: nobody is signed in, or it listens often enough."""
    actor = await maybe_actor(request)
    if actor is None or not actor.session_id:
        return Response(status_code=204)
    try:
        require_ready(web, actor)
    except NotReady:
        return Response(status_code=204)
    hub = hub_of(request.app)
    stream = hub.open(web, actor)
    if stream is None:
        return Response(status_code=204)
    return _Events(hub, stream)


def hub_of(app: Any) -> Live:
    """The app's `Live`, made when it is first asked for."""
    if not hasattr(app.state, "live"):
        app.state.live = Live()
    hub = app.state.live
    assert isinstance(hub, Live)  # noqa: S101 - set one line above
    return hub


class _Events(StreamingResponse):
    """A stream's events; however it ends, the hub forgets it."""

    def __init__(self, hub: Live, stream: Stream) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy must not keep events back
        super().__init__(stream.events(), media_type="text/event-stream", headers=headers)
        self._hub, self._stream = hub, stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._hub.leave(self._stream)
