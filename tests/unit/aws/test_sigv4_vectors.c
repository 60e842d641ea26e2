/* The official test cases of Signature Version 4, where they are beside the checkout. */
#include <stdio.h>
#include <string.h>

#include "aws/digest.h"
#include "aws/sigv4.h"
#include "support/check.h"
#include "support/shared.h"
#include "util/json.h"
#include "util/mem.h"

#define FOLDER "vectors/sigv4"
#define CASES_MIN 38 /* of the set this was written for: fewer are not all */

/* One case, in memory. */
struct vector {
    char folder[QE_SHARED_PATH_BYTES];
    struct qe_strbuf request_text; /* cut into the parts that follow */
    struct qe_strbuf context_text;
    struct qe_json *context;
    struct qe_aws_credentials credentials;
    struct qe_http_header headers[QE_SIGV4_HEADERS_MAX];
    struct qe_sigv4_request request;
    char date[QE_SIGV4_TIME_BYTES];
    char body_hash[QE_SHA256_HEX_BYTES];
};

static void read_case_file(const struct vector *vector, const char *name, struct qe_strbuf *out)
{
    char path[QE_SHARED_PATH_BYTES + 64];

    (void)snprintf(path, sizeof path, "%s/%s", vector->folder, name);
    qe_shared_read(path, out);
}

/* "2015-08-30T12:36:00Z" */
static int64_t unix_time_of(const char *text)
{
    static const int days_before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    static const int at[] = {0, 5, 8, 11, 14, 17};
    int64_t parts[6] = {0};

    assert_int_equal(strlen(text), 20);
    for (size_t i = 0; i < 6; i++) {
        for (int digit = 0; digit < (i == 0 ? 4 : 2); digit++) {
            parts[i] = parts[i] * 10 + (text[at[i] + digit] - '0');
        }
    }
    const int64_t leap_days = (parts[0] - 1969) / 4 + (parts[0] % 4 == 0 && parts[1] > 2 ? 1 : 0);
    const int64_t days =
        (parts[0] - 1970) * 365 + leap_days + days_before[parts[1] - 1] + parts[2] - 1;

    return ((days * 24 + parts[3]) * 60 + parts[4]) * 60 + parts[5];
}

static bool get_bool(const struct vector *vector, const char *key)
{
    bool value = false;

    (void)qe_json_bool(qe_json_get(vector->context, key), &value);
    return value;
}

static void read_context(struct vector *vector)
{
    struct qe_err err = {0};

    read_case_file(vector, "context.json", &vector->context_text);
    vector->context =
        qe_json_parse(vector->context_text.data, vector->context_text.length_bytes, &err);
    assert_ok(vector->context == NULL ? -1 : 0, err);

    const struct qe_json *credentials = qe_json_get(vector->context, "credentials");
    const char *id = qe_json_text(qe_json_get(credentials, "access_key_id"));
    const char *secret = qe_json_text(qe_json_get(credentials, "secret_access_key"));
    const char *token = qe_json_text(qe_json_get(credentials, "token"));

    vector->credentials.access_key_id = qe_strdup(id);
    vector->credentials.secret_access_key = qe_secret_new(secret, strlen(secret), &err);
    if (token != NULL) {
        vector->credentials.session_token = qe_secret_new(token, strlen(token), &err);
    }
    vector->request.region = qe_json_text(qe_json_get(vector->context, "region"));
    vector->request.service = qe_json_text(qe_json_get(vector->context, "service"));
    vector->request.normalize_path = get_bool(vector, "normalize");
    vector->request.time_unix_s =
        unix_time_of(qe_json_text(qe_json_get(vector->context, "timestamp")));
}

/* "GET /path?query HTTP/1.1"; the path may hold spaces. */
static void cut_request_line(struct vector *vector, char *line)
{
    char *path = strchr(line, ' ');
    char *version = strstr(line, " HTTP/1.1");

    assert_non_null(path);
    assert_non_null(version);
    *path++ = '\0';
    *version = '\0';
    vector->request.method = line;
    vector->request.path = path;
    vector->request.query = "";
    char *query = strchr(path, '?');

    if (query != NULL) {
        *query = '\0';
        vector->request.query = query + 1;
    }
}

static void add_header(struct vector *vector, const char *name, const char *value)
{
    assert_true(vector->request.headers_count < QE_SIGV4_HEADERS_MAX);
    vector->headers[vector->request.headers_count++] =
        (struct qe_http_header){.name = name, .value = value};
}

