"""What of people's work stands beside the care of patients in the export's register: recognition and its rules, drafts
and reviews, returns, merges, handing out, rota, catalogue, routes, and the words that centers write with.

Long because it is one list, as `exporting`. What is the whole consortium's (rules, tariffs, catalogue, routes) goes
with each institution.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import or_, select, true
from sqlalchemy.orm import aliased

from worklist.queries.exporting_scope import (
    Table,
    centers_of,
    orders_of,
    patients_of,
    readings_of,
    versions_of,
)
from worklist.tables import (
    Absence,
    BreakGlass,
    CalendarDay,
    CaseReturn,
    Center,
    CodeMapping,
    CriticalItem,
    Device,
    DeviceInstitution,
    Institution,
    LateImages,
    MatchSuggestion,
    PatientMerge,
    Phrase,
    Procedure,
    Qualification,
    Reading,
    ReadingStudy,
    Recognition,
    RecognitionRules,
    ReportGiven,
    ReportTemplate,
    ReportVersion,
    Route,
    RouteTable,
    Share,
    Shift,
    Submission,
    Tariff,
    Upload,
    UploadFile,
    User,
    UserRole,
    Visit,
)

_HOME: Final = Institution.code.label("institution")
_MADE_AT: Final = aliased(Institution)  # where the offered result was made
_ANSWERED: Final = aliased(User)
_PROCEDURE: Final = Procedure.code.label("procedure")
_BY: Final = User.name.label("by")
_PERSON: Final = User.login.label("person")

_OF_RECOGNITION: Final = (
    Table(
        "recognition_rules",
        select(
            RecognitionRules.number,
            RecognitionRules.effective_from,
            RecognitionRules.rules,
            RecognitionRules.note,
            RecognitionRules.made_by,
            RecognitionRules.made_at,
        ),
        RecognitionRules.number,
        lambda _id: true(),
    ),
    Table(
        "qualifications",
        select(
            _HOME,
            Qualification.item,
            Qualification.mark,
            Qualification.region,
            Qualification.valid_from,
            Qualification.valid_to,
            Qualification.note,
            Qualification.changed_by,
            Qualification.changed_at,
        ).join(Institution, Institution.id == Qualification.institution_id),
        Qualification.id,
        lambda id: Qualification.institution_id == id,
    ),
    Table(
        "recognitions",
        select(
            Recognition.id,
            _HOME,
            Recognition.patient_id,
            _PROCEDURE,
            Recognition.laterality,
            Recognition.order_id,
            Recognition.reading_id,
            Recognition.result_order_id,
            _MADE_AT.code.label("result_institution"),
            Recognition.outside_id.label("outside_result"),
            Recognition.state,
            Recognition.rules_number,
            Recognition.item,
            Recognition.outcome.label("serves"),
            Recognition.duty,
            Recognition.marks,
            Recognition.because,
            Recognition.taken_at,
            Recognition.until.label("serves_until"),
            User.name.label("offered_to"),
            Recognition.offered_at,
            Recognition.adopted,
            Recognition.reason.label("refusal"),
            Recognition.words.label("refusal_words"),
            Recognition.patient_told,
            _ANSWERED.name.label("answered_by"),
            Recognition.answered_at,
            Recognition.challenge,
            Recognition.challenged_by,
            Recognition.challenged_at,
            Recognition.reply,
            Recognition.replied_by,
            Recognition.replied_at,
        )
        .join(Institution, Institution.id == Recognition.institution_id)
        .join(Procedure, Procedure.id == Recognition.procedure_id)
        .join(User, User.id == Recognition.offered_to_id)
        .outerjoin(_ANSWERED, _ANSWERED.id == Recognition.answered_by_id)
        .outerjoin(_MADE_AT, _MADE_AT.id == Recognition.result_institution_id),
        Recognition.id,
        lambda id: Recognition.institution_id == id,
    ),
    Table(
        "tariffs",
        select(
            _PROCEDURE,
            Tariff.region,
            Tariff.valid_from,
            Tariff.examination.label("examination_fen"),
            Tariff.reading.label("reading_fen"),
            Tariff.changed_by,
            Tariff.changed_at,
        ).join(Procedure, Procedure.id == Tariff.procedure_id),
        Tariff.id,
        lambda _id: true(),
    ),
)

_OF_READING: Final = (
    Table(
        "reading_studies",
        select(ReadingStudy.reading_id, ReadingStudy.study_id),
        ReadingStudy.reading_id + "/" + ReadingStudy.study_id,
        lambda id: ReadingStudy.reading_id.in_(readings_of(id)),
    ),
    Table(
        "submissions",
        select(
            Submission.id,
            Submission.version_id,
            Submission.verb,
            _BY,
            Submission.at,
            Submission.revision,
            Submission.findings,
            Submission.impression,
            Submission.critical,
            Submission.measurements,
            Submission.remark,
        ).join(User, User.id == Submission.by_id),
        Submission.id,
        # What readers of a center wrote and reviewed among themselves is the center's own.
        lambda id: Submission.version_id.in_(
            select(ReportVersion.id)
            .join(Reading, Reading.id == ReportVersion.reading_id)
            .where(Reading.center_id.in_(centers_of(id)))
        ),
    ),
    Table(
        "case_returns",
        select(
            CaseReturn.id,
            CaseReturn.reading_id,
            _HOME,
            CaseReturn.center_id,
            CaseReturn.reason,
            CaseReturn.words,
            CaseReturn.faults,
            _BY,
            CaseReturn.at,
            CaseReturn.answer,
            CaseReturn.answered_by,
            CaseReturn.answered_at,
        )
        .join(Institution, Institution.id == CaseReturn.institution_id)
        .outerjoin(User, User.id == CaseReturn.by_id),
        CaseReturn.id,
        lambda id: CaseReturn.institution_id == id,
    ),
    Table(
        "late_images",
        select(
            LateImages.id,
            LateImages.state,
            LateImages.reading_id,
            LateImages.study_id,
            LateImages.version_id,
            LateImages.at,
            LateImages.settled_at,
        ),
        LateImages.id,
        lambda id: LateImages.reading_id.in_(readings_of(id)),
    ),
    Table(
        "reports_given",
        select(ReportGiven.version_id, _BY, ReportGiven.at, ReportGiven.to).join(User, User.id == ReportGiven.by_id),
        ReportGiven.id,
        lambda id: ReportGiven.version_id.in_(versions_of(id)),
    ),
    Table(
        "shares",
        select(
            Share.id,
            Share.order_id,
            User.name.label("made_by"),
            Share.holder,
            Share.made_at,
            Share.until,
            Share.ended_at,
        ).outerjoin(User, User.id == Share.made_by_id),
        Share.id,
        lambda id: Share.order_id.in_(orders_of(id)),
    ),
)

_OF_PATIENTS: Final = (
    Table(
        "patient_merges",
        select(
            PatientMerge.id,
            PatientMerge.state,
            PatientMerge.kind,
            PatientMerge.survivor_id,
            PatientMerge.retired_id,
            PatientMerge.message_id,
            PatientMerge.by,
            PatientMerge.why,
            PatientMerge.at,
            PatientMerge.undone_at,
            PatientMerge.undone_by,
            PatientMerge.undone_why,
        ),
        PatientMerge.id,
        lambda id: or_(PatientMerge.survivor_id.in_(patients_of(id)), PatientMerge.retired_id.in_(patients_of(id))),
    ),
    Table(
        "match_suggestions",
        select(
            MatchSuggestion.id,
            MatchSuggestion.state,
            MatchSuggestion.first_id,
            MatchSuggestion.second_id,
            MatchSuggestion.reasons,
            MatchSuggestion.at,
            MatchSuggestion.settled_at,
            MatchSuggestion.settled_by,
            MatchSuggestion.why,
        ),
        MatchSuggestion.id,
        lambda id: or_(MatchSuggestion.first_id.in_(patients_of(id)), MatchSuggestion.second_id.in_(patients_of(id))),
    ),
    Table(
        "visits",
        select(
            Visit.id,
            Visit.state,
            _HOME,
            Visit.patient_id,
            Visit.number.label("visit_number"),
            Visit.patient_class,
            Visit.location,
            Visit.doctor,
            Visit.opened_at,
            Visit.closed_at,
        ).join(Institution, Institution.id == Visit.institution_id),
        Visit.id,
        lambda id: Visit.institution_id == id,
    ),
    Table(
        "break_glass",
        select(
            BreakGlass.id,
            _PERSON,
            BreakGlass.patient_id,
            BreakGlass.reason,
            BreakGlass.at,
            BreakGlass.until,
            BreakGlass.judged_by,
            BreakGlass.judged_at,
            BreakGlass.judgement,
            BreakGlass.remark,
        ).join(User, User.id == BreakGlass.user_id),
        BreakGlass.id,
        lambda id: or_(BreakGlass.patient_id.in_(patients_of(id)), User.institution_id == id),
    ),
    Table(
        "uploads",
        select(
            Upload.id,
            _BY,
            _HOME,
            Upload.origin,
            Upload.note,
            Upload.order_id,
            Upload.examined_at,
            Upload.at,
            Upload.finished_at,
        )
        .join(User, User.id == Upload.by_id)
        .join(Institution, Institution.id == Upload.institution_id),
        Upload.id,
        lambda id: Upload.institution_id == id,
    ),
    Table(
        "upload_files",
        select(
            UploadFile.id,
            UploadFile.upload_id,
            UploadFile.place,
            UploadFile.name,
            UploadFile.size,
            UploadFile.outcome,
            UploadFile.reason,
            UploadFile.study_id,
            UploadFile.sop_instance_uid,
            UploadFile.at,
        ),
        UploadFile.id,
        lambda id: UploadFile.upload_id.in_(select(Upload.id).where(Upload.institution_id == id)),
    ),
)

_OF_CENTERS: Final = (
    Table(
        "centers",
        select(Center.id, _HOME, Center.discipline, Center.name, Center.name_en, Center.working_hours).join(
            Institution, Institution.id == Center.institution_id
        ),
        Center.id,
        lambda id: Center.institution_id == id,
    ),
    Table(
        "roles",
        select(_PERSON, UserRole.role, UserRole.center_id).join(User, User.id == UserRole.user_id),
        UserRole.user_id + "/" + UserRole.role + "/" + UserRole.center_id,
        lambda id: User.institution_id == id,
    ),
    Table(
        "shifts",
        select(Shift.center_id, _PERSON, Shift.duty, Shift.starts_at, Shift.ends_at, Shift.note, Shift.made_by).join(
            User, User.id == Shift.user_id
        ),
        Shift.id,
        lambda id: Shift.center_id.in_(centers_of(id)),
    ),
    Table(
        "absences",
        select(_PERSON, Absence.starts_at, Absence.ends_at, Absence.note, Absence.made_by).join(
            User, User.id == Absence.user_id
        ),
        Absence.id,
        lambda id: User.institution_id == id,
    ),
    Table(
        "calendar_days",
        select(CalendarDay.center_id, CalendarDay.date, CalendarDay.hours, CalendarDay.note),
        CalendarDay.center_id + "/" + CalendarDay.date,
        lambda id: CalendarDay.center_id.in_(centers_of(id)),
    ),
    Table(
        "report_templates",
        select(
            ReportTemplate.id,
            ReportTemplate.center_id,
            ReportTemplate.name,
            ReportTemplate.name_en,
            ReportTemplate.shortcut,
            _PROCEDURE,
            ReportTemplate.modality,
            ReportTemplate.body_part,
            ReportTemplate.sex,
            ReportTemplate.is_normal,
            ReportTemplate.fields,
            ReportTemplate.findings,
            ReportTemplate.impression,
            ReportTemplate.place,
            ReportTemplate.enabled,
            ReportTemplate.changed_by,
            ReportTemplate.changed_at,
        ).outerjoin(Procedure, Procedure.id == ReportTemplate.procedure_id),
        ReportTemplate.id,
        lambda id: ReportTemplate.center_id.in_(centers_of(id)),
    ),
    Table(
        "phrases",
        select(
            Phrase.id,
            Phrase.center_id,
            _PERSON,
            Phrase.shortcut,
            Phrase.title,
            Phrase.words,
            Phrase.field,
            Phrase.modality,
            Phrase.body_part,
            Phrase.changed_at,
        ).outerjoin(User, User.id == Phrase.user_id),
        Phrase.id,
        lambda id: Phrase.center_id.in_(centers_of(id)),
    ),
    Table(
        "critical_items",
        select(
            CriticalItem.id,
            CriticalItem.center_id,
            CriticalItem.code,
            CriticalItem.name,
            CriticalItem.name_en,
            CriticalItem.modality,
            CriticalItem.words,
            CriticalItem.tier,
            CriticalItem.measurement,
            CriticalItem.below,
            CriticalItem.from_on,
            CriticalItem.place,
            CriticalItem.enabled,
        ),
        CriticalItem.id,
        lambda id: CriticalItem.center_id.in_(centers_of(id)),
    ),
    Table(
        "procedures",
        select(
            Procedure.code,
            Procedure.name,
            Procedure.name_en,
            Procedure.discipline,
            Procedure.modality,
            Procedure.body_part,
            Procedure.limits,
            Procedure.enabled,
        ),
        Procedure.id,
        lambda _id: true(),
    ),
    Table(
        "code_mappings",
        select(Device.name.label("device"), CodeMapping.code, _PROCEDURE, CodeMapping.made_by, CodeMapping.made_at)
        .join(Device, Device.id == CodeMapping.device_id)
        .join(Procedure, Procedure.id == CodeMapping.procedure_id),
        CodeMapping.device_id + "/" + CodeMapping.code,
        lambda id: CodeMapping.device_id.in_(
            select(DeviceInstitution.device_id).where(DeviceInstitution.institution_id == id)
        ),
    ),
    Table(
        "route_versions",
        select(RouteTable.id, RouteTable.number, RouteTable.note, RouteTable.made_by, RouteTable.made_at),
        RouteTable.number,
        lambda _id: true(),
    ),
    Table(
        "routes",
        select(
            Route.id,
            Route.table_id,
            Route.place,
            Route.name,
            Route.conditions,
            Route.center_id,
            Route.group_id,
            Route.enabled,
        ),
        Route.id,
        lambda _id: true(),
    ),
)

WORK: Final = (*_OF_RECOGNITION, *_OF_READING, *_OF_PATIENTS, *_OF_CENTERS)
