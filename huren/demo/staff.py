"""The readers and the townships' doctors of the demo, working through the HTTP API."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from huren.demo.api import Api, Declined
from huren.demo.county import PEOPLE
from huren.demo.stories import Words, usual_words
from huren.demo.township import CannotPlay

Out = Callable[[str], object]

READERS: Final = {"imaging": ("reader1", "reader2"), "ecg": ("heart1",)}
SENIORS: Final = {"imaging": ("senior1", "senior2"), "ecg": ("heart2",)}
"""Who reads and who signs, by the discipline of their center."""
DOCTORS: Final = ("doctor1", "doctor2", "doctor3", "village1", "village2")
LOOK_AGAIN: Final = 0.5  # seconds
NAMES: Final = {person.login: person.name for person in PEOPLE}


class Staff:
    """Everybody who works at the API. They claim like anybody else, and step back where a person holds a case."""

    def __init__(self, url: str, tokens: Mapping[str, str], out: Out) -> None:
        """`url` is the web door's; `tokens` by login, `out` takes a line at a time."""
        people = (login for team in (*READERS.values(), *SENIORS.values()) for login in team)
        missing = [login for login in (*people, *DOCTORS, "admin") if login not in tokens]
        if missing:
            raise CannotPlay(f"There is no demo token for {', '.join(missing)}.")
        self._apis = {login: Api(url, token) for login, token in tokens.items()}
        self._out = out

    def check(self) -> None:
        """Raise `CannotPlay` unless the server answers and knows the tokens."""
        try:
            self.api("reader1").get("/api/worklist", limit="1")
        except Declined as error:
            raise CannotPlay(f"The server does not take the demo's tokens: {error}") from error

    def api(self, login: str) -> Api:
        """The way in of one person."""
        return self._apis[login]

    def find(self, accession_number: str, discipline: str) -> dict[str, Any] | None:
        """The case of an order on the list of those who read its discipline, signed ones too."""
        page = self.api(SENIORS[discipline][0]).get("/api/worklist", status="all", q=accession_number)
        return next((item for item in page["items"] if item["accession_number"] == accession_number), None)

    def report(self, accession_number: str, discipline: str, words: Words, seconds: float) -> dict[str, Any] | None:
        """Have one case written and signed by two people; None when it is not signed in time.

        Where somebody else works on it (another demo, a person at a page), it is left to them.
        """
        deadline = time.monotonic() + seconds
        waited_for = ""
        while time.monotonic() < deadline:
            case = self.find(accession_number, discipline)
            if case is not None and case["status"] == "unread" and not case["arriving"]:
                waited_for = self._try(waited_for, self.write, case, words)
            elif case is not None and case["status"] == "in review":
                waited_for = self._try(waited_for, self.sign, case)
            elif case is not None and case["status"] == "signed":
                return case
            time.sleep(LOOK_AGAIN)
        return None

    def write(self, case: Mapping[str, Any], words: Words) -> None:
        """A reader claims, alerts the township where the finding is critical, writes and submits."""
        login = _one_of(READERS[case["discipline"]], case)
        api, path = self.api(login), f"/api/readings/{case['id']}"
        api.post(f"{path}/claim")
        self._out(f"{login} claims {_named(case)}")
        if words.critical:
            api.post(f"{path}/critical", words=words.critical)
            self._out(f"{login} marks a critical result, before anything is signed: {words.critical}")
        saved = api.put(f"{path}/report", findings=words.findings, impression=words.impression, critical=words.critical)
        api.post(f"{path}/submit")
        self._out(f"{login} writes (revision {saved['revision']}) and submits: {words.impression}")

    def sign(self, case: Mapping[str, Any]) -> None:
        """A senior reader who did not write it claims and signs."""
        seniors = SENIORS[case["discipline"]]
        login = _one_of([senior for senior in seniors if NAMES[senior] != case["writer"]], case)
        api, path = self.api(login), f"/api/readings/{case['id']}"
        api.post(f"{path}/claim")
        issued = api.post(f"{path}/sign")
        self._out(f"{login} signs version {issued['number']} ({issued['status']}) of {_named(case)}")

    def is_unmatched(self, study_instance_uid: str) -> bool:
        """Whether a study waits in the unmatched bin, as the PACS admin sees it."""
        page = self.api("admin").get("/api/studies/unmatched", limit="200")
        return any(item["study_instance_uid"] == study_instance_uid for item in page["items"])

    def his_address(self, place: str) -> tuple[str, int]:
        """Where the server delivers a place's reports: (host, port), as the PACS admin set it."""
        for endpoint in self.api("admin").get("/api/endpoints")["items"]:
            if endpoint["receiving_facility"] == place and endpoint["enabled"]:
                return endpoint["host"], endpoint["port"]
        raise CannotPlay(f"No endpoint delivers the reports of {place}.")

    def deliveries(self, report_id: str) -> list[dict[str, Any]]:
        """Where a report is on its way to, as the PACS admin sees it."""
        page = self.api("admin").get("/api/deliveries", limit="200")
        return [item for item in page["items"] if item["report_id"] == report_id]

    def acknowledge(self, accession_number: str = "") -> int:
        """The doctors acknowledge critical results of their institutions with read-back; return how many.

        All that are open, or only those of one order.
        """
        count = 0
        for login in DOCTORS:
            api = self.api(login)
            for result in api.get("/api/critical-results")["items"]:
                wanted = accession_number in ("", result["accession_number"])
                if wanted and result["state"] in ("notified", "escalated"):
                    said = f"复读：{result['words']}。已收到，立即处理。"
                    api.post(f"/api/critical-results/{result['id']}/acknowledge", read_back=said)
                    self._out(f"{login} acknowledges the critical result of {result['accession_number']}: {said}")
                    count += 1
        return count

    def work_once(self, known: Mapping[str, Words], waiting: int) -> None:
        """Do one piece of work: acknowledge, else sign, else write the most urgent case.

        That many cases stay `waiting` for people who look at the pages; what a person holds or has begun is theirs.
        `known` has the words for cases that need others than the usual ones, by accession number.
        """
        if self.acknowledge():
            return
        cases = [
            case
            for discipline, seniors in SENIORS.items()
            for case in self.api(seniors[0]).get("/api/worklist", discipline=discipline, limit="200")["items"]
            if case["discipline"] == discipline
        ]
        free = [case for case in cases if not case["holder_id"] and case["linked"] and not case["arriving"]]
        to_sign = [case for case in free if case["status"] == "in review"]
        to_write = [case for case in free if case["status"] == "unread"]
        if len(to_sign) + len(to_write) <= waiting:
            return
        try:
            if to_sign:  # first, so that the list does not fill with drafts
                self.sign(to_sign[0])
            else:
                case = to_write[0]
                self.write(case, known.get(case["accession_number"]) or usual_words(case["procedure"]))
        except Declined as error:
            self._out(f"somebody was faster: {error}")

    def _try(self, waited_for: str, work: Callable[..., None], *about: Any) -> str:
        """Do some work, or say once that somebody else is at it; returns the code of that refusal."""
        try:
            work(*about)
        except Declined as error:
            if error.status != 409:
                raise
            if error.code != waited_for:
                self._out(f"somebody else works on it ({error.code}); waiting")
            return error.code
        return ""


def _one_of(logins: Sequence[str], case: Mapping[str, Any]) -> str:
    """One of some people, another one for another case."""
    return logins[sum(str(case["id"]).encode()) % len(logins)]


def _named(case: Mapping[str, Any]) -> str:
    return f"{case['accession_number']} {case['patient']['name']} {case['procedure']} ({case['priority']})"
