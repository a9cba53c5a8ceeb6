"""picture.py - bench.png: the report at a glance. Four panels: arithmetic, learning, service, memory; what was not measured is left out."""
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
    dress(axes, "POST /predict, raw 28x28, 16 connections, one machine")
    row = report.find("serve-rate")
    if row is None or row.convd is None:
        return nothing(axes)

    def text(value: float, which: str) -> str:
        p50, p99 = (getattr(report.find(f"serve-{p}"), which) for p in ("p50", "p99"))
        return f"{value:,.0f}/s\np50 {p50:.0f} us, p99 {p99:,.0f} us"

    labels, values, colors = ["bare handler", "convd"], [row.peer, row.convd], [PEER, OURS]
    texts = [text(row.peer, "peer"), text(row.convd, "convd")]
    for connections in (16, 1):
        if train := report.find(f"serve-train-{connections}"):
            labels.append(f"convd, POST /train,\n{connections} connection{'s' if connections > 1 else ''}")
            values.append(train.convd)
            colors.append(OURS)
            texts.append(f"{train.convd:,.0f}/s, durable")
    bars(axes, labels, values, colors, texts, goals={1: row.goal.figure * row.peer})
    axes.set_xlim(0, max(values) * 1.5)


def memory(axes: Axes, report: Report) -> None:
    dress(axes, "Resident memory under predictions")
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
    figure, panels = plt.subplots(2, 2, figsize=(12.5, 8.2), facecolor="white", gridspec_kw={"height_ratios": [1.15, 1]})
    for axes, panel in zip(panels.flat, (arithmetic, learning, service, memory)):
        panel(axes, report)
    cores, cpu = report.machine["cores"], report.machine["cpu"]
    figure.suptitle("convd, measured", x=0.015, y=0.985, ha="left", fontsize=16, fontweight="bold", color=INK)
    figure.text(0.015, 0.925, f"{cpu}, {cores} cores; every ratio from one run; {report.summary().splitlines()[0]}", fontsize=10, color="#666666")
    figure.tight_layout(rect=(0, 0, 1, 0.92), h_pad=2.5, w_pad=3)
    figure.savefig(path, dpi=110)
    plt.close(figure)
