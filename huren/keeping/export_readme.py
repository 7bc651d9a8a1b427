"""The README of a full export: every file and every column, in two languages.

It is read by whoever gets the data, perhaps years later and without Huren, so its texts stand here and not in the
catalogues of the pages. The module is long because it is one table.
"""

from __future__ import annotations

from typing import Final, Literal

from worklist.queries.exporting import TABLES

Language = Literal["en", "zh_CN"]

FILES: Final[dict[str, tuple[str, str]]] = {
    "register/NAME.csv": (
        "A table for a spreadsheet: UTF-8 with byte order mark, commas, one row a line (RFC 4180). A text that a "
        "spreadsheet would take for a formula has an apostrophe in front.",
        "供电子表格打开的表：UTF-8（带 BOM），逗号分隔，每行一条（RFC 4180）。会被当成公式的文字前加一个撇号。",
    ),
    "register/NAME.jsonl": (
        "The same rows exactly as they are, one JSON object a line, for programs.",
        "同样的记录，原样，每行一个 JSON 对象，供程序读取。",
    ),
    "dicom/CODE/PATIENT/STUDY/": (
        "The images of one study as a DICOM medium (PS3.10): DICOMDIR, and the objects that it names. Patient and "
        "study are those that the study was linked to. OTHERS holds objects that a DICOMDIR cannot name. index.csv "
        "says which file holds which SOP Instance UID. In the folder's name other characters are replaced by _.",
        "一次检查的影像，按 DICOM 介质（PS3.10）存放：DICOMDIR 及其列出的对象；患者信息以关联后的为准。"
        "OTHERS 中是无法列入 DICOMDIR 的对象。index.csv 说明每个 SOP Instance UID 在哪个文件。"
        "文件夹名中的特殊字符以 _ 代替。",
    ),
    "reports/CODE/ACCESSION-READING/vN.json": (
        "Version N of a report, as it was signed: canonical JSON (sorted keys, UTF-8), the bytes that were hashed.",
        "报告第 N 版，签发时的规范化 JSON（键排序，UTF-8），即计算摘要的原始字节。",
    ),
    "reports/CODE/ACCESSION-READING/vN.pdf": (
        "The same as a sealed PDF/A (PAdES). Check it with any PDF reader, or with: huren verify --keys.",
        "同一版本的签章 PDF/A（PAdES）。可用任何 PDF 阅读器或 huren verify --keys 验证。",
    ),
    "reports/CODE/ACCESSION-READING/vN.sr.dcm, vN.pdf.dcm": (
        "The same as a DICOM Structured Report and as an Encapsulated PDF; final versions only.",
        "同一版本的 DICOM 结构化报告和封装 PDF；仅正式版本有。",
    ),
    "originals/CODE/STUDY/SOP.*, originals/CODE/uploads/": (
        "Files that objects in dicom/ were made of, byte for byte: what carts wrote, under the object's SOP Instance "
        "UID, and pictures and papers that people handed in.",
        "dicom/ 中部分对象的原始文件：心电车写出的文件（以 SOP Instance UID 命名），以及人员上传的图片和文书。",
    ),
    "messages/YYYY-MM/SEQ.hl7": (
        "A message as it came or went, byte for byte; SEQ.answer.hl7 is what was answered. HL7 v2; with regional "
        "platforms a FHIR Bundle (JSON) or a WS/T 500 document (XML): register/messages says which kind.",
        "收到或发出的消息原始字节；SEQ.answer.hl7 为应答。一般为 HL7 v2；与区域平台之间为 FHIR Bundle（JSON）"
        "或 WS/T 500 文档（XML），类型见 register/messages。",
    ),
    "set-aside/ID/": (
        "Bytes that came in and could not be used; the reason is in register/set_aside.",
        "收到但无法使用的数据；原因见 register/set_aside。",
    ),
    "keys.json": (
        "Public keys of the seals (JSON Web Key Set), with which huren verify --keys checks everything in reports/.",
        "签章公钥（JSON Web Key Set）：huren verify --keys 用它核验 reports/ 中的全部文件。",
    ),
    "problems.csv": ("What could not be taken out, and why.", "未能导出的内容及原因。"),
    "manifest.jsonl": (
        "Path, size in bytes and SHA-256 of every other file, one a line. Written last: without it the export is not "
        "complete.",
        "其余每个文件的路径、字节数和 SHA-256，每行一个。最后写入：没有它即导出未完成。",
    ),
}

