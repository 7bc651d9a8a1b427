"""A signed ECG on paper: one lying A4 sheet, the tracing in vectors and true to scale."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from interfaces.ecg import paper as ecg_paper
from interfaces.ecg.recording import Lead, Recording
from reading_room.documents.paper import Tracing, render
from reading_room.documents.wording import ECG_SCALE
from tests import ecgs
from tests.integration.api_desk import Desk
from tests.integration.test_ecg_faults import desk as desk  # noqa: PLC0414 - the same county
from tests.integration.test_ecg_faults import hand_in, order
from tests.peers.process import installed
from tests.sheets import report
from worklist.actions import users
from worklist.facts import ReportText
from worklist.people import HUREN
from worklist.tables import ReportDocument, ReportVersion

DOTS = 10  # pixels a millimetre: 254 dpi


def printed(recording: Recording, folder: Path, **changes: object) -> bytes:
    """The PDF of a report with this tracing."""
    sheet = ecg_paper.draw(recording)
    tracing = Tracing(sheet.svg, sheet.width, sheet.height, sheet.labels, ECG_SCALE)
    words = ReportText("窦性心律，心率75次/分。", "窦性心律，正常心电图。", "")
    made = report(modality="ECG", text=words, **changes)
    return render(made, verify_url="https://huren.example/verify", trial=True, tracing=tracing)


def ink_of(pdf: bytes, folder: Path) -> NDArray[np.bool_]:
    """Where the first page is black, at 10 pixels a millimetre: of shape (2100, 2970)."""
    (folder / "a.pdf").write_bytes(pdf)
    program = installed("pdftoppm", "poppler-utils")
    subprocess.run(
        [program, "-r", str(DOTS * 25.4), "-png", "-f", "1", "-l", "1", folder / "a.pdf", folder / "a"], check=True
    )
    picture = np.asarray(Image.open(next(folder.glob("a*.png"))).convert("RGB"), dtype=int)
    found: NDArray[np.bool_] = picture.max(axis=2) < 110
    return found


def pages(pdf: bytes, folder: Path) -> str:
    (folder / "b.pdf").write_bytes(pdf)
    return subprocess.run(
        [installed("pdfinfo", "poppler-utils"), folder / "b.pdf"], capture_output=True, text=True, check=True
    ).stdout


def runs(line: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Beginnings and ends of what is set."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], line.astype(int), [0]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def square(height: float, hertz: int = 500) -> Recording:
    """Twelve leads with pulses of `height` mV, 200 ms long, one a second."""
    given = ecgs.recording(ecgs.Heart(hertz=hertz))
    time = np.arange(10 * hertz) / hertz
    samples = np.where(((time % 1) >= 0.4) & ((time % 1) < 0.6), round(height * 1000 / 2.5), 0).astype(np.int32)
    leads = tuple(Lead(lead.name, samples, 2.5) for lead in given.rhythm.leads)
    return replace(given, rhythm=replace(given.rhythm, leads=leads))


def test_the_millimetres_on_paper_are_true(tmp_path: Path) -> None:
    ink = ink_of(printed(square(0.5), tmp_path), tmp_path)
    assert (ink.shape[0] // DOTS, ink.shape[1] // DOTS) == (210, 297)
    left = (297 - ecg_paper.WIDTH) / 2 * DOTS  # the sheet stands in the middle
    # The rhythm strip: a row of the picture between the foot and the top of its pulses is cut by their flanks.
    rows = [y for y in range(1280, 1560) if len(runs(ink[y, int(left + 130) : int(left + 2620)])) == 20]
    assert rows, "no row is cut by the flanks of ten pulses"
    flanks = [(a + b) / 2 for a, b in runs(ink[rows[len(rows) // 2], int(left + 130) : int(left + 2620)])]
    rising, falling = flanks[::2], flanks[1::2]
    assert np.allclose(np.diff(rising), 25 * DOTS, atol=1.5), "a second is 25 mm"
    assert np.allclose(np.array(falling) - np.array(rising), 5 * DOTS, atol=1.5), "200 ms are 5 mm"
    assert abs(rising[0] + 130 - (ecg_paper.LEFT + 0.4 * 25) * DOTS) < 3, "and it begins behind the calibration"
    tall = max(rows) - min(rows)
    assert abs(tall - 5 * DOTS) < 5, "half a millivolt is 5 mm"
    pulses = [runs(ink[:, int(left + at * DOTS)]) for at in (4.0, 9.0)]
    for column in pulses:
        longest = max(b - a for a, b in column)
        assert abs(longest - 10 * DOTS) < 6, "the calibration pulse is 1 mV"


def test_an_offset_of_the_amplifier_does_not_push_it_off_the_paper(tmp_path: Path) -> None:
    given = square(0.5)
    lifted = tuple(replace(lead, samples=lead.samples + 4000) for lead in given.rhythm.leads)  # 10 mV
    assert ecg_paper.draw(replace(given, rhythm=replace(given.rhythm, leads=lifted))) == ecg_paper.draw(given)


@pytest.mark.parametrize("changes", [{}, {"head": replace(report().head, paper="A5")}])
def test_it_is_one_lying_sheet_of_vectors(tmp_path: Path, changes: dict[str, object]) -> None:
    pdf = printed(ecgs.recording(), tmp_path, **changes)
    said = pages(pdf, tmp_path)
    assert "Pages:           1" in said
    assert "841.89 x 595.276 pts (A4)" in said
    images = subprocess.run(
        [installed("pdfimages", "poppler-utils"), "-list", tmp_path / "b.pdf"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert len(images.splitlines()) == 2, "a head of the table, and no image"


def test_other_leads_and_short_recordings_are_drawn(tmp_path: Path) -> None:
    for heart in (ecgs.Heart(seconds=3), ecgs.Heart(leads=("I", "II", "V1")), ecgs.Heart(hertz=1000, seconds=30)):
        sheet = ecg_paper.draw(ecgs.recording(heart))
        assert {name for _x, _y, name in sheet.labels} >= {"I", "II", "V1"}
        assert {name for _x, _y, name in sheet.labels} | set(sheet.left_out) >= set(heart.leads)
        assert pages(printed(ecgs.recording(heart), tmp_path), tmp_path).count("Pages:           1") == 1


def test_what_is_signed_has_the_ecg_on_it(desk: Desk, tmp_path: Path) -> None:
    placed = order(desk)
    last = datetime.fromisoformat("2026-03-02T09:41:07")  # in the cart's time
    hand_in(desk, placed, ecgs.Heart(), recorded_at=last)  # sent first, made last
    hand_in(desk, placed, ecgs.Heart(rate=60.0), "b.scp", recorded_at=last - timedelta(minutes=5))
    world, reading = desk.world, desk.world.reading_of(placed)
    for login, role in (("reader1", "reader"), ("senior1", "senior reader")):
        roles = [(role, reading.center_id)]
        world.do(users.save_user, HUREN, desk.now, id=world.users[login], roles=roles)
    words = ReportText("窦性心律。", "正常心电图。", "")
    world.write("reader1", reading.id, words, desk.now)
    world.submit("reader1", reading.id, at=desk.now)
    world.claim("senior1", reading.id, at=desk.now)
    answer = desk.program("senior1").post(f"/api/readings/{reading.id}/sign")
    assert answer.status_code == 200, answer.text
    version = world.one(ReportVersion)
    kept = world.one(ReportDocument, ReportDocument.version_id == version.id, ReportDocument.kind == "pdf")
    pdf = desk.web.store.read(kept.store_key)
    assert "841.89 x 595.276 pts (A4)" in pages(pdf, tmp_path)
    ink = ink_of(pdf, tmp_path)
    assert ink[600:1700, 300:2800].sum() > 20_000, "the tracing is there"
    text = subprocess.run(
        [installed("pdftotext", "poppler-utils"), "-layout", tmp_path / "b.pdf", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "记录时间 2026-03-02 09:41:07" in text.stdout
    seal = subprocess.run(
        [installed("pdfsig", "poppler-utils"), tmp_path / "b.pdf"], capture_output=True, text=True, check=False
    )
    assert "Signature is Valid." in seal.stdout
