"""The rules of recognition that count until a manager makes their own, and the reasons for a new examination.

There is no national table of windows: days, and the grade that is taken for a level where an institution's own is not
known, are guesses ("local policy required"). Laboratory items have no modality and wait for their catalogue entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from worklist.rules.recognition import Item, Level, RuleSet, Terms

_LOW: Final = ("0", "1", "2C", "2B")
_HIGH: Final = ("2A", "3C", "3B", "3A")
_TERTIARY: Final = ("3C", "3B", "3A")

RULES: Final = RuleSet(
    items=(
        Item("DR", "普通X线", "Radiography", 14, modalities=("DX", "CR", "DR")),
        Item("CT", "CT", "CT", 14, modalities=("CT",)),
        Item("MR", "磁共振", "MR", 30, modalities=("MR",)),
        Item("US", "超声", "Ultrasound", 14, modalities=("US",)),
        Item("ECG", "心电图", "ECG", 1, modalities=("ECG",)),
        Item("BLOOD-COUNT", "血细胞分析", "Blood count", 3),
        Item("COAGULATION", "凝血", "Coagulation", 3),
        Item("ELECTROLYTES", "电解质", "Electrolytes", 7),
        Item("CHEMISTRY", "生化", "Chemistry", 30),
        Item("IMMUNOLOGY", "免疫", "Immunology", 30),
        Item("HBA1C", "糖化血红蛋白", "HbA1c", 60),
    ),
    equivalents=(),
    inside=Terms("report", institution_qualified=False, item_qualified=False),
    across=Terms("images", institution_qualified=True, item_qualified=True),
    levels=(
        Level(_LOW, _LOW + _HIGH, "must"),
        Level(_HIGH, _HIGH, "must"),
        Level(_TERTIARY, _LOW, "may"),
    ),
    grades={"village": "0", "township": "1", "county": "2A", "city": "3A"},
)


@dataclass(frozen=True)
class Reason:
    """Why somebody examines anew although a result is recognised. `refuses`: it counts as a refusal."""

    code: str
    name: str
    name_en: str
    refuses: bool = True


REASONS: Final = (
    Reason("1", "病情变化，已有结果不能反映当前状况", "The condition has changed; the result no longer shows it"),
    Reason("2", "变化较快的项目", "A quantity that changes quickly"),
    Reason("3", "意义重大（手术、输血等之前）", "Of great consequence (before surgery or transfusion)"),
    Reason("4", "急诊、急救", "Emergency"),
    Reason("5", "司法、伤残、病退鉴定", "Forensic, disability or retirement assessment"),
    Reason("6", "其他", "Other"),
    Reason("98", "影像无法调阅", "The images cannot be opened", refuses=False),
    Reason("99", "连续监测", "Continuous monitoring", refuses=False),
)
"""Six that the country names, and the additions of regions."""
NEEDS_WORDS: Final = ("6",)
"""Codes that say nothing without words beside them."""


def reason(code: str) -> Reason | None:
    """The reason with this code."""
    return next((r for r in REASONS if r.code == code), None)
