/* What a profile of the shared files says: keys, a role on top of something else, a web identity, a
 * program.
 * Source: AWS SDKs and Tools Reference Guide, "Assume role credential provider"; checked with the
 * SDKs' own cases for chains of profiles. */
#include <string.h>

#include "aws/provider_internal.h"
#include "util/text.h"

#define PLACE "profile"
#define ROLES_MAX 8
#define NAME_SHOWN "%.80s"

/* How a profile's credentials come about: the base first, then roles from the last to the first. */
struct recipe {
    const struct qe_aws_section *roles[ROLES_MAX];
    size_t roles_count;
    const struct qe_aws_section *base;
    const char *named_source; /* credential_source of the base; NULL: its own settings */
};

static const char *value(const struct qe_aws_section *profile, const char *key)
{
    return qe_aws_section_get(profile, key);
}

static bool has_keys(const struct qe_aws_section *profile)
{
    return value(profile, "aws_access_key_id") != NULL &&
           value(profile, "aws_secret_access_key") != NULL;
}

static bool needs_a_person(const struct qe_aws_section *profile)
{
    static const char *const s_keys[] = {"sso_session", "sso_start_url", "sso_account_id",
                                         "sso_role_name", "login_session"};

    for (size_t i = 0; i < sizeof s_keys / sizeof s_keys[0]; i++) {
        if (value(profile, s_keys[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static int add_role(struct recipe *recipe, const struct qe_aws_section *profile, struct qe_err *err)
{
    const char *name = qe_aws_section_name(profile);

    for (size_t i = 0; i < recipe->roles_count; i++) {
        if (recipe->roles[i] == profile) {
            return qe_err_set(err, QE_ERR_INVALID,
                              NAME_SHOWN ": the profiles form an infinite loop: its "
                                         "source_profile leads back to itself",
                              name);
        }
    }
    if (value(profile, "mfa_serial") != NULL) {
        return qe_err_set(err, QE_ERR_UNSUPPORTED,
                          NAME_SHOWN ": mfa_serial asks for a person with a device: take a role "
                                     "that needs none, or credential_process",
                          name);
    }
    if (recipe->roles_count == ROLES_MAX) {
        return qe_err_set(err, QE_ERR_INVALID,
                          NAME_SHOWN ": more than %d roles on top of each "
                                     "other",
                          name, ROLES_MAX);
    }
    recipe->roles[recipe->roles_count++] = profile;
    return 0;
}

/* The profile that a role's source_profile names; NULL with *err. */
static const struct qe_aws_section *source_of(const struct qe_aws_settings *settings,
                                              const struct qe_aws_section *profile,
                                              struct qe_err *err)
{
    const char *name = value(profile, "source_profile");
    const struct qe_aws_section *found =
        qe_aws_profiles_find(settings->profiles, QE_AWS_SECTION_PROFILE, name);

    if (found == NULL) {
        qe_err_set(err, QE_ERR_INVALID,
                   "could not find source profile " NAME_SHOWN " referenced from " NAME_SHOWN, name,
                   qe_aws_section_name(profile));
    }
    return found;
}

/* A role without a web identity: it needs a source, and one only. */
static int check_sources(const struct qe_aws_section *profile, struct qe_err *err)
{
    const bool has_profile = value(profile, "source_profile") != NULL;
    const bool has_named = value(profile, "credential_source") != NULL;

    if (has_profile == has_named) {
        return qe_err_set(err, QE_ERR_INVALID,
                          NAME_SHOWN ": role_arn needs source_profile or credential_source, and "
                                     "the profile %s",
                          qe_aws_section_name(profile),
                          has_profile ? "contained both" : "must contain one of them");
    }
    return 0;
}

/* Follows role_arn and source_profile down to the base. */
static int resolve(const struct qe_aws_settings *settings, struct recipe *recipe,
                   struct qe_err *err)
{
    const struct qe_aws_section *profile = settings->profile;

    for (;;) {
        const bool is_role =
            value(profile, "role_arn") != NULL && value(profile, "web_identity_token_file") == NULL;

        /* Keys count before a role in a profile that is a source; not in the first one. But a loop
         * is one all the same. */
        const bool is_again = recipe->roles_count > 0 && recipe->roles[0] == profile;

        if (!is_role || (recipe->roles_count > 0 && !is_again && has_keys(profile))) {
            break;
        }
        if (add_role(recipe, profile, err) != 0 || check_sources(profile, err) != 0) {
            return -1;
        }
        recipe->named_source = value(profile, "credential_source");
        if (recipe->named_source != NULL) {
            break;
        }
        const struct qe_aws_section *source = source_of(settings, profile, err);

        if (source == NULL) {
            return -1;
        }
        if (source == profile) {
            break; /* its own keys, and its role on top */
        }
        profile = source;
    }
    recipe->base = profile;
    return 0;
}

static int use_named(struct qe_aws_search *search, const struct recipe *recipe,
                     struct qe_aws_credentials **out, struct qe_err *err)
{
    static const struct {
        const char *name;
        qe_aws_find *find;
    } s_sources[] = {{"Environment", qe_aws_use_environment},
                     {"Ec2InstanceMetadata", qe_aws_find_in_imds},
                     {"EcsContainer", qe_aws_find_in_container}};
    struct qe_aws_search inner = {.settings = search->settings,
                                  .deadline_mono_ms = search->deadline_mono_ms};
    enum qe_aws_found found = QE_AWS_BROKEN;

    qe_err_set(err, QE_ERR_INVALID,
               NAME_SHOWN ": credential_source is none of Environment, Ec2InstanceMetadata and "
                          "EcsContainer",
               qe_aws_section_name(recipe->base));
    for (size_t i = 0; i < sizeof s_sources / sizeof s_sources[0]; i++) {
        if (qe_text_equal_nocase(recipe->named_source, s_sources[i].name)) {
            found = s_sources[i].find(&inner, out, err);
        }
    }
    if (found == QE_AWS_NOT_CONFIGURED) {
        qe_err_set(err, QE_ERR_AUTH, NAME_SHOWN ": credential_source = %.40s, but %s",
                   qe_aws_section_name(recipe->base), recipe->named_source,
                   qe_strbuf_text(&inner.skipped));
    }
    qe_strbuf_deinit(&inner.skipped);
    return found == QE_AWS_FOUND ? 0 : -1;
}

static int use_keys(const struct qe_aws_section *profile, struct qe_aws_credentials **out,
                    struct qe_err *err)
{
    const struct qe_aws_parts parts = {
        .access_key_id = value(profile, "aws_access_key_id"),
        .secret_access_key = value(profile, "aws_secret_access_key"),
        .session_token = value(profile, "aws_session_token"),
        .account_id = value(profile, "aws_account_id"),
        .provider = QE_AWS_FROM_PROFILE,
    };

    if (!has_keys(profile)) {
        return qe_err_set(
            err, QE_ERR_INVALID, NAME_SHOWN ": profile missing %s", qe_aws_section_name(profile),
            parts.access_key_id == NULL ? "aws_access_key_id" : "aws_secret_access_key");
    }
    struct qe_aws_credentials *made = qe_aws_credentials_new(&parts, err);

    if (made == NULL) {
        return qe_err_wrap(err, NAME_SHOWN, qe_aws_section_name(profile));
    }
    *out = made;
    return 0;
}

static int use_web_identity(const struct qe_aws_search *search,
                            const struct qe_aws_section *profile, struct qe_aws_credentials **out,
                            struct qe_err *err)
{
    const char *role_arn = value(profile, "role_arn");

    /* Nothing of the environment fills this gap: it is about another identity. */
    if (role_arn == NULL) {
        return qe_err_set(err, QE_ERR_INVALID,
                          NAME_SHOWN ": web_identity_token_file was specified but role_arn was "
                                     "missing",
                          qe_aws_section_name(profile));
    }
    return qe_aws_use_web_identity(search, value(profile, "web_identity_token_file"), role_arn,
                                   value(profile, "role_session_name"), out, err) == 0
               ? 0
               : qe_err_wrap(err, NAME_SHOWN, qe_aws_section_name(profile));
}

/* Whether a profile says anything of credentials. */
static bool is_silent(const struct qe_aws_section *profile)
{
    return value(profile, "aws_access_key_id") == NULL &&
           value(profile, "aws_secret_access_key") == NULL &&
           value(profile, "web_identity_token_file") == NULL &&
           value(profile, "credential_process") == NULL && !needs_a_person(profile);
}

/* The base of a recipe, with which all begins. */
static int use_base(struct qe_aws_search *search, const struct recipe *recipe,
                    struct qe_aws_credentials **out, struct qe_err *err)
{
    const struct qe_aws_section *base = recipe->base;
    const char *name = qe_aws_section_name(base);

    if (recipe->named_source != NULL) {
        return use_named(search, recipe, out, err);
    }
    if (value(base, "web_identity_token_file") != NULL) {
        return use_web_identity(search, base, out, err);
    }
    if (value(base, "aws_access_key_id") != NULL || value(base, "aws_secret_access_key") != NULL) {
        return use_keys(base, out, err);
    }
    if (needs_a_person(base)) {
        return qe_err_set(err, QE_ERR_UNSUPPORTED,
                          NAME_SHOWN ": it signs in through a browser (sso or login), which is not "
                                     "supported: use credential_process = aws configure "
                                     "export-credentials --profile " NAME_SHOWN " --format process",
                          name, name);
    }
    if (value(base, "credential_process") != NULL) {
        return qe_aws_run_process(search, value(base, "credential_process"),
                                  value(base, "aws_account_id"), out, err) == 0
                   ? 0
                   : qe_err_wrap(err, NAME_SHOWN, name);
    }
    return qe_err_set(err, QE_ERR_INVALID,
                      "profile `" NAME_SHOWN "` did not contain credential information", name);
}

/* Puts one role on top of *credentials, and replaces them. */
static int put_role(const struct qe_aws_search *search, const struct qe_aws_section *profile,
                    struct qe_aws_credentials **credentials, struct qe_err *err)
{
    const char *duration = value(profile, "duration_seconds");
    struct qe_aws_credentials *made = NULL;
    uint64_t duration_s = 0;

    if (duration != NULL &&
        (qe_text_to_u64(duration, 43200, &duration_s, err) != 0 || duration_s < 900)) {
        return qe_err_set(err, QE_ERR_INVALID,
                          NAME_SHOWN ": duration_seconds is not a number from 900 to 43200",
                          qe_aws_section_name(profile));
    }
    const struct qe_aws_role role = {
        .arn = value(profile, "role_arn"),
        .session_name = value(profile, "role_session_name"),
        .external_id = value(profile, "external_id"),
        .duration_s = (int64_t)duration_s,
        .base = *credentials,
    };

    if (qe_aws_assume_role(search, &role, &made, err) != 0) {
        return qe_err_wrap(err, NAME_SHOWN, qe_aws_section_name(profile));
    }
    qe_aws_credentials_release(*credentials);
    *credentials = made;
    return 0;
}

static int use(struct qe_aws_search *search, const struct recipe *recipe,
               struct qe_aws_credentials **out, struct qe_err *err)
{
    struct qe_aws_credentials *found = NULL;
    int rc = use_base(search, recipe, &found, err);

    for (size_t i = recipe->roles_count; rc == 0 && i > 0; i--) {
        rc = put_role(search, recipe->roles[i - 1], &found, err);
    }
    if (rc != 0) {
        qe_aws_credentials_release(found);
        return -1;
    }
    *out = found;
    return 0;
}

/* Where the profile was looked for: "/home/x/.aws/config (missing)". */
static void describe(const struct qe_aws_settings *settings, enum qe_aws_profile_file file,
                     struct qe_strbuf *out)
{
    static const char *const s_words[] = {[QE_AWS_FILE_READ] = "",
                                          [QE_AWS_FILE_MISSING] = " (missing)",
                                          [QE_AWS_FILE_UNREADABLE] = " (may not be read)",
                                          [QE_AWS_FILE_NOWHERE] = " (HOME is not set)"};

    (void)qe_strbuf_printf(out, "%.200s%s",
                           settings->paths[file] != NULL ? settings->paths[file]
                           : file == QE_AWS_FILE_CONFIG  ? "~/.aws/config"
                                                         : "~/.aws/credentials",
                           s_words[settings->file_states[file]]);
}

static enum qe_aws_found say_missing(struct qe_aws_search *search, struct qe_err *err)
{
    const struct qe_aws_settings *settings = search->settings;
    const bool is_needed = settings->self->texts[QE_AWS_SELF_PROFILE] != NULL;
    struct qe_strbuf places = {0};
    enum qe_aws_found found = QE_AWS_BROKEN;

    describe(settings, QE_AWS_FILE_CONFIG, &places);
    (void)qe_strbuf_append_text(&places, " and ");
    describe(settings, QE_AWS_FILE_CREDENTIALS, &places);
    if (is_needed) {
        qe_err_set(err, QE_ERR_INVALID,
                   PLACE " '" NAME_SHOWN "', which the configuration names, is in neither of %s",
                   settings->profile_name, qe_strbuf_text(&places));
    } else {
        found = qe_aws_skip(search, PLACE, "'" NAME_SHOWN "' is in neither of %s",
                            settings->profile_name, qe_strbuf_text(&places));
    }
    qe_strbuf_deinit(&places);
    return found;
}

enum qe_aws_found qe_aws_find_in_profile(struct qe_aws_search *search,
                                         struct qe_aws_credentials **out, struct qe_err *err)
{
    const struct qe_aws_settings *settings = search->settings;
    struct recipe recipe = {0};

    if (settings->profile == NULL) {
        return say_missing(search, err);
    }
    if (value(settings->profile, "role_arn") == NULL && is_silent(settings->profile)) {
        return qe_aws_skip(search, PLACE, "'" NAME_SHOWN "' holds no credentials",
                           settings->profile_name);
    }
    if (resolve(settings, &recipe, err) != 0 || use(search, &recipe, out, err) != 0) {
        qe_err_wrap(err, PLACE);
        return QE_AWS_BROKEN;
    }
    return QE_AWS_FOUND;
}
