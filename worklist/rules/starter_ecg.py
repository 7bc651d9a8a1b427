"""A starter set for an ECG center: templates, phrases, and its list of critical results (心电图危急值).

The numbers of an ECG are no part of its words: they have their own place in the report. Words of the field and no
policy, as in `starter`: the limits are those of one province's list, and every center decides on its own ("local
policy required"). A device's number beyond a limit asks the reader to look, and no more.
"""

from __future__ import annotations

from typing import Final

from worklist.rules.starter import StarterCritical, StarterPhrase, StarterTemplate
from worklist.rules.templates import Field, Words


def _choice(name: str, label_en: str, *choices: str, usual: str = "") -> Field:
    return Field(name, "choice", label_en=label_en, choices=choices, usual=usual)


def _ecg(
    name: str, name_en: str, findings: str, impression: str, *fields: Field, is_normal: bool = False
) -> StarterTemplate:
    words = Words(fields, findings, impression)
    return StarterTemplate(name, name_en, "ECG", "", words, is_normal=is_normal)


TEMPLATES: Final = (
    _ecg(
        "正常心电图",
        "Normal ECG",
        "窦性P波规律出现，形态、时限正常。PR间期正常。QRS波群形态、时限、电压正常，胸导联R波递增良好。\n"
        "各导联ST段无明显偏移，T波方向、形态正常。QTc间期在正常范围。",
        "窦性心律\n正常心电图",
        is_normal=True,
    ),
    _ecg(
        "窦性心律失常",
        "Sinus rhythm disturbance",
        "窦性P波规律出现，PR间期正常，QRS波群形态、时限正常。ST段无明显偏移，T波无明显异常。",
        "{节律}",
        _choice("节律", "Rhythm", "窦性心动过速", "窦性心动过缓", "窦性心律不齐", "窦性心动过缓伴不齐"),
    ),
    _ecg(
        "早搏",
        "Premature beats",
        "基本节律为窦性。可见提前出现的{波形}，{代偿间歇}[[，呈{联律}]]。ST段无明显偏移，T波无明显异常。",
        "窦性心律\n{早搏}[[（{联律}）]]",
        _choice(
            "波形", "Shape", "P'波，其后QRS波形态正常", "宽大畸形QRS波，其前无相关P波", "QRS波，形态正常，其前无相关P波"
        ),
        _choice("代偿间歇", "Pause", "代偿间歇不完全", "代偿间歇完全"),
        _choice("早搏", "Origin", "房性早搏", "室性早搏", "交界性早搏"),
        _choice("联律", "Pattern", "二联律", "三联律", "成对", "短阵连发"),
    ),
    _ecg(
        "心房颤动或扑动",
        "Atrial fibrillation or flutter",
        "窦性P波消失，代之以{房波}，{室律}。QRS波群时限{时限}。[[ST-T：{STT}。]]",
        "{诊断}[[，伴{伴}]]",
        _choice("房波", "Atrial waves", "大小、形态、间距不等的f波", "规律的锯齿样F波"),
        _choice("室律", "Ventricular rhythm", "RR间期绝对不等", "RR间期规则", "按固定比例下传"),
        _choice("时限", "QRS duration", "正常", "增宽", usual="正常"),
        _choice("STT", "ST-T", "无明显异常", "ST段压低", "T波低平或倒置"),
        _choice("诊断", "Diagnosis", "心房颤动", "心房扑动"),
        _choice("伴", "With", "快速心室率", "缓慢心室率", "长RR间期", "室内差异性传导"),
    ),
    _ecg(
        "房室传导阻滞",
        "Atrioventricular block",
        "{表现}。QRS波群时限{时限}。ST段无明显偏移，T波无明显异常。",
        "{诊断}",
        _choice(
            "表现",
            "Finding",
            "PR间期延长，每个P波后均有QRS波",
            "PR间期逐渐延长直至QRS波脱落，周而复始",
            "PR间期固定，部分P波后QRS波脱落",
            "P波与QRS波无固定关系，心房率快于心室率",
        ),
        _choice("时限", "QRS duration", "正常", "增宽", usual="正常"),
        _choice(
            "诊断",
            "Diagnosis",
            "一度房室传导阻滞",
            "二度Ⅰ型房室传导阻滞",
            "二度Ⅱ型房室传导阻滞",
            "高度房室传导阻滞",
            "三度房室传导阻滞",
        ),
    ),
    _ecg(
        "束支传导阻滞",
        "Bundle branch block",
        "窦性心律。{表现}。",
        "窦性心律\n{诊断}",
        _choice(
            "表现",
            "Finding",
            "V1导联呈rsR'型，I、V5、V6导联S波宽钝，QRS时限≥120 ms",
            "V1导联呈rsR'型，QRS时限＜120 ms",
            "I、aVL、V5、V6导联R波宽钝有切迹，V1导联呈QS或rS型，QRS时限≥120 ms",
            "电轴左偏，Ⅱ、Ⅲ、aVF导联呈rS型",
        ),
        _choice(
            "诊断",
            "Diagnosis",
            "完全性右束支传导阻滞",
            "不完全性右束支传导阻滞",
            "完全性左束支传导阻滞",
            "左前分支传导阻滞",
        ),
    ),
    _ecg(
        "ST-T改变",
        "ST-T changes",
        "窦性心律。{导联}导联ST段{ST段}[[，T波{T波}]]。",
        "窦性心律\n{诊断}，请结合临床[[，建议{建议}]]",
        _choice("导联", "Leads", "Ⅱ、Ⅲ、aVF", "I、aVL", "V1～V3", "V4～V6", "V1～V6", "多个"),
        _choice("ST段", "ST segment", "水平型压低", "下斜型压低", "上斜型压低", "抬高", "无明显偏移"),
        _choice("T波", "T wave", "低平", "倒置", "双向", "高尖"),
        _choice("诊断", "Diagnosis", "ST-T改变", "T波改变", "ST段压低，提示心肌缺血可能"),
        _choice("建议", "Advice", "动态观察心电图", "查心肌损伤标志物", "动态心电图检查"),
    ),
    _ecg(
        "急性心肌梗死",
        "Acute myocardial infarction",
        "窦性心律。{导联}导联ST段抬高[[{抬高}]]，[[{T波}，]][[{Q波}，]]对应导联ST段{对应}。",
        "窦性心律\n{部位}心肌梗死（{时期}），请立即结合临床及心肌损伤标志物",
        _choice("导联", "Leads", "V1～V4", "V1～V6", "Ⅱ、Ⅲ、aVF", "I、aVL、V5、V6", "V7～V9", "V3R～V5R"),
        Field("抬高", "number", label_en="ST elevation", unit="mV", least=0.05, most=2),
        _choice("T波", "T wave", "T波高尖", "T波倒置", "ST-T单向曲线"),
        _choice("Q波", "Q wave", "伴病理性Q波", "未见病理性Q波"),
        _choice("对应", "Reciprocal", "压低", "无明显压低", usual="压低"),
        _choice("部位", "Wall", "急性前壁", "急性广泛前壁", "急性下壁", "急性侧壁", "急性正后壁", "急性右室"),
        _choice("时期", "Phase", "超急性期", "急性期", "近期"),
    ),
)

