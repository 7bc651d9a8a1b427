"""Checks of a report's words: what they must say, and the sentences of every day that they must leave alone."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from worklist.facts import ReportText
from worklist.rules.report_checks import (
    Circumstances,
    CriticalTerm,
    PriorText,
    Warning,
    age_at,
    as_json,
    check,
    critical_term,
    from_json,
    prior_mark,
)

MAN = Circumstances(sex="M", age=66, body_parts=("CHEST",))
TERMS = (
    CriticalTerm("ich", ("颅内出血", "脑出血", "intracranial hemorrhage")),
    CriticalTerm("ptx", ("张力性气胸", "tension pneumothorax")),
    CriticalTerm("ptx-any", ("气胸",)),
)


def codes(findings: str, impression: str = "请结合临床。", critical: str = "", **about: object) -> list[str]:
    """The codes of the warnings about these words."""
    circumstances = Circumstances(**about)  # type: ignore[arg-type]
    return [warning.code for warning in check(ReportText(findings, impression, critical), circumstances)]


def test_empty_parts_are_said() -> None:
    assert codes("", "") == ["findings_empty", "impression_empty"]
    assert codes("两肺纹理清晰。", " \n") == ["impression_empty"]


@pytest.mark.parametrize(
    ("text", "sex", "word"),
    [
        ("子宫前位，大小正常。", "M", "子宫"),
        ("双侧卵巢显示清，未见异常回声。", "M", "卵巢"),
        ("前列腺增大，向膀胱突出。", "F", "前列腺"),
        ("双侧精囊腺未见异常。", "F", "精囊腺"),
        ("The uterus is anteverted and normal in size.", "M", "uterus"),
        ("Prostate enlarged, indenting the bladder base.", "F", "Prostate"),
        ("No adnexal mass.", "M", "adnexal"),
    ],
)
def test_an_organ_of_the_other_sex_is_said(text: str, sex: str, word: str) -> None:
    found = check(ReportText(text, "见上"), Circumstances(sex=sex))
    assert [(w.code, w.params) for w in found] == [("sex_contradiction", {"word": word, "sex": sex})]


@pytest.mark.parametrize(
    ("findings", "impression", "sides"),
    [
        ("右膝关节间隙变窄，胫骨髁间隆突变尖。", "右膝关节骨质增生。", ("L",)),
        ("右侧肱骨外科颈见骨折线。", "肱骨外科颈骨折。", ("L",)),
        ("Fracture of the right distal radius.", "Right distal radius fracture.", ("L",)),
    ],
)
def test_another_side_than_was_ordered_is_said(findings: str, impression: str, sides: tuple[str, ...]) -> None:
    assert codes(findings, impression, sides=sides) == ["side_not_as_ordered"]


def test_another_side_in_the_impression_than_in_the_findings_is_said() -> None:
    found = check(ReportText("左侧基底节区见团片状高密度影。", "右侧基底节区血肿。"), Circumstances())
    assert [(w.code, w.params) for w in found] == [("side_of_impression", {"findings": "L", "impression": "R"})]
    assert codes("A 9 mm nodule in the right upper lobe.", "Left upper lobe nodule.") == ["side_of_impression"]


def test_a_text_about_another_part_is_said() -> None:
    found = check(
        ReportText("两肺纹理清晰，肺门不大，心影不大。", "心肺未见异常。"), Circumstances(body_parts=("HEAD",))
    )
    assert [w.code for w in found] == ["body_part_missing"]
    assert found[0].params["other"] == "CHEST"
    assert codes("The lungs are clear. The heart is normal.", "Normal.", body_parts=("KNEE",)) == ["body_part_missing"]


def test_an_age_that_cannot_be_is_said() -> None:
    assert codes("两肺老年性改变。", age=9) == ["age_contradiction"]
    assert codes("患儿双肺纹理增多。", age=66) == ["age_contradiction"]
    assert codes("Degenerative changes of the spine.", age=9) == ["age_contradiction"]


@pytest.mark.parametrize(
    "text",
    [
        "肝右叶见一囊性无回声区，大小约___cm。",
        "甲状腺左叶见{结节}。",
        "右肺XXX叶见结节。",
        "结节位于【】。",
        "直径约（ ）。",
        "Nodule in the {lobe}.",
        "Measures ____ mm.",
    ],
)
def test_what_a_template_left_over_is_said(text: str) -> None:
    assert "placeholder_left" in codes(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("右肺上叶见结节，大小约12×8，边缘毛糙。", "12×8"),
        ("结节直径约9，边界清。", "9"),
        ("甲状腺峡部厚约3.5。", "3.5"),
        ("A nodule measuring 12 x 8 in the right upper lobe.", "12 x 8"),
        ("胆总管内径约0.8。", "0.8"),
        ("囊肿3.2*2.1，壁薄。", "3.2*2.1"),
    ],
)
def test_a_measurement_without_unit_is_said(text: str, word: str) -> None:
    found = check(ReportText(text, "请结合临床。"), Circumstances())
    assert [(w.code, dict(w.params)) for w in found] == [("unit_missing", {"word": word})]


@pytest.mark.parametrize(
    "text",
    ["右侧基底节区脑出血，破入脑室。", "Acute intracranial hemorrhage in the right thalamus.", "左侧张力性气胸。"],
)
def test_critical_words_that_were_not_marked_are_said(text: str) -> None:
    assert "critical_not_marked" in codes(text, text, critical_terms=TERMS)
    assert "critical_not_marked" not in codes(text, text, "已电话通知", critical_terms=TERMS)


@pytest.mark.parametrize(
    "text",
    [
        "未见脑出血及蛛网膜下腔出血。",
        "颅内未见明显出血、气胸征象。",
        "除外张力性气胸。",
        "陈旧性脑出血，软化灶形成。",
        "脑出血术后改变。",
        "No intracranial hemorrhage, mass effect or midline shift.",
        "No fracture, effusion or tension pneumothorax.",
        "Old intracranial hemorrhage with encephalomalacia.",
    ],
)
def test_critical_words_that_are_denied_or_old_are_left_alone(text: str) -> None:
    assert "critical_not_marked" not in codes(text, text, critical_terms=TERMS)


def test_words_of_an_earlier_report_left_unchanged_are_said() -> None:
    then = PriorText("2025-11-03", "右肺上叶见磨玻璃结节，大小约8mm。", "右肺上叶结节，建议随访。")
    copied = f"【摘自2025-11-03报告】\n{then.findings}"
    assert codes(copied, "右肺上叶结节同前。", priors=(then,)) == ["prior_unchanged"]
    assert codes(f"本次：\n{copied}\n其余未见异常。", "右肺结节。", priors=(then,)) == ["prior_unchanged"]
    changed = copied.replace("8mm", "11mm")
    assert codes(changed, "右肺上叶结节较前增大。", priors=(then,)) == []
    assert prior_mark("2025-11-03", then.findings) == "【摘自2025-11-03报告】"
    assert prior_mark("2025-11-03", "Clear lungs.") == "[From the report of 2025-11-03]"
    english = PriorText("2025-11-03", "Clear lungs.", "Normal chest.")
    words = f"{prior_mark('2025-11-03', english.findings)}\nClear lungs."
    assert codes(words, "Normal chest.", priors=(english,)) == ["prior_unchanged"]


def test_the_same_normal_text_as_before_is_no_copy() -> None:
    then = PriorText("2025-11-03", "双肺纹理清晰。", "心肺未见明显异常。")
    assert codes(then.findings, then.impression, priors=(then,)) == []


@pytest.mark.parametrize(
    ("findings", "impression", "about"),
    [
        # sides that are none
        ("左右心室比例正常，左心室壁不厚。", "右侧胸腔积液。", {}),
        ("患者取左侧卧位，右肾大小正常。", "右肾未见异常。", {"sides": ("R",)}),
        ("子宫左右径约45mm。", "右侧卵巢囊肿。", {"sex": "F"}),
        ("Left ventricle normal. Right pleural effusion.", "Right pleural effusion.", {}),
        ("双膝关节间隙变窄，以左侧为著。", "右膝骨质增生。", {"sides": ("L",)}),
        ("两侧胸廓对称，左肺下叶见斑片影。", "左肺下叶炎症；右肺未见异常。", {}),
        ("Both knees: narrowing on the left.", "Osteoarthritis of the right knee.", {}),
        ("左肾囊肿，右肾结石。", "右肾结石。", {}),
        ("膝关节未见骨折。", "未见骨折。", {"sides": ("L",)}),
        # sex
        ("膀胱充盈可，前列腺不大。", "未见异常。", {"sex": "M"}),
        ("前列腺素治疗后，双肾未见积水。", "双肾未见积水。", {"sex": "F"}),
        ("椎体及附件骨质未见破坏。", "腰椎退行性变。", {"sex": "M", "age": 66, "body_parts": ("LSPINE",)}),
        ("颈部软组织未见异常，宫旁不适用。", "未见异常。", {"sex": ""}),
        ("Cervical spine: normal alignment.", "Normal.", {"sex": "M", "body_parts": ("CSPINE",)}),
        # parts
        ("所示骨质未见异常，关节关系正常。", "未见明显骨折及脱位征象。", {"body_parts": ("KNEE",)}),
        ("两肺清晰；扫及肝脏见囊性灶。", "肝囊肿。", {"body_parts": ("CHEST",)}),
        ("双肾、输尿管未见扩张。", "未见积水。", {"body_parts": ("ABDOMEN",)}),
        ("两肺纹理清晰，心影不大。", "未见异常。", {"body_parts": ("WHOLEBODY",)}),
        # numbers that are no measurements, or have their unit
        ("右肺上叶见结节，大小约12mm×8mm。", "右肺结节。", {}),
        ("大小约1.2cm×0.8cm×0.6cm，CT值约35HU。", "结节。", {}),
        ("结节大小约12×8 mm，范围约3-5cm。", "结节。", {}),
        ("病变范围约3个层面，累及第4～5椎体。", "椎体病变。", {}),
        ("图像矩阵512×512，层厚5mm。", "未见异常。", {}),
        ("胆囊大小约80×32mm，壁厚约2mm。", "胆囊未见异常。", {}),
        ("A 12 x 8 mm nodule, 3 days after the previous CT.", "Nodule.", {}),
        ("狭窄程度约50%，厚约1/3。", "狭窄。", {}),
        ("L4/5椎间盘突出约3.5mm，2023年5月12日对照。", "椎间盘突出。", {}),
        # left-overs that are none
        ("腰5椎体Ⅲ度滑脱（旧）。", "腰5椎体滑脱。", {}),
        ("与前片（2025-11-03）比较，病灶缩小。", "好转？请结合临床。", {}),
        # age
        ("骨骺线可见，未见骨折。", "未见骨折。", {"age": 12}),
        ("两肺老年性改变。", "老年性改变。", {"age": 80}),
    ],
)
def test_sentences_of_every_day_are_left_alone(findings: str, impression: str, about: dict[str, Any]) -> None:
    assert codes(findings, impression, **about) == []


def test_the_longer_name_of_the_list_wins() -> None:
    assert critical_term("右侧张力性气胸", TERMS) == "ptx"
    assert critical_term("右侧气胸", TERMS) == "ptx-any"
    assert critical_term("Intracranial Hemorrhage on the left", TERMS) == "ich"
    assert critical_term("未见异常", TERMS) == ""


def test_age_counts_whole_years() -> None:
    assert age_at("20100302", date(2026, 3, 1)) == 15
    assert age_at("20100302", date(2026, 3, 2)) == 16
    assert age_at("2010", date(2026, 3, 2)) is None


def test_a_warning_is_kept_and_known_again() -> None:
    warning = Warning("sex_contradiction", {"word": "子宫", "sex": "M"})
    assert from_json(as_json([warning])) == [warning]
    assert warning.key == "sex_contradiction|sex=M|word=子宫"
