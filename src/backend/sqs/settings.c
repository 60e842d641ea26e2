/* The option table of Amazon SQS, and the rules between its keys. */
#include <string.h>

#include "backend/sqs/internal.h"
#include "util/text.h"
#include "util/url.h"

#define SECOND_MS 1000.0
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define NAME_MAX_BYTES 80 /* of a queue, ".fifo" included */

static const char *const s_age_methods[] = {"cloudwatch", "none", NULL};

static bool holds_only(const char *text, const char *allowed)
{
    return text[strspn(text, allowed)] == '\0';
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* --- assume_role --- */

static const struct qe_option s_role_options[] = {
    {.key = "arn",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_sqs_role_settings, arn),
     .required = true,
     .min = 20,
     .max = 2048,
     .help = "The role: `arn:aws:iam::123456789012:role/monitor`."},
    {.key = "external_id",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_sqs_role_settings, external_id),
     .min = 2,
     .max = 1224,
     .help = "What the role's trust policy wants to hear."},
    {.key = "session_name",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_sqs_role_settings, session_name),
     .default_text = "queue-exporter",
     .min = 2,
     .max = 64,
     .help = "How this session is called in CloudTrail."},
    {.key = "duration",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_sqs_role_settings, duration_ms),
     .default_text = "1h",
     .min = 15 * MINUTE_MS,
     .max = 12 * HOUR_MS,
     .help = "How long its credentials live; they are renewed ahead of that."},
};

static int check_role(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_sqs_role_settings *role = settings;

    if (role->arn == NULL) {
        return 0;
    }
    if (!qe_text_starts_with(role->arn, "arn:")) {
        *out_key = "arn";
        return qe_err_set(err, QE_ERR_INVALID, "must begin with \"arn:\"");
    }
    if (!holds_only(role->session_name, LOWER UPPER DIGITS "_+=,.@-")) {
        *out_key = "session_name";
        return qe_err_set(err, QE_ERR_INVALID, "must hold letters, digits and _+=,.@- only");
    }
    return 0;
}

static const struct qe_section s_role_section = {
    .name = "assume_role",
    .size_bytes = sizeof(struct qe_sqs_role_settings),
    .options = s_role_options,
    .options_count = sizeof(s_role_options) / sizeof(s_role_options[0]),
    .rules = {check_role},
};

/* --- oldest_age, cadence, cost --- */

static const struct qe_option s_age_options[] = {
    {.key = "method",
     .type = QE_OPT_CHOICE,
     .offset = offsetof(struct qe_sqs_age_settings, method),
     .default_text = "cloudwatch",
     .choices = s_age_methods,
     .help = "Where the age of a queue's oldest message comes from when no consumer of ours sees "
             "it. `none` costs nothing."},
    {.key = "interval",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_sqs_age_settings, interval_ms),
     .default_text = "5m",
     .min = SECOND_MS,
     .max = 24 * HOUR_MS,
     .help = "Time between two questions to CloudWatch; it has one new value a minute, and each "
             "costs 25 times what a reading of the queue does."},
    {.key = "empty_queues",
     .type = QE_OPT_BOOL,
     .offset = offsetof(struct qe_sqs_age_settings, empty_queues),
     .default_text = "false",
     .help = "Ask for queues whose counts are all 0, too, instead of taking their age for 0."},
};

static const struct qe_section s_age_section = {
    .name = "oldest_age",
    .size_bytes = sizeof(struct qe_sqs_age_settings),
    .options = s_age_options,
    .options_count = sizeof(s_age_options) / sizeof(s_age_options[0]),
};

static const struct qe_option s_cadence_options[] = {
    {.key = "adaptive",
     .type = QE_OPT_BOOL,
     .offset = offsetof(struct qe_sqs_cadence_settings, adaptive),
     .default_text = "true",
     .help = "Read queues that stay empty less often than every poll; dead-letter queues, and "
             "queues with messages or recent changes, are read by every poll."},
    {.key = "max_interval",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_sqs_cadence_settings, max_interval_ms),
     .default_text = "2m",
     .min = 100,
     .max = 24 * HOUR_MS,
     .help = "Longest time between two readings of a queue, whatever the cadence or the budget "
             "says. Below `poll_interval` it has no effect."},
};

