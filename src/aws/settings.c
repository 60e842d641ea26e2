#include "aws/provider_internal.h"

const char *qe_aws_env(const struct qe_aws_world *world, const char *name)
{
    const char *value = world->get(world->self, name);

    for (const char *c = value; c != NULL && *c != '\0'; c++) {
        if (*c != ' ' && *c != '\t' && *c != '\r' && *c != '\n') {
            return value;
        }
    }
    return NULL;
}

int qe_aws_settings_init(struct qe_aws_settings *settings, const struct qe_aws_self *self,
                         const struct qe_aws_world *world, struct qe_err *err)
{
    (void)err;
    *settings = (struct qe_aws_settings){.world = world, .self = self};
    return 0;
}

void qe_aws_settings_deinit(struct qe_aws_settings *settings)
{
    *settings = (struct qe_aws_settings){0};
}
