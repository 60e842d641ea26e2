/* Keeps credentials and renews them: one provider for all handles of an equal identity, one
 * renewal at a time. */
#include "aws/provider_state_internal.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/text.h"

#define MINUTE_MS INT64_C(60000)

/* Renewed that long before they expire, and up to JITTER earlier: a fleet that started together
 * does not come together. */
#define LEAD_MS (10 * MINUTE_MS)
#define LEAD_JITTER_MS (5 * MINUTE_MS)
#define RENEWAL_MOST_MS INT64_C(5000) /* while the old ones hold */
#define BACKOFF_FIRST_MS INT64_C(1000)
#define BACKOFF_LAST_MS INT64_C(30000)
/* Keys that were refused and came out of their place unchanged: looked up again after that. */
#define REFUSED_AGAIN_MS INT64_C(30000)
/* Instance metadata is asked at least that often: the instance's role may have been changed. */
#define IMDS_MOST_MS (60 * MINUTE_MS)

/* What instance metadata gave outlives its expiry while it cannot be renewed: AWS goes on taking it
 * when the metadata service is impaired. For so long at a time, with a new try each time, and not
 * beyond the life of a set (6 h); never once a service has refused it. */
#define OUTLIVE_STEP_MS (10 * MINUTE_MS)
#define OUTLIVE_JITTER_MS (5 * MINUTE_MS)
#define OUTLIVE_MOST_MS (INT64_C(6) * 60 * MINUTE_MS)

static pthread_mutex_t s_registry_lock = PTHREAD_MUTEX_INITIALIZER; /* guards s_registry */
static struct qe_aws_provider *s_registry;

static void destroy(struct qe_aws_provider *provider)
{
    qe_aws_self_deinit(&provider->self);
    qe_aws_credentials_release(provider->current);
    (void)pthread_cond_destroy(&provider->renewed);
    (void)pthread_mutex_destroy(&provider->lock);
    qe_free(provider);
}

/* self is taken, also on failure. */
static struct qe_aws_provider *create(struct qe_aws_self *self, const struct qe_aws_world *world,
                                      struct qe_err *err)
{
    struct qe_aws_provider *provider = qe_calloc(1, sizeof *provider);

    if (provider == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "out of memory for credentials");
        goto failed;
    }
    if (pthread_mutex_init(&provider->lock, NULL) != 0) {
        qe_err_set(err, QE_ERR_NOMEM, "cannot make a lock for credentials");
        goto failed;
    }
    if (qe_clock_cond_init(&provider->renewed) != 0) {
        (void)pthread_mutex_destroy(&provider->lock);
        qe_err_set(err, QE_ERR_NOMEM, "cannot make a condition for credentials");
        goto failed;
    }
    provider->self = *self;
    provider->world = world;
    provider->refs = 1;
    provider->backoff_ms = BACKOFF_FIRST_MS;
    qe_random_init(&provider->random, 0);
    return provider;

failed:
    qe_free(provider);
    qe_aws_self_deinit(self);
    return NULL;
}

/* With the registry locked: an acquired provider of an equal identity, or NULL. */
static struct qe_aws_provider *find_equal(const struct qe_aws_self *self,
                                          const struct qe_aws_world *world)
{
    for (struct qe_aws_provider *each = s_registry; each != NULL; each = each->next) {
        if (each->world == world && qe_aws_self_equal(&each->self, self)) {
            each->refs++;
            return each;
        }
    }
    return NULL;
}

/* Registers `made`, unless an equal one is there meanwhile: then that one, and `made` goes. */
static struct qe_aws_provider *enroll(struct qe_aws_provider *made)
{
    pthread_mutex_lock(&s_registry_lock);
    struct qe_aws_provider *equal = find_equal(&made->self, made->world);

    if (equal == NULL) {
        made->next = s_registry;
        s_registry = made;
    }
    pthread_mutex_unlock(&s_registry_lock);
    if (equal == NULL) {
        return made;
    }
    destroy(made);
    return equal;
}

