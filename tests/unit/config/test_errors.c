/* What users see when their file is wrong: every row is a file, the exact lines, and why. */
#include <stdio.h>
#include <stdlib.h>

#include "unit/config/check_rows.h"
#include "util/mem.h"
#include "util/strbuf.h"

static void keys_are_checked_and_the_near_one_is_named(void **state)
{
    static const struct row s_rows[] = {
        {"a slip of the finger is recognised",
         "sources:\n  - name: a\n    type: shelf\n    path: p\n    poll_intervall: 5s\n",
         "c.yml:5:5: unknown key \"poll_intervall\" (did you mean \"poll_interval\"?)\n"},
        {"nested lists are checked by their own table",
         "sources:\n  - name: a\n    type: shelf\n    path: p\n    queues:\n      - name: q\n"
         "        retenton: 1d\n",
         "c.yml:7:9: unknown key \"retenton\" (did you mean \"retention\"?)\n"},
        {"what is near to nothing gets the list of what there is", GOOD "zzzzzz: 1\n",
         "c.yml:2:1: unknown key \"zzzzzz\" in the configuration (known: shutdown_timeout, "
         "defaults, sources, objectives, consumers)\n"},
        {"the file form of a secret is known too",
         "sources: [{name: a, type: vault, pasword_file: x}]\n",
         "c.yml:1:34: unknown key \"pasword_file\" (did you mean \"password_file\"?)\n"},
        {"a second value would silently win or lose",
         "sources: [{name: a, type: shelf, path: p}]\nsources: []\n",
         "c.yml:2:1: duplicate key \"sources\" (first on line 1)\n"},
        {"a key of another type is unknown here",
         "sources: [{name: a, type: shelf, path: p, ratio: 1}]\n",
         "c.yml:1:43: unknown key \"ratio\" in sources (known: name, type, include, exclude, "
         "dead_letter_queues, "
         "poll_interval, poll_timeout, discovery_interval, stale_after, state_window, max_queues, "
         "path, "
         "queues)\n"},
        {"what is missing is named where the section begins", "sources:\n  - type: shelf\n",
         "c.yml:2:5: sources: missing key \"name\"\nc.yml:2:5: sources: missing key \"path\"\n"},
        {"an optional section makes its own keys required",
         "sources: [{name: a, type: shelf, path: p, queues: [{name: q, dead_letter: {}}]}]\n",
         "c.yml:1:75: dead_letter: missing key \"queue\"\n"},
        {"merge keys would need rules nobody remembers", "x: &x {a: 1}\n" GOOD "<<: *x\n",
         "c.yml:1:1: unknown key \"x\" in the configuration (known: shutdown_timeout, defaults, "
         "sources, objectives, consumers)\n"
         "c.yml:3:1: merge keys (<<) are not supported: write the keys out\n"},
        {"a list cannot be a key", GOOD "? [a]\n: b\n", "c.yml:2:3: a key must be a plain word\n"},
    };

    (void)state;
    CHECK_ROWS(s_rows);
}

