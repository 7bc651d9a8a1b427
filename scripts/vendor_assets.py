"""Copy the few files that pages load out of node_modules into reading_room/static/vendor (git-ignored)."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = ROOT / "node_modules"
VENDOR = ROOT / "reading_room" / "static" / "vendor"

COPIES = {
    "@tabler/core/dist/css/tabler.min.css": "tabler.min.css",
    "@tabler/core/LICENSE": "tabler.LICENSE.txt",
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/LICENSE": "htmx.LICENSE.txt",
    "@tabler/icons/LICENSE": "icons/LICENSE.txt",
}

# Outline icons, 24 by 24, shown with <use href="…/icons/NAME.svg#icon">: it takes the text's colour.
ICONS = """
activity adjustments alert-circle alert-triangle arrow-back arrow-right ban bell building-hospital
calendar check checks chevron-down chevron-left chevron-right circle-check clipboard-list clock
devices download edit eye file-text filter heartbeat history home inbox key language link list-check
lock logout mail message messages phone photo player-play plus printer refresh route search send
settings shield-lock signature stethoscope trash unlink upload user user-check users writing x
""".split()


def main() -> None:
    """Write the vendor folder anew. Raises FileNotFoundError when a package no longer carries a file."""
    shutil.rmtree(VENDOR, ignore_errors=True)
    (VENDOR / "icons").mkdir(parents=True)
    for source, target in COPIES.items():
        shutil.copyfile(MODULES / source, VENDOR / target)
    for name in ICONS:
        svg = (MODULES / "@tabler/icons/icons/outline" / f"{name}.svg").read_text(encoding="utf-8")
        drawing = svg[svg.index("<svg") :].replace("<svg", '<svg id="icon"', 1)
        (VENDOR / "icons" / f"{name}.svg").write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    main()