static const struct qe_section s_cadence_section = {
    .name = "cadence",
    .size_bytes = sizeof(struct qe_sqs_cadence_settings),
    .options = s_cadence_options,
    .options_count = sizeof(s_cadence_options) / sizeof(s_cadence_options[0]),
};

static const struct qe_option s_cost_options[] = {
    {.key = "monthly_budget_dollars",
     .type = QE_OPT_NUMBER,
     .offset = offsetof(struct qe_sqs_cost_settings, monthly_budget_dollars),
     .default_text = "0",
     .max = 1e6,
     .help = "What this source may cost in a month; where it would be more, questions are asked "
             "less often. `0`: no budget."},
    {.key = "sqs_dollars_per_million",
     .type = QE_OPT_NUMBER,
     .offset = offsetof(struct qe_sqs_cost_settings, sqs_dollars_per_million),
     .default_text = "0.40",
     .max = 1000,
     .help = "Price of a million SQS requests in your region."},
    {.key = "sqs_fifo_dollars_per_million",
     .type = QE_OPT_NUMBER,
     .offset = offsetof(struct qe_sqs_cost_settings, sqs_fifo_dollars_per_million),
     .default_text = "0.50",
     .max = 1000,
     .help = "The same for requests that send, receive, delete or release messages of FIFO "
             "queues. Readings cost as those of other queues."},
    {.key = "sqs_fair_dollars_per_million",
     .type = QE_OPT_NUMBER,
     .offset = offsetof(struct qe_sqs_cost_settings, sqs_fair_dollars_per_million),
     .default_text = "0.10",
     .max = 1000,
     .help = "What a million sends with a group to standard queues (fair queues) cost on top."},
    {.key = "cloudwatch_dollars_per_thousand",
     .type = QE_OPT_NUMBER,
     .offset = offsetof(struct qe_sqs_cost_settings, cloudwatch_dollars_per_thousand),
     .default_text = "0.01",
     .max = 1000,
     .help = "Price of a thousand metrics asked from CloudWatch."},
};

static const struct qe_section s_cost_section = {
    .name = "cost",
    .size_bytes = sizeof(struct qe_sqs_cost_settings),
    .options = s_cost_options,
    .options_count = sizeof(s_cost_options) / sizeof(s_cost_options[0]),
};

/* --- the source --- */

