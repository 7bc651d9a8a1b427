"""Results of other regions: a Bundle (FHIR R4 3.1.0.11, 2.36.1, 3.3) with patients and reports, read as facts.

Tolerant where nothing hangs on it: resources that say nothing of a result are passed over. What makes a result mean
something else is refused: a reference that leads nowhere, a request to delete, a status that is none.

Marks of recognition and the grade and region of the institution are extensions: any whose address ends with
``recognition-mark``, ``hospital-grade`` and ``region`` (``valueString``), so that what another Huren publishes is read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, Final
from urllib.parse import urlsplit

from interfaces.fhir.checking import check
from interfaces.fhir.elements import LOINC, REPRESENTATION, Element, Resource, clean
from interfaces.fhir.systems import CITIZEN, PASSPORT
from worklist.errors import BadInput, Broken
from worklist.facts import (
    Identifier,
    MessageHeader,
    OutsideLine,
    OutsideResult,
    OutsideSource,
    PatientFacts,
    PersonName,
    ResultMessage,
    Sex,
)

TYPES: Final = ("transaction", "document", "collection")
MOST_REPORTS: Final = 200
DEEPEST: Final = 40
STATUSES: Final = {
    "registered": "P",
    "partial": "P",
    "preliminary": "P",
    "final": "F",
    "amended": "C",
    "corrected": "C",
    "appended": "C",
    "cancelled": "X",
    "entered-in-error": "W",
    "unknown": "",
}
"""diagnostic-report-status and observation-status as HL7 tables 0123 and 0085 say it, and ours."""
_SEXES: Final[Mapping[str, Sex]] = {"male": "M", "female": "F", "other": "O"}
_DOCUMENTS: Final = ("NI", "PPN", "MNI")
_MARK, _GRADE, _REGION = "recognition-mark", "hospital-grade", "region"
_SIDES: Final = ("L", "R", "B")


def read_results(raw: bytes, zone: tzinfo) -> tuple[ResultMessage, ...]:
    """What a Bundle says of each of its patients. `zone` is the receiver's, for days without a clock.

    Raises
    ------
    BadInput
        ``not_json``, ``not_a_bundle``, ``bundle_invalid``, ``bundle_type_unsupported``, ``bundle_request_unsupported``,
        ``bundle_without_report``, ``bundle_too_large``, ``reference_unresolved`` with the place.
    """
    try:
        return _read(raw, zone)
    except (KeyError, TypeError, AttributeError, ValueError) as error:  # what the models let pass, and is none
        raise BadInput("bundle_invalid", kind="Bundle", places="") from error


def _read(raw: bytes, zone: tzinfo) -> tuple[ResultMessage, ...]:
    bundle = _loaded(raw)
    held = _Held(bundle)
    reports = [r for r in held.resources if r["resourceType"] == "DiagnosticReport"]
    if not reports:
        raise BadInput("bundle_without_report")
    if len(reports) > MOST_REPORTS:
        raise BadInput("bundle_too_large", most=MOST_REPORTS)
    of_patients: dict[int, tuple[Resource, list[Resource]]] = {}
    for report in reports:
        who = held.find(report.get("subject"), "DiagnosticReport.subject", "Patient")
        of_patients.setdefault(id(who), (who, []))[1].append(report)
    number = clean(str(bundle.get("identifier", {}).get("value", ""))) or hashlib.sha256(raw).hexdigest()[:20]
    messages = []
    for who, theirs in of_patients.values():
        results = [_result(report, held, zone) for report in theirs]
        source = results[0].source
        header = MessageHeader(
            sending_application=(source.code or source.name) if source else "",
            sent_at=_stamp(str(bundle.get("timestamp", ""))),
            message_code="FHIR",
            trigger_event=str(bundle["type"]),
            control_id=number,
        )
        messages.append(ResultMessage(header, _patient(who), tuple(results)))
    return tuple(messages)


def kinds_of(raw: bytes) -> list[str]:
    """The kinds of resources that a Bundle holds, entry by entry; none where it cannot be read."""
    try:
        return [entry["resource"]["resourceType"] for entry in _loaded(raw)["entry"]]
    except (BadInput, KeyError, TypeError, AttributeError, ValueError):
        return []


def _loaded(raw: bytes) -> Resource:
    try:
        bundle = _said_only(json.loads(raw))
    except (ValueError, RecursionError) as error:
        raise BadInput("not_json") from error
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle" or _deep(bundle) > DEEPEST:
        raise BadInput("not_a_bundle")
    if bundle.get("type") not in TYPES:
        raise BadInput("bundle_type_unsupported", type=str(bundle.get("type"))[:20])
    try:
        check(bundle)
    except Broken as error:
        raise BadInput("bundle_invalid", **error.params) from None
    if any("resource" not in entry for entry in bundle.get("entry", ())):
        raise BadInput("bundle_request_unsupported")
    if bundle["type"] == "transaction" and any(
        entry.get("request", {}).get("method") not in ("POST", "PUT") for entry in bundle.get("entry", ())
    ):
        raise BadInput("bundle_request_unsupported")
    return bundle | {"entry": bundle.get("entry", [])}


def _said_only(value: Any) -> Any:
    """Without what is null: a null says nothing."""
    if isinstance(value, dict):
        return {name: _said_only(one) for name, one in value.items() if one is not None}
    return [_said_only(one) for one in value if one is not None] if isinstance(value, list) else value


def _deep(value: Any) -> int:
    """How deep lists and objects lie in one another; walked without recursion."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        deepest = max(deepest, depth)
        inside = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        waiting += [(part, depth + 1) for part in inside]
    return deepest


