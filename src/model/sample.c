#include "model/sample.h"

static const char *const s_age_method_names[QE_AGE_METHOD_COUNT] = {
    "broker", "cloudwatch", "head_timestamp", "consumer", "estimate"};

const char *qe_age_method_name(enum qe_age_method method)
{
    return (unsigned)method < QE_AGE_METHOD_COUNT ? s_age_method_names[method] : "unknown";
}
