/* What the search for endpoints needs of the table of services. */
#ifndef QE_AWS_ENDPOINT_INTERNAL_H
#define QE_AWS_ENDPOINT_INTERNAL_H

#include "aws/endpoint.h"

const char *qe_aws_service_id(enum qe_aws_service service);       /* "cloudwatch" */
const char *qe_aws_service_variable(enum qe_aws_service service); /* "AWS_ENDPOINT_URL_SQS" */

#endif
