#include <stdbool.h>
#include <string.h>

#include "util/json.h"

struct indenting {
    const char *at;
    const char *end;
    struct qe_strbuf *out;
    size_t level;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct indenting *self)
{
    while (self->at < self->end && is_space(*self->at)) {
        self->at++;
    }
}

static void break_line(const struct indenting *self)
{
    (void)qe_strbuf_append_char(self->out, '\n');
    for (size_t i = 0; i < self->level; i++) {
        (void)qe_strbuf_append_text(self->out, "  ");
    }
}

/* From its first quote to its last. */
static void copy_string(struct indenting *self)
{
    const char *from = self->at++;

    while (self->at < self->end && *self->at != '"') {
        self->at += *self->at == '\\' && self->at + 1 < self->end ? 2 : 1;
    }
    self->at += self->at < self->end ? 1 : 0;
    (void)qe_strbuf_append(self->out, from, (size_t)(self->at - from));
}

static void open_level(struct indenting *self)
{
    const char closing = *self->at == '{' ? '}' : ']';

    (void)qe_strbuf_append_char(self->out, *self->at++);
    skip_space(self);
    if (self->at < self->end && *self->at == closing) {
        (void)qe_strbuf_append_char(self->out, *self->at++);
        return;
    }
    self->level++;
    break_line(self);
}

static void close_level(struct indenting *self)
{
    self->level -= self->level > 0 ? 1 : 0;
    break_line(self);
    (void)qe_strbuf_append_char(self->out, *self->at++);
}

void qe_json_indent(const char *text, size_t bytes, struct qe_strbuf *out)
{
    struct indenting self = {.at = text, .end = text + bytes, .out = out};

    for (skip_space(&self); self.at < self.end; skip_space(&self)) {
        switch (*self.at) {
        case '"':
            copy_string(&self);
            break;
        case '{':
        case '[':
            open_level(&self);
            break;
        case '}':
        case ']':
            close_level(&self);
            break;
        case ',':
            (void)qe_strbuf_append_char(out, *self.at++);
            break_line(&self);
            break;
        case ':':
            (void)qe_strbuf_append_text(out, ": ");
            self.at++;
            break;
        default:
            (void)qe_strbuf_append_char(out, *self.at++);
        }
    }
}
