#include "consumer/command.h"

#include "util/mem.h"

struct qe_pair *qe_pairs_copy(const struct qe_pair *pairs, size_t count)
{
    struct qe_pair *copy = count > 0 ? qe_calloc(count, sizeof *copy) : NULL;

    for (size_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = pairs[i];
    }
    return copy;
}

int qe_command_init(struct qe_command *command, const struct qe_program *program,
                    struct qe_err *err)
{
    command->argv = qe_calloc(program->words_count + 1, sizeof *command->argv);
    command->environment = qe_pairs_copy(program->environment, program->environment_count);
    command->environment_count = program->environment_count;
    if (command->argv == NULL || (command->environment == NULL && command->environment_count > 0)) {
        qe_command_deinit(command);
        return qe_err_set(err, QE_ERR_NOMEM, "command");
    }
    for (size_t i = 0; i < program->words_count; i++) {
        command->argv[i] = program->words[i];
    }
    return 0;
}

void qe_command_deinit(struct qe_command *command)
{
    qe_free(command->argv);
    qe_free(command->environment);
    *command = (struct qe_command){0};
}
