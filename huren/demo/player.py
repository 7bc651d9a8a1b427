"""Plays the county against a running server: every role, over real sockets, each step told."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from huren.demo.api import Declined, read_tokens
from huren.demo.county import HIS_SYSTEMS, HisSystem
from huren.demo.his import His
from huren.demo.images import Picked, picked_from, typed_in
from huren.demo.staff import LOOK_AGAIN, Staff
from huren.demo.stories import OFTEN, STORIES, Story, Words, new_request, new_visitor, usual_words
from huren.demo.township import (
    CannotPlay,
    Doors,
    Request,
    begin_step,
    end_step,
    order,
    send_images,
    worklist,
)
from huren.settings import Settings
from worklist.facts import PersonName
from worklist.rules.romanising import romanise

__all__ = ["CASES", "CannotPlay", "play_forever", "play_once"]

CASES: Final = {name: story.text for name, story in STORIES.items()}
"""What `--case` may name."""

FIRST: Final = "head-ct"
READ_WITHIN: Final = 180.0  # seconds: the quiet time of the center and somebody else's lease are in it
HOME_WITHIN: Final = 60.0  # seconds from the signature to the HIS's acknowledgement
MEAN_CASE: Final = 10.0  # MB, over the mix of cases
LEFT_WAITING: Final = 3  # cases that stay on the readers' list, for whoever looks at the pages

Out = Callable[[str], object]


def play_once(settings: Settings, out: Out, case: str = "") -> bool:
    """Play one case with every step told; True when it ended as it should.

    For a case with a report that is: the HIS has acknowledged the signed report. A line that `out` gets may hold

    Raises
    ------
    CannotPlay
        the server is not there, or not the one with the demo county.
    """
    story = STORIES[case or FIRST]
    say = _steps(out)
    doors = _doors(settings)
    staff = Staff(doors.api_url, read_tokens(settings.data), say)
    staff.check()
    say(f"Case {case or FIRST}: {story.text}")
    try:
        with ExitStack() as stack:
            his = _listen(story.his_system, staff, say)
            if his is not None:
                stack.enter_context(his)
            if not _played(doors, staff, story, his, say):
                say("FAILED: the case did not end as it should.")
                return False
    except Declined as error:
        raise CannotPlay(f"The API said no: {error}") from error
    say("Done.")
    return True


def play_forever(settings: Settings, out: Out, pace: float) -> None:
    """Play a mix of cases, one every `pace` seconds, and the people who read them, until Ctrl-C.

    Raises
    ------
    CannotPlay
        at the start, as `play_once`; what goes wrong later is told and tried again.
    """
    say = _stamped(out)
    doors = _doors(settings)
    staff = Staff(doors.api_url, read_tokens(settings.data), say)
    staff.check()
    known: dict[str, Words] = {}
    stop = threading.Event()
    people = threading.Thread(target=_work, args=(staff, known, pace, stop, say), daemon=True, name="staff")
    with ExitStack() as stack:
        for system in HIS_SYSTEMS:
            his = _listen(system, staff, say)
            if his is not None:
                stack.enter_context(his)
        say(f"Playing until Ctrl-C. This fills about {MEAN_CASE * 3600 / pace / 1000:.1f} GB an hour.")
        people.start()
        try:
            while True:
                name = random.choices(list(OFTEN), list(OFTEN.values()))[0]
                story = STORIES[name]
                if story.images_again is not None:
                    story = replace(story, images=story.images_again)
                try:
                    say(f"Case {name}: {story.text}")
                    picked = _township(doors, story, say)
                    if picked is not None and story.words is not None:
                        known[picked.accession_number] = story.words
                except CannotPlay as error:
                    say(f"{error} Trying again.")
                time.sleep(pace * random.uniform(0.6, 1.4))
        except KeyboardInterrupt:
            say("Stopped.")
        finally:
            stop.set()


def _played(doors: Doors, staff: Staff, story: Story, his: His | None, say: Out) -> bool:
    picked = _township(doors, story, say)
    if story.end == "cancelled":
        return picked is None
    if picked is None:
        return False
    if story.end == "no order":
        found = _soon(lambda: staff.is_unmatched(picked.study_instance_uid), HOME_WITHIN)
        say("the study waits in the unmatched bin" if found else "the study is not in the unmatched bin")
        return found
    return _comes_home(staff, story, picked.accession_number, his, say)


def _township(doors: Doors, story: Story, say: Out) -> Picked | None:
    """Everything that happens before the county reads.

    Returns what was examined; None where nothing was, because the order was cancelled as it should be.

    Raises
    ------
    CannotPlay
        something went another way.
    """
    now = datetime.now(UTC)
    visitor, scanner = new_visitor(now), story.scanner
    if story.end == "no order":
        name = PersonName(visitor.name, romanise(visitor.name))
        picked = typed_in(name, visitor.number, visitor.sex, visitor.birth_date, scanner.character_set, now)
        say(f"{scanner.ae_title} examines {visitor.name}, typed in at the console, without an order")
    else:
        request = new_request(story, visitor, now)
        _send_order(doors, story, request, "NW", say)
        if story.end == "cancelled":
            _send_order(doors, story, request, "CA", say)
        found = worklist(doors, scanner, visitor.number, now)
        say(
            f"C-FIND from {scanner.ae_title} ({scanner.character_set}) for patient {visitor.number}: "
            f"{len(found)} on the worklist"
        )
        if len(found) != (0 if story.end == "cancelled" else 1):
            raise CannotPlay(f"The worklist has {len(found)} lines for order {request.number}.")
        if not found:
            return None
        picked = picked_from(found[0], now)
        say(f"picked: accession number {picked.accession_number}, study {picked.study_instance_uid}")
    _scan(doors, story, picked, say)
    return picked


def _send_order(doors: Doors, story: Story, request: Request, control: str, say: Out) -> None:
    visitor = request.visitor
    said, number = order(doors, story.his_system, request, control, datetime.now(UTC))
    say(
        f"ORM^O01 {control} from HIS|{request.place} ({story.his_system.character_set}): order {request.number}, "
        f"{request.procedure_name} for {visitor.name} {visitor.sex} {visitor.birth_date}, {request.priority} "
        f"-> {said}{' accession number ' + number if number else ''}"
    )
    if said != "AA":
        raise CannotPlay(f"The order {request.number} was answered {said}.")


def _scan(doors: Doors, story: Story, picked: Picked, say: Out) -> None:
    scanner = story.scanner
    step = begin_step(doors, scanner, picked)
    say(f"MPPS N-CREATE {step}: IN PROGRESS -> 0000H")
    began = time.monotonic()
    sent = []
    for image in send_images(doors, scanner, picked, story.images):
        sent.append(image)
        if len(sent) % 50 == 0:
            say(f"C-STORE: {len(sent)} images acknowledged")
    say(f"C-STORE: all {len(sent)} images acknowledged in {time.monotonic() - began:.1f} s, on one association")
    end_step(doors, scanner, step, sent, datetime.now(UTC))
    say(f"MPPS N-SET: COMPLETED with {len(sent)} instances -> 0000H")


def _comes_home(staff: Staff, story: Story, number: str, his: His | None, say: Out) -> bool:
    """The county reads and signs, and the report reaches the HIS."""
    words = story.words or usual_words(story.procedure)
    case = staff.report(number, story.discipline, words, READ_WITHIN)
    if case is None:
        say(f"{number} was not signed within {READ_WITHIN:.0f} s.")
        return False
    if words.critical and not staff.acknowledge(number):
        say("The critical result was answered by somebody else.")
    home = _soon(lambda: _all_acknowledged(staff.deliveries(case["id"])), HOME_WITHIN)
    for delivery in staff.deliveries(case["id"]):
        why = f" ({delivery['last_error']})" if delivery["last_error"] and not home else ""
        say(f"delivery to {delivery['endpoint']} at {delivery['address']}: {delivery['state']}{why}")
    if not home:
        say(f"The HIS has not acknowledged the report of {number} within {HOME_WITHIN:.0f} s.")
        return False
    if his is not None:
        report = his.wait_for(number, HOME_WITHIN)
        if report is None:
            say(f"{his.name} here has seen no report of {number}, though somebody acknowledged one.")
            return False
        say(f"{his.name} holds the report of {report.patient} ({report.status}):")
        for line in report.text.splitlines():
            say(f"    {line}")
    return True


def _all_acknowledged(deliveries: list[dict[str, Any]]) -> bool:
    return bool(deliveries) and all(delivery["state"] == "acknowledged" for delivery in deliveries)


def _soon(happened: Callable[[], bool], seconds: float) -> bool:
    """Whether it happens within `seconds`."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_AGAIN)
    return True


