/* What is known of a message, as environment variables of a child or as headers of a request. What
 * is not known is not there; what does not fit or cannot be written is left out whole and counted,
 * never altered. */
#ifndef QE_CONSUMER_FACTS_H
#define QE_CONSUMER_FACTS_H

#include <stdbool.h>
#include <stddef.h>

#include "consumer/command.h"
#include "model/message.h"
#include "util/strbuf.h"

#define QE_FACTS_MAX 256

/* Where a consumer's messages come from; borrowed. */
struct qe_origin {
    const char *source;
    const char *vhost;
    const char *queue;
};

struct qe_facts_style; /* how names are written, and how much there may be */
extern const struct qe_facts_style qe_facts_environment; /* QUEUE_MESSAGE_ID=... */
extern const struct qe_facts_style qe_facts_headers;     /* X-Queue-Message-Id: ... */

struct qe_facts {
    const struct qe_facts_style *style;
    struct qe_strbuf text; /* wiped: configured values may be secrets */
    struct {
        size_t name_at; /* in text */
        size_t value_at;
    } items[QE_FACTS_MAX];
    size_t count;
    size_t message_bytes; /* of the message's facts */
    size_t left_out;
};

void qe_facts_init(struct qe_facts *facts, const struct qe_facts_style *style);
void qe_facts_deinit(struct qe_facts *facts);
/* As it is, whatever the style's limits. */
void qe_facts_add(struct qe_facts *facts, const char *name, const char *value);
void qe_facts_add_origin(struct qe_facts *facts, const struct qe_origin *origin);
void qe_facts_add_message(struct qe_facts *facts, const struct qe_message *message);
/* What a child starts with: PATH, HOME, LANG, LC_ALL, TZ and TMPDIR of ours and nothing else of
 * ours, which may hold secrets; then the command's own. */
void qe_facts_add_base(struct qe_facts *facts, const struct qe_command *command);
int qe_facts_error(const struct qe_facts *facts, struct qe_err *err) QE_MUST_CHECK;
/* Once all is added; borrowed until the next change. */
struct qe_pair qe_facts_get(const struct qe_facts *facts, size_t index);
/* The style must be qe_facts_environment: "NAME=value" each, and NULL behind the last. */
void qe_facts_fill_environment(const struct qe_facts *facts, char *out[QE_FACTS_MAX + 1]);

#endif
