"""What happened in the demo county's last week, and what lies on its desks today: data for `days`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from huren.demo.stories import Words
from worklist.facts import Priority

Stage = Literal[
    "ordered",
    "mistaken",
    "unread",
    "arriving",
    "held",
    "in review",
    "sent back",
    "returned",
    "critical",
    "signed",
    "corrected",
]


@dataclass(frozen=True)
class Desk:
    """A case of today: how many minutes ago it was ordered, and how far it has come since."""

    minutes: int
    story: str
    stage: Stage
    priority: Priority = "ROUTINE"
    clinical: str = ""
    reader: str = ""


@dataclass(frozen=True)
class Visit:
    """Somebody who was examined elsewhere comes to a doctor: so many days ago and minutes after nine (today:
    minutes ago), and why what there is does not serve them (a code of `recognition_starter.REASONS`; empty: it does).
    """

    days: int
    minutes: int
    refusal: str = ""
    words: str = ""
    clinical: str = ""


DESK: Final = (
    Desk(250, "chest-dr", "signed", "URGENT", "发热、咳黄痰三天"),
    Desk(221, "ultrasound", "signed", clinical="活动后胸闷"),
    Desk(205, "mr", "signed", clinical="体检发现肝内占位"),
    Desk(190, "village-dr", "corrected", clinical="胸壁外伤"),
    Desk(176, "chest-dr", "sent back", clinical="咳嗽两周，夜间加重", reader="reader1"),
    Desk(168, "chest-dr", "returned", clinical="入职体检"),
    Desk(150, "village-dr", "unread", clinical="慢阻肺复查"),  # late
    Desk(96, "lymph-node", "in review", clinical="左颈部肿块一月"),
    Desk(92, "ecg", "signed", clinical="高血压病，例行检查"),
    Desk(88, "fibrillation", "signed", clinical="心慌三天"),
    Desk(84, "head-ct", "in review", "URGENT", "头晕伴恶心半天"),
    Desk(58, "ultrasound", "unread", clinical="双下肢水肿"),  # late
    Desk(44, "critical", "critical", "STAT", "突发左侧头痛伴右侧肢体无力"),
    Desk(36, "mr", "held", clinical="右上腹隐痛两周", reader="reader2"),
    Desk(40, "chest-dr", "mistaken", clinical="体检"),
    Desk(38, "ecg", "unread", clinical="术前检查"),  # late
    Desk(35, "fibrillation", "in review", clinical="心慌一周"),
    Desk(33, "chest-dr", "unread", "URGENT", "胸痛一天"),
    Desk(30, "ecg", "in review", clinical="头晕待查"),
    Desk(25, "ecg", "unread", clinical="体检"),
    Desk(20, "ecg", "unread", clinical="糖尿病年检"),
    Desk(27, "lymph-node", "unread", clinical="甲状腺术后复查"),
    Desk(22, "head-ct", "unread", "STAT", "车祸后意识模糊"),
    Desk(18, "village-dr", "unread", clinical="体检"),
    Desk(15, "mr", "unread", clinical="乙肝病史，复查"),
    Desk(13, "village-dr", "unread", "URGENT", "胸痛半天"),
    Desk(12, "head-ct", "arriving", clinical="反复头痛"),
    Desk(11, "fibrillation", "unread", "URGENT", "心悸、气短半天"),
    Desk(9, "chest-dr", "ordered", clinical="咳嗽一周"),
    Desk(8, "chest-pain", "unread", "STAT", "胸痛一小时，大汗"),
    Desk(6, "ultrasound", "ordered", clinical="高血压病，例行检查"),
    Desk(5, "ecg", "ordered", clinical="体检"),
    Desk(4, "head-ct", "ordered", "STAT", "摔倒后头痛两小时"),
)
"""The oldest first. Cases that stay unread longer than their limit are late, as in every county."""

VARIANTS: Final[Mapping[str, tuple[Words, ...]]] = {
    "CTHEAD": (
        Words("颅骨完整。脑实质密度未见异常，脑室、脑池大小形态正常，中线结构居中。", "头颅CT平扫未见明显异常。"),
        Words(
            "双侧基底节区见点状低密度影，边界清。脑室、脑池稍扩大，脑沟增宽，中线结构居中。",
            "1. 双侧基底节区腔隙性梗死灶。\n2. 老年性脑改变。",
        ),
        Words("右顶部头皮软组织肿胀。颅骨未见骨折线，颅内未见出血灶，中线结构居中。", "右顶部头皮血肿，颅内未见异常。"),
    ),
    "DRCHEST": (
        Words("双肺纹理清晰，未见实变影。心影大小形态正常。双侧膈面光滑，肋膈角锐利。", "心肺膈未见明显异常。"),
        Words("右下肺野见斑片状密度增高影，边界模糊。心影不大。双侧肋膈角锐利。", "右下肺炎症，建议治疗后复查。"),
        Words("双肺纹理增多、紊乱，肺野透亮度增高，膈面低平。心影狭长。", "慢性支气管炎、肺气肿征象。"),
        Words("左侧第6肋腋段骨皮质不连续，断端无明显错位。双肺未见实变，未见气胸。", "左侧第6肋骨折。"),
    ),
    "USHEART": (
        Words(
            "各房室腔大小正常，室壁运动协调。各瓣膜形态及启闭未见明显异常。", "静息状态下心脏结构及功能未见明显异常。"
        ),
        Words("左房前后径41 mm，余房室腔不大。二尖瓣少量反流。EF 58%。", "左房增大，二尖瓣轻度反流。"),
    ),
    "USNODE": (
        Words("颈部见椭圆形淋巴结，皮髓质分界清，血流呈门型分布。", "颈部淋巴结可见，形态血流未见明显异常。"),
        Words("左颈Ⅱ区见一低回声结节，约18×9 mm，皮质增厚，血流稍丰富。", "左颈部淋巴结增大，反应性可能，建议复查。"),
    ),
    "ECG12": (
        Words(
            "窦性心律，P波形态正常，PR间期、QRS时限及QT间期在正常范围，ST-T未见异常。", "1. 窦性心律。\n2. 正常心电图。"
        ),
        Words("窦性心律，心率在正常范围。各间期正常，未见ST段偏移。", "1. 窦性心律。\n2. 大致正常心电图。"),
    ),
    "MRABD": (
        Words("肝内见一类圆形长T2信号灶，边界清，增强呈向心性强化。胆囊、胰腺、脾脏未见异常。", "肝血管瘤。"),
        Words("肝脏信号均匀，未见异常强化灶。胆总管不扩张。胰腺、脾脏未见异常。", "上腹部MR增强未见明显异常。"),
    ),
}
"""What readers wrote, by procedure."""

UNMAPPED: Final = ("CT0099", "鼻窦CT平扫")
"""A procedure that a HIS orders and nobody has mapped yet."""
SENT_BACK: Final = "右上肺尖有一小结节影，请描述大小并建议CT。"
RETURNED: Final = (
    ("motion", "呼吸运动伪影明显，请嘱患者屏气后重新摄片。"),
    ("positioning", "摆位偏斜，右侧肋膈角未包全，请重摄。"),
    ("exposure", "曝光不足，肺野无法评估，请调整条件后重摄。"),
)
CORRECTED: Final = (
    "肋骨序数笔误",
    "左侧第7肋腋段骨皮质不连续，断端无明显错位。双肺未见实变，未见气胸。",
    "左侧第7肋骨折。",
)
EMERGENCIES: Final = (
    ("doctor2", "患者昏迷由120送至我院，家属不在场，急需既往检查结果。", "justified", "与急诊记录相符。"),
    ("doctor3", "转诊患者胸痛，需对照外院近期胸片以排除气胸。", "", ""),
)
"""Who broke the glass, why, and what the auditor said of it so far."""

VISITS: Final = (
    Visit(5, 60),
    Visit(4, 70, "1", clinical="昨夜起高热、胸痛"),
    Visit(4, 250),
    Visit(3, 120),
    Visit(2, 95),
    Visit(2, 260, "6", "外院摄片后又摔倒一次", "摔倒后右侧胸痛"),
    Visit(1, 100, "1", clinical="咯血一天"),
    Visit(1, 300),
    Visit(0, 130),
    Visit(0, 70),
)
"""Patients who come to another township and were examined already."""
ONE_PERSON: Final = "姓名、性别、出生日期一致，患者本人确认在该院检查过。"
TARIFFS: Final = (
    ("DRCHEST", 60_00, 15_00),
    ("DRKNEE", 55_00, 15_00),
    ("CTHEAD", 160_00, 40_00),
    ("CTCHEST", 180_00, 45_00),
    ("USHEART", 120_00, 0),
    ("ECG12", 18_00, 6_00),
)
"""Invented: procedure, examination and reading in fen."""
