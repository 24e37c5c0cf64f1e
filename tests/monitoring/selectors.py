"""What expressions of PromQL read."""

from __future__ import annotations

import promql_parser


def selectors(expression: str) -> set[str]:
    """Return the instant vector selectors in an expression, each as PromQL without range and offset."""
    found: set[str] = set()

    def collect(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.add(f"{node.name or ''}{node.matchers}")

    promql_parser.walk(promql_parser.parse(expression), collect)
    return found
