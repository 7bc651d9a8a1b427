"""One byte that differs anywhere, and a file is refused; rubbish is refused without surprise."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asn1crypto import cms, core
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from reading_room.documents.checking import Checked, check_pdf, said_version
from reading_room.documents.paper import render
from reading_room.documents.seal import Seals
from reading_room.documents.signer import Signer
from tests.sheets import CODE, PAGE, REPORT
from tests.unit.reading_room.documents.test_seal import own_seal
from worklist.errors import BadInput

NOW = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def seals(tmp_path_factory: pytest.TempPathFactory) -> Seals:
    return Seals(tmp_path_factory.mktemp("seals"))


@pytest.fixture(scope="module")
def seal(seals: Seals) -> Signer:
    return seals.of("01k0hospital", "云岭县人民医院")


@pytest.fixture(scope="module")
def sealed(seal: Signer) -> bytes:
    return seal.seal(render(REPORT, verify_url=PAGE, trial=True), "E2611220001 v1", NOW)


def _code(data: bytes, trusted: list[x509.Certificate]) -> str:
    with pytest.raises(BadInput) as caught:
        check_pdf(data, trusted)
    return caught.value.code


def _contents(sealed: bytes) -> tuple[int, int]:
    found = re.search(rb"/ByteRange \[0 (\d+) (\d+) ", sealed)
    assert found is not None
    return int(found[1]), int(found[2])


def test_a_genuine_file(sealed: bytes, seal: Signer) -> None:
    checked = check_pdf(sealed, [seal.certificate])
    assert checked == Checked(seal.certificate, "云岭县人民医院", NOW, CODE, 1)


def test_one_altered_byte_anywhere(sealed: bytes, seal: Signer) -> None:
    chance = random.Random(20261122)
    start, _ = _contents(sealed)
    # Everything from a little before the signature's hex string to the end, the head, and 3,000 places between.
    places = [*range(64), *range(start - 200, len(sealed)), *chance.sample(range(len(sealed)), 3000)]
    for place in places:
        altered = bytearray(sealed)
        altered[place] ^= chance.choice((0x01, 0x20, 0x80, 0xFF))
        assert _code(bytes(altered), [seal.certificate]) in ("pdf_altered", "pdf_not_sealed"), place


def test_hex_case_and_padding_count(sealed: bytes, seal: Signer) -> None:
    start, end = _contents(sealed)
    hexed = sealed[start:end]
    for other in (hexed.lower(), hexed[:-3] + b"01>", hexed[:-3] + b" 0>", hexed[:-2] + b">>"):
        assert other != hexed
        assert _code(sealed[:start] + other + sealed[end:], [seal.certificate]) == "pdf_altered"


def test_bytes_more_or_less(sealed: bytes, seal: Signer) -> None:
    trusted = [seal.certificate]
    for other in (sealed + b"\n", sealed + b"x", b"\n" + sealed, sealed[:-1], sealed[1:], sealed * 2):
        assert _code(other, trusted) == "pdf_altered"


def test_the_seal_taken_off(sealed: bytes, seal: Signer) -> None:
    assert _code(render(REPORT, verify_url=PAGE, trial=True), [seal.certificate]) == "pdf_altered"


@pytest.mark.parametrize("change", ["unsigned attribute", "version"])
def test_another_encoding_of_the_same_signature(change: str, sealed: bytes, seal: Signer) -> None:
    """Both leave the signature mathematically valid."""
    start, end = _contents(sealed)
    container = cms.ContentInfo.load(bytes.fromhex(sealed[start + 1 : end - 1].decode()))
    signer = container["content"]["signer_infos"][0]
    if change == "unsigned attribute":
        signer["unsigned_attrs"] = [{"type": "1.2.3.4", "values": [core.Any(core.Integer(1))]}]
    else:
        container["content"]["version"] = "v3"
    altered = container.dump(force=True).hex().upper().encode()
    assert altered not in sealed
    other = sealed[: start + 1] + altered.ljust(end - start - 2, b"0") + sealed[end - 1 :]
    assert len(other) == len(sealed)
    assert _code(other, [seal.certificate]) == "pdf_altered"


def test_somebody_elses_seal(sealed: bytes, seals: Seals) -> None:
    assert _code(sealed, [seals.of("01k0other", "x").certificate]) == "pdf_seal_unknown"
    assert _code(sealed, []) == "pdf_seal_unknown"


def test_signed_again_on_top(sealed: bytes, seal: Signer, seals: Seals) -> None:
    again = seals.of("01k0other", "x").seal(sealed.replace(b"HurenSeal", b"HurenSeax"), "again", NOW)
    assert _code(again, [seal.certificate]) == "pdf_seal_unknown"


def test_a_chain_is_checked_byte_by_byte_too(tmp_path: Path) -> None:
    (tmp_path / "01k0hospital.pem").write_bytes(own_seal(rsa.generate_private_key(65537, 2048)))
    seals = Seals(tmp_path)
    seal = seals.of("01k0hospital", "")
    sealed = seal.seal(render(REPORT, verify_url=PAGE, trial=False), "", NOW)
    assert check_pdf(sealed, seals.certificates()).certificate == seal.certificate
    assert _code(sealed, [seal.certificate]) == "pdf_seal_unknown"
    start, end = _contents(sealed)
    for place in range(start, end, 17):
        altered = bytearray(sealed)
        altered[place] ^= 0x01
        assert _code(bytes(altered), seals.certificates()) in ("pdf_altered", "pdf_seal_unknown"), place


def test_too_large(seal: Signer) -> None:
    assert _code(b"%PDF-1.7" + bytes(21 * 1024 * 1024), [seal.certificate]) == "pdf_too_large"


def test_a_file_with_two_codes_names_none() -> None:
    one, other = (
        b"huren-verification=7K3MX9QZ2ABC4DEF, huren-version=1",
        b"huren-verification=00000000000000AB, huren-version=2",
    )
    assert said_version(one + b" " + one) == (CODE, 1)
    assert said_version(one + b" " + other) == ("", 0)
    assert said_version(b"nothing") == ("", 0)


@given(st.binary(max_size=400))
def test_rubbish(data: bytes) -> None:
    assert _code(data, []) == "pdf_not_sealed"


@given(st.binary(min_size=1, max_size=900), st.booleans())
def test_rubbish_in_the_form_of_a_seal(inner: bytes, der: bool) -> None:
    if der:
        inner = b"\x30\x82" + len(inner).to_bytes(2) + inner
    head = b"%PDF-1.7\nx"
    hexed = b"<" + inner.hex().upper().encode() + b"0000>"
    tail = b"/ByteRange [0 %d %d %d]"
    start, end = len(head), len(head) + len(hexed)
    rest = next(n for n in range(20, 60) if len(tail % (start, end, n)) == n)
    data = head + hexed + tail % (start, end, rest)
    assert _code(data, []) in ("pdf_altered", "pdf_not_sealed")


@given(data=st.data())
def test_a_container_with_random_bytes_changed(data: st.DataObject, sealed: bytes, seal: Signer) -> None:
    start, end = _contents(sealed)
    inner = bytearray.fromhex(sealed[start + 1 : end - 1].decode())
    for _ in range(data.draw(st.integers(1, 8))):
        inner[data.draw(st.integers(0, 2100))] = data.draw(st.integers(0, 255))
    other = sealed[: start + 1] + inner.hex().upper().encode() + sealed[end - 1 :]
    if other != sealed:
        assert _code(other, [seal.certificate]) in ("pdf_altered", "pdf_not_sealed", "pdf_seal_unknown")
