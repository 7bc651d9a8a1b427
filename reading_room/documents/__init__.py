"""The signed report as a document: its paper form, its seal, and whether a file is genuine.

Part of the reading room's floor. Nothing here knows the web or the database: facts go in, bytes come out.

- `paper` lays a report out as PDF/A-2b; `glyphs` says which characters the fonts can print.
- `signer` is who signs in the name of an institution: `seal`, a key of ours, or `service`, a service that holds it.
- `pades` signs a PDF, and `checking` says whether such a file is unaltered; `content` does both for JSON and DICOM.
- `keys` is the small file of public keys with which anybody checks them elsewhere.
"""
