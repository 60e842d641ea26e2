/* queuectl dlq inspect: dead letters, why they are there, and what they say. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlq/facts.h"
#include "model/message_json.h"
#include "queuectl/dlq.h"
#include "queuectl/line.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/mem.h"
#include "util/text.h"

#define BODY_LINES_MAX 12
#define BODY_BYTES_MAX 1000
#define PRETTY_GROWTH ((size_t)32)
#define PRETTY_BYTES_MAX ((size_t)1 << 20)
#define GROUPS_MAX 1000
#define LOOK_DEFAULT 1000

static const struct qe_cli_flag s_flags[] = {
    {"max", "N", "print at most so many messages; 0 is none", "10", .take = ctl_take_max_or_none},
    {"look", "N", "look at so many for the counts", "1000", .take = ctl_take_look},
    {"full", NULL, "print whole bodies", CTL_AT(full)},
    CTL_FLAGS_FILTER,
    {"yes", NULL, "do not ask, where looking has side effects", CTL_AT(yes)},
    {"json", NULL,
     "one JSON object per line, a message each, without the counts: jq and uniq -c make them of "
     "their reason, with --max as large as --look",
     CTL_AT(json)},
    CTL_FLAG_VHOST,
    CTL_FLAG_TIMEOUT,
};

struct group {
    char reason[QE_DLQ_REASON_BYTES];
    uint64_t count;
};

struct inspection {
    struct ctl *ctl;
    uint64_t printed;
    uint64_t meant;
    struct group *groups; /* owned */
    size_t groups_count;
    size_t groups_capacity;
    uint64_t others; /* of reasons beyond GROUPS_MAX */
};

static int count_reason(struct inspection *inspection, const char *reason, struct qe_err *err)
{
    struct group group = {.count = 1};

    for (size_t i = 0; i < inspection->groups_count; i++) {
        if (strcmp(inspection->groups[i].reason, reason) == 0) {
            inspection->groups[i].count++;
            return 0;
        }
    }
    if (inspection->groups_count == GROUPS_MAX) {
        inspection->others++; /* so many reasons are none */
        return 0;
    }
    (void)snprintf(group.reason, sizeof group.reason, "%s", reason);
    if (qe_grow(&inspection->groups, inspection->groups_count, &inspection->groups_capacity,
                GROUPS_MAX, sizeof group) != 0) {
        return qe_err_set(err, QE_ERR_NOMEM, "reason %s", reason);
    }
    inspection->groups[inspection->groups_count++] = group;
    return 0;
}

/* --- for people --- */

static void put(const char *before, const char *text, const char *after)
{
    (void)fputs(before, stdout);
    (void)ctl_write_name(stdout, text); /* a line of an attribute must not pass for one of ours */
    (void)fputs(after, stdout);
}

static void put_head(const struct qe_message *message, const struct qe_dlq_facts *facts)
{
    put("id ", qe_message_name(message), "");
    put(", ", facts->reason, "");
    if (facts->detail[0] != '\0') {
        put(": ", facts->detail, "");
    }
    if (facts->attempts > 0) {
        (void)printf(", %" PRIu64 " attempt%s", facts->attempts, facts->attempts == 1 ? "" : "s");
    }
    if (facts->age_ms >= 0) {
        char text[32];

        (void)printf(message->enqueued_unix_ms != 0 ? ", here for %s" : ", first sent %s ago",
                     qe_text_from_duration(facts->age_ms / 1000 * 1000, text));
    }
    if (facts->source[0] != '\0') {
        put(", from ", facts->source, "");
    }
    if (message->group[0] != '\0') {
        put(", group ", message->group, "");
    }
    (void)printf(", %zu bytes\n", message->body_bytes);
}

/* Only its first lines, and not too much of a long one. */
static size_t cut_body(const char *body, size_t bytes)
{
    size_t lines = 0;
    size_t cut = qe_text_cut(body, bytes, BODY_BYTES_MAX);

    for (size_t i = 0; i < cut; i++) {
        lines += body[i] == '\n' ? 1 : 0;
        if (lines == BODY_LINES_MAX) {
            return i;
        }
    }
    return cut;
}

static void put_body(const struct qe_message *message, bool full)
{
    struct qe_err ignored = {0};
    struct qe_json *json = message->body_bytes <= PRETTY_BYTES_MAX
                               ? qe_json_parse(message->body, message->body_bytes, &ignored)
                               : NULL;
    bool is_tree = qe_json_is_object(json) || qe_json_is_array(json);
    struct qe_strbuf pretty;

    /* Of one that is all depth, its lines as they are. */
    qe_strbuf_init(&pretty, PRETTY_GROWTH * message->body_bytes + PRETTY_GROWTH);
    if (is_tree) {
        qe_json_indent(message->body, message->body_bytes, &pretty);
    }
    is_tree = is_tree && qe_strbuf_error(&pretty, &ignored) == 0;
    const char *body = is_tree ? qe_strbuf_text(&pretty) : message->body;
    size_t bytes = is_tree ? pretty.length_bytes : message->body_bytes;
    size_t shown = full ? bytes : cut_body(body, bytes);

    (void)ctl_write_safely(stdout, body, shown);
    if (shown < bytes) {
        (void)printf("\n... %zu bytes more: --full shows them", bytes - shown);
    }
    (void)fputs("\n\n", stdout);
    qe_strbuf_deinit(&pretty);
    qe_json_destroy(json);
}

