"""Images in OHIF: every transfer syntax, kind of image and document, for the right patient, without a complaint."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect
from pydicom import Dataset
from pydicom.uid import UID, JPEGExtended12Bit, generate_uid

from interfaces.dicom.objects import open_part10, read_object
from reading_room import viewer
from tests.pages import samples
from tests.pages.site import PASSWORD, Site
from tests.peers import chromium
from tests.world import Placed
from worklist.facts import ReportText

LOSSY = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91"}
GRAPHICS = chromium.EMULATED_GPU
READY = 40_000  # ms; the first page of a browser compiles the viewer

# The greys of the card's quarters as the viewport's canvas shows them, or nothing yet.
QUARTERS = """() => {
  const canvas = document.querySelector("canvas.cornerstone-canvas");
  if (!canvas || !canvas.width) return null;
  const { width, height } = canvas, context = canvas.getContext("2d"), reach = Math.min(width, height) / 4;
  const at = (x, y) => [...context.getImageData(Math.round(width / 2 + x), Math.round(height / 2 + y), 1, 1).data];
  return [at(-reach, -reach), at(reach, -reach), at(-reach, reach), at(reach, reach)];
}"""


SHOWN = """() => [...document.querySelectorAll("canvas.cornerstone-canvas")].map((canvas) => {
  if (!canvas.width) return 0;
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let bright = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i] > 40) bright += 1;
  return bright / (data.length / 4);
})"""
"""How much of each viewport is not black."""


@pytest.fixture(scope="module")
def reader(site: Site) -> Iterator[BrowserContext]:
    """A reader's browser: what it has fetched of the viewer serves every test."""
    with site.visit("reader1", images="") as page:
        yield page.context


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """What the console says as an error while a test runs: refused by a policy, not found, thrown. There is nothing."""
    heard: list[str] = []
    yield heard
    assert heard == []


def hold(site: Site, placed: Placed, images: Sequence[Dataset], *, device: str = "TS01CT") -> str:
    """Images as the device would send them for an order, one series; returns our id of the study."""
    series, study = generate_uid(), ""
    for ds in images:
        ds.StudyInstanceUID, ds.SeriesInstanceUID = placed.study_instance_uid, series
        ds.AccessionNumber, ds.PatientID = placed.accession_number, placed.patient_id
        ds.PatientName, ds.PatientSex, ds.PatientBirthDate = "王^小东", "M", "19600102"
        data = samples.part10(ds)
        syntax, body = open_part10(data)
        receipt = site.world.receive(read_object(body, syntax), site.store.put([data]), device=device, at=site.clock())
        assert receipt.outcome == "stored"
        study = receipt.study_id
    return study


def case(site: Site, number: str, images: Sequence[Dataset], **order: str) -> tuple[Placed, str]:
    """A case with these images: its order and its reading's id."""
    placed = site.world.order(patient=site.world.patient(number), **order)
    step = site.world.begin_step(placed, at=site.clock())
    hold(site, placed, images)
    site.world.end_step(step, [str(ds.SOPInstanceUID) for ds in images], at=site.clock())
    return placed, site.world.reading_of(placed).id


def sign(site: Site, reading: str) -> None:
    """A report written by the reader and signed on the page, with its documents."""
    site.world.write("reader1", reading, ReportText("右侧基底节区高密度影。", "脑出血。"), site.clock())
    site.world.submit("reader1", reading, site.clock())
    with site.visit("senior1") as page:
        page.goto(f"{site.address}/reading/{reading}")
        page.click("form[action$='/claim'] button")
        page.click("summary[data-key=submit]")
        page.fill("#password", PASSWORD)
        page.press("#password", "Enter")
        page.wait_for_url("**/review?done=signed")


def look(reader: BrowserContext, address: str, complaints: list[str]) -> Page:
    """The viewer in a window of its own."""
    page = reader.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    return page


def of_case(site: Site, placed: Placed, reading: str, modality: str = "") -> str:
    """The viewer's address for a case."""
    return site.address + viewer.address([placed.study_instance_uid], case=reading, modality=modality)


def seen(page: Page) -> NDArray[np.int64]:
    """The page as it looks: rows, columns, RGB."""
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(np.int64)


