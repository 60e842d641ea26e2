#include "app/drivers.h"

#include <pthread.h>
#include <string.h>

#include "backend/embedded/embedded.h"
#include "backend/rabbitmq/rabbitmq.h"
#include "backend/sqs/sqs.h"

/* A new broker is one folder under backend/ and one line here. */
static const struct qe_driver *const s_drivers[] = {
    &qe_driver_embedded,
    &qe_driver_rabbitmq,
    &qe_driver_sqs,
};
#define DRIVERS_COUNT (sizeof s_drivers / sizeof s_drivers[0])

static struct qe_source_type s_types[DRIVERS_COUNT];
static pthread_once_t s_types_once = PTHREAD_ONCE_INIT;

static void fill_types(void)
{
    for (size_t i = 0; i < DRIVERS_COUNT; i++) {
        s_types[i].name = s_drivers[i]->name;
        s_types[i].section = s_drivers[i]->section;
        s_types[i].default_vhost = s_drivers[i]->default_vhost;
    }
}

const struct qe_source_type *qe_drivers_types(size_t *out_count)
{
    (void)pthread_once(&s_types_once, fill_types);
    *out_count = DRIVERS_COUNT;
    return s_types;
}

const struct qe_driver *qe_drivers_find(const char *type_name)
{
    for (size_t i = 0; i < DRIVERS_COUNT; i++) {
        if (strcmp(s_drivers[i]->name, type_name) == 0) {
            return s_drivers[i];
        }
    }
    return NULL;
}