static void values_are_checked_by_type_and_range(void **state)
{
    static const struct row s_rows[] = {
        {"durations need a unit", GOOD "shutdown_timeout: 30\n",
         "c.yml:2:19: shutdown_timeout: \"30\" is not a duration (like 250ms, 30s, 5m, 4h, 14d)\n"},
        {"the range is said with its units", GOOD "defaults: {poll_interval: 10ms}\n",
         "c.yml:2:27: poll_interval: \"10ms\" is out of range: 100ms to 1d\n"},
        {"counts are whole", GOOD "defaults: {max_queues: 1.5}\n",
         "c.yml:2:24: max_queues: \"1.5\" is not a whole number\n"},
        {"counts are not negative", GOOD "defaults: {max_queues: -1}\n",
         "c.yml:2:24: max_queues: \"-1\" is not a whole number\n"},
        {"YAML's many booleans are a trap",
         "sources: [{name: a, type: shelf, path: p, queues: [{name: q, ordered: yes}]}]\n",
         "c.yml:1:71: ordered: \"yes\" is neither true nor false\n"},
        {"sizes have units", "sources: [{name: a, type: vault, buffer: 1 potato}]\n",
         "c.yml:1:42: buffer: \"1 potato\" is not a size (like 512B, 64KiB, 1MiB)\n"},
        {"sizes have ranges", "sources: [{name: a, type: vault, buffer: 2MiB}]\n",
         "c.yml:1:42: buffer: \"2MiB\" is out of range: 1KiB to 1MiB\n"},
        {"numbers have ranges", "sources: [{name: a, type: vault, ratio: 1.5}]\n",
         "c.yml:1:41: ratio: \"1.5\" is out of range: 0 to 1\n"},
        {"NaN is no number here", "sources: [{name: a, type: vault, ratio: nan}]\n",
         "c.yml:1:41: ratio: \"nan\" is not a number\n"},
        {"choices are listed, the near one named",
         "sources: [{name: a, type: vault, mode: saef}]\n",
         "c.yml:1:40: mode: \"saef\" is not one of fast, safe (did you mean \"safe\"?)\n"},
        {"choices are listed", "sources: [{name: a, type: vault, mode: zzzz}]\n",
         "c.yml:1:40: mode: \"zzzz\" is not one of fast, safe\n"},
        {"text has a length",
         "sources: [{name: a, type: shelf, path: p, queues: [{name: aaaaaaaaaaaaaaaaaaaaaaaa}]}]\n",
         "c.yml:1:59: name: \"aaaaaaaaaaaaaaaaaaaaaaaa\" is out of range: 1 to 20 bytes\n"},
        {"a line end in a path is a slip", "sources: [{name: a, type: shelf, path: \"a\\nb\"}]\n",
         "c.yml:1:40: path: \"a?b\" contains a control character or a line end\n"},
        {"a list of one needs its brackets", "sources: [{name: a, type: vault, tags: x}]\n",
         "c.yml:1:40: tags: must be a list, not text\n"},
        {"lists have lengths", "sources: [{name: a, type: vault, tags: [x, y, z]}]\n",
         "c.yml:1:40: tags: 3 items: must be 0 to 2 items\n"},
        {"items are checked", "sources: [{name: a, type: vault, tags: [x, [y]]}]\n",
         "c.yml:1:44: tags: must be a single value, not a list\n"},
        {"a section is not text", GOOD "defaults: 5\n",
         "c.yml:2:11: defaults: must be a section (key: value), not text\n"},
        {"a list item is not text", "sources: [a]\n",
         "c.yml:1:11: sources: must be a list of sections (- name: ...), not text\n"},
        {"a list item of a driver is not text",
         "sources: [{name: a, type: shelf, path: p, queues: [q]}]\n",
         "c.yml:1:52: queues: must be a list of sections (- key: value), not text\n"},
        {"text is not a list", "sources: [{name: a, type: shelf, path: [p]}]\n",
         "c.yml:1:40: path: must be a single value, not a list\n"},
        {"a key without value was forgotten", "sources: [{name: a, type: shelf, path: }]\n",
         "c.yml:1:40: path: has no value (leave the key out for its default)\n"},
        {"a bad pattern says where in it",
         "sources: [{name: a, type: shelf, path: p, include: ["
         "\"a(\"]}]\n",
         "c.yml:1:53: include: \"a(\": regular expression is wrong at character 3: missing closing "
         "parenthesis\n"},
        {"an alias's value is wrong once, where it stands",
         "sources:\n  - {name: a, type: shelf, path: p, poll_interval: &i 5}\n"
         "  - {name: b, type: shelf, path: p, poll_interval: *i}\n",
         "c.yml:2:52: poll_interval: \"5\" is not a duration (like 250ms, 30s, 5m, 4h, 14d)\n"},
    };

    (void)state;
    CHECK_ROWS(s_rows);
}

static void every_broken_rule_is_told_in_one_run(void **state)
{
    static const struct row s_rows[] = {
        {"both rules are told in one run",
         GOOD "defaults: {poll_interval: 5s, poll_timeout: 6s, stale_after: 1s}\n",
         "c.yml:2:45: poll_timeout: 6s is longer than poll_interval (5s)\n"
         "c.yml:2:62: stale_after: 1s is shorter than poll_interval (5s)\n"},
    };

    (void)state;
    CHECK_ROWS(s_rows);
}

