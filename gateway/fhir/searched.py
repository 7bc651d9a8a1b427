"""The search parameters of each kind (those of FHIR R4 for its resource), and what they ask of the ground."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final, Protocol

from interfaces.fhir import parameters
from interfaces.fhir.elements import LOINC, Resource
from interfaces.fhir.observations import STATUS as OBSERVATION_STATUS
from interfaces.fhir.patients import SEXES
from interfaces.fhir.reports import SECTIONS
from interfaces.fhir.reports import STATUS as REPORT_STATUS
from interfaces.fhir.requests import PRIORITY
from interfaces.fhir.requests import STATUS as ORDER_STATUS
from interfaces.fhir.studies import STATUS as STUDY_STATUS
from interfaces.fhir.systems import Systems
from worklist.facts import Criterion, Sought


class Asker(Protocol):
    """What reading a value needs to know of the request."""

    @property
    def base(self) -> str:
        """The address of the door."""

    @property
    def systems(self) -> Systems:
        """The systems of this installation."""

    @property
    def zone(self) -> tzinfo:
        """The zone of days."""


Read = Callable[[str, str, Asker], Sequence[Sought]]
"""(name of the parameter, one value, who asks) to what is sought; nothing: what no record can be."""


@dataclass(frozen=True)
class Parameter:
    """One search parameter. `criterion` is the ground's; "" for one that the ground knows nothing of.

    `keeps` chooses among several resources of one record: does this one meet one of the values?
    """

    type: str
    words: str
    criterion: str
    read: Read
    keeps: Callable[[Resource, Sequence[str], Asker], bool] | None = None

    def criteria(self, name: str, text: str, ask: Asker) -> list[Criterion]:
        """What the parameter asks of the ground; raises BadInput ``query_value_wrong``."""
        sought = [found for value in parameters.values(name, text) for found in self.read(name, value, ask)]
        return [Criterion(self.criterion, tuple(sought))] if self.criterion else []


def _number(name: str, value: str, ask: Asker) -> Sequence[Sought]:
    found = parameters.number(name, value, ask.systems)
    return (found,) if found is not None else ()


def _span(name: str, value: str, ask: Asker) -> Sequence[Sought]:
    return (parameters.span(name, value, ask.zone),)


def _days(name: str, value: str, _ask: Asker) -> Sequence[Sought]:
    return (parameters.days(name, value),)


def _id(name: str, value: str, ask: Asker) -> Sequence[Sought]:
    return (parameters.resource_id(name, value, "", ask.base),)


def _text(_name: str, value: str, _ask: Asker) -> Sequence[Sought]:
    return (parameters.plain(value),)


def _refers(*kinds: str) -> Read:
    def read(name: str, value: str, ask: Asker) -> Sequence[Sought]:
        kind = next((kind for kind in kinds if f"{kind}/" in value), kinds[0])
        found = parameters.resource_id(name, value, kind, ask.base)
        return (found,) if found else ()

    return read


def _coded(known: Mapping[str, str]) -> Read:
    """Codes of the standard, by what each is with us."""
    ours: dict[str, tuple[str, ...]] = {}
    for state, status in known.items():
        ours[status] = (*ours.get(status, ()), state)
    return lambda name, value, _ask: parameters.coded(name, value, ours)


def _procedure(_name: str, value: str, ask: Asker) -> Sequence[Sought]:
    found = parameters.code(value, frozenset({ask.systems.of("procedure")}))
    return (found,) if found else ()


def _modality(_name: str, value: str, _ask: Asker) -> Sequence[Sought]:
    return (parameters.token(value)[2],)


_ID_ITSELF: Final = Parameter("token", "Our id of it.", "id", _id)
_PATIENT: Final = Parameter("reference", "Whose it is: Patient/ID.", "patient", _refers("Patient"))
_NUMBER: Final = Parameter("token", "A number of the patient: system|value.", "patient number", _number)


def _of_patient(*names: str) -> dict[str, Parameter]:
    return {
        f"{name}{part}": parameter
        for name in names
        for part, parameter in (
            ("", _PATIENT),
            (":Patient", _PATIENT),
            (".identifier", _NUMBER),
            (":Patient.identifier", _NUMBER),
        )
    }


_OF_PATIENT: Final = _of_patient("patient", "subject")
_ISSUED: Final = Parameter("date", "When the version was signed.", "issued", _span)
_BASED_ON: Final = Parameter("reference", "The order: ServiceRequest/ID.", "order", _refers("ServiceRequest"))

PATIENT: Final[dict[str, Parameter]] = {
    "_id": _ID_ITSELF,
    "identifier": Parameter("token", "A number of the patient: system|value.", "number", _number),
    "name": Parameter("string", "Any part of the name, in characters or letters.", "name", _text),
    "name:contains": Parameter("string", "As name.", "name", _text),
    "birthdate": Parameter("date", "The day of birth.", "birth date", _days),
    "gender": Parameter("token", "male, female or other.", "sex", _coded(SEXES)),
}
SERVICE_REQUEST: Final[dict[str, Parameter]] = {
    "_id": _ID_ITSELF,
    "identifier": Parameter("token", "The placer's or the accession number: system|value.", "number", _number),
    **_OF_PATIENT,
    "status": Parameter("token", "active, completed or revoked.", "state", _coded(ORDER_STATUS)),
    "priority": Parameter("token", "stat, urgent or routine.", "priority", _coded(PRIORITY)),
    "code": Parameter("token", "A code of the catalogue.", "procedure", _procedure),
    "authored": Parameter("date", "When the order came in.", "placed", _span),
}
IMAGING_STUDY: Final[dict[str, Parameter]] = {
    "_id": _ID_ITSELF,
    "identifier": Parameter("token", "The Study Instance UID or an accession number: system|value.", "number", _number),
    **_OF_PATIENT,
    "basedon": _BASED_ON,
    "modality": Parameter("token", "The modality of a series.", "modality", _modality),
    "started": Parameter("date", "When the images were made.", "acquired", _span),
    "status": Parameter("token", "All are available.", "available", _coded({"available": STUDY_STATUS})),
    "_lastUpdated": Parameter("date", "When its newest object came.", "changed", _span),
}
DIAGNOSTIC_REPORT: Final[dict[str, Parameter]] = {
    "_id": _ID_ITSELF,
    "identifier": Parameter("token", "The report's or an accession number: system|value.", "number", _number),
    **_OF_PATIENT,
    "based-on": _BASED_ON,
    "status": Parameter(
        "token", "preliminary, final, corrected, appended or entered-in-error.", "status", _coded(REPORT_STATUS)
    ),
    "category": Parameter("token", "RAD, EC, LAB or SP.", "discipline", _coded(SECTIONS)),
    "code": Parameter("token", "A code of the catalogue.", "procedure", _procedure),
    "date": Parameter("date", "When the images were made.", "observed", _span),
    "issued": _ISSUED,
    "_lastUpdated": _ISSUED,
}


def _report_of(name: str, value: str, ask: Asker) -> Sequence[Sought]:
    """The report that an Observation's id belongs to."""
    return (parameters.resource_id(name, value, "", ask.base).partition("-")[0],)


