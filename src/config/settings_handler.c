#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/settings.h"
#include "config/settings_internal.h"
#include "util/child.h"
#include "util/secret.h"
#include "util/text.h"

#define P99_PER_P50 10
#define COMMAND_WORDS_MAX 100
#define PAIRS_MAX 100

static const char *const s_handler_types[] = {"discard",   "simulate", "exec",
                                              "coprocess", "http",     NULL};

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
/* Source: RFC 9110, 5.6.2, token. */
#define HEADER_CHARACTERS LETTERS DIGITS "!#$%&'*+-.^_`|~"
#define FACT_PREFIX "X-Queue-"

/* --- environment and headers --- */

static int check_variable(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_pair_settings *pair = settings;

    *out_key = "name";
    if (strspn(pair->name, LETTERS DIGITS "_") == strlen(pair->name) &&
        strchr(DIGITS, pair->name[0]) == NULL) {
        return 0;
    }
    return qe_err_set(
        err, QE_ERR_INVALID,
        "is no name of an environment variable: letters, digits and _, no digit first");
}

/* What says how long a request is and where it goes; one that is set would cut bodies short. */
static bool is_of_the_request(const char *name)
{
    static const char *const names[] = {"Content-Length", "Transfer-Encoding", "Host",
                                        "Connection"};

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (qe_text_equal_nocase(name, names[i])) {
            return true;
        }
    }
    return false;
}

static bool is_fact(const char *name)
{
    char start[sizeof FACT_PREFIX];

    (void)snprintf(start, sizeof start, "%s", name);
    return qe_text_equal_nocase(start, FACT_PREFIX);
}

static int check_value(const struct qe_secret *value, struct qe_err *err)
{
    return qe_text_is_header_value(qe_secret_bytes(value))
               ? 0
               : qe_err_set(err, QE_ERR_INVALID,
                            "a header's value is one line without control characters");
}

static int check_header(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_pair_settings *pair = settings;

    *out_key = "name";
    if (strspn(pair->name, HEADER_CHARACTERS) != strlen(pair->name)) {
        return qe_err_set(err, QE_ERR_INVALID, "is no name of a header");
    }
    if (is_of_the_request(pair->name)) {
        return qe_err_set(err, QE_ERR_INVALID, "%s is set for each request: leave it out",
                          pair->name);
    }
    if (is_fact(pair->name)) {
        return qe_err_set(err, QE_ERR_INVALID,
                          FACT_PREFIX "... tells what is known of a message: use another name");
    }
    *out_key = "value";
    return check_value(pair->value, err);
}

static const struct qe_option s_variable_options[] = {
    {.key = "name",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_pair_settings, name),
     .required = true,
     .example = "LOG_LEVEL",
     .min = 1,
     .max = 100,
     .help = "Name of the variable."},
    {.key = "value",
     .type = QE_OPT_SECRET,
     .offset = offsetof(struct qe_pair_settings, value),
     .required = true,
     .example = "debug",
     .help = "Its value; never shown."},
};

static const struct qe_section s_variable_section = {
    .name = "environment",
    .size_bytes = sizeof(struct qe_pair_settings),
    .options = s_variable_options,
    .options_count = COUNT_OF(s_variable_options),
    .rules = {check_variable},
};

static const struct qe_option s_header_options[] = {
    {.key = "name",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_pair_settings, name),
     .required = true,
     .example = "X-Tenant",
     .min = 1,
     .max = 100,
     .help = "Name of the header."},
    {.key = "value",
     .type = QE_OPT_SECRET,
     .offset = offsetof(struct qe_pair_settings, value),
     .required = true,
     .example = "shop",
     .help = "Its value; never shown."},
};

static const struct qe_section s_header_section = {
    .name = "headers",
    .size_bytes = sizeof(struct qe_pair_settings),
    .options = s_header_options,
    .options_count = COUNT_OF(s_header_options),
    .rules = {check_header},
};

/* --- handler --- */