def _work(staff: Staff, known: dict[str, Words], pace: float, stop: threading.Event, say: Out) -> None:
    """The readers and doctors, two pieces of work for each case that comes."""
    while not stop.wait(pace / 2.5):
        try:
            staff.work_once(known, LEFT_WAITING)
        except (CannotPlay, Declined) as error:
            say(f"{error} Trying again.")


def _listen(system: HisSystem, staff: Staff, say: Out) -> His | None:
    """The HIS's listener; None, and a word about it, where the port is taken."""
    host, port = staff.his_address(system.place)
    try:
        his = His(system.name, host, port, system.character_set, say)
    except OSError as error:
        say(
            f"{system.name} cannot listen on {host}:{port} ({error.strerror}). If another `huren demo` "
            "plays it, reports are acknowledged there, and the API says so."
        )
        return None
    say(f"{system.name} listens for reports on {host}:{port}")
    return his


def _doors(settings: Settings) -> Doors:
    web = _reachable(settings.web_host)
    return Doors(
        api_url=f"http://{f'[{web}]' if ':' in web else web}:{settings.web_port}",
        dimse_host=_reachable(settings.dimse_host),
        dimse_port=settings.dimse_port,
        ae_title=settings.ae_title,
        mllp_host=_reachable(settings.mllp_host),
        mllp_port=settings.mllp_port,
    )


def _reachable(host: str) -> str:
    """Where to knock at a door that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- nothing is bound here


def _steps(out: Out) -> Out:
    lock, began = threading.Lock(), time.monotonic()

    def say(line: str) -> None:
        with lock:
            out(f"{time.monotonic() - began:7.1f} s  {line}")

    return say


def _stamped(out: Out) -> Out:
    lock = threading.Lock()

    def say(line: str) -> None:
        with lock:
            out(f"{datetime.now():%H:%M:%S}  {line}")  # noqa: DTZ005

    return say
