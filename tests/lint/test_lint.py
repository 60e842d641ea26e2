#!/usr/bin/python3
"""The lint must complain: each bad tree is fed to it, and each breach must be named."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

LINT = pathlib.Path(__file__).with_name("lint.py")
GUARDED = "#ifndef {0}\n#define {0}\n{1}#endif\n"


def lint(files):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, str(LINT), folder], text=True, capture_output=True, check=False)
        return done.returncode, done.stdout


GOOD = {
    "src/util/err.h": GUARDED.format("QE_UTIL_ERR_H", "enum qe { QE_OK };\n"),
    "src/poll/poller.h": GUARDED.format("QE_POLL_POLLER_H", '#include "util/err.h"\n'),
    "src/backend/backend.h": GUARDED.format("QE_BACKEND_BACKEND_H", '#include "util/err.h"\n'),
    "src/poll/poller.c": '#include "poll/poller.h"\n#include "backend/backend.h"\n/* sqs, strcpy(a, b) */\n',
    "src/util/mem.c": "#include <stdlib.h>\nvoid *qe(void) { return malloc(1); }\n",
    "src/util/json.c": "#include <cjson/cJSON.h>\n",
    "src/http/server.c": '#include <microhttpd.h>\nchar *s = "strcpy(";\nvoid f(struct d *d) { d->free(d); }\n',
}

BAD = [  # file, text, what the complaint must say
    ("src/util/up.c", '#include "poll/poller.h"\n', 'util/ may not include "poll/poller.h"'),
    ("src/consumer/side.c", '#include "poll/poller.h"\n', 'consumer/ may not include "poll/poller.h"'),
    ("src/poll/driver.c", '#include "backend/embedded/embedded.h"\n', "poll/ may not include"),
    ("src/poll/bare.c", '#include "poller.h"\n', "write includes from there"),
    ("src/model/door.c", "#include <sqlite3.h>\n", "<sqlite3.h> belongs behind its door"),
    ("src/model/heap.c", "void f(void) { free(malloc(1)); }\n", "malloc() is banned outside util/mem.c"),
    ("src/app/text.c", "void f(char *a) {\n    strcpy(a, a); }\n", "src/app/text.c:2: strcpy() is banned"),
    ("src/app/time.c", "void f(void) { gmtime(0); }\n", "gmtime() is banned"),
    ("src/app/parse.c", "int f(char *a) { return atoi (a); }\n", "atoi() is banned"),
    ("src/poll/word.c", 'const char *s = "sqs";\n', 'poll/ must not know the word "sqs"'),
    ("src/backend/word.c", "int prometheus_x;\n", 'backend/ must not know the word "prometheus"'),
    ("src/util/long.c", "int a;\n" * 501, "longer than 500 lines"),
    ("tests/long.py", "a = 1\n" * 501, "longer than 500 lines"),
    ("src/util/guard.h", "#ifndef WRONG_H\n#define WRONG_H\n#endif\n", "include guard must be QE_UTIL_GUARD_H"),
    ("src/util/lonely.h", GUARDED.format("QE_UTIL_LONELY_H", "size_t qe(void);\n"), "does not compile alone"),
    ("src/util/twice.h", "/* QE_UTIL_TWICE_H */\nint qe = 1;\n", "does not compile alone and twice"),
    ("src/http/peek.c", '#include "metrics/page_internal.h"\n', "is for its own folder only"),
]


class Lint(unittest.TestCase):
    def test_a_clean_tree_passes_in_silence(self):
        self.assertEqual(lint(GOOD), (0, ""))

    def test_every_breach_is_named(self):
        extra = {"src/backend/embedded/embedded.h": GUARDED.format("QE_BACKEND_EMBEDDED_EMBEDDED_H", ""),
                 "src/metrics/page_internal.h": GUARDED.format("QE_METRICS_PAGE_INTERNAL_H", "")}
        for name, text, complaint in BAD:
            with self.subTest(name):
                code, said = lint({**GOOD, **extra, name: text})
                self.assertEqual(code, 1)
                self.assertIn(complaint, said)
                self.assertTrue(all(line.startswith(name) for line in said.splitlines()), said)


if __name__ == "__main__":
    unittest.main()