static const struct qe_option s_handler_options[] = {
    {.key = "type",
     .type = QE_OPT_CHOICE,
     .offset = offsetof(struct qe_handler_settings, type),
     .required = true,
     .choices = s_handler_types,
     .help = "`exec` runs a command per message, `coprocess` talks to one that stays, `http` posts "
             "to a URL; `discard` acknowledges at once; `simulate` pretends to work."},
    {.key = "command",
     .type = QE_OPT_TEXT_LIST,
     .offset = offsetof(struct qe_handler_settings, command),
     .default_note = "required for `exec` and `coprocess`",
     .max = COMMAND_WORDS_MAX,
     .help =
         "Program and arguments, `[/usr/local/bin/handle, --fast]`: no shell; a program without "
         "`/` is found on `PATH`."},
    {.key = "environment",
     .type = QE_OPT_SECTION_LIST,
     .offset = offsetof(struct qe_handler_settings, environment),
     .max = PAIRS_MAX,
     .section = &s_variable_section,
     .help =
         "`exec`, `coprocess`: variables beside `PATH`, `HOME`, `LANG`, `LC_ALL`, `TZ`, `TMPDIR` "
         "and `QUEUE_...`; nothing else of ours is passed on."},
    {.key = "url",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_handler_settings, url),
     .default_note = "required for `http`",
     .min = 1,
     .max = 2048,
     .help = "`http`: where each message is posted to, `http://` or `https://`."},
    {.key = "headers",
     .type = QE_OPT_SECTION_LIST,
     .offset = offsetof(struct qe_handler_settings, headers),
     .max = PAIRS_MAX,
     .section = &s_header_section,
     .help = "`http`: headers of every request beside `X-Queue-...`."},
    {.key = "authorization",
     .type = QE_OPT_SECRET,
     .offset = offsetof(struct qe_handler_settings, authorization),
     .default_note = "none",
     .help = "`http`: value of the `Authorization` header, `Bearer ...`."},
    {.key = "ca_file",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_handler_settings, ca_file),
     .default_note = "the system's",
     .help = "`http`: certificates that the server's is checked against."},
    {.key = "cert_file",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_handler_settings, cert_file),
     .default_note = "none",
     .help = "`http`: client certificate; needs `key_file`."},
    {.key = "key_file",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_handler_settings, key_file),
     .default_note = "none",
     .help = "`http`: the client certificate's key."},
    {.key = "timeout",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_handler_settings, timeout_ms),
     .default_note = "`max_handling_time`",
     .min = 1,
     .max = 12 * HOUR_MS,
     .help = "`exec`, `coprocess`, `http`: a call that takes longer is ended and tried again; "
             "`max_handling_time` ends it too, whichever comes first."},
    {.key = "max_reply",
     .type = QE_OPT_SIZE,
     .offset = offsetof(struct qe_handler_settings, max_reply_bytes),
     .default_text = "256KiB",
     .min = 1,
     .max = 16777216,
     .help = "`exec`, `coprocess`, `http`: longest reply; a longer one dead-letters a message that "
             "asked for it."},
    {.key = "latency_p50",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_handler_settings, latency_p50_ms),
     .default_text = "20ms",
     .min = 0,
     .max = HOUR_MS,
     .help = "`simulate`: half of the messages take less."},
    {.key = "latency_p99",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_handler_settings, latency_p99_ms),
     .default_note = "10 × `latency_p50`",
     .min = 0,
     .max = 10 * HOUR_MS,
     .help = "`simulate`: one message in a hundred takes longer; at least `latency_p50`."},
    {.key = "error_rate",
     .type = QE_OPT_NUMBER,
     .offset = offsetof(struct qe_handler_settings, error_rate),
     .default_text = "0",
     .min = 0,
     .max = 1,
     .help = "`simulate`: the share of deliveries that fail."},
    {.key = "seed",
     .type = QE_OPT_UINT,
     .offset = offsetof(struct qe_handler_settings, seed),
     .default_text = "0",
     .help = "`simulate`: the same seed gives the same outcomes; `0` gives others each time."},
};

static int check_latency(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_handler_settings *handler = settings;
    char p50[32];

    if (handler->latency_p99_ms == 0 || handler->latency_p99_ms >= handler->latency_p50_ms) {
        return 0;
    }
    *out_key = "latency_p99";
    return qe_err_set(err, QE_ERR_INVALID, "is less than latency_p50 (%s)",
                      qe_text_from_duration(handler->latency_p50_ms, p50));
}

/* What is set for another type would silently do nothing. */
static const char *unused(const void *settings, const char *key)
{
    enum {
        RUNS = 1 << QE_HANDLER_EXEC | 1 << QE_HANDLER_COPROCESS,
        POSTS = 1 << QE_HANDLER_HTTP,
        PRETENDS = 1 << QE_HANDLER_SIMULATE
    };
    static const struct {
        const char *key;
        unsigned types; /* that it means something to */
    } keys[] = {{"command", RUNS},           {"environment", RUNS},     {"url", POSTS},
                {"headers", POSTS},          {"authorization", POSTS},  {"ca_file", POSTS},
                {"cert_file", POSTS},        {"key_file", POSTS},       {"timeout", RUNS | POSTS},
                {"max_reply", RUNS | POSTS}, {"latency_p50", PRETENDS}, {"latency_p99", PRETENDS},
                {"error_rate", PRETENDS},    {"seed", PRETENDS}};
    static const char *const words[] = {
        [QE_HANDLER_DISCARD] = "means nothing to a handler of type discard",
        [QE_HANDLER_SIMULATE] = "means nothing to a handler of type simulate",
        [QE_HANDLER_EXEC] = "means nothing to a handler of type exec",
        [QE_HANDLER_COPROCESS] = "means nothing to a handler of type coprocess",
        [QE_HANDLER_HTTP] = "means nothing to a handler of type http"};
    const struct qe_handler_settings *handler = settings;

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        if (strcmp(keys[i].key, key) == 0 && (keys[i].types >> handler->type & 1) == 0) {
            return words[handler->type];
        }
    }
    return NULL;
}

