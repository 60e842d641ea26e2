/* Servers that we did not write: OpenSSL's for TLS, Python's for the rest. */
#define _GNU_SOURCE /* nftw, environ, posix_spawn in a folder */
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/net/fixture.h"

#define WORDS_MAX 24

struct world {
    char folder[64];
    pid_t server; /* 0: none */
    int server_output;
    unsigned port;
    int64_t patience_ms;
};

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *place)
{
    (void)status;
    (void)flag;
    (void)place;
    return remove(path);
}

static int make_world(void **state)
{
    struct world *world = qe_calloc(1, sizeof *world);

    assert_non_null(world);
    (void)snprintf(world->folder, sizeof world->folder, "/tmp/qe-test-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    world->patience_ms = PATIENCE_MS;
    *state = world;
    return 0;
}

static int end_world(void **state)
{
    struct world *world = *state;

    if (world->server > 0) {
        (void)kill(world->server, SIGTERM);
        (void)waitpid(world->server, NULL, 0);
        (void)close(world->server_output);
    }
    (void)nftw(world->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    qe_free(world);
    return 0;
}

/* Starts a program in the world's folder; -1: there is no such program. `output` gets what it
 * prints. */
static pid_t spawn(const struct world *world, int output, const char *const *words)
{
    posix_spawn_file_actions_t actions;
    char *argv[WORDS_MAX + 1] = {NULL};
    pid_t pid = 0;

    for (size_t i = 0; i < WORDS_MAX && words[i] != NULL; i++) {
        argv[i] = qe_strdup(words[i]);
        assert_non_null(argv[i]);
    }
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    (void)posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
    (void)posix_spawn_file_actions_adddup2(&actions, output, 1);
    (void)posix_spawn_file_actions_adddup2(&actions, output, 2);
    (void)posix_spawn_file_actions_addchdir_np(&actions, world->folder);
    const int rc = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);

    (void)posix_spawn_file_actions_destroy(&actions);
    for (size_t i = 0; i < WORDS_MAX; i++) {
        qe_free(argv[i]);
    }
    return rc == 0 ? pid : -1;
}

/* Runs a program to its end; false: there is none, or it failed. */
static bool run(const struct world *world, const char *const *words)
{
    const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    int status = -1;

    assert_true(nowhere >= 0);
    const pid_t pid = spawn(world, nowhere, words);

    (void)close(nowhere);
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

/* The number behind `mark` in the text; 0: not there yet. */
static unsigned port_behind(const char *text, const char *mark)
{
    const char *found = strstr(text, mark);
    const char *end =
        found == NULL ? NULL : found + strlen(mark) + strspn(found + strlen(mark), "0123456789");

    return end == NULL || *end == '\0' ? 0 : (unsigned)strtoul(found + strlen(mark), NULL, 10);
}

/* Starts a server that prints its port behind `mark`. */
static void serve(struct world *world, const char *mark, const char *const *words)
{
    int ends[2];
    char text[4096] = "";
    size_t bytes = 0;

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFD, FD_CLOEXEC), 0);
    world->server = spawn(world, ends[1], words);
    world->server_output = ends[0];
    (void)close(ends[1]);
    if (world->server < 0) {
        world->server = 0;
        (void)close(ends[0]);
        print_message("skipped: there is no %s\n", words[0]);
        skip();
    }
    while ((world->port = port_behind(text, mark)) == 0) {
        struct pollfd watched = {.fd = ends[0], .events = POLLIN};

        assert_int_equal(poll(&watched, 1, PATIENCE_MS), 1);
        const ssize_t more = read(ends[0], text + bytes, sizeof text - 1 - bytes);

        if (more <= 0) {
            fail_msg("%s ended: %s", words[0], text);
        }
        bytes += (size_t)more;
        text[bytes] = '\0';
    }
}

/* A CA of our own, and a certificate for localhost signed by it: which is the same one. */
static void make_certificate(const struct world *world)
{
    static const char *const words[] = {"openssl",
                                        "req",
                                        "-x509",
                                        "-newkey",
                                        "ec",
                                        "-pkeyopt",
                                        "ec_paramgen_curve:prime256v1",
                                        "-nodes",
                                        "-days",
                                        "1",
                                        "-subj",
                                        "/CN=localhost",
                                        "-addext",
                                        "subjectAltName=DNS:localhost",
                                        "-keyout",
                                        "key.pem",
                                        "-out",
                                        "cert.pem",
                                        NULL};

    if (!run(world, words)) {
        print_message("skipped: openssl made no certificate\n");
        skip();
    }
}

static void fetch_from(const struct world *world, const struct qe_http_client_options *options,
                       const char *url_format, struct qe_http_reply *out_reply)
{
    struct qe_err err = {0};
    struct qe_http_client *client = qe_http_client_new(options, &err);
    const char *mark = strstr(url_format, "PORT");
    char url[128];

    assert_ok(client == NULL ? -1 : 0, err);
    assert_non_null(mark);
    (void)snprintf(url, sizeof url, "%.*s%u%s", (int)(mark - url_format), url_format, world->port,
                   mark + strlen("PORT"));
    const struct qe_http_request request = {.method = "GET",
                                            .url = url,
                                            .no_proxy = true,
                                            .deadline_mono_ms =
                                                qe_clock_mono_ms() + world->patience_ms};

    if (qe_http_fetch(client, &request, out_reply, &err) != 0) {
        print_message("%s: %s\n", url, err.message);
    }
    qe_http_client_destroy(client);
}

