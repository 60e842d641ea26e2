#include "aws/profile.h"

#include <string.h>

#include "aws/profile_internal.h"
#include "util/mem.h"
#include "util/text.h"

#define DEFAULT_NAME "default"

static bool is_text(const char *text, const char *bytes, size_t count)
{
    return strlen(text) == count && memcmp(text, bytes, count) == 0;
}

struct qe_aws_profiles *qe_aws_profiles_new(struct qe_err *err)
{
    struct qe_aws_profiles *profiles = qe_calloc(1, sizeof *profiles);

    if (profiles == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "out of memory for AWS profiles");
    }
    return profiles;
}

static void empty_section(struct qe_aws_section *section)
{
    for (size_t i = 0; i < section->properties_count; i++) {
        qe_free(section->properties[i].key);
        qe_strbuf_deinit(&section->properties[i].value);
    }
    qe_free(section->properties);
    qe_free(section->name);
    *section = (struct qe_aws_section){0};
}

void qe_aws_profiles_destroy(struct qe_aws_profiles *profiles)
{
    if (profiles == NULL) {
        return;
    }
    for (size_t i = 0; i < profiles->sections_count; i++) {
        empty_section(&profiles->sections[i]);
    }
    qe_free(profiles->sections);
    qe_free(profiles);
}

size_t qe_aws_profiles_want(struct qe_aws_profiles *profiles, enum qe_aws_section_kind kind,
                            const char *name, size_t name_bytes, struct qe_err *err)
{
    for (size_t i = 0; i < profiles->sections_count; i++) {
        if (profiles->sections[i].kind == kind &&
            is_text(profiles->sections[i].name, name, name_bytes)) {
            return i;
        }
    }
    if (profiles->sections_count == QE_AWS_PROFILE_SECTIONS_MAX) {
        qe_err_set(err, QE_ERR_LIMIT, "more than %d sections", QE_AWS_PROFILE_SECTIONS_MAX);
        return SIZE_MAX;
    }
    char *copy = qe_strndup(name, name_bytes);

    if (copy == NULL ||
        qe_grow(&profiles->sections, profiles->sections_count, &profiles->sections_capacity,
                QE_AWS_PROFILE_SECTIONS_MAX, sizeof profiles->sections[0]) != 0) {
        qe_free(copy);
        qe_err_set(err, QE_ERR_NOMEM, "out of memory for AWS profiles");
        return SIZE_MAX;
    }
    profiles->sections[profiles->sections_count] =
        (struct qe_aws_section){.kind = kind, .name = copy};
    return profiles->sections_count++;
}

struct qe_aws_property *qe_aws_section_want(struct qe_aws_section *section, const char *key,
                                            size_t key_bytes, struct qe_err *err)
{
    for (size_t i = 0; i < section->properties_count; i++) {
        if (is_text(section->properties[i].key, key, key_bytes)) {
            qe_strbuf_reset(&section->properties[i].value);
            return &section->properties[i];
        }
    }
    if (section->properties_count == QE_AWS_PROFILE_PROPERTIES_MAX) {
        qe_err_set(err, QE_ERR_LIMIT, "more than %d keys in one section",
                   QE_AWS_PROFILE_PROPERTIES_MAX);
        return NULL;
    }
    char *copy = qe_strndup(key, key_bytes);

    /* The array moves when it grows, but not the values: they are memory of their own. */
    if (copy == NULL ||
        qe_grow(&section->properties, section->properties_count, &section->properties_capacity,
                QE_AWS_PROFILE_PROPERTIES_MAX, sizeof section->properties[0]) != 0) {
        qe_free(copy);
        qe_err_set(err, QE_ERR_NOMEM, "out of memory for AWS profiles");
        return NULL;
    }
    struct qe_aws_property *made = &section->properties[section->properties_count++];

    *made = (struct qe_aws_property){.key = copy, .value = {.is_secret = true}};
    return made;
}

/* Adds the properties of one section to another one. */
static int merge(struct qe_aws_section *into, const struct qe_aws_section *from, struct qe_err *err)
{
    for (size_t i = 0; i < from->properties_count; i++) {
        const struct qe_aws_property *each = &from->properties[i];
        struct qe_aws_property *wanted =
            qe_aws_section_want(into, each->key, strlen(each->key), err);

        if (wanted == NULL) {
            return -1;
        }
        if (qe_strbuf_append_text(&wanted->value, qe_strbuf_text(&each->value)) != 0) {
            return qe_strbuf_error(&wanted->value, err);
        }
    }
    return 0;
}

