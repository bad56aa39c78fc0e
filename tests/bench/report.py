"""Figures of several rounds, set beside each other: medians, and how much less one server costs than the other."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tests.bench.measures import Figure


@dataclass
class Results:
    """Every figure of every round, by server and by name."""

    values: dict[str, dict[tuple[str, str], list[float]]] = field(default_factory=dict)

    def add(self, server: str, figures: Sequence[Figure]) -> None:
        """Keep the figures of one server in one round."""
        for figure in figures:
            self.values.setdefault(server, {}).setdefault((figure.name, figure.unit), []).append(figure.value)

    def table(self) -> str:
        """A line per figure: the median of each server, and the ratio of the second to the first."""
        servers = list(self.values)
        names = list(dict.fromkeys(key for figures in self.values.values() for key in figures))
        with_ratio = len(servers) == 2
        head = ["", "", *servers, *([f"{servers[1]} / {servers[0]}"] if with_ratio else [])]
        rows = [head]
        for key in names:
            medians = [median(self.values[server][key]) if key in self.values[server] else None for server in servers]
            row = [*key, *("" if value is None else shown(value) for value in medians)]
            if with_ratio:
                first, second = medians
                row.append(shown(second / first) if first and second is not None else "")
            rows.append(row)
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if column < 2 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )

    # Any: JSON.
    def to_json(self, conditions: Mapping[str, Any]) -> str:
        """Everything, for a later comparison."""
        servers = {
            server: [
                {"name": name, "unit": unit, "median": median(values), "rounds": values}
                for (name, unit), values in figures.items()
            ]
            for server, figures in self.values.items()
        }
        return json.dumps({"conditions": conditions, "servers": servers}, indent=2)


def shown(value: float) -> str:
    """A number with three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
