"""How far a mark of recognition reaches: 全国HR everywhere, 鄂HR in the province of that name, any other in its city.

Province codes and abbreviations are those of GB/T 2260, two digits. A city's mark names the city in words, of which
there is no table here: it counts in the city of the institution that gave it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ENDING: Final = "HR"
NATION: Final = ("全国", "国")
PROVINCES: Final = {
    "京": "11",
    "津": "12",
    "冀": "13",
    "晋": "14",
    "蒙": "15",
    "内蒙古": "15",
    "辽": "21",
    "吉": "22",
    "黑": "23",
    "沪": "31",
    "苏": "32",
    "浙": "33",
    "皖": "34",
    "闽": "35",
    "赣": "36",
    "鲁": "37",
    "豫": "41",
    "鄂": "42",
    "湘": "43",
    "粤": "44",
    "桂": "45",
    "琼": "46",
    "渝": "50",
    "川": "51",
    "蜀": "51",
    "贵": "52",
    "黔": "52",
    "云": "53",
    "滇": "53",
    "藏": "54",
    "陕": "61",
    "秦": "61",
    "甘": "62",
    "陇": "62",
    "青": "63",
    "宁": "64",
    "新": "65",
    "台": "71",
    "港": "81",
    "澳": "82",
}


@dataclass(frozen=True)
class Mark:
    """A mark as it stands on a result. `region` begins the codes of where it counts: empty everywhere, None nobody
    knows where."""

    text: str
    region: str | None

    def counts_in(self, region: str) -> bool:
        """Whether it counts in a region (six digits, or empty where nobody knows it)."""
        return self.region is not None and region.startswith(self.region)


def mark_of(text: str, given_in: str) -> Mark:
    """A mark that an institution in the region `given_in` (six digits, or empty) put on a result."""
    written = "".join(text.split())
    if not written.upper().endswith(ENDING) or len(written) == len(ENDING):
        return Mark(text, None)
    whose = written[: -len(ENDING)]
    if whose in NATION:
        return Mark(text, "")
    province = PROVINCES.get(whose) or PROVINCES.get(whose.removesuffix("省"))
    if province is not None:
        return Mark(text, province)
    return Mark(text, given_in[:4] if len(given_in) == 6 else None)