int qe_aws_profiles_settle_default(struct qe_aws_profiles *profiles, struct qe_err *err)
{
    const struct qe_aws_section *prefixed =
        qe_aws_profiles_find(profiles, QE_AWS_SECTION_PROFILE, DEFAULT_NAME);
    struct qe_aws_section bare = {0};

    for (size_t i = 0; i < profiles->sections_count; i++) {
        if (profiles->sections[i].kind == QE_AWS_SECTION_BARE_DEFAULT) {
            bare = profiles->sections[i];
            profiles->sections[i] = profiles->sections[--profiles->sections_count];
            break;
        }
    }
    if (bare.name == NULL || prefixed != NULL) {
        empty_section(&bare);
        return 0;
    }
    const size_t index = qe_aws_profiles_want(profiles, QE_AWS_SECTION_PROFILE, DEFAULT_NAME,
                                              sizeof DEFAULT_NAME - 1, err);
    const int rc = index == SIZE_MAX ? -1 : merge(&profiles->sections[index], &bare, err);

    empty_section(&bare);
    return rc;
}

const struct qe_aws_section *qe_aws_profiles_find(const struct qe_aws_profiles *profiles,
                                                  enum qe_aws_section_kind kind, const char *name)
{
    for (size_t i = 0; i < profiles->sections_count; i++) {
        if (profiles->sections[i].kind == kind && strcmp(profiles->sections[i].name, name) == 0) {
            return &profiles->sections[i];
        }
    }
    return NULL;
}

const struct qe_aws_section *qe_aws_profiles_next(const struct qe_aws_profiles *profiles,
                                                  enum qe_aws_section_kind kind,
                                                  const struct qe_aws_section *after)
{
    for (size_t i = after == NULL ? 0 : (size_t)(after - profiles->sections) + 1;
         i < profiles->sections_count; i++) {
        if (profiles->sections[i].kind == kind) {
            return &profiles->sections[i];
        }
    }
    return NULL;
}

const char *qe_aws_section_name(const struct qe_aws_section *section)
{
    return section->name;
}

size_t qe_aws_section_count(const struct qe_aws_section *section)
{
    return section->properties_count;
}

const char *qe_aws_section_key(const struct qe_aws_section *section, size_t index)
{
    return section->properties[index].key;
}

const char *qe_aws_section_value(const struct qe_aws_section *section, size_t index)
{
    return qe_strbuf_text(&section->properties[index].value);
}

const char *qe_aws_section_get(const struct qe_aws_section *section, const char *key)
{
    for (size_t i = 0; section != NULL && i < section->properties_count; i++) {
        if (strcmp(section->properties[i].key, key) == 0) {
            const char *value = qe_aws_section_value(section, i);

            return value[0] == '\0' ? NULL : value;
        }
    }
    return NULL;
}

/* Whether a line of `length` bytes is "key = value"; where the value begins is then in *out. */
static bool is_assignment(const char *line, size_t length, const char *key, const char **out_value)
{
    const char *equals = memchr(line, '=', length);
    size_t key_bytes = equals == NULL ? 0 : (size_t)(equals - line);

    while (key_bytes > 0 && (line[key_bytes - 1] == ' ' || line[key_bytes - 1] == '\t')) {
        key_bytes--;
    }
    if (equals == NULL || !is_text(key, line, key_bytes)) {
        return false;
    }
    *out_value = equals + 1 + strspn(equals + 1, " \t");
    return true;
}

bool qe_aws_section_get_nested(const struct qe_aws_section *section, const char *key,
                               const char *nested_key, struct qe_strbuf *out)
{
    const char *line = qe_aws_section_get(section, key);
    const char *next = NULL;
    bool found = false;

    for (; line != NULL && *line != '\0'; line = next) {
        const size_t length = strcspn(line, "\n");
        const char *value = NULL;

        next = line + length + (line[length] == '\n' ? 1 : 0);
        if (is_assignment(line, length, nested_key, &value) && value < line + length) {
            qe_strbuf_reset(out);
            found = qe_strbuf_append(out, value, (size_t)(line + length - value)) == 0;
        }
    }
    return found;
}
