/* The window's size is asked with a call that POSIX 2008 lacks.
 * NOLINTNEXTLINE(*-reserved-identifier) */
#define _GNU_SOURCE
#include "queuectl/terminal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "queuectl/ctl.h"
#include "util/clock.h"
#include "util/text.h"

#define ENTER_SCREEN "\033[?1049h\033[?25l\033[?7l\033[2J"
#define LEAVE_SCREEN "\033[0m\033[?7h\033[?25h\033[?1049l"
/* How long the rest of a key's sequence may take: without it, it was the Escape key. */
#define SEQUENCE_MS 50
#define PENDING_BYTES 64

static const int s_heard[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP};
static const int s_fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT};

static struct termios s_before;            /* as it was; valid while s_is_entered */
static volatile sig_atomic_t s_is_entered; /* read by the handler of a crash, in any thread */
static volatile sig_atomic_t s_is_resized;
static volatile sig_atomic_t s_is_suspended; /* Ctrl-Z */
static sigset_t s_unblocked;                 /* the mask while waiting */
static char s_pending[PENDING_BYTES];        /* read, and not given out yet */
static size_t s_pending_count;

bool ctl_terminal_is_there(void)
{
    const char *term = getenv("TERM"); /* NOLINT(concurrency-mt-unsafe): nobody sets it */

    return isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0 && term != NULL &&
           *term != '\0' && strcmp(term, "dumb") != 0;
}

bool ctl_terminal_has_colours(void)
{
    const char *no_color = getenv("NO_COLOR"); /* NOLINT(concurrency-mt-unsafe) */

    return no_color == NULL || *no_color == '\0';
}

/* Only calls that a signal's handler may make. */
static void give_back(void)
{
    const char *at = LEAVE_SCREEN;
    size_t left = sizeof LEAVE_SCREEN - 1;

    if (s_is_entered == 0) {
        return;
    }
    s_is_entered = 0;
    for (ssize_t put = 0; left > 0; at += put, left -= (size_t)put) {
        put = write(STDOUT_FILENO, at, left);
        if (put < 0) {
            break;
        }
    }
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &s_before);
}

static void on_signal(int number)
{
    if (number == SIGWINCH) {
        s_is_resized = 1;
    } else if (number == SIGTSTP) {
        s_is_suspended = 1;
    } else {
        ctl_stopped = 1;
    }
}

/* The handler is gone by now (SA_RESETHAND), and the signal does what it always does. */
static void on_crash(int number)
{
    int saved = errno;

    give_back();
    errno = saved;
    (void)raise(number);
}

void ctl_terminal_block_signals(void)
{
    sigset_t heard;

    (void)sigemptyset(&heard);
    for (size_t i = 0; i < sizeof s_heard / sizeof s_heard[0]; i++) {
        (void)sigaddset(&heard, s_heard[i]);
    }
    (void)pthread_sigmask(SIG_BLOCK, &heard, &s_unblocked);
    for (size_t i = 0; i < sizeof s_heard / sizeof s_heard[0]; i++) {
        (void)sigdelset(&s_unblocked, s_heard[i]);
    }
}

static int take_screen(struct qe_err *err)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &s_before) != 0) {
        return qe_err_set_errno(err, errno, "cannot ask the terminal for its settings");
    }
    raw = s_before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* Ctrl-C and Ctrl-Z stay signals */
    raw.c_iflag &= ~(tcflag_t)(IXON);          /* Ctrl-S would freeze it */
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) != 0) {
        return qe_err_set_errno(err, errno, "cannot change the terminal's settings");
    }
    s_is_entered = 1;
    return ctl_terminal_write(ENTER_SCREEN, sizeof ENTER_SCREEN - 1, err);
}

int ctl_terminal_enter(struct qe_err *err)
{
    struct sigaction hear = {.sa_handler = on_signal};
    struct sigaction crash = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND};

    for (size_t i = 0; i < sizeof s_heard / sizeof s_heard[0]; i++) {
        (void)sigaction(s_heard[i], &hear, NULL);
    }
    for (size_t i = 0; i < sizeof s_fatal / sizeof s_fatal[0]; i++) {
        (void)sigaction(s_fatal[i], &crash, NULL);
    }
    if (take_screen(err) != 0) {
        give_back();
        return -1;
    }
    return 0;
}

void ctl_terminal_leave(void)
{
    give_back();
}

void ctl_terminal_size(size_t *out_columns, size_t *out_rows)
{
    struct winsize size = {0};

    *out_columns = 80;
    *out_rows = 24;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        *out_columns = size.ws_col;
        *out_rows = size.ws_row;
    }
}

int ctl_terminal_write(const char *bytes, size_t count, struct qe_err *err)
{
    while (count > 0) {
        ssize_t put = write(STDOUT_FILENO, bytes, count);

        if (put < 0 && errno != EINTR) {
            return qe_err_set_errno(err, errno, "cannot write to the terminal");
        }
        if (put > 0) {
            bytes += put;
            count -= (size_t)put;
        }
    }
    return 0;
}

/* --- keys --- */

