"""The alarms and the table of metrics in the documentation speak of metrics and labels that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics_core import Metric

from gateway.meters import PROCESS
from huren.metrics import WATCHER, Waiting
from huren.settings import Settings
from tests.world import build
from worklist.database import Database, sqlite_url

DOCS = Path(__file__).parents[2] / "docs"
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
NAME = re.compile(r"\b(?:huren|process)_\w+")
SELECTOR = re.compile(r"\b((?:huren|process)_\w+)(?:\{([^}]*)\})?")
EXPRESSION = re.compile(r"(?:(?:max|min|sum|absent|rate)(?: by \([a-z, ]+\))? ?\()*SELECTOR(?:\[\d+m\])?\)*")
NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> list[Metric]:
    folder = tmp_path_factory.mktemp("data")
    database = Database(sqlite_url(folder / "huren.db"))
    try:
        build(database, NOW)
        found = list(Waiting(Settings(data=folder), database, lambda: NOW, WATCHER).collect())
    finally:
        database.close()
    return [*found, *PROCESS.collect()]


def samples(families: list[Metric]) -> set[str]:
    return {family.name + suffix for family in families for suffix in SUFFIXES[family.type]}


def rules() -> Iterator[dict[str, Any]]:
    content = yaml.safe_load((DOCS / "alerts.yaml").read_text("utf-8"))
    assert set(content) == {"groups"}
    for group in content["groups"]:
        assert set(group) == {"name", "rules"}
        yield from group["rules"]


def labels_of(name: str) -> set[str]:
    """Labels of a metric as the table says them."""
    for line in (DOCS / "operations.md").read_text("utf-8").splitlines():
        if line.startswith("| `") and f"`{name}`" in line.split("|")[1]:
            return set(re.findall(r"[a-z]+", line.split("|")[2]))
    raise AssertionError(f"{name} is not in the table")


def test_every_alarm_is_a_rule_about_metrics_that_exist(families: list[Metric]) -> None:
    known, seen = samples(families), set()
    for rule in rules():
        assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}, rule
        assert rule["alert"] not in seen
        seen.add(rule["alert"])
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert set(NAME.findall(rule["expr"])) <= known, rule["expr"]
        wanted = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", rule["expr"]))))
        for name, selected in SELECTOR.findall(rule["expr"]):
            plain = re.sub(r"_(bucket|count|sum)$", "", name)
            assert set(re.findall(r"(\w+)(?==|!=)", selected)) | kept <= labels_of(plain), rule["expr"]
            if "by (" not in rule["expr"]:
                assert wanted <= labels_of(plain)
            else:
                assert wanted <= kept, rule


def test_every_alarm_can_be_read_by_prometheus() -> None:
    for rule in rules():
        sides = re.split(r" (?:>|<|==) ", rule["expr"])
        assert len(sides) <= 2
        for side in sides:
            assert side.count("(") == side.count(")"), side
            bare = SELECTOR.sub("SELECTOR", side)
            assert re.fullmatch(r"[\d.]+", side) or EXPRESSION.fullmatch(bare), side


def test_the_table_names_every_metric_and_no_other(families: list[Metric]) -> None:
    text = (DOCS / "operations.md").read_text("utf-8")
    table = text[text.index("### Metrics") : text.index("### Logs")]
    named = set(NAME.findall("\n".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))))
    ours = [family for family in families if family.name.startswith("huren_")]
    whole = {family.name + ("_total" if family.type == "counter" else "") for family in ours}
    assert {name for name in named if name.startswith("huren_")} == whole
    assert {name for name in named if name.startswith("process_")} <= samples(families)


def test_the_table_s_labels_are_the_metrics_own(families: list[Metric]) -> None:
    for family in families:
        if not family.name.startswith("huren_"):
            continue
        name = family.name + ("_total" if family.type == "counter" else "")
        for sample in family.samples:
            assert set(sample.labels) - {"le"} <= labels_of(name), sample
