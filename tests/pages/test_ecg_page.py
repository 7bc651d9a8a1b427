"""The ECG page: what is drawn is measured in the picture, what calipers say is known beforehand."""

from __future__ import annotations

import gzip
import json
import re
import struct
from base64 import b64decode
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, expect
from pydicom import Dataset

from interfaces.ecg.recording import TWELVE, Cart, Filters, Lead, Recording, Strip
from tests import ecgs
from tests.pages import cardiology
from tests.pages.site import Site, no_scripts
from tests.pages.test_accessibility import faults
from tests.world import Placed
from worklist.tables import AuditRow, Study

MM: Final = 96 / 25.4  # CSS pixels of a millimetre where nobody has laid a ruler on the screen
LEFT: Final = 10  # mm of paper before the waves
RATE: Final = 500
STEP: Final = 2.5  # µV
READY: Final = ".ecg-paper[data-ready]:not([data-ready=''])"
HOSTILE: Final = "<script>alert(1)</script><img src=x onerror=alert(2)>"
SAID: Final = {
    "heart rate": 75.0,
    "RR interval": 800.0,
    "PR interval": 180.0,
    "QRS duration": 90.0,
    "QT interval": 400.0,
    "QTc interval": 447.0,
}
Picture = NDArray[np.float64]


def known() -> Recording:
    """Lead II is a sine of 5 Hz and 1 mV from trough to crest; V1 rises by 1 mV for 200 ms at every second; V2 carries
    0.2 mV of 50 Hz on a slow beat."""
    time = np.arange(10 * RATE) / RATE
    shapes = {
        "II": 500 * np.sin(2 * np.pi * 5 * time),
        "V1": 1000 * ((time % 1) < 0.2),
        "V2": 100 * np.sin(2 * np.pi * 50 * time) + 500 * np.sin(2 * np.pi * time),
    }
    leads = [
        Lead(name, np.rint(shapes.get(name, np.zeros_like(time)) / STEP).astype(np.int32), STEP) for name in TWELVE
    ]
    return replace(
        ecgs.recording(), rhythm=Strip(float(RATE), tuple(leads)), beat=None, fiducials={}, measurements=SAID
    )


@pytest.fixture(scope="module")
def center(site: Site) -> Site:
    """The county with an ECG center."""
    cardiology.open_center(site.world)
    return site


@pytest.fixture(scope="module")
def waves(center: Site) -> str:
    """The reading of the known waves."""
    placed = center.world.order("ECG12", patient=center.world.patient("40001", "王小东"))
    cardiology.record(center, placed, known())
    return center.world.reading_of(placed).id


def opened(site: Site, page: Page, reading: str) -> None:
    """Go to a case and wait until its ECG is drawn."""
    page.goto(f"{site.address}/reading/{reading}")
    page.wait_for_selector(READY)


def pixels(page: Page, canvas: str = "canvas.waves") -> Picture:
    """What a canvas holds: rows by columns by red, green, blue and cover, of 255."""
    address = page.evaluate("name => document.querySelector(name).toDataURL('image/png')", canvas)
    return np.asarray(Image.open(BytesIO(b64decode(address.split(",")[1]))).convert("RGBA"), float)


def picture(page: Page) -> Picture:
    """What is drawn, rows by columns: 0 for paper, 1 for ink. The grid is red, so that red light does not see it."""
    return np.clip((200 - pixels(page)[:, :, 0]) / 184, 0, 1)


def zoomed(page: Page, lead: str) -> None:
    """One lead alone on the sheet, by the keyboard."""
    page.focus(".ecg-paper")
    says = page.locator("[data-ecg-says]")
    for _ in range(13):
        page.keyboard.press("]")
        if re.match(rf"{lead}[:：]", says.inner_text().split("|")[-1].strip()):  # behind the newest measure
            page.keyboard.press("Enter")
            expect(page.locator(".ecg-paper")).to_have_attribute("data-kind", "single")
            return
    raise AssertionError(f"no lead {lead}")


def heights(ink: Picture) -> NDArray[np.float64]:
    """The middle of the ink in each column of pixels, NaN where there is none."""
    weight = ink.sum(axis=0)
    rows = np.arange(ink.shape[0])[:, None] + 0.5
    return np.where(weight > 0.5, (ink * rows).sum(axis=0) / np.maximum(weight, 1e-9), np.nan)


def body(ink: Picture) -> Picture:
    """Without the line of words below."""
    return ink[: -round(6 * MM)]


