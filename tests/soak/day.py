"""Ten working hours of a county, drawn by chance: who is ordered what, and when. Times are seconds since 8 o'clock."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from tests.bench.county import name_of

TOWNS: Final = tuple(f"TS{n:02}" for n in range(1, 11))
CT_TOWNS: Final = TOWNS[:4]  # the others have no scanner
HOURS: Final = (8, 14, 16, 13, 6, 5, 12, 13, 9, 4)
"""How many of a hundred examinations are ordered in each hour: a full morning, a rest at noon, a flat afternoon."""
HOUR: Final = 3600.0
AGAIN: Final = 0.03  # orders that the HIS sends twice, and objects that the device sends twice
TWICE: Final = 0.1  # examinations of somebody who was examined earlier the same day


@dataclass(frozen=True)
class Kind:
    """One kind of examination: its share of a hundred, images a study, their size, and minutes until they are made."""

    name: str
    procedure: str
    share: int
    images: int
    rows: int
    columns: int
    samples: int  # a pixel
    bits: int
    minutes: tuple[float, float]


KINDS: Final = (
    Kind("CT", "CT-HEAD", 15, 30, 512, 512, 1, 16, (10, 60)),
    Kind("DX", "DR-CHEST", 35, 1, 2048, 2048, 1, 16, (5, 40)),
    Kind("US", "US-ABDOMEN", 35, 8, 480, 640, 3, 8, (10, 60)),
    Kind("ECG", "ECG-12", 15, 1, 0, 0, 0, 0, (3, 20)),
)


@dataclass(frozen=True)
class Exam:
    """One examination as it is going to be."""

    number: int
    at: float
    town: str
    kind: Kind
    patient: int
    priority: str  # OBR-27: R, A (urgent), S (stat)
    until_scanned: float  # seconds after the order
    is_sent_twice: bool

    @property
    def placer(self) -> str:
        """What its HIS calls the order."""
        return f"D{self.number:06}"

    @property
    def order(self) -> bytes:
        """The order (ORM^O01)."""
        who, name, what = f"{self.patient:06}", name_of(self.patient), self.kind.procedure
        segments = (
            f"MSH|^~\\&|HIS|{self.town}|HUREN|CH01|20260302093000||ORM^O01|M{self.number:06}|P|2.4||||||UNICODE UTF-8",
            f"PID|1||{who}^^^^MR||{name}||19600102|F",
            "PV1|1|O",
            f"ORC|NW|{self.placer}|||||^^^^^{self.priority}",
            f"OBR|1|{self.placer}||{what}^{what}^L|||||||||不适三天||0001^李医生|||||||||||^^^^^{self.priority}",
        )
        return ("\r".join(segments) + "\r").encode()


def plan(exams: int, chance: random.Random) -> list[Exam]:
    """So many examinations over the ten hours, in order of time."""
    hours = [hour for hour, share in enumerate(HOURS) for _ in range(share)]
    times = sorted((chance.choice(hours) + chance.random()) * HOUR for _ in range(exams))
    made: list[Exam] = []
    for number, at in enumerate(times, 1):
        kind = chance.choices(KINDS, [kind.share for kind in KINDS])[0]
        town, patient = chance.choice(CT_TOWNS if kind.name == "CT" else TOWNS), number
        if made and chance.random() < TWICE:
            earlier = chance.choice(made)
            if kind.name != "CT" or earlier.town in CT_TOWNS:
                town, patient = earlier.town, earlier.patient
        made.append(
            Exam(
                number,
                at,
                town,
                kind,
                patient,
                chance.choices(("R", "A", "S"), (85, 10, 5))[0],
                chance.uniform(*kind.minutes) * 60,
                chance.random() < AGAIN,
            )
        )
    return made
