"""STOW-RS: objects handed in over HTTP (DICOM PS3.18 section 10.5), each on its own way to the store.

The body is taken apart as it comes and never held as a whole. Every object gets a line in the answer; none is
acknowledged before it is durable. A token needs the scope ``store``, a browser session its CSRF header; the objects
are the actor's institution's.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import structlog
from fastapi import Request, Response

from gateway.dicomweb.answers import WrongMediaType, json_answer, json_type
from gateway.dicomweb.roots import BASE, Resources, base_url
from gateway.http import Web, require_actor, web_of
from gateway.intake import ObjectIntake, Taken
from gateway.multipart import MultipartReader, PartBegins, PartData, content_type
from gateway.spool import Spool
from interfaces.dicom.files import open_file
from interfaces.dicom.uids import is_valid_uid
from worklist.actions import uploads
from worklist.errors import BadInput, Conflict, Forbidden, HurenError
from worklist.facts import KnownDevice
from worklist.people import Actor

log = structlog.get_logger(__name__)
router = Resources()

MOST_OBJECTS: Final = 50_000  # in one request
_OBJECT: Final = "application/dicom"

# Failure Reason (0008,1197), PS3.18 10.5.3 with the statuses of PS3.7 annex C and PS3.4 B.2.3.
PROCESSING_FAILURE: Final = 0x0110
DUPLICATE_INSTANCE: Final = 0x0111
NOT_AUTHORISED: Final = 0x0124
OUT_OF_RESOURCES: Final = 0xA700
NOT_UNDERSTOOD: Final = 0xC000
OTHER_STUDY: Final = 0xC409  # as other servers say it: the Study Instance UID is not the one of the address


@dataclass
class Answers:
    """The lines of the answer, by the sequences of PS3.18 table 10.5.3-1."""

    stored: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    unnamed: list[dict[str, Any]] = field(default_factory=list)  # what does not even say which object it is
    studies: dict[str, int] = field(default_factory=dict)  # our ids, and how many objects came for each
    addresses: set[str] = field(default_factory=set)  # of the studies

    @property
    def count(self) -> int:
        """Objects so far."""
        return len(self.stored) + len(self.failed) + len(self.unnamed)

    @property
    def status(self) -> int:
        """200: all are held; 202: some; 409: none."""
        if self.failed or self.unnamed:
            return 202 if self.stored else 409
        return 200

    def note(self, taken: Taken, base: str) -> None:
        """Add a line."""
        facts = taken.facts
        if facts is None:
            self.unnamed.append(_failure(NOT_UNDERSTOOD, taken.code))
            return
        line = {
            "00081150": {"vr": "UI", "Value": [facts.sop_class_uid]},
            "00081155": {"vr": "UI", "Value": [facts.sop_instance_uid]},
        }
        if taken.error is not None:
            self.failed.append(line | _failure(_reason(taken), taken.code))
            return
        study = f"{base}{BASE}/held/{taken.study_id}/studies/{facts.study_instance_uid}"
        address = f"{study}/series/{facts.series_instance_uid}/instances/{facts.sop_instance_uid}"
        self.stored.append(line | {"00081190": {"vr": "UR", "Value": [address]}})
        self.studies[taken.study_id] = self.studies.get(taken.study_id, 0) + 1
        self.addresses.add(study)

    def body(self) -> bytes:
        """DICOM JSON (PS3.18 annex F)."""
        found: dict[str, Any] = {}
        if len(self.addresses) == 1:
            found["00081190"] = {"vr": "UR", "Value": list(self.addresses)}
        for tag, lines in (("00081198", self.failed), ("00081199", self.stored), ("0008119A", self.unnamed)):
            if lines:
                found[tag] = {"vr": "SQ", "Value": lines}
        return json.dumps(found, separators=(",", ":")).encode()


async def store(request: Request) -> Response:
    """Store Instances: ``POST /studies`` and ``POST /studies/{study_uid}``.

    Raises
    ------
    NotSignedIn, Forbidden
        401, 403.
    WrongMediaType
        415: ``stow_wants_multipart``, ``stow_wants_objects``.
    NotAcceptable, BadInput
        406; 400: ``invalid_uid``, ``multipart_malformed``, ``no_objects``, ``too_many_objects``.
    TryLater, Broken
        503, 500: nothing of this request is acknowledged; what was stored already is a duplicate next time.
    """
    by = await require_actor(request)
    sender = uploads.sender(by)
    answer_type = json_type(request)
    study_uid = request.path_params.get("study_uid", "")
    if study_uid and not is_valid_uid(study_uid):
        raise BadInput("invalid_uid", tag="0020000D")
    reader = MultipartReader(_boundary(request))
    web, answers = web_of(request), Answers()

    async def note(*, broken_off: bool) -> None:
        if answers.studies:
            now = web.clock()
            work = partial(uploads.note_stored, by=by, studies=answers.studies, now=now, broken_off=broken_off)
            # Also where the request itself is given up meanwhile.
            await asyncio.shield(asyncio.to_thread(web.database.write, work))

    try:
        await _take_all(request, web, reader, sender, by, study_uid, answers)
    except BaseException as error:  # the caller left, a cancelled request, or a body that is none
        kept = sum(answers.studies.values())
        log.warning("stow_broken_off", by=by.id, kept=kept, refused=answers.count - kept, error=_broken_by(error))
        await note(broken_off=True)
        raise
    if not answers.count:
        raise BadInput("no_objects")
    await note(broken_off=False)
    answer = await json_answer(request, answers.body(), media_type=answer_type)
    answer.status_code = answers.status
    return answer


# Only in the caller's own scope: nothing is handed in to a case.
for _path in ("/studies", "/studies/{study_uid}"):
    router.add_route(BASE + _path, store, methods=["POST"], include_in_schema=False)


async def _take_all(
    request: Request,
    web: Web,
    reader: MultipartReader,
    sender: KnownDevice,
    by: Actor,
    study_uid: str,
    answers: Answers,
) -> None:
    """Take one object after the other, each with its line in `answers`, which so says what was kept at any moment."""
    intake = ObjectIntake(web.database, web.store, web.clock)
    base = web.public_url or base_url(request)
    part: Spool | None = None
    media_type = ""
    try:
        async for piece in request.stream():
            for event in reader.feed(piece):
                if isinstance(event, PartBegins):
                    if answers.count >= MOST_OBJECTS:
                        raise BadInput("too_many_objects", most=MOST_OBJECTS)
                    media_type, _parameters = content_type(event.headers.get("content-type", _OBJECT))
                    part = Spool(web.spool, web.largest_object, partial(_has_room, web))
                elif part is not None and isinstance(event, PartData):
                    await part.add(event.data)
                elif part is not None:
                    taken = await asyncio.to_thread(_take, intake, part, media_type, sender, by, study_uid)
                    answers.note(taken, base)
                    part.close()
                    part = None
        reader.close()
    finally:
        if part is not None:
            part.close()


def _take(intake: ObjectIntake, part: Spool, media_type: str, sender: KnownDevice, by: Actor, study_uid: str) -> Taken:
    if media_type != _OBJECT:
        return Taken("refused", error=BadInput("stow_wants_objects"))
    if part.too_large:
        return Taken("refused", error=BadInput("object_too_large"))
    with part.view() as data:
        try:
            syntax, dataset = open_file(data)
            return intake.take(sender, dataset, syntax, by=by, study_uid=study_uid)
        except BadInput as error:
            return Taken("refused", error=error)


def _boundary(request: Request) -> str:
    """The boundary of a multipart/related body of objects."""
    media_type, parameters = content_type(request.headers.get("content-type", ""))
    if media_type != "multipart/related":
        raise WrongMediaType("stow_wants_multipart")
    if parameters.get("type", _OBJECT).lower() != _OBJECT:
        raise WrongMediaType("stow_wants_objects")
    return parameters.get("boundary", "")


def _broken_by(error: BaseException) -> str:
    """Our code, or the kind of the error: its text may quote what came."""
    return error.code if isinstance(error, HurenError) else type(error).__name__


def _has_room(web: Web) -> bool:
    return web.store.free_bytes() >= web.reserve


def _reason(taken: Taken) -> int:
    if taken.code == "other_study":
        return OTHER_STUDY
    if taken.code == "same_uid_other_content":
        return DUPLICATE_INSTANCE
    if isinstance(taken.error, Forbidden):
        return NOT_AUTHORISED
    return PROCESSING_FAILURE if isinstance(taken.error, Conflict) else NOT_UNDERSTOOD


def _failure(reason: int, code: str) -> dict[str, Any]:
    return {"00081197": {"vr": "US", "Value": [OUT_OF_RESOURCES if code == "object_too_large" else reason]}}