struct qe_aws_provider *qe_aws_provider_acquire(const struct qe_aws_identity *identity,
                                                const struct qe_aws_world *world,
                                                struct qe_err *err)
{
    const struct qe_aws_world *in = world == NULL ? qe_aws_real_world() : world;
    struct qe_aws_settings settings = {0};
    struct qe_aws_self self = {0};

    if (qe_aws_self_init(&self, identity, err) != 0) {
        return NULL;
    }
    /* Only to say early what cannot be parsed: each search reads them anew. */
    const int rc = qe_aws_settings_init(&settings, &self, in, err);

    qe_aws_settings_deinit(&settings);
    if (rc != 0) {
        qe_aws_self_deinit(&self);
        return NULL;
    }
    struct qe_aws_provider *made = create(&self, in, err);

    return made == NULL ? NULL : enroll(made);
}

void qe_aws_provider_release(struct qe_aws_provider *provider)
{
    if (provider == NULL) {
        return;
    }
    pthread_mutex_lock(&s_registry_lock);
    const bool is_last = --provider->refs == 0;

    for (struct qe_aws_provider **link = &s_registry; is_last && *link != NULL;) {
        if (*link == provider) {
            *link = provider->next;
        } else {
            link = &(*link)->next;
        }
    }
    pthread_mutex_unlock(&s_registry_lock);
    if (is_last) {
        destroy(provider);
    }
}

/* --- renewing; all with provider->lock held unless it says otherwise --- */

static int64_t jitter(struct qe_aws_provider *provider, int64_t most)
{
    return (int64_t)(qe_random_unit(&provider->random) * (double)most);
}

static bool is_usable(const struct qe_aws_provider *provider, int64_t now_unix_ms)
{
    return provider->current != NULL &&
           (provider->usable_until_unix_ms == 0 || now_unix_ms < provider->usable_until_unix_ms);
}

static bool is_due(const struct qe_aws_provider *provider, int64_t now_unix_ms)
{
    return provider->current == NULL || provider->is_refused ||
           (provider->renew_at_unix_ms != 0 && now_unix_ms >= provider->renew_at_unix_ms);
}

/* How long `of` may be used. Past its expiry only what instance metadata gave, for a while from
 * now on, and not when a service has refused it. */
static int64_t usable_until(struct qe_aws_provider *provider, const struct qe_aws_credentials *of,
                            int64_t now_unix_ms)
{
    const int64_t step_ms = OUTLIVE_STEP_MS + jitter(provider, OUTLIVE_JITTER_MS);
    const int64_t most = of->expires_unix_ms + OUTLIVE_MOST_MS;
    const int64_t until = now_unix_ms + step_ms < most ? now_unix_ms + step_ms : most;

    return of->expires_unix_ms == 0 || !of->outlives_expiry || provider->was_refused ||
                   until < of->expires_unix_ms
               ? of->expires_unix_ms
               : until;
}

static int64_t renew_at(struct qe_aws_provider *provider, int64_t now_unix_ms)
{
    const int64_t until = provider->usable_until_unix_ms;
    const int64_t half_life_ms = (until - now_unix_ms) / 2;
    const int64_t lead_ms = LEAD_MS + jitter(provider, LEAD_JITTER_MS);
    int64_t at = until - (half_life_ms < lead_ms ? half_life_ms : lead_ms);
    const int64_t soon = now_unix_ms + IMDS_MOST_MS + jitter(provider, LEAD_JITTER_MS);

    if (until == 0) {
        return 0;
    }
    return provider->current->outlives_expiry && at > soon ? soon : at;
}

static void note_failure(struct qe_aws_provider *provider, const struct qe_err *err)
{
    const int64_t now_unix_ms = provider->world->now_unix_ms(provider->world->self);
    const double part = 0.5 + 0.5 * qe_random_unit(&provider->random);

    provider->failures++;
    provider->last_err = *err;
    provider->next_try_mono_ms = provider->world->now_mono_ms(provider->world->self) +
                                 (int64_t)((double)provider->backoff_ms * part);
    provider->backoff_ms =
        provider->backoff_ms * 2 < BACKOFF_LAST_MS ? provider->backoff_ms * 2 : BACKOFF_LAST_MS;
    if (provider->current != NULL) {
        provider->usable_until_unix_ms = usable_until(provider, provider->current, now_unix_ms);
    }
}

