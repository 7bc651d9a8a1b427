"""What a recognised result saved: which tariff counts, and what of it."""

from __future__ import annotations

import pytest

from worklist.facts import Price
from worklist.rules.savings import Prices, saved, yuan

EVERYWHERE = Price("CT-HEAD", "", "20250101", 20000, 4000)
PROVINCE = Price("CT-HEAD", "42", "20250101", 18000, 3000)
CITY = Price("CT-HEAD", "4201", "20260301", 16000, 2500)
CITY_LATER = Price("CT-HEAD", "4201", "20260701", 15000, 0)
PRICES = Prices([CITY_LATER, EVERYWHERE, CITY, PROVINCE, Price("DR-CHEST", "42", "20250101", 6000, 1500)])


@pytest.mark.parametrize(
    ("region", "day", "expected"),
    [
        ("420106", "20260302", CITY),
        ("420106", "20260301", CITY),  # its first day counts
        ("420106", "20260228", PROVINCE),  # before the city's own began
        ("420106", "20260701", CITY_LATER),
        ("421000", "20260701", PROVINCE),
        ("430100", "20260302", EVERYWHERE),
        ("", "20260302", EVERYWHERE),  # nobody knows where: what counts everywhere
        ("420106", "20241231", None),
    ],
)
def test_the_narrowest_region_and_then_the_newest_day_counts(region: str, day: str, expected: Price | None) -> None:
    assert PRICES.at("CT-HEAD", region, day) == expected


def test_what_has_no_tariff_has_none() -> None:
    assert PRICES.at("MR-HEAD", "420106", "20260302") is None
    assert PRICES.at("DR-CHEST", "430100", "20260302") is None
    assert PRICES.at("DR-CHEST", "", "20260302") is None


def test_images_that_are_read_anew_save_the_examination_alone() -> None:
    assert saved("images", CITY) == 16000
    assert saved("report", CITY) == 18500
    assert saved("images", Price("CT-HEAD", "", "20250101", 0, 4000)) == 0, "only where the tariff says so"


@pytest.mark.parametrize(("fen", "said"), [(0, "0.00"), (5, "0.05"), (12050, "120.50"), (100_000_000, "1000000.00")])
def test_yuan(fen: int, said: str) -> None:
    assert yuan(fen) == said
