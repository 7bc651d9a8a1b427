"""An issued report as the tests print it: every field of the form filled, and a picture."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from PIL import Image

from worklist.facts import (
    CoveredOrder,
    Identifier,
    Letterhead,
    PatientFacts,
    PersonName,
    ReportText,
    SignedReport,
)

CODE = "7K3MX9QZ2ABC4DEF"
PAGE = "https://reports.example/verify"

REPORT = SignedReport(
    report_id="01k0report",
    version=1,
    status="final",
    center_name="县域影像诊断中心",
    institution_code="TS01",
    institution_name="清溪镇中心卫生院",
    patient=PatientFacts(
        identifiers=(Identifier("TS01", "P0001"),),
        name=PersonName("王^小东", "Wang^XiaoDong"),
        sex="M",
        birth_date="19610305",
    ),
    patient_id="P0001",
    patient_issuer="TS01",
    orders=(
        CoveredOrder(
            order_id="01k0order",
            accession_number="E2611220001",
            placer_number="HIS-77",
            placer_namespace="HIS",
            procedure_code="CTHEAD",
            procedure_name="颅脑CT平扫",
            ordering_doctor="李明",
            requested_at="20261122081500",
            study_instance_uid="1.2.826.0.1.3680043.10.1",
            patient_class="I",
            visit_number="ZY0098231",
            location="内科^12^03",
            clinical_information="突发头痛3小时。",
        ),
    ),
    text=ReportText("右侧基底节区见类圆形高密度影。\n中线结构左移约4 mm。", "右侧基底节区脑出血。"),
    writer="zhao",
    writer_name="赵晓敏",
    signer="sun",
    signer_name="孙建国",
    signed_at=datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC),
    observed_at=datetime(2026, 11, 22, 1, 20, tzinfo=UTC),
    modality="CT",
    body_part="头部",
    verification_code=CODE,
    head=Letterhead(
        institution_id="01k0hospital",
        institution_name="云岭县人民医院",
        institution_name_en="Yunling County People's Hospital",
        uscc="12532900MB0X12345X",
        address="云岭县人民路88号",
        phone="0872-1234567",
    ),
)


def report(**changes: Any) -> SignedReport:
    """`REPORT` with other fields; `name`, `findings` and `paper` reach inside."""
    changed = REPORT
    if "name" in changes:
        changed = replace(changed, patient=replace(changed.patient, name=PersonName(changes.pop("name"))))
    if "findings" in changes:
        changed = replace(changed, text=replace(changed.text, findings=changes.pop("findings")))
    if "paper" in changes:
        changed = replace(changed, head=replace(changed.head, paper=changes.pop("paper")))
    return replace(changed, **changes)


def picture(shade: int = 128) -> bytes:
    """A small PNG of one grey."""
    out = io.BytesIO()
    Image.new("L", (64, 48), shade).save(out, "PNG")
    return out.getvalue()