// NOLINTNEXTLINE(readability-function-size) a table, a row for each rule
static void rules_between_keys_are_checked(void **state)
{
    static const struct row s_rows[] = {
        {"a poll must end before the next one",
         GOOD "defaults: {poll_interval: 5s, poll_timeout: 6s}\n",
         "c.yml:2:45: poll_timeout: 6s is longer than poll_interval (5s)\n"},
        {"a reading must live until the next one",
         GOOD "defaults: {poll_interval: 5m, stale_after: 1m}\n",
         "c.yml:2:44: stale_after: 1m is shorter than poll_interval (5m)\n"},
        {"what comes from defaults is said so",
         "defaults: {poll_timeout: 10s}\n"
         "sources: [{name: a, type: shelf, path: p, poll_interval: 5s}]\n",
         "c.yml:2:58: poll_timeout: 10s is longer than poll_interval (5s); it comes from defaults: "
         "set it here too\n"},
        {"a default timeout gives way by itself", GOOD "defaults: {poll_interval: 1s}\n", ""},
        {"a driver's rule points at its key",
         "sources:\n  - {name: a, type: shelf, path: p, queues: [{name: q, dead_letter: {queue: "
         "q}}]}\n",
         "c.yml:2:69: dead_letter: a queue cannot be its own dead-letter queue\n"},
        {"percentiles have an order",
         GOOD "consumers: [{source: a, queue: q, handler: {type: simulate, latency_p50: 2s, "
              "latency_p99: 1s}}]\n",
         "c.yml:2:91: latency_p99: is less than latency_p50 (2s)\n"},
        {"delays have an order",
         GOOD "consumers: [{source: a, queue: q, handler: {type: discard}, retry: {initial: 2s, "
              "max: 1s}}]\n",
         "c.yml:2:87: max: is less than initial (2s)\n"},
        {"names are what the rest refers to",
         "sources:\n  - {name: a, type: shelf, path: p}\n  - {name: a, type: shelf, path: q}\n",
         "c.yml:3:12: name: source \"a\" exists already, on line 2\n"},
        {"a consumer needs its source",
         "sources: [{name: local, type: shelf, path: p}]\n"
         "consumers: [{source: locl, queue: q, handler: {type: discard}}]\n",
         "c.yml:2:22: source: there is no source \"locl\" (did you mean \"local\"?)\n"},
        {"one queue, one consumer",
         GOOD "consumers:\n  - {source: a, queue: q, handler: {type: discard}}\n"
              "  - {source: a, queue: q, vhost: v, handler: {type: discard}}\n"
              "  - {source: a, queue: q, handler: {type: discard}}\n",
         "c.yml:5:24: queue: \"q\" of this source has a consumer already, on line 3: raise its "
         "workers instead\n"},
        {"one queue, one consumer, however its vhost is named",
         "sources: [{name: a, type: vault}]\n"
         "consumers:\n  - {source: a, queue: q, handler: {type: discard}}\n"
         "  - {source: a, queue: q, vhost: main, handler: {type: discard}}\n"
         "  - {source: a, queue: q, vhost: other, handler: {type: discard}}\n",
         "c.yml:4:24: queue: \"q\" of this source has a consumer already, on line 3: raise its "
         "workers instead\n"},
        {"no handler by default: discard would lose what others wait for",
         GOOD "consumers: [{source: a, queue: q}]\n",
         "c.yml:2:13: consumers: missing key \"handler\"\n"},
        {"an objective without a promise is none", GOOD "objectives: [{match: {queue: q}}]\n",
         "c.yml:2:14: objectives: missing key \"oldest_message_age\"\n"},
        {"an unknown type says which there are", "sources: [{name: a, type: shelv, foo: 1}]\n",
         "c.yml:1:27: type: unknown type \"shelv\" (did you mean \"shelf\"?): this program knows "
         "shelf, vault\n"},
        {"the other types come later", "sources: [{name: a, type: kafka}]\n",
         "c.yml:1:27: type: unknown type \"kafka\": this program knows shelf, vault\n"},
        {"an unknown type does not hide other errors",
         "sources: [{name: a, type: kafka, poll_interval: x}]\nfoo: 1\n",
         "c.yml:1:27: type: unknown type \"kafka\": this program knows shelf, vault\n"
         "c.yml:1:49: poll_interval: \"x\" is not a duration (like 250ms, 30s, 5m, 4h, 14d)\n"
         "c.yml:2:1: unknown key \"foo\" in the configuration (known: shutdown_timeout, defaults, "
         "sources, objectives, consumers)\n"},
        {"sections with all lines commented out are fine",
         GOOD "defaults:\nobjectives:\nconsumers:\n", ""},
        {"each polled thing in one run, sorted",
         "consumers: [{source: b, queue: q, handler: {type: no}}]\ndefaults: {poll_interval: "
         "x}\n" GOOD,
         "c.yml:1:22: source: there is no source \"b\" (the first of 1 is \"a\")\n"
         "c.yml:1:51: type: \"no\" is not one of discard, simulate, exec, coprocess, http\n"
         "c.yml:2:27: poll_interval: \"x\" is not a duration (like 250ms, 30s, 5m, 4h, 14d)\n"},
    };

    (void)state;
    CHECK_ROWS(s_rows);
}
#define SMALLEST                                                                                   \
    "no source is configured; the smallest configuration is:\n"                                    \
    "  sources:\n    - name: local\n      type: shelf\n      path: queues.db\n"