class _Held:
    """The resources of a Bundle, and where references lead (R4 2.36.4.1)."""

    def __init__(self, bundle: Resource) -> None:
        self.resources: list[Resource] = [entry["resource"] for entry in bundle["entry"]]
        self._places: dict[str, Resource] = {}
        for entry in bundle["entry"]:
            resource = entry["resource"]
            if entry.get("fullUrl"):
                self._places[entry["fullUrl"]] = resource
            if resource.get("id"):
                self._places[f"{resource['resourceType']}/{resource['id']}"] = resource

    def get(self, reference: Any) -> Resource | None:
        """Where a reference leads, if it leads into the Bundle."""
        there = reference.get("reference", "") if isinstance(reference, dict) else ""
        last = "/".join(urlsplit(there).path.rsplit("/", 2)[-2:])
        return self._places.get(there) or self._places.get(last)

    def find(self, reference: Any, place: str, kind: str) -> Resource:
        """As `get`. Raises `BadInput` (``reference_unresolved``)."""
        found = self.get(reference)
        if found is None or found["resourceType"] != kind:
            raise BadInput("reference_unresolved", place=place)
        return found


def _patient(who: Resource) -> PatientFacts:
    numbers = []
    for one in who.get("identifier", ()):
        system, value = str(one.get("system", "")), clean(str(one.get("value", "")))
        kind = next((c.get("code", "") for c in one.get("type", {}).get("coding", ())), "")
        if system == CITIZEN:
            numbers.append(Identifier("CN", value, "NI"))
        elif system.startswith(PASSPORT):
            numbers.append(Identifier(system.removeprefix(PASSPORT), value, "PPN"))
        elif value and system:
            numbers.append(Identifier(system, value, "" if kind in _DOCUMENTS else str(kind)))
    if numbers and all(i.kind in _DOCUMENTS for i in numbers):
        # A person needs a number that an institution gave. This one says nothing to who reads it, and stays the same.
        digest = hashlib.sha256(f"{numbers[0].kind}|{numbers[0].value}".encode()).hexdigest()
        numbers.insert(0, Identifier("region", f"R{digest[:15].upper()}", "PI"))
    return PatientFacts(
        identifiers=tuple(numbers),
        name=_name(who.get("name", ())),
        sex=_SEXES.get(str(who.get("gender", "")), ""),
        birth_date=str(who.get("birthDate", "")).replace("-", ""),
    )