static const char *const s_tls_server[] = {"openssl", "s_server", "-accept", "127.0.0.1:0",
                                           "-cert",   "cert.pem", "-key",    "key.pem",
                                           "-www",    NULL};

static void tls_is_spoken_with_whom_the_ca_file_vouches_for(void **state)
{
    struct world *world = *state;
    struct qe_http_reply reply = {0};
    char ca_file[128];
    struct qe_http_client_options options = {.ca_file = ca_file};

    make_certificate(world);
    serve(world, "ACCEPT 127.0.0.1:", s_tls_server);
    (void)snprintf(ca_file, sizeof ca_file, "%s/cert.pem", world->folder);
    fetch_from(world, &options, "https://localhost:PORT/", &reply);
    assert_int_equal(reply.err.code, QE_OK);
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(qe_strbuf_text(&reply.body), "TLSv1."));
    /* The right CA, but not its host. */
    fetch_from(world, &options, "https://127.0.0.1:PORT/", &reply);
    assert_int_equal(reply.err.code, QE_ERR_NETWORK);
    /* The system's CAs do not know it. */
    fetch_from(world, NULL, "https://localhost:PORT/", &reply);
    assert_int_equal(reply.err.code, QE_ERR_NETWORK);
    /* A file that is not there is the configuration's fault. */
    (void)snprintf(ca_file, sizeof ca_file, "%s/none.pem", world->folder);
    fetch_from(world, &options, "https://localhost:PORT/", &reply);
    assert_int_equal(reply.err.code, QE_ERR_INVALID);
    assert_non_null(strstr(reply.err.message, "none.pem"));
    qe_http_reply_deinit(&reply);
}

static void a_client_certificate_is_shown(void **state)
{
    static const char *const strict_server[] = {"openssl",  "s_server",
                                                "-accept",  "127.0.0.1:0",
                                                "-cert",    "cert.pem",
                                                "-key",     "key.pem",
                                                "-www",     "-Verify",
                                                "1",        "-CAfile",
                                                "cert.pem", "-verify_return_error",
                                                NULL};
    struct world *world = *state;
    struct qe_http_reply reply = {0};
    char cert_file[128];
    char key_file[128];
    struct qe_http_client_options options = {.ca_file = cert_file};

    make_certificate(world);
    serve(world, "ACCEPT 127.0.0.1:", strict_server);
    (void)snprintf(cert_file, sizeof cert_file, "%s/cert.pem", world->folder);
    (void)snprintf(key_file, sizeof key_file, "%s/key.pem", world->folder);
    fetch_from(world, &options, "https://localhost:PORT/", &reply);
    assert_int_equal(reply.err.code, QE_ERR_NETWORK);
    options.cert_file = cert_file;
    options.key_file = key_file;
    fetch_from(world, &options, "https://localhost:PORT/", &reply);
    assert_int_equal(reply.err.code, QE_OK);
    assert_int_equal(reply.status, 200);
    options.key_file = "/does/not/exist";
    fetch_from(world, &options, "https://localhost:PORT/", &reply);
    assert_int_equal(reply.err.code, QE_ERR_INVALID);
    qe_http_reply_deinit(&reply);
}

static void plain_http_on_a_tls_port_and_the_other_way_round_fail(void **state)
{
    struct world *world = *state;
    struct fault_server *plain = fault_server_start();
    struct qe_http_reply reply = {0};

    make_certificate(world);
    serve(world, "ACCEPT 127.0.0.1:", s_tls_server);
    fetch_from(world, NULL, "http://localhost:PORT/", &reply);
    assert_int_not_equal(reply.err.code, QE_OK);
    world->port = fault_server_port(plain);
    world->patience_ms = 200;
    fetch_from(world, NULL, "https://127.0.0.1:PORT/never", &reply);
    assert_int_equal(reply.err.code, QE_ERR_TIMEOUT);
    assert_non_null(strstr(reply.err.message, "connected, but no TLS within"));
    qe_http_reply_deinit(&reply);
    fault_server_stop(plain);
}

static void a_web_server_is_understood(void **state)
{
    static const char *const words[] = {"python3", "-u",        "-m", "http.server",
                                        "--bind",  "127.0.0.1", "0",  NULL};
    struct world *world = *state;
    struct qe_http_reply reply = {0};
    char value[64];
    char path[128];

    (void)snprintf(path, sizeof path, "%s/hello.json", world->folder);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs("{\"hello\":1}", file) >= 0);
    assert_int_equal(fclose(file), 0);
    serve(world, "port ", words);
    fetch_from(world, NULL, "http://127.0.0.1:PORT/hello.json", &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(qe_strbuf_text(&reply.body), "{\"hello\":1}");
    assert_true(qe_http_reply_header(&reply, "content-type", value, sizeof value));
    assert_string_equal(value, "application/json");
    assert_true(qe_http_reply_header(&reply, "Date", value, sizeof value));
    fetch_from(world, NULL, "http://127.0.0.1:PORT/missing", &reply);
    assert_int_equal(reply.err.code, QE_OK);
    assert_int_equal(reply.status, 404);
    qe_http_reply_deinit(&reply);
}

int main(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)sigaction(SIGPIPE, &ignore, NULL); /* as the programs do */
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
    const struct CMUnitTest tests[] = {
        TEST(tls_is_spoken_with_whom_the_ca_file_vouches_for),
        TEST(a_client_certificate_is_shown),
        TEST(plain_http_on_a_tls_port_and_the_other_way_round_fail),
        TEST(a_web_server_is_understood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
