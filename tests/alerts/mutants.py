"""Changed copies of the rules, each with one mistake in it: the tests of alerts/tests/ must notice every one.

    python3 tests/alerts/mutants.py [ALERT ...]    lists the mutants of these alerts that nobody notices
"""
import collections
import concurrent.futures
import copy
import os
import re
import sys
import tempfile
import zlib

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


class Hunt:
    """Runs the tests against mutants. What noticed one mistake of a rule is likely to notice the next one, so the
    cases are tried in that order: three alone, then the others together. The order changes the time, never the
    result."""

    def __init__(self):
        source = generate.load()
        self.values = generate.values_of(source)
        self.groups = generate.complete(generate.groups_of(source), self.values)
        self.tests = cases.load_all()
        self.users = users_of(self.groups, self.tests)
        self.noticed_by = collections.Counter()

    def is_noticed(self, mutant):
        name, _, mutated = mutant
        with tempfile.TemporaryDirectory() as folder:
            return any(self.is_noticed_by(name, test, mutated, folder) for test in self.users[name])

    def is_noticed_by(self, name, test, mutated, folder):
        numbers = sorted(range(len(self.tests[test]["cases"])),
                         key=lambda number: -self.noticed_by[name, test, number])
        for number in numbers[:3]:
            if cases.run(self.tests[test], mutated, self.values, folder, [number]):
                self.noticed_by[name, test, number] += 1
                return True
        said = cases.run(self.tests[test], mutated, self.values, folder, numbers[3:])
        for number in numbers[3:] if said else []:
            self.noticed_by[name, test, number] += self.tests[test]["cases"][number]["name"] in said
        return bool(said)


def key_of(mutant):
    return f"{mutant[0]}: {mutant[1]}"


def one_of_three(mutants):
    """A third of them, spread over all rules and the same in every run."""
    return [mutant for mutant in mutants if zlib.crc32(key_of(mutant).encode()) % 3 == 0]


def survivors(only=(), listed=(), every=True):
    """(names of all mutants, of those tried, of those that every test passes). The `listed` ones are not run: they
    survive."""
    hunt = Hunt()
    mutants = [mutant for mutant in all_mutants(hunt.groups) if not only or set(only) & set(hunt.users[mutant[0]])]
    tried = mutants if every else one_of_three(mutants)
    todo = [mutant for mutant in tried if key_of(mutant) not in listed]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        left = [key_of(mutant) for mutant, seen in zip(todo, pool.map(hunt.is_noticed, todo)) if not seen]
    return [key_of(mutant) for mutant in mutants], [key_of(mutant) for mutant in tried], left


if __name__ == "__main__":
    _, names, alive = survivors(sys.argv[1:])
    print(*(f"survives: {name}" for name in alive), sep="\n")
    print(f"{len(names)} mutants, {len(names) - len(alive)} noticed ({1 - len(alive) / len(names):.1%})")
