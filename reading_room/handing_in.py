"""What becomes of the files of an upload, whichever way their bytes came: one request, a batch, or in pieces."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import IO, Any, Final

from gateway.archives import open_archive
from gateway.ecgs import is_recording
from gateway.http import Web
from gateway.intake import ObjectIntake
from gateway.spool import Spool
from gateway.uploads import (
    in_batches,
    is_paper,
    shown_name,
    take_file,
    take_packed,
    take_paper,
    take_recording,
)
from interfaces.dicom.elements import Buffer
from interfaces.dicom.files import looks_like_dicom
from reading_room.api.answers import understood
from reading_room.error_words import error_text
from reading_room.words import Words
from worklist.actions import uploads
from worklist.actions.uploads import FileFate, UploadTarget
from worklist.errors import BadInput, HurenError
from worklist.facts import PictureFiling
from worklist.people import Actor

BATCH: Final = 50  # files of an archive that are noted in one transaction


@dataclass(frozen=True)
class HandingIn:
    """The files of one upload, as one person hands them in."""

    web: Web
    by: Actor
    target: UploadTarget

    def take(self, name: str, data: Buffer, number: int = 1) -> list[FileFate]:
        """Store a file: an object as it is; a cart's own ECG, or a picture or PDF for the upload's order, wrapped.

        `number` is its place among the files. Several fates: a file of several pages. They are not recorded yet.

        Raises
        ------
        TryLater, Broken
            The file must be sent again.
        """
        size = len(memoryview(data))
        if size > self.web.largest_object:
            return [self.too_large(name, size)]
        if is_recording(data) or not self.target.order_id or looks_like_dicom(data) or not is_paper(data):
            return [self._object(name, data)]
        try:
            filing = self._filing()
        except HurenError as error:
            return [FileFate(shown_name(name), size, "refused", error.code, dict(error.params))]
        return take_paper(self._intake, self.web.store, self._sender, self.by, filing, self._held, name, number, data)

    def _object(self, name: str, data: Buffer) -> FileFate:
        """A DICOM file, or a cart's own ECG."""
        origin = self.target.origin
        if not is_recording(data):
            return take_file(self._intake, self._sender, self.by, origin, name, data)
        try:
            filing = self._filing() if self.target.order_id else None
        except HurenError as error:
            size = len(memoryview(data))
            return FileFate(shown_name(name), size, "refused", error.code, dict(error.params))
        store, held = self.web.store, self._held
        return take_recording(self._intake, store, self._sender, self.by, filing, held, name, data, origin=origin)

    def _filing(self) -> PictureFiling:
        return self.web.database.read(lambda s: uploads.filing_of(s, self.by, self.target.id))

    def record(self, fates: list[FileFate]) -> None:
        """Note what became of some files."""
        now = self.web.clock()
        self.web.database.write(lambda s: uploads.record(s, self.by, self.target.id, fates, now))

    def unpack(
        self,
        name: str,
        file: IO[bytes],
        size: int,
        settled: Callable[[Mapping[str, object]], None],
        close: Callable[[], None],
    ) -> Iterator[str]:
        """Take the files of an archive; yields lines of JSON: ``{"done", "of"}`` and counts by outcome, the last one
        may be ``{"error": {"code", "message"}}``. `settled` is called with the sums when all of it is done, `close`
        at the end in any case."""
        counts: dict[str, int] = {}
        done = of = 0
        try:
            with open_archive(file, self.web.largest_object) as packed:
                of = len(packed)
                self.web.database.write(lambda s: uploads.announce_more(s, self.by, self.target.id, of - 1))
                yield _line(done=0, of=of, **counts)
                spools = (Spool(self.web.spool, self.web.largest_object, self.has_room) for _file in packed)
                fates = (
                    take_packed(self._object, inside, name, one) for inside, one in zip(packed, spools, strict=True)
                )
                for batch in in_batches(fates, BATCH):
                    self.record(batch)
                    for fate in batch:
                        counts[fate.outcome] = counts.get(fate.outcome, 0) + 1
                    done += len(batch)
                    if done == of:
                        settled({"done": done, "of": of, **counts})
                    yield _line(done=done, of=of, **counts)
        except BadInput as error:  # no archive at all: the person hears of it in the receipt too
            self.record([FileFate(shown_name(name), size, "refused", error.code, dict(error.params))])
            settled({"done": 1, "of": 1, "refused": 1})
            yield _line(done=1, of=1, refused=1)
        except HurenError as error:
            _status, code, params = understood(error)
            yield _line(error={"code": code, "message": self.message(code, params)})
        finally:
            close()

    def too_large(self, name: str, size: int) -> FileFate:
        """The fate of a file beyond the largest object."""
        limit = self.web.largest_object >> 20
        return FileFate(shown_name(name), size, "refused", "object_too_large", {"limit": limit})

    def message(self, code: str, params: Any) -> str:
        """An error in the person's words, ``""`` without one."""
        return error_text(code, params, Words(self.by.language)) if code else ""

    def has_room(self) -> bool:
        """Whether the disk may still be written to."""
        return self.web.store.free_bytes() >= self.web.reserve

    @cached_property
    def _intake(self) -> ObjectIntake:
        return ObjectIntake(self.web.database, self.web.store, self.web.clock)

    @cached_property
    def _sender(self) -> Any:
        return uploads.sender(self.by)

    @property
    def _held(self) -> Callable[[str], str]:
        return lambda uid: self.web.database.read(partial(_held, by=self.by, uid=uid))


def _held(session: Any, *, by: Actor, uid: str) -> str:
    return uploads.is_held(session, by, uid)


def _line(**said: object) -> str:
    return json.dumps(said, ensure_ascii=False) + "\n"
