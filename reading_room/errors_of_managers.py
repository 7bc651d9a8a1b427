"""Error texts of what managers do: working hours, the rota, giving cases to readers, figures."""

from __future__ import annotations

from typing import Final

from reading_room.words import N_

MANAGERS: Final[dict[str, str]] = {
    "working_hours_wrong": N_("These are no working hours. Write them like 08:00-12:00, 14:00-17:30, within one day."),
    "week_never_works": N_("A week needs at least one day with hours. To count round the clock, tick that instead."),
    "days_wrong": N_("These are no days, or the last one comes before the first."),
    "range_too_long": N_("At most {most} days at once."),
    "not_a_reader_here": N_("Choose somebody who reads in this center."),
    "duty_unknown": N_("There is no such duty."),
    "times_wrong": N_("These are no times, or the end is not after the beginning."),
    "shift_too_long": N_("A shift is at most {most} days long."),
    "absence_too_long": N_("An absence is at most {most} days long."),
    "no_day_chosen": N_("Tick at least one day."),
    "no_such_shift": N_("There is no such shift."),
    "no_such_absence": N_("There is no such absence."),
    "too_many_chosen": N_("At most {most} cases at once."),
    "reader_is_absent": N_("This reader is away. Choose somebody else."),
    "reviewer_needed": N_("This case waits for review. Give it to a senior reader."),
}
