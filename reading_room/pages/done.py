"""What a page says after something was done."""

from __future__ import annotations

from typing import Final

from reading_room.words import N_

DONE: Final = {
    "saved": N_("Saved."),
    "proposed": N_("Saved. The reader finds these images in the report and decides about them."),
    "ordered": N_("The order is placed. The device finds it on its worklist."),
    "shared": N_("The link works from now on. Let them scan it, or send it."),
    "sharing_ended": N_("The link is closed."),
    "recognised": N_("No new examination: the existing result serves this order."),
    "read_anew": N_("No new examination: the center reads the existing images anew, and its report comes here."),
    "given": N_("It is on record that the report was given."),
    "ordered_before": N_(
        "This order was placed with that form already, so nothing was ordered again. For another, begin a new form."
    ),
    "cancelled": N_("The order is cancelled."),
    "answered": N_("Recorded. The center sees that you have received the result."),
    "verified": N_("Verified. The ordering institution is alerted."),
    "drill_begun": N_("The drill has begun."),
    "disposed": N_("Recorded. The critical result is closed."),
    "decided": N_("Your decision is recorded."),
    "password": N_("The password is changed. Please sign in with it."),
    "released": N_("The case is back on the list."),
    "submitted": N_("Submitted for review."),
    "sent_back": N_("Sent back to the writer."),
    "signed": N_("Signed. The report is on its way."),
    "preliminary": N_("The preliminary report is on its way. The review is still owed."),
    "explained": N_("Your reply is recorded. The manager sees it."),
    "returned": N_("Returned. The township examines again under the same number."),
    "referred": N_("Referred. The other center sees the case now."),
    "closed": N_("Closed without report."),
    "marked": N_("Marked. The township's page shows it from now on. Telephone too."),
    "called": N_("The telephone call is recorded."),
    "retracted": N_("Retracted."),
    "withdrawn": N_("Withdrawn. Everyone who had the report is told."),
    "joined": N_("Joined."),
    "corrected": N_("Corrected. Signed reports keep the identity they were printed with."),
    "identified": N_("Identified. All that was done for the unknown patient follows."),
    "people_merged": N_("Merged. This page says what changed hands, and can undo it."),
    "people_linked": N_("Linked: they are one person from now on."),
    "people_parted": N_("Parted: they are two people again."),
    "people_differ": N_("Recorded: they are different people, and are not suggested again."),
    "repaired": N_("Repaired. What was issued is withdrawn, and a new case waits for a doctor."),
    "repaired_to_bin": N_("Repaired. What was issued is withdrawn, and the images are in the unmatched bin."),
    "repaired_unissued": N_(
        "Repaired. Nothing had been issued, so nobody has to be told. The images are with the right patient."
    ),
    "repaired_unissued_to_bin": N_(
        "Repaired. Nothing had been issued, so nobody has to be told. The images are in the unmatched bin."
    ),
    "linked": N_("Linked."),
    "rejected": N_("Rejected. The images are kept."),
    "opened": N_("The center sees the images at once. Signing waits for the link."),
    "replayed": N_("It is sent again now."),
    "taken": N_("Taken again."),
    "settled": N_("Settled."),
    "mapped": N_("Mapped. Orders that waited for this code are scheduled."),
    "routes": N_("Saved. New cases go by these rules from now on."),
    "unmapped": N_("Taken back. Later orders with this code wait until it is mapped again."),
    "echoed": N_("It was called. The answer stands beside the button."),
    "second_factor_off": N_("The second factor is switched off."),
    "second_factor_reset": N_("The second factor is taken back. The person sets up a new one."),
    "session_ended": N_("The session is ended."),
    "sessions_ended": N_("All sessions of this person are ended."),
    "signed_out_everywhere": N_("You are signed out everywhere."),
    "connected": N_("Your account of the sign-in provider is connected. From now on it opens your account here."),
    "not_connected": N_("The account of the sign-in provider belongs to another person, so it was not connected."),
    "glass_broken": N_("The patient is open to you. Everything you look at is on record."),
    "opening_ended": N_("The patient is closed again."),
    "judged": N_("Your judgement is recorded."),
    "revoked": N_("The token is revoked. Nothing can be done with it any more."),
    "nothing": N_("Nobody waits: there is no free case now."),
    "recalled": N_("Taken back. The case is yours to finish: claim it."),
    "referral_answered": N_("Answered. Whoever asked finds your opinion with the case."),
    "return_answered": N_("Answered. The reader sees it with the case."),
    "assigned": N_("Given. The reader sees these cases first."),
    "freed": N_("Free: anybody of the center may take them."),
    "correction": N_("The correction is a draft now. It takes effect when it is signed."),
}
"""By the key that the address carries."""
