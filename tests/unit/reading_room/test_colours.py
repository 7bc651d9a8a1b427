"""Words can be read on their ground, light and dark: contrast of WCAG 2.1, success criterion 1.4.3."""

from __future__ import annotations

import re

import pytest

from reading_room.pages.frame import STATIC

ENOUGH = 4.5
PAIRS = [
    *[("--ink", ground) for ground in ("--ground", "--paper", "--raised", "--hover", "--chosen", "--stat-ground")],
    *[("--ink", ground) for ground in ("--bad-ground", "--heed-ground")],
    *[("--calm", ground) for ground in ("--ground", "--paper", "--raised", "--hover", "--chosen", "--stat-ground")],
    *[("--late-ink", ground) for ground in ("--paper", "--hover", "--stat-ground", "--chosen")],
    *[("--tblr-link-color", ground) for ground in ("--ground", "--paper", "--hover", "--stat-ground", "--heed-ground")],
    *[(f"--{name}-ink", f"--{name}-ground") for name in ("bad", "heed", "good", "busy", "urgent", "tag")],
    ("--good-ink", "--paper"),
]


def tokens(selector: str) -> dict[str, str]:
    """The colours that a block of the style sheet sets."""
    text = (STATIC / "huren.css").read_text(encoding="utf-8")
    block = re.search(re.escape(selector) + r" \{(.*?)\n\}", text, re.DOTALL)
    assert block, selector
    return dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", block.group(1)))


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb``, 0 to 1."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("selector", [":root, [data-bs-theme=light]", "[data-bs-theme=dark]"])
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_words_can_be_read(selector: str, ink: str, ground: str) -> None:
    found = tokens(selector)
    assert contrast(found[ink], found[ground]) >= ENOUGH, (found[ink], found[ground])


def test_both_sets_name_the_same_colours() -> None:
    light, dark = (tokens(s) for s in (":root, [data-bs-theme=light]", "[data-bs-theme=dark]"))
    assert set(light) <= set(dark)
