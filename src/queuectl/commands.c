#include "queuectl/commands.h"

#include <string.h>

#include "app/flags.h"

const struct ctl_command *const ctl_commands[] = {
    &ctl_send,       &ctl_receive,    &ctl_peek,        &ctl_stats,       &ctl_top,
    &ctl_purge,      &ctl_dlq_list,   &ctl_dlq_inspect, &ctl_dlq_redrive, &ctl_dlq_export,
    &ctl_dlq_import, &ctl_dlq_purge,  &ctl_publish,     &ctl_subscribe,   &ctl_request,
    &ctl_reply,      &ctl_completion, &ctl_man,
};
const size_t ctl_commands_count = sizeof ctl_commands / sizeof ctl_commands[0];

const struct qe_cli_flag ctl_flags[] = {
    {"config.file", "FILE", "the exporter's configuration", QE_DEFAULT_CONFIG_FILE,
     CTL_AT(config_file)},
    {"version", NULL, "print the version and exit", CTL_AT(version)},
    {"help", NULL, "print this and exit (also -h); after a command: that command's flags",
     CTL_AT(help)},
};
const size_t ctl_flags_count = sizeof ctl_flags / sizeof ctl_flags[0];

size_t ctl_group_bytes(const char *name)
{
    const char *space = strchr(name, ' ');

    return space != NULL ? (size_t)(space - name) : 0;
}

bool ctl_is_first_of_group(size_t index)
{
    const char *name = ctl_commands[index]->name;
    size_t bytes = ctl_group_bytes(name);

    for (size_t i = 0; i < index; i++) {
        if (ctl_group_bytes(ctl_commands[i]->name) == bytes &&
            strncmp(ctl_commands[i]->name, name, bytes) == 0) {
            return false;
        }
    }
    return bytes > 0;
}
