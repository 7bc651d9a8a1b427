"""Say what is wrong with the catalogues: missing, fuzzy, empty, left over, or with other placeholders.

With --update, bring them up to date with the texts in the code first: new texts are added untranslated, texts
that are gone are removed. Translating stays a person's work.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
LOCALES = ROOT / "reading_room" / "locale"


def main() -> int:
    """Print one line for each fault; the exit status is 1 when there is any."""
    files = sorted(LOCALES.glob("*/LC_MESSAGES/messages.po"))
    if not files:
        print(f"no catalogue under {LOCALES.relative_to(ROOT)}")
        return 1
    wanted = texts_in_code()
    faults = 0
    for path in files:
        catalogue = read(path)
        if "--update" in sys.argv[1:]:
            catalogue = updated(path, catalogue, wanted)
        for fault in faults_of(catalogue, wanted):
            print(f"{path.relative_to(ROOT)}: {fault}")
            faults += 1
    print(f"{len(wanted)} texts, {len(files)} catalogues, {faults} faults")
    return 1 if faults else 0


def texts_in_code() -> Catalog:
    """Extract every text that code and templates mark for translation."""
    with (ROOT / "babel.cfg").open(encoding="utf-8") as config:
        methods, options = parse_mapping_cfg(config)  # type: ignore[no-untyped-call]
    wanted = Catalog(charset="utf-8")
    for name, line, text, comments, context in extract_from_dir(
        ROOT, methods, options, comment_tags=("Translators:",), directory_filter=is_ours
    ):
        wanted.add(text, None, [(name, line)], auto_comments=comments, context=context)
    return wanted


def is_ours(folder: str) -> bool:
    """Keep the extraction out of what make installed."""
    name = Path(folder).name
    return not name.startswith(".") and name not in {"node_modules", "vendor", "tests", "build"}


def read(path: Path) -> Catalog:
    """Parse one catalogue, its locale taken from its folder."""
    with path.open("rb") as stream:
        return read_po(stream, locale=path.parent.parent.name, abort_invalid=True)


def updated(path: Path, catalogue: Catalog, wanted: Catalog) -> Catalog:
    """Write the catalogue with today's texts and read it back."""
    catalogue.update(wanted, no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    catalogue.fuzzy = False
    with path.open("wb") as stream:
        write_po(stream, catalogue, width=110, sort_output=True, omit_header=False, include_lineno=False)
    return read(path)


def faults_of(catalogue: Catalog, wanted: Catalog) -> Iterator[str]:
    """Yield each fault of one catalogue in plain words."""
    if catalogue.fuzzy:
        yield "the header is marked fuzzy, so nothing of it would be compiled"
    for message in texts(wanted):
        have = catalogue.get(message.id, message.context)
        if have is None:
            yield f"missing: {message.id!r}"
        elif not all(have.string if isinstance(have.string, (list, tuple)) else [have.string]):
            yield f"not translated: {message.id!r}"
    for message in texts(catalogue):
        if message.fuzzy:
            yield f"fuzzy: {message.id!r}"
        if wanted.get(message.id, message.context) is None:
            yield f"no longer in the code: {message.id!r}"
        for error in message.check(catalogue):
            yield f"{message.id!r}: {error}"
    for left_over in catalogue.obsolete.values():
        yield f"obsolete: {left_over.id!r}"


def texts(catalogue: Catalog) -> Iterator[Message]:
    """Yield a catalogue's messages without its header."""
    return (message for message in catalogue if message.id)


if __name__ == "__main__":
    sys.exit(main())
