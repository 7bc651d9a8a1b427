"""The languages, piece by piece."""
