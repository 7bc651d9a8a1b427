"""Content signatures: one byte that differs anywhere in a JSON or DICOM document is seen, without any server."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwk, jws

from interfaces.dicom.coercion import Identity, coerced
from interfaces.dicom.report_objects import ReportObject, write_encapsulated_pdf, write_structured_report
from reading_room import verifying
from reading_room.documents import keys
from reading_room.documents.content import Checked, SignedContent, check_document, check_object, sign_content
from reading_room.documents.seal import Seal, Seals
from reading_room.documents.signer import key_id, signed
from tests.sheets import CODE, REPORT
from worklist.documents import from_canonical, to_canonical, with_signature, without_signature
from worklist.facts import DocumentKind, Filing, PersonName, SeenInstance, SignedReport

NOW = datetime(2026, 11, 23, 3, 4, 5, tzinfo=UTC)
FILING = Filing(
    study_id="01k0study",
    study_instance_uid="1.2.826.0.1.3680043.10.1",
    study_date="20261122",
    study_time="092000",
    description="HEAD",
    accession_number="E2611220001",
    patient_id="P0001",
    issuer="TS01",
    name=PersonName("王^小东"),
    sex="M",
    birth_date="19610305",
    seen=(SeenInstance("1.2.826.0.1.3680043.10.1", "1.2.3.4", "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5", 1, "key"),),
)


@pytest.fixture(scope="module")
def seals(tmp_path_factory: pytest.TempPathFactory) -> Seals:
    return Seals(tmp_path_factory.mktemp("seals"))


@pytest.fixture(scope="module")
def seal(seals: Seals) -> Seal:
    made = seals.of("01k0hospital", "云岭县人民医院")
    assert isinstance(made, Seal)
    return made


@pytest.fixture(scope="module")
def content(seal: Seal) -> SignedContent:
    return _content(seal)


def _content(seal: Seal, report: SignedReport = REPORT) -> SignedContent:
    pdf = b"%PDF-1.7 nothing"
    objects: dict[DocumentKind, ReportObject] = {
        "sr": write_structured_report(report, FILING),
        "encapsulated pdf": write_encapsulated_pdf(report, FILING, pdf),
    }
    return sign_content(seal, report, pdf, objects)


@pytest.fixture(scope="module")
def document(content: SignedContent) -> bytes:
    return content.document


@pytest.fixture(scope="module")
def report_object(content: SignedContent) -> bytes:
    return content.objects["sr"].head + content.objects["sr"].dataset


def test_a_signed_document_is_whole_and_says_what_was_signed(document: bytes, seal: Seal) -> None:
    assert check_document(document, [seal.certificate]).found == "whole"
    assert from_canonical(document) == REPORT
    assert without_signature(document)[0] == to_canonical(REPORT)
    assert json.loads(document)["signature"]
    assert list(json.loads(document))[-1] == "signature"


def test_every_byte_of_the_json_counts(document: bytes, seal: Seal) -> None:
    trusted = [seal.certificate]
    for place in range(len(document)):
        for flip in (0x01, 0x20):
            altered = bytearray(document)
            altered[place] ^= flip
            assert check_document(bytes(altered), trusted).found != "whole", place
    for other in (document + b"\n", b" " + document, document[:-1], document + document, document[:-1] + b" }"):
        assert check_document(other, trusted).found != "whole"


def test_a_signature_taken_off_or_put_elsewhere(document: bytes, seal: Seal, seals: Seals) -> None:
    canonical, signature = without_signature(document)
    assert check_document(canonical, [seal.certificate]).found == "unsigned"
    other = _content(seal, replace(REPORT, version=2)).document
    assert check_document(other, [seal.certificate]).found == "whole"
    exchanged = other.replace(without_signature(other)[1].encode(), signature.encode())
    assert check_document(exchanged, [seal.certificate]).found == "altered"
    assert check_document(document, [seals.of("01k0other", "x").certificate]).found == "unknown"
    assert check_document(document, []).found == "unknown"


def test_a_signed_object_is_whole(report_object: bytes, document: bytes, seal: Seal) -> None:
    checked = check_object(report_object, [seal.certificate])
    assert checked == Checked("whole", CODE)
    assert check_object(report_object, []).found == "unknown"


def test_bytes_of_a_structured_report_count(report_object: bytes, seal: Seal) -> None:
    trusted = [seal.certificate]
    for place in range(0, len(report_object), 3):
        altered = bytearray(report_object)
        altered[place] ^= 0x01
        assert check_object(bytes(altered), trusted).found != "whole", place


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_change_of_a_structured_report_is_seen(data: st.DataObject, report_object: bytes, seal: Seal) -> None:
    start = data.draw(st.integers(0, len(report_object)))
    end = data.draw(st.integers(start, min(start + 40, len(report_object))))
    other = report_object[:start] + data.draw(st.binary(max_size=40)) + report_object[end:]
    if other != report_object:
        assert check_object(other, [seal.certificate]).found != "whole"


def test_an_object_that_left_under_another_number_is_told_from_one_whose_words_were_altered(
    report_object: bytes, seal: Seal
) -> None:
    identity = Identity("ZY-77", "CH01", PersonName("王^小东"), "M", "19610305", corrected=True)
    pieces = coerced(report_object, identity)
    left = b"".join(p if isinstance(p, bytes) else report_object[p[0] : p[0] + p[1]] for p in pieces)
    assert b"ZY-77" in left
    assert check_object(left, [seal.certificate]).found == "carried"
    words = "脑出血".encode()
    assert words in left
    assert check_object(left.replace(words, "未出血".encode()), [seal.certificate]).found == "altered"


def test_an_encapsulated_pdf_is_signed_too(content: SignedContent, seal: Seal) -> None:
    made = content.objects["encapsulated pdf"]
    assert check_object(made.head + made.dataset, [seal.certificate]).found == "whole"
    renamed = (made.head + made.dataset).replace(b"P0001", b"P0002")
    assert check_object(renamed, [seal.certificate]).found == "carried"


def test_what_the_key_signed_for_something_else_is_no_content(document: bytes, seal: Seal) -> None:
    canonical, _signature = without_signature(document)
    other = with_signature(canonical, signed(seal, b'{"format":"another"}'))
    assert check_document(other, [seal.certificate]).found == "altered"


def test_another_library_checks_the_same_signature(seals: Seals, seal: Seal, document: bytes) -> None:
    """joserfc knows nothing of ours but RFC 7515 and 7517."""
    found = jwk.KeySet.import_key_set(json.loads(keys.published(seals.public_keys())))
    canonical, signature = without_signature(document)
    read = jws.deserialize_compact(signature, found, algorithms=["RS256"])
    assert read.headers() == {"alg": "RS256", "kid": key_id(seal.certificate)}
    said = json.loads(read.payload)
    assert said["documents"]["json"]["sha256"] == sha256(canonical).hexdigest()
    assert said["documents"].keys() == {"json", "pdf", "sr", "encapsulated pdf"}


def test_a_key_file_reads_back(seals: Seals, seal: Seal) -> None:
    data = keys.published(seals.public_keys())
    assert seal.certificate in keys.read_keys(data)
    assert set(keys.read_keys(data)) == set(seals.certificates())
    assert b"PRIVATE" not in data
    (key,) = [k for k in json.loads(data)["keys"] if k["kid"] == key_id(seal.certificate)]
    assert key["trial"] is True


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b'{"keys":[]}', b'{"keys":[{}]}', b'{"keys":[{"x5c":[]}]}', b"\xff", b'{"keys":{"a":1}}'],
)
def test_what_is_no_key_file_is_said(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of many kinds, JSON's own among them
        keys.read_keys(data)


def test_a_key_that_is_not_its_certificates_is_refused(seals: Seals, seal: Seal, tmp_path: Path) -> None:
    other = Seals(tmp_path).of("01k0stranger", "x")
    whole = json.loads(keys.published(seals.public_keys()))
    foreign = json.loads(keys.published([keys.PublicKey([other.certificate], trial=True)]))
    for name in ("n", "kid"):
        mixed = {"keys": [whole["keys"][0] | {name: foreign["keys"][0][name]}]}
        with pytest.raises(ValueError, match="differ"):
            keys.read_keys(json.dumps(mixed).encode())


def test_what_a_file_says_by_itself(document: bytes, report_object: bytes, seal: Seal) -> None:
    trusted: list[x509.Certificate] = [seal.certificate]
    assert verifying.offline(trusted, document) == "whole"
    assert verifying.offline(trusted, report_object) == "whole"
    assert verifying.offline([], document) == "foreign"
    assert verifying.offline([], report_object) == "foreign"
    assert verifying.offline(trusted, without_signature(document)[0]) == "unsigned"
    assert verifying.offline(trusted, document.replace(b"P0001", b"P0002")) == "altered"
