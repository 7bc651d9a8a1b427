"""Several sheets as one PDF, to be printed together.

The joined file is paper on its way to a printer and nothing more: seals do not survive it, and it carries none.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import PdfFileWriter

from worklist.errors import Broken

INHERITED = ("/Resources", "/MediaBox", "/CropBox", "/Rotate")
"""What a page may have from the nodes above it (ISO 32000-1, 7.7.3.4)."""


def join(sheets: Iterable[bytes]) -> bytes:
    """The pages of all `sheets` in their order.

    Raises
    ------
    Broken
        ``document_unreadable``.
    """
    writer = PdfFileWriter()  # type: ignore[no-untyped-call]
    try:
        for sheet in sheets:
            for page in _pages(PdfFileReader(io.BytesIO(sheet))):
                writer.insert_page(writer.import_object(page))  # type: ignore[no-untyped-call]
    except (PdfError, ValueError, KeyError) as error:
        raise Broken("document_unreadable") from error
    out = io.BytesIO()
    writer.write(out)  # type: ignore[no-untyped-call]
    return out.getvalue()


def _pages(reader: PdfFileReader) -> Iterator[generic.DictionaryObject]:
    yield from _under(reader.root["/Pages"], {})


def _under(node: generic.DictionaryObject, above: dict[str, generic.PdfObject]) -> Iterator[generic.DictionaryObject]:
    has = above | {name: node.raw_get(name) for name in INHERITED if name in node}
    if node["/Type"] == "/Pages":
        for child in node["/Kids"]:
            yield from _under(child.get_object(), has)
        return
    # Annotations are the seal's field and links; neither is ink.
    entries = {pdf_name(name): value for name, value in has.items()}
    page = generic.DictionaryObject(entries)  # type: ignore[no-untyped-call]
    page[pdf_name("/Type")] = pdf_name("/Page")
    page[pdf_name("/Contents")] = node.raw_get("/Contents")
    page.container_ref = node.container_ref
    yield page
