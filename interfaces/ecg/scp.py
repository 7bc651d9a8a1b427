"""SCP-ECG text in the character set that it was written in (EN 1064 section 1, tag 14, language support code).

Chinese carts write names in GBK and declare GB 2312, which lacks a third of the characters, or declare nothing at all,
which means ASCII. The decoder believes them and gives Latin letters; here it is told better.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ecgdatakit.models import ECGRecord
from ecgdatakit.parsing.parsers.scp_ecg import SCPECGParser, _Context

USUAL: Final = "GB18030"
"""What bytes above 127 are taken for where neither the file nor the device's record says a word of them."""
_CODECS: Final = {
    "UTF-8": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gb18030",
    "ISO 2022 IR 58": "gb18030",
    "ISO_IR 100": "latin-1",
    "ASCII": "gb18030",
}
"""By the names of a device's setting; one that says ASCII and sends more says nothing."""
_WIDER: Final = {"gb2312": "gb18030"}


class ScpParser(SCPECGParser):
    """ecgdatakit's, with the character set that `assumed` names where the file declares none, or only Latin-1."""

    def __init__(self, assumed: str = "") -> None:
        super().__init__()
        self._assumed = assumed

    def parse(self, file_path: Path) -> ECGRecord:
        """As its own, without warnings."""
        return self._parse(file_path.read_bytes(), _Told(self._assumed), file_path)


class _Told(_Context):
    """What the decoder keeps of a file: whenever it notes the declared codec, the better one is noted."""

    def __init__(self, assumed: str) -> None:
        object.__setattr__(self, "assumed", assumed)
        super().__init__()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, self._codec(value) if name == "encoding" else value)

    def _codec(self, declared: str | None) -> str:
        assumed: str = self.__dict__["assumed"]
        if declared is None:
            return _CODECS[assumed or USUAL]
        if declared == "latin-1" and assumed:
            return _CODECS[assumed]
        return _WIDER.get(declared, declared)
