"""The words that people read: translations, error texts and labels.

Texts in the code are English msgids; `locale/zh_CN/LC_MESSAGES/messages.po` holds the Chinese. ``N_`` marks a msgid
that is translated later, where the language is known.
"""

from __future__ import annotations

import gettext
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from fastapi import Request

from worklist.errors import HurenError
from worklist.people import Actor

LANGUAGES: Final = {"zh_CN": "中文", "en": "English"}
DEFAULT_LANGUAGE: Final = "zh_CN"
LANGUAGE_COOKIE: Final = "huren_language"
LOCALE: Final = Path(__file__).parent / "locale"

Translate = Callable[[str], str]


def N_(msgid: str) -> str:
    """Mark `msgid` for the catalogue."""
    return msgid


class Words:
    """Translator into one language: ``words("Sign in")``; `language` is a key of `LANGUAGES`."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else DEFAULT_LANGUAGE
        self._catalogue = _catalogue(self.language)

    def __call__(self, msgid: str) -> str:
        """The text in this language."""
        return self._catalogue.gettext(msgid) if msgid else ""

    def plural(self, one: str, many: str, count: int) -> str:
        """The text for `count` things; write the number in with ``%``."""
        return self._catalogue.ngettext(one, many, count)

    @property
    def tag(self) -> str:
        """For the ``lang`` attribute of a page (BCP 47)."""
        return "zh-CN" if self.language == "zh_CN" else self.language


def language_of(request: Request, actor: Actor | None) -> str:
    """The language to answer in: ``?lang=``, else the person's own, else the browser's, else Chinese."""
    asked = request.query_params.get("lang", "")
    if asked in LANGUAGES:
        return asked
    if actor is not None and actor.language in LANGUAGES:
        return actor.language
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    return _accepted(request.headers.get("Accept-Language", ""))


def error_text(code: str, params: Mapping[str, object], _: Translate) -> str:
    """What an error says to a person. A code without words of its own is shown as it is."""
    msgid = ERRORS.get(code)
    if msgid is None:
        return _("This cannot be done ({code}).").format(code=code)
    try:
        return _(msgid).format_map({name: str(value) for name, value in params.items()})
    except (KeyError, IndexError, ValueError):
        return _(msgid)


def text_of(error: HurenError, _: Translate) -> str:
    """`error_text` of an error."""
    return error_text(error.code, error.params, _)


@lru_cache
def _catalogue(language: str) -> gettext.NullTranslations:
    return gettext.translation("messages", LOCALE, [language], fallback=True)


def _accepted(header: str) -> str:
    """The best of our languages in an Accept-Language header (RFC 9110 section 12.5.4)."""
    wishes: list[tuple[float, str]] = []
    for item in header[:500].split(","):
        tag, _, weight = item.strip().partition(";q=")
        try:
            wishes.append((-float(weight or 1), tag.lower()))
        except ValueError:
            continue
    for _weight, tag in sorted(wishes, key=lambda wish: wish[0]):
        if tag.startswith("zh"):
            return "zh_CN"
        if tag.startswith("en"):
            return "en"
    return DEFAULT_LANGUAGE


ERRORS: Final[dict[str, str]] = {
    # Who asks
    "not_signed_in": N_("Please sign in."),
    "viewer_not_installed": N_("The image viewer is not installed on this server. The previews can be used."),
    "token_unknown": N_("This token is unknown, expired or revoked."),
    "sign_in_failed": N_("The login or the password is wrong, or the account is locked for a while."),
    "password_wrong": N_("The password is wrong, or the account is locked for a while."),
    "password_needed": N_("Please enter your password to sign."),
    "password_must_change": N_("Please choose a new password first."),
    "password_too_short": N_("A password needs at least {least} characters."),
    "password_too_long": N_("A password has at most {most} characters."),
    "password_is_login": N_("The password must not contain the login."),
    "password_unchanged": N_("The new password must differ from the old one."),
    "csrf_wrong": N_("This page is too old. Please load it again."),
    "other_origin": N_("This request came from another site."),
    "role_needed": N_("You do not have the role for this ({roles})."),
    "token_lacks_scope": N_("This token may not do this ({scope})."),
    "not_your_institution": N_("This is not your institution."),
    # The request itself
    "page_not_found": N_("There is nothing at this address."),
    "method_not_allowed": N_("This address does not work this way."),
    "body_too_large": N_("The request is too large."),
    "request_malformed": N_("The request cannot be understood."),
    "fields_wrong": N_("Some fields are wrong: {fields}."),
    "field_wrong": N_("This field is wrong: {field}."),
    "field_missing": N_("This field is needed: {field}."),
    "field_invalid": N_("This field is wrong: {field}."),
    "unexpected_error": N_("Something went wrong. The error was recorded."),
    "database_away": N_("The database cannot be reached. Please try again."),
    "shutting_down": N_("The server is shutting down. Please try again in a moment."),
    "out_of_space": N_("The storage is full. Please tell the PACS admin."),
    "store_busy": N_("The storage is busy. Please try again."),
    "store_failed": N_("The storage failed. Please tell the PACS admin."),
    "store_missing": N_("The storage is missing. Please tell the PACS admin."),
    "object_missing": N_("A stored file is missing. Please tell the PACS admin."),
    "document_unreadable": N_("A stored report cannot be read. Please tell the PACS admin."),
    # Not there
    "no_such_reading": N_("There is no such case."),
    "no_such_report": N_("There is no such report."),
    "no_such_order": N_("There is no such order."),
    "no_such_study": N_("There is no such study."),
    "no_such_instance": N_("There is no such image."),
    "no_such_patient": N_("There is no such patient."),
    "no_such_critical_result": N_("There is no such critical result."),
    "no_such_delivery": N_("There is no such delivery."),
    "no_such_message": N_("There is no such message."),
    "no_such_thing_set_aside": N_("There is nothing like this set aside."),
    "no_such_task": N_("There is no such task."),
    "no_such_institution": N_("There is no such institution."),
    "no_such_center": N_("There is no such center."),
    "no_such_group": N_("There is no such reader group."),
    "no_such_reader_group": N_("There is no such reader group."),
    "no_such_device": N_("There is no such device."),
    "no_such_endpoint": N_("There is no such endpoint."),
    "no_such_procedure": N_("There is no such procedure."),
    "no_such_route": N_("There is no such route."),
    "no_such_user": N_("There is no such user."),
    "no_such_token": N_("There is no such token."),
    # Moves
    "cannot_move": N_("This is not possible in the present state ({state})."),
    "somebody_was_faster": N_("Somebody else was faster. Please look at the present state."),
    "held_by_another": N_("Somebody else is working on this case."),
    "not_held_by_you": N_("You do not hold this case. Please claim it."),
    "nothing_to_read": N_("There is nothing to read in this case ({state})."),
    "nothing_to_sign": N_("There is nothing to sign in this case ({state})."),
    "documents_missing": N_("Not all documents of the report could be made. Please tell the PACS admin."),
    "no_such_document": N_("There is no such document of this version."),
    "key_images_too_many": N_("At most {most} images can be printed with a report."),
    "not_an_image_of_the_case": N_("Only images of this case can be printed with its report, each of them once."),
    "key_image_unreadable": N_(
        "No picture can be made of an image that was chosen for printing. Take it off, then sign again."
    ),
    "draft_is_newer": N_("Somebody wrote meanwhile. Your words are still here: compare, then save again."),
    "signer_is_writer": N_("Another person must sign what you wrote."),
    "not_submitted": N_("The draft must be submitted for review first."),
    "preliminary_not_allowed": N_("A preliminary report is not allowed here now."),
    "consultation_is_answered_not_signed": N_("A consultation is answered, not signed."),
    "study_not_linked": N_("The images are not linked to an order yet."),
    "already_issued": N_("A report was issued already."),
    "nothing_issued": N_("No report was issued yet."),
    "no_correction_begun": N_("No correction was begun."),
    "cannot_join": N_("These cases cannot be joined."),
    "not_the_same_patient": N_("These cases are not of the same patient."),
    "nothing_to_split": N_("There is no order to split off."),
    "nothing_to_answer": N_("There is nothing to answer."),
    "nobody_asks_any_more": N_("The case that asked is no longer waiting."),
    "critical_result_is_open": N_(
        "A critical result of these images is open. Move them to the right order, or retract it first."
    ),
    "report_rests_on_study": N_("An issued report rests on this study. Withdraw the report first."),
    "study_is_being_read": N_("This study is being read already."),
    "study_is_not_unmatched": N_("This study is not in the unmatched bin."),
    "orders_of_different_patients": N_("These orders are of different patients."),
    # What is missing
    "reason_missing": N_("Please give a reason."),
    "impression_missing": N_("Please write an impression."),
    "critical_words_missing": N_("Please say what the critical result is."),
    "read_back_missing": N_("Please read the result back in your own words."),
    "who_answered_missing": N_("Please say who answered."),
    "disposition_missing": N_("Please say what was done for the patient."),
    "patient_identifier_missing": N_("The patient's number is missing."),
    "patient_contradicts": N_("This number belongs to another patient: name, sex or birth date differ."),
    # Orders
    "procedure_unknown": N_("There is no such procedure in the catalogue."),
    "procedure_not_mapped": N_("The sender's code is not mapped to a procedure yet."),
    "priority_unknown": N_("There is no such priority."),
    "order_is_being_read": N_("The order is being read. Ask the center to return or close the case."),
    "order_cannot_be_cancelled": N_("The order cannot be cancelled in its present state ({state})."),
    "order_cancelled": N_("The order is cancelled."),
    "order_recognised": N_("An existing result serves this order."),
    "order_performed": N_("The examination was performed."),
    "order_completed": N_("The order is completed."),
    "order_already_begun": N_("The examination has begun."),
    "order_has_images": N_("The order has images."),
    "order_is_for_another_patient": N_("The order is for another patient."),
    "accession_number_taken": N_("This accession number is in use."),
    # Configuration
    "institution_code_is_fixed": N_("The code of an institution cannot be changed: patients' numbers carry it."),
    "endpoint_institution_is_fixed": N_("An endpoint stays with its institution: its reports are on their way there."),
    "pages_are_for_people": N_("A token opens the API only. Pages are for people who sign in."),
    "code_taken": N_("This code is in use."),
    "address_taken": N_("Another device has this address and name: {address}."),
    "login_taken": N_("This login is in use."),
    "administrators_are_separate": N_("One person cannot be PACS admin, security admin and auditor at once."),
    "route_condition_unknown": N_("There is no such condition: {name}."),
    "route_hours_wrong": N_("Hours are pairs of times such as 08:00 and 17:30."),
    "no_such_job": N_("There is no such job."),
    "endpoint_disabled": N_("This endpoint is switched off."),
    "nothing_to_replay": N_("There is nothing to do again here."),
    "sign_token_is_personal": N_("Only the person may have a token that signs in their name."),
    "no_center": N_("No center reads this discipline."),
    # One's own password, tokens
    "passwords_differ": N_("The two new passwords differ."),
    "token_incomplete": N_("A token needs a purpose, a number of days and at least one right."),
    # Why images are not linked
    "no_order_named": N_("The images name no order that is known here."),
    "no_order_with_this_number": N_("There is no order with the number {accession_number} that the images carry."),
    "number_disagrees": N_("The images carry the number {accession_number}, which belongs to no order here."),
    "no_patient_id": N_("The images carry no patient number; the order is {accession_number}."),
    "patient_differs": N_(
        "The images are of patient {sent}, but order {accession_number} is for {ordered}: perhaps a wrong pick from the"
        " worklist."
    ),
    "unlinked_by_a_person": N_("A person took the images off their order."),
    "rejected": N_("A person rejected the images."),
    # What is set aside
    "institution_unclear": N_("It is not clear for which institution the sender speaks."),
    "same_uid_other_content": N_("The same image number came again with other content. The first copy is shown."),
    "patient_differs_in_study": N_("One study holds images of different patients ({sent})."),
    "study_uid_used_by_another_institution": N_("Another institution uses this study number."),
    # Who is sent away
    "unknown_sender": N_("No device has this address and name."),
    "calling_ae_unknown": N_("No device has this address and AE title."),
    "called_ae_unknown": N_("The caller asked for another AE title than ours."),
    # HL7
    "header_missing": N_("There is no MSH segment."),
    "separators_invalid": N_("The separators in MSH-1 and MSH-2 are wrong."),
    "character_set_unsupported": N_("The character set {character_set} is not supported."),
    "undecodable_text": N_("The text is not in the character set {character_set}."),
    "unencodable_text": N_("The character set {character_set} of the receiver lacks a character of the text."),
    "control_character": N_("There is a control character in the text."),
    "escape_unsupported": N_("There is an escape sequence that cannot be read."),
    "segment_missing": N_("The segment {segment} is missing."),
    "segment_repeated": N_("The segment {segment} is there more than once."),
    "segment_name_invalid": N_("The name of a segment is wrong."),
    "segment_end_invalid": N_("The end of a segment is wrong."),
    "too_many_segments": N_("There are more than {limit} segments."),
    "too_many_fields": N_("A segment has more than {limit} fields."),
    "message_type_unsupported": N_("This kind of message is not taken here."),
    "version_unsupported": N_("This version of HL7 is not supported."),
    "control_id_reused": N_("This control id was used before for another message."),
    "order_control_unknown": N_("The order control {control} is not known."),
    "bytes_between_frames": N_("There were bytes between two messages."),
    "end_inside_message": N_("The message was cut off."),
    "start_inside_message": N_("A new message began inside another one."),
    "frame_mark_in_message": N_("There is a frame mark inside the message."),
    "message_too_long": N_("The message is longer than {limit} bytes."),
    "message_cut_off": N_("The sender hung up inside a message."),
    "message_too_slow": N_("The message came too slowly."),
    "door_full": N_("Too many connections at once."),
    # Deliveries
    "peer_away": N_("The receiver cannot be reached."),
    "unreadable_answer": N_("The receiver's answer cannot be read."),
    "answer_for_another_message": N_("The receiver answered another message."),
    "receiver_error": N_("The receiver says that it could not take the report now."),
    "receiver_rejected": N_("The receiver refuses the report."),
    "structure_invalid": N_("The message to the receiver could not be built correctly."),
    "timezone_unknown": N_("The time zone of the institution is not known."),
    # DICOM
    "not_a_dicom_object": N_("This is no readable DICOM object."),
    "missing_uid": N_("A number (UID) that every object needs is missing: {tag}."),
    "busy_verifying": N_("Many files are being checked just now. Please try again in a moment."),
    "bad_query_level": N_("The query names no level that this service knows: PATIENT, STUDY, SERIES or IMAGE."),
    "missing_unique_key": N_("The query lacks a number (UID) that it needs: {tag}."),
    "bad_number": N_("A number in the query is wrong: {tag}."),
    "patient_id_ambiguous": N_("Two patients have this number here. Ask with its issuer."),
    "too_many_matches": N_("Too many images match. Please narrow the query."),
    "invalid_uid": N_("A number (UID) of the object is wrong: {tag}."),
    "transfer_syntax_refused": N_("The transfer syntax {transfer_syntax} is not taken here."),
    "other_than_announced": N_("The object is another one than the device announced."),
    "inflates_too_far": N_("The object grows too large when it is unpacked."),
    "nested_too_deep": N_("The object is nested too deeply."),
    "too_many_elements": N_("The object has too many elements."),
    "dicomdir": N_("This is the table of contents of a disc, no image."),
    "no_dicom_file": N_("This is no DICOM file (a viewer program, say)."),
    "file_empty": N_("The file is empty."),
    "file_unreadable": N_("The file could not be read. Is the disc scratched?"),
    "object_too_large": N_("The file is larger than {limit} MiB."),
    "zip_inside": N_("This is an archive inside another one or under another name. Please unpack it first."),
    "not_a_zip": N_("This is no readable ZIP archive."),
    "zip_has_too_many_files": N_("The archive holds more than {most} files. Please send the folder instead."),
    "zip_encrypted": N_("The file is protected by a password. Please unpack the archive first."),
    "zip_method": N_("The archive is packed in a way that is not known here. Please unpack it first."),
    "zip_damaged": N_("The archive is damaged at this file."),
    "zip_grows_too_far": N_("The archive grows too large when it is unpacked."),
    "zip_too_large": N_("The archive is larger than {limit} GiB. Please send the folder instead."),
    "no_such_upload": N_("There is no such upload."),
    "from_another_hospital": N_("These images come from another hospital, whose patient numbers mean nothing here."),
    "multipart_malformed": N_("The parts of the request cannot be told apart ({reason})."),
    "no_objects": N_("The request holds no objects."),
    "too_many_objects": N_("The request holds more than {most} objects."),
    "other_study": N_("The object belongs to another study than the address says."),
    "stow_wants_multipart": N_("Objects are taken as multipart/related only."),
    "stow_wants_objects": N_("Only whole objects (application/dicom) are taken, no separate metadata and bulk data."),
    "unknown_character_set": N_("The character set {character_set} is not known."),
    "name_separator": N_("There is a separator inside a name."),
    "value_too_long": N_("The value of {keyword} is too long for the device."),
    "no_pixels": N_("The object has no picture."),
    "no_preview": N_("No preview can be made of this image."),
    "no_such_frame": N_("There is no such frame."),
    "undecodable_pixels": N_("The picture cannot be decoded."),
    "no_such_bulk_data": N_("There is no such value in this object."),
    "no_such_series": N_("There is no such series."),
    "accept_malformed": N_("The Accept header cannot be understood."),
    "study_uid_ambiguous": N_(
        "Two institutions use this Study Instance UID. Search for the study, and fetch it from the address found there."
    ),
    "query_key_unknown": N_("{key} is not a search parameter that is known here."),
    "query_key_of_lower_level": N_("{key} belongs to a lower level than is searched here."),
    "query_key_twice": N_("{key} is given more than once."),
    "query_value_wrong": N_("The value of {key} is not possible."),
    "offset_too_far": N_("An offset goes to {most} at most. Please follow the Link header instead."),
    "nothing_acceptable": N_("It cannot be sent in a form that is accepted. Possible: {offered}"),
    "cannot_transcode": N_("The object cannot be sent in the transfer syntax {transfer_syntax}."),
    "frames_malformed": N_("Frame numbers are whole numbers from 1, with commas between them."),
    "too_many_frames": N_("These are too many frames for one answer."),
    "too_much_asked": N_("This is too much for one answer."),
    "window_malformed": N_("A window is written as center, width and function."),
    "viewport_malformed": N_("The part of the picture does not exist, or its size is not possible."),
    "quality_malformed": N_("The quality is a number from 1 to 100."),
    "step_exists": N_("This procedure step is there already."),
    "step_is_final": N_("This procedure step has ended and cannot change."),
    "step_must_begin_in_progress": N_("A procedure step must begin in progress."),
    "no_such_step": N_("There is no such procedure step."),
    "bad_step_status": N_("The state of the procedure step is wrong."),
    "missing_step_status": N_("The state of the procedure step is missing."),
    # Storage commitment
    "no_such_commitment": N_("There is no such storage commitment."),
    "no_objects_named": N_("The device named no objects."),
    "transaction_differs": N_("The device used this Transaction UID before, for other objects."),
    "device_without_port": N_(
        "The device did not wait for its storage commitment, and its record names no port. Please enter the port."
    ),
    "device_unreachable": N_("The device does not take our connection. Please check its address, port and AE title."),
    "report_not_taken": N_("The device refused the report of its storage commitment."),
    # Documents
    "fonts_missing": N_("The fonts of the report are not installed. Please run make."),
    "picture_unreadable": N_("A key image cannot be printed."),
    "report_not_printable": N_("The report cannot be laid out as a document. Please tell the PACS admin."),
    "seal_unusable": N_("The seal of the institution cannot be used. Please tell the PACS admin."),
    "pdf_not_sealed": N_("This file carries no seal of a report from here."),
    "pdf_altered": N_("This file was altered after it was sealed."),
    "pdf_seal_unknown": N_("This file carries a seal that is not known here."),
    "pdf_too_large": N_("The file is larger than {megabytes} MB."),
    # Inside
    "bad_store_key": N_("A stored file has a wrong name. Please tell the PACS admin."),
    "other_store": N_("The database belongs to another object store."),
    "delivery_stuck": N_("The delivery is stuck: a person has to look."),
    "counter_busy": N_("Numbers are being given out. Please try again."),
}
"""Texts by error code; ``{name}`` stands for a parameter."""
