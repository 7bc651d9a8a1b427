"""`python -m huren.cli`."""

from huren.cli import main

main()
