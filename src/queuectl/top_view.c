/* top: what the keys do. */
#include <stdio.h>
#include <string.h>

#include "queuectl/top.h"
#include "util/text.h"

static const struct {
    const char *name;
    char key;
} s_sorts[TOP_SORT_COUNT] = {
    [TOP_SORT_DEPTH] = {"depth", 'd'},
    [TOP_SORT_AGE] = {"age", 'a'},
    [TOP_SORT_IN] = {"in", 'i'},
    [TOP_SORT_OUT] = {"out", 'o'},
    [TOP_SORT_DEAD_LETTERS] = {"dlq", 'l'},
    [TOP_SORT_STATE] = {"state", 's'},
    [TOP_SORT_NAME] = {"name", 'n'},
};

const char *top_sort_name(enum top_sort sort)
{
    return s_sorts[sort].name;
}

char top_sort_key(enum top_sort sort)
{
    return s_sorts[sort].key;
}

void top_view_deinit(struct top_view *view)
{
    qe_regex_destroy(view->filter);
    *view = (struct top_view){0};
}

int top_view_set_filter(struct top_view *view, const char *text, struct qe_err *err)
{
    struct qe_regex *filter = NULL;

    if (strlen(text) >= sizeof view->filter_text) {
        return qe_err_set(err, QE_ERR_INVALID, "at most %zu bytes", sizeof view->filter_text - 1);
    }
    if (*text != '\0') {
        char pattern[TOP_FILTER_BYTES + 8];

        (void)snprintf(pattern, sizeof pattern, "(?i)%s", text);
        filter = qe_regex_new_search(pattern, err);
        if (filter == NULL) {
            return -1;
        }
    }
    qe_regex_destroy(view->filter);
    view->filter = filter;
    (void)snprintf(view->filter_text, sizeof view->filter_text, "%s", text);
    view->first = 0;
    return 0;
}

/* --- the filter's line --- */

static void erase_last(char *text)
{
    size_t length = strlen(text);

    if (length > 0) {
        text[qe_text_cut(text, length, length - 1)] = '\0';
    }
}

static bool edit(struct top_view *view, const struct ctl_key_press *press)
{
    struct qe_err err = {0};
    size_t length = strlen(view->edited);

    view->complaint[0] = '\0';
    if (press->key == CTL_KEY_TEXT && length + strlen(press->text) < sizeof view->edited) {
        memcpy(view->edited + length, press->text, strlen(press->text) + 1);
    } else if (press->key == CTL_KEY_BACKSPACE) {
        erase_last(view->edited);
    } else if (press->key == CTL_KEY_ESCAPE) {
        view->is_editing = false;
    } else if (press->key == CTL_KEY_ENTER) {
        if (top_view_set_filter(view, view->edited, &err) != 0) {
            (void)snprintf(view->complaint, sizeof view->complaint, "%.150s", err.message);
            return true;
        }
        view->is_editing = false;
    }
    return true;
}

/* --- all other keys --- */

static bool scroll(struct top_view *view, enum ctl_key key)
{
    const size_t page = view->page > 1 ? view->page - 1 : 1; /* a line stays in sight */
    size_t up = key == CTL_KEY_UP ? 1 : key == CTL_KEY_PAGE_UP ? page : 0;
    size_t down = key == CTL_KEY_DOWN ? 1 : key == CTL_KEY_PAGE_DOWN ? page : 0;

    if (key == CTL_KEY_HOME) {
        view->first = 0;
    } else if (key == CTL_KEY_END) {
        view->first = SIZE_MAX / 2; /* top_draw() knows where the end is */
    } else if (up + down == 0) {
        return false;
    }
    view->first = view->first + down > up ? view->first + down - up : 0;
    return true;
}

static bool take_letter(struct top_view *view, char letter, bool *out_quit)
{
    for (size_t i = 0; i < TOP_SORT_COUNT; i++) {
        if (s_sorts[i].key == letter) {
            view->is_reversed = false;
            view->sort = (enum top_sort)i;
            view->first = 0;
            return true;
        }
    }
    switch (letter) {
    case 'q':
        *out_quit = true;
        return false;
    case 'r':
        view->is_reversed = !view->is_reversed;
        return true;
    case 'p':
        view->only_problems = !view->only_problems;
        view->first = 0;
        return true;
    case '/':
        view->is_editing = true;
        memcpy(view->edited, view->filter_text, sizeof view->edited);
        return true;
    case 'k':
        return scroll(view, CTL_KEY_UP);
    case 'j':
        return scroll(view, CTL_KEY_DOWN);
    case ' ':
        return scroll(view, CTL_KEY_PAGE_DOWN);
    default:
        return false;
    }
}

bool top_view_take_key(struct top_view *view, const struct ctl_key_press *press, bool *out_quit)
{
    struct qe_err ignored = {0};

    if (view->is_editing) {
        return edit(view, press);
    }
    if (press->key == CTL_KEY_TEXT) {
        return press->text[1] == '\0' && take_letter(view, press->text[0], out_quit);
    }
    if (press->key == CTL_KEY_ESCAPE) { /* back to all queues */
        view->only_problems = false;
        return top_view_set_filter(view, "", &ignored) == 0;
    }
    return scroll(view, press->key);
}