TABLES_SAID: Final[dict[str, tuple[str, str]]] = {
    "institutions": ("Members of the consortium.", "医共体成员单位。"),
    "people": ("Users; no passwords.", "用户；不含密码。"),
    "patients": ("One person as one institution knows them.", "患者：一个人在一家机构的记录。"),
    "patient_numbers": ("Numbers of patients, each with its issuer.", "患者编号及其发号机构。"),
    "patient_documents": ("Numbers of identity documents.", "证件号码。"),
    "orders": ("Requests, one row for each procedure.", "申请单，每个检查项目一行。"),
    "studies": ("Studies as they were received.", "收到的检查。"),
    "study_orders": ("Which orders a study serves.", "检查与申请单的对应。"),
    "objects": ("DICOM objects, also our own documents of reports.", "DICOM 对象，含本系统生成的报告文档。"),
    "readings": ("The work of making one report.", "诊断任务：一份报告的工作过程。"),
    "reading_orders": ("Which orders a reading covers.", "诊断任务与申请单的对应。"),
    "reports": ("Every version of every report.", "每份报告的每个版本。"),
    "report_documents": ("Documents of issued versions.", "已签发版本的文档。"),
    "register_of_versions": (
        "One row for each issued version, chained: digest = SHA-256 of the digest of the row before, a line feed, and "
        "said, in UTF-8. Check it with: huren verify --register register/register_of_versions.jsonl. With one "
        "institution alone the chain has gaps.",
        "每个已签发版本一行，首尾相链：digest = SHA-256（上一行的 digest + 换行符 + said，UTF-8）。可用 huren verify "
        "--register register/register_of_versions.jsonl 核验。只导出一家机构时链不连续。",
    ),
    "register_stamps": (
        "What a time stamping authority said of a digest of that chain (RFC 3161).",
        "时间戳机构对该链某一 digest 的时间戳（RFC 3161）。",
    ),
    "report_prints": ("Who printed a version.", "打印记录。"),
    "critical_results": ("Critical results and how they were answered.", "危急值及其处理过程。"),
    "outside_results": ("Results of other systems, as they were sent.", "外部系统发来的结果。"),
    "deliveries": ("Reports and order states on their way to hospital systems.", "向医院系统发送的报告与申请状态。"),
    "messages": ("HL7 messages; their bytes are in messages/.", "HL7 消息；原始字节在 messages/。"),
    "set_aside": ("What could not be used, and what became of it.", "搁置的内容及处理结果。"),
    "history": ("Every change of a state.", "所有状态变化。"),
    "audit": (
        "Who did or saw what, with the chain. digest = SHA-256 of the digest of the link before and the row as JSON "
        "(seq, at, actor, actor_id, action, thing, thing_id, institution_id, patient_id, address, why, detail; sorted "
        "keys, no spaces, UTF-8). With one institution alone the chain has gaps.",
        "审计记录及链。digest = SHA-256（前一环的 digest + 本行 JSON：seq、at、actor、actor_id、action、thing、"
        "thing_id、institution_id、patient_id、address、why、detail；键排序，无空格，UTF-8）。只导出一家机构时链不连续。",
    ),
    "recognition_rules": (
        "Every version of the rules of mutual recognition, whole. Before the first one the starter rules (0) counted.",
        "互认规则的每个版本，全文。第一个版本之前适用初始规则（版本号 0）。",
    ),
    "qualifications": ("Quality assessments that an institution passed.", "机构通过的质量评价。"),
    "recognitions": (
        "Existing results offered instead of a new examination, the verdict then, the answers, managers' questions "
        "about refusals and the replies.",
        "检查前推荐互认的已有结果、当时的判定、答复，以及管理者对不予互认的质询与回复。",
    ),
    "tariffs": ("What an examination costs in a region from a day on.", "各地区自某日起的检查价格。"),
    "reading_studies": ("Which studies a reading covers.", "诊断任务与检查的对应。"),
    "submissions": (
        "What a draft said each time it changed hands: submitted, sent back, signed.",
        "报告草稿每次转手时的内容：提交、退回、签发。",
    ),
    "case_returns": ("Cases that were returned to their township, and its answers.", "退回基层的病例及其答复。"),
    "late_images": ("Images that came after a version was issued.", "报告签发后才到达的影像。"),
    "reports_given": ("Reports that were handed to the patient or another.", "报告发放记录。"),
    "shares": ("Links that opened results to somebody without an account.", "对外分享结果的链接。"),
    "patient_merges": ("Rows of patients that were joined, and parted again.", "患者记录的合并、关联与撤销。"),
    "match_suggestions": ("Patients who may be one person, and what was decided.", "疑似同一人的提示及处理。"),
    "visits": ("Stays and visits as hospital systems tell them.", "医院系统发来的就诊。"),
    "break_glass": ("Emergency openings of patients, and auditors' judgements.", "紧急访问及审计评判。"),
    "uploads": ("What people handed in from a browser.", "网页上传。"),
    "upload_files": ("Each file of that, and what became of it.", "上传的每个文件及结果。"),
    "centers": ("Diagnostic centers.", "诊断中心。"),
    "roles": ("Who may do what.", "人员角色。"),
    "shifts": ("The rota.", "排班。"),
    "absences": ("When people are away.", "请假。"),
    "calendar_days": ("Days on which a center's hours differ from its week.", "诊断中心的特殊工作日与假日。"),
    "report_templates": ("Prepared reports of centers.", "报告模板。"),
    "phrases": ("Pieces of text of centers and people.", "常用短语。"),
    "critical_items": ("Lists of what counts as critical.", "危急值目录。"),
    "procedures": ("The catalogue.", "检查项目目录。"),
    "code_mappings": ("What senders' codes mean.", "发送方代码对照。"),
    "route_versions": ("Versions of the route rules.", "路由规则的版本。"),
    "routes": ("Route rules of each version.", "各版本的路由规则。"),
}

