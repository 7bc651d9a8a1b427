"""Backup, restore, reconciliation and the full export, at the server's own shell."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from huren.cli.shown import fail, present_settings, tell

if TYPE_CHECKING:
    from huren.keeping.reconcile import Gap

MOST_LINES = 200  # of open work, until --all is asked for

Folder = Annotated[Path, typer.Argument(help="The folder of the backups, on another disk.")]


def add_to(app: typer.Typer) -> None:
    """These commands."""
    for command in (backup, restore, reconcile, export):
        app.command()(command)


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """What cannot go on becomes a sentence and status 1."""
    from huren.keeping.repository import CannotKeep

    try:
        yield
    except CannotKeep as error:
        fail(str(error))


def _progress(line: str) -> None:
    typer.echo(line, err=True)
    sys.stderr.flush()


def backup(
    folder: Folder,
    prune: Annotated[int, typer.Option(min=0, help="Keep so many snapshots and remove older ones. 0: all.")] = 0,
    verify: Annotated[bool, typer.Option("--verify", help="Take none: read every snapshot and object back.")] = False,
) -> None:
    """Take a snapshot of everything while the server runs. It holds secrets: guard it as well as the server.

    Exit 1 where objects were missing from the store or damaged: the snapshot is kept, and says which.
    """
    from huren.keeping import backup as backups

    with _refusing():
        if verify:
            faults = backups.verify(folder.absolute(), tell=_progress)
            for fault in faults:
                tell(fault)
            tell("Everything is as it was written." if not faults else f"{len(faults)} faults.")
            raise typer.Exit(1 if faults else 0)
        taken = backups.back_up(present_settings(), folder.absolute(), tell=_progress)
        made = taken.manifest
        tell(
            f"Snapshot {taken.snapshot.name}: {made.objects} objects, {made.bytes >> 20} MiB; {taken.new_objects} of "
            f"them new, {taken.new_bytes >> 20} MiB; {taken.seconds:.1f} s."
        )
        tell("It holds the keys of the seals and all patients' data: guard it as well as the server.")
        if prune:
            snapshots, objects = backups.prune(folder.absolute(), prune, tell=_progress)
            tell(f"{snapshots} older snapshots and {objects} objects removed.")
        for key in made.missing:
            tell(f"MISSING {key}")
        for key in made.damaged:
            tell(f"DAMAGED {key}")
    raise typer.Exit(1 if made.missing or made.damaged else 0)


def restore(
    folder: Folder,
    snapshot: Annotated[str, typer.Option(help="Which one, by its name; the newest by default.")] = "",
    beside_objects: Annotated[
        bool, typer.Option("--beside-objects", help="The object store has survived in the data folder: keep it.")
    ] = False,
    accept_damage: Annotated[
        bool, typer.Option("--accept-damage", help="Go on without objects that the backup has lost.")
    ] = False,
) -> None:
    """Restore a snapshot into an empty data folder and an empty database, while no server runs."""
    from huren.keeping.restore import restore as restore_it

    with _refusing():
        back = restore_it(
            present_settings(),
            folder.absolute(),
            snapshot=snapshot,
            beside_objects=beside_objects,
            accept_damage=accept_damage,
            tell=_progress,
        )
    for key in [*back.manifest.missing, *back.lost]:
        tell(f"MISSING {key}")
    tell(
        f"Restored to {back.manifest.taken_at[:19].replace('T', ' ')} UTC, revision {back.revision}. Before anybody "
        "signs in: huren reconcile."
    )


def reconcile(
    adopt: Annotated[bool, typer.Option("--adopt", help="Take objects without a row in again.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Remove objects without a row.")] = False,
    show_all: Annotated[bool, typer.Option("--all", help="Every open case and delivery, not the first 200.")] = False,
) -> None:
    """Compare database and store; after a restore, say what may be gone and whom to ask for it.

    `orphan` is an object without a row, `MISSING` a row without an object (exit 1). --adopt and --delete need the
    server stopped.
    """
    from huren.keeping import reconcile as reconciling
    from huren.keeping.backup import store_of
    from worklist.database import Database
    from worklist.errors import HurenError

    if adopt and delete:
        fail("Either --adopt or --delete.", 2)
    present = present_settings()
    with _refusing():
        if adopt:
            done = reconciling.adopt(present, tell=tell)
            tell(", ".join(f"{number} {outcome}" for outcome, number in sorted(done.items())) or "no orphans")
        if delete:
            tell(f"{reconciling.delete_orphans(present)} orphans removed")
        database = Database(present.database_url)
        is_missing = False
        try:
            store = store_of(present)
            with reconciling.compared(present, database) as found:
                for row in found.missing:
                    is_missing = True
                    tell(f"MISSING {row.key} {row.what}")
                for key in found.orphans:
                    tell(f"orphan {key} {reconciling.describe_orphan(store, key)}")
            lost = reconciling.gap(database)
        except HurenError as error:
            fail(f"The database does not answer: {error}")
        finally:
            database.close()
    if lost is not None:
        _tell_gap(lost, show_all)
    raise typer.Exit(1 if is_missing else 0)


def export(
    folder: Annotated[Path, typer.Argument(help="An empty folder, or that of an export that was cut off.")],
    institution: Annotated[str, typer.Option(help="Only what is this institution's own: its code.")] = "",
) -> None:
    """Write everything in open formats, for the end of a contract. Exit 1 where something could not be taken out."""
    from huren.keeping.export import export as export_it

    with _refusing():
        done = export_it(present_settings(), folder.absolute(), institution, tell=_progress)
    rows = sum(done.rows.values())
    tell(
        f"{rows} rows, {done.objects} objects, {done.files} files, {done.messages} messages; README.en.txt tells what."
    )
    tell("It holds patients' data: guard it.")
    if done.problems:
        tell(f"{done.problems} could not be taken out: problems.csv")
    raise typer.Exit(1 if done.problems else 0)


def _tell_gap(lost: Gap, show_all: bool) -> None:
    taken, restored = (f"{at:%Y-%m-%d %H:%M:%S} UTC" for at in (lost.restored.taken_at, lost.restored.restored_at))
    tell("")
    tell(f"Restored at {restored} from a backup of {taken}. What came between the two is gone here.")
    tell(f"Ask every institution to send again, from {taken} on: orders, patients, images. What is held already")
    tell("stays as it is; nothing is doubled. The last that is held of each device:")
    for heard in lost.heard:
        last = f"{heard.last_at:%Y-%m-%d %H:%M:%S} UTC" if heard.last_at else "never"
        tell(f"  {last:24} {heard.device} ({heard.door}; {heard.institutions})")
    shown = lost.open if show_all else lost.open[:MOST_LINES]
    tell(f"Open when the backup was taken: {len(lost.open)}. A report among them may have been signed since, and what")
    tell("waited may have been sent; deliveries go out again under the same control id.")
    for work in shown:
        tell(f"  {work.what:9} {work.accession_numbers or '-':14} {work.state} ({work.where})")
    if len(shown) < len(lost.open):
        tell(f"  and {len(lost.open) - len(shown)} more: --all")
    tell("Accession numbers and patient numbers go on far behind those that were given out; none is given twice.")
