"""picture.py - bench.png: the report at a glance. Panels: arithmetic, learning, service, peer, memory; what was not measured says so."""
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no display

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from report import Report, times, with_unit

OURS, PEER, FLOOR, GOAL, INK, PALE = "#1f6f8b", "#c9b79c", "#8fb8a8", "#b5403a", "#2b2b2b", "#e6e3dc"


def dress(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=12)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(PALE)
    axes.tick_params(length=0, colors=INK, labelsize=9)
    axes.set_axisbelow(True)


def bars(axes: Axes, labels: list[str], values: list[float], colors: list[str], texts: list[str],
         log: bool = False, goals: dict[int, float] | None = None) -> None:
    """Horizontal, first on top, each with its figure at its end; a red mark where its goal is."""
    goals = goals or {}
    at = range(len(values))
    axes.barh(at, values, color=colors, height=0.66)
    axes.set_yticks(at, labels)
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    if log:
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 2.2, max(values) * 4)
        axes.set_xticks([], minor=True)
        axes.set_xticks([])
    else:
        axes.set_xlim(0, max(values) * 1.32)
    for y, goal in goals.items():
        axes.plot([goal] * 2, [y - 0.4, y + 0.4], color=GOAL, linewidth=2)
    for y, (value, text) in enumerate(zip(values, texts)):
        axes.annotate(text, (max(value, goals.get(y, 0)), y), (6, 0), textcoords="offset points", va="center", fontsize=9, color=INK)


def nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not measured", ha="center", va="center", color="#888888", transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines["bottom"].set_visible(False)


def arithmetic(axes: Axes, report: Report) -> None:
    dress(axes, "One sample on one core (logarithmic)")
    labels, values, colors, texts = [], [], [], []
    for verb, name in (("forward", "forward"), ("step", "train step")):
        row = report.find(f"core-{verb}")
        if row is None:
            continue
        if row.peer:
            labels.append(f"{name}, PyTorch")
            values.append(row.peer)
            colors.append(PEER)
            texts.append(with_unit(row.peer, "us"))
        arithmetics = [r for r in report.rows if r.id.startswith(f"floor-{verb}-") and r.peer]
        for r in arithmetics or [row]:
            labels.append(f"{name}, convd {r.id.removeprefix(f'floor-{verb}-')}" if arithmetics else f"{name}, convd")
            values.append(r.convd)
            colors.append(OURS)
            against = f"{times(row.peer / r.convd)} as fast" if row.peer else ""
            texts.append(f"{with_unit(r.convd, 'us')}   {against}".rstrip())
        if arithmetics:
            labels.append("floor of the machine")
            values.append(arithmetics[0].peer)
            colors.append(FLOOR)
            texts.append(with_unit(arithmetics[0].peer, "us"))
    if not values:
        return nothing(axes)
    bars(axes, labels, values, colors, texts, log=True)


def learning(axes: Axes, report: Report) -> None:
    learn = report.raw.get("learn")
    dress(axes, f"Learning {learn['data']} by the shipped commands" if learn else "Learning")
    rows = [(report.find(i), label) for i, label in (
        ("learn-online", "one pass,\ntest-then-train"), ("learn-test", "one pass, test"), ("learn-12", "12 passes, test"))]
    rows = [(row, label) for row, label in rows if row]
    if not rows:
        return nothing(axes)
    low = min(row.convd for row, _ in rows)
    low = max(0, low - (100 - low))
    at = range(len(rows))
    axes.barh(at, [row.convd - low for row, _ in rows], left=low, color=OURS, height=0.6)
    axes.set_yticks(at, [label for _, label in rows])
    axes.invert_yaxis()
    axes.set_xlim(low, 100 + (100 - low) * 0.3)
    axes.set_xticks([tick for tick in range(0, 101, 2 if 100 - low > 6 else 1) if low <= tick <= 100])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    for y, (row, _) in enumerate(rows):
        goal = row.goal.figure if row.goal and row.judged else 0
        if goal:
            axes.plot([goal] * 2, [y - 0.42, y + 0.42], color=GOAL, linewidth=2)
        axes.annotate(with_unit(row.convd, "%"), (max(row.convd, goal), y), (6, 0), textcoords="offset points", va="center", fontsize=9)
    seconds = report.find("learn-seconds")
    axes.set_xlabel(f"one durable pass takes {seconds.convd:.2f} s; red: the goal", fontsize=9, color=INK)


