"""A strict reader of Prometheus's text format, version 0.0.4."""
from __future__ import annotations

import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf'({NAME})(?:\{{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\}})? (\S+)')


def parse(text: str) -> dict[str, dict]:
    """{family: {"type", "help", "samples": {(name, labels): value}}}; an assertion for whatever breaks the format."""
    assert text.endswith("\n")
    families: dict[str, dict] = {}
    current = None
    for line in text.splitlines():
        if not line:
            continue
        if line.startswith("# "):
            word, name, rest = line[2:].split(" ", 2)
            assert word in ("HELP", "TYPE"), line
            if name != current:
                assert name not in families, f"{name}: its lines are not together"
                families[name] = {"samples": {}}
                current = name
            assert word.lower() not in families[name], f"{name}: {word} twice"
            assert not families[name]["samples"], f"{name}: {word} after samples"
            families[name][word.lower()] = rest
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        name, labels, value = match[1], match[2] or "", float(match[3])
        family = families.get(current)
        assert family is not None and "type" in family and "help" in family, f"{name}: no TYPE or HELP before it"
        suffixes = ("_bucket", "_sum", "_count") if family["type"] == "histogram" else ("",)
        assert name in [current + suffix for suffix in suffixes], f"{name} under {current}"
        assert (name, labels) not in family["samples"], f"{line}: twice"
        family["samples"][name, labels] = value
    return families


def metric(daemon, name: str) -> float:
    """What the daemon tells of it now."""
    return value(parse(daemon.get("/metrics").body.decode()), name)


def value(families: dict[str, dict], name: str, labels: str = "") -> float:
    return families[name]["samples"][name, labels]
