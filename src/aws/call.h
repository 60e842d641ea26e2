/* Calls to AWS's JSON services: signed, retried, counted, within their deadlines.
 *
 *   start, start ...   calls go out; retries, with their pauses, happen inside wait
 *   wait               the next call that is finished, well or not
 *
 * Retries are the SDKs' standard mode: 3 attempts, full jitter from 50 ms (1 s when throttled)
 * doubled up to 20 s, and a bucket of 500 tokens that ends them when everything fails; a long poll
 * still pauses when the bucket is empty, so that no loop can spin. Each attempt is signed anew, at
 * a time corrected by what the Date headers of answers say. A deadline always wins: no pause begins
 * that would pass it.
 *
 * Thread: one, but for qe_aws_client_interrupt(). */
#ifndef QE_AWS_CALL_H
#define QE_AWS_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/credentials.h"
#include "aws/endpoint.h"
#include "aws/error.h"
#include "net/http_client.h"
#include "util/err.h"
#include "util/strbuf.h"

/* One call. Zero it, fill the first part, start it; it is the client's until wait gives it back. */
struct qe_aws_call {
    enum qe_aws_service service;
    const char *target;    /* static: "AmazonSQS.GetQueueAttributes" */
    struct qe_strbuf body; /* owned by the call: JSON; kept for retries */
    int64_t deadline_mono_ms;
    size_t reply_max_bytes; /* 0: as of net/ */
    size_t operation;       /* index for qe_api_stats */
    bool is_long_poll;
    /* For what must not happen twice: not sent again once it may have happened. Refused for its
     * credentials or its time it has not, and is sent again as any other. */
    bool no_retry;
    double billable; /* units per attempt, counted when it is sent */
    double dollars;  /* of one attempt */
    void *context;

    /* Results. err.code QE_OK: status 2xx, and reply_body is the answer. Else the code says what to
     * do: _THROTTLED, _AUTH, _NOT_FOUND, _TIMEOUT, _NETWORK, _LIMIT, _INVALID, _UNSUPPORTED,
     * _PROTOCOL; err.message holds AWS's code and the start of its message. */
    struct qe_err err;
    unsigned status;
    unsigned attempts;
    char code[QE_AWS_CODE_BYTES];        /* "QueueDoesNotExist", from __type; "" none */
    char legacy_code[QE_AWS_CODE_BYTES]; /* "AWS.SimpleQueueService.NonExistentQueue"; "" none */
    struct qe_strbuf reply_body;

    struct qe_aws_call_state *state; /* the client's own; NULL before start and after wait */
};
void qe_aws_call_deinit(struct qe_aws_call *call); /* = {0} is fine; not while it is started */
/* Forgets the results and keeps memory and request, for the next start. */
void qe_aws_call_reset(struct qe_aws_call *call);
bool qe_aws_call_has_code(const struct qe_aws_call *call, const char *code); /* either spelling */

/* What a client tells of its work; every slot may be NULL. Called on the client's thread. */
struct qe_aws_observer {
    void *self;
    /* One attempt has ended. code QE_OK or why not; QE_ERR_CANCELLED: aborted. */
    void (*attempt)(void *self, const struct qe_aws_call *call, enum qe_err_code code,
                    double duration_seconds);
    void (*retried)(void *self, const struct qe_aws_call *call);
    void (*throttled)(void *self, const struct qe_aws_call *call);
    void (*billed)(void *self, const struct qe_aws_call *call); /* an attempt was sent */
    void (*clock_skew)(void *self, double seconds);
};

struct qe_aws_client_options {
    struct qe_aws_provider *provider; /* borrowed; outlives the client */
    struct qe_aws_observer observer;
    const char *ca_file;   /* NULL: AWS_CA_BUNDLE, the profile's ca_bundle, or the system's */
    unsigned max_attempts; /* 0: AWS_MAX_ATTEMPTS, the profile's max_attempts, or 3 */
    uint64_t jitter_seed;  /* 0: from the kernel */
    size_t connections_max;
};

struct qe_aws_client;

/* Does not touch the network: credentials, region and endpoints are found by the first call.
 * Reads the provider's environment and profile, also for AWS_DISABLE_CLOCK_SKEW_CORRECTION.
 * Errors: QE_ERR_NOMEM; QE_ERR_INVALID for files that cannot be parsed, or attempts that are no
 * number within 1..100. */
struct qe_aws_client *qe_aws_client_new(const struct qe_aws_client_options *options,
                                        struct qe_err *err) QE_MUST_CHECK;
/* Aborts what is in flight; those calls are the caller's again. Accepts NULL. */
void qe_aws_client_destroy(struct qe_aws_client *client);

/* Sends a call; may block up to its deadline where credentials must be fetched first. -1: it could
 * not be begun (credentials, region, memory, deadline), call->err says it too, and the call is the
 * caller's. */
int qe_aws_start(struct qe_aws_client *client, struct qe_aws_call *call,
                 struct qe_err *err) QE_MUST_CHECK;
size_t qe_aws_in_flight(const struct qe_aws_client *client); /* those that pause count */

/* As qe_http_wait(): QE_HTTP_REPLY means that *out_call is finished. */
enum qe_http_event qe_aws_wait(struct qe_aws_client *client, int64_t until_mono_ms,
                               bool interruptible, struct qe_aws_call **out_call);
/* One call from start to end, never interrupted, while nothing else is in flight. 0 when
 * call->err.code is QE_OK; else -1 and *err is a copy. */
int qe_aws_do(struct qe_aws_client *client, struct qe_aws_call *call,
              struct qe_err *err) QE_MUST_CHECK;
/* Aborts everything in flight; the calls are the caller's again, with QE_ERR_CANCELLED. */
void qe_aws_abort(struct qe_aws_client *client);
void qe_aws_client_interrupt(struct qe_aws_client *client); /* any thread; as qe_http_interrupt() */

/* The endpoint in use, for those who must build addresses; resolves it if need be. */
int qe_aws_client_endpoint(struct qe_aws_client *client, enum qe_aws_service service,
                           int64_t deadline_mono_ms, const struct qe_aws_endpoint **out,
                           struct qe_err *err) QE_MUST_CHECK;

#endif
