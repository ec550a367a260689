#!/usr/bin/env python3
"""Compares a report of wstest with expected.json.

    autobahn/check.py INDEX --agent NAME... --group GROUP...
    autobahn/check.py --group GROUP...

INDEX is the index.json of a report. Each agent must have exactly the cases of the groups, and each case exactly the
behavior and the behaviorClose that are expected. A GROUP is a number, such as 6, or one case, such as 6.4.3. Without
INDEX, checks only that the groups exist, and prints their cases.

In expected.json, `cases` has the number of cases of each section (they are numbered from 1), and `not_ok` the behavior
and the behaviorClose of each case that is not OK in both.

Prints a line for each difference, then for each agent a line with its results and one with `N passed, N failed`.
Exit code 0: as expected; 1: not as expected; 2: unknown group.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

OK = ("OK", "OK")


def expected_results(expectation, groups):
    """Returns the cases of the groups, in the suite's order: id -> (behavior, behaviorClose)."""
    cases = [f"{section}.{number}" for section, count in expectation["cases"].items() for number in range(1, count + 1)]
    for group in groups:
        if not any(belongs(case, group) for case in cases):
            raise ValueError(f"no such group or case: {group}")
    wanted = [case for case in cases if any(belongs(case, group) for group in groups)]
    return {case: tuple(expectation["not_ok"].get(case, OK)) for case in wanted}


def belongs(case, group):
    return group in (case, case.split(".")[0])


def report(expected, index, agents):
    """Compares an index with the expectation. Returns the lines to print, and True if it is as expected."""
    lines = [f"{agent}: not expected at all" for agent in index if agent not in agents]
    good = bool(agents) and not lines
    for agent in agents:
        found = {
            case: (result.get("behavior"), result.get("behaviorClose")) for case, result in index.get(agent, {}).items()
        }
        wrong, passed, failed = compare(expected, found)
        counts = Counter(map(name, found.values()))
        got = ", ".join(f"{count} {result}" for result, count in counts.items())
        lines += [f"{agent}: {line}" for line in [*wrong, got or "no results"]]
        lines.append(f"{passed} passed, {failed} failed")
        good = good and failed == 0 and passed > 0
    return lines, good


def compare(expected, found):
    """Compares an agent's results. Returns a line for each difference, and the numbers of cases passed and failed."""
    wrong = [case for case in expected if case in found and found[case] != expected[case]]
    missing = [case for case in expected if case not in found]
    extra = [case for case in found if case not in expected]
    lines = [f"{case} is {name(found[case])}, expected {name(expected[case])}" for case in wrong]
    if missing:
        lines.append(f"{len(missing)} missing: {abridged(missing)}")
    if extra:
        lines.append(f"{len(extra)} not expected: {abridged(extra)}")
    return lines, len(expected) - len(wrong) - len(missing), len(wrong) + len(missing) + len(extra)


def name(result):
    behavior, close = result
    return str(behavior) if behavior == close else f"{behavior} (close {close})"


def abridged(cases):
    shown = 10  # as many as fit on a line
    return " ".join(cases[:shown]) + (" ..." if len(cases) > shown else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path, nargs="?")
    parser.add_argument("--agent", nargs="+", default=[])
    parser.add_argument("--group", nargs="+", required=True)
    args = parser.parse_args()

    expectation = json.loads(Path(__file__).with_name("expected.json").read_text())
    try:
        expected = expected_results(expectation, args.group)
    except ValueError as error:
        parser.error(str(error))
    if not args.index:
        print("\n".join(expected))
        return
    if not args.agent:
        parser.error("an index without agents to look for")
    # A missing report counts as one without results.
    index = json.loads(args.index.read_text()) if args.index.exists() else {}
    lines, good = report(expected, index, args.agent)
    print("\n".join(lines))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
