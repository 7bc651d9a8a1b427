"""Error texts of signing in, accounts, break-glass and the audit page."""

from __future__ import annotations

from typing import Final

from reading_room.words import N_

PEOPLE: Final[dict[str, str]] = {
    "sign_in_too_soon": N_("There were too many failed sign-ins from this address. Please wait {seconds} seconds."),
    "no_such_share": N_("This link is over or was closed."),
    "too_many_shares": N_("At most {most} links of one order. Please close one first."),
    "no_results_found": N_("Number and code do not belong together. Please compare both with the slip."),
    "people_only": N_("Only a person can do this."),
    "no_such_view": N_("There is no such view."),
    "view_name_taken": N_("You have another view of that name."),
    "too_many_views": N_("At most {most} views. Please delete one first."),
    "second_factor_must_begin": N_("Your role needs a second factor. Please set it up first."),
    "second_factor_is_on": N_("The second factor is switched on already."),
    "second_factor_is_off": N_("The second factor is not switched on."),
    "second_factor_changed": N_("The setting up was begun again meanwhile. Please use the newer picture."),
    "code_wrong": N_("The code is wrong or was used before. Please take the next one."),
    "no_such_session": N_("There is no such session."),
    "no_provider": N_("No sign-in provider is set up here."),
    "provider_away": N_("The sign-in provider cannot be reached. Please use your password, or try again later."),
    "provider_refused": N_("The sign-in provider did not confirm who you are."),
    "provider_answer_wrong": N_("The answer of the sign-in provider cannot be trusted. Please begin again."),
    "oidc_subject_taken": N_("This account of the sign-in provider is connected to another person."),
    "reason_too_short": N_("Please say why, in at least {least} characters. An auditor reads it."),
    "patient_is_open": N_("You can see this patient already."),
    "no_such_opening": N_("There is no such opening."),
    "opening_is_judged": N_("This opening is judged already."),
    "own_opening": N_("Nobody judges their own opening."),
    "patient_not_one": N_("More than {most} patients fit. Please say a number of the patient."),
    "sealed_elsewhere": N_("This was sealed with another key. Please tell the PACS admin."),
    "installation_key_wrong": N_("The installation's key cannot be used. Please tell the PACS admin."),
}