static void read_request(struct vector *vector)
{
    read_case_file(vector, "request.txt", &vector->request_text);
    char *line = vector->request_text.data;
    char *body = strstr(line, "\n\n");

    if (body != NULL) {
        *body = '\0';
        vector->request.body = body + 2;
        vector->request.body_bytes = strlen(body + 2);
    }
    char *next = strchr(line, '\n');

    assert_non_null(next);
    *next++ = '\0';
    cut_request_line(vector, line);
    while (next != NULL && *next != '\0') {
        line = next;
        do { /* a line that begins with a blank belongs to the one before */
            next = strchr(next, '\n');
            next = next == NULL ? NULL : next + 1;
        } while (next != NULL && *next == ' ');
        if (next != NULL) {
            next[-1] = '\0';
        }
        char *value = strchr(line, ':');
        assert_non_null(value);
        *value++ = '\0';
        add_header(vector, line, value);
    }
}

/* What a client adds before it signs. */
static void complete(struct vector *vector)
{
    qe_sigv4_time(vector->request.time_unix_s, vector->date);
    add_header(vector, "X-Amz-Date", vector->date);
    if (vector->credentials.session_token != NULL && !get_bool(vector, "omit_session_token")) {
        add_header(vector, "X-Amz-Security-Token",
                   qe_secret_bytes(vector->credentials.session_token));
    }
    if (get_bool(vector, "sign_body")) {
        unsigned char bytes[QE_SHA256_BYTES];
        struct qe_err err = {0};

        assert_ok(qe_sha256(vector->request.body, vector->request.body_bytes, bytes, &err), err);
        qe_hex(bytes, sizeof bytes, vector->body_hash);
        add_header(vector, "x-amz-content-sha256", vector->body_hash);
    }
    vector->request.headers = vector->headers;
}

static void check_text(const struct vector *vector, const char *file, const char *ours)
{
    struct qe_strbuf expected = {0};

    read_case_file(vector, file, &expected);
    if (strcmp(qe_strbuf_text(&expected), ours) != 0) {
        fail_msg("%s/%s: expected\n%s\ngot\n%s", vector->folder, file, qe_strbuf_text(&expected),
                 ours);
    }
    qe_strbuf_deinit(&expected);
}

/* The value of the Authorization line of the signed request. */
static void check_authorization(const struct vector *vector, const char *ours)
{
    static const char name[] = "\nAuthorization:";
    struct qe_strbuf expected = {0};

    read_case_file(vector, "header-signed-request.txt", &expected);
    const char *found = strstr(qe_strbuf_text(&expected), name);

    assert_non_null(found);
    found += sizeof name - 1;
    assert_int_equal(strcspn(found, "\n"), strlen(ours));
    assert_memory_equal(found, ours, strlen(ours));
    qe_strbuf_deinit(&expected);
}

static void check_case(struct qe_sigv4 *signer, const char *root, const char *name)
{
    struct vector vector = {0};
    struct qe_strbuf texts[3] = {{0}};
    const struct qe_sigv4_steps steps = {.canonical_request = &texts[0],
                                         .string_to_sign = &texts[1]};
    struct qe_err err = {0};

    assert_in_range(snprintf(vector.folder, sizeof vector.folder, "%s/%s", root, name), 1,
                    sizeof vector.folder - 1);
    read_context(&vector);
    read_request(&vector);
    complete(&vector);
    assert_ok(qe_sigv4_sign(signer, &vector.credentials, &vector.request, &texts[2], &steps, &err),
              err);
    check_text(&vector, "header-canonical-request.txt", qe_strbuf_text(&texts[0]));
    check_text(&vector, "header-string-to-sign.txt", qe_strbuf_text(&texts[1]));
    check_text(&vector, "header-signature.txt",
               strstr(qe_strbuf_text(&texts[2]), "Signature=") + strlen("Signature="));
    check_authorization(&vector, qe_strbuf_text(&texts[2]));

    for (size_t i = 0; i < 3; i++) {
        qe_strbuf_deinit(&texts[i]);
    }
    qe_strbuf_deinit(&vector.request_text);
    qe_strbuf_deinit(&vector.context_text);
    qe_json_destroy(vector.context);
    qe_free(vector.credentials.access_key_id);
    qe_secret_destroy(vector.credentials.secret_access_key);
    qe_secret_destroy(vector.credentials.session_token);
}

static void every_official_case_is_signed_as_published(void **state)
{
    (void)state;
    char root[QE_SHARED_PATH_BYTES];
    struct qe_err err = {0};
    size_t count = 0;

    if (!qe_shared_path(FOLDER, root)) {
        qe_shared_skip(FOLDER);
    }
    struct qe_sigv4 *signer = qe_sigv4_new(&err);
    char **names = qe_shared_names(root);

    assert_non_null(signer);
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], "LICENSE") != 0 && strcmp(names[i], "NOTICE") != 0) {
            check_case(signer, root, names[i]);
            count++;
        }
    }
    print_message("%zu cases; their query-* files are not read: nothing here sends a presigned "
                  "request\n",
                  count);
    assert_true(count >= CASES_MIN);
    qe_shared_free_names(names);
    qe_sigv4_destroy(signer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_official_case_is_signed_as_published),
    };

    return qe_shared_result(cmocka_run_group_tests(tests, NULL, NULL));
}
