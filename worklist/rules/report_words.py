"""The words by which a report's checks know sex, side, body part and age, in Chinese and in English.

Lists, not a grammar: a word stands here only where it speaks of one thing and hardly ever of another. What looks like
one and is not (``左右径``, ``左侧卧位``, ``left atrium``) is listed beside it.
"""

from __future__ import annotations

import re
from typing import Final


def _any(*words: str) -> re.Pattern[str]:
    """One of the words; those of Latin letters only as whole words, in any case."""
    parts = [rf"\b(?:{w})\b" if w[0].isascii() and w[0].isalpha() else w for w in words]
    return re.compile("|".join(parts), re.IGNORECASE)


OF_SEX: Final = {
    "F": _any(
        *("子宫", "卵巢", "宫颈", "宫腔", "阴道", "输卵管", "附件区", "节育器", "孕囊", "妊娠", "绝经"),
        *("uterus", "uterine", "endometri\\w*", "ovary", "ovaries", "ovarian", "vagina\\w*", "fallopian"),
        *("gestational sac", "pregnan\\w*", "intrauterine\\w*", "adnexa\\w*"),
    ),
    "M": _any(
        *("前列腺(?!素)", "精囊腺?", "睾丸", "附睾", "阴茎", "精索", "阴囊"),
        *("prostate", "prostatic", "seminal vesicles?", "testis", "testes", "testicular", "epididym\\w*"),
        *("penis", "penile", "scrot\\w*", "spermatic"),
    ),
}
"""Organs and states that only one sex has."""

NO_SIDE: Final = _any(
    "左右",
    "[左右](?:前|后)斜位?",
    "[左右]侧?卧位",
    "[左右](?:心|室|房)",
    "[左右]旋",
    "[左右]利手",
    "(?:left|right)[ -](?:ventric\\w*|atri\\w*|heart|anterior oblique|posterior oblique|lateral decubitus)",
    "(?:left|right)[ -](?:handed|hander)",
    "right angle\\w*",
    "left in (?:place|situ)",
    "left untreated",
)
"""Words with a side in them that do not say which side was examined."""

BOTH_SIDES: Final = _any("双", "两[侧肺肾膝髋肩踝腕肘手足眼耳乳上下肋胸]", "bilateral\\w*", "both", "bibasal")
LEFT: Final = _any("左", "left", "left-sided")
RIGHT: Final = _any("右", "right", "right-sided")

