/* The whole screen of a terminal, and its keys; given back as it was, however the program ends.
 *
 * Plain escape sequences and termios, no curses: what is needed (another screen, a cursor that is
 * put somewhere, a few colours) is the same on every terminal in use, while curses wants a
 * description of this very terminal installed, which minimal images and new terminals lack, and
 * ends the program without one. One screen at a time; main thread. */
#ifndef QE_QUEUECTL_TERMINAL_H
#define QE_QUEUECTL_TERMINAL_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

/* Standard input and output are a terminal that understands more than lines. */
bool ctl_terminal_is_there(void);
/* Colours are wanted: not where NO_COLOR is set, see no-color.org. */
bool ctl_terminal_has_colours(void);

/* Blocks the signals that ctl_terminal_wait() hears, in this thread and those it starts: before the
 * first is started. */
void ctl_terminal_block_signals(void);
/* Takes the screen: raw keys, no cursor, no line wrap. A crash gives it back too. */
int ctl_terminal_enter(struct qe_err *err) QE_MUST_CHECK;
void ctl_terminal_leave(void); /* twice is safe */

/* Its size in characters; 80 x 24 where it does not tell. */
void ctl_terminal_size(size_t *out_columns, size_t *out_rows);
/* The whole of it, in one piece where the terminal takes it. */
int ctl_terminal_write(const char *bytes, size_t count, struct qe_err *err) QE_MUST_CHECK;

enum ctl_key {
    CTL_KEY_NONE = 0, /* a sequence that means nothing here */
    CTL_KEY_TEXT,
    CTL_KEY_UP,
    CTL_KEY_DOWN,
    CTL_KEY_PAGE_UP,
    CTL_KEY_PAGE_DOWN,
    CTL_KEY_HOME,
    CTL_KEY_END,
    CTL_KEY_ENTER,
    CTL_KEY_ESCAPE,
    CTL_KEY_BACKSPACE
};
struct ctl_key_press {
    enum ctl_key key;
    char text[5]; /* CTL_KEY_TEXT: one UTF-8 character; NUL-terminated */
};

/* Waits for a key, a signal or the time, whichever is first. 1: *out is a key, 0: none, -1: the
 * terminal is gone. Ctrl-C, SIGTERM and SIGHUP set ctl_stopped; Ctrl-Z gives the screen back, and
 * takes it again afterwards. *out_redraw: the screen is another one (size, after Ctrl-Z). */
int ctl_terminal_wait(int64_t until_mono_ms, struct ctl_key_press *out, bool *out_redraw);
/* Without a screen: waits for one of those signals, or the time. */
void ctl_terminal_pause(int64_t until_mono_ms);

#endif
