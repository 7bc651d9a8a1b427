"""Mirrors the packages; no sockets, files or databases."""
