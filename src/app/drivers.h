/* The driver table: the one place that knows every type of source by name. */
#ifndef QE_APP_DRIVERS_H
#define QE_APP_DRIVERS_H

#include <stddef.h>

#include "backend/backend.h"
#include "config/config.h"

/* The source types of the configuration, one per driver. Static. */
const struct qe_source_type *qe_drivers_types(size_t *out_count);
/* The driver of a `type`; never NULL for a type of qe_drivers_types(). */
const struct qe_driver *qe_drivers_find(const char *type_name);

#endif