def _name(names: Iterable[Element]) -> PersonName:
    written = {"IDE": "", "ABC": ""}
    for name in names:
        said = [e.get("valueCode") for e in name.get("extension", ()) if e.get("url") == REPRESENTATION]
        family, given = clean(str(name.get("family", ""))), "^".join(clean(str(g)) for g in name.get("given", ()))
        text = f"{family}^{given}".rstrip("^") if family else clean(str(name.get("text", "")))
        form = said[0] if said and said[0] in written else "ABC" if text.isascii() else "IDE"
        written[form] = written[form] or text
    return PersonName(written["IDE"], written["ABC"])


def _result(report: Resource, held: _Held, zone: tzinfo) -> OutsideResult:
    source = _source(report, held)
    code, name = _coded(report.get("code", {}))
    taken = report.get("effectiveDateTime") or report.get("effectivePeriod", {}).get("start") or ""
    numbers = [clean(str(i.get("value", ""))) for i in report.get("identifier", ()) if i.get("value")]
    if not numbers:
        raise BadInput("report_number_missing")
    makers = [*report.get("resultsInterpreter", ()), *report.get("performer", ())]
    return OutsideResult(
        placer_number="",
        filler_number=numbers[0],
        code=code,
        name=name,
        status=_status(report),
        observed_at=_stamp(taken),
        reported_at=_stamp(str(report.get("issued", ""))),
        author=next((clean(str(m["display"])) for m in makers if m.get("display")), ""),
        lines=tuple(_lines(report, held)),
        source=source,
        taken_at=_moment(taken, zone),
    )


def _status(report: Resource) -> str:
    """Raises `BadInput` (``field_wrong``): it may have been taken back, for all that is understood."""
    if report["status"] not in STATUSES:
        raise BadInput("field_wrong", field="DiagnosticReport.status")
    return STATUSES[report["status"]]


def _source(report: Resource, held: _Held) -> OutsideSource:
    """Who examined: the report's performer, else the only institution of the Bundle."""
    all_ = [r for r in held.resources if r["resourceType"] == "Organization"]
    named = [found for p in report.get("performer", ()) if (found := held.get(p)) is not None]
    place: Resource = next((r for r in named if r["resourceType"] == "Organization"), all_[0] if len(all_) == 1 else {})
    numbers = [clean(str(i.get("value", ""))) for i in place.get("identifier", ()) if i.get("value")]
    uscc = next((n for n in numbers if len(n) == 18 and n.isascii() and n.isalnum()), "")
    shown = next((str(p["display"]) for p in report.get("performer", ()) if p.get("display")), "")
    region = _said(place, _REGION)[:1] or [uscc[2:8]]
    orders = [found for o in report.get("basedOn", ()) if (found := held.get(o)) is not None]
    sides = [d.get("text") for o in orders for d in o.get("orderDetail", ()) if d.get("text") in _SIDES]
    return OutsideSource(
        name=clean(str(place.get("name", ""))) or clean(shown),
        code=uscc or next(iter(numbers), ""),
        grade=next(iter(_said(place, _GRADE)), ""),
        region=region[0] if region[0].isascii() and region[0].isdecimal() and len(region[0]) == 6 else "",
        marks=tuple(dict.fromkeys([*_said(report, _MARK), *_said(place, _MARK)])),
        laterality=str(sides[0]) if sides else "",
    )


def _said(resource: Resource, ending: str) -> list[str]:
    """The texts of the extensions whose address ends so."""
    found = [
        clean(str(e.get("valueString") or e.get("valueCode") or ""))
        for e in resource.get("extension", ())
        if str(e.get("url", "")).rstrip("/").endswith((f"/{ending}", f":{ending}"))
    ]
    return [text[:64] for text in found if text]