def until(page: Page, looks: Callable[[NDArray[np.int64]], bool]) -> None:
    """Wait until the page looks so."""
    for _ in range(READY // 500):
        if looks(seen(page)):
            return
        page.wait_for_timeout(500)
    raise AssertionError("the page never looked as it should")


def red_rows(page: Page) -> float:
    """The mean row of the red pixels on the page; NaN where there are none."""
    picture = seen(page)
    rows = np.nonzero((picture[..., 0] > 150) & (picture[..., 1] < 90) & (picture[..., 2] < 90))[0]
    return float(rows.mean()) if rows.size > 200 else float("nan")


def wait_for_greys(page: Page, expected: Sequence[float], tolerance: int, timeout: int = READY) -> None:
    """Wait until the four quarters of the viewport show these greys (of 255)."""
    wanted = [round(255 * grey) for grey in expected]
    page.wait_for_function(
        f"([wanted, tolerance]) => {{ const shown = ({QUARTERS})(); return shown && shown.every((pixel, i) => "
        "pixel.slice(0, 3).every((value) => Math.abs(value - wanted[i]) <= tolerance)); }",
        arg=[wanted, tolerance],
        timeout=timeout,
        polling=100,
    )


@pytest.mark.parametrize("syntax", samples.ENCODERS, ids=lambda syntax: UID(syntax).keyword)
def test_a_study_of_each_transfer_syntax_is_shown(
    site: Site, reader: BrowserContext, complaints: list[str], syntax: str
) -> None:
    image = samples.of_card(syntax, samples.bits_of(syntax))
    placed, reading = case(site, f"51{list(samples.ENCODERS).index(syntax):02}", [image])
    page = look(reader, of_case(site, placed, reading), complaints)
    wait_for_greys(page, samples.GREYS, 6 if syntax in LOSSY else 2)
    page.close()
    if syntax == JPEGExtended12Bit:  # the browser decodes it; the server cannot make a thumbnail of it, and says 406
        complaints[:] = [text for text in complaints if "406" not in text]


def test_a_ct_is_shown_and_made_into_a_volume(site: Site, reader: BrowserContext, complaints: list[str]) -> None:
    placed, reading = case(site, "5201", list(samples.ct(20)))
    page = look(reader, of_case(site, placed, reading), complaints)
    page.wait_for_function(f"() => {{ const shown = ({SHOWN})(); return shown.length === 1 && shown[0] > 0.02; }}")
    expect(page.get_by_text("(1/20)")).to_be_visible(timeout=READY)
    page.goto(of_case(site, placed, reading) + "&hangingProtocolId=mpr")
    page.wait_for_function(
        f"() => {{ const shown = ({SHOWN})(); return shown.length === 3 && shown.every((part) => part > 0.005); }}",
        timeout=READY,
    )
    page.close()


def test_a_radiograph_is_shown_with_bright_bones(site: Site, reader: BrowserContext, complaints: list[str]) -> None:
    placed, reading = case(site, "5202", [samples.radiograph()])
    page = look(reader, of_case(site, placed, reading), complaints)
    page.wait_for_function(f"() => ({SHOWN})()[0] > 0.2", timeout=READY)
    middle = page.evaluate(
        "() => { const canvas = document.querySelector('canvas.cornerstone-canvas');"
        "const at = (x) => canvas.getContext('2d').getImageData(x, canvas.height / 2, 1, 1).data[0];"
        "return [at(canvas.width / 2), at(canvas.width / 2 - canvas.height * 0.38)]; }"
    )
    assert middle[0] == pytest.approx(230, abs=3)  # 400 of 4095, inverted
    assert middle[1] == pytest.approx(19, abs=3)  # 3800 of 4095, inverted
    page.close()


def test_a_multiframe_ultrasound_moves(site: Site, reader: BrowserContext, complaints: list[str]) -> None:
    placed, reading = case(site, "5203", [samples.ultrasound()])
    page = look(reader, of_case(site, placed, reading), complaints)
    page.wait_for_function(f"() => {{ const shown = ({SHOWN})(); return shown[0] > 0.05; }}", timeout=READY)
    expect(page.get_by_text("/12)")).to_be_visible(timeout=READY)
    page.wait_for_timeout(300)
    first = red_rows(page)
    assert first > 0
    page.locator("canvas.cornerstone-canvas").hover()
    for _ in range(4):
        page.mouse.wheel(0, 120)
        page.wait_for_timeout(150)
    assert red_rows(page) > first + 20
    page.close()


def test_a_slide_is_shown(site: Site, reader: BrowserContext, complaints: list[str]) -> None:
    placed, reading = case(site, "5204", list(samples.slide()))
    page = look(reader, of_case(site, placed, reading, "SM"), complaints)
    assert "/ohif/microscopy?" in page.url
    until(page, lambda picture: (abs(picture - (226, 160, 196)) < 14).all(axis=-1).sum() > 20_000)  # tissue
    page.close()


def test_the_signed_report_opens_as_structured_report_and_as_pdf(
    site: Site, reader: BrowserContext, complaints: list[str]
) -> None:
    placed, reading = case(site, "5205", list(samples.ct(3)))
    sign(site, reading)
    page = look(reader, of_case(site, placed, reading), complaints)
    page.get_by_text("知道了").or_(page.locator("canvas.cornerstone-canvas")).first.wait_for(timeout=READY)
    thumbnails = page.locator("[data-cy^=study-browser-thumbnail]")
    thumbnails.filter(has_text="SR").last.dblclick(timeout=READY)
    expect(page.get_by_text("右侧基底节区高密度影。")).to_be_visible(timeout=READY)
    with page.expect_response(lambda answer: "/rendered" in answer.url) as answered:
        thumbnails.filter(has_text="DOC").last.dblclick()
    assert answered.value.status == 200
    assert answered.value.headers["content-type"] == "application/pdf"
    assert answered.value.headers["x-content-type-options"] == "nosniff"
    # The browser's PDF viewer shows the sheet.
    until(page, lambda picture: (picture[300:700, 700:1200] == 255).all(axis=-1).mean() > 0.6)
    page.close()


def test_the_same_number_at_two_townships_is_two_patients(
    site: Site, reader: BrowserContext, complaints: list[str]
) -> None:
    first, reading = case(site, "P1", list(samples.ct(2)))
    second = site.world.order(patient=site.world.patient("P1", "李四", "F", "19800808"), town="TS02")
    hold(site, second, list(samples.ct(2)), device="TS02DR")
    placed, _other = case(site, "P1", list(samples.ct(2)))  # a prior of the first, at the same township
    for address in (
        of_case(site, first, reading),
        f"{site.address}/ohif/viewer?StudyInstanceUIDs={first.study_instance_uid}",  # everything in the reader's scope
    ):
        with_priors = look(reader, address, complaints)
        with_priors.locator("canvas.cornerstone-canvas").wait_for(timeout=READY)
        studies = with_priors.locator(
            "[data-cy='studyBrowser-panel'] [data-cy^='studyRow'], [data-radix-collection-item]"
        )
        with_priors.wait_for_timeout(1000)
        text = with_priors.locator("body").inner_text()
        assert "李" not in text
        assert text.count("CT") >= 2, studies
        asked = with_priors.evaluate(
            "async (root) => (await (await fetch(root)).json()).map((row) => row['0020000D'].Value[0])",
            address.partition("/ohif")[0]
            + (f"/dicom-web/readings/{reading}/studies" if "case=" in address else "/dicom-web/studies?00100020=P1"),
        )
        expected = [first.study_instance_uid, placed.study_instance_uid] if "case=" in address else []
        assert sorted(asked) == sorted(expected)
        with_priors.close()


def test_the_form_is_there_before_the_viewer_and_the_viewer_beside_it(site: Site, complaints: list[str]) -> None:
    _placed, earlier = case(site, "5206", list(samples.ct(3)))
    sign(site, earlier)
    _placed, reading = case(site, "5206", list(samples.ct(3)))
    site.world.claim("reader1", reading, site.clock())
    with site.visit("reader1", images="") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto(f"{site.address}/reading/{reading}", wait_until="commit")
        page.fill("#findings", "马上可写")
        frame = page.frame_locator("iframe[name=huren-images]")
        frame.locator("canvas.cornerstone-canvas").wait_for(timeout=READY)
        assert page.input_value("#findings") == "马上可写"
        assert page.evaluate("document.activeElement.id") == "findings"  # the viewer took nobody's focus
        assert not [url for url in asked if "preview.png" in url]
        width = page.locator("iframe[name=huren-images]").bounding_box()
        assert width is not None
        assert 0.55 < width["width"] / 1366 < 0.62
        page.click("[data-add-shown]")
        expect(page.locator(".key-images li")).to_have_count(1)  # what the viewport shows is printed with the report
        page.wait_for_function("() => document.querySelector('.key-images img').naturalWidth > 0")
        page.locator("a[target=huren-images]").first.click()
        expect(frame.locator("canvas.cornerstone-canvas")).to_have_count(2, timeout=READY)
        with page.context.expect_page() as opened:
            page.click("[data-show=window]")
        expect(opened.value.locator("canvas.cornerstone-canvas")).to_be_visible(timeout=READY)
        assert page.locator("iframe").count() == 0  # one viewer is enough; the report has the room
        assert page.input_value("#findings") == "马上可写"


def test_old_computers_and_those_who_like_get_previews(site: Site) -> None:
    _placed, reading = case(site, "5207", list(samples.ct(3)))
    with site.visit("reader1", images="") as page:
        page.goto(f"{site.address}/reading/{reading}")
        page.click("button[data-show=previews]")
        page.wait_for_function("() => document.querySelector('.picture img').naturalWidth > 0")
        page.reload()
        expect(page.locator(".viewer .where")).to_have_text("2 / 3")  # it is remembered
        assert page.locator("iframe").count() == 0
        page.click("button[data-show=viewer]")
        expect(page.locator("iframe")).to_have_count(1)
        old = page.context.new_page()
        old.add_init_script(
            "Object.defineProperty(navigator, 'userAgent', { get: () => 'Mozilla/5.0 Chrome/109.0.0.0 Safari/537.36' })"
        )
        old.goto(f"{site.address}/reading/{reading}")
        expect(old.locator(".viewer .where")).to_have_text("2 / 3")
        expect(old.locator(".imaging .why")).to_be_visible()
        assert old.locator("iframe").count() == 0
        assert not old.locator("button[data-show=viewer]").is_visible()


def test_a_township_opens_its_own_study_and_nobody_elses(site: Site, complaints: list[str]) -> None:
    placed, _reading = case(site, "5208", [samples.of_card("1.2.840.10008.1.2.1")])
    with site.visit("tech1", images="") as page:
        page.goto(f"{site.address}/orders/{placed.id}")
        page.click("a[href^='/studies/']")
        frame = page.frame_locator("iframe[name=huren-images]")
        frame.locator("canvas.cornerstone-canvas").wait_for(timeout=READY)
        address = page.locator("iframe").get_attribute("src")
        assert address is not None
        assert "held=" in address
    with site.visit("tech2") as page:
        refused = look(page.context, site.address + address, [])
        refused.wait_for_url("**/notfoundstudy**", timeout=READY)
        assert "王" not in refused.locator("body").inner_text()
    with site.visit() as page:
        page.goto(site.address + address)
        assert "/sign-in?next=" in page.url


def test_only_workers_may_evaluate_and_files_are_kept(site: Site) -> None:
    with site.visit("reader1") as page:
        found = page.request.get(f"{site.address}/ohif/viewer?StudyInstanceUIDs=1.2&held=x")
        policy = found.headers["content-security-policy"]
        assert "unsafe-eval" not in policy
        assert "frame-ancestors 'self'" in policy
        assert found.headers["cache-control"] == "no-store"
        folder = found.text().split('data-files="')[1].split('"')[0]
        script = page.request.get(site.address + found.text().split('defer src="')[1].split('"')[0])
        assert script.headers["content-encoding"] == "gzip"
        assert script.headers["cache-control"].endswith("immutable")
        assert script.headers["content-type"].startswith("text/javascript")
        assert "unsafe-eval" not in script.headers["content-security-policy"]
        slides = f"{site.address}{folder}dicom-microscopy-viewer/"
        worker = page.request.get(slides + "dataLoader.worker.min.js")
        assert "'unsafe-eval'" in worker.headers["content-security-policy"]
        decoder = page.request.get(slides + "charlswasm_decode.wasm")
        assert decoder.headers["content-type"] == "application/wasm"
        for absent in ("ort/ort.js", "sw.js", "app-config.js", "%2e%2e/.made", "app.bundle.css.gz"):
            assert page.request.get(site.address + folder + absent).status == 404, absent
        assert "CharLS" in page.request.get(f"{site.address}/ohif/licences").text()
        assert page.request.get(f"{site.address}/ohif/", max_redirects=0).headers["location"] == "/"
