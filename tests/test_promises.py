"""The fault table in the docs names tests that exist, and no test of a fault is missing there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "promises.md").read_text("utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "::" in line]


def names_in(file: Path) -> set[str]:
    """Names of the test functions and classes at the top of a file."""
    return {
        node.name
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:50])
def test_every_promise_names_a_test_and_what_was_seen(row: str) -> None:
    fault, test, seen = (cell.strip() for cell in row.strip("|").split("|"))
    file, _, name = re.fullmatch(r"`(.+?)(::)(\w+)`", test).groups()  # type: ignore[union-attr]
    assert name in names_in(ROOT / file), test
    assert fault
    assert seen


@pytest.mark.parametrize("file", ["test_store_faults.py", "test_crash.py", "test_determinism.py"])
def test_every_test_of_a_fault_stands_in_the_table(file: str) -> None:
    unused = {
        "test_a_checkpoint_of_other_work_is_not_used",
        "test_a_linked_checkpoint_or_a_broken_order_is_not_used",
    }
    names = {name for name in names_in(ROOT / "tests" / file) if name.startswith("test_")}
    assert not [name for name in names - unused if f"{file}::{name}`" not in PAGE]