/* Puts `made` in the place of what was; gives that back, to be released without the lock. */
static struct qe_aws_credentials *put(struct qe_aws_provider *provider,
                                      struct qe_aws_credentials *made)
{
    struct qe_aws_credentials *old = provider->current;
    const int64_t now_unix_ms = provider->world->now_unix_ms(provider->world->self);
    const bool is_news = old == NULL || !qe_aws_credentials_equal(old, made);

    provider->was_refused = provider->was_refused && !is_news;
    provider->refused_until_mono_ms =
        provider->was_refused
            ? provider->world->now_mono_ms(provider->world->self) + REFUSED_AGAIN_MS
            : 0;
    provider->is_refused = false;
    provider->current = made;
    provider->usable_until_unix_ms = usable_until(provider, made, now_unix_ms);
    provider->renew_at_unix_ms = renew_at(provider, now_unix_ms);
    provider->backoff_ms = BACKOFF_FIRST_MS;
    provider->next_try_mono_ms = 0;
    return old;
}

/* Without the lock. */
static struct qe_aws_credentials *search(struct qe_aws_provider *provider, int64_t deadline_mono_ms,
                                         struct qe_err *err)
{
    const struct qe_aws_world *world = provider->world;
    struct qe_aws_settings settings = {0};
    struct qe_aws_credentials *made = NULL;

    if (qe_aws_settings_init(&settings, &provider->self, world, err) == 0 &&
        qe_aws_search_all(&settings, deadline_mono_ms, &made, err) == 0 &&
        made->expires_unix_ms != 0 && !made->outlives_expiry &&
        made->expires_unix_ms <= world->now_unix_ms(world->self)) {
        char at[32];

        qe_err_set(err, QE_ERR_AUTH,
                   "%s: the credentials expired at %s already: is this machine's clock right?",
                   made->provider, qe_text_from_unix_ms(made->expires_unix_ms, at));
        qe_aws_credentials_release(made);
        made = NULL;
    }
    qe_aws_settings_deinit(&settings);
    return made;
}

/* A failure that nobody gets to see as an error, since the old ones still hold. Without the lock.
 */
static void log_failure(const struct qe_err *err, int64_t usable_until_unix_ms)
{
    char until[32];

    qe_log(QE_LOG_WARN, "AWS credentials could not be renewed, the old ones are used on", "until",
           usable_until_unix_ms == 0 ? "further notice"
                                     : qe_text_from_unix_ms(usable_until_unix_ms, until),
           "reason", qe_err_code_name(err->code), "error", err->message, NULL);
}

/* With the lock, which is given up meanwhile. */
static void renew(struct qe_aws_provider *provider, int64_t deadline_mono_ms)
{
    struct qe_err err = {0};
    uint64_t unlogged = 0;

    provider->is_renewing = true;
    pthread_mutex_unlock(&provider->lock);
    struct qe_aws_credentials *made = search(provider, deadline_mono_ms, &err);

    pthread_mutex_lock(&provider->lock);
    struct qe_aws_credentials *old = made;
    const int64_t now_mono_ms = provider->world->now_mono_ms(provider->world->self);
    const int64_t now_unix_ms = provider->world->now_unix_ms(provider->world->self);

    if (made != NULL) {
        old = put(provider, made);
        (void)qe_repeat_ended(&provider->repeat);
    } else {
        note_failure(provider, &err);
    }
    const int64_t until = provider->usable_until_unix_ms;
    const bool log = made == NULL && is_usable(provider, now_unix_ms) &&
                     qe_repeat_failed(&provider->repeat, err.code, now_mono_ms, &unlogged);

    provider->is_renewing = false;
    pthread_cond_broadcast(&provider->renewed);
    pthread_mutex_unlock(&provider->lock);
    qe_aws_credentials_release(old);
    if (log) {
        log_failure(&err, until);
    }
    pthread_mutex_lock(&provider->lock);
}