# --- millimetres -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [12.5, 25, 50])
def test_millimetres_are_right(center: Site, waves: str, speed: float) -> None:
    """A canvas has whole pixels: an edge of ink is found to half a pixel (0.13 mm), so a distance of two edges to one.
    Along the strip the distances are long, so that one pixel of eight seconds is a thousandth of them or less."""
    with center.visit("heart1") as page:
        opened(center, page, waves)
        page.select_option("[data-wish=speed]", f"{speed:g}")
        drawn = {}
        for lead in ("V1", "II"):
            zoomed(page, lead)
            for gain in (5, 10, 20):
                page.select_option("[data-wish=gain]", str(gain))
                drawn[lead, gain] = body(picture(page))
            page.keyboard.press("Escape")
            page.focus(".ecg-paper")
            page.keyboard.press("Escape")
    for gain in (5, 10, 20):
        check_square(drawn["V1", gain], speed, gain)
        check_sine(drawn["II", gain], speed, gain)


def check_square(ink: Picture, speed: float, gain: float, mm: float = MM) -> None:
    """Pulses of 1 mV, 200 ms long, from 1 s on at each second; what comes before half a second has words in it. `mm`
    is pixels of a millimetre."""
    ink = ink[:, round((LEFT + 0.5 * speed) * mm) :]
    line = heights(ink)
    low, high = np.nanmax(line), np.nanmin(line)
    flat = [line[np.abs(line - level) < 0.5] for level in (low, high)]
    assert abs((np.mean(flat[0]) - np.mean(flat[1])) - gain * mm) < 0.5
    # At half height there is ink only where a pulse rises or falls.
    middle = ink[round((low + high) / 2)]
    edges = np.flatnonzero(np.diff(np.concatenate(([False], middle > 0.1, [False]))))
    places = [middle[a:b] @ np.arange(a, b) / middle[a:b].sum() for a, b in edges.reshape(-1, 2)]
    ups, downs = places[::2], places[1::2]
    assert len(ups) == len(downs) == 9
    assert abs((ups[-1] - ups[0]) - 8 * speed * mm) < 1
    assert np.allclose(np.diff(ups), speed * mm, atol=1)
    assert np.allclose(np.subtract(downs, ups), 0.2 * speed * mm, atol=1)


def check_sine(ink: Picture, speed: float, gain: float) -> None:
    """1 mV from crest to trough, less the width of the line itself; five crossings of its middle upwards a second."""
    ink = ink[:, round((LEFT + 13) * MM) :]
    rows = np.flatnonzero((ink > 0.5).any(axis=1))
    width = max(1, 0.26 * MM)
    assert abs((rows[-1] - rows[0] + 1 - width) - gain * MM) <= 1
    line = heights(ink)
    columns = np.flatnonzero(~np.isnan(line))  # a crest between two columns may leave one too faint
    line = line[columns] - (rows[-1] + rows[0] + 1) / 2
    up = np.flatnonzero((line[:-1] > 0) & (line[1:] <= 0))
    at = columns[up] + line[up] / (line[up] - line[up + 1]) * np.diff(columns)[up]
    assert len(at) > 30
    assert abs((at[-1] - at[0]) - (len(at) - 1) * 0.2 * speed * MM) < 1


def test_the_paper_has_its_lines_and_the_pulse_its_height(center: Site, waves: str) -> None:
    with center.visit("heart1") as page:
        opened(center, page, waves)
        shot = Image.open(BytesIO(page.locator("canvas.waves").screenshot())).convert("RGB")
        box = page.locator("canvas.waves").bounding_box()
        size = page.evaluate("(c => [c.width, c.height])(document.querySelector('canvas.waves'))")
        ink = picture(page)
    assert box is not None
    assert abs(box["width"] - size[0] / 1) < 0.01  # a pixel of the canvas is one of the screen
    colours = np.asarray(shot, float)
    row = colours[round(2.4 * MM), :, 1]  # between two lines: only those that go down cross it
    dark = np.flatnonzero(row < 200)
    lines = [group.mean() + 0.5 for group in np.split(dark, np.flatnonzero(np.diff(dark) > 1) + 1)]
    assert len(lines) >= 53  # 265 mm
    assert np.allclose(lines, np.arange(len(lines)) * 5 * MM, atol=1)
    pulse = ink[: round(29 * MM), round(3.5 * MM) : round(6.5 * MM)]
    top = np.flatnonzero((pulse > 0.5).all(axis=1)).mean()
    foot = heights(ink[: round(29 * MM), round(8 * MM) : round(8.4 * MM)])
    assert abs(np.nanmean(foot) - (top + 0.5) - 10 * MM) < 1


