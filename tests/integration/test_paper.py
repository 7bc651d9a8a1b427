"""Poppler's programs look at our PDFs: fonts, text, metadata and seal."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reading_room.documents.paper import Picture, render
from reading_room.documents.seal import Seals
from tests.peers.process import installed
from tests.sheets import PAGE, REPORT, picture, report

NOW = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)
HOSTILE = '#sys.inputs ] $x$ \\u{41} <script>alert(1)</script> *b* _i_ `c` @a <b> // /* #panic("x")'


def _run(program: str, *arguments: str | Path) -> str:
    command = [installed(program, "poppler-utils"), *arguments]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()


@pytest.fixture(params=["A4", "A5"])
def sealed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A sealed report with rare characters, hostile text and two pictures."""
    issued = report(paper=request.param, name="王小东䶮㛃镕堃", findings=f"{HOSTILE}\n𠮷\n{'很长的所见。' * 600}")
    pdf = render(issued, [Picture(picture(), "图1"), Picture(picture(9), "图2")], verify_url=PAGE, trial=True)
    seal = Seals(tmp_path / "seals").of("01k0hospital", "云岭县人民医院")
    path = tmp_path / "report.pdf"
    path.write_bytes(seal.seal(pdf, "E2611220001 v1", NOW))
    return path


def test_the_seal_is_valid_and_covers_all(sealed: Path) -> None:
    said = _run("pdfsig", "-nocert", sealed)
    assert "Signature is Valid." in said
    assert "Total document signed" in said
    assert "ETSI.CAdES.detached" in said
    assert "Signature #2" not in said
    assert "云岭县人民医院" in said


def test_all_fonts_are_embedded(sealed: Path) -> None:
    lines = _run("pdffonts", sealed).splitlines()[2:]
    assert len(lines) >= 2
    for line in lines:
        assert re.search(r"Identity-H\s+yes yes yes", line), line


def test_the_text_is_found_as_it_was_written(sealed: Path) -> None:
    text = _run("pdftotext", "-layout", sealed, "-")
    assert "王小东䶮㛃镕堃" in text
    assert "〓[U+20BB7]" in text
    assert "试用签名，非法定电子认证" in text
    assert "7K3M-X9QZ-2ABC-4DEF" in text
    plain = re.sub(r"[\s\u200b]", "", text)
    assert re.sub(r"\s", "", HOSTILE) in plain
    pages = text.split("\f")[:-1]
    assert len(pages) > 1
    for number, page in enumerate(pages, 1):
        assert "检查号E2611220001" in re.sub(r"\s", "", page)
        assert f"第{number}页/共{len(pages)}页" in re.sub(r"\s", "", page)
        assert "王小东" in page


def test_pdfa_is_declared_and_info_equals_xmp(sealed: Path) -> None:
    info = dict(line.split(":", 1) for line in _run("pdfinfo", "-isodates", sealed).splitlines() if ":" in line)
    xmp = _run("pdfinfo", "-meta", sealed)
    assert info["PDF version"].strip() == "1.7"
    assert "<pdfaid:part>2</pdfaid:part>" in xmp
    assert "<pdfaid:conformance>B</pdfaid:conformance>" in xmp
    said = {name: info[name].strip() for name in ("Title", "Author", "Subject", "Keywords", "Creator")}
    assert said["Title"] == "CT检查报告单 E2611220001"
    assert "huren-verification=7K3MX9QZ2ABC4DEF" in said["Keywords"]
    for value in said.values():
        assert f">{value}<" in xmp
    for name, tag in (("CreationDate", "CreateDate"), ("ModDate", "ModifyDate")):
        assert info[name].strip() == "2026-11-22T03:04:05Z"
        assert f"<xmp:{tag}>2026-11-22T03:04:05Z" in xmp


def test_the_sheet_has_the_papers_size(tmp_path: Path) -> None:
    for size, points in (("A4", "595.276 x 841.89"), ("A5", "419.528 x 595.276")):
        path = tmp_path / f"{size}.pdf"
        path.write_bytes(render(report(paper=size), verify_url=PAGE, trial=True))
        assert points in _run("pdfinfo", path)


def test_watermarks_and_notices(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(render(REPORT, verify_url=PAGE, trial=True, mark="superseded"))
    text = re.sub(r"\s", "", _run("pdftotext", path, "-"))
    assert "本版已被新版本取代" in text
    assert "旧版重印件，不带电子印章" in text
