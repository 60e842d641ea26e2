/* queuectl completion: what a shell offers behind the Tab key, from the tables that parse. */
#include <stdio.h>
#include <string.h>

#include "queuectl/commands.h"

/* As a word in single quotes: help texts hold apostrophes. A colon would end a name for zsh. */
static void put_quoted(const char *text, bool escapes_colons)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\'') {
            (void)fputs("'\\''", stdout);
        } else {
            (void)printf("%s%c", *at == ':' && escapes_colons ? "\\" : "", *at);
        }
    }
}

static bool takes_file(const struct qe_cli_flag *flag)
{
    return flag->argument != NULL && strcmp(flag->argument, "FILE") == 0;
}

/* The flags of one command, and those that every command takes. */
static const struct qe_cli_flag *flag_of(const struct ctl_command *command, size_t index)
{
    if (index < command->flags_count) {
        return &command->flags[index];
    }
    index -= command->flags_count;
    return index == 0 ? &ctl_flags[0] : index == 1 ? &ctl_flags[ctl_flags_count - 1] : NULL;
}

/* The words behind `group` ("": the first ones); `put` writes one with its summary. */
static void put_words(const char *group, void (*put)(const char *word, const char *summary))
{
    size_t length = strlen(group);

    for (size_t i = 0; i < ctl_commands_count; i++) {
        const struct ctl_command *command = ctl_commands[i];
        size_t bytes = ctl_group_bytes(command->name);
        char word[64];

        if (length > 0 && bytes == length && strncmp(command->name, group, length) == 0) {
            put(command->name + length + 1, command->summary);
        } else if (length == 0 && bytes == 0) {
            put(command->name, command->summary);
        } else if (length == 0 && ctl_is_first_of_group(i)) {
            (void)snprintf(word, sizeof word, "%.*s", (int)bytes, command->name);
            put(word, "dead letters");
        }
    }
}

/* --- bash --- */

static void put_bash_word(const char *word, const char *summary)
{
    (void)summary;
    (void)printf("%s ", word);
}

static void put_bash_flags(const struct qe_cli_flag *flag)
{
    (void)printf("--%s%s ", flag->name, flag->argument != NULL ? "=" : "");
}

static void put_bash_case(size_t index)
{
    const struct ctl_command *command = ctl_commands[index];
    size_t bytes = ctl_group_bytes(command->name);

    if (ctl_is_first_of_group(index)) {
        char group[64];

        (void)snprintf(group, sizeof group, "%.*s", (int)bytes, command->name);
        (void)printf("    '%s') words='", group);
        put_words(group, put_bash_word);
        (void)fputs("' ;;\n", stdout);
    }
    (void)printf("    '%s') words='", command->name);
    for (size_t i = 0; flag_of(command, i) != NULL; i++) {
        put_bash_flags(flag_of(command, i));
    }
    (void)fputs("' ;;\n", stdout);
}