OF_PART: Final = {
    "HEAD": _any(
        *("颅", "脑", "头", "鞍", "基底节", "丘脑", "中线结构", "蛛网膜", "硬膜", "副鼻窦", "鼻窦", "眼眶"),
        *("head", "skull", "brain", "cerebr\\w*", "cerebell\\w*", "intracranial", "ventricles", "basal ganglia"),
        *("midline", "subdural", "epidural", "subarachnoid", "sinus\\w*"),
    ),
    "NECK": _any("颈", "甲状腺", "咽", "喉", "neck", "thyroid", "cervical", "larynx", "pharynx", "carotid"),
    "CHEST": _any(
        *("胸", "肺", "纵隔", "肋", "心影", "心脏", "心膈", "膈", "气管", "支气管", "主动脉"),
        *("chest", "thora\\w*", "lungs?", "pulmonary", "mediastin\\w*", "pleura\\w*", "hilar", "hila", "cardi\\w*"),
        *("heart", "diaphragm\\w*", "ribs?", "costophrenic", "trachea\\w*", "bronch\\w*"),
    ),
    "ABDOMEN": _any(
        *("腹", "肝", "胆", "胰", "脾", "肾", "胃", "肠", "输尿管", "膀胱", "膈下"),
        *("abdom\\w*", "liver", "hepatic", "gallbladder", "biliary", "bile", "pancrea\\w*", "spleen", "splenic"),
        *("kidneys?", "renal", "bowel", "colon\\w*", "stomach", "ureter\\w*", "bladder", "peritone\\w*"),
    ),
    "PELVIS": _any(
        *("盆", "子宫", "卵巢", "附件", "前列腺", "膀胱", "直肠", "髋", "骶", "耻骨", "坐骨", "髂"),
        *("pelvi\\w*", "uter\\w*", "ovar\\w*", "adnexa\\w*", "prostat\\w*", "bladder", "rect\\w*", "hips?", "sacr\\w*"),
        *("iliac", "pubi\\w*", "ischi\\w*"),
    ),
    "THYROID": _any("甲状腺", "峡部", "颈", "thyroid", "isthmus", "neck"),
    "BREAST": _any("乳", "腺体", "腋", "breasts?", "mammary", "glandular", "axilla\\w*", "nipples?"),
    "CSPINE": _any("颈", "椎", "cervical", "vertebra\\w*", "spine", "spinal", "disc", "discs"),
    "TSPINE": _any("胸椎", "椎", "thoracic", "vertebra\\w*", "spine", "spinal", "disc", "discs"),
    "LSPINE": _any("腰", "椎", "骶", "lumbar", "vertebra\\w*", "spine", "spinal", "disc", "discs", "sacr\\w*"),
    "KNEE": _any(
        *("膝", "髌", "半月板", "交叉韧带", "股骨", "胫骨", "腓骨", "腘"),
        *(
            "knees?",
            "patell\\w*",
            "menisc\\w*",
            "cruciate",
            "femor\\w*",
            "femur",
            "tibia\\w*",
            "fibula\\w*",
            "poplite\\w*",
        ),
    ),
    "HIP": _any("髋", "股骨", "髂", "hips?", "femor\\w*", "femur", "acetabul\\w*"),
    "SHOULDER": _any("肩", "肱骨", "锁骨", "shoulder\\w*", "humer\\w*", "clavic\\w*", "scapul\\w*", "rotator"),
    "ELBOW": _any("肘", "肱骨", "尺骨", "桡骨", "elbow\\w*", "humer\\w*", "ulna\\w*", "radi(?:us|al)", "olecranon"),
    "WRIST": _any(
        "腕", "尺骨", "桡骨", "舟骨", "月骨", "wrist\\w*", "ulna\\w*", "radi(?:us|al)", "carp\\w*", "scaphoid"
    ),
    "HAND": _any("手", "指", "掌骨", "腕", "hands?", "fingers?", "thumb", "metacarp\\w*", "phalan\\w*", "carp\\w*"),
    "ANKLE": _any(
        "踝", "胫骨", "腓骨", "距骨", "跟骨", "ankle\\w*", "malleol\\w*", "tibia\\w*", "fibula\\w*", "tal(?:us|ar)"
    ),
    "FOOT": _any(
        "足", "趾", "跖骨", "跟骨", "距骨", "foot", "feet", "toes?", "metatars\\w*", "tars\\w*", "calcane\\w*"
    ),
}
"""Words of a body part, by the code of a procedure (DICOM PS3.16 annex L); a part without words is not checked."""

ALIASES: Final = {
    "SKULL": "HEAD",
    "BRAIN": "HEAD",
    "UPPERABDOMEN": "ABDOMEN",
    "LIVER": "ABDOMEN",
    "KIDNEY": "ABDOMEN",
    "LUMBARSPINE": "LSPINE",
    "CERVICALSPINE": "CSPINE",
    "THORACICSPINE": "TSPINE",
    "LUNG": "CHEST",
}

OF_THE_OLD: Final = _any(
    *("老年性", "退行性", "退变", "骨质疏松", "前列腺增生", "绝经", "老龄"),
    *("senile", "degenerative", "age-related", "osteoporo\\w*", "postmenopausal", "atheroscler\\w*"),
)
OF_CHILDREN: Final = _any(
    *("患儿", "新生儿", "婴儿", "囟门", "骨骺未闭", "骺线未闭", "骺板未闭", "胸腺影未退"),
    *("newborn", "neonat\\w*", "infant", "fontanell?e\\w*", "open physes", "unfused epiphys\\w*"),
)

DENIED: Final = _any(
    *("未", "无", "没有", "除外", "排除", "不考虑", "不支持", "否认", "阴性", "陈旧", "既往", "术后", "慢性", "吸收期"),
    *("no", "not", "without", "negative", "exclud\\w*", "ruled out", "old", "chronic", "prior", "previous\\w*"),
    *("history of", "resolved", "absence of", "unlikely"),
)
"""In the same clause, before or just behind a critical word: it says that the thing is not there, or not new."""