static enum ctl_key key_of_final(char final, unsigned number)
{
    static const struct {
        char final;
        unsigned number;
        enum ctl_key key;
    } keys[] = {
        {'A', 0, CTL_KEY_UP},   {'B', 0, CTL_KEY_DOWN},    {'H', 0, CTL_KEY_HOME},
        {'F', 0, CTL_KEY_END},  {'~', 5, CTL_KEY_PAGE_UP}, {'~', 6, CTL_KEY_PAGE_DOWN},
        {'~', 1, CTL_KEY_HOME}, {'~', 7, CTL_KEY_HOME},    {'~', 4, CTL_KEY_END},
        {'~', 8, CTL_KEY_END},
    };

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (keys[i].final == final && (final != '~' || keys[i].number == number)) {
            return keys[i].key;
        }
    }
    return CTL_KEY_NONE;
}

/* "ESC [ 5 ~", "ESC [ A", "ESC O A". Returns the bytes it takes; 0: its end is not there yet. */
static size_t read_sequence(const char *bytes, size_t count, struct ctl_key_press *out)
{
    unsigned number = 0;

    for (size_t i = 2; i < count; i++) {
        if (bytes[i] >= '0' && bytes[i] <= '9') {
            number = number < 1000 ? number * 10 + (unsigned)(bytes[i] - '0') : number;
        } else if (bytes[i] >= '@' && bytes[i] <= '~') {
            out->key = key_of_final(bytes[i], number);
            return i + 1;
        }
    }
    return 0;
}

static size_t read_text(const char *bytes, size_t count, struct ctl_key_press *out)
{
    unsigned char first = (unsigned char)bytes[0];
    size_t wanted = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (first == '\r' || first == '\n') {
        out->key = CTL_KEY_ENTER;
    } else if (first == 0x7f || first == '\b') {
        out->key = CTL_KEY_BACKSPACE;
    } else if (first >= 0x20) {
        size_t known = qe_text_char_bytes(bytes, count);

        if (known == 0 && count < wanted) {
            return 0;
        }
        if (known > 0) {
            out->key = CTL_KEY_TEXT;
            memcpy(out->text, bytes, known);
            return known;
        }
    }
    return 1;
}

/* The bytes of the first key. 0: there is none, or its end is missing and may still come. */
static size_t read_key(const char *bytes, size_t count, bool is_late, struct ctl_key_press *out)
{
    size_t used = 0;

    *out = (struct ctl_key_press){.key = CTL_KEY_NONE};
    if (count == 0) {
        return 0;
    }
    if (bytes[0] != '\033') {
        used = read_text(bytes, count, out);
    } else if (count > 1 && (bytes[1] == '[' || bytes[1] == 'O')) {
        used = read_sequence(bytes, count, out);
    } else if (count > 1) { /* Alt with a key, or Escape and then a key */
        out->key = CTL_KEY_ESCAPE;
        return 1;
    }
    if (used > 0 || !(is_late || count == PENDING_BYTES)) {
        return used;
    }
    out->key = bytes[0] == '\033' && count == 1 ? CTL_KEY_ESCAPE : CTL_KEY_NONE;
    return count;
}

static bool take_key(bool is_late, struct ctl_key_press *out)
{
    size_t used = read_key(s_pending, s_pending_count, is_late, out);

    s_pending_count -= used;
    memmove(s_pending, s_pending + used, s_pending_count);
    return used > 0;
}

/* Ctrl-Z: the shell has its screen, until we are continued. */
static bool suspend(void)
{
    struct qe_err err = {0};

    s_is_suspended = 0;
    give_back();
    (void)kill(getpid(), SIGSTOP);
    s_is_resized = 1; /* whatever it shows now, it is not ours */
    return take_screen(&err) == 0;
}

static int fill_pending(int64_t until_mono_ms)
{
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
    int64_t left = until_mono_ms - qe_clock_mono_ms();
    struct timespec timeout = {0};

    if (left > 0) {
        timeout = (struct timespec){left / 1000, (long)(left % 1000) * 1000000L};
    }
    int ready = ppoll(&fd, 1, &timeout, &s_unblocked);

    if (ready <= 0) {
        return ready == 0 || errno == EINTR ? 0 : -1;
    }
    ssize_t got =
        read(STDIN_FILENO, s_pending + s_pending_count, sizeof s_pending - s_pending_count);

    if (got <= 0) {
        return got < 0 && errno == EINTR ? 0 : -1;
    }
    s_pending_count += (size_t)got;
    return 1;
}

int ctl_terminal_wait(int64_t until_mono_ms, struct ctl_key_press *out, bool *out_redraw)
{
    *out_redraw = false;
    if (take_key(false, out)) {
        return 1;
    }
    if (s_pending_count > 0) { /* an unfinished sequence */
        int64_t sequence_mono_ms = qe_clock_mono_ms() + SEQUENCE_MS;

        until_mono_ms = until_mono_ms < sequence_mono_ms ? until_mono_ms : sequence_mono_ms;
    }
    int rc = fill_pending(until_mono_ms);

    if (s_is_suspended != 0 && !suspend()) {
        return -1;
    }
    *out_redraw = s_is_resized != 0;
    s_is_resized = 0;
    return rc < 0 ? -1 : take_key(rc == 0, out) ? 1 : 0;
}

void ctl_terminal_pause(int64_t until_mono_ms)
{
    int64_t left = until_mono_ms - qe_clock_mono_ms();

    if (left > 0 && ctl_stopped == 0) {
        struct timespec timeout = {left / 1000, (long)(left % 1000) * 1000000L};

        (void)ppoll(NULL, 0, &timeout, &s_unblocked);
    }
}
