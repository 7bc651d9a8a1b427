"""What a recognised result saved, estimated by tariffs: the examination that was not done, and its reading.

Who read the images anew did the reading, so only a report that was adopted saves that too. Amounts are whole fen.
"""

from __future__ import annotations

from collections.abc import Iterable

from worklist.facts import Price


class Prices:
    """All tariffs, to be asked for one examination after the other."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self._of: dict[str, list[Price]] = {}
        for price in prices:
            self._of.setdefault(price.procedure, []).append(price)

    def at(self, procedure: str, region: str, day: str) -> Price | None:
        """The tariff of that day (DA) in a region (six digits, or empty where nobody knows): of those that had begun
        the one of the narrowest region, and of these the newest; None where there is none."""
        begun = (p for p in self._of.get(procedure, ()) if p.valid_from <= day and region.startswith(p.region))
        return max(begun, key=lambda p: (len(p.region), p.valid_from), default=None)


def saved(adopted: str, price: Price) -> int:
    """Fen that were saved: the examination, and the reading where the report was adopted."""
    return price.examination + (price.reading if adopted == "report" else 0)


def yuan(amount: int) -> str:
    """Fen as yuan: ``120.50``."""
    return f"{amount // 100}.{amount % 100:02}"
