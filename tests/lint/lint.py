#!/usr/bin/python3
"""The house rules that no compiler knows. Usage: lint.py [ROOT]; exit 1 with one line per breach."""
import concurrent.futures
import fnmatch
import pathlib
import re
import subprocess
import sys

MAX_LINES = 500

# Who may include whom, by longest matching folder. A floor may always include itself.
LAYERS = {
    "util": "", "model": "util", "config": "util", "net": "util", "aws": "util net",
    "backend": "util model config", "backend/embedded": "util model config backend/backend.h",
    "backend/sqs": "util model config backend/backend.h aws net",
    "backend/rabbitmq": "util model config backend/backend.h net",
    "poll": "util model backend/backend.h", "consumer": "util model net backend/backend.h",
    "dlq": "util model backend/backend.h", "canary": "util model backend/backend.h",
    "metrics": "util model", "http": "util model metrics", "app": "*", "queuectl": "*", "": "*",
}
# Third-party header -> the only files that include it, as patterns.
DOORS = {
    "cjson/*": "util/json*.c", "pcre2.h": "util/regex.c", "yaml.h": "config/yaml*.[ch]",
    "sqlite3.h": "backend/embedded/*.[ch] consumer/dedup_store.c", "microhttpd.h": "http/server*.[ch]",
    "zlib.h": "metrics/compress*.c", "isa-l*": "metrics/compress*.c", "curl/*": "net/*.[ch]",
    "openssl/[!esx]*": "aws/digest.c", "openssl/evp.h": "aws/digest.c",
    "openssl/[sx]*": "backend/rabbitmq/amqp_tls.c", "openssl/err.h": "backend/rabbitmq/amqp_tls.c",
    "amqp*": "backend/rabbitmq/amqp_*.[ch]", "termios.h": "queuectl/terminal.c",
}
# Calls that are banned -> the files that may make them all the same.
MEMORY = "malloc calloc realloc reallocarray free strdup strndup asprintf vasprintf alloca"
STRINGS = ("strcpy strncpy strcat strncat sprintf vsprintf strtok atoi atol atoll atof sscanf scanf "
           "fscanf gets gmtime localtime asctime ctime rand srand random srandom strerror system popen "
           "tmpnam mktemp setjmp longjmp")
BANNED = {word: "util/mem.c" for word in MEMORY.split()} | {word: None for word in STRINGS.split()}
# Words that give away a floor's ignorance -> the folders that must not know them. One broker has a plugin
# of such a name, whose answers its driver reads.
IGNORANT = [
    (re.compile(r"prometheus|openmetrics", re.I),
     "util model config net aws backend poll consumer dlq canary".split()),
    (re.compile(r"sqs|amqp|rabbitmq", re.I),
     "util model config net poll consumer dlq canary metrics http queuectl".split()),
]

COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*|("(?:\\.|[^"\\\n])*")|(\'(?:\\.|[^\'\\\n])*\')', re.S)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.M)


def without_comments(text):
    """Same lines, comments blanked; strings stay."""
    return COMMENT.sub(lambda m: m.group(0) if m.group(1) or m.group(2)
                       else re.sub(r"[^\n]", " ", m.group(0)), text)


def without_strings(text):
    return re.sub(r'"(?:\\.|[^"\\\n])*"', lambda m: '"' + " " * (len(m.group(0)) - 2) + '"', text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def floor_of(path):
    folder = str(pathlib.PurePosixPath(path).parent)
    while folder not in LAYERS and folder not in (".", ""):
        folder = str(pathlib.PurePosixPath(folder).parent)
    return "" if folder == "." else folder


def check_includes(path, code, src):
    floor = floor_of(path)
    allowed = LAYERS[floor].split()
    for match in INCLUDE.finditer(code):
        own, system = match.groups()
        where = line_of(code, match.start())
        if system:
            for header, door in DOORS.items():
                if fnmatch.fnmatch(system, header) and not any(fnmatch.fnmatch(path, one) for one in door.split()):
                    yield where, f"<{system}> belongs behind its door {door}"
            continue
        target = floor_of(own)
        if not (src / own).is_file():
            yield where, f'"{own}" is no file under src/: write includes from there'
        elif re.search(r"(_|/)internal\.h$", own) and pathlib.PurePath(own).parent != pathlib.PurePath(path).parent:
            yield where, f'"{own}" is for its own folder only'
        elif "*" not in allowed and target != floor and own not in allowed and target not in allowed:
            yield where, f'{floor}/ may not include "{own}" (allowed: {", ".join(allowed) or "nothing"})'


def check_words(path, code):
    bare = without_strings(code)
    for match in re.finditer(r"(?<![\w.>])([a-z]+)[ \t]*\(", bare):
        door = BANNED.get(match.group(1), "")
        if door is None or (door and path != door):
            yield line_of(code, match.start()), f"{match.group(1)}() is banned{f' outside {door}' if door else ''}"
    for words, folders in IGNORANT:
        match = words.search(code)
        if match and path.split("/")[0] in folders and not (
                path.startswith("backend/rabbitmq/") and words.match("prometheus")):
            yield line_of(code, match.start()), f'{floor_of(path)}/ must not know the word "{match.group(0)}"'


def check_guard(path, text, prefix):
    guard = prefix + re.sub(r"[^A-Z0-9]", "_", path.upper())
    if not re.search(rf"^#ifndef {guard}\n#define {guard}\n", text, re.M) or not text.endswith("#endif\n"):
        yield 1, f"include guard must be {guard}"


def compiles_twice(root, header):
    folders = ["-I", str(root / "src"), "-I", str(root / "tests")]
    unit = f'#include "{header}"\n#include "{header}"\n'
    done = subprocess.run(["gcc", "-std=c17", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror",
                           "-fsyntax-only", *folders, "-x", "c", "-"], input=unit, text=True, capture_output=True)
    return [] if done.returncode == 0 else [(1, "does not compile alone and twice: "
                                             + (done.stderr.strip().splitlines() or ["gcc failed"])[0])]


def breaches(root):
    src, tests, headers = root / "src", root / "tests", []
    for file in sorted([*src.rglob("*.[ch]"), *tests.rglob("*.[ch]"), *tests.rglob("*.py"),
                        *(root / "packaging").rglob("*.sh")]):
        text, path = file.read_text(encoding="utf-8"), file.relative_to(root).as_posix()
        if text.count("\n") > MAX_LINES:
            yield path, MAX_LINES + 1, f"longer than {MAX_LINES} lines: find the seam"
        if file.suffix not in (".c", ".h"):
            continue
        inside = path.split("/", 1)[1]
        if file.suffix == ".h":
            headers.append((path, inside))
            for line, message in check_guard(inside, text, "QE_" if path.startswith("src/") else "QE_TESTS_"):
                yield path, line, message
        if path.startswith("src/"):
            code = without_comments(text)
            for line, message in [*check_includes(inside, code, src), *check_words(inside, code)]:
                yield path, line, message
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for (path, _), found in zip(headers, pool.map(lambda h: compiles_twice(root, h[1]), headers)):
            yield from ((path, line, message) for line, message in found)


if __name__ == "__main__":
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2]).resolve()
    found = list(breaches(root))
    print(*(f"{path}:{line}: {message}" for path, line, message in found), sep="\n", end="\n" if found else "")
    sys.exit(1 if found else 0)
