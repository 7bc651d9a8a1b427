"""What must never happen, tried at a size that fits into every landing.

`PROMISES_SCALE=50` tries fifty times as much; with `PROMISES_FIGURES=file` each test adds a line of what it counted.
"""
