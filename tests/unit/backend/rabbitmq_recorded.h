/* What recorded answers of RabbitMQ say, read by eye. For test_rabbitmq_definition.c. */
#ifndef QE_TESTS_UNIT_BACKEND_RABBITMQ_RECORDED_H
#define QE_TESTS_UNIT_BACKEND_RABBITMQ_RECORDED_H

#include "backend/rabbitmq/definition.h"

struct row {
    const char *queue; /* NULL: the end */
    enum qe_queue_kind kind;
    const char *reading;
};

static const struct row s_declared[] = {{"classic", QE_KIND_CLASSIC, "-"},
                                        {"quorum", QE_KIND_QUORUM, "-"},
                                        {"stream", QE_KIND_STREAM, "-"},
                                        {NULL, QE_KIND_CLASSIC, NULL}};
static const struct row s_consumed[] = {
    {"classic", QE_KIND_CLASSIC,
     "- ready=5 unacked=3 consumers=1 bytes=800 head=1795310899 published=10 delivered=8 acked=2 "
     "redelivered=3"},
    {"classic_dlx", QE_KIND_CLASSIC,
     "- ready=3 unacked=3 consumers=1 bytes=501 published=11 delivered=14 acked=2 redelivered=6"},
    {"orders.dlq", QE_KIND_CLASSIC,
     "- ready=3 unacked=0 consumers=0 bytes=300 head=1795310899 delivered=1 acked=0 redelivered=0"},
    {"quorum", QE_KIND_QUORUM,
     "- ready=5 unacked=3 pending=0 consumers=1 bytes=800 published=10 delivered=8 acked=2 "
     "redelivered=3"},
    {"stream", QE_KIND_STREAM,
     "- ready=10 unacked=0 consumers=0 published=10 delivered=0 acked=0 redelivered=0"},
    {NULL, QE_KIND_CLASSIC, NULL}};
static const struct row s_totals[] = {{"classic", QE_KIND_CLASSIC, "- ready=8 unacked=0"},
                                      {"quorum", QE_KIND_QUORUM, "- ready=8 unacked=0"},
                                      {"stream", QE_KIND_STREAM, "-"},
                                      {NULL, QE_KIND_CLASSIC, NULL}};
static const struct row s_without[] = {
    {"prio", QE_KIND_CLASSIC, "-"}, {"quorum", QE_KIND_QUORUM, "-"}, {NULL, QE_KIND_CLASSIC, NULL}};
static const struct row s_pending[] = {
    {"alo", QE_KIND_QUORUM,
     "- ready=3 unacked=0 pending=3 consumers=0 bytes=12 published=6 delivered=5 acked=0 "
     "redelivered=2"},
    {NULL, QE_KIND_CLASSIC, NULL}};
static const struct row s_node_down[] = {
    {"cl-on1", QE_KIND_CLASSIC,
     "- ready=3 unacked=0 consumers=0 bytes=3 published=3 delivered=0 acked=0 redelivered=0"},
    {"cl-on2", QE_KIND_CLASSIC, "down"},
    {"q4", QE_KIND_QUORUM, "- published=3 delivered=0 acked=0 redelivered=0"},
    {NULL, QE_KIND_CLASSIC, NULL}};
static const struct row s_four[] = {
    {"backlog", QE_KIND_CLASSIC, "- ready=19877 unacked=0 consumers=0 bytes=1987700 head=2123"},
    {"big", QE_KIND_CLASSIC, "- ready=1 unacked=0 consumers=0 bytes=100000"},
    {"quorum", QE_KIND_QUORUM, "- ready=1 unacked=0 pending=0 consumers=0 bytes=100"},
    {"stream", QE_KIND_STREAM, "- ready=1 unacked=0 consumers=0"},
    {NULL, QE_KIND_CLASSIC, NULL}};
static const struct row s_four_totals[] = {{"backlog", QE_KIND_CLASSIC, "- ready=19877 unacked=0"},
                                           {"quorum", QE_KIND_QUORUM, "- ready=1 unacked=0"},
                                           {"stream", QE_KIND_STREAM, "-"},
                                           {NULL, QE_KIND_CLASSIC, NULL}};

static const struct {
    const char *file;
    const struct row *rows;
} s_recorded[] = {
    {"3.10-queues-right-after-declare.json", s_declared},
    {"3.10-queues-with-consumers.json", s_consumed},
    {"3.10-queues-totals.json", s_totals},
    {"3.10-queues-disable_stats.json", s_without},
    {"3.10-quorum-at-least-once-unroutable.json", s_pending},
    {"3.10-cluster-node2-down.json", s_node_down},
    {"4.0.5-queues-basic.json", s_four},
    {"4.0.5-queues-detailed.json", s_four},
    {"4.0.5-queues-totals.json", s_four_totals},
};

#endif
