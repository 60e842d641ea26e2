#include "queuectl/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "queuectl/ctl.h"
#include "util/clock.h"
#include "util/text.h"

#define TERMINAL_MS 200
#define ELSEWHERE_MS 10000
#define CLEAR_LINE "\r\033[K"
#define BAR_COLUMNS 20

static bool is_on_terminal(void)
{
    return isatty(STDERR_FILENO) != 0;
}

void ctl_progress_begin(struct ctl_progress *progress)
{
    const int64_t now = qe_clock_mono_ms();

    *progress = (struct ctl_progress){
        .start_mono_ms = now,
        .next_mono_ms = is_on_terminal() ? now : now + ELSEWHERE_MS, /* what is quick needs none */
    };
}

static bool is_due(struct ctl_progress *progress, bool on_terminal)
{
    const int64_t now = qe_clock_mono_ms();

    if (now < progress->next_mono_ms) {
        return false;
    }
    progress->next_mono_ms = now + (on_terminal ? TERMINAL_MS : ELSEWHERE_MS);
    return true;
}

static void draw(struct ctl_progress *progress, bool on_terminal, const char *text)
{
    (void)fputs(on_terminal ? CLEAR_LINE : "", stderr);
    (void)ctl_write_safely(stderr, text, strlen(text));
    (void)fputs(on_terminal ? "" : "\n", stderr);
    (void)fflush(stderr);
    progress->is_drawn = on_terminal;
}

void ctl_progress_say(struct ctl_progress *progress, const char *text)
{
    bool on_terminal = is_on_terminal();

    if (is_due(progress, on_terminal)) {
        draw(progress, on_terminal, text);
    }
}

/* "[#####     ] " */
static void write_bar(char *out, uint64_t done, uint64_t total)
{
    size_t filled = (size_t)((double)done / (double)total * BAR_COLUMNS);

    out[0] = '[';
    for (size_t i = 0; i < BAR_COLUMNS; i++) {
        out[i + 1] = i < filled ? '#' : ' ';
    }
    memcpy(out + BAR_COLUMNS + 1, "] ", sizeof "] ");
}

void ctl_progress_show(struct ctl_progress *progress, uint64_t done, uint64_t total,
                       const char *more)
{
    bool on_terminal = is_on_terminal();
    char text[240] = "";
    char left[48] = "";
    char of[40] = "";
    char bar[BAR_COLUMNS + 4] = "";

    if (!is_due(progress, on_terminal)) {
        return;
    }
    double seconds = (double)(qe_clock_mono_ms() - progress->start_mono_ms) / 1000;
    double rate = seconds > 0 ? (double)done / seconds : 0;
    bool has_total = total != UINT64_MAX && total > 0;

    if (has_total) {
        total = done > total ? done : total; /* it was a guess */
        (void)snprintf(of, sizeof of, " of about %" PRIu64, total);
        if (rate > 0) {
            char span[32];

            (void)snprintf(
                left, sizeof left, ", %s left",
                qe_text_from_duration((int64_t)((double)(total - done) / rate) * 1000, span));
        }
        if (on_terminal) {
            write_bar(bar, done, total);
        }
    }
    (void)snprintf(text, sizeof text, "%smoved %" PRIu64 "%s, %.0f per second%s%s", bar, done, of,
                   rate, left, more);
    draw(progress, on_terminal, text);
}

void ctl_progress_end(struct ctl_progress *progress)
{
    if (progress->is_drawn) {
        (void)fputs(CLEAR_LINE, stderr);
        (void)fflush(stderr);
    }
    progress->is_drawn = false;
}
