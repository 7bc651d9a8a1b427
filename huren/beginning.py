"""Beginning a real installation: the first institution and the two administrators who set up everything else."""

from __future__ import annotations

from sqlalchemy.orm import Session

from huren.kinds import utc_now
from huren.migrate import upgrade
from huren.settings import Settings
from reading_room.passwords import hash_password, make_password
from worklist.actions.configuration import save_institution
from worklist.actions.users import save_user
from worklist.database import Database
from worklist.people import HUREN
from worklist.queries.administration import institutions

FIRST_PEOPLE = (("admin", "PACS admin"), ("security", "security admin"))


class AlreadyBegun(RuntimeError):
    """The database has institutions already."""


def begin(settings: Settings, code: str, name: str) -> dict[str, str]:
    """Migrate, make the institution and its administrators; return their first passwords, which must be changed.

    Raises
    ------
    AlreadyBegun
        when there is an institution.
    BadInput
        when the code or the name cannot be used.
    """
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    upgrade(settings.database_url)
    passwords = {login: make_password() for login, _role in FIRST_PEOPLE}
    hashes = {login: hash_password(password) for login, password in passwords.items()}
    now = utc_now()

    def work(session: Session) -> None:
        if institutions(session, HUREN):
            raise AlreadyBegun("This database has been set up already; sign in as one of its administrators.")
        place = save_institution(session, HUREN, {"code": code, "name": name, "level": "county"}, now)
        for login, role in FIRST_PEOPLE:
            save_user(
                session,
                HUREN,
                now,
                login=login,
                name=login,
                institution_id=place.id,
                roles=[(role, "")],
                password_hash=hashes[login],
            )

    database = Database(settings.database_url)
    try:
        database.write(work)
    finally:
        database.close()
    return passwords