def test_a_screen_that_somebody_measured_keeps_its_size(center: Site, waves: str) -> None:
    with center.visit("heart1") as page:
        opened(center, page, waves)
        expect(page.locator("[data-uncalibrated]")).to_be_visible()
        before = page.evaluate("document.querySelector('canvas.waves').width")
        page.click("[data-calibrate]")
        slider = page.locator(".ecg-size input")
        slider.evaluate("s => { s.value = '4.5'; s.dispatchEvent(new Event('input')) }")
        card = page.locator(".card-bar").bounding_box()
        assert card is not None
        assert abs(card["width"] - 4.5 * 85.6) < 0.5
        page.click("[data-keep-size]")
        expect(page.locator("[data-uncalibrated]")).to_be_hidden()
        now = page.evaluate("document.querySelector('canvas.waves').width")
        assert abs(now / before - 4.5 / MM) < 0.002
        opened(center, page, waves)  # the browser remembers it
        assert page.evaluate("document.querySelector('canvas.waves').width") == now
        page.click("[data-calibrate]")
        page.click("[data-forget-size]")
        expect(page.locator("[data-uncalibrated]")).to_be_visible()


def test_a_fine_screen_gets_fine_lines(center: Site, waves: str) -> None:
    """Two pixels of the screen for one of the page: twice the canvas in the same place, and the same millimetres."""
    context = center.browser.new_context(viewport={"width": 1366, "height": 768}, device_scale_factor=2)
    try:
        page = center.tab(context)
        center.sign_in(page, "heart1")
        opened(center, page, waves)
        size = page.evaluate("(c => [c.width, c.height, c.offsetWidth])(document.querySelector('canvas.waves'))")
        assert size[0] == pytest.approx(265 * MM * 2, abs=1)
        assert size[2] == pytest.approx(size[0] / 2, abs=1)
        drag(page, 0, (0.99, 0.4), (2.01, 0.6), column=5)
        expect(page.locator("[data-measures] li")).to_contain_text("1000 ms")
        zoomed(page, "V1")
        check_square(picture(page)[: -round(12 * MM)], 25, 10, 2 * MM)
    finally:
        context.close()


# --- calipers ----------------------------------------------------------------------------------------------------


def drag(page: Page, lead_row: int, start: tuple[float, float], end: tuple[float, float], *, column: float = 0) -> None:
    """From one place (s, mV) of a row in 3×4 to another; `column` is the second at which its column begins."""
    box = page.locator("canvas.waves").bounding_box()
    assert box is not None

    def at(place: tuple[float, float]) -> tuple[float, float]:
        x = LEFT + (place[0] + column) * 25
        y = 5 + 24 * (lead_row + 0.5) - place[1] * 10
        return box["x"] + x * MM, box["y"] + y * MM

    page.mouse.move(*at(start))
    page.mouse.down()
    page.mouse.move(*at(((start[0] + end[0]) / 2, end[1])))
    page.mouse.move(*at(end))
    page.mouse.up()


def test_calipers_tell_known_pulses(center: Site, waves: str) -> None:
    with center.visit("heart1", language="en") as page:
        opened(center, page, waves)
        measured = page.locator("[data-measures] li")
        # V1 is the third column's first row and shows seconds 5 to 7.5; a pixel beside the edge is near enough.
        drag(page, 0, (0.99, 0.4), (2.01, 0.6), column=5)
        expect(measured).to_have_text(["V1: 1000 ms · 60 bpm · 0.00 mV"])
        drag(page, 0, (1.01, 0.5), (1.19, 0.5), column=5)
        expect(measured.last).to_have_text("V1: 200 ms · 300 bpm · 0.00 mV")
        # Lead II below, as the rhythm: trough at 150 ms, crest at 250 ms.
        drag(page, 3, (0.16, -0.45), (0.24, 0.45))
        expect(measured.last).to_have_text("II: 100 ms · 600 bpm · 1.00 mV")
        assert measured.count() == 3
        # Nothing holds it with Alt: 40 mm are 1600 ms, to the half pixel of a pointer.
        page.keyboard.down("Alt")
        drag(page, 2, (0.2, 0.0), (1.8, 0.5))
        page.keyboard.up("Alt")
        found = re.fullmatch(r"III: (\d+) ms · 3[78] bpm · (\S+) mV", measured.last.inner_text())
        assert found
        assert abs(int(found[1]) - 1600) <= 11
        assert abs(float(found[2]) - 0.5) <= 0.03
        page.click("[data-clear]")
        expect(measured).to_have_count(0)


