"""Kinds of readings: for whom the report is, and whose images it rests on."""

from __future__ import annotations

from typing import Final

PRIMARY: Final = "primary"
"""A study's own reading: it answers the orders that the study was made for."""
ANEW: Final = "anew"
"""Images that exist already, read for an order that nobody examines: they are another order's, perhaps of another
institution, which is why none of its documents are filed among them."""
GOES_HOME: Final = (PRIMARY, ANEW)
"""Those whose report is signed and goes to the institution that ordered. A consultation goes back to who asked."""