COLUMNS: Final[dict[str, tuple[str, str]]] = {
    "id": ("our own key of the row", "本系统内部编号"),
    "seq": ("number in the order of writing", "写入顺序号"),
    "code": ("code", "代码"),
    "name": ("name", "名称"),
    "level": ("village, township, county, city", "级别：村、乡镇、县、市"),
    "uscc": ("unified social credit code", "统一社会信用代码"),
    "parent": ("code of the institution above", "上级机构代码"),
    "timezone": ("IANA time zone", "时区"),
    "phone": ("telephone", "电话"),
    "address": ("address", "地址"),
    "login": ("login name", "登录名"),
    "institution": ("code of the institution", "机构代码"),
    "enabled": ("in use; of people: whether they may sign in", "是否启用"),
    "created_at": ("made at", "建立时间"),
    "person_id": ("rows with the same value are one person", "相同值为同一个人"),
    "merged_into_id": ("the patient that this one was merged into", "合并到的患者"),
    "name_alphabetic": ("name in Latin letters", "拼音姓名"),
    "sex": ("F, M, O or empty", "性别：F、M、O 或空"),
    "birth_date": ("birth date, YYYYMMDD", "出生日期 YYYYMMDD"),
    "is_alias": ("an unknown patient's alias", "是否为无名氏"),
    "patient_id": ("key in patients", "患者（patients.id）"),
    "issuer": ("who issued the number", "发号方"),
    "value": ("the number", "编号"),
    "kind": ("kind", "类型"),
    "country": ("country", "国家"),
    "number": ("number", "编号或序号"),
    "state": ("state", "状态"),
    "placer_issuer": ("who issued the placer number", "申请方编号的发号方"),
    "placer_number": ("the sender's number of the order", "申请方编号"),
    "accession_number": ("accession number", "检查号（Accession Number）"),
    "study_instance_uid": ("Study Instance UID", "Study Instance UID"),
    "patient_value": ("patient's number as the order named it", "申请单上的患者编号"),
    "patient_issuer": ("issuer of that number", "该编号的发号方"),
    "procedure_code": ("code of the procedure as sent", "检查项目代码（原样）"),
    "procedure_text": ("its words as sent", "检查项目名称（原样）"),
    "priority": ("STAT, URGENT, ROUTINE", "优先级"),
    "clinical_information": ("clinical information", "临床信息"),
    "reason": ("reason", "原因"),
    "ordering_doctor": ("ordering doctor", "申请医生"),
    "laterality": ("side", "侧别"),
    "patient_class": ("HL7 table 0004: outpatient, inpatient …", "患者类别（HL7 表 0004）"),
    "visit_number": ("visit number", "就诊号"),
    "location": ("ward or place", "病区或位置"),
    "scheduled_date": ("planned date, YYYYMMDD local", "预约日期（当地）"),
    "scheduled_time": ("planned time, HHMMSS local", "预约时间（当地）"),
    "placed_at": ("placed at", "申请时间"),
    "link": ("how it was matched with an order", "与申请单的匹配方式"),
    "arrival": ("arriving, complete", "到达状态"),
    "coerced": ("the patient in the images was corrected", "影像中的患者信息是否已更正"),
    "sent_patient_id": ("Patient ID as sent", "影像中原来的患者编号"),
    "sent_issuer": ("its issuer as sent", "其发号方"),
    "sent_name": ("name as sent", "影像中原来的姓名"),
    "modality": ("modality", "设备类型"),
    "body_part": ("body part", "部位"),
    "description": ("description", "描述"),
    "study_date": ("date as in the images, YYYYMMDD", "检查日期（影像中）"),
    "study_time": ("time as in the images", "检查时间（影像中）"),
    "instances": ("number of objects", "对象数"),
    "first_at": ("first object received at", "首个对象到达时间"),
    "last_at": ("last object received at", "最后对象到达时间"),
    "study_id": ("key in studies", "检查（studies.id）"),
    "order_id": ("key in orders", "申请单（orders.id）"),
    "by": ("by whom", "操作人"),
    "at": ("at", "时间"),
    "series_instance_uid": ("Series Instance UID", "Series Instance UID"),
    "sop_instance_uid": ("SOP Instance UID", "SOP Instance UID"),
    "sop_class_uid": ("SOP Class UID", "SOP Class UID"),
    "transfer_syntax_uid": ("Transfer Syntax UID", "Transfer Syntax UID"),
    "frames": ("number of frames", "帧数"),
    "size": ("bytes of the file as it was received", "收到时的文件字节数"),
    "sha256": (
        "SHA-256 of the file as received; in dicom/ it differs where the patient was corrected",
        "收到时文件的 SHA-256；患者信息更正后 dicom/ 中的文件与之不同",
    ),
    "said": ("what the row says of the version, as JSON", "该版本的登记内容（JSON）"),
    "previous": ("digest of the row before", "上一行的 digest"),
    "stamped_at": ("time of the time stamp", "时间戳时间"),
    "token": ("TimeStampToken, DER in base64", "TimeStampToken（DER，base64）"),
    "version_id": ("key in reports", "报告版本（reports.id）"),
    "received_at": ("received at", "接收时间"),
    "center_id": ("key in centers; of a reading: who read it", "诊断中心（centers.id）"),
    "ready_at": ("ready to be read at", "可诊断时间"),
    "signed_at": ("signed at", "签发时间"),
    "turnaround_minutes": ("minutes from ready to signed", "从可诊断到签发的分钟数"),
    "image_grade": ("image quality: A, B, C, rejected", "影像质量：甲、乙、丙、废片"),
    "reading_id": ("key in readings", "诊断任务（readings.id）"),
    "status": ("as issued: preliminary, final, corrected …", "签发状态"),
    "writer": ("who wrote it", "书写医师"),
    "signer": ("who signed it", "签发医师"),
    "findings": ("findings", "影像所见"),
    "impression": ("impression", "诊断意见"),
    "critical": ("critical result named in it", "危急值"),
    "document_sha256": ("SHA-256 of vN.json", "vN.json 的 SHA-256"),
    "verification_code": ("code printed for verification", "验证码"),
    "marked": ("watermark", "水印"),
    "words": ("words", "内容"),
    "is_drill": ("an exercise", "是否演练"),
    "marked_by": ("who marked it", "标记人"),
    "marked_at": ("marked at", "标记时间"),
    "notified_at": ("announced at", "通知时间"),
    "answered_by": ("who answered", "应答人"),
    "answered_at": ("answered at", "应答时间"),
    "read_back": ("what was read back", "复述内容"),
    "answer_way": ("page, telephone", "应答方式"),
    "disposition": ("what was done", "处置"),
    "closed_at": ("closed at", "结束时间"),
    "observed_at": ("time of observation as sent", "检查时间（原样）"),
    "reported_at": ("time of the report as sent", "报告时间（原样）"),
    "author": ("author as sent", "报告人（原样）"),
    "lines": ("its lines, as JSON", "各行内容（JSON）"),
    "made_by": ("who made a result of another region, as JSON", "其他区域结果的来源（JSON）"),
    "outside_result": ("result of another region that was offered", "被推荐的其他区域结果"),
    "superseded_by_id": ("the row that replaced it", "替代它的记录"),
    "item": ("item of the rules of recognition", "互认项目"),
    "serves": ("how far it serves: images, report", "互认范围：影像、报告"),
    "taken_at": ("examined at", "检查时间"),
    "serves_until": ("until when it serves", "互认有效期至"),
    "offered_at": ("offered at", "推荐时间"),
    "adopted": ("what was adopted: images, report", "采用内容：影像、报告"),
    "refusal": ("code of the reason for a new examination", "不予互认原因代码"),
    "refusal_words": ("reason in words", "不予互认说明"),
    "patient_told": ("whether the patient was told", "是否告知患者"),
    "challenge": ("what a manager asked about the refusal", "管理者质询内容"),
    "challenged_at": ("asked at", "质询时间"),
    "reply": ("the reply to that", "质询答复"),
    "replied_at": ("replied at", "答复时间"),
    "endpoint": ("where it goes", "接收方"),
    "control_id": ("MSH-10", "消息控制号（MSH-10）"),
    "attempts": ("tries", "尝试次数"),
    "acknowledged_at": ("acknowledged at", "确认时间"),
    "direction": ("in, out", "方向"),
    "device": ("the sending device", "发送设备"),
    "sending_application": ("MSH-3", "发送应用（MSH-3）"),
    "sending_facility": ("MSH-4", "发送机构（MSH-4）"),
    "outcome": ("what became of it", "处理结果"),
    "answer_code": ("AA, AE, AR …", "应答代码"),
    "delivery_id": ("key in deliveries", "发送任务（deliveries.id）"),
    "message_id": ("key in messages", "消息（messages.id）"),
    "params": ("details, as JSON", "细节（JSON）"),
    "store_keys": ("names of its files in set-aside/, as JSON", "在 set-aside/ 中的文件（JSON）"),
    "machine": ("which kind of thing changed", "对象类型"),
    "thing_id": ("its key", "对象编号"),
    "source": ("state before", "变化前状态"),
    "verb": ("what was done", "动作"),
    "target": ("state after", "变化后状态"),
    "actor": ("by whom", "操作人"),
    "actor_id": ("their key in people", "操作人（people.id）"),
    "why": ("why", "原因"),
    "action": ("what was done or seen", "行为"),
    "thing": ("kind of thing", "对象类型"),
    "institution_id": ("key in institutions", "机构（institutions.id）"),
    "detail": ("details, as JSON", "细节（JSON）"),
    "link ": ("number of the link of the chain", "链环序号"),
    "digest": ("the link's digest", "链环摘要"),
    "rules_number": ("version of the rules that judged it; 0: the starter rules", "判定所用规则版本；0 为初始规则"),
    "effective_from": ("counts from", "生效时间"),
    "rules": ("the rules, as JSON", "规则全文（JSON）"),
    "note": ("remark", "备注"),
    "made_by ": ("who made it", "建立人"),
    "made_at": ("made at", "建立时间"),
    "mark": ("mark as it is printed: 全国HR, 鄂HR", "互认标识：全国HR、鄂HR 等"),
    "region": (
        "where it counts: the beginning of a GB/T 2260 code; empty: everywhere",
        "适用地区：行政区划代码（GB/T 2260）的开头；空为全部",
    ),
    "valid_from": ("first day, YYYYMMDD", "开始日期 YYYYMMDD"),
    "valid_to": ("last day, YYYYMMDD; empty: none", "结束日期 YYYYMMDD；空为长期"),
    "changed_by": ("who changed it last", "最后修改人"),
    "changed_at": ("last changed at", "最后修改时间"),
    "procedure": ("code in procedures", "检查项目（procedures.code）"),
    "result_order_id": ("order of the result that was offered (orders.id)", "被推荐结果的申请单（orders.id）"),
    "result_institution": ("code of the institution that it was made for", "被推荐结果的机构代码"),
    "duty": ("must or may be recognised", "应当或可以互认"),
    "marks": ("its marks of recognition, as JSON", "互认标识（JSON）"),
    "because": ("steps of the verdict, as JSON", "判定依据（JSON）"),
    "shift_duty": ("reading, review, first call, second call", "诊断、审核、一线、二线"),
    "offered_to": ("who was asked", "被推荐人"),
    "challenged_by": ("who asked about the refusal", "质询人"),
    "replied_by": ("who replied", "答复人"),
    "examination_fen": ("the examination without the reading, in fen", "检查费（分），不含诊断"),
    "reading_fen": ("the reading, in fen", "诊断费（分）"),
    "revision": ("how often it had been written", "修改次数"),
    "measurements": ("numbers of an ECG, as JSON", "心电测量值（JSON）"),
    "remark": ("remark", "意见"),
    "faults": ("what the system itself found, as JSON", "系统发现的问题（JSON）"),
    "answer": ("the answer", "答复"),
    "settled_at": ("decided at", "处理时间"),
    "settled_by": ("who decided", "处理人"),
    "to": ("to whom; empty: the patient", "交给谁；空为患者本人"),
    "holder": ("for whom; empty: the patient", "分享对象；空为患者本人"),
    "until": ("until", "截止时间"),
    "ended_at": ("closed at", "关闭时间"),
    "survivor_id": ("the patient that stays (patients.id)", "保留的患者（patients.id）"),
    "retired_id": ("the other one (patients.id)", "被合并的患者（patients.id）"),
    "undone_at": ("undone at", "撤销时间"),
    "undone_by": ("who undid it", "撤销人"),
    "undone_why": ("why it was undone", "撤销原因"),
    "first_id": ("one of the two (patients.id)", "患者一（patients.id）"),
    "second_id": ("the other one (patients.id)", "患者二（patients.id）"),
    "reasons": ("what agrees and what does not, as JSON", "相符与不符之处（JSON）"),
    "doctor": ("doctor", "医生"),
    "visit_closed_at": ("ended, as sent (HL7 TS)", "结束时间（原样）"),
    "opened_at": ("began, as sent (HL7 TS)", "开始时间（原样）"),
    "person": ("login name in people", "人员（people.login）"),
    "judged_by": ("who judged it", "评判人"),
    "judged_at": ("judged at", "评判时间"),
    "judgement": ("justified or not", "是否正当"),
    "origin": ("own equipment, other hospital", "来源：本院设备、外院"),
    "examined_at": ("examined at, as the person says", "检查时间（由上传人填写）"),
    "finished_at": ("finished at", "完成时间"),
    "upload_id": ("key in uploads", "上传（uploads.id）"),
    "place": ("in this order", "顺序"),
    "discipline": ("imaging, ecg, laboratory, pathology", "专业"),
    "name_en": ("English name", "英文名称"),
    "working_hours": (
        "hours of each day, Monday first, as JSON; empty: round the clock",
        "每周工作时间（JSON）；空为全天",
    ),
    "role": ("role", "角色"),
    "starts_at": ("begins at", "开始时间"),
    "ends_at": ("ends at", "结束时间"),
    "date": ("day, YYYYMMDD local", "日期（当地）"),
    "hours": ("its hours, as JSON; empty: closed", "工作时间（JSON）；空为休息"),
    "shortcut": ("letters that bring it", "快捷码"),
    "is_normal": ("taken for nothing found", "是否为未见异常模板"),
    "fields": ("fields to fill in, as JSON", "填写项（JSON）"),
    "title": ("title", "标题"),
    "field": ("where it goes: findings, impression; empty: anywhere", "用于所见或诊断；空为任意"),
    "tier": ("critical, major", "级别"),
    "measurement": ("number of a device that makes one suspect it", "用于提示的设备测量值"),
    "below": ("suspected below", "低于此值提示"),
    "from_on": ("suspected from", "达到此值提示"),
    "limits": ("minutes until a report is due, by priority, as JSON", "报告时限（分钟，按优先级，JSON）"),
    "table_id": ("key in route_versions", "规则版本（route_versions.id）"),
    "conditions": ("which cases it takes, as JSON", "适用条件（JSON）"),
    "group_id": ("the reader group", "阅片组"),
}
"""What each column means, by its name; one name means one thing in every table, but for those in `OTHERWISE`."""