def test_moving_calipers_never_draws_a_wave_again(center: Site, waves: str) -> None:
    with center.visit("heart1") as page:
        opened(center, page, waves)
        drawn = page.locator(".ecg-paper").get_attribute("data-drawn")
        before = picture(page)
        drag(page, 3, (0.5, 0.2), (1.7, 0.3))
        page.focus(".ecg-paper")
        page.keyboard.press("m")  # marched out: the same interval over the strip
        page.evaluate("() => new Promise(requestAnimationFrame)")  # calipers are drawn with the next picture
        page.evaluate("() => new Promise(requestAnimationFrame)")
        assert page.locator(".ecg-paper").get_attribute("data-drawn") == drawn
        assert np.array_equal(before, picture(page))
        marks = (pixels(page, "canvas.above")[:, :, 3] > 60).sum(axis=0)
    tall = np.flatnonzero(marks > 150)  # dashes over four rows
    groups = [group.mean() for group in np.split(tall, np.flatnonzero(np.diff(tall) > 2) + 1)]
    step = np.diff(groups)
    assert len(groups) >= 7
    assert np.allclose(step, step.mean(), atol=1.5)


def test_everything_by_the_keyboard(center: Site) -> None:
    placed = center.world.order("ECG12", patient=center.world.patient("40002", "李秀英"))
    cardiology.record(center, placed, known())
    reading = center.world.reading_of(placed).id
    center.world.claim("heart1", reading, at=center.clock())
    with center.visit("heart1", language="en") as page:
        opened(center, page, reading)
        paper = page.locator(".ecg-paper")
        expect(paper).to_be_focused()
        page.keyboard.press("]")  # lead I, at its middle
        for _ in range(11):
            if page.locator("[data-ecg-says]").inner_text().startswith("V1"):
                break
            page.keyboard.press("]")
        for key in ("ArrowLeft",) * 5 + ("s",):  # 6.25 s, ten milliseconds back; the falling edge at 6.2 s is near
            page.keyboard.press(key)
        page.keyboard.press("Space")
        for _ in range(5):
            page.keyboard.press("Shift+ArrowLeft")  # 40 ms each
        page.keyboard.press("s")
        page.keyboard.press("Space")
        expect(page.locator("[data-measures] li")).to_have_text(["V1: 200 ms · 300 bpm · 0.00 mV"])
        page.keyboard.press("i")
        expect(page.locator("[data-rr]")).to_have_value("200")
        page.keyboard.press("m")
        page.keyboard.press("Enter")
        expect(paper).to_have_attribute("data-kind", "single")
        page.keyboard.press("Escape")
        expect(paper).to_have_attribute("data-kind", "3x4")
        for key, name, value in ((".", "speed", "50"), (",", "speed", "25"), ("+", "gain", "20"), ("-", "gain", "10")):
            page.keyboard.press(key)
            expect(page.locator(f"[data-wish={name}]")).to_have_value(value)
        for layout in ("6x2", "12x1", "3x4"):
            page.keyboard.press("l")
            expect(paper).to_have_attribute("data-kind", layout)
        page.keyboard.press("Delete")
        expect(page.locator("[data-measures] li")).to_have_count(0)
        # What the device says enters the report only now.
        assert page.input_value("#findings") == page.input_value("#impression") == ""
        page.keyboard.press("Alt+s")
        expect(page.locator("#impression")).to_have_value("Sinus rhythm\nNormal ECG")
        assert page.input_value("#findings") == "", "numbers have a place of their own"
        for name, value in (("heart rate", "75"), ("PR interval", "180"), ("QTc interval", "447"), ("T axis", "")):
            expect(page.locator(f"[data-number='{name}']")).to_have_value(value)
        page.fill("[data-number='PR interval']", "176")
        expect(page.locator("[data-number='PR interval']")).not_to_have_class(re.compile("device"))
        expect(page.locator("[data-number='QT interval']")).to_have_class(re.compile("device"))
        page.keyboard.press("Alt+q")  # by the usual formula: the device's 400 ms, at the 200 ms of the calipers
        expect(page.locator("[data-method]")).to_have_value("Bazett")
        expect(page.locator("[data-number='QTc interval']")).to_have_value("894")
        expect(page.locator(".saved")).to_contain_text("Saved")
        page.keyboard.press("Alt+s")  # it stands there already
        expect(page.locator("#impression")).to_have_value("Sinus rhythm\nNormal ECG")
        expect(page.locator("[data-number='PR interval']")).to_have_value("176")
        page.keyboard.press("Alt+w")
        expect(paper).to_be_focused()


# --- filters and QT ----------------------------------------------------------------------------------------------