def _coded(code: Element) -> tuple[str, str]:
    """(code, name) of what was examined: the sender's own code before LOINC's, which is often only the discipline's."""
    codings: Sequence[Element] = [c for c in code.get("coding", ()) if c.get("code")]
    own = next((c for c in codings if c.get("system") != LOINC), codings[0] if codings else {})
    text = clean(str(own.get("display") or code.get("text") or ""))
    return clean(str(own.get("code", ""))), text or clean(str(code.get("text", "")))


def _lines(report: Resource, held: _Held) -> Iterable[OutsideLine]:
    said = set()
    number = 0
    for reference in report.get("result", ()):
        part = held.get(reference)
        if part is None or part["resourceType"] != "Observation":
            raise BadInput("reference_unresolved", place="DiagnosticReport.result")
        for line in (part, *part.get("component", ())):
            if not any(name.startswith("value") for name in line):
                continue
            number += 1
            made = _line(number, line, STATUSES.get(str(part.get("status")), ""))
            said.add(made.value)
            yield made
    conclusion = clean(str(report.get("conclusion", "")))
    if conclusion and conclusion not in said:
        number += 1
        yield OutsideLine(str(number), "TX", "", "结论", conclusion)
    for form in report.get("presentedForm", ()):
        number += 1
        yield _attached(number, form)


def _line(number: int, part: Element, status: str) -> OutsideLine:
    code, name = _coded(part.get("code", {}))
    kind, value, unit = "TX", "", ""
    if "valueQuantity" in part:
        quantity = part["valueQuantity"]
        kind, unit = "NM", clean(str(quantity.get("unit") or quantity.get("code") or ""))
        value = f"{quantity.get('comparator', '')}{quantity.get('value', '')}"
    elif "valueCodeableConcept" in part:
        found_code, found = _coded(part["valueCodeableConcept"])
        value = found or found_code
    else:
        value = next((clean(str(v)) for n, v in part.items() if n.startswith("value") and not isinstance(v, dict)), "")
    ranges = part.get("referenceRange", ())
    flags = [c.get("code", "") for i in part.get("interpretation", ()) for c in i.get("coding", ())]
    return OutsideLine(
        str(number), kind, code, name, value, unit, _range(ranges[0]) if ranges else "", str(flags[0]) if flags else "",
        status,
    )  # fmt: skip


def _range(said: Element) -> str:
    if said.get("text"):
        return clean(str(said["text"]))
    low, high = (said.get(name, {}).get("value", "") for name in ("low", "high"))
    return f"{low}-{high}" if f"{low}{high}" else ""


def _attached(number: int, form: Element) -> OutsideLine:
    """A text is shown; any other document stays in the message that is kept."""
    if str(form.get("contentType", "")).startswith("text/plain") and form.get("data"):
        try:
            text = base64.b64decode(form["data"], validate=True).decode()
            return OutsideLine(str(number), "TX", "", clean(str(form.get("title", ""))), clean(text))
        except (binascii.Error, ValueError):
            pass
    return OutsideLine(str(number), "ED", "", clean(str(form.get("title", ""))) or "PDF", "")


def _stamp(said: str) -> str:
    """A FHIR dateTime or instant as HL7 v2 writes one (chapter 2.A.22), as far as it goes."""
    day, _t, clock = said.partition("T")
    if not clock:
        return day.replace("-", "")
    at = datetime.fromisoformat(said)
    return f"{at:%Y%m%d%H%M%S%z}"


def _moment(said: str, zone: tzinfo) -> datetime | None:
    """When it was examined: a day counts from its beginning, so that it serves no longer than it should."""
    if len(said) < 10:
        return None
    at = datetime.fromisoformat(said)
    return at if at.tzinfo else at.replace(tzinfo=zone)
