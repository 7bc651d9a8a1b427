"""What a PACS admin can do about a thing that waits, by the reason why it waits."""

from __future__ import annotations

from typing import Final

from reading_room.words import N_, Words

_CALL: Final = N_("Ask the hospital whether its system runs and whether network and port are open, then send again.")
_THEIR_LOG: Final = N_("Look into the message and the receiver's words, have the receiver mended, then send again.")
_CERTIFICATE: Final = N_("Compare the certificate on the endpoint's page with the receiver's, then send again.")

ADVICE: Final[dict[str, str]] = {
    # Deliveries
    "peer_away": _CALL,
    "no_answer": _CALL,
    "receiver_certificate_unknown": _CERTIFICATE,
    "receiver_tls_failed": _CERTIFICATE,
    "tls_unusable": _CERTIFICATE,
    "receiver_rejected": _THEIR_LOG,
    "receiver_error": _THEIR_LOG,
    "platform_entries_refused": _THEIR_LOG,
    "unreadable_answer": _THEIR_LOG,
    "answer_for_another_message": _THEIR_LOG,
    "unencodable_text": N_("Set the endpoint to UTF-8 or GB18030, which carry every character, then send again."),
    "version_unsupported": N_("Choose another version of HL7 on the endpoint's page, then send again."),
    "timezone_unknown": N_("Mend the time zone on the institution's page, then send again."),
    "structure_invalid": N_("Tell the makers of Huren; the report itself is safe."),
    "object_missing": N_("A stored file is missing: restore it from the backup, then send again."),
    "document_unreadable": N_("The stored report is missing: restore it from the backup, then send again."),
    "endpoint_disabled": N_("Switch the endpoint on again; it then goes by itself."),
    # Notices out of the house
    "host_not_allowed": N_(
        "Have the operator add it to HUREN_NOTICE_HOSTS (a regional platform: HUREN_REGION_HOSTS) and start the server "
        "again."
    ),
    "address_not_allowed": N_("Ask who keeps the name; addresses of this machine must be listed as a network."),
    "receiver_redirects": N_("Type the address that it points to, if it is the right one."),
    "receiver_refused": N_("Look at the address, and whether secret or token are the present ones."),
    "channel_without_secret": N_("Type the password, or make a new secret, on the channel's page."),
    "mail_refused": N_("Look at the sender's and the person's address."),
    "mail_sign_in_refused": N_("Type login and password anew on the channel's page."),
    "mail_without_tls": N_("Choose TLS from the start if the server has it; else ask who keeps the mail server."),
    # The archive downstream
    "archive_away": N_("Look whether Orthanc runs; what waits goes by itself when it is back."),
    "archive_refuses_us": N_("Have the operator compare HUREN_ARCHIVE_USER and its password with Orthanc's settings."),
    "archive_full": N_("Give the archive more disk space; what waits goes by itself then."),
    "archive_not_configured": N_("Have the operator set HUREN_ARCHIVE_URL for every process alike."),
    "archive_copy_differs": N_("See that Orthanc neither transcodes nor changes what it stores, then send again."),
    "archive_lost_at_object": N_("Look at Orthanc's log: this object may be what ends it. It is safe here."),
    "archive_refused_object": N_("It is safe here, and shown as before."),
    "nested_too_deep": N_("It is safe here. It must not go there, since the archive dies of such objects."),
    # Set aside
    "procedure_not_mapped": N_("Say which procedure the code means; orders that wait for it go on at once."),
    "object_without_sender": N_(
        "Ask the institutions to send again what they sent around that time, then settle this."
    ),
    "document_without_row": N_(
        "It may be a report that was signed after the backup. Compare it with the case, and have that signed again."
    ),
    "institution_unclear": N_("Choose the institution. For the future, say on the device's page which field tells it."),
    "patient_contradicts": N_(
        "Ask the sender. If it is the same patient and was mistyped before, take it as a correction."
    ),
    "merge_unclear": N_("Look at both patients, then merge them on the patient's page or settle this with a remark."),
    "cancellation_of_another_patient": N_(
        "Ask the sender which order is meant. If it is this one, cancel it on its page; then settle this with a remark."
    ),
    "same_uid_other_content": N_("Look at the images. If the first copy is right, dismiss; both are kept."),
    "patient_differs_in_study": N_(
        "The device mixed two patients in one study: ask the operator whose these images are, then file them."
    ),
    "study_uid_used_by_another_institution": N_("Two devices use one number: have the device's maker mend it."),
    "no_center": N_("Make a center that reads this discipline; the case opens then."),
}


def advice(words: Words, code: str) -> str:
    """What to do about it; empty where nobody knows better than the reader."""
    return words(ADVICE.get(code, ""))