def _is_it(resource: Resource, values: Sequence[str], _ask: Asker) -> bool:
    return resource["id"] in values


def _is_coded(resource: Resource, values: Sequence[str], _ask: Asker) -> bool:
    given = {(coding["system"], coding["code"]) for coding in resource["code"]["coding"]}
    asked = [parameters.token(value) for value in values]
    return any(code == c and (not named or system == s) for system, named, code in asked for s, c in given)


OBSERVATION: Final[dict[str, Parameter]] = {
    "_id": Parameter("token", "Our id of it.", "id", _report_of, _is_it),
    **_OF_PATIENT,
    "based-on": _BASED_ON,
    "status": Parameter(
        "token", "preliminary, final, corrected, amended or entered-in-error.", "status", _coded(OBSERVATION_STATUS)
    ),
    "code": Parameter("token", f"A code of {LOINC} or one of ours.", "", lambda *_asked: (), _is_coded),
    "date": Parameter("date", "When the images were made.", "observed", _span),
    "_lastUpdated": _ISSUED,
}
DOCUMENT_REFERENCE: Final[dict[str, Parameter]] = {
    "_id": Parameter("token", "Our id of it.", "version", _id),
    "identifier": Parameter("token", "The report's or an accession number: system|value.", "number", _number),
    **_OF_PATIENT,
    "related": Parameter("reference", "The report: DiagnosticReport/ID.", "id", _refers("DiagnosticReport")),
    "date": _ISSUED,
    "_lastUpdated": _ISSUED,
}
PROVENANCE: Final[dict[str, Parameter]] = {
    "_id": Parameter("token", "Our id of it.", "version", _id),
    "target": Parameter(
        "reference",
        "DocumentReference/ID or DiagnosticReport/ID.",
        "made of",
        _refers("DocumentReference", "DiagnosticReport"),
    ),
    **_of_patient("patient"),
    "recorded": _ISSUED,
    "_lastUpdated": _ISSUED,
}
