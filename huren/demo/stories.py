"""The cases that the demo plays: who sends what, and what the readers will say of it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from huren.demo import images
from huren.demo.county import HIS_SYSTEMS, PEOPLE, PROCEDURES, SCANNERS, HisSystem, Scanner
from huren.demo.images import ZONE, Images
from huren.demo.township import Request, Visitor
from worklist.facts import Priority

_FAMILIES: Final = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许邓冯韩曹曾彭萧蔡潘田董袁于余叶蒋杜苏魏程吕丁沈任"
)
_GIVEN: Final = {
    "M": ("小东", "建国", "志强", "德华", "永福", "国庆", "明亮", "春生", "天佑", "大川", "守义", "立新", "浩然"),
    "F": ("秀英", "桂兰", "玉珍", "海燕", "春梅", "淑芬", "金凤", "雪梅", "月娥", "素琴", "巧云", "红霞", "子涵"),
}


@dataclass(frozen=True)
class Words:
    """What the readers write."""

    findings: str
    impression: str
    critical: str = ""


@dataclass(frozen=True)
class Story:
    """One case. `end` says how it ends: with a report, cancelled by the HIS, or with images that nobody ordered."""

    text: str  # for people who choose a case
    place: str
    his: str
    station: str
    procedure: str
    images: Images
    clinical: str = ""
    priority: Priority = "ROUTINE"
    end: Literal["report", "cancelled", "no order"] = "report"
    words: Words | None = None  # None: what is usual for the procedure; with a critical result it is an emergency
    images_again: Images | None = None  # sent instead where the case comes again and again, to spare the disk

    @property
    def his_system(self) -> HisSystem:
        """The HIS that orders."""
        return next(his for his in HIS_SYSTEMS if his.place == self.his)

    @property
    def scanner(self) -> Scanner:
        """The modality that examines."""
        return next(scanner for scanner in SCANNERS if scanner.ae_title == self.station)

    @property
    def discipline(self) -> str:
        """That of the center which reads it."""
        return "ecg" if self.scanner.modality == "ECG" else "imaging"

    @property
    def doctor(self) -> tuple[str, str]:
        """Login and name of the doctor who orders."""
        return next((p.login, p.name) for p in PEOPLE if p.place == self.place and p.role == "doctor")


STORIES: Final[Mapping[str, Story]] = {
    "head-ct": Story(
        "A STAT head CT from Qingshi, whose CT speaks GB18030: 200 slices.",
        *("TS01", "TS01", "TS01CT", "CTHEAD", images.ct_head_plain, "摔倒后头痛两小时"),
        priority="STAT",
        images_again=images.ct_head_plain_thick,
    ),
    "chest-dr": Story(
        "A chest in two views from Hexi, whose DR speaks UTF-8.",
        *("TS02", "TS02", "TS02DR", "DRCHEST", images.chest_dr, "咳嗽一周"),
        priority="URGENT",
    ),
    "village-dr": Story(
        "A village doctor orders; the patient is examined in Qingshi.",
        *("V0101", "TS01", "TS01DR", "DRCHEST", images.chest_dr, "体检"),
    ),
    "ultrasound": Story(
        "A multi-frame ultrasound, JPEG-compressed, from Liulin (ISO 2022 IR 58).",
        *("TS03", "TS03", "TS03US", "USHEART", images.heart_us, "活动后心悸"),
    ),
    "lymph-node": Story(
        "Two ultrasound pictures, one of them in JPEG 2000.",
        *("TS03", "TS03", "TS03US", "USNODE", images.node_us, "颈部肿物"),
    ),
    "mr": Story(
        "An MR of the abdomen from Liulin.",
        *("TS03", "TS03", "TS03MR", "MRABD", images.abdomen_mr, "右上腹隐痛"),
    ),
    "critical": Story(
        "A head CT with a bleed: a critical result, which the township's doctor acknowledges.",
        *("TS01", "TS01", "TS01CT", "CTHEAD", images.ct_head_bleeding, "突发左侧头痛伴右侧肢体无力"),
        priority="STAT",
        words=Words(
            "左侧基底节区见类圆形高密度影，约28×38 mm，CT值约68 HU，周围见低密度水肿带。中线结构居中。",
            "左侧基底节区脑出血。请结合临床并短期复查。（演示）",
            "左侧基底节区急性脑出血",
        ),
        images_again=images.ct_head_bleeding_thick,
    ),
    "ecg": Story(
        "A twelve-lead ECG from Qingshi's cart: worklist, recording, numbers, signed report.",
        *("TS01", "TS01", "TS01ECG", "ECG12", images.ecg_sinus, "体检"),
    ),
    "fibrillation": Story(
        "An ECG from Hexi (UTF-8) with atria that fibrillate.",
        *("TS02", "TS02", "TS02ECG", "ECG12", images.ecg_fibrillating, "心慌一周"),
        words=Words(
            "P波消失，代之以大小、形态、间距不等的f波，RR间期绝对不等。QRS波时限正常。",
            "心房颤动。（演示）",
        ),
    ),
    "chest-pain": Story(
        "An ECG of somebody with chest pain, an infarct: read before all others, a critical result.",
        *("TS02", "TS02", "TS02ECG", "ECG12", images.ecg_infarct, "胸痛一小时，大汗"),
        priority="STAT",
        words=Words(
            "窦性心动过缓。Ⅱ、Ⅲ、aVF导联ST段弓背向上抬高，Ⅰ、aVL及V2、V3导联ST段压低。",
            "窦性心动过缓；急性下壁ST段抬高型心肌梗死，请立即处理。（演示）",
            "急性心肌梗死",
        ),
    ),
    "cancelled": Story(
        "An order that the HIS cancels before anybody scans.",
        *("TS02", "TS02", "TS02DR", "DRCHEST", images.chest_dr, "体检"),
        end="cancelled",
    ),
    "no-order": Story(
        "Images that nobody ordered: they wait in the unmatched bin.",
        *("TS03", "TS03", "TS03US", "USNODE", images.node_us),
        end="no order",
    ),
}

OFTEN: Final[Mapping[str, int]] = {
    "head-ct": 3,
    "chest-dr": 5,
    "village-dr": 3,
    "ultrasound": 4,
    "lymph-node": 2,
    "mr": 1,
    "critical": 1,
    "ecg": 7,
    "fibrillation": 2,
    "chest-pain": 1,
    "cancelled": 1,
    "no-order": 1,
}
"""How often each case comes when the demo plays for ever, as weights."""

_USUAL: Final[Mapping[str, Words]] = {
    "CTHEAD": Words("颅骨完整。脑实质密度未见异常，脑室、脑池大小形态正常，中线结构居中。", "头颅CT平扫未见明显异常。"),
    "DRCHEST": Words("双肺纹理清晰，未见实变影。心影大小形态正常。双侧膈面光滑，肋膈角锐利。", "心肺膈未见明显异常。"),
    "USHEART": Words(
        "各房室腔大小正常，室壁运动协调。各瓣膜形态及启闭未见明显异常。", "静息状态下心脏结构及功能未见明显异常。"
    ),
    "USNODE": Words("颈部见椭圆形淋巴结，皮髓质分界清，血流呈门型分布。", "颈部淋巴结可见，形态血流未见明显异常。"),
    "ECG12": Words("窦性心律，P波形态正常，PR间期、QRS时限及QT间期在正常范围，ST-T未见异常。", "正常心电图。"),
    "MRABD": Words("肝内见一类圆形异常信号灶，边界清。胆囊、胰腺、脾脏未见明显异常。", "肝内占位性病变，请结合临床。"),
}


def usual_words(procedure: str) -> Words:
    """What a reader says of an ordinary case; `procedure` is a code or the name that the worklist shows."""
    code = next((p[0] for p in PROCEDURES if procedure in p[:3]), "")
    words = _USUAL.get(code, Words("图像已阅。", "未见明显异常。"))
    return Words(words.findings, f"{words.impression}（演示）")


def new_visitor(now: datetime) -> Visitor:
    """An invented patient: no real person's name is meant, and there is no national number."""
    born = now.astimezone(ZONE).year - random.randint(18, 88)
    sex = random.choice("MF")
    return Visitor(
        number=f"{random.randrange(10**9, 10**10)}",
        name=random.choice(_FAMILIES) + random.choice(_GIVEN[sex]),
        sex=sex,
        birth_date=f"{born}{random.randint(1, 12):02}{random.randint(1, 28):02}",
    )


def new_request(story: Story, visitor: Visitor, now: datetime) -> Request:
    """The order of a story for a patient, under a number of the HIS."""
    name = next(name for code, name, *_ in PROCEDURES if code == story.procedure)
    return Request(
        place=story.place,
        number=f"{now.astimezone(ZONE):%y%m%d%H%M%S}{random.randrange(1000):03}",
        visitor=visitor,
        procedure=story.procedure,
        procedure_name=name,
        priority=story.priority,
        clinical=story.clinical,
        doctor=story.doctor,
    )
