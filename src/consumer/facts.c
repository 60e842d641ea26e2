#include "consumer/facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/text.h"

#define NAME_BYTES 256

struct qe_facts_style {
    const char *prefix;
    bool is_upper;     /* names in capitals, and words joined by _ instead of - */
    char divider;      /* between name and value, in the text */
    bool plain_values; /* without control characters */
    size_t value_max_bytes;
    size_t total_max_bytes; /* of one message's facts */
};

/* Linux takes 128 KiB per variable and 2 MiB in all, arguments included. */
const struct qe_facts_style qe_facts_environment = {.prefix = "QUEUE_",
                                                    .is_upper = true,
                                                    .divider = '=',
                                                    .value_max_bytes = (size_t)32 << 10,
                                                    .total_max_bytes = (size_t)256 << 10};
/* Common servers take 8 KiB per header and some 16 to 32 in all. */
const struct qe_facts_style qe_facts_headers = {.prefix = "X-Queue-",
                                                .divider = '\0',
                                                .plain_values = true,
                                                .value_max_bytes = (size_t)4 << 10,
                                                .total_max_bytes = (size_t)12 << 10};

void qe_facts_init(struct qe_facts *facts, const struct qe_facts_style *style)
{
    facts->style = style;
    qe_strbuf_init(&facts->text, 0);
    facts->text.is_secret = true;
    facts->count = 0;
    facts->message_bytes = 0;
    facts->left_out = 0;
}

void qe_facts_deinit(struct qe_facts *facts)
{
    qe_strbuf_deinit(&facts->text);
}

void qe_facts_add(struct qe_facts *facts, const char *name, const char *value)
{
    if (facts->count == QE_FACTS_MAX) {
        facts->left_out++;
        return;
    }
    facts->items[facts->count].name_at = facts->text.length_bytes;
    (void)qe_strbuf_append_text(&facts->text, name);
    (void)qe_strbuf_append_char(&facts->text, facts->style->divider);
    facts->items[facts->count].value_at = facts->text.length_bytes;
    (void)qe_strbuf_append_text(&facts->text, value);
    (void)qe_strbuf_append_char(&facts->text, '\0');
    facts->count++;
}

struct qe_pair qe_facts_get(const struct qe_facts *facts, size_t index)
{
    return (struct qe_pair){.name = facts->text.data + facts->items[index].name_at,
                            .value = facts->text.data + facts->items[index].value_at};
}

void qe_facts_fill_environment(const struct qe_facts *facts, char *out[QE_FACTS_MAX + 1])
{
    for (size_t i = 0; i < facts->count; i++) {
        out[i] = facts->text.data + facts->items[i].name_at;
    }
    out[facts->count] = NULL;
}

int qe_facts_error(const struct qe_facts *facts, struct qe_err *err)
{
    return qe_strbuf_error(&facts->text, err);
}

/* ASCII only, whatever the locale says. */
static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* prefix + name in the style's letters. False: too long. */
static bool write_name(const struct qe_facts_style *style, const char *words, const char *name,
                       char out[NAME_BYTES])
{
    int length = snprintf(out, NAME_BYTES, "%s%s%s", style->prefix, words, name);

    for (char *c = out + strlen(style->prefix); *c != '\0'; c++) {
        if (!is_word_char(*c)) {
            *c = style->is_upper ? '_' : '-';
        } else if (style->is_upper && *c >= 'a' && *c <= 'z') {
            *c = (char)(*c - 'a' + 'A');
        }
    }
    return length > 0 && length < NAME_BYTES;
}

static bool is_plain(const char *value)
{
    for (const char *c = value; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Names of headers do not differ by case. */
static bool is_there(const struct qe_facts *facts, const char *name)
{
    const size_t length = strlen(name);

    for (size_t i = 0; facts->text.failed == QE_OK && i < facts->count; i++) {
        const char *other = facts->text.data + facts->items[i].name_at;
        char copy[NAME_BYTES];
        size_t bytes = facts->items[i].value_at - 1 - facts->items[i].name_at;

        if (bytes == length && bytes < sizeof copy) {
            memcpy(copy, other, bytes);
            copy[bytes] = '\0';
            if (qe_text_equal_nocase(copy, name)) {
                return true;
            }
        }
    }
    return false;
}

/* A fact of the message; "" is nothing to tell. */
static void add_fact(struct qe_facts *facts, const char *words, const char *name, const char *value)
{
    const struct qe_facts_style *style = facts->style;
    const size_t bytes = strlen(value);
    char whole[NAME_BYTES];

    if (bytes > style->value_max_bytes || facts->message_bytes + bytes > style->total_max_bytes ||
        (style->plain_values && !is_plain(value)) || !write_name(style, words, name, whole) ||
        is_there(facts, whole)) {
        facts->left_out++;
        return;
    }
    facts->message_bytes += bytes + strlen(whole);
    qe_facts_add(facts, whole, value);
}

static void add_known(struct qe_facts *facts, const char *name, const char *value)
{
    if (value != NULL && *value != '\0') {
        add_fact(facts, "", name, value);
    }
}

void qe_facts_add_origin(struct qe_facts *facts, const struct qe_origin *origin)
{
    add_known(facts, "Source", origin->source);
    add_known(facts, "Vhost", origin->vhost);
    add_known(facts, "Name", origin->queue);
}

void qe_facts_add_message(struct qe_facts *facts, const struct qe_message *message)
{
    char text[32];

    add_known(facts, "Message-Id", message->id);
    if (message->receives > 0) {
        (void)snprintf(text, sizeof text, "%" PRIu32, message->receives);
        add_known(facts, "Receives", text);
    }
    if (message->sent_unix_ms > 0) {
        add_known(facts, "Sent", qe_text_from_unix_ms(message->sent_unix_ms, text));
    }
    add_known(facts, "Group", message->group);
    add_known(facts, "Deduplication-Id", message->deduplication_id);
    add_known(facts, "Correlation-Id", message->correlation_id);
    add_known(facts, "Reply-To", message->reply_to);
    for (size_t i = 0; i < message->attributes.count; i++) {
        add_fact(facts, "Attribute-", message->attributes.items[i].name,
                 message->attributes.items[i].value);
    }
    if (facts->left_out > 0) {
        char name[NAME_BYTES];

        (void)snprintf(text, sizeof text, "%zu", facts->left_out);
        (void)write_name(facts->style, "", "Left-Out", name);
        qe_facts_add(facts, name, text);
    }
}

void qe_facts_add_base(struct qe_facts *facts, const struct qe_command *command)
{
    const struct qe_pair *pairs = command->environment;
    const size_t count = command->environment_count;
    static const char *const names[] = {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment while we run */
        const char *value = getenv(names[i]);
        bool is_set = false;

        for (size_t k = 0; k < count; k++) {
            is_set = is_set || strcmp(pairs[k].name, names[i]) == 0;
        }
        if (value != NULL && !is_set) {
            qe_facts_add(facts, names[i], value);
        }
    }
    for (size_t k = 0; k < count; k++) {
        qe_facts_add(facts, pairs[k].name, pairs[k].value);
    }
}
