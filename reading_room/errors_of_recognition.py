"""Error texts of recognition: offers, answers, rules."""

from __future__ import annotations

from typing import Final

from reading_room.words import N_

RECOGNITION: Final[dict[str, str]] = {
    "no_such_recognition": N_("There is no such offer."),
    "no_such_qualification": N_("There is no such quality assessment."),
    "recognition_over": N_("This result serves no more: it is too old, was withdrawn, or is another patient's."),
    "recognition_for_another_order": N_("The order asks for something else than this result was offered for."),
    "report_not_adopted": N_("Only images and data of this result serve; its report may not be adopted."),
    "no_images_to_read_anew": N_("Of this result no images are held here, so that nobody can read them anew."),
    "images_of_another_person": N_("These images turned out to be another person's: no report on them can be signed."),
    "images_graded_where_made": N_("These images are graded with the case that they were made for."),
    "read_anew_elsewhere": N_(
        "The images were also read anew at {center}. Ask its senior reader to withdraw that report first."
    ),
    "refusal_reason_unknown": N_("Choose why a new examination is needed."),
    "refusal_words_missing": N_("Say in words why a new examination is needed."),
    "recognition_unanswered": N_("There are results that serve. Take one, or say why a new examination is needed."),
    "not_a_refusal": N_("Only a refusal can be asked about."),
    "nothing_asked": N_("Nobody has asked about this refusal."),
    "refusal_explained": N_("This refusal was explained already."),
    "tariff_there": N_("There is a tariff of this procedure from the same day in the same region."),
    "no_such_tariff": N_("There is no such tariff."),
    "amount_wrong": N_("{text} is no amount: write yuan, such as 120 or 120.50."),
    "recognition_rules_wrong": N_("These are no rules: the mistake is at {at}."),
    "recognition_rules_newer": N_("Somebody made newer rules meanwhile. Load them and change those."),
}