#define WITH_HANDLER(handler) GOOD "consumers:\n  - source: a\n    queue: q\n    handler:\n" handler
#define WITH_HEADER(name, value)                                                                   \
    WITH_HANDLER("      type: http\n      url: http://x/\n      headers:\n"                        \
                 "        - {name: " name ", value: \"" value "\"}\n")

static void a_handler_is_told_what_it_lacks(void **state)
{
    static const struct row s_rows[] = {
        {"a command that is there", WITH_HANDLER("      type: exec\n      command: [sh, -c, x]\n"),
         ""},
        {"a command without a path is found, or not, where it says",
         WITH_HANDLER("      type: exec\n      command: [/qe/no/such]\n"),
         "c.yml:7:16: command: /qe/no/such is no program that can be run: No such file or "
         "directory\n"},
        {"a folder is none", WITH_HANDLER("      type: coprocess\n      command: [/tmp]\n"),
         "c.yml:7:16: command: /tmp is no program that can be run: Permission denied\n"},
        {"to run, a command is needed", WITH_HANDLER("      type: exec\n"),
         "c.yml:6:13: type: exec needs a command, such as command: [cat]\n"},
        {"to post, a URL", WITH_HANDLER("      type: http\n"),
         "c.yml:6:13: type: http needs a url, such as url: http://127.0.0.1:8080/orders\n"},
        {"of HTTP only", WITH_HANDLER("      type: http\n      url: ftp://x/\n"),
         "c.yml:7:12: url: must begin with http:// or https://\n"},
        {"a URL has no blanks", WITH_HANDLER("      type: http\n      url: http://x y/\n"),
         "c.yml:7:12: url: must not hold blanks: %20 is one\n"},
        {"a URL is shown, so that it holds no password",
         WITH_HANDLER("      type: http\n      url: http://u:secretpw@x/\n"),
         "c.yml:7:12: url: must not hold a user or password, which would be shown: set "
         "authorization_file\n"},
        {"nor where libcurl still finds it",
         WITH_HANDLER("      type: http\n      url: http:///u:secretpw@x/\n"),
         "c.yml:7:12: url: must not hold a user or password, which would be shown: set "
         "authorization_file\n"},
        {"an @ further on is none",
         WITH_HANDLER("      type: http\n      url: http://x/@a?b=c@d\n"), ""},
        {"what the type does not use would silently do nothing",
         WITH_HANDLER("      type: discard\n      timeout: 3s\n"),
         "c.yml:7:16: timeout: means nothing to a handler of type discard\n"},
        {"a certificate needs its key",
         WITH_HANDLER("      type: http\n      url: https://x/\n"
                      "      cert_file: /etc/passwd\n"),
         "c.yml:8:18: cert_file: is of no use without key_file\n"},
        {"without its certificates nothing could be posted",
         WITH_HANDLER("      type: http\n      url: https://x/\n      ca_file: /nowhere/ca.pem\n"),
         "c.yml:8:16: ca_file: cannot read /nowhere/ca.pem: No such file or directory\n"},
        {"a folder holds no certificate",
         WITH_HANDLER("      type: http\n      url: https://x/\n      ca_file: /tmp\n"),
         "c.yml:8:16: ca_file: cannot read /tmp: Is a directory\n"},
        {"nor does an empty file a key",
         WITH_HANDLER("      type: http\n      url: https://x/\n      cert_file: /etc/passwd\n"
                      "      key_file: /dev/null\n"),
         "c.yml:9:17: key_file: /dev/null is empty\n"},
    };

    (void)state;
    CHECK_ROWS(s_rows);
}

