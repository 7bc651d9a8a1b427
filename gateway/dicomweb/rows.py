"""What a search answers about a study, a series and an object (DICOM PS3.18 tables 10.6.3-3 to 10.6.3-5).

What the address names already is not told again, but its UID. Attributes that we do not hold are left empty where
the standard requires them, and out where it does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.dicomweb.roots import path_of
from interfaces.dicom.dicom_json import CHARACTER_SET, Attribute, DataSet, attribute
from worklist.queries.image_views import InstanceHit, SeriesHit, StudyHit
from worklist.queries.imaging import Root

ONLINE: Final = attribute("CS", "ONLINE")
UTF8: Final = attribute("CS", CHARACTER_SET)


@dataclass(frozen=True)
class Shown:
    """How rows are to be shown. `named` counts the levels that the address names: 0, 1 (study) or 2 (and series)."""

    base_url: str  # of this server, without a slash at the end
    root: Root
    fields: frozenset[str]  # tags of includefield
    every_field: bool
    named: int

    def more(self, offered: DataSet) -> DataSet:
        """Those of the `offered` attributes that were asked for."""
        return offered if self.every_field else {tag: value for tag, value in offered.items() if tag in self.fields}

    def address(self, study: StudyHit) -> str:
        """Where the study can be fetched: by our own id where the root could mean two of its UID."""
        root = Root("held", study.id) if self.root.kind == "all" else self.root
        return f"{self.base_url}{path_of(root)}/studies/{study.study_instance_uid}"


def study_row(hit: StudyHit, shown: Shown) -> DataSet:
    """A study (table 10.6.3-3)."""
    return _sorted(_study(hit, shown) | {"00080056": ONLINE, "00081190": attribute("UR", shown.address(hit))})


def series_row(hit: SeriesHit, shown: Shown) -> DataSet:
    """A series (table 10.6.3-4), with its study's attributes where the address does not name the study."""
    found = _of_study(hit.study, shown) | _series(hit, shown)
    address = f"{shown.address(hit.study)}/series/{hit.series_instance_uid}"
    return _sorted(found | {"00081190": attribute("UR", address)})


def instance_row(hit: InstanceHit, shown: Shown) -> DataSet:
    """An object (table 10.6.3-5), with the attributes of study and series where the address does not name them."""
    series = hit.series
    found = _of_study(series.study, shown)
    found |= _series(series, shown) if shown.named < 2 else {"0020000E": attribute("UI", series.series_instance_uid)}
    address = f"{shown.address(series.study)}/series/{series.series_instance_uid}/instances/{hit.sop_instance_uid}"
    found |= {
        "00080016": attribute("UI", hit.sop_class_uid),
        "00080018": attribute("UI", hit.sop_instance_uid),
        "00080056": ONLINE,
        "00081190": attribute("UR", address),
        "00083002": attribute("UI", hit.transfer_syntax_uid),
        "00200013": attribute("IS", hit.number),
    }
    if hit.rows is not None and hit.columns is not None:
        found |= {"00280010": attribute("US", hit.rows), "00280011": attribute("US", hit.columns)}
        found |= {"00280008": attribute("IS", hit.frames)}
    return _sorted(found)


def _of_study(hit: StudyHit, shown: Shown) -> DataSet:
    if not shown.named:
        return _study(hit, shown)
    named = {"00080005": UTF8, "0020000D": attribute("UI", hit.study_instance_uid)}
    return named | shown.more(_study(hit, shown))


def _study(hit: StudyHit, shown: Shown) -> DataSet:
    who = hit.identity
    usual: dict[str, Attribute] = {
        "00080005": UTF8,
        "00080020": attribute("DA", hit.study_date),
        "00080030": attribute("TM", hit.study_time),
        "00080050": attribute("SH", hit.accession_number),
        "00080061": attribute("CS", *hit.modalities),
        "00080090": attribute("PN"),
        "00081030": attribute("LO", hit.description),
        "00100010": attribute("PN", who.name),
        "00100020": attribute("LO", who.patient_id),
        "00100021": attribute("LO", who.issuer),
        "00100030": attribute("DA", who.birth_date),
        "00100040": attribute("CS", who.sex),
        "0020000D": attribute("UI", hit.study_instance_uid),
        "00200010": attribute("SH"),
        "00201206": attribute("IS", hit.series),
        "00201208": attribute("IS", hit.instances),
    }
    return usual | shown.more({"00080080": attribute("LO", hit.institution)})


def _series(hit: SeriesHit, shown: Shown) -> DataSet:
    usual: dict[str, Attribute] = {
        "00080005": UTF8,
        "00080060": attribute("CS", hit.modality),
        "0008103E": attribute("LO", hit.description),
        "0020000E": attribute("UI", hit.series_instance_uid),
        "00200011": attribute("IS", hit.number),
        "00201209": attribute("IS", hit.instances),
    }
    return usual | shown.more({"00180015": attribute("CS", hit.body_part)})


def _sorted(found: DataSet) -> DataSet:
    return dict(sorted(found.items()))
