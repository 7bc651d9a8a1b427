"""Copy what is served or printed out of node_modules: pages' files and the report's fonts (both git-ignored).

Pages' files go to reading_room/static/vendor, fonts to reading_room/vendor/fonts. Other folders below
reading_room/vendor belong to other scripts and stay.
"""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = ROOT / "node_modules"
VENDOR = ROOT / "reading_room" / "static" / "vendor"
FONTS = ROOT / "reading_room" / "vendor" / "fonts"

COPIES = {
    "@tabler/core/dist/css/tabler.min.css": "tabler.min.css",
    "@tabler/core/LICENSE": "tabler.LICENSE.txt",
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/LICENSE": "htmx.LICENSE.txt",
    "@tabler/icons/LICENSE": "icons/LICENSE.txt",
}

# What the report is printed in. A font that somebody adds to the folder by hand stays: rare characters need one.
FONT_COPIES = {
    "@expo-google-fonts/noto-sans-sc/400Regular/NotoSansSC_400Regular.ttf": "NotoSansSC-Regular.ttf",
    "@expo-google-fonts/noto-sans-sc/700Bold/NotoSansSC_700Bold.ttf": "NotoSansSC-Bold.ttf",
    "@expo-google-fonts/noto-sans-sc/LICENSE_FONT": "NotoSansSC.LICENSE.txt",
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
    """Write the pages' folder anew and the fonts in place.

    Raises FileNotFoundError when a package no longer carries a file.
    """
    shutil.rmtree(VENDOR, ignore_errors=True)
    (VENDOR / "icons").mkdir(parents=True)
    for source, target in COPIES.items():
        shutil.copyfile(MODULES / source, VENDOR / target)
    FONTS.mkdir(parents=True, exist_ok=True)
    for source, target in FONT_COPIES.items():
        shutil.copyfile(MODULES / source, FONTS / target)
    for name in ICONS:
        svg = (MODULES / "@tabler/icons/icons/outline" / f"{name}.svg").read_text(encoding="utf-8")
        drawing = svg[svg.index("<svg") :].replace("<svg", '<svg id="icon"', 1)
        (VENDOR / "icons" / f"{name}.svg").write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    main()