/* What a renewal may take of the caller's time while the old ones hold: a place that does not
 * answer must not keep it from what it came for. */
static int64_t spare_ms(int64_t left_ms)
{
    return left_ms / 2 < RENEWAL_MOST_MS ? left_ms / 2 : RENEWAL_MOST_MS;
}

enum step {
    STEP_DONE,
    STEP_FAILED,
    STEP_AGAIN
};

/* With the lock: hands out what is there, or waits for who renews, or renews. */
static enum step step(struct qe_aws_provider *provider, int64_t deadline_mono_ms,
                      struct qe_aws_credentials **out, struct qe_err *err)
{
    const int64_t now_mono_ms = provider->world->now_mono_ms(provider->world->self);
    const int64_t now_unix_ms = provider->world->now_unix_ms(provider->world->self);
    const bool must_pause = now_mono_ms < provider->next_try_mono_ms;

    if (is_usable(provider, now_unix_ms) &&
        (!is_due(provider, now_unix_ms) || provider->is_renewing || must_pause ||
         now_mono_ms >= deadline_mono_ms)) {
        *out = qe_aws_credentials_acquire(provider->current);
        return STEP_DONE;
    }
    if (now_mono_ms >= deadline_mono_ms) {
        qe_err_set(err, QE_ERR_TIMEOUT, "AWS credentials were not there by the deadline");
        return STEP_FAILED;
    }
    if (provider->is_renewing) {
        (void)qe_clock_cond_wait(&provider->renewed, &provider->lock, deadline_mono_ms);
        return STEP_AGAIN;
    }
    if (must_pause) {
        *err = provider->last_err;
        return STEP_FAILED;
    }
    renew(provider, is_usable(provider, now_unix_ms)
                        ? now_mono_ms + spare_ms(deadline_mono_ms - now_mono_ms)
                        : deadline_mono_ms);
    return STEP_AGAIN;
}

int qe_aws_provider_get(struct qe_aws_provider *provider, int64_t deadline_mono_ms,
                        struct qe_aws_credentials **out, struct qe_err *err)
{
    enum step now = STEP_AGAIN;
    struct qe_err why = {0}; /* a renewal that failed while the old ones hold is no error here */

    pthread_mutex_lock(&provider->lock);
    while (now == STEP_AGAIN) {
        now = step(provider, deadline_mono_ms, out, &why);
    }
    pthread_mutex_unlock(&provider->lock);
    if (now != STEP_DONE) {
        *err = why;
        return -1;
    }
    return 0;
}

void qe_aws_provider_refused(struct qe_aws_provider *provider,
                             const struct qe_aws_credentials *credentials)
{
    pthread_mutex_lock(&provider->lock);
    if (provider->current != NULL && qe_aws_credentials_equal(provider->current, credentials)) {
        const int64_t now_mono_ms = provider->world->now_mono_ms(provider->world->self);
        const int64_t expires = provider->current->expires_unix_ms;

        provider->was_refused = true;
        provider->is_refused =
            provider->is_refused || now_mono_ms >= provider->refused_until_mono_ms;
        if (expires != 0) {
            provider->usable_until_unix_ms = expires; /* it does not outlive that */
        }
    }
    pthread_mutex_unlock(&provider->lock);
}

int64_t qe_aws_provider_expires_unix_ms(struct qe_aws_provider *provider)
{
    pthread_mutex_lock(&provider->lock);
    const int64_t expires = provider->current == NULL ? 0 : provider->current->expires_unix_ms;

    pthread_mutex_unlock(&provider->lock);
    return expires;
}

uint64_t qe_aws_provider_refresh_failures(struct qe_aws_provider *provider)
{
    pthread_mutex_lock(&provider->lock);
    const uint64_t failures = provider->failures;

    pthread_mutex_unlock(&provider->lock);
    return failures;
}
