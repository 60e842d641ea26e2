#include "aws/endpoint.h"

#include <stdio.h>
#include <string.h>

#include "aws/endpoint_internal.h"
#include "aws/url.h"
#include "util/mem.h"
#include "util/strbuf.h"
#include "util/text.h"

#define LABEL_MAX_BYTES 63
#define DIGITS "0123456789"
#define LABEL_CHARACTERS "abcdefghijklmnopqrstuvwxyz" DIGITS "-"

/* A part of AWS with names of its own. A region belongs to the first whose prefix it has; what is
 * in none is in the last, as new regions of the ordinary part are.
 * Source: the SDKs' partitions.json; facts 1.1. */
static const struct partition {
    const char *region_prefix;
    const char *suffix;
    const char *dual_stack_suffix;
    bool is_fips_already; /* its ordinary names are the FIPS ones */
} s_partitions[] = {
    {"cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn", false},
    {"us-gov-", "amazonaws.com", "api.aws", true},
    {"eusc-", "amazonaws.eu", "api.amazonwebservices.eu", false},
    {"us-iso-", "c2s.ic.gov", "api.aws.ic.gov", false},
    {"us-isob-", "sc2s.sgov.gov", "api.aws.scloud", false},
    {"eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", false},
    {"us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov", false},
    {"", "amazonaws.com", "api.aws", false},
};

/* name: in host names and in signatures. id: in environment variables and settings files. */
static const struct service {
    const char *name;
    const char *id;
    const char *variable;
} s_services[QE_AWS_SERVICE_COUNT] = {
    [QE_AWS_SQS] = {"sqs", "sqs", "AWS_ENDPOINT_URL_SQS"},
    [QE_AWS_CLOUDWATCH] = {"monitoring", "cloudwatch", "AWS_ENDPOINT_URL_CLOUDWATCH"},
    [QE_AWS_STS] = {"sts", "sts", "AWS_ENDPOINT_URL_STS"},
};

const char *qe_aws_service_id(enum qe_aws_service service)
{
    return s_services[service].id;
}

const char *qe_aws_service_variable(enum qe_aws_service service)
{
    return s_services[service].variable;
}

void qe_aws_endpoint_deinit(struct qe_aws_endpoint *endpoint)
{
    qe_free(endpoint->url);
    qe_free(endpoint->host);
    qe_free(endpoint->path);
    qe_free(endpoint->region);
    *endpoint = (struct qe_aws_endpoint){0};
}

/* It becomes a part of a host name and of a signature: nothing but a label. */
static int check_region(const char *region, struct qe_err *err)
{
    const size_t length = strlen(region);

    if (length == 0 || length > LABEL_MAX_BYTES || strspn(region, LABEL_CHARACTERS) != length ||
        region[0] == '-' || region[length - 1] == '-') {
        return qe_err_set(err, QE_ERR_INVALID,
                          "\"%.80s\" is no AWS region: lower-case letters, digits and hyphens, "
                          "like eu-west-1",
                          region);
    }
    return 0;
}

static const struct partition *partition_of(const char *region)
{
    size_t i = 0;

    while (!qe_text_starts_with(region, s_partitions[i].region_prefix)) {
        i++; /* the last prefix fits everything */
    }
    return &s_partitions[i];
}

/* Copies all parts; deinits on failure. */
static int fill(struct qe_aws_endpoint *out, const struct qe_aws_endpoint *from, struct qe_err *err)
{
    struct qe_aws_endpoint made = {
        .url = qe_strdup(from->url),
        .host = qe_strdup(from->host),
        .path = qe_strdup(from->path),
        .region = qe_strdup(from->region),
        .signing_name = from->signing_name,
        .is_overridden = from->is_overridden,
    };

    if (made.url == NULL || made.host == NULL || made.path == NULL || made.region == NULL) {
        qe_aws_endpoint_deinit(&made);
        return qe_err_set(err, QE_ERR_NOMEM, "out of memory for an endpoint");
    }
    *out = made;
    return 0;
}

int qe_aws_endpoint_default(enum qe_aws_service service, const char *region,
                            struct qe_aws_endpoint_flags flags, struct qe_aws_endpoint *out,
                            struct qe_err *err)
{
    char host[QE_AWS_HOST_MAX_BYTES + 1];
    char url[QE_AWS_HOST_MAX_BYTES + 16];
    char path[] = "/";
    char own_region[LABEL_MAX_BYTES + 1];

    if (check_region(region, err) != 0) {
        return -1;
    }
    const struct partition *partition = partition_of(region);
    const char *name = s_services[service].name;
    const bool fips_name = flags.fips && (!partition->is_fips_already ||
                                          (flags.dual_stack && service != QE_AWS_CLOUDWATCH));

    (void)snprintf(own_region, sizeof own_region, "%s", region);
    (void)snprintf(host, sizeof host, "%s%s.%s.%s", name, fips_name ? "-fips" : "", region,
                   flags.dual_stack ? partition->dual_stack_suffix : partition->suffix);
    (void)snprintf(url, sizeof url, "https://%s/", host);
    const struct qe_aws_endpoint made = {
        .url = url, .host = host, .path = path, .region = own_region, .signing_name = name};

    return fill(out, &made, err);
}

static bool is_default_port(const struct qe_aws_url *parts)
{
    const char *usual = parts->is_https ? "443" : "80";

    return parts->port_bytes == strlen(usual) && memcmp(parts->port, usual, parts->port_bytes) == 0;
}

static int build(enum qe_aws_service service, const struct qe_aws_url *parts, const char *region,
                 struct qe_aws_endpoint *out, struct qe_err *err)
{
    char host[QE_AWS_HOST_MAX_BYTES + 8];
    char path[QE_AWS_URL_MAX_BYTES + 2];
    char url[sizeof host + sizeof path + 16];
    char own_region[LABEL_MAX_BYTES + 1];
    const bool with_port = parts->port_bytes > 0 && !is_default_port(parts);

    (void)snprintf(own_region, sizeof own_region, "%s", region);
    (void)snprintf(host, sizeof host, "%.*s%s%.*s", (int)parts->host_bytes, parts->host,
                   with_port ? ":" : "", with_port ? (int)parts->port_bytes : 0, parts->port);
    for (char *c = host; *c != '\0'; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    }
    (void)snprintf(path, sizeof path, "%s", parts->path[0] == '\0' ? "/" : parts->path);
    (void)snprintf(url, sizeof url, "%s://%s%s", parts->is_https ? "https" : "http", host, path);
    const struct qe_aws_endpoint made = {.url = url,
                                         .host = host,
                                         .path = path,
                                         .region = own_region,
                                         .signing_name = s_services[service].name,
                                         .is_overridden = true};

    return fill(out, &made, err);
}

int qe_aws_endpoint_from_url(enum qe_aws_service service, const char *url, const char *region,
                             struct qe_aws_endpoint *out, struct qe_err *err)
{
    struct qe_aws_url parts = {0};

    if (check_region(region, err) != 0) {
        return -1;
    }
    const char *wrong = qe_aws_url_split(url, false, &parts);

    /* Not the URL itself: it might be one with a password in it. */
    return wrong == NULL ? build(service, &parts, region, out, err)
                         : qe_err_set(err, QE_ERR_INVALID, "not an endpoint's URL: %s", wrong);
}
