#include <stdbool.h>
#include <string.h>

#include "metrics/negotiate.h"
#include "support/check.h"

#define TEXT "text/plain; version=0.0.4; charset=utf-8"
#define TEXT_ESCAPED TEXT "; escaping=underscores"
#define OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define OPENMETRICS_ESCAPED OPENMETRICS "; escaping=underscores"
#define OPENMETRICS_OLD "application/openmetrics-text; version=0.0.1; charset=utf-8"

static void the_accept_header_chooses_the_content_type(void **state)
{
    static const struct {
        const char *accept;
        const char *type;
        const char *why;
    } rows[] = {
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q="
         "0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         OPENMETRICS, "Prometheus 2.42"},
        {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding="
         "delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/"
         "openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         OPENMETRICS, "Prometheus 2.42 with native histograms: protobuf is not offered"},
        {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/"
         "openmetrics-text;version=0.0.1;q=0.5,text/"
         "plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
         OPENMETRICS_ESCAPED, "Prometheus 3"},
        {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding="
         "delimited;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=1.0.0;"
         "escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/"
         "plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
         OPENMETRICS_ESCAPED, "Prometheus 3 with native histograms"},
        {NULL, TEXT, "no header"},
        {"", TEXT, "an empty header"},
        {"*/*", TEXT, "curl"},
        {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT, "a browser"},
        {"application/json", TEXT, "nothing matches: text, never 406"},
        {"text/plain;version=1.0.0;escaping=allow-utf-8,text/plain;version=0.0.4;q=0.1", TEXT,
         "text 1.0.0 is not offered"},
        {"text/plain;version=1.0.0", TEXT, "not even as the only one, but text is the fallback"},
        {"application/openmetrics-text;version=0.0.1", OPENMETRICS_OLD, "the old version"},
        {"application/openmetrics-text;version=2.0.0", TEXT, "a version to come"},
        {"application/openmetrics-text", OPENMETRICS, "no version: ours"},
        {"application/openmetrics-text;q=0", TEXT, "refused"},
        {"application/openmetrics-text;q=0.000,text/plain;q=0.1", TEXT, "refused, with decimals"},
        {"application/openmetrics-text;q=nonsense,text/plain;q=0.1", TEXT, "a bad q counts as 0"},
        {"application/openmetrics-text;q=1.5,text/plain;q=0.1", TEXT, "so does one over 1"},
        {"application/openmetrics-text;q=-1,text/plain;q=0.1", TEXT, "and one below 0"},
        {"application/openmetrics-text;q=,text/plain;q=0.1", TEXT, "and an empty one"},
        {"application/openmetrics-text;q=0x1,text/plain;q=0.1", TEXT, "and a hexadecimal one"},
        {"*/*;q=0.9,application/openmetrics-text;q=0.9", OPENMETRICS, "ties go to the exact type"},
        {"text/*,application/openmetrics-text", OPENMETRICS, "also against a half wildcard"},
        {"text/plain,application/openmetrics-text", TEXT, "equals: the first"},
        {"application/openmetrics-text,text/plain", OPENMETRICS, "equals: the first"},
        {"text/plain;q=0.5,application/openmetrics-text;q=0.500001", OPENMETRICS, "a hair more"},
        {"  TEXT/Plain ; Version=0.0.4 ;q=1 , application/openmetrics-text;q=0.9", TEXT,
         "names in any case, blanks anywhere"},
        {"application/openmetrics-text; version=\"1.0.0\"", OPENMETRICS, "a quoted value"},
        {"text/plain;x=\"a,application/openmetrics-text;b\";version=0.0.4;escaping=dots",
         TEXT_ESCAPED, "a comma inside quotes; whatever escaping asked, underscores answered"},
        {"text/plain;x=\"a\\\",application/openmetrics-text", TEXT, "a quote never closed"},
        {",,;,=;q,text/plain;;q=0.3,", TEXT, "rubbish between"},
        {"application/openmetrics-text2", TEXT, "a longer name is another type"},
        {"application/openmetrics", TEXT, "and so is a shorter one"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *got = qe_negotiated_content_type(qe_negotiate_accept(rows[i].accept));

        if (strcmp(got, rows[i].type) != 0) {
            fail_msg("%s: got %s", rows[i].why, got);
        }
    }
}

static void gzip_is_used_only_when_it_is_welcome(void **state)
{
    static const struct {
        const char *accept_encoding;
        bool gzip;
        const char *why;
    } rows[] = {
        {"gzip", true, "Prometheus"},
        {"identity", false, "Prometheus with compression switched off"},
        {NULL, false, "no header"},
        {"", false, "an empty header"},
        {"deflate, gzip, br, zstd", true, "curl --compressed"},
        {"gzip;q=0", false, "refused"},
        {"gzip; q=0.0", false, "refused, with a blank"},
        {"gzip;q=0.5", true, "any weight but 0"},
        {"x-gzip", true, "its old name"},
        {"GZIP", true, "any case"},
        {"*", true, "anything"},
        {"*;q=0", false, "nothing"},
        {"gzip;q=0, *", false, "anything else"},
        {"*;q=0, gzip", true, "only gzip"},
        {"identity, gzip;q=0.5", false, "plain is preferred"},
        {"identity;q=0.5, gzip;q=1.0", true, "gzip is preferred"},
        {"identity;q=0", false, "plain is refused, but nothing else is accepted either"},
        {"gzipped", false, "a longer name"},
        {"br", false, "another coding"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (qe_negotiate_gzip(rows[i].accept_encoding) != rows[i].gzip) {
            fail_msg("%s", rows[i].why);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_accept_header_chooses_the_content_type),
        cmocka_unit_test(gzip_is_used_only_when_it_is_welcome),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
