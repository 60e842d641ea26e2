/* Any bytes as a line for dlq import, which is asked in both ways: what is taken fits into a
 * message, and dlq export writes it as one plain line that is read back to the same. What is known
 * of it as a dead letter holds together. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlq/facts.h"
#include "dlq/filter.h"
#include "queuectl/line.h"
#include "util/text.h"

#define NOW_UNIX_MS INT64_C(1795311000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

static void require_same(const struct qe_message *a, const struct qe_message *b)
{
    require(strcmp(a->id, b->id) == 0, "the id");
    require(a->id_is_publishers == b->id_is_publishers, "whose word it is");
    require(strcmp(a->group, b->group) == 0, "the group");
    require(strcmp(a->deduplication_id, b->deduplication_id) == 0, "the deduplication id");
    require(strcmp(a->correlation_id, b->correlation_id) == 0, "the correlation id");
    require(strcmp(a->reply_to, b->reply_to) == 0, "where to reply");
    require(a->body_bytes == b->body_bytes && memcmp(a->body, b->body, a->body_bytes) == 0,
            "the body");
    require(a->attributes.count == b->attributes.count, "the number of attributes");
    for (size_t i = 0; i < a->attributes.count; i++) {
        const struct qe_attribute *one = &a->attributes.items[i];
        const struct qe_attribute *other = &b->attributes.items[i];

        require(strcmp(one->name, other->name) == 0, "an attribute's name");
        require(strcmp(one->type, other->type) == 0, "an attribute's type");
        require(strcmp(one->value, other->value) == 0, "an attribute's value");
    }
}

static void check_line(const char *line, size_t bytes)
{
    require(bytes > 1 && line[bytes - 1] == '\n', "a line has an end");
    require(qe_text_is_utf8(line, bytes), "a line is UTF-8");
    for (size_t i = 0; i < bytes - 1; i++) {
        const unsigned char c = (unsigned char)line[i];

        require(c >= 0x20 && c != 0x7f, "a line is one, and plain");
        require(c != 0xc2 || (unsigned char)line[i + 1] >= 0xa0, "nor is there a C1 control");
    }
}

static void check_round_trip(const struct qe_message *message)
{
    struct qe_message again = {0};
    struct qe_err err = {0};
    char *line = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&line, &bytes);

    require(out != NULL && ctl_line_write(out, message, &err) == 0 && fclose(out) == 0,
            "what was read can be written");
    check_line(line, bytes);
    require(qe_message_init(&again, &err) == 0, "memory");
    require(ctl_line_read(line, bytes, true, &again, &err) == 0, "what was written can be read");
    require_same(message, &again);
    require(qe_dlq_fingerprint(message) == qe_dlq_fingerprint(&again), "the fingerprint");
    qe_message_deinit(&again);
    free(line); /* NOLINT(cert-msc*): the C library's */
}

/* A filter of what the message says of itself finds it. */
static void check_facts(const struct qe_message *message)
{
    struct qe_dlq_filter filter = {0};
    struct qe_dlq_facts facts;
    struct qe_err err = {0};

    qe_dlq_facts_read(message, NOW_UNIX_MS, &facts);
    require(facts.reason[0] != '\0' && strchr(facts.reason, ':') == NULL, "a reason is a word");
    require(qe_text_is_utf8(facts.reason, strlen(facts.reason)), "a reason is UTF-8");
    require(facts.attempts <= UINT32_MAX, "attempts are counted");
    require(qe_dlq_filter_add_reason(&filter, facts.reason, &err) == 0, "one reason");
    require(qe_attributes_copy(&filter.attributes, &message->attributes, &err) == 0, "memory");
    require(qe_dlq_filter_matches(&filter, message, NOW_UNIX_MS, &err) == 1, "it is found");
    filter.reasons[0] = "no:such";
    require(qe_dlq_filter_matches(&filter, message, NOW_UNIX_MS, &err) == 0 ||
                strcmp(qe_attributes_get(&message->attributes, QE_DEAD_LETTER_REASON),
                       filter.reasons[0]) == 0,
            "and not for another reason");
    qe_dlq_filter_deinit(&filter);
}

static bool read_line(const char *line, size_t bytes, bool keeps_facts, struct qe_message *out)
{
    struct qe_err err = {0};

    require(qe_message_init(out, &err) == 0, "memory");
    if (ctl_line_read(line, bytes, keeps_facts, out, &err) != 0) {
        require((err.code == QE_ERR_PROTOCOL || err.code == QE_ERR_LIMIT) && err.message[0] != '\0',
                "a refusal says why");
        return false;
    }
    require(out->body_bytes <= QE_MESSAGE_BODY_MAX_BYTES, "a body can be sent");
    require(out->attributes.count <= QE_MESSAGE_ATTRIBUTES_MAX, "attributes have a limit");
    check_round_trip(out);
    check_facts(out);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qe_message whole;
    struct qe_message bare;
    const bool is_taken = read_line((const char *)data, size, true, &whole);

    require(read_line((const char *)data, size, false, &bare) == is_taken, "taken is taken");
    for (size_t i = 0; is_taken && i < bare.attributes.count; i++) {
        require(!qe_dlq_is_own_attribute(bare.attributes.items[i].name), "its facts stay behind");
    }
    require(!is_taken || qe_dlq_fingerprint(&whole) == qe_dlq_fingerprint(&bare),
            "and nothing else does");
    qe_message_deinit(&whole);
    qe_message_deinit(&bare);
    return 0;
}
