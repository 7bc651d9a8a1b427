"""What import-linter cannot say: the lifecycle, which a newcomer reads first, needs nothing but Python."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from worklist import lifecycle


def test_the_lifecycle_imports_only_the_standard_library() -> None:
    tree = ast.parse(Path(lifecycle.__file__).read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add("a relative import" if node.level else str(node.module).split(".")[0])
    assert imported, "the lifecycle's imports were not found"
    assert imported <= sys.stdlib_module_names
