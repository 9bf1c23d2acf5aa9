"""Every trap and rule that this version answers for has a test that bears its number."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent

TRAPS = [f"T{n:02}" for n in range(1, 52)]
RULES = [*(f"A{n}" for n in range(1, 11)), "B", "C", "D", "G"]


@cache
def bearers() -> dict[str, list[str]]:
    """The tests that carry each number in a marker and in their name."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for number in _numbers(node.decorator_list):
                if number.lower() in node.name.split("_"):
                    found[number].append(f"{path.name}::{node.name}")
    return found


def _numbers(decorators: list[ast.expr]):
    for decorator in decorators:
        if (
            isinstance(decorator, ast.Call)
            and isinstance(decorator.func, ast.Attribute)
            and decorator.func.attr in ("trap", "rule")
        ):
            yield from (a.value for a in decorator.args if isinstance(a, ast.Constant))


def test_every_trap_of_this_version_has_a_test_that_bears_its_number():
    assert [trap for trap in TRAPS if not bearers().get(trap)] == []


def test_every_rule_has_a_test_that_bears_its_name():
    assert [rule for rule in RULES if not bearers().get(rule)] == []
