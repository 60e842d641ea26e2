"""Just enough of PromQL's grammar to say what a query selects, and how; promtool checks the rest."""
import dataclasses
import re

TOKEN = re.compile(r"""
    (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
  | (?P<number>\d[\w.]*|\.\d+)
  | (?P<name>\$?[a-zA-Z_:][\w:]*|\$\{\w+(?::\w+)?\})
  | (?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^<>=(){}\[\],:@])
  | (?P<blank>\s+)""", re.X)
LABEL_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan", "start", "end"}


class Unreadable(Exception):
    pass


@dataclasses.dataclass
class Selector:
    metric: str
    matchers: dict           # label -> (operator, value)
    window: str              # what is between [ and ], or ""
    inside: str              # the function or aggregation whose argument this is, or ""


def tokens(query):
    found, at = [], 0
    while at < len(query):
        match = TOKEN.match(query, at)
        if not match:
            raise Unreadable(f"at {at}: {query[at:at + 20]}")
        if match.lastgroup != "blank":
            found.append((match.lastgroup, match.group(0)))
        at = match.end()
    return found


def _matchers(words, at):
    """The matchers from `{` at `at` on, and where they end."""
    matchers, at = {}, at + 1
    while words[at][1] != "}":
        if words[at][1] == ",":
            at += 1
            continue
        (_, label), (_, operator), (kind, value) = words[at:at + 3]
        if kind != "string" or label in matchers:
            raise Unreadable(f"matcher {label}{operator}{value}")
        matchers[label] = (operator, value[1:-1])
        at += 3
    return matchers, at + 1


def parse(query):
    """(selectors, labels named in by (), on () and the like)"""
    words = tokens(query) + [("end", "")] * 3
    selectors, labels, open_calls, at = [], set(), [], 0
    while words[at][0] != "end":
        kind, text = words[at]
        if kind == "name" and text in LABEL_LISTS:
            at += 1
            while words[at][1] == "(" or words[at][0] == "name" or words[at][1] == ",":
                labels |= {words[at][1]} if words[at][0] == "name" else set()
                at += 1
            at += 1
            if words[at][1] == "(":   # sum by (a) (…): the argument of an aggregation
                open_calls.append("aggregation")
                at += 1
            continue
        if text == "(":
            open_calls.append(words[at - 1][1] if at and words[at - 1][0] == "name" else "")
        elif text == ")":
            open_calls.pop()
        elif kind == "name" and text not in WORDS and words[at + 1][1] != "(" and words[at + 1][1] not in LABEL_LISTS:
            matchers, window, after = {}, "", at + 1
            if words[after][1] == "{":
                matchers, after = _matchers(words, after)
            if words[after][1] == "[":
                end = next(i for i in range(after, len(words)) if words[i][1] == "]")
                window, after = "".join(word for _, word in words[after + 1:end]), end + 1
            selectors.append(Selector(text, matchers, window, open_calls[-1] if open_calls else ""))
            at = after
            continue
        at += 1
    if open_calls:
        raise Unreadable(f"{len(open_calls)} parentheses stay open: {query}")
    return selectors, labels


def filled(query, values):
    """`query` with Grafana's variables replaced: $name and ${name}."""
    def value(match):
        name = match.group(1) or match.group(2)
        if name not in values:
            raise Unreadable(f"unknown variable ${name} in {query}")
        return values[name]
    return re.sub(r"\$(?:(\w+)|\{(\w+)(?::\w+)?\})", value, query)
