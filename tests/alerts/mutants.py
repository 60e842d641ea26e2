"""Changed copies of the rules, each with one mistake in it: the tests of alerts/tests/ must notice every one.

    python3 tests/alerts/mutants.py [ALERT ...]    lists the mutants of these alerts that nobody notices
"""
import concurrent.futures
import copy
import os
import pathlib
import re
import sys
import tempfile

import cases
import generate

FLIPS = {">": ("<", ">="), "<": (">", "<="), "==": ("!=",), "!=": ("==",)}
COMPARISON = re.compile(r"(?<![=!<>~])(==|!=|>|<)(?![=~])")
WINDOW = re.compile(r"(?<=\[)(\d+)([smhd])(?=\])|(?<=offset )(\d+)([smhd])")
NUMBER = re.compile(r"(?<![\w.\[:\"$])(\d+(?:\.\d+)?)(?![\w.\]\"])")
QUOTED = re.compile(r'"[^"]*"|\{[^}]*\}')


def outside_quotes(expr, pattern):
    """Matches that are not within a string or a label matcher."""
    taken = [match.span() for match in QUOTED.finditer(expr)]
    return [match for match in pattern.finditer(expr)
            if not any(start <= match.start() < end for start, end in taken)]


def changed(text, match, new):
    return text[:match.start()] + new + text[match.end():]


def of_expression(expr):
    """(what was done, the expression with one mistake)."""
    for number, match in enumerate(outside_quotes(expr, COMPARISON)):
        for new in FLIPS[match.group(1)]:
            yield f"comparison {number} {match.group(1)} to {new}", changed(expr, match, new)
    for number, match in enumerate(outside_quotes(expr, WINDOW)):
        amount, unit = match.group(1) or match.group(3), match.group(2) or match.group(4)
        for new in (f"{2 * int(amount)}{unit}", half(amount, unit)):
            yield f"window {number} {match.group(0)} to {new}", changed(expr, match, new)
    for number, match in enumerate(outside_quotes(WINDOW.sub(lambda m: "x" * len(m.group(0)), expr), NUMBER)):
        value = float(match.group(1))
        for new in ((f"{value * 2:g}", f"{value / 2:g}") if value else ("1",)):
            yield f"number {number} {match.group(1)} to {new}", changed(expr, match, new)


def half(amount, unit):
    seconds = int(amount) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    return f"{seconds // 2}s"


def of_rule(rule):
    """(what was done, the rule with one mistake)."""
    for what, expr in of_expression(rule["expr"]):
        yield what, {**rule, "expr": expr}
    for key in ("for", "keep_firing_for"):
        if key in rule:
            match = re.fullmatch(r"(\d+)([smhd])", rule[key])
            for new in (f"{2 * int(match.group(1))}{match.group(2)}", half(*match.groups())):
                yield f"{key} {rule[key]} to {new}", {**rule, key: new}


def all_mutants(groups):
    """[(rule's name, what was done, all rules with that mistake)]."""
    rules = cases.rules_in(groups)
    for index, rule in enumerate(rules):
        for what, other in of_rule(rule):
            mutated = copy.copy(rules)
            mutated[index] = other
            yield rule.get("alert", rule.get("record")), what, [{"name": "all", "rules": mutated}]


def users_of(groups, tests):
    """{rule's name: the tests that depend on it, the quickest first}."""
    users = {}
    for test_name, test in tests.items():
        for rule in cases.rules_in(cases.needed(groups, cases.alerts_of(test))):
            users.setdefault(rule.get("alert", rule.get("record")), []).append(test_name)
    # An alert's own tests first, then those with the fewest cases.
    return {rule: sorted(names, key=lambda name: (name != rule, len(tests[name]["cases"])))
            for rule, names in users.items()}


def survivors(only=(), on_progress=None):
    """(number of mutants, ["rule: what was done" of those that every test passes])."""
    source = generate.load()
    values = generate.values_of(source)
    groups = generate.complete(generate.groups_of(source), values)
    tests = cases.load_all()
    users = users_of(groups, tests)
    todo = [mutant for mutant in all_mutants(groups) if not only or set(only) & set(users[mutant[0]])]

    def is_noticed(mutant):
        name, _, mutated = mutant
        with tempfile.TemporaryDirectory() as folder:
            return any(cases.run(tests[test], mutated, values, folder, together=False) for test in users[name])

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        noticed = []
        for mutant, seen in zip(todo, pool.map(is_noticed, todo)):
            noticed.append(seen)
            if on_progress:
                on_progress(mutant, seen)
    return len(todo), [f"{name}: {what}" for (name, what, _), seen in zip(todo, noticed) if not seen]


if __name__ == "__main__":
    count, left = survivors(sys.argv[1:], lambda mutant, seen: seen or print("survives:", *mutant[:2], flush=True))
    print(f"{count} mutants, {count - len(left)} noticed ({(count - len(left)) / count:.1%})")