def test_filters_change_the_picture_and_nothing_else(center: Site, waves: str) -> None:
    sums = """async () => { const [one] = JSON.parse(document.querySelector('section.ecg').dataset.own);
        const { load } = await import('/static/ecg/data.js'); const { rhythm } = await load(one.id);
        return rhythm.leads.map((lead) => lead.values.reduce((sum, value, i) => sum + value * (1 + i % 7), 0)); }"""
    with center.visit("heart1") as page:
        opened(center, page, waves)
        zoomed(page, "V2")
        before, data = body(picture(page)), page.evaluate(sums)
        badge = page.locator("[data-filtered]")
        expect(badge).to_be_hidden()
        page.keyboard.press("Escape")
        page.click(".ecg-filters summary")
        page.select_option("[data-filter=notch]", "50")
        page.keyboard.press("Escape")
        expect(badge).to_be_visible()
        expect(badge).to_contain_text("50 Hz")
        zoomed(page, "V2")
        after = body(picture(page))
        # The hum of ±1 mm is gone: the line is thin in every column, and the slow wave stands where it stood.
        thick = [np.median((ink[:, round(60 * MM) :] > 0.3).sum(axis=0)) for ink in (before, after)]
        assert thick[0] > 5 >= thick[1]
        lines = [heights(ink)[round(60 * MM) : round(250 * MM)] for ink in (before, after)]
        assert np.nanmax(np.abs(lines[0] - lines[1])) < 2.5
        assert page.evaluate(sums) == data
        page.keyboard.press("f")
        expect(badge).to_be_hidden()
        assert np.array_equal(body(picture(page)), before)


def test_each_filter_does_what_its_name_says(center: Site) -> None:
    """A sine at the named frequency loses 3 dB, far inside the band nothing, and is not moved in time."""
    run = """async ([name, hertz, sine, rate]) => { const made = await import('/static/ecg/filters.js');
        const turn = (2 * Math.PI * sine) / rate;
        const values = Float64Array.from({ length: rate * 20 }, (_, i) => 1000 * Math.sin(turn * i));
        return Array.from(made.zeroPhase(made[name](hertz, rate), values)); }"""

    def gain(page: Page, name: str, hertz: float, sine: float, rate: int = 500) -> tuple[float, float]:
        made = np.asarray(page.evaluate(run, [name, hertz, sine, rate]))
        time = np.arange(len(made)) / rate
        inner = slice(5 * rate, 15 * rate)
        basis = np.stack((np.sin(2 * np.pi * sine * time), np.cos(2 * np.pi * sine * time)), axis=1)[inner]
        (a, b), *_rest = np.linalg.lstsq(basis, made[inner] / 1000, rcond=None)
        return float(np.hypot(a, b)), float(np.degrees(np.arctan2(b, a)))

    with center.visit("heart1") as page:
        page.goto(f"{center.address}/reading")
        for hertz in (35, 40, 100):
            for rate in (500, 1000):
                assert gain(page, "lowPass", hertz, hertz, rate)[0] == pytest.approx(2**-0.5, abs=0.005)
            size, phase = gain(page, "lowPass", hertz, 10)
            assert size == pytest.approx(1, abs=0.02)
            assert abs(phase) < 0.1
        assert gain(page, "highPass", 0.5, 0.5)[0] == pytest.approx(2**-0.5, abs=0.01)
        assert gain(page, "highPass", 0.5, 10)[0] == pytest.approx(1, abs=0.002)
        assert gain(page, "highPass", 0.05, 5)[0] == pytest.approx(1, abs=0.002)
        assert gain(page, "notch", 50, 50)[0] < 0.01
        assert gain(page, "notch", 50, 40)[0] == pytest.approx(1, abs=0.02)
        # What is missing stays missing, and spoils nothing around it.
        holes = page.evaluate(
            """async () => { const { filtered } = await import('/static/ecg/filters.js');
            const values = new Float64Array(1000).fill(200); values.fill(NaN, 300, 350); values.fill(NaN, 990);
            const made = filtered(values, 500, { high: 0, low: 40, notch: 0 });
            return Array.from(made, (v) => Number.isNaN(v) ? null : v); }"""
        )
        assert [i for i, value in enumerate(holes) if value is None] == [*range(300, 350), *range(990, 1000)]
        assert all(value is None or abs(value - 200) < 0.01 for value in holes)


def test_corrected_qt(center: Site, waves: str) -> None:
    """By hand: QT 360 ms at 100 a minute (RR 600 ms): 360/√0.6, 360/∛0.6, 360 + 154 × 0.4, 360 + 1.75 × 40. At 60 a
    minute every formula leaves QT as it is."""
    examples: dict[tuple[int, int], list[int]] = {
        (360, 600): [465, 427, 422, 430],
        (400, 1000): [400, 400, 400, 400],
        (400, 800): [447, 431, 431, 426],
        (440, 1500): [359, 384, 363, 405],
    }
    with center.visit("heart1") as page:
        opened(center, page, waves)
        shown = page.locator("[data-corrected] dd")
        expect(shown).to_have_text([f"{ms} ms" for ms in examples[400, 800]])  # of the device's QT and RR
        for (qt, rr), said in examples.items():
            page.fill("[data-qt]", str(qt))
            page.fill("[data-rr]", str(rr))
            expect(shown).to_have_text([f"{ms} ms" for ms in said])
        page.fill("[data-rr]", "")
        expect(shown).to_have_count(0)