static int check_keys(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_handler_settings *handler = settings;
    const bool runs = handler->type == QE_HANDLER_EXEC || handler->type == QE_HANDLER_COPROCESS;

    *out_key = "type";
    if (runs && handler->command.count == 0) {
        return qe_err_set(err, QE_ERR_INVALID, "%s needs a command, such as command: [cat]",
                          s_handler_types[handler->type]);
    }
    if (handler->type == QE_HANDLER_HTTP && handler->url == NULL) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "http needs a url, such as url: http://127.0.0.1:8080/orders");
    }
    return 0;
}

static int check_command(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_handler_settings *handler = settings;
    char path[QE_CHILD_PATH_BYTES];

    *out_key = "command";
    return handler->command.count == 0 ? 0 : qe_child_find(handler->command.items[0], path, err);
}

/* user:password@ before the host would be shown wherever the URL is. */
static bool has_user(const char *url)
{
    const char *host = strstr(url, "://");

    if (host == NULL) {
        return false;
    }
    host += 1 + strspn(host + 1, "/"); /* libcurl takes three of them, too */
    return memchr(host, '@', strcspn(host, "/?#")) != NULL;
}

static int check_http(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_handler_settings *handler = settings;

    *out_key = "url";
    if (handler->url != NULL && !qe_text_starts_with(handler->url, "http://") &&
        !qe_text_starts_with(handler->url, "https://")) {
        return qe_err_set(err, QE_ERR_INVALID, "must begin with http:// or https://");
    }
    if (handler->url != NULL && handler->url[strcspn(handler->url, " \t\r\n")] != '\0') {
        return qe_err_set(err, QE_ERR_INVALID, "must not hold blanks: %%20 is one");
    }
    if (handler->url != NULL && has_user(handler->url)) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "must not hold a user or password, which would be shown: set "
                          "authorization_file");
    }
    *out_key = "authorization";
    if (check_value(handler->authorization, err) != 0) {
        return -1;
    }
    *out_key = handler->cert_file != NULL ? "cert_file" : "key_file";
    if ((handler->cert_file != NULL) != (handler->key_file != NULL)) {
        return qe_err_set(err, QE_ERR_INVALID, "is of no use without %s",
                          handler->cert_file != NULL ? "key_file" : "cert_file");
    }
    return 0;
}

/* A directory can be opened, but not read. Never waits: a pipe without a writer is empty. */
static int check_file(const char *path, struct qe_err *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char first = '\0';
    const ssize_t got = fd < 0 ? -1 : read(fd, &first, 1);
    const int reason = errno;

    if (fd >= 0) {
        (void)close(fd);
    }
    if (got < 0) {
        return qe_err_set_errno(err, reason, "cannot read %s", path);
    }
    return got > 0 ? 0 : qe_err_set(err, QE_ERR_INVALID, "%s is empty", path);
}

/* Found missing later, nothing could be handed to the handler. */
static int check_files(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_handler_settings *handler = settings;
    const struct {
        const char *key;
        const char *path;
    } files[] = {{"ca_file", handler->ca_file},
                 {"cert_file", handler->cert_file},
                 {"key_file", handler->key_file}};

    for (size_t i = 0; i < COUNT_OF(files); i++) {
        *out_key = files[i].key;
        if (files[i].path != NULL && check_file(files[i].path, err) != 0) {
            return -1;
        }
    }
    return 0;
}

const struct qe_section qe_section_handler = {
    .name = "handler",
    .size_bytes = sizeof(struct qe_handler_settings),
    .options = s_handler_options,
    .options_count = COUNT_OF(s_handler_options),
    .rules = {check_keys, check_latency, check_command, check_http, check_files},
    .unused = unused,
};

bool qe_handler_settings_take_batches(const struct qe_handler_settings *handler)
{
    return strcmp(s_handler_types[handler->type], "exec") != 0;
}

void qe_handler_settings_resolve(struct qe_handler_settings *handler)
{
    if (handler->latency_p99_ms == 0) {
        handler->latency_p99_ms = P99_PER_P50 * handler->latency_p50_ms;
    }
}