def service(axes: Axes, report: Report) -> None:
    dress(axes, "POST /predict against a bare handler")
    names = {"raw": "raw", "png": "PNG", "json": "JSON"}
    rows = {kind: row for kind in names if (row := report.find(f"serve-{kind}")) and row.peer}
    if not rows:
        return nothing(axes)
    labels, values, colors, texts, goals = [], [], [], [], {}
    for kind, row in rows.items():
        goals[len(values) + 1] = row.goal.figure * row.peer
        labels += [f"{names[kind]}, bare", f"{names[kind]}, convd"]
        values += [row.peer, row.convd]
        colors += [PEER, OURS]
        texts += [f"{row.peer / 1e3:.0f},000/s", f"{row.convd / 1e3:.0f},000/s   {times(row.ratio)}"]
    bars(axes, labels, values, colors, texts, goals=goals)
    axes.set_xlim(0, max(values) * 1.42)
    most = report.raw.get("serve", {}).get("bound", {}).get("raw")
    if most and "raw" in rows:
        axes.plot([most * rows["raw"].peer] * 2, [0.6, 1.4], color=INK, linewidth=1.2, linestyle=(0, (2, 1.5)))
    axes.set_xlabel("red: the goal; dotted: a bare handler that also\ncomputes the network, with wrk on the same cores", fontsize=9, color=INK)


def peer(axes: Axes, report: Report) -> None:
    dress(axes, "Against FastAPI + PyTorch (logarithmic)")
    names = {"peer-predict": "predict,\n16 connections", "peer-train-16": "train, durable,\n16 connections",
             "peer-train-1": "train, durable,\n1 connection", "peer-memory": "memory"}
    rows = [(row, name) for i, name in names.items() if (row := report.find(i)) and row.ratio]
    if not rows:
        return nothing(axes)
    texts = [f"{times(row.ratio)}{' less' if row.unit == 'MiB' else ''}\n{with_unit(row.convd, row.unit)} : {with_unit(row.peer, row.unit)}" for row, _ in rows]
    bars(axes, [name for _, name in rows], [row.ratio for row, _ in rows], [OURS] * len(rows), texts, log=True,
         goals={i: row.goal.figure for i, (row, _) in enumerate(rows) if row.goal})
    axes.set_xlim(1, max(row.ratio for row, _ in rows) * 14)
    axes.set_xlabel("times as fast, or as small; red: the goal.\nThe peer keeps nothing on disk.", fontsize=9, color=INK)


def memory(axes: Axes, report: Report) -> None:
    dress(axes, "Resident memory")
    points = report.raw.get("serve", {}).get("memory")
    if not points:
        return nothing(axes)
    x, y = [n / 1e6 for n, _ in points], [mib for _, mib in points]
    axes.plot(x, y, color=OURS, linewidth=2, marker="o", markersize=4)
    axes.axhline(24, color=GOAL, linewidth=1.5)
    axes.annotate("goal: at most 24 MiB", (max(x), 24), (0, -12), textcoords="offset points", ha="right", fontsize=9, color=GOAL)
    axes.annotate(f"{y[-1]:.1f} MiB", (x[-1], y[-1]), (0, 8), textcoords="offset points", ha="right", fontsize=9, color=INK)
    axes.set_ylim(0, max(27, max(y) * 1.15))
    axes.set_xlabel("million predictions", fontsize=9, color=INK)
    axes.set_ylabel("MiB", fontsize=9, color=INK)
    axes.grid(axis="y", color=PALE)


def draw(report: Report, path: Path) -> None:
    plt.rcParams["font.family"] = "DejaVu Sans"
    figure = plt.figure(figsize=(14, 9), facecolor="white")
    grid = figure.add_gridspec(2, 6, height_ratios=[1.1, 1])
    for panel, place in ((arithmetic, grid[0, :3]), (learning, grid[0, 3:]), (service, grid[1, :2]), (peer, grid[1, 2:4]), (memory, grid[1, 4:])):
        panel(figure.add_subplot(place), report)
    cores, cpu = report.machine["cores"], report.machine["cpu"]
    figure.suptitle("convd, measured", x=0.015, y=0.985, ha="left", fontsize=16, fontweight="bold", color=INK)
    figure.text(0.015, 0.932, f"{cpu}, {cores} cores; every ratio from one run; {report.summary().splitlines()[0]}", fontsize=10, color="#666666")
    figure.tight_layout(rect=(0, 0, 1, 0.93), h_pad=2.5, w_pad=2)
    figure.savefig(path, dpi=110)
    plt.close(figure)