/* An earlier command of the table has a flag of this name. */
static bool is_known(size_t command, const char *name)
{
    for (size_t i = 0; i < command; i++) {
        for (size_t k = 0; k < ctl_commands[i]->flags_count; k++) {
            if (strcmp(ctl_commands[i]->flags[k].name, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* The flags whose value is a file, as a pattern of `case`. */
static void put_file_flags(void)
{
    (void)printf("--%s", ctl_flags[0].name);
    for (size_t i = 0; i < ctl_commands_count; i++) {
        for (size_t k = 0; k < ctl_commands[i]->flags_count; k++) {
            const struct qe_cli_flag *flag = &ctl_commands[i]->flags[k];

            if (takes_file(flag) && !is_known(i, flag->name)) {
                (void)printf(" | --%s", flag->name);
            }
        }
    }
}

/* What stands before the cursor becomes $command; bash makes a word of each "=". */
static const char s_bash_head[] =
    "# bash completion of queuectl: source <(queuectl completion bash)\n"
    "_queuectl()\n"
    "{\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    local command='' words='' word='' i\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        case $word in\n"
    "        = | --config.file) [[ $word == = || ${COMP_WORDS[i + 1]} != = ]] && ((++i)) ;;\n"
    "        -*) ;;\n"
    "        *)\n"
    "            [[ $command == *' '* ]] && continue\n"
    "            [[ -z $command || $command == dlq ]] && command=${command:+$command }$word ;;\n"
    "        esac\n"
    "    done\n"
    "    if [[ $cur == = ]]; then\n"
    "        cur=''\n"
    "    elif [[ $prev == = ]]; then\n"
    "        prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    fi\n"
    "    case $prev in\n    ";
static const char s_bash_files[] = ")\n"
                                   "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
                                   "        return ;;\n"
                                   "    esac\n"
                                   "    case $command in\n";
static const char s_bash_tail[] =
    "    esac\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
    "    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
    "    return 0\n"
    "}\n"
    "complete -F _queuectl queuectl\n";

static void print_bash(void)
{
    (void)fputs(s_bash_head, stdout);
    put_file_flags();
    (void)fputs(s_bash_files, stdout);
    (void)fputs("    '') words='", stdout);
    put_words("", put_bash_word);
    for (size_t i = 0; i < ctl_flags_count; i++) {
        put_bash_flags(&ctl_flags[i]);
    }
    (void)fputs("' ;;\n", stdout);
    for (size_t i = 0; i < ctl_commands_count; i++) {
        put_bash_case(i);
    }
    (void)fputs(s_bash_tail, stdout);
}

/* --- zsh --- */

static void put_zsh_word(const char *word, const char *summary)
{
    (void)printf(" '%s:", word);
    put_quoted(summary, true);
    (void)putchar('\'');
}

static void put_zsh_flag(const struct qe_cli_flag *flag)
{
    char word[64];

    (void)snprintf(word, sizeof word, "--%.50s%s", flag->name, flag->argument != NULL ? "=" : "");
    put_zsh_word(word, flag->help);
}

static void put_zsh_case(size_t index)
{
    const struct ctl_command *command = ctl_commands[index];
    size_t bytes = ctl_group_bytes(command->name);

    if (ctl_is_first_of_group(index)) {
        char group[64];

        (void)snprintf(group, sizeof group, "%.*s", (int)bytes, command->name);
        (void)printf("    '%s') choices=(", group);
        put_words(group, put_zsh_word);
        (void)fputs(") ;;\n", stdout);
    }
    (void)printf("    '%s') choices=(", command->name);
    for (size_t i = 0; flag_of(command, i) != NULL; i++) {
        put_zsh_flag(flag_of(command, i));
    }
    (void)fputs(") ;;\n", stdout);
}

static const char s_zsh_state[] =
    "    for word in \"${(@)words[2,CURRENT-1]}\"; do\n"
    "        if [[ -n $skip ]]; then\n"
    "            skip=''\n"
    "        elif [[ $word == --config.file ]]; then\n"
    "            skip=1\n"
    "        elif [[ $word != -* && ( -z $command || $command == dlq ) ]]; then\n"
    "            command=\"${command:+$command }$word\"\n"
    "        fi\n"
    "    done\n"
    "    case \"${words[CURRENT - 1]}\" in\n    ";

static void print_zsh(void)
{
    (void)fputs("#compdef queuectl\n"
                "# zsh completion of queuectl: queuectl completion zsh >\"${fpath[1]}/_queuectl\"\n"
                "_queuectl()\n"
                "{\n"
                "    local command='' word='' skip=''\n"
                "    local -a choices\n",
                stdout);
    (void)fputs(s_zsh_state, stdout);
    put_file_flags();
    (void)fputs(") _files; return ;;\n"
                "    esac\n"
                "    case $command in\n"
                "    '') choices=(",
                stdout);
    put_words("", put_zsh_word);
    for (size_t i = 0; i < ctl_flags_count; i++) {
        put_zsh_flag(&ctl_flags[i]);
    }
    (void)fputs(") ;;\n", stdout);
    for (size_t i = 0; i < ctl_commands_count; i++) {
        put_zsh_case(i);
    }
    (void)fputs("    esac\n"
                "    _describe queuectl choices\n"
                "}\n"
                "if [[ ${funcstack[1]} == _queuectl ]]; then\n"
                "    _queuectl \"$@\"\n"
                "else\n"
                "    compdef _queuectl queuectl\n"
                "fi\n",
                stdout);
}

/* --- fish --- */

static void put_fish_word(const char *condition, const char *word, const char *summary)
{
    (void)printf("complete -c queuectl -n '%s' -a %s -d '", condition, word);
    put_quoted(summary, false);
    (void)fputs("'\n", stdout);
}

static void put_fish_flag(const char *condition, const struct qe_cli_flag *flag)
{
    (void)printf("complete -c queuectl -n '%s' -l %s%s -d '", condition, flag->name,
                 takes_file(flag)         ? " -rF"
                 : flag->argument != NULL ? " -x"
                                          : "");
    put_quoted(flag->help, false);
    (void)fputs("'\n", stdout);
}

static void put_fish_command(size_t index)
{
    const struct ctl_command *command = ctl_commands[index];
    size_t bytes = ctl_group_bytes(command->name);
    const char *last = bytes > 0 ? command->name + bytes + 1 : command->name;
    char condition[160];
    char group[64];

    (void)snprintf(group, sizeof group, "%.*s", (int)bytes, command->name);
    if (bytes == 0) {
        put_fish_word("__fish_use_subcommand", last, command->summary);
        (void)snprintf(condition, sizeof condition, "__fish_seen_subcommand_from %s", last);
    } else {
        if (ctl_is_first_of_group(index)) {
            put_fish_word("__fish_use_subcommand", group, "dead letters");
        }
        (void)snprintf(condition, sizeof condition, "__fish_seen_subcommand_from %s", group);
        put_fish_word(condition, last, command->summary);
        (void)snprintf(condition, sizeof condition,
                       "__fish_seen_subcommand_from %s; and __fish_seen_subcommand_from %s", group,
                       last);
    }
    for (size_t i = 0; i < command->flags_count; i++) {
        put_fish_flag(condition, &command->flags[i]);
    }
}

static void print_fish(void)
{
    (void)fputs("# fish completion of queuectl: queuectl completion fish | source\n"
                "complete -c queuectl -f\n",
                stdout);
    for (size_t i = 0; i < ctl_flags_count; i++) {
        put_fish_flag("true", &ctl_flags[i]);
    }
    for (size_t i = 0; i < ctl_commands_count; i++) {
        put_fish_command(i);
    }
}

/* --- the command --- */

static enum qe_exit run(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};

    (void)ctl;
    (void)count;
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++) {
        if (strcmp(shells[i].name, operands[0]) == 0) {
            shells[i].print();
            return QE_EXIT_OK;
        }
    }
    qe_err_set(err, QE_ERR_INVALID, "no completion for \"%.40s\": bash, zsh or fish", operands[0]);
    return QE_EXIT_USAGE;
}

const struct ctl_command ctl_completion = {
    .name = "completion",
    .operands = "bash|zsh|fish",
    .summary = "print what makes bash, zsh or fish complete queuectl's commands and flags",
    .operands_min = 1,
    .operands_max = 1,
    .without_config = true,
    .run = run,
};
