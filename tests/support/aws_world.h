/* A made world for what finds AWS credentials: environment, files, HTTP and programs that a test
 * wrote down, and a clock that it moves. Any thread may use the world once it is set up. */
#ifndef QE_TESTS_SUPPORT_AWS_WORLD_H
#define QE_TESTS_SUPPORT_AWS_WORLD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/world.h"

#define QE_MADE_ITEMS_MAX 64
#define QE_MADE_TEXT_BYTES 8192

struct qe_made_pair {
    char *name;
    char *text;
};

/* One answer to one request, taken in order. */
struct qe_made_answer {
    char *method;
    char *url;
    enum qe_err_code code; /* QE_OK: an answer came */
    unsigned status;
    char *headers; /* "Date: ...\r\n" */
    char *body;
};

/* What was asked. */
struct qe_made_request {
    char method[8];
    char url[512];
    char headers[QE_MADE_TEXT_BYTES]; /* "name: value\n" each */
    char body[QE_MADE_TEXT_BYTES];
    int64_t at_mono_ms;
    int64_t deadline_mono_ms;
};

struct qe_made_world {
    struct qe_aws_world world; /* hand this one in */
    struct qe_made_pair env[QE_MADE_ITEMS_MAX];
    size_t env_count;
    struct qe_made_pair files[QE_MADE_ITEMS_MAX];
    size_t files_count;
    struct qe_made_answer answers[QE_MADE_ITEMS_MAX];
    size_t answers_count;
    bool repeat_last; /* the last answer is given again and again */

    /* What a program prints (run_code QE_OK) or complains. */
    char run_output[QE_MADE_TEXT_BYTES];
    char run_words[QE_MADE_TEXT_BYTES];
    enum qe_err_code run_code;
    char run_argv[QE_MADE_TEXT_BYTES]; /* what was run: "[a][b c]" */

    pthread_mutex_t lock; /* guards all below */
    size_t answers_taken;
    struct qe_made_request requests[QE_MADE_ITEMS_MAX];
    size_t requests_count; /* also beyond what `requests` holds */
    size_t runs_count;
    int64_t unix_ms; /* unless real_clock */
    int64_t mono_ms;
    bool real_clock;
    int64_t fetch_ms; /* a fetch takes that long */
};

void qe_made_world_init(struct qe_made_world *made);
void qe_made_world_deinit(struct qe_made_world *made);
/* Later ones replace earlier ones of the same name; NULL takes it away. */
void qe_made_world_env(struct qe_made_world *made, const char *name, const char *value);
void qe_made_world_file(struct qe_made_world *made, const char *path, const char *text);
/* method or url NULL: whichever. */
void qe_made_world_answer(struct qe_made_world *made, const char *method, const char *url,
                          unsigned status, const char *body);
/* Of the last answer, in place of the body it has. */
void qe_made_world_body(struct qe_made_world *made, const char *body);
void qe_made_world_headers(struct qe_made_world *made, const char *headers);
void qe_made_world_no_answer(struct qe_made_world *made, const char *url, enum qe_err_code code);
/* Moves both clocks. */
void qe_made_world_pass(struct qe_made_world *made, int64_t ms);
/* Whether the request had that header with that value. */
bool qe_made_request_has(const struct qe_made_request *request, const char *name,
                         const char *value);

#endif