static void a_handlers_variables_and_headers_are_some(void **state)
{
    static const struct row s_rows[] = {
        {"a variable has a variable's name",
         WITH_HANDLER("      type: exec\n      command: [sh]\n      environment:\n"
                      "        - {name: A-B, value: x}\n"),
         "c.yml:9:18: name: is no name of an environment variable: letters, digits and _, no digit "
         "first\n"},
        {"a header a header's",
         WITH_HANDLER("      type: http\n      url: http://x/\n      headers:\n"
                      "        - {name: \"A B\", value: x}\n"),
         "c.yml:9:18: name: is no name of a header\n"},
        {"a length that is set would cut bodies short", WITH_HEADER("content-length", "3"),
         "c.yml:9:18: name: content-length is set for each request: leave it out\n"},
        {"nor is the way it is sent to be set", WITH_HEADER("Transfer-Encoding", "chunked"),
         "c.yml:9:18: name: Transfer-Encoding is set for each request: leave it out\n"},
        {"the host is the URL's", WITH_HEADER("Host", "x"),
         "c.yml:9:18: name: Host is set for each request: leave it out\n"},
        {"connections are kept", WITH_HEADER("Connection", "close"),
         "c.yml:9:18: name: Connection is set for each request: leave it out\n"},
        {"facts are what is known of the message", WITH_HEADER("x-queue-message-id", "1"),
         "c.yml:9:18: name: X-Queue-... tells what is known of a message: use another name\n"},
        {"what only begins like them is none", WITH_HEADER("X-Queue", "1"), ""},
        {"a value must not add headers", WITH_HEADER("X-A", "3\\nX-B: 4"),
         "c.yml:9:30: value: a header's value is one line without control characters\n"},
        {"but may hold a tab", WITH_HEADER("X-A", "3\\t4"), ""},
        {"so is that of Authorization",
         WITH_HANDLER("      type: http\n      url: http://x/\n"
                      "      authorization: \"a\\nb\"\n"),
         "c.yml:8:22: authorization: a header's value is one line without control characters\n"},
    };

    (void)state;
    CHECK_ROWS(s_rows);
}

static void broken_files_are_refused_with_a_place(void **state)
{
    static const struct row s_rows[] = {
        {"an empty file shows how to begin", "", "c.yml:1:1: " SMALLEST},
        {"only comments is empty too", "# nothing\n", "c.yml:1:1: " SMALLEST},
        {"an empty list of sources is no source", "shutdown_timeout: 1s\nsources: []\n",
         "c.yml:2:10: " SMALLEST},
        {"text is no configuration", "hello\n",
         "c.yml:1:1: the file must consist of `key: value` sections, it is text\n"},
        {"libyaml's words, with a place", "sources: [\n",
         "c.yml:2:1: not YAML: did not find expected node content (while parsing a flow node from "
         "line 2)\n"},
        {"tabs are the most common slip", "sources:\n\t- name: a\n",
         "c.yml:2:1: a tab cannot indent YAML: use spaces\n"},
        {"a second document would be ignored", GOOD "---\nfoo: 1\n",
         "c.yml:2:1: a second document is not supported: use one file\n"},
        {"tags change types", "sources: !!seq []\n",
         "c.yml:1:10: tags are not supported (text that starts with ! needs quotes)\n"
         "c.yml:1:10: " SMALLEST},
        {"an alias must have an anchor", "sources: *x\n",
         "c.yml:1:10: alias without an anchor (text that starts with * needs quotes)\n"},
        {"an alias inside its anchor never ends", "sources: &x [*x]\n",
         "c.yml:1:14: an alias inside its own anchor\n"},
        {"an escaped NUL would cut the text",
         "sources: [{name: \"a\\0b\", type: shelf, path: p}]\n",
         "c.yml:1:18: a NUL character is not supported\n"},
        {"Latin-1 is not UTF-8", "# ok \xC3\xA9\nsources: \xE9\n",
         "c.yml:2:10: not UTF-8: save the file as UTF-8\n"},
        {"a byte order mark is harmless", "\xEF\xBB\xBF" GOOD, ""},
        {"Windows line ends are harmless", "sources:\r\n  - {name: a, type: shelf, path: p}\r\n",
         ""},
        {"anchors for single values are fine",
         "defaults: {poll_interval: &t 10s, poll_timeout: *t}\n" GOOD, ""},
    };

    (void)state;
    CHECK_ROWS(s_rows);
}

