"""What is served to browsers uses nothing newer than Chrome 109, the last one on Windows 7."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reading_room.pages.frame import STATIC

NEWER = {
    ".css": {
        r"^\s*&": "nesting (112)",
        r"[{;]\s*&": "nesting (112)",
        r"color-mix\(": "color-mix (111)",
        r"\boklch\(|\boklab\(|\blch\(|\blab\(": "new colour spaces (111)",
        r"light-dark\(": "light-dark (123)",
        r"@scope\b": "@scope (118)",
        r"@starting-style\b": "@starting-style (117)",
        r":user-(?:in)?valid\b": ":user-invalid (119)",
        r"\bfield-sizing\s*:": "field-sizing (123)",
        r"\btext-wrap\s*:": "text-wrap (114)",
        r"\banchor-name\s*:|\bposition-anchor\s*:": "anchors (125)",
        r"grid-template-(?:rows|columns)\s*:[^;]*subgrid": "subgrid (117)",
        r":popover-open\b": "popover (114)",
        r"animation-timeline\s*:": "scroll animations (115)",
        r"transition-behavior\s*:": "transition-behavior (117)",
    },
    ".js": {
        r"\bArray\.fromAsync\b": "Array.fromAsync (121)",
        r"\b(?:Object|Map)\.groupBy\b": "groupBy (117)",
        r"\bPromise\.withResolvers\b": "Promise.withResolvers (119)",
        r"\bPromise\.try\b": "Promise.try (128)",
        r"\.(?:toSorted|toReversed|toSpliced)\(": "copies of arrays (110)",
        r"\bURL\.(?:canParse|parse)\(": "URL.canParse (120)",
        r"\bAbortSignal\.any\(": "AbortSignal.any (116)",
        r"\.(?:isWellFormed|toWellFormed)\(": "well-formed strings (111)",
        r"\.(?:union|intersection|difference|isSubsetOf|isSupersetOf|isDisjointFrom)\(": "sets (122)",
        r"\bnew Float16Array\b": "Float16Array (135)",
        r"\bIterator\.from\b": "iterator helpers (122)",
        r"\bcheckVisibility\(": "checkVisibility options (121)",
        r"\b(?:showPopover|hidePopover|togglePopover)\(": "popover (114)",
        r"\bstartViewTransition\(": "view transitions (111)",
        r"\bscheduler\.yield\(": "scheduler.yield (129)",
        r"^\s*(?:await )?using\s+\w+\s*=": "using (134)",
        r"\bimport\s.*\swith\s*\{": "import attributes (123)",
        r"\bRegExp\.escape\(": "RegExp.escape (136)",
        r"\bUint8Array\.from(?:Base64|Hex)\(|\.to(?:Base64|Hex)\(": "base 64 of bytes (140)",
    },
}
OURS = sorted(p for p in STATIC.iterdir() if p.suffix in NEWER and p.name != "ohif-config.js")  # OHIF asks for more


def newer(text: str, suffix: str) -> list[str]:
    """What in a file is too new."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return [name for pattern, name in NEWER[suffix].items() if re.search(pattern, text, re.MULTILINE)]


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_our_files_work_in_chrome_109(path: Path) -> None:
    assert not newer(path.read_text(encoding="utf-8"), path.suffix)


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".css", ".a { &:hover { color: red } }"),
        (".css", ".a { color: color-mix(in srgb, red, blue) }"),
        (".js", "const sorted = rows.toSorted();"),
        (".js", "const all = await Array.fromAsync(found);"),
        (".js", "if (URL.canParse(text)) go();"),
    ],
)
def test_what_is_newer_is_found(suffix: str, text: str) -> None:
    assert newer(text, suffix)


def test_the_style_sheet_of_others_is_old_enough() -> None:
    text = (STATIC / "vendor" / "tabler.min.css").read_text(encoding="utf-8")
    assert "color-mix(" not in text
    assert "light-dark(" not in text
