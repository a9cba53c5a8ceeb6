"""report.py - what was measured, as rows: printed as one table, written as JSON.

A row compares convd with a peer that was measured in the same run, or stands alone. `ratio` says how many times better convd is (1 is
equal), whatever the unit; a goal is put to the ratio or to convd's own value, and is then met or not. A row whose
peer is missing says so, and leaves the run incomplete: nothing is skipped in silence.
"""
import json
import statistics
from dataclasses import asdict, dataclass, field


@dataclass
class Goal:
    of: str  # "ratio" or "value"
    at_least: bool
    figure: float

    def met(self, row: "Row") -> bool | None:
        value = row.ratio if self.of == "ratio" else row.convd
        if value is None or not row.judged:
            return None
        return value >= self.figure if self.at_least else value <= self.figure

    def text(self, unit: str) -> str:
        figure = times(self.figure) if self.of == "ratio" else with_unit(self.figure, unit)
        return f"{'>=' if self.at_least else '<='} {figure}"


def at_least(figure: float, of: str = "ratio") -> Goal:
    return Goal(of, True, figure)


def at_most(figure: float, of: str = "value") -> Goal:
    return Goal(of, False, figure)


@dataclass
class Row:
    id: str
    what: str
    unit: str
    convd: float | None
    peer_name: str = ""
    peer: float | None = None
    ratio: float | None = None
    goal: Goal | None = None
    note: str = ""
    judged: bool = True  # false: the figure is not what the goal is about (no MNIST, or a machine that others used)

    @property
    def met(self) -> bool | None:
        return self.goal.met(self) if self.goal else None


@dataclass
class Report:
    machine: dict
    rows: list[Row] = field(default_factory=list)
    raw: dict = field(default_factory=dict)  # every round, and what a picture needs
    missing: list[str] = field(default_factory=list)

    def add(self, *args, **kwargs) -> Row:
        self.rows.append(Row(*args, **kwargs))
        return self.rows[-1]

    def lack(self, what: str) -> None:
        if what not in self.missing:
            self.missing.append(what)

    def find(self, row_id: str) -> Row | None:
        return next((row for row in self.rows if row.id == row_id), None)

    def as_json(self) -> str:
        rows = [asdict(row) | {"met": row.met} for row in self.rows]
        return json.dumps({"machine": self.machine, "rows": rows, "missing": self.missing, "raw": self.raw}, indent=1) + "\n"

    def table(self) -> str:
        lines = [("what", "convd", "peer", "ratio", "goal", "met", "")]
        for r in self.rows:
            peer = f"{with_unit(r.peer, r.unit)} {r.peer_name}" if r.peer is not None else r.peer_name or "-"
            lines.append((
                r.what,
                with_unit(r.convd, r.unit),
                peer,
                times(r.ratio),
                r.goal.text(r.unit) if r.goal else "-",
                {None: "-", True: "yes", False: "NO"}[r.met],
                r.note,
            ))
        widths = [max(len(line[i]) for line in lines) for i in range(6)]
        left = (0, 2, 4, 6)
        text = []
        for n, line in enumerate(lines):
            cells = [cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths + [0]))]
            text.append("  ".join(cells).rstrip())
            if n == 0:
                text.append("  ".join("-" * w for w in widths))
        return "\n".join(text) + "\n"

    def summary(self) -> str:
        goals = [row for row in self.rows if row.goal]
        met, judged = sum(row.met is True for row in goals), sum(row.met is not None for row in goals)
        text = f"{met} of {judged} goals met"
        if judged < len(goals):
            text += f", {len(goals) - judged} not judged"
        return text + "".join(f"\nmissing: {what}" for what in self.missing)


def times(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    return f"{ratio:.{1 if ratio >= 10 else 2 if ratio >= 1 else 3}f} x"


def with_unit(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 20 or unit == "MiB" else 2
    if unit == "%":
        digits = 2
    number = f"{value:,.{digits}f}"
    return f"{number}{unit}" if unit.startswith("/") else f"{number} {unit}".rstrip()


def median(values: list[float]) -> float:
    return float(statistics.median(values))
