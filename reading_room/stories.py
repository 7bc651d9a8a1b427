"""The lines of a story in words, and where each leads: see `worklist.queries.timeline`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from reading_room.error_words import ERRORS
from reading_room.labels import label, problem
from reading_room.words import N_, Words
from worklist.people import Actor
from worklist.queries.views import Story, StoryEntry
from worklist.rules.kinds import GOES_HOME

LINES: Final[dict[str, str]] = {
    "order: place": N_("Ordered. The accession number is {accession_number}."),
    "order: schedule": N_("Scheduled: devices find it on their worklist."),
    "order: begin": N_("The examination has begun."),
    "order: perform": N_("The examination was performed."),
    "order: return": N_("The order is on the worklist again."),
    "order: complete": N_("The order is completed."),
    "order: reopen": N_("The order is open again."),
    "order: recognise": N_("An existing result serves this order."),
    "order: read anew": N_("An existing result serves, and its images are read anew for this order."),
    "order: read again": N_("The report was withdrawn: the existing images are read once more."),
    "order: cancel": N_("The order was cancelled."),
    "order: expire": N_("Nobody came for the examination: the order was closed."),
    "order: place again": N_("The hospital system changed the closed order: it is placed again."),
    "order: abandon": N_("The order was cancelled after work had begun."),
    "message: processed": N_("{message} came in and was processed; answered with {answer}."),
    "message: duplicate": N_("{message} came in once more; answered as before."),
    "message: set aside": N_("{message} came in and was set aside; answered with {answer}."),
    "message: refused": N_("{message} came in and was refused with {answer}."),
    "procedure step: create": N_("The device says that the examination begins."),
    "procedure step: complete": N_("The device says that the examination is done."),
    "procedure step: discontinue": N_("The device says that the examination was broken off."),
    "study arrival: receive": N_("The first image arrives."),
    "study arrival: complete": N_("The images are complete."),
    "study arrival: arrive late": N_("More images arrive."),
    "study link: match": N_("The images match the order: number, patient and institution agree."),
    "study link: fail to match": N_("The images are not linked to an order."),
    "study link: link": N_("A person linked the images to the order."),
    "study link: move": N_("A person moved the images to another order."),
    "study link: unlink": N_("A person took the images off the order."),
    "study link: reject": N_("A person rejected the images."),
    "late images: arrive": N_("Images came after the report."),
    "late images: change nothing": N_("The late images change nothing."),
    "late images: add to": N_("An addendum answers the late images."),
    "late images: correct": N_("A correction answers the late images."),
    "late images: sign": N_("The final version has seen the late images."),
    "set aside: settle": N_("What was set aside is settled."),
    "set aside: dismiss": N_("What was set aside was dismissed."),
    "reading: open": N_("A case for {center}."),
    "reading: draft": N_("The report is being written."),
    "reading: submit": N_("The report is submitted for review."),
    "reading: issue preliminary": N_("A preliminary report is issued; the review is still owed."),
    "reading: send back": N_("The report is sent back to the writer."),
    "reading: sign": N_("The report is signed."),
    "reading: return": N_("The center asks for a new examination."),
    "reading: resume": N_("The new examination is there: the case goes on."),
    "reading: refer": N_("The case is referred to another center."),
    "reading: recall": N_("The referral is taken back: the case is read here."),
    "reading: answer": N_("The other center has answered."),
    "reading: close": N_("The case is closed without a report."),
    "reading: reopen": N_("A correction or addendum is begun."),
    "reading: give up correction": N_("The correction is given up; the issued report stands."),
    "reading: withdraw": N_("The report is withdrawn."),
    "case claimed": N_("Claimed for reading."),
    "case taken over": N_("Taken over from another reader."),
    "cases joined": N_("Cases are joined."),
    "case split": N_("The case is split."),
    "report version: issue preliminary": N_("Version {version} is issued: preliminary."),
    "report version: sign": N_("Version {version} is issued: final."),
    "report version: sign correction": N_("Version {version} is issued: a correction."),
    "report version: sign addendum": N_("Version {version} is issued: an addendum."),
    "report version: discard": N_("The draft of version {version} is discarded."),
    "report version: withdraw": N_("Version {version} withdraws the report."),
    "report version: supersede": N_("Version {version} is superseded."),
    "outside report: received": N_("A result from another system came in: {name}."),
    "critical result: detect": N_("A critical result is found."),
    "critical result: verify": N_("The critical result is confirmed."),
    "critical result: notify": N_("The ordering institution is alerted to a critical result."),
    "critical result: escalate": N_("The critical result is escalated: nobody has answered."),
    "critical result: read back": N_("The critical result is read back."),
    "critical result: acknowledge": N_("{by} has received the critical result."),
    "critical result: dispose": N_("What was done for the patient is recorded."),
    "critical result: retract": N_("The critical result is retracted."),
    "critical result: supersede": N_("A newer critical result takes its place."),
    "delivery: owe": N_("{what} is to go to {endpoint}."),
    "delivery: retry": N_("{what} did not reach {endpoint}."),
    "delivery: stick": N_("{what} for {endpoint} is stuck: a person must look."),
    "delivery: replay": N_("{what} goes to {endpoint} again."),
    "delivery: acknowledge": N_("{endpoint} has acknowledged {what}."),
    "delivery: supersede": N_("{what} is not sent any more: there is newer news."),
    "patient merge: merge": N_("Two numbers turned out to be one patient: merged."),
    "patient merge: undo": N_("The merge is undone."),
    "visit: open": N_("Visit {visit} begins."),
    "visit: close": N_("Visit {visit} ends."),
    "visit: cancel": N_("Visit {visit} was cancelled."),
    "visit: reopen": N_("Visit {visit} goes on."),
}
"""By machine and verb as in `worklist.lifecycle`, by action, or by what became of a message."""

_VERSION: Final = N_("version {version} of the report")
_NEWS: Final = N_("the news “{news}”")
_ITSELF: Final = N_("Huren itself")
_IT_SAYS: Final = N_(" It says: {text}")
_LINKED: Final = {
    "patient merge: merge": N_("Found to be the same person as a patient of another institution: linked."),
    "patient merge: undo": N_("The link to a patient of another institution is undone."),
}
TONES: Final = {
    "delivery: stick": "bad",
    "delivery: retry": "heed",
    "delivery: acknowledge": "good",
    "message: refused": "bad",
    "message: set aside": "heed",
    "study link: fail to match": "bad",
    "study link: match": "good",
    "study link: link": "good",
    "study link: move": "heed",
    "study link: reject": "bad",
    "procedure step: discontinue": "bad",
    "reading: return": "heed",
    "reading: withdraw": "bad",
    "reading: sign": "good",
    "report version: withdraw": "bad",
    "critical result: notify": "bad",
    "critical result: escalate": "bad",
    "critical result: acknowledge": "good",
    "order: cancel": "bad",
    "order: abandon": "bad",
    "order: expire": "heed",
    "study arrival: complete": "good",
    "patient merge: merge": "heed",
    "patient merge: undo": "heed",
}


@dataclass(frozen=True)
class LineShown:
    """One line: when, about what, what happened, more about it, who, and where it leads (``""``: nowhere)."""

    at: datetime
    kind: str
    text: str
    more: tuple[str, ...]
    who: str
    href: str
    tone: str


def told(story: Story, words: Words, actor: Actor) -> list[LineShown]:
    """A story in words."""
    return [_line(entry, words, actor) for entry in story.entries]


def _line(entry: StoryEntry, words: Words, actor: Actor) -> LineShown:
    return LineShown(
        entry.at,
        label(words, "story", entry.kind),
        text_of(entry, words),
        tuple(_more(entry, words)),
        words(_ITSELF) if entry.who == "huren" else entry.who,
        href(entry, actor),
        TONES.get(entry.code, ""),
    )


def text_of(entry: StoryEntry, words: Words) -> str:
    """What happened, in one sentence."""
    params: dict[str, Any] = dict(entry.params)
    if entry.kind == "delivery":
        if params["delivery_kind"] == "recognised":
            params["what"] = label(words, "delivery kind", "recognised")
        elif params["delivery_kind"] == "report":
            params["what"] = words(_VERSION).format(version=params["version"])
        else:
            params["what"] = words(_NEWS).format(news=label(words, "state", params["news"]))
    msgid = _LINKED[entry.code] if params.get("merge_kind") == "link" else LINES.get(entry.code, entry.code)
    said = words(msgid).format_map(_Filled(params))
    return said[:1].upper() + said[1:]


class _Filled(dict[str, Any]):
    """Parameters; one that is missing is a dash."""

    def __missing__(self, key: str) -> str:
        return "—"


def _more(entry: StoryEntry, words: Words) -> list[str]:
    params, _, ngettext = entry.params, words, words.plural
    more: list[str] = []
    if entry.code == "study arrival: complete":
        more.append(_images(params, words))
    if entry.code == "procedure step: complete" and params.get("count") is not None:
        count = params["count"]
        more.append(ngettext("It made %(num)s image.", "It made %(num)s images.", count) % {"num": count})
    if entry.code == "late images: arrive":
        count = params["count"]
        more.append(ngettext("%(num)s image", "%(num)s images", count) % {"num": count})
    if entry.code == "reading: open" and params.get("reading_kind") in GOES_HOME:
        if params.get("route_version"):
            more.append(
                _("By the route “{route}” of version {version} of the rules.").format(
                    route=params["route"], version=params["route_version"]
                )
            )
        else:
            more.append(_("No route fits; the first center of the discipline takes it."))
    if times := params.get("times", 0):
        more.append(_("Tried {times} times.").format(times=times))
    if reason := params.get("reason", ""):
        more.append(reason_text(reason, params.get("reason_params") or {}, words))
    if entry.why:
        more.append(problem(words, entry.why, {}) if entry.why in ERRORS else entry.why)
    return more


def _images(params: Mapping[str, Any], words: Words) -> str:
    _, ngettext = words, words.plural
    if params.get("expected") is not None:
        return _("%(received)s of %(expected)s") % {"received": params["count"], "expected": params["expected"]}
    return ngettext("%(num)s image", "%(num)s images", params["count"]) % {"num": params["count"]}


def reason_text(code: str, params: Mapping[str, object], words: Words) -> str:
    """A reason, with the receiver's own words where it gave any."""
    said = problem(words, code, params)
    if text := str(params.get("text", "")):
        said += words(_IT_SAYS).format(text=text)
    return said


def reason_in_general(code: str, words: Words) -> str:
    """A reason without what it was about: for choosing among reasons."""
    return re.sub(r"\{\w+\}", "…", words(ERRORS[code])) if code in ERRORS else code


def href(entry: StoryEntry, actor: Actor) -> str:
    """The page of the thing, where the reader has one."""
    id = entry.thing_id
    if not id:
        return ""
    home = actor.has("technician") or actor.has("doctor")
    if entry.kind == "order":
        return f"/orders/{id}" if home else f"/admin/orders/{id}/story" if actor.has("PACS admin") else ""
    if entry.kind == "message":
        return f"/admin/messages/{id}" if actor.has("PACS admin") else ""
    if entry.kind == "delivery":
        return f"/admin/messages?q={entry.params['control_id']}" if actor.has("PACS admin") else ""
    if entry.kind == "images":
        return f"/studies/{id}"
    if entry.kind in ("reading", "critical") and actor.centers():
        return f"/reading/{id}"
    if entry.kind == "report" and (home or actor.centers()):
        return f"/reports/{id}"
    if entry.kind == "patient" and actor.has("PACS admin"):
        return f"/admin/patients/{id}/story"
    return ""
