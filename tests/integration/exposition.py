"""What no known validator does: duplicates, order, and the same samples in both formats."""
import math
import re
import zlib

SAMPLE = re.compile(r'^([a-zA-Z_][a-zA-Z0-9_]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')


def samples(text):
    """[(name, ((label, value), ...), value)] in the page's order; raises on a line it cannot read."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            continue
        match = SAMPLE.match(line)
        if match is None:
            raise AssertionError(f"line {number} is no sample (timestamps are not allowed): {line!r}")
        name, inside, value = match.groups()
        labels = tuple(LABEL.findall(inside or ""))
        if "".join(f'{key}="{said}",' for key, said in labels).rstrip(",") != (inside or ""):
            raise AssertionError(f"line {number}: labels that do not read back: {line!r}")
        rows.append((name, labels, float(value)))
    return rows


def faults(text):
    """What is wrong with a page of either format, as a list of sentences."""
    found, seen, closed, family, last_bucket = [], set(), set(), None, {}
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    if not text.endswith("\n") or "\r" in text or "\n\n" in text:
        found.append("line ends")
    for name, labels, value in samples(text):
        series = (name, frozenset(labels))
        if series in seen:
            found.append(f"duplicate series {name}{labels}")
        seen.add(series)
        if len({key for key, _ in labels}) != len(labels):
            found.append(f"duplicate label in {name}{labels}")
        stem = name if name in types else re.sub(r"_(total|bucket|sum|count)$", "", name)
        if stem not in types:
            found.append(f"{name} has no TYPE")
        if stem != family:
            if stem in closed:
                found.append(f"family {stem} is not in one group")
            closed.add(family)
            family = stem
        bound = dict(labels).get("le")
        if bound is not None:
            if "." not in bound and "e" not in bound and bound != "+Inf":
                found.append(f'{name}: le="{bound}" is not written as a float')
            rest = (name, tuple(label for label in labels if label[0] != "le"))
            before = last_bucket.get(rest, (-math.inf, -math.inf))
            if float(bound) <= before[0] or value < before[1]:
                found.append(f"{name}: buckets out of order at le={bound}")
            last_bucket[rest] = (float(bound), value)
    found += [f"{name}: no +Inf bucket" for (name, _), (bound, _) in last_bucket.items() if bound != math.inf]
    return found


def gunzip_one_member(data):
    """The content; raises unless the data is one gzip member and nothing else."""
    unpacker = zlib.decompressobj(31)
    content = unpacker.decompress(data)
    if not unpacker.eof or unpacker.unused_data:
        raise AssertionError("not exactly one gzip member")
    return content
