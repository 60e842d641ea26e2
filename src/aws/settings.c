#include <string.h>

#include "aws/provider_internal.h"
#include "util/mem.h"
#include "util/text.h"

/* Where a file is, unless somebody says otherwise. */
static const struct {
    const char *variable;
    const char *below_home;
} s_files[2] = {
    [QE_AWS_FILE_CONFIG] = {"AWS_CONFIG_FILE", "/.aws/config"},
    [QE_AWS_FILE_CREDENTIALS] = {"AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials"},
};

static bool is_blank_text(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

const char *qe_aws_env(const struct qe_aws_world *world, const char *name)
{
    const char *value = world->get(world->self, name);

    return value == NULL || is_blank_text(value) ? NULL : value;
}

/* *out_path stays NULL when there is no HOME. */
static int find_path(const struct qe_aws_world *world, enum qe_aws_profile_file file,
                     char **out_path, struct qe_err *err)
{
    const char *named = qe_aws_env(world, s_files[file].variable);
    const char *home = qe_aws_env(world, "HOME");
    const char *tail = named == NULL ? s_files[file].below_home : named;
    const bool in_home = named == NULL || qe_text_starts_with(named, "~/");
    struct qe_strbuf path = {0};

    if (in_home && home == NULL) {
        return 0;
    }
    if (in_home) {
        (void)qe_strbuf_append_text(&path, home);
        tail += named == NULL ? 0 : 1; /* the '~' */
    }
    (void)qe_strbuf_append_text(&path, tail);
    if (qe_strbuf_error(&path, err) != 0) {
        qe_strbuf_deinit(&path);
        return -1;
    }
    *out_path = qe_strbuf_detach(&path);
    return 0;
}

static int read_file(struct qe_aws_settings *settings, enum qe_aws_profile_file file,
                     struct qe_err *err)
{
    const struct qe_aws_world *world = settings->world;
    const bool is_named = qe_aws_env(world, s_files[file].variable) != NULL;
    struct qe_strbuf text = {.is_secret = true};
    struct qe_err why = {0}; /* a file that may be missing leaves no trace in *err */
    int rc = 0;

    settings->file_states[file] = QE_AWS_FILE_NOWHERE;
    if (find_path(world, file, &settings->paths[file], err) != 0) {
        return -1;
    }
    const char *path = settings->paths[file];

    if (path == NULL) {
        return 0;
    }
    settings->file_states[file] = QE_AWS_FILE_READ;
    if (world->read_file(world->self, path, QE_AWS_PROFILE_FILE_MAX_BYTES, &text, &why) == 0) {
        rc = qe_aws_profiles_add(settings->profiles, file, path, qe_strbuf_text(&text),
                                 text.length_bytes, err);
    } else if (why.code == QE_ERR_NOT_FOUND) {
        settings->file_states[file] = QE_AWS_FILE_MISSING;
    } else if (why.code == QE_ERR_AUTH && !is_named) {
        /* A daemon with another user's HOME: whatever is there was not meant for it. */
        settings->file_states[file] = QE_AWS_FILE_UNREADABLE;
    } else {
        *err = why;
        rc = is_named ? qe_err_wrap(err, "%s", s_files[file].variable) : -1;
    }
    qe_strbuf_deinit(&text);
    return rc;
}

static void choose_profile(struct qe_aws_settings *settings)
{
    static const char *const s_variables[] = {"AWS_PROFILE", "AWS_DEFAULT_PROFILE"};

    settings->profile_name = settings->self->texts[QE_AWS_SELF_PROFILE];
    settings->profile_named_by = "the configuration";
    for (size_t i = 0; i < 2 && settings->profile_name == NULL; i++) {
        settings->profile_name = qe_aws_env(settings->world, s_variables[i]);
        settings->profile_named_by = s_variables[i];
    }
    if (settings->profile_name == NULL) {
        settings->profile_name = "default";
        settings->profile_named_by = "nobody";
    }
    settings->profile =
        qe_aws_profiles_find(settings->profiles, QE_AWS_SECTION_PROFILE, settings->profile_name);
}

int qe_aws_settings_init(struct qe_aws_settings *settings, const struct qe_aws_self *self,
                         const struct qe_aws_world *world, struct qe_err *err)
{
    *settings = (struct qe_aws_settings){.world = world, .self = self};
    settings->profiles = qe_aws_profiles_new(err);
    if (settings->profiles == NULL || read_file(settings, QE_AWS_FILE_CONFIG, err) != 0 ||
        read_file(settings, QE_AWS_FILE_CREDENTIALS, err) != 0) {
        qe_aws_settings_deinit(settings);
        return -1;
    }
    choose_profile(settings);
    return 0;
}

void qe_aws_settings_deinit(struct qe_aws_settings *settings)
{
    qe_aws_profiles_destroy(settings->profiles);
    qe_free(settings->paths[QE_AWS_FILE_CONFIG]);
    qe_free(settings->paths[QE_AWS_FILE_CREDENTIALS]);
    *settings = (struct qe_aws_settings){0};
}

const char *qe_aws_setting(const struct qe_aws_settings *settings, const char *variable,
                           const char *key, const char **out_place)
{
    const char *value = qe_aws_env(settings->world, variable);
    const char *place = variable;

    if (value == NULL) {
        value = qe_aws_section_get(settings->profile, key);
        place = key;
    }
    if (out_place != NULL) {
        *out_place = place;
    }
    return value;
}

const char *qe_aws_ca_file(const struct qe_aws_settings *settings)
{
    return qe_aws_setting(settings, "AWS_CA_BUNDLE", "ca_bundle", NULL);
}

int qe_aws_setting_flag(const struct qe_aws_settings *settings, const char *variable,
                        const char *key, bool *out, struct qe_err *err)
{
    const char *place = NULL;
    const char *value = qe_aws_setting(settings, variable, key, &place);
    const bool is_true = value != NULL && qe_text_equal_nocase(value, "true");

    if (value != NULL && !is_true && !qe_text_equal_nocase(value, "false")) {
        return qe_err_set(err, QE_ERR_INVALID, "%s is neither true nor false: \"%.40s\"", place,
                          value);
    }
    *out = is_true;
    return 0;
}

int qe_aws_setting_number(const struct qe_aws_settings *settings, const char *variable,
                          const char *key, uint64_t max, uint64_t *inout, struct qe_err *err)
{
    const char *place = NULL;
    const char *value = qe_aws_setting(settings, variable, key, &place);

    if (value == NULL) {
        return 0;
    }
    return qe_text_to_u64(value, max, inout, err) == 0 ? 0 : qe_err_wrap(err, "%s", place);
}
