"""The signed report as a document: its paper form, its seal, and whether a file is genuine.

Part of the reading room's floor. Nothing here knows the web or the database: facts go in, bytes come out.

- `paper` lays a report out as PDF/A-2b; `glyphs` says which characters the fonts can print.
- `seal` signs a PDF in the name of an institution; `checking` says whether such a file is unaltered.
"""
