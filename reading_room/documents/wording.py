"""The words of the printed form. It is a Chinese document whatever language its signer's pages are in."""

from __future__ import annotations

from typing import Final

WATERMARKS: Final[dict[str, str]] = {
    "preliminary": "初步报告，待审核",
    "withdrawal": "已撤回",
    "superseded": "已被新版本取代",
}
READ_ANEW: Final = "以既有影像重新阅片，未做新检查"
STATUS: Final[dict[str, str]] = {
    "preliminary": "初步报告",
    "final": "正式报告",
    "corrected": "更正报告",
    "addendum": "补充报告",
    "withdrawal": "已撤回",
}
TITLES: Final[dict[str, str]] = {
    "CT": "CT检查报告单",
    "MR": "磁共振（MR）检查报告单",
    "DX": "数字X线（DR）检查报告单",
    "CR": "X线（CR）检查报告单",
    "MG": "乳腺X线检查报告单",
    "RF": "X线造影检查报告单",
    "XA": "血管造影检查报告单",
    "US": "超声检查报告单",
    "ECG": "心电图报告单",
    "NM": "核医学检查报告单",
    "PT": "PET检查报告单",
    "ES": "内镜检查报告单",
    "SM": "病理检查报告单",
}
FINDINGS: Final[dict[str, str]] = {"US": "超声所见", "ECG": "心电图所见", "ES": "镜下所见", "SM": "镜下所见"}
IMPRESSION: Final[dict[str, str]] = {"US": "超声提示", "ECG": "心电图诊断", "SM": "病理诊断"}
TIERS: Final[dict[str, str]] = {"critical": "危急值", "major": "重大阳性值"}
SEX: Final[dict[str, str]] = {"M": "男", "F": "女", "O": "其他", "": ""}
PATIENT_CLASS: Final[dict[str, str]] = {"O": "门诊", "I": "住院", "E": "急诊"}  # HL7 table 0004
BODY_PARTS: Final[dict[str, str]] = {  # DICOM PS3.16 annex L; what is not here is printed as written
    "HEAD": "头部",
    "BRAIN": "颅脑",
    "NECK": "颈部",
    "CHEST": "胸部",
    "BREAST": "乳腺",
    "HEART": "心脏",
    "ABDOMEN": "腹部",
    "PELVIS": "盆腔",
    "SPINE": "脊柱",
    "CSPINE": "颈椎",
    "TSPINE": "胸椎",
    "LSPINE": "腰椎",
    "SHOULDER": "肩部",
    "ELBOW": "肘部",
    "WRIST": "腕部",
    "HAND": "手部",
    "HIP": "髋部",
    "KNEE": "膝部",
    "ANKLE": "踝部",
    "FOOT": "足部",
    "THYROID": "甲状腺",
}
VISIT_LABEL: Final[dict[str, str]] = {"O": "门诊号", "I": "住院号", "E": "急诊号"}

TRIAL: Final = "试用签名，非法定电子认证"
REPRINT: Final = "旧版重印件，不带电子印章"
NOT_A_DEVICE: Final = (
    "本软件未注册为医疗器械；在使用单位取得当地批准之前，不得用于临床诊断。无论如何，危急值都必须电话通知。"
)
NO_MARK: Final = "本报告未标注检查检验结果互认（HR）标识。"


def title_of(modality: str) -> str:
    """What a report on this modality is called on its form."""
    return TITLES.get(modality, "检查报告单")


MEASUREMENTS: Final[dict[str, str]] = {
    "heart rate": "心室率",
    "PR interval": "PR间期",
    "QRS duration": "QRS时限",
    "QT interval": "QT间期",
    "QTc interval": "QTc间期",
    "P axis": "P电轴",
    "QRS axis": "QRS电轴",
    "T axis": "T电轴",
}
MEASURED_IN: Final[dict[str, str]] = {"/min": " 次/分", "ms": " ms", "deg": "°"}
BY_READER: Final = "*"
MEASURED_NOTE: Final[dict[frozenset[str], str]] = {
    frozenset({"device"}): "均为设备测量值，经报告医师采用",
    frozenset({"reader"}): "均为医师测量值",
    frozenset({"device", "reader"}): f"{BY_READER} 为医师测量值，其余为设备测量值，经报告医师采用",
}
"""Whose the measurements are, by the sources that there are."""
ECG_SCALE: Final = "走纸速度 25 mm/s　　增益 10 mm/mV　　按原始采样绘制，请以 100% 比例打印"
"""Below a printed ECG."""