static void nul_bytes_are_refused(void **state)
{
    static const char s_text[] = "sources: []\n# \0\n";
    struct qe_strbuf errors;

    (void)state;
    qe_strbuf_init(&errors, 0);
    assert_null(qe_config_load_text("c.yml", s_text, sizeof s_text - 1, s_sample_types,
                                    SAMPLE_TYPES_COUNT, &errors));
    assert_string_equal(qe_strbuf_text(&errors),
                        "c.yml:2:3: a NUL byte: this is not a text file\n");
    qe_strbuf_deinit(&errors);
}

static void variables_are_expanded_and_never_shown(void **state)
{
    static const struct row s_rows[] = {
        {"an unset variable is an error",
         "sources: [{name: a, type: shelf, path: \"/x/${QE_T_UNSET}\"}]\n",
         "c.yml:1:40: path: environment variable QE_T_UNSET is not set (${QE_T_UNSET:-...} gives a "
         "default)\n"},
        {"a default stands in", "sources: [{name: a, type: shelf, path: \"${QE_T_UNSET:-p}\"}]\n",
         ""},
        {"what a variable holds stays its own",
         "sources: [{name: a, type: shelf, path: p, poll_interval: \"${QE_T_SECRET}\"}]\n",
         "c.yml:1:58: poll_interval: \"${QE_T_SECRET}\" is not a duration (like 250ms, 30s, 5m, "
         "4h, "
         "14d) (after expansion)\n"},
        {"an open brace is a slip", "sources: [{name: a, type: shelf, path: \"${FOO\"}]\n",
         "c.yml:1:40: path: expected ${NAME} or ${NAME:-default} (a literal ${ is written $${)\n"},
        {"values cannot become structure",
         "sources: [{name: a, type: shelf, path: \"${QE_T_YAML}\", queues: [{name: "
         "\"${QE_T_YAML}\"}]}]\n",
         ""},
        {"variables that are not UTF-8 would break every page",
         "sources: [{name: a, type: shelf, path: \"${QE_T_LATIN}\"}]\n",
         "c.yml:1:40: path: environment variable QE_T_LATIN is not UTF-8\n"},
        {"a variable too long is named as such",
         "sources: [{name: a, type: shelf, path: \"${QE_T_LONG}\"}]\n",
         "c.yml:1:40: path: longer than 16 KiB after expansion\n"},
    };
    char *long_value = qe_calloc(20001, 1);

    (void)state;
    assert_non_null(long_value);
    memset(long_value, 'x', 20000);
    assert_int_equal(unsetenv("QE_T_UNSET"), 0);
    assert_int_equal(setenv("QE_T_SECRET", "hunter2", 1), 0);
    assert_int_equal(setenv("QE_T_YAML", "a, b: [c]", 1), 0);
    assert_int_equal(setenv("QE_T_LATIN", "\xE9", 1), 0);
    assert_int_equal(setenv("QE_T_LONG", long_value, 1), 0);
    CHECK_ROWS(s_rows);
    assert_int_equal(unsetenv("QE_T_LONG"), 0);
    qe_free(long_value);
}