PHRASES: Final = (
    StarterPhrase("jh", "请结合临床", "请结合临床。"),
    StarterPhrase("fc", "复查心电图", "建议{}复查心电图。"),
    StarterPhrase("dt", "动态心电图", "建议动态心电图检查。"),
    StarterPhrase("bj", "与前次比较", "与{}心电图比较，{}。"),
    StarterPhrase("dx", "窦性心律", "窦性心律"),
    StarterPhrase("dxgs", "窦性心动过速", "窦性心动过速"),
    StarterPhrase("dxgh", "窦性心动过缓", "窦性心动过缓"),
    StarterPhrase("fc1", "房性早搏", "房性早搏"),
    StarterPhrase("sz", "室性早搏", "室性早搏"),
    StarterPhrase("fchan", "心房颤动", "心房颤动"),
    StarterPhrase("pw", "房扑", "心房扑动"),
    StarterPhrase("sss", "阵发性室上速", "阵发性室上性心动过速"),
    StarterPhrase("ss", "室速", "室性心动过速"),
    StarterPhrase("yd", "一度房室阻滞", "一度房室传导阻滞"),
    StarterPhrase("ry", "完右", "完全性右束支传导阻滞"),
    StarterPhrase("zz", "完左", "完全性左束支传导阻滞"),
    StarterPhrase("zq", "左前分支", "左前分支传导阻滞"),
    StarterPhrase("yj", "预激", "心室预激"),
    StarterPhrase("zp", "电轴左偏", "电轴左偏"),
    StarterPhrase("yp", "电轴右偏", "电轴右偏"),
    StarterPhrase("zsd", "左室高电压", "左心室高电压"),
    StarterPhrase("zsf", "左室肥厚", "左心室肥厚伴ST-T改变"),
    StarterPhrase("dd", "肢导低电压", "肢体导联QRS低电压"),
    StarterPhrase("stt", "ST-T改变", "ST-T改变"),
    StarterPhrase("tg", "T波改变", "T波改变"),
    StarterPhrase("cx", "下壁Q波", "下壁异常Q波，陈旧性下壁心肌梗死可能"),
    StarterPhrase("qtc", "QTc延长", "QTc间期延长（{} ms）"),
    StarterPhrase("qb", "起搏心律", "起搏心律，{}起搏，感知功能{}"),
    StarterPhrase("gr", "干扰", "因{}干扰，{}导联无法准确判读。"),
)