static const struct qe_option s_options[] = {
    {.key = "region",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_sqs_settings, region),
     .default_note = "`AWS_REGION`, the profile's, the instance's",
     .min = 1,
     .max = 63,
     .help = "Region of the queues: `eu-west-1`."},
    {.key = "endpoint",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_sqs_settings, endpoint),
     .default_note = "AWS's own for the region",
     .help = "Address of a local server or a VPC endpoint, for every service: "
             "`http://127.0.0.1:5000`."},
    {.key = "cloudwatch_endpoint",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_sqs_settings, cloudwatch_endpoint),
     .default_note = "as `endpoint`",
     .help = "The same for CloudWatch alone."},
    {.key = "sts_endpoint",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_sqs_settings, sts_endpoint),
     .default_note = "as `endpoint`",
     .help = "The same for STS alone, which roles are assumed from."},
    {.key = "profile",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_sqs_settings, profile),
     .help = "Profile of the shared AWS files to take credentials and region from."},
    {.key = "access_key_id",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_sqs_settings, access_key_id),
     .help = "Static credentials. Without them, and without `profile`: environment, web identity, "
             "shared files, container, instance metadata."},
    {.key = "secret_access_key",
     .type = QE_OPT_SECRET,
     .offset = offsetof(struct qe_sqs_settings, secret_access_key),
     .help = "Belongs to `access_key_id`."},
    {.key = "session_token",
     .type = QE_OPT_SECRET,
     .offset = offsetof(struct qe_sqs_settings, session_token),
     .help = "Belongs to temporary keys."},
    {.key = "assume_role",
     .type = QE_OPT_SECTION,
     .offset = offsetof(struct qe_sqs_settings, assume_role),
     .section = &s_role_section,
     .help = "Role to assume with these credentials."},
    {.key = "ca_file",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_sqs_settings, ca_file),
     .default_note = "`AWS_CA_BUNDLE`, or the system's",
     .help = "Certificates (PEM) to trust instead."},
    {.key = "queue_name_prefix",
     .type = QE_OPT_TEXT,
     .offset = offsetof(struct qe_sqs_settings, queue_name_prefix),
     .max = NAME_MAX_BYTES,
     .help = "List only queues whose names begin so; their dead-letter queues are watched whatever "
             "their names. `\"\"`: every queue."},
    {.key = "queue_names",
     .type = QE_OPT_TEXT_LIST,
     .offset = offsetof(struct qe_sqs_settings, queue_names),
     .max = 10000,
     .help = "Watch these queues of the own account. With `queue_names` or `queue_urls`, queues "
             "are listed only if `queue_name_prefix` is there as well."},
    {.key = "queue_urls",
     .type = QE_OPT_TEXT_LIST,
     .offset = offsetof(struct qe_sqs_settings, queue_urls),
     .max = 10000,
     .help = "Watch these queues, also of other accounts: "
             "`https://sqs.eu-west-1.amazonaws.com/123456789012/orders`."},
    {.key = "tags",
     .type = QE_OPT_TEXT_LIST,
     .offset = offsetof(struct qe_sqs_settings, tags),
     .max = QE_QUEUE_LABELS_MAX,
     .help = "Queue tags to show as labels `tag_<key>` of `queue_info`. None: tags are not asked "
             "for."},
    {.key = "tags_interval",
     .type = QE_OPT_DURATION,
     .offset = offsetof(struct qe_sqs_settings, tags_interval_ms),
     .default_text = "10m",
     .min = SECOND_MS,
     .max = 24 * HOUR_MS,
     .help = "Time after which a queue's tags are read again; at most 4 queues a second are."},
    {.key = "concurrency",
     .type = QE_OPT_UINT,
     .offset = offsetof(struct qe_sqs_settings, concurrency),
     .default_text = "16",
     .min = 1,
     .max = 256,
     .help = "Requests in flight at a time."},
    {.key = "requests_per_second",
     .type = QE_OPT_NUMBER,
     .offset = offsetof(struct qe_sqs_settings, requests_per_second),
     .default_text = "0",
     .max = 100000,
     .help = "Most requests a poll may begin per second. `0`: no limit."},
    {.key = "in_flight_limit",
     .type = QE_OPT_UINT,
     .offset = offsetof(struct qe_sqs_settings, in_flight_limit),
     .default_text = "120000",
     .min = 1,
     .max = 1e12,
     .help = "Messages that one queue can have in flight, as your quota says."},
    {.key = "oldest_age",
     .type = QE_OPT_SECTION,
     .offset = offsetof(struct qe_sqs_settings, oldest_age),
     .section = &s_age_section,
     .help = "How the age of the oldest message is found."},
    {.key = "cadence",
     .type = QE_OPT_SECTION,
     .offset = offsetof(struct qe_sqs_settings, cadence),
     .section = &s_cadence_section,
     .help = "How often each queue is read."},
    {.key = "cost",
     .type = QE_OPT_SECTION,
     .offset = offsetof(struct qe_sqs_settings, cost),
     .section = &s_cost_section,
     .help = "What it may cost, and the prices."},
};

static int check_credentials(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_sqs_settings *sqs = settings;

    if (sqs->access_key_id != NULL && sqs->secret_access_key == NULL) {
        *out_key = "access_key_id";
        return qe_err_set(err, QE_ERR_INVALID,
                          "needs \"secret_access_key\" or \"secret_access_key_file\" beside it");
    }
    if (sqs->secret_access_key != NULL && sqs->access_key_id == NULL) {
        *out_key = "secret_access_key";
        return qe_err_set(err, QE_ERR_INVALID, "needs \"access_key_id\" beside it");
    }
    if (sqs->session_token != NULL && sqs->access_key_id == NULL) {
        *out_key = "session_token";
        return qe_err_set(err, QE_ERR_INVALID,
                          "needs \"access_key_id\" and \"secret_access_key\" beside it");
    }
    if (sqs->profile != NULL && sqs->access_key_id != NULL) {
        *out_key = "profile";
        return qe_err_set(err, QE_ERR_INVALID,
                          "and \"access_key_id\" exclude each other: both name credentials");
    }
    return 0;
}

