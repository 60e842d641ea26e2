/* What the files of option tables share. */
#ifndef QE_CONFIG_SETTINGS_INTERNAL_H
#define QE_CONFIG_SETTINGS_INTERNAL_H

#include "config/option.h"

#define SECOND_MS 1000.0
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

extern const struct qe_section qe_section_handler; /* struct qe_handler_settings */

#endif