OTHERWISE: Final[dict[tuple[str, str], str]] = {
    ("audit", "link"): "link ",
    **{
        (table, "made_by"): "made_by "
        for table in (
            "recognition_rules",
            "shares",
            "shifts",
            "absences",
            "code_mappings",
            "route_versions",
        )
    },
    ("visits", "closed_at"): "visit_closed_at",
    ("shifts", "duty"): "shift_duty",
}

LEFT_OUT: Final[tuple[tuple[tuple[str, ...], tuple[str, str]], ...]] = (
    (
        ("web_session", "sign_in_failure", "api_token"),
        ("Ways in: sessions, tokens, failed sign-ins.", "登录凭据：会话、令牌、登录失败。"),
    ),
    (
        ("saved_view", "user_setting", "notice_wish"),
        ("What people set for themselves on the pages.", "个人的页面设置。"),
    ),
    (
        ("notice", "notice_sending"),
        ("News that was shown or sent: what it was about is in the register.", "通知：其内容均在登记表中。"),
    ),
    (
        (
            *("device", "device_address", "device_certificate", "device_institution", "endpoint", "notice_channel"),
            *("reader_group", "user_group", "on_duty", "archive"),
        ),
        (
            "How this installation was set up: devices, connections, groups, who is called. Names of devices and "
            "endpoints stand beside what they sent and got; every change is in audit.",
            "本系统的配置：设备、连接、分组、值守名单。设备与端点名称见相应记录；每次更改见 audit。",
        ),
    ),
    (
        ("series", "original", "audit_seal"),
        ("Parts of objects, of originals/ and of audit.", "已包含在 objects、originals/ 和 audit 中。"),
    ),
    (
        (
            *("outbox", "counter", "installation", "order_once", "partial_file", "commitment", "refused_caller"),
            *("procedure_step", "procedure_step_study", "archival", "archive_copy", "released_object"),
        ),
        (
            "How work was kept going: jobs, counters, half files, what devices reported of themselves, copies in an "
            "archive. What came of it is in the register.",
            "运行过程：作业、计数、未传完的文件、设备自报的步骤、归档副本。其结果均在登记表中。",
        ),
    ),
)
"""Tables that are not taken out, and why; a test holds that every table is here or in the register."""