static void print_for_people(const struct qe_message *message, const struct qe_dlq_facts *facts,
                             bool full)
{
    put_head(message, facts);
    for (size_t i = 0; i < message->attributes.count; i++) {
        const struct qe_attribute *one = &message->attributes.items[i];

        if (strcmp(one->name, QE_DEAD_LETTER_REASON) != 0) {
            put("  ", one->name, " = ");
            put("", one->value, "\n");
        }
    }
    put_body(message, full);
}

/* --- for programs --- */

static int print_json(const struct qe_message *message, const struct qe_dlq_facts *facts,
                      struct qe_err *err)
{
    struct qe_json *object = qe_message_to_json(message);
    const char *const texts[][2] = {{"reason", facts->reason},
                                    {"detail", facts->detail},
                                    {"dead_letter_source", facts->source},
                                    {"first_error", facts->first_error},
                                    {"last_error", facts->last_error},
                                    {"first_seen", facts->first_seen}};
    int rc = object != NULL ? 0 : -1;

    for (size_t i = 0; rc == 0 && i < sizeof texts / sizeof texts[0]; i++) {
        rc = texts[i][1][0] != '\0' ? qe_json_add_text(object, texts[i][0], texts[i][1]) : 0;
    }
    if (rc == 0 && facts->attempts > 0) {
        rc = qe_json_add_number(object, "attempts", (double)facts->attempts);
    }
    if (rc == 0 && facts->age_ms >= 0) {
        rc = qe_json_add_number(object, "age_seconds", (double)facts->age_ms / 1000);
    }
    return ctl_write_object(stdout, rc, object, "message", message->id, err);
}

/* --- the command --- */

static int visit(void *context, const struct qe_message *message, struct qe_err *err)
{
    struct inspection *inspection = context;
    const struct ctl_options *options = &inspection->ctl->options;
    struct qe_dlq_facts facts;
    int meant = ctl_is_meant(inspection->ctl, message, err);

    if (meant <= 0) {
        return meant;
    }
    inspection->meant++;
    qe_dlq_facts_read(message, qe_clock_unix_ms(), &facts);
    if (count_reason(inspection, facts.reason, err) != 0) {
        return -1;
    }
    if (inspection->printed == options->max) {
        return 0;
    }
    inspection->printed++;
    if (options->json) {
        return print_json(message, &facts, err);
    }
    print_for_people(message, &facts, options->full);
    return 0;
}

static int by_count(const void *a, const void *b)
{
    const struct group *left = a;
    const struct group *right = b;

    if (left->count != right->count) {
        return left->count > right->count ? -1 : 1;
    }
    return strcmp(left->reason, right->reason);
}

static void print_groups(struct inspection *inspection, size_t seen)
{
    const struct ctl *ctl = inspection->ctl;

    if (inspection->groups_count > 0) {
        qsort(inspection->groups, inspection->groups_count, sizeof inspection->groups[0], by_count);
    }
    (void)printf("%8s  REASON\n", "MESSAGES");
    for (size_t i = 0; i < inspection->groups_count; i++) {
        (void)printf("%8" PRIu64, inspection->groups[i].count);
        put("  ", inspection->groups[i].reason, "\n");
    }
    if (inspection->others > 0) {
        (void)printf("%8" PRIu64 "  other reasons\n", inspection->others);
    }
    if (seen >= ctl->options.look || seen >= ctl_dlq_look_cap(ctl)) {
        (void)printf("looked at %zu messages; there may be more: --look N\n", seen);
    } else if (inspection->meant < seen) {
        (void)printf("of %zu messages\n", seen);
    }
}

static enum qe_exit run(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    struct inspection inspection = {.ctl = ctl};
    const struct ctl_visitor visitor = {.visit = visit, .context = &inspection};
    struct ctl_seen seen;
    bool is_short = false;

    (void)count;
    ctl->options.look = ctl->options.look > 0 ? ctl->options.look : LOOK_DEFAULT;
    if (ctl_open_queue(ctl, operands, 0, "", err) != 0 ||
        ctl_dlq_confirm_look(ctl, &ctl->queue, ctl->options.look, err) != 0) {
        return QE_EXIT_FAILURE;
    }
    ctl_catch_signals();
    int rc = ctl_dlq_look(ctl, &ctl->queue, ctl->options.look, &visitor, &seen, err);

    if (rc == 0 && seen.count == 0 && ctl_stopped == 0) {
        char label[CTL_LABEL_BYTES];

        (void)fprintf(stderr, "no message can be seen in %s\n", ctl_label(ctl, &ctl->queue, label));
    } else if (rc == 0 && seen.count > 0 && !ctl->options.json) {
        print_groups(&inspection, seen.count);
    }
    (void)fflush(stdout);
    if (rc == 0 && ctl_stopped != 0) {
        (void)fprintf(stderr, "queuectl dlq inspect: stopped after %zu messages\n", seen.count);
    } else if (rc == 0) {
        is_short = ctl_dlq_tell_rest(ctl, &ctl->queue, seen.count, &seen.rest);
    }
    qe_free(inspection.groups);
    return rc == 0 && ctl_stopped == 0 && !is_short ? QE_EXIT_OK : QE_EXIT_FAILURE;
}

const struct ctl_command ctl_dlq_inspect = {
    .name = "dlq inspect",
    .operands = "SOURCE DLQ",
    .summary = "look at dead letters: why they are there, and how many for which reason",
    .flags = s_flags,
    .flags_count = sizeof s_flags / sizeof s_flags[0],
    .operands_min = 2,
    .operands_max = 2,
    .run = run,
};
