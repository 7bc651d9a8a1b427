"""A starter set for an imaging center: templates, phrases, and its list of critical results (危急值目录).

Words of the field and no policy: which findings are critical, and every template, are for the center to decide
("local policy required"). The texts are Chinese because reports are; names come in English too. The module is long
because it is one set of data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from worklist.facts import Tier
from worklist.rules.templates import Field, Words


@dataclass(frozen=True)
class StarterTemplate:
    """A template as a center begins with it."""

    name: str
    name_en: str
    modality: str
    body_part: str
    words: Words
    shortcut: str = ""
    is_normal: bool = False


@dataclass(frozen=True)
class StarterPhrase:
    """A phrase of the center."""

    shortcut: str
    title: str
    words: str
    modality: str = ""
    body_part: str = ""


@dataclass(frozen=True)
class StarterCritical:
    """A finding that usually counts as critical."""

    code: str
    name: str
    name_en: str
    modality: str = ""
    words: str = ""
    tier: Tier = "critical"
    measurement: str = ""  # of the device, by which it is suspected: below, or from so much on
    below: int | None = None
    from_on: int | None = None


def _choice(name: str, label_en: str, *choices: str, usual: str = "") -> Field:
    return Field(name, "choice", label_en=label_en, choices=choices, usual=usual)


def _choices(name: str, label_en: str, *choices: str) -> Field:
    return Field(name, "choices", label_en=label_en, choices=choices)


def _number(name: str, label_en: str, unit: str, least: float, most: float) -> Field:
    return Field(name, "number", label_en=label_en, unit=unit, least=least, most=most)


def _side(name: str = "侧别", label_en: str = "Side") -> Field:
    return Field(name, "side", label_en=label_en)


def _normal(
    name: str, name_en: str, modality: str, body_part: str, findings: str, impression: str, *fields: Field
) -> StarterTemplate:
    return StarterTemplate(name, name_en, modality, body_part, Words(fields, findings, impression), is_normal=True)


def _template(
    name: str, name_en: str, modality: str, body_part: str, findings: str, impression: str, *fields: Field
) -> StarterTemplate:
    return StarterTemplate(name, name_en, modality, body_part, Words(fields, findings, impression))


TEMPLATES: Final = (
    _normal(
        "胸部DR 未见异常",
        "Chest X-ray, normal",
        "DX",
        "CHEST",
        "胸廓对称，气管居中。\n"
        "双肺纹理清晰，走行自然，双肺野未见明显实变影及占位影。双侧肺门不大，结构清晰。\n"
        "纵隔无增宽，心影大小、形态在正常范围内。\n"
        "双侧膈面光整，肋膈角锐利。所示骨质未见明显异常。",
        "心、肺、膈未见明显异常。",
    ),
    _template(
        "胸部DR 肺部病变",
        "Chest X-ray, lung lesion",
        "DX",
        "CHEST",
        "胸廓对称，气管居中。\n"
        "{侧别}{肺野}见{形态}密度增高影，边界{边界}[[，大小约{长径}×{短径}]]。余肺野未见明显实变影。\n"
        "双侧肺门不大。纵隔无增宽，心影大小、形态在正常范围内。\n"
        "[[{积液侧}肋膈角{肋膈角}。]]",
        "{侧别}{肺野}{考虑}，请结合临床及实验室检查[[，建议{建议}]]。\n[[{积液侧}胸腔积液征象，请结合超声检查。]]",
        _side(),
        _choice("肺野", "Lung zone", "上肺野", "中肺野", "下肺野", "中下肺野"),
        _choice("形态", "Shape", "斑片状", "片状", "条索状", "结节状", "团块状", usual="斑片状"),
        _choice("边界", "Margin", "模糊", "清晰", "欠清", usual="模糊"),
        _number("长径", "Long axis", "mm", 1, 200),
        _number("短径", "Short axis", "mm", 1, 200),
        _choice("考虑", "Impression", "炎症可能", "陈旧性病变", "结节影", "占位性病变待排", usual="炎症可能"),
        _side("积液侧", "Side of effusion"),
        _choice("肋膈角", "Costophrenic angle", "变钝", "消失"),
        _choice("建议", "Advice", "治疗后复查", "进一步行CT检查", "定期复查"),
    ),
    _normal(
        "胸部CT平扫 未见异常",
        "Chest CT, plain, normal",
        "CT",
        "CHEST",
        "胸廓对称，气管及主要支气管通畅。\n"
        "双肺纹理走行自然，肺实质内未见明显异常密度影。\n"
        "双侧肺门及纵隔内未见明显肿大淋巴结。心影及大血管形态未见明显异常。\n"
        "双侧胸腔未见积液，胸膜未见增厚。扫及骨质未见明显异常。",
        "胸部CT平扫未见明显异常。",
    ),
    _template(
        "胸部CT 肺结节",
        "Chest CT, pulmonary nodule",
        "CT",
        "CHEST",
        "{肺叶}见一{密度}结节（Se{序列}，Im{图像}），大小约{长径}×{短径}[[，{征象}]]。\n"
        "余双肺未见明显实变影。气管及主要支气管通畅。\n"
        "双侧肺门及纵隔内未见明显肿大淋巴结。双侧胸腔未见积液。",
        "{肺叶}{密度}结节，大小约{长径}×{短径}，{分类}，{建议}。",
        _choice("肺叶", "Lobe", "右肺上叶", "右肺中叶", "右肺下叶", "左肺上叶", "左肺下叶"),
        _choice("密度", "Density", "实性", "部分实性", "纯磨玻璃", "钙化", usual="实性"),
        _number("长径", "Long axis", "mm", 1, 30),
        _number("短径", "Short axis", "mm", 1, 30),
        _choices("征象", "Signs", "边界清", "分叶", "毛刺", "胸膜牵拉", "空泡征", "血管集束"),
        _number("序列", "Series", "", 1, 99),
        _number("图像", "Image", "", 1, 2000),
        _choice("分类", "Category", "Lung-RADS 2类", "Lung-RADS 3类", "Lung-RADS 4A类", "Lung-RADS 4B类"),
        _choice("建议", "Advice", "建议12个月后复查", "建议6个月后复查", "建议3个月后复查", "建议胸外科就诊"),
    ),
    _normal(
        "腹部超声 未见异常",
        "Abdominal ultrasound, normal",
        "US",
        "ABDOMEN",
        "肝脏大小、形态正常，包膜光整，实质回声均匀，管道结构显示清晰[[，右叶最大斜径约{肝右叶斜径}]]"
        "[[，门静脉主干内径约{门静脉}]]。\n"
        "胆囊大小、形态正常，壁光滑，腔内未见异常回声。胆总管未见扩张[[，内径约{胆总管}]]。\n"
        "胰腺大小、形态正常，回声均匀，主胰管未见扩张。\n"
        "脾脏大小正常，回声均匀[[，厚约{脾厚}]]。\n"
        "双肾大小、形态正常，皮髓质分界清晰，集合系统未见分离[[，左肾长约{左肾长}]][[，右肾长约{右肾长}]]。",
        "肝、胆、胰、脾、双肾未见明显异常。",
        _number("肝右叶斜径", "Right lobe of liver, oblique", "mm", 60, 220),
        _number("门静脉", "Portal vein", "mm", 4, 25),
        _number("胆总管", "Common bile duct", "mm", 1, 25),
        _number("脾厚", "Spleen, thickness", "mm", 15, 120),
        _number("左肾长", "Left kidney, length", "mm", 50, 180),
        _number("右肾长", "Right kidney, length", "mm", 50, 180),
    ),
    _template(
        "腹部超声 脂肪肝及胆囊结石",
        "Abdominal ultrasound, fatty liver and gallstones",
        "US",
        "ABDOMEN",
        "肝脏大小、形态正常，实质回声{肝回声}，后方回声{肝后方}，管道结构显示{管道}。\n"
        "[[胆囊大小约{胆囊长}×{胆囊宽}，壁{胆囊壁}，腔内见{结石数}强回声团，后方伴声影，{移动}，较大者约{结石大小}。]]\n"
        "胆总管未见扩张[[，内径约{胆总管}]]。胰腺、脾脏、双肾未见明显异常。",
        "{肝诊断}。\n[[胆囊结石（{结石数}，较大者约{结石大小}）。]]",
        _choice("肝回声", "Liver echo", "弥漫性细密增强", "增粗", "欠均匀", usual="弥漫性细密增强"),
        _choice("肝后方", "Posterior echo", "稍衰减", "明显衰减", "无明显衰减", usual="稍衰减"),
        _choice("管道", "Vessels", "清晰", "欠清晰", "不清", usual="欠清晰"),
        _choice("肝诊断", "Liver impression", "脂肪肝（轻度）", "脂肪肝（中度）", "脂肪肝（重度）", "肝实质回声改变"),
        _number("胆囊长", "Gallbladder, length", "mm", 20, 160),
        _number("胆囊宽", "Gallbladder, width", "mm", 10, 80),
        _choice("胆囊壁", "Gallbladder wall", "光滑", "毛糙", "增厚"),
        _choice("结石数", "Stones", "单个", "数个", "多发"),
        _choice("移动", "Mobility", "可随体位移动", "位置固定"),
        _number("结石大小", "Largest stone", "mm", 1, 60),
        _number("胆总管", "Common bile duct", "mm", 1, 25),
    ),
    _normal(
        "甲状腺超声 未见异常",
        "Thyroid ultrasound, normal",
        "US",
        "THYROID",
        "甲状腺大小、形态正常，包膜光整，实质回声均匀，未见明显结节。\n"
        "[[左叶大小约{左叶长}×{左叶宽}×{左叶厚}。]]\n"
        "[[右叶大小约{右叶长}×{右叶宽}×{右叶厚}。]]\n"
        "[[峡部厚约{峡部厚}。]]\n"
        "CDFI：腺体内血流信号分布正常。双侧颈部未见明显异常肿大淋巴结。",
        "甲状腺未见明显异常。",
        _number("左叶长", "Left lobe, length", "mm", 20, 90),
        _number("左叶宽", "Left lobe, width", "mm", 5, 50),
        _number("左叶厚", "Left lobe, depth", "mm", 5, 50),
        _number("右叶长", "Right lobe, length", "mm", 20, 90),
        _number("右叶宽", "Right lobe, width", "mm", 5, 50),
        _number("右叶厚", "Right lobe, depth", "mm", 5, 50),
        _number("峡部厚", "Isthmus, depth", "mm", 0.5, 15),
    ),
    _template(
        "甲状腺超声 结节",
        "Thyroid ultrasound, nodule",
        "US",
        "THYROID",
        "甲状腺{侧别}叶{位置}见一{结构}{回声}结节，大小约{长径}×{宽径}×{厚径}，{方位}[[，{特征}]]。\n"
        "CDFI：结节内{血流}。余腺体回声均匀[[，峡部厚约{峡部厚}]]。\n"
        "双侧颈部{淋巴结}。",
        "甲状腺{侧别}叶结节，C-TIRADS {分类}类[[，建议{建议}]]。",
        _side(),
        _choice("位置", "Position", "上极", "中部", "下极", usual="中部"),
        _choice("结构", "Composition", "实性", "囊实性", "囊性", usual="实性"),
        _choice("回声", "Echo", "低", "极低", "等", "高", "无", usual="低"),
        _number("长径", "Length", "mm", 1, 80),
        _number("宽径", "Width", "mm", 1, 80),
        _number("厚径", "Depth", "mm", 1, 80),
        _choice("方位", "Orientation", "水平位", "垂直位", usual="水平位"),
        _choices("特征", "Features", "边界清", "边缘模糊", "边缘不规则", "点状强回声", "粗大钙化", "甲状腺外侵犯"),
        _choice("血流", "Flow", "未见明显血流信号", "见少量血流信号", "见较丰富血流信号", usual="见少量血流信号"),
        _number("峡部厚", "Isthmus, depth", "mm", 0.5, 15),
        _choice("淋巴结", "Lymph nodes", "未见明显异常肿大淋巴结", "见肿大淋巴结", usual="未见明显异常肿大淋巴结"),
        _choice("分类", "C-TIRADS", "2", "3", "4A", "4B", "4C", "5"),
        _choice("建议", "Advice", "定期复查", "细针穿刺活检", "专科就诊"),
    ),
    _normal(
        "头颅CT平扫 未见异常",
        "Head CT, plain, normal",
        "CT",
        "HEAD",
        "脑实质密度未见明显异常，灰白质分界清晰。\n"
        "脑室、脑池、脑沟大小及形态正常，中线结构居中。\n"
        "颅内未见明显出血及占位征象。\n"
        "颅骨骨质结构完整。扫及鼻窦、乳突气房未见明显异常。",
        "颅脑CT平扫未见明显异常。",
    ),
    _template(
        "头颅CT 脑出血",
        "Head CT, intracerebral haemorrhage",
        "CT",
        "HEAD",
        "{侧别}{部位}见{形态}高密度影，大小约{长径}×{短径}，CT值约{CT值}[[，血肿量约{血肿量}]]，周围见低密度水肿带。\n"
        "{破入}。邻近脑沟、脑室受压，中线结构{中线}[[，移位约{移位}]]。\n"
        "余脑实质未见明显异常密度影。颅骨骨质结构完整。",
        "{侧别}{部位}脑出血[[（血肿量约{血肿量}）]]，{破入}，中线结构{中线}。请结合临床，密切复查。",
        _side(),
        _choice("部位", "Site", "基底节区", "丘脑", "额叶", "颞叶", "顶叶", "枕叶", "小脑半球", usual="基底节区"),
        _choice("形态", "Shape", "类圆形", "肾形", "团片状", "不规则形", usual="团片状"),
        _number("长径", "Long axis", "mm", 1, 150),
        _number("短径", "Short axis", "mm", 1, 150),
        _number("CT值", "Density", "HU", 30, 120),
        _number("血肿量", "Volume", "ml", 0.5, 200),
        _choice("破入", "Ventricles", "未破入脑室", "破入脑室", usual="未破入脑室"),
        _choice("中线", "Midline", "居中", "向左移位", "向右移位", usual="居中"),
        _number("移位", "Shift", "mm", 1, 30),
    ),
    _normal(
        "腰椎DR正侧位 未见异常",
        "Lumbar spine X-ray, two views, normal",
        "DX",
        "LSPINE",
        "腰椎生理曲度存在，序列整齐。\n"
        "各椎体形态正常，骨质结构完整，未见明显骨折及骨质破坏征象。\n"
        "各椎间隙未见明显狭窄，椎小关节关系正常。\n"
        "双侧腰大肌影清晰。",
        "腰椎正侧位未见明显异常。",
    ),
    _template(
        "腰椎DR 退行性变",
        "Lumbar spine X-ray, degenerative",
        "DX",
        "LSPINE",
        "腰椎生理曲度{曲度}[[，{侧弯}]]。\n"
        "{椎体}椎体边缘骨质增生[[，{间隙}椎间隙变窄]]。\n"
        "[[{滑脱椎体}椎体向前移位，约{滑脱度}。]]\n"
        "余椎体未见明显骨折及骨质破坏征象。",
        "腰椎退行性变。\n[[{间隙}椎间隙变窄，建议必要时行MR检查。]]\n[[{滑脱椎体}椎体滑脱（{滑脱度}）。]]",
        _choice("曲度", "Lordosis", "存在", "变直", "反弓", usual="变直"),
        _choice("侧弯", "Scoliosis", "略向左侧弯", "略向右侧弯"),
        _choices("椎体", "Vertebrae", "L1", "L2", "L3", "L4", "L5"),
        _choices("间隙", "Narrow spaces", "L1/2", "L2/3", "L3/4", "L4/5", "L5/S1"),
        _choice("滑脱椎体", "Slipped vertebra", "L3", "L4", "L5"),
        _choice("滑脱度", "Degree of slip", "Ⅰ度", "Ⅱ度", "Ⅲ度", "Ⅳ度"),
    ),
    _normal(
        "膝关节MR平扫 未见异常",
        "Knee MR, plain, normal",
        "MR",
        "KNEE",
        "膝关节诸骨骨质信号未见明显异常，关节软骨光整。\n"
        "内、外侧半月板形态及信号未见明显异常。\n"
        "前、后交叉韧带及内、外侧副韧带连续，信号未见明显异常。\n"
        "髌上囊及关节腔未见明显积液。周围软组织未见明显异常信号。",
        "膝关节MR平扫未见明显异常。",
    ),
    _template(
        "膝关节MR 半月板及韧带损伤",
        "Knee MR, meniscus and ligament injury",
        "MR",
        "KNEE",
        "[[{半月板}见{信号}高信号影，{关节面}。]]\n"
        "[[{前交叉}。]]\n"
        "[[{骨挫伤}骨髓内见片状压脂高信号影。]]\n"
        "[[髌上囊及关节腔{积液}。]]\n"
        "后交叉韧带及内、外侧副韧带连续，信号未见明显异常。",
        "[[{侧别}膝{半月板}损伤（{分级}）。]]\n[[{侧别}膝{韧带诊断}。]]\n"
        "[[{侧别}膝{骨挫伤}骨髓水肿，考虑骨挫伤。]]\n[[{侧别}膝关节腔{积液}。]]",
        _side(),
        _choice(
            "半月板",
            "Meniscus",
            "内侧半月板前角",
            "内侧半月板后角",
            "内侧半月板体部",
            "外侧半月板前角",
            "外侧半月板后角",
        ),
        _choice("信号", "Signal", "点状", "线状", "片状", usual="线状"),
        _choice("关节面", "Surface", "未达关节面", "达关节面", usual="未达关节面"),
        _choice("分级", "Grade", "Ⅰ级", "Ⅱ级", "Ⅲ级"),
        _choice(
            "前交叉",
            "Anterior cruciate",
            "前交叉韧带连续，信号未见明显异常",
            "前交叉韧带增粗，信号增高",
            "前交叉韧带连续性中断",
        ),
        _choice("韧带诊断", "Ligament impression", "前交叉韧带损伤", "前交叉韧带断裂"),
        _choices("骨挫伤", "Bone bruise", "股骨外侧髁", "股骨内侧髁", "胫骨外侧平台", "胫骨内侧平台"),
        _choice("积液", "Effusion", "少量积液", "中等量积液", "大量积液"),
    ),
)

PHRASES: Final = (
    StarterPhrase("jh", "请结合临床", "请结合临床。"),
    StarterPhrase("fc", "定期复查", "建议{}个月后复查。"),
    StarterPhrase("bj", "与前片比较", "与{}片比较，病灶{}。"),
    StarterPhrase("zq", "建议增强", "建议行增强检查进一步明确。"),
    StarterPhrase("wz", "检查受限", "因{}，图像显示受限，请结合临床。"),
    StarterPhrase("xxz", "心影增大", "心影增大，心胸比约{}。", "DX", "CHEST"),
    StarterPhrase("fxy", "少许慢性炎症", "{}肺见少许条索影，考虑慢性炎症或陈旧性病变。", "", "CHEST"),
    StarterPhrase("lng", "腔隙灶", "{}见斑点状低密度影，考虑腔隙性脑梗死。", "CT", "HEAD"),
    StarterPhrase("gnz", "肝囊肿", "肝{}叶见类圆形无回声区，大小约{}mm，边界清，后方回声增强。", "US", "ABDOMEN"),
    StarterPhrase("snz", "肾囊肿", "{}肾见类圆形无回声区，大小约{}mm，边界清。", "US", "ABDOMEN"),
)

CRITICAL: Final = (
    StarterCritical("I01", "脑出血", "intracerebral haemorrhage", "CT", "急性脑出血"),
    StarterCritical("I02", "蛛网膜下腔出血", "subarachnoid haemorrhage", "CT"),
    StarterCritical("I03", "硬膜外血肿", "epidural haematoma", "CT"),
    StarterCritical("I04", "硬膜下血肿", "subdural haematoma", "CT", "急性硬膜下血肿"),
    StarterCritical("I05", "脑疝", "brain herniation"),
    StarterCritical("I06", "大面积脑梗死", "large cerebral infarction"),
    StarterCritical("I07", "张力性气胸", "tension pneumothorax"),
    StarterCritical("I08", "大量气胸", "large pneumothorax", "", "大量气胸，肺压缩超过50%"),
    StarterCritical("I09", "肺栓塞", "pulmonary embolism"),
    StarterCritical("I10", "主动脉夹层", "aortic dissection"),
    StarterCritical("I11", "主动脉瘤破裂", "ruptured aortic aneurysm"),
    StarterCritical("I12", "气管异物", "foreign body in the airway"),
    StarterCritical("I13", "膈下游离气体", "free air under the diaphragm", "", "膈下游离气体，提示消化道穿孔"),
    StarterCritical("I14", "消化道穿孔", "perforation of the gut"),
    StarterCritical("I15", "绞窄性肠梗阻", "strangulated bowel obstruction"),
    StarterCritical("I16", "急性出血坏死性胰腺炎", "acute haemorrhagic necrotising pancreatitis"),
    StarterCritical("I17", "肝破裂", "rupture of the liver"),
    StarterCritical("I18", "脾破裂", "rupture of the spleen"),
    StarterCritical("I19", "肾破裂", "rupture of the kidney"),
    StarterCritical("I20", "脊柱骨折伴脊髓受压", "spinal fracture with cord compression"),
    StarterCritical("I21", "心脏破裂", "rupture of the heart", "US"),
    StarterCritical("I22", "心包填塞", "cardiac tamponade", "", "大量心包积液合并心包填塞"),
    StarterCritical("I23", "异位妊娠破裂", "ruptured ectopic pregnancy", "US", "考虑异位妊娠破裂并腹腔内出血"),
    StarterCritical("I24", "胎盘早剥", "placental abruption", "US"),
    StarterCritical("I25", "睾丸扭转", "testicular torsion", "US"),
    StarterCritical("I26", "卵巢囊肿蒂扭转", "torsion of an ovarian cyst", "US"),
)