/* Whatever is wrong around a password, its text is in no message. */
static void secrets_are_in_no_message(void **state)
{
    static const char *const s_texts[] = {
        "sources: [{name: a, type: vault, password: hunter2, password: hunter2}]\n",
        "sources: [{name: a, type: vault, password: hunter2, password_file: /nonexistent}]\n",
        "sources: [{name: a, type: vault, password: [hunter2]}]\n",
        "sources: [{name: a, type: vault, password: {hunter2: hunter2}}]\n",
        "sources: [{name: a, type: vault, password: *hunter2}]\n",
        "sources: [{name: a, type: vault, password: !hunter2 x}]\n",
        "sources: [{name: a, type: vault, password: !hunter2!x x}]\n",
        "sources: [{name: a, type: vault, password: &hunter2 }]\n",
        "sources: [{name: a, type: vault, password: \"hunter2${\"}]\n",
        "sources: [{name: a, type: vault, password: \"hunter2${!}\"}]\n",
        "sources: [{name: a, type: vault, password: \"hunter2${QE_T_UNSET}\"}]\n",
        "sources: [{name: a, type: vault, password: \"hunter2\\0\"}]\n",
        "sources: [{name: a, type: vault, password: \"hunter2}]\n",
        "sources:\n  - {name: a, type: vault}\n  password: hunter2\n",
        "sources: [{name: a, type: vault, pasword: hunter2}]\n",
        "sources: [{name: a, type: kafka, password: hunter2, x: y}]\n",
        "sources: [{name: a, type: vault, password: \"\", note: [hunter2]}]\n",
        "sources:\n  - name: a\n    type: vault\n    password: hunter2: x\n",
        "sources:\n  - name: a\n    type: vault\n    password: @hunter2\n",
        "sources:\n  - name: a\n    type: vault\n    password: %hunter2\n",
        "sources:\n  - name: a\n    type: vault\n    password: `hunter2\n",
        "sources: [{name: a, type: vault, http://u:hunter2@host:80}]\n",
        "sources: [{name: a, type: \"amqp://u:hunter2@host\"}]\n",
        "sources: [{name: a, type: vault, note: \"http://u:hunter2@host\\x01\"}]\n",
    };

    (void)state;
    assert_int_equal(unsetenv("QE_T_UNSET"), 0);
    for (size_t i = 0; i < sizeof s_texts / sizeof s_texts[0]; i++) {
        struct qe_strbuf errors;

        qe_strbuf_init(&errors, 0);
        struct qe_config *config = load_sample(s_texts[i], &errors);
        if (config != NULL || errors.length_bytes == 0 ||
            strstr(qe_strbuf_text(&errors), "hunter2") != NULL) {
            print_error("%s%s", s_texts[i], qe_strbuf_text(&errors));
            fail();
        }
        qe_strbuf_deinit(&errors);
    }
}

static void an_unreadable_secret_file_names_the_file(void **state)
{
    static const struct row s_rows[] = {
        {"the path is no secret",
         "sources: [{name: a, type: vault, password_file: /nonexistent/pw}]\n",
         "c.yml:1:49: password_file: cannot open /nonexistent/pw: No such file or directory\n"},
        {"one of the two is a leftover",
         "sources: [{name: a, type: vault, password_file: /nonexistent/pw, password: x}]\n",
         "c.yml:1:34: password and password_file exclude each other: keep one\n"},
        {"an empty password is a missing variable, mostly",
         "sources: [{name: a, type: vault, password: \"${QE_T_UNSET:-}\"}]\n",
         "c.yml:1:44: password: is empty\n"},
    };

    (void)state;
    CHECK_ROWS(s_rows);
}

static void errors_are_capped_and_the_rest_is_counted(void **state)
{
    struct qe_strbuf text;
    struct qe_strbuf errors;

    (void)state;
    qe_strbuf_init(&text, 0);
    qe_strbuf_init(&errors, 0);
    for (int i = 0; i < QE_CONFIG_ERRORS_MAX + 50; i++) {
        (void)qe_strbuf_printf(&text, "bad%d: x\n", i);
    }
    assert_null(load_sample(qe_strbuf_text(&text), &errors));
    size_t lines = 0;
    for (const char *at = qe_strbuf_text(&errors); *at != '\0'; at++) {
        lines += *at == '\n' ? 1 : 0;
    }
    assert_int_equal(lines, QE_CONFIG_ERRORS_MAX + 1);
    assert_non_null(strstr(qe_strbuf_text(&errors), "c.yml: ... and 51 more\n"));
    qe_strbuf_deinit(&text);
    qe_strbuf_deinit(&errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_checked_and_the_near_one_is_named),
        cmocka_unit_test(values_are_checked_by_type_and_range),
        cmocka_unit_test(every_broken_rule_is_told_in_one_run),
        cmocka_unit_test(rules_between_keys_are_checked),
        cmocka_unit_test(a_handler_is_told_what_it_lacks),
        cmocka_unit_test(a_handlers_variables_and_headers_are_some),
        cmocka_unit_test(broken_files_are_refused_with_a_place),
        cmocka_unit_test(nul_bytes_are_refused),
        cmocka_unit_test(variables_are_expanded_and_never_shown),
        cmocka_unit_test(secrets_are_in_no_message),
        cmocka_unit_test(an_unreadable_secret_file_names_the_file),
        cmocka_unit_test(errors_are_capped_and_the_rest_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
