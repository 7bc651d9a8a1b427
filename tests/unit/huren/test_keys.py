"""Rows without bytes and bytes without rows, in a table that needs no memory."""

from __future__ import annotations

from pathlib import Path

from huren.keeping.keys import KeyTable
from worklist.queries.stored import Referred


def test_what_is_missing_and_what_is_an_orphan(tmp_path: Path) -> None:
    with KeyTable(tmp_path) as table:
        table.refer([Referred("a", "1", "image"), Referred("b", "2", "image"), Referred("c", "", "set aside")])
        table.hold(["b", "d"])
        assert [row.key for row in table.missing()] == ["a", "c"]
        assert list(table.orphans()) == ["d"]
        assert list(tmp_path.iterdir()) == []  # nobody sees it, nothing is left of it


def test_a_key_that_comes_twice_keeps_the_digest_that_is_known(tmp_path: Path) -> None:
    with KeyTable(tmp_path) as table:
        table.refer([Referred("a", "", "set aside"), Referred("a", "1", "image")])
        assert list(table.referred()) == [Referred("a", "1", "set aside")]


def test_bytes_in_an_archive_alone_are_not_missing(tmp_path: Path) -> None:
    with KeyTable(tmp_path) as table:
        table.refer([Referred("a", "1", "image", "archived"), Referred("b", "", "prepared", "derived")])
        assert [row.key for row in table.missing()] == ["b"]


def test_references_are_asked_for_again(tmp_path: Path) -> None:
    with KeyTable(tmp_path) as table:
        table.refer([Referred("a", "1", "image")])
        table.hold(["a"])
        table.forget_references()
        assert list(table.orphans()) == ["a"]
        table.refer([Referred("a", "1", "image")])
        assert list(table.orphans()) == []
