/* What the files of the JSON door share. */
#ifndef QE_UTIL_JSON_INTERNAL_H
#define QE_UTIL_JSON_INTERNAL_H

#include <stdbool.h>

/* Makes cJSON allocate through util/mem; once per process. Also forgets an earlier exhaustion. */
void qe_json_prepare(void);
/* Whether an allocation for cJSON has failed on this thread since qe_json_prepare(): cJSON itself
 * does not tell that apart from bad text. */
bool qe_json_ran_out(void);

#endif