# --- an earlier ECG ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def followed(center: Site) -> tuple[str, str]:
    """A reading whose patient had an ECG in November, slower and half as large; the ids of the reading and of that."""
    world = center.world
    patient = world.patient("40003", "张伟")
    before = world.order("ECG12", patient=patient)
    slow = ecgs.recording(ecgs.Heart(rate=60.0, step=STEP / 2))  # the same numbers of half the size
    slow = replace(
        slow,
        recorded_at=datetime(2025, 11, 3, 8, 12),  # noqa: DTZ001 - a cart's clock names no zone
        rhythm=Strip(500.0, tuple(replace(lead, samples=lead.samples // 4) for lead in slow.rhythm.leads)),
    )
    earlier = cardiology.record(center, before, slow)
    now = world.order("ECG12", patient=patient)
    cardiology.record(center, now, ecgs.recording())
    return world.reading_of(now).id, earlier


def split(page: Page) -> tuple[Picture, Picture]:
    """Ink of this ECG and of the earlier one: black, and blue."""
    rgb = pixels(page)[:, :, :3]
    black = (rgb.max(axis=2) < 110).astype(float)
    blue = ((rgb[:, :, 2] - rgb[:, :, 0] > 90) & (rgb[:, :, 0] < 140)).astype(float)
    return black, blue


def crest(ink: Picture, row: tuple[float, float], first: float, last: float) -> float:
    """Where the highest ink stands in a row of the sheet (mm from above) between two places along it, in mm."""
    part = ink[round(row[0] * MM) : round(row[1] * MM), round(first * MM) : round(last * MM)]
    top = np.flatnonzero(part.any(axis=1))[0]
    return first + float(np.flatnonzero(part[top : top + 2].any(axis=0)).mean()) / MM


def test_an_earlier_ecg_stands_beside_this_one(center: Site, followed: tuple[str, str]) -> None:
    reading, earlier = followed
    with center.visit("heart1", language="en") as page:
        opened(center, page, reading)
        expect(page.locator("[data-earlier-ecg] option")).to_have_count(1)
        expect(page.locator("[data-earlier-ecg] option")).to_contain_text("3 Nov 2025 08:12")
        page.focus(".ecg-paper")
        page.keyboard.press("p")
        expect(page.locator(".ecg-paper")).to_have_attribute("data-beside", earlier)
        expect(page.locator(".ecg-paper")).to_have_attribute("data-kind", "beside")
        black, blue = split(page)
        # Lead II is the second row (18 mm each, below 5 mm): a beat 0.4 s after the beginning of either, 62.5 mm apart.
        here = crest(black, (23, 40), LEFT + 6, LEFT + 16)
        there = crest(blue, (23, 40), LEFT + 62.5 + 6, LEFT + 62.5 + 16)
        assert here == pytest.approx(LEFT + 0.4 * 25, abs=0.3)
        assert there - here == pytest.approx(62.5, abs=0.3)
        page.select_option("[data-wish=compare]", "over")
        expect(page.locator(".ecg-paper")).to_have_attribute("data-kind", "over")
        black, blue = split(page)
        # Lead II is again the second row (26 mm each): both R at 0.4 s; the next beats 0.8 s and 1 s later.
        row = (33, 52)
        assert crest(black, row, LEFT + 7, LEFT + 14) == pytest.approx(LEFT + 10, abs=0.3)
        assert crest(black, row, LEFT + 25, LEFT + 33) == pytest.approx(LEFT + 30, abs=0.3)
        assert crest(blue, row, LEFT + 33, LEFT + 38) == pytest.approx(LEFT + 35, abs=0.3)
        page.select_option("[data-wish=compare]", "beats")
        expect(page.locator(".ecg-paper")).to_have_attribute("data-kind", "over")
        page.keyboard.press("Escape")
        page.select_option("[data-wish=compare]", "")
        expect(page.locator(".ecg-paper")).to_have_attribute("data-kind", "3x4")
    looked = center.world.one(Study, Study.study_date == "20251103").id
    assert center.world.rows(AuditRow, AuditRow.thing_id == looked, AuditRow.action == "study opened")


# --- what is asked, and by whom ----------------------------------------------------------------------------------


def decoded(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[np.int64]]]:
    """The head, and the samples of each lead, as a program reads them."""
    (size,) = struct.unpack_from("<I", data)
    head = json.loads(data[4 : 4 + size])
    return head, {
        lead["name"]: np.frombuffer(data, f"<i{lead['bits'] // 8}", lead["count"], 4 + size + lead["at"]).astype(int)
        for lead in head["rhythm"]["leads"]
    }


def test_the_samples_are_the_recordings_own(center: Site) -> None:
    recording = replace(
        ecgs.recording(ecgs.Heart(leads=("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"), said=SAID)),
        filters=Filters(0.05, 150.0, 50.0),
        cart=Cart("Maker", "Model", "SN1", "1.0"),
    )
    missing = np.zeros(5000, bool)
    missing[100:120] = True
    leads = [replace(lead, unknown=missing) if lead.name == "V6" else lead for lead in recording.rhythm.leads]
    recording = replace(recording, rhythm=replace(recording.rhythm, leads=tuple(leads)))
    placed = center.world.order("ECG12", patient=center.world.patient("40004", "赵敏"))
    instance = cardiology.record(center, placed, recording)
    reading = center.world.reading_of(placed).id
    address = f"{center.address}/api/instances/{instance}/ecg"
    with center.visit("heart1") as page:
        answer = page.request.get(address, headers={"Accept-Encoding": "gzip"})
        assert answer.ok
        assert answer.headers["content-encoding"] == "gzip"
        data = answer.body()
        head, samples = decoded(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        again = page.request.get(address, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status == 304
        listed = page.request.get(f"{center.address}/api/readings/{reading}/ecgs").json()
    assert list(samples) == list(TWELVE)
    for lead in recording.rhythm.leads:
        known_samples = lead.unknown is None or ~lead.unknown
        assert np.array_equal(samples[lead.name][known_samples], lead.samples[known_samples])
    one, two = recording.rhythm.lead("I"), recording.rhythm.lead("II")
    assert one is not None
    assert two is not None
    step = {lead["name"]: lead["step"] for lead in head["rhythm"]["leads"]}
    volts = {name: samples[name] * step[name] for name in samples}
    assert np.array_equal(volts["III"], two.microvolts() - one.microvolts())
    assert np.array_equal(volts["aVR"], -(one.microvolts() + two.microvolts()) / 2)
    assert head["rhythm"]["leads"][-1]["unknown"] == [[100, 120]]
    assert (head["measurements"], head["statements"]) == (SAID | {"P duration": 100.0}, ["Sinus rhythm", "Normal ECG"])
    assert head["filters"] == {"high_pass": 0.05, "low_pass": 150.0, "notch": 50.0}
    assert (head["recorded_at"], head["cart"]["model"]) == ("2026-03-02T09:30:00", "Model")
    assert head["fiducials"] == ecgs.MARKS
    assert len(head["beat"]["leads"]) == 12
    assert [row["instance_id"] for row in listed["own"]] == [instance]
    assert listed["earlier"] == []


def test_strangers_find_nothing(center: Site, followed: tuple[str, str]) -> None:
    reading, earlier = followed
    for login, status in (("heart1", 200), ("tech1", 200), ("tech2", 404), ("doc2", 404), ("reader1", 404)):
        with center.visit(login) as page:
            answer = page.request.get(f"{center.address}/api/instances/{earlier}/ecg")
            assert answer.status == status, login
            if login not in ("heart1",):
                assert page.request.get(f"{center.address}/api/readings/{reading}/ecgs").status == 404
    with center.visit() as page:
        assert page.request.get(f"{center.address}/api/instances/{earlier}/ecg").status == 401
    placed = center.world.order(patient=center.world.patient("40009", "孙浩"))
    center.scan(placed, slices=1)
    with center.visit("reader1") as page:  # a slice is no ECG
        page.goto(f"{center.address}/reading/{center.world.reading_of(placed).id}")
        slice_id = page.locator("template").first.evaluate(
            "t => t.content.querySelector('[data-frames]').dataset.frames.split(':')[0]"
        )
        assert page.request.get(f"{center.address}/instances/{slice_id}/preview.png").ok
        assert page.request.get(f"{center.address}/api/instances/{slice_id}/ecg").status == 404
        expect(page.locator("section.ecg")).to_have_count(0)


def test_hostile_words_do_nothing(center: Site) -> None:
    def spoil(ds: Dataset) -> None:
        ds.ManufacturerModelName = HOSTILE
        source = ds.WaveformSequence[0].ChannelDefinitionSequence[11].ChannelSourceSequence[0]
        source.CodeValue, source.CodeMeaning = "99", HOSTILE
        ds.WaveformSequence[0].ChannelDefinitionSequence[11].ChannelSourceSequence[0] = source

    placed = center.world.order("ECG12", patient=center.world.patient("40005", "周娜"))
    recording = ecgs.recording(replace(ecgs.Heart(), statements=(HOSTILE, "x" * 900)))
    cardiology.record(center, placed, recording, spoil)
    reading = center.world.reading_of(placed).id
    center.world.claim("heart1", reading, at=center.clock())
    with center.visit("heart1") as page:
        no_scripts(page)
        opened(center, page, reading)
        expect(page.locator("[data-statements] li").first).to_have_text(HOSTILE)
        expect(page.locator("[data-wish=rhythm] option").last).to_have_text(HOSTILE[:16])
        page.select_option("[data-wish=layout]", "12x1")
        page.keyboard.press("Alt+s")
        assert HOSTILE in page.input_value("#impression")
        assert page.locator("main script, main img[src=x]").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 1366


def test_a_damaged_recording_says_so(center: Site) -> None:
    def cut(ds: Dataset) -> None:
        ds.WaveformSequence[0].NumberOfWaveformSamples = 9_000_000

    placed = center.world.order("ECG12", patient=center.world.patient("40006", "吴桂花"))
    cardiology.record(center, placed, ecgs.recording(), cut)
    with center.visit("heart1") as page:
        page.goto(f"{center.address}/reading/{center.world.reading_of(placed).id}")
        expect(page.locator(".ecg-none")).to_contain_text("波形")
    center.heard[:] = [text for text in center.heard if "status of 4" not in text]


# --- the whole page ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["zh_CN", "en"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_can_be_used(center: Site, waves: str, language: str, scheme: str) -> None:
    with center.visit("heart1", language=language) as page:
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        opened(center, page, waves)
        assert page.evaluate("document.documentElement.scrollWidth") <= 1366
        words = page.locator("section.ecg").inner_text()
        assert ("Filters" in words) == (language == "en")
        corner = picture(page)[round(2.4 * MM), round(2.4 * MM)]
        assert corner == 0  # paper is paper, in the dark too
        assert not faults(page)


def test_the_report_can_be_written_beside_the_waves(center: Site, waves: str) -> None:
    """On a small screen the paper and both fields of the report are seen at once."""
    center.world.claim("heart1", waves, at=center.clock())
    with center.visit("heart1") as page:
        opened(center, page, waves)
        page.locator(".ecg-paper").evaluate("p => p.scrollIntoView({ behavior: 'instant' })")
        for name in ("canvas.waves", "#findings", "#impression"):
            box = page.locator(name).bounding_box()
            assert box is not None
            assert box["y"] >= -1, name
            assert box["y"] + box["height"] <= 768, name


def test_no_browser_complained_on_the_ecg_pages(center: Site, waves: str) -> None:
    with center.visit("heart1") as page:
        opened(center, page, waves)
    assert not [text for text in center.heard if "status of 4" not in text]


def test_the_township_sees_its_own_ecg(center: Site, followed: tuple[str, str]) -> None:
    """The page of a study by itself: the same paper, nothing to write into, and nothing for OHIF."""
    study = center.world.one(Study, Study.study_date == "20251103").id
    with center.visit("tech1") as page:
        page.goto(f"{center.address}/studies/{study}")
        page.wait_for_selector(READY)
        assert picture(page)[: round(20 * MM), round(20 * MM) :].any()
        for absent in ("[data-take]", "[data-earlier-ecg]", "section.imaging"):
            expect(page.locator(absent)).to_have_count(0)
        assert not faults(page)
    with center.visit("tech2") as page:
        answer = page.goto(f"{center.address}/studies/{study}")
        assert answer is not None
        assert answer.status == 404


def test_a_long_strip_is_turned_like_pages(center: Site) -> None:
    placed: Placed = center.world.order("ECG12", patient=center.world.patient("40007", "杨建国"))
    cardiology.record(center, placed, ecgs.recording(ecgs.Heart(seconds=30.0)))
    with center.visit("heart1") as page:
        opened(center, page, center.world.reading_of(placed).id)
        seconds = page.locator("[data-seconds]")
        expect(seconds).to_have_text("0–10 / 30 s")
        page.focus(".ecg-paper")
        for said in ("10–20 / 30 s", "20–30 / 30 s", "20–30 / 30 s"):
            page.keyboard.press("PageDown")
            expect(seconds).to_have_text(said)
        page.keyboard.press("PageUp")
        expect(seconds).to_have_text("10–20 / 30 s")


def test_a_time_in_another_zone_is_shown_in_that_of_the_page(center: Site) -> None:
    placed = center.world.order("ECG12", patient=center.world.patient("40010", "周立"))
    cardiology.record(
        center, placed, ecgs.recording(), lambda ds: setattr(ds, "AcquisitionDateTime", "20260302013000+0000")
    )
    with center.visit("heart1") as page:
        page.goto(f"{center.address}/reading/{center.world.reading_of(placed).id}")
        expect(page.locator("[data-about]")).to_contain_text("2026-03-02 09:30:00")