CRITICAL: Final = (
    StarterCritical("E01", "急性心肌梗死", "acute myocardial infarction", "ECG"),
    StarterCritical(
        "E02",
        "ST段抬高",
        "ST elevation",
        "ECG",
        "肢体导联或V4～V6导联ST段抬高≥0.1 mV，或V1～V3导联＞0.3 mV，急性心肌缺血可能",
    ),
    StarterCritical("E03", "心室扑动或颤动", "ventricular flutter or fibrillation", "ECG"),
    StarterCritical("E04", "尖端扭转型室速", "torsades de pointes", "ECG", "尖端扭转型室性心动过速"),
    StarterCritical("E05", "室性心动过速", "ventricular tachycardia", "ECG", "室性心动过速，频率≥150次/分，持续≥30秒"),
    StarterCritical(
        "E06",
        "室上性心动过速",
        "supraventricular tachycardia",
        "ECG",
        "室上性心动过速，心室率≥230次/分",
        measurement="heart rate",
        from_on=230,
    ),
    StarterCritical(
        "E07",
        "快速心房颤动或扑动",
        "rapid atrial fibrillation or flutter",
        "ECG",
        "心房颤动或扑动，心室率≥180次/分",
        measurement="heart rate",
        from_on=180,
    ),
    StarterCritical(
        "E08", "预激伴心房颤动", "pre-excited atrial fibrillation", "ECG", "预激综合征伴心房颤动，最短RR间期＜250 ms"
    ),
    StarterCritical(
        "E09", "严重心动过缓", "severe bradycardia", "ECG", "平均心室率＜35次/分", measurement="heart rate", below=35
    ),
    StarterCritical("E10", "长RR间歇", "long RR pause", "ECG", "RR间歇≥3.0秒"),
    StarterCritical("E11", "三度房室传导阻滞", "complete atrioventricular block", "ECG"),
    StarterCritical("E12", "高钾血症心电图表现", "signs of hyperkalaemia", "ECG", "提示高钾血症可能，请立即查血钾"),
    StarterCritical(
        "M01", "二度Ⅱ型或高度房室传导阻滞", "second-degree type II or high-grade block", "ECG", tier="major"
    ),
    StarterCritical("M02", "频发成对室性早搏或短阵室速", "frequent couplets or short runs", "ECG", tier="major"),
    StarterCritical(
        "M03",
        "QTc间期显著延长",
        "marked QTc prolongation",
        "ECG",
        "QTc间期≥500 ms",
        "major",
        "QTc interval",
        from_on=500,
    ),
    StarterCritical(
        "M04", "显著心动过缓", "marked bradycardia", "ECG", "心室率＜40次/分", "major", "heart rate", below=40
    ),
    StarterCritical("M05", "心室率≥150次/分", "ventricular rate ≥ 150", "ECG", "", "major", "heart rate", from_on=150),
)
"""Two tiers: E are critical results (危急值) with the limits of one province, M major positive ones (重大阳性值), whose
limits are examples. A limit on a device's number makes the reader look; it announces nothing."""
