/* What users see when keys of a consumer do not go together. */
#include "unit/config/check_rows.h"

#define CONSUMER(keys)                                                                             \
    GOOD "consumers: [{source: a, queue: q, handler: {type: discard}, " keys "}]\n"

static const struct row s_rows[] = {
    {"a reason becomes a label value",
     GOOD "consumers: [{source: a, queue: q, handler: {type: discard}, reasons: [No Such]}]\n",
     "c.yml:2:70: reasons: \"No Such\" is no such word: a letter first, then a-z, 0-9 and _, "
     "at "
     "most 40 in all\n"},
    {"what is built in would be two series of one name",
     GOOD "consumers: [{source: a, queue: q, handler: {type: discard}, reasons: [timeout]}]\n",
     "c.yml:2:70: reasons: \"timeout\" is built in: leave it out\n"},
    {"so would a word that stands twice",
     GOOD "consumers: [{source: a, queue: q, handler: {type: discard}, reasons: [a, a]}]\n",
     "c.yml:2:70: reasons: \"a\" stands there twice\n"},
    {"what was handled must be remembered somewhere", CONSUMER("delivery: effectively_once"),
     "c.yml:2:71: delivery: effectively_once needs to remember what was handled: "
     "deduplication: {store: /var/lib/queue-exporter/handled.db}\n"},
    {"a store that nobody looks into misleads", CONSUMER("deduplication: {store: x}"),
     "c.yml:2:76: deduplication: has no effect without delivery: effectively_once\n"},
    {"a key has one origin",
     CONSUMER("delivery: effectively_once, deduplication: {store: x, attribute: a, pointer: "
              "/b}"),
     "c.yml:2:138: pointer: the key comes from an attribute or from the body: leave one out\n"},
    {"a pointer begins with a slash",
     CONSUMER("delivery: effectively_once, deduplication: {store: x, pointer: order.id}"),
     "c.yml:2:124: pointer: \"order.id\" is no JSON pointer: /order/id, with ~1 for / and ~0 "
     "for ~\n"},
    {"a store without a file is none",
     CONSUMER("delivery: effectively_once, deduplication: {window: 1h}"),
     "c.yml:2:104: deduplication: missing key \"store\"\n"},
    {"a queue cannot be its own dead-letter queue", CONSUMER("dead_letter: {queue: q}"),
     "c.yml:2:74: dead_letter: queue: is the queue itself: what fails for good would come "
     "again\n"},
    {"so many at the same time are too many", CONSUMER("workers: 1024, batch: {size: 100}"),
     "c.yml:2:83: batch: size: with that many workers, more than 16384 messages would be "
     "handled at the same time\n"},
    {"some handlers take one message at a time",
     GOOD "consumers: [{source: a, queue: q, handler: {type: exec, command: [sh]}, batch: {size: "
          "2}}]\n",
     "c.yml:2:80: batch: size: the handler takes one message at a time: use another one, or "
     "size: 1\n"},
    {"what ends a call anyway is no longer than it",
     GOOD "consumers: [{source: a, queue: q, handler: {type: exec, command: [sh], timeout: "
          "10m}}]\n",
     "c.yml:2:44: handler: timeout: 10m is longer than max_handling_time (5m), which ends it "
     "before\n"},
    {"nothing is tried again", CONSUMER("delivery: at_most_once, retry: {initial: 1s}"),
     "c.yml:2:92: retry: has no effect with delivery: at_most_once, where nothing is tried "
     "again\n"},
    {"a pause needs what it follows", CONSUMER("circuit_breaker: {pause: 1s}"),
     "c.yml:2:86: pause: has no effect without failures\n"},
    {"one message waits for no other", CONSUMER("batch: {wait: 1s}"),
     "c.yml:2:75: wait: has no effect without a size above 1\n"},
    {"who discards gives no reply",
     GOOD "consumers: [{source: a, queue: q, handler: {type: discard, max_reply: 256KiB}}]\n",
     "c.yml:2:71: max_reply: means nothing to a handler of type discard\n"},
    {"nor does who pretends",
     GOOD "consumers: [{source: a, queue: q, handler: {type: simulate, max_reply: 1KiB}}]\n",
     "c.yml:2:72: max_reply: means nothing to a handler of type simulate\n"},
    {"real work takes its time, also where the default is written",
     GOOD "consumers: [{source: a, queue: q, handler: {type: exec, command: [sh], latency_p50: "
          "20ms, error_rate: 0, seed: 0}}]\n",
     "c.yml:2:85: latency_p50: means nothing to a handler of type exec\n"
     "c.yml:2:103: error_rate: means nothing to a handler of type exec\n"
     "c.yml:2:112: seed: means nothing to a handler of type exec\n"},
    {"letters that go round never end",
     GOOD "consumers: [{source: a, queue: q, handler: {type: discard}, dead_letter: {queue: "
          "r}},\n {source: a, queue: r, handler: {type: discard}, dead_letter: {queue: s}},\n "
          "{source: a, queue: s, handler: {type: discard}, dead_letter: {queue: q}}]\n",
     "c.yml:2:74: dead_letter: what fails for good would go round: the consumer of \"r\" sends "
     "it on, and in the end back to \"q\"\n"},
    {"letters may be worked on",
     GOOD "consumers: [{source: a, queue: q, handler: {type: discard}, dead_letter: {queue: "
          "r}},\n {source: a, queue: r, handler: {type: discard}, dead_letter: {queue: s}}]\n",
     ""},
    {"all of them together",
     CONSUMER("delivery: effectively_once, deduplication: {store: x, pointer: /a/b, window: 1h}, "
              "dead_letter: {queue: z}, batch: {size: 10, wait: 1s}, order_by: c, rate_limit: "
              "0.5, circuit_breaker: {failures: 3}, max_in_hand: 1MiB"),
     ""},
};

static void keys_of_a_consumer_go_together(void **state)
{
    (void)state;
    CHECK_ROWS(s_rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keys_of_a_consumer_go_together)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
