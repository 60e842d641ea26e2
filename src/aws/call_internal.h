/* What the files of a client share: call.c sends and waits, call_attempt.c makes one attempt of a
 * call, call_verdict.c takes in how it ended. */
#ifndef QE_AWS_CALL_INTERNAL_H
#define QE_AWS_CALL_INTERNAL_H

#include "aws/call.h"
#include "aws/retry.h"
#include "aws/sigv4.h"
#include "aws/skew.h"
#include "util/clock.h"

#define QE_AWS_UUID_BYTES 37

enum qe_aws_phase {
    QE_AWS_IN_FLIGHT = 0,
    QE_AWS_PAUSED,     /* is sent again at resume_mono_ms */
    QE_AWS_PAUSED_LAST /* is given back at resume_mono_ms, as it failed */
};

/* A started call. Kept for the next one when it is done. */
struct qe_aws_call_state {
    struct qe_aws_call_state *previous; /* of the client's */
    struct qe_aws_call_state *next;
    struct qe_aws_call *call; /* borrowed */
    enum qe_aws_phase phase;
    int64_t resume_mono_ms;
    int64_t sent_mono_us;
    struct qe_aws_credentials *credentials; /* acquired; of the last attempt */
    int64_t signed_offset_ms;               /* of the last attempt */
    unsigned paid;                          /* for the last retry */
    bool has_renewed;                       /* once per call, both */
    bool has_corrected_clock;
    char invocation_id[QE_AWS_UUID_BYTES];
};

struct qe_aws_client {
    struct qe_aws_provider *provider; /* borrowed */
    struct qe_http_client *http;      /* owned */
    struct qe_sigv4 *signer;          /* owned */
    struct qe_aws_observer observer;
    unsigned max_attempts;
    struct qe_aws_quota quota;
    struct qe_aws_skew skew;
    struct qe_random random;
    struct qe_strbuf authorization;
    struct qe_http_reply reply; /* its memory is used again and again */
    struct qe_aws_endpoint endpoints[QE_AWS_SERVICE_COUNT];
    struct qe_aws_call_state *started; /* a list, in no order */
    size_t started_count;
    size_t paused_count;
    struct qe_aws_call_state *spare; /* a list by next */
};

/* What the attempts before left. */
void qe_aws_call_reset_error(struct qe_aws_call *call);

/* Signs the call anew and sends it. -1: it could not be sent; *err says why, nothing is in flight.
 */
int qe_aws_attempt(struct qe_aws_client *client, struct qe_aws_call_state *state,
                   struct qe_err *err) QE_MUST_CHECK;
/* Takes in client->reply, which is the end of this call's attempt. True: the call is done, well or
 * not; false: it goes on, at once or after a pause. */
bool qe_aws_attempt_ended(struct qe_aws_client *client, struct qe_aws_call_state *state);
/* Sends a call again whose pause is over, or ends it. True: it is done. */
bool qe_aws_resume(struct qe_aws_client *client, struct qe_aws_call_state *state);

#endif