/* NULL, or what is wrong with an address; `with_path` says whether it has more than "/". */
static const char *url_fault(const char *url, bool with_path)
{
    const char *host = qe_text_starts_with(url, "http://")    ? url + strlen("http://")
                       : qe_text_starts_with(url, "https://") ? url + strlen("https://")
                                                              : NULL;

    if (host == NULL) {
        return "must begin with http:// or https://";
    }
    if (host[strcspn(host, "?#@ \t\r\n")] != '\0') {
        return "must not hold a user, a query, a fragment or blanks";
    }
    if (strcspn(host, "/") == 0) {
        return "names no host";
    }
    if (with_path && strchr(host, '/') == NULL) {
        return "names no queue";
    }
    return NULL;
}

static int check_addresses(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_sqs_settings *sqs = settings;
    const struct {
        const char *key;
        const char *url;
    } urls[] = {{"endpoint", sqs->endpoint},
                {"cloudwatch_endpoint", sqs->cloudwatch_endpoint},
                {"sts_endpoint", sqs->sts_endpoint}};

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        const char *fault = urls[i].url == NULL ? NULL : url_fault(urls[i].url, false);

        if (fault != NULL) {
            *out_key = urls[i].key;
            return qe_err_set(err, QE_ERR_INVALID, "%s", fault);
        }
    }
    if (sqs->region != NULL && !holds_only(sqs->region, LOWER DIGITS "-")) {
        *out_key = "region";
        return qe_err_set(err, QE_ERR_INVALID,
                          "must hold lower-case letters, digits and - only, as eu-west-1 does");
    }
    return 0;
}

static const char *name_fault(const char *name)
{
    size_t bytes = strlen(name);
    const char *end =
        bytes > 5 && strcmp(name + bytes - 5, ".fifo") == 0 ? name + bytes - 5 : name + bytes;

    if (bytes == 0 || bytes > NAME_MAX_BYTES) {
        return "must have 1 to 80 bytes";
    }
    return name + strspn(name, LOWER UPPER DIGITS "_-") >= end
               ? NULL
               : "must hold letters, digits, - and _ only, and may end in .fifo";
}

static int check_unique(const struct qe_text_list *list, const char *what, struct qe_err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(list->items[i], list->items[j]) == 0) {
                return qe_err_set(err, QE_ERR_INVALID, "%s \"%s\" appears twice", what,
                                  list->items[i]);
            }
        }
    }
    return 0;
}

static int check_queues(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_sqs_settings *sqs = settings;

    *out_key = "queue_names";
    for (size_t i = 0; i < sqs->queue_names.count; i++) {
        const char *fault = name_fault(sqs->queue_names.items[i]);

        if (fault != NULL) {
            return qe_err_set(err, QE_ERR_INVALID, "queue \"%s\" %s", sqs->queue_names.items[i],
                              fault);
        }
    }
    if (check_unique(&sqs->queue_names, "queue", err) != 0) {
        return -1;
    }
    *out_key = "queue_urls";
    for (size_t i = 0; i < sqs->queue_urls.count; i++) {
        const char *url = sqs->queue_urls.items[i];
        const char *fault = url_fault(url, true);
        const char *name = strrchr(url, '/');

        fault = fault == NULL && name != NULL ? name_fault(name + 1) : fault;
        if (fault != NULL) {
            char shown[QE_URL_SHOWN_BYTES];

            return qe_err_set(err, QE_ERR_INVALID, "URL \"%s\" %s", qe_url_show(url, shown), fault);
        }
    }
    if (check_unique(&sqs->queue_urls, "URL", err) != 0) {
        return -1;
    }
    *out_key = NULL;
    return 0;
}

static int check_tags(const void *settings, const char **out_key, struct qe_err *err)
{
    const struct qe_sqs_settings *sqs = settings;

    *out_key = "tags";
    for (size_t i = 0; i < sqs->tags.count; i++) {
        if (sqs->tags.items[i][0] == '\0') {
            return qe_err_set(err, QE_ERR_INVALID, "a tag's key cannot be empty");
        }
    }
    if (check_unique(&sqs->tags, "tag", err) != 0) {
        return -1;
    }
    *out_key = NULL;
    return 0;
}

const struct qe_section qe_sqs_section = {
    .name = "sqs",
    .size_bytes = sizeof(struct qe_sqs_settings),
    .options = s_options,
    .options_count = sizeof(s_options) / sizeof(s_options[0]),
    .rules = {check_credentials, check_addresses, check_queues, check_tags},
};