def readme(language: Language) -> str:
    """The whole text."""
    which = 0 if language == "en" else 1
    lines = [*HEAD[which], ""]
    for path, said in FILES.items():
        lines += [path, f"    {said[which]}", ""]
    lines += [REGISTER[which], ""]
    for table in TABLES:
        lines += [f"register/{table.name}.csv, .jsonl", f"    {TABLES_SAID[table.name][which]}"]
        for column in table.columns:
            lines.append(f"    {column:22} {COLUMNS[OTHERWISE.get((table.name, column), column)][which]}")
        lines.append("")
    lines += [NOT_IN_IT[which], ""]
    for tables, said in LEFT_OUT:
        lines += [", ".join(tables), f"    {said[which]}"]
    return "\n".join(lines)


HEAD: Final = (
    (
        "Full export of Huren",
        "",
        "All times are UTC in ISO 8601 unless a column says otherwise. Everything is in open formats: CSV, JSON,",
        "DICOM, PDF, HL7 v2. It holds the data of patients: guard it. What was changed while the export ran may be in",
        "it or not; at the end of a contract stop the doors first. Passwords, tokens and keys are not in it.",
    ),
    (
        "互认系统全量导出",
        "",
        "除另有说明外，时间均为 UTC（ISO 8601）。全部为开放格式：CSV、JSON、DICOM、PDF、HL7 v2。",
        "内含患者数据，请妥善保管。导出过程中发生的变更可能未包含；合同终止时请先停止各接口。不含密码、令牌和密钥。",
    ),
)
REGISTER: Final = ("The register", "登记表")
NOT_IN_IT: Final = ("Tables of the database that are not in it, and why", "未导出的数据表及原因")
