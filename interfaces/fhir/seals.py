"""With which certificate a PDF is sealed, as its signature (PAdES, ETSI EN 319 142-1) says."""

from __future__ import annotations

import io

from worklist.facts import SealedBy


def sealed_by(pdf: bytes) -> SealedBy | None:
    """The certificate of the newest signature; None where there is none, or it cannot be read. It is not verified:
    that is what /verify is for."""
    from pyhanko.pdf_utils.misc import PdfError
    from pyhanko.pdf_utils.reader import PdfFileReader

    try:
        signatures = PdfFileReader(io.BytesIO(pdf)).embedded_signatures
        if not signatures:
            return None
        certificate = signatures[-1].signer_cert
        subject = certificate.subject.native.get("common_name", "")
        return SealedBy(str(subject), certificate.sha256.hex())
    except (PdfError, ValueError, KeyError, TypeError, AttributeError):
        return None
