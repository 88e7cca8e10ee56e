/*
 * bench/fake.c - the upstream of the benchmark: fixed answers and paced streams, as cheap as one core can give them
 *
 *   fake PORT plain SIZE            SIZE bytes of text
 *   fake PORT chat SIZE             a chat completion of about SIZE bytes, with usage
 *   fake PORT stream EVENTS PACE    EVENTS chunks, one each PACE milliseconds, then usage and [DONE]
 *
 * Each kind is one process, so that nothing of a request has to be looked at but its length. All streams hang on one
 * timer: the pace is cut into slots of a millisecond, a new stream gets the next slot, and each tick sends one event to
 * every stream of its slot. An event carries the time at which it was sent as "@" and sixteen digits of microseconds.
 * Answers fit into a socket buffer; one that does not, or a request that is not understood, ends the program with a word.
 */
#include "common.h"

#include <sys/timerfd.h>

#define HEAD_MAX  8192u
#define SLOTS_MAX 60000u

struct conn {
        int fd;
        uint32_t n_head;      /* bytes of a head that has not come whole */
        uint64_t body_left;   /* of the request, still to be skipped */
        uint32_t events_left; /* of the stream that runs; 0: none does */
        uint32_t slot;
        struct conn *next, **at; /* in the slot, or among those that are free */
        char *head;
};

static char answer[65536];
static size_t n_answer;
static char event[512];
static size_t n_event, at_time;
static uint32_t n_events, n_slots, next_slot, turn;
static struct conn *slots[SLOTS_MAX];
static struct conn *closed; /* freed when all events of a turn are seen */

static const char stream_head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                                  "Transfer-Encoding: chunked\r\n\r\n";
static const char chunk_start[] =
        "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
        "\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@";
static const char chunk_end[] = "\"},\"finish_reason\":null}]}\n\n";
static const char stream_finish[] =
        "data: "
        "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\","
        "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
        "data: "
        "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\","
        "\"choices\":[],\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":50,\"total_tokens\":170}}\n\n"
        "data: [DONE]\n\n";
static char finish[1024];
static size_t n_finish;

static void make_answer(const char *kind, size_t size)
{
        static const char start[] =
                "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,"
                "\"model\":\"bench\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"";
        static const char end[] =
                "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":50,"
                "\"total_tokens\":170}}";
        bool is_chat = strcmp(kind, "chat") == 0;
        size_t frame = is_chat ? sizeof(start) - 1 + sizeof(end) - 1 : 0;
        size_t text = size > frame ? size - frame : 0;

        if (size > sizeof(answer) / 2) {
                errno = EINVAL;
                die("answers of up to 32 KiB");
        }
        n_answer = (size_t)sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                                   is_chat ? "application/json" : "text/plain", frame + text, is_chat ? start : "");
        for (size_t i = 0; i < text; i++)
                answer[n_answer++] = "some words "[i % 11];
        n_answer += (size_t)sprintf(answer + n_answer, "%s", is_chat ? end : "");
}

static void make_stream(uint32_t events, uint32_t pace_msec)
{
        size_t n = sizeof(chunk_start) - 1 + 16 + sizeof(chunk_end) - 1;

        n_events = events;
        n_slots = pace_msec;
        at_time = (size_t)sprintf(event, "%zx\r\n%s", n, chunk_start);
        n_event = (size_t)sprintf(event, "%zx\r\n%s%016d%s\r\n", n, chunk_start, 0, chunk_end);
        n_finish = (size_t)sprintf(finish, "%zx\r\n%s\r\n0\r\n\r\n", sizeof(stream_finish) - 1, stream_finish);
}

static void stamp(void)
{
        uint64_t usec = now_nsec() / 1000;

        for (int i = 15; i >= 0; i--, usec /= 10)
                event[at_time + (size_t)i] = (char)('0' + usec % 10);
}

static void leave_slot(struct conn *c)
{
        if (!c->events_left)
                return;
        c->events_left = 0;
        *c->at = c->next;
        if (c->next)
                c->next->at = c->at;
}

static void close_conn(struct conn *c)
{
        if (c->fd < 0)
                return;
        leave_slot(c);
        close(c->fd);
        c->fd = -1;
        c->next = closed;
        closed = c;
}

static void give(struct conn *c, const char *bytes, size_t n)
{
        ssize_t r = send(c->fd, bytes, n, MSG_NOSIGNAL);

        if (r == (ssize_t)n)
                return;
        if (r >= 0 || errno == EAGAIN) {
                errno = EMSGSIZE;
                die("fake: a reader does not keep up");
        }
        close_conn(c);
}

static void start_stream(struct conn *c)
{
        char both[1024];

        c->events_left = n_events;
        c->slot = next_slot;
        next_slot = (next_slot + 1) % n_slots;
        c->next = slots[c->slot];
        c->at = &slots[c->slot];
        if (c->next)
                c->next->at = &c->next;
        slots[c->slot] = c;
        stamp();
        memcpy(both, stream_head, sizeof(stream_head) - 1);
        memcpy(both + sizeof(stream_head) - 1, event, n_event);
        give(c, both, sizeof(stream_head) - 1 + n_event);
}

static void respond(struct conn *c)
{
        if (n_events)
                start_stream(c);
        else
                give(c, answer, n_answer);
}

/* Length of the body that follows a head. */
static uint64_t body_length(const char *head, size_t n)
{
        const char *line = head, *end = head + n;

        while ((line = memchr(line, '\n', (size_t)(end - line)))) {
                line++;
                if ((*line | 32) == 'c' && end - line > 16 && strncasecmp(line, "content-length:", 15) == 0)
                        return strtoull(line + 15, NULL, 10);
                if ((*line | 32) == 't' && end - line > 18 && strncasecmp(line, "transfer-encoding:", 18) == 0) {
                        errno = EBADMSG;
                        die("fake: a request in chunks");
                }
        }
        return 0;
}

/* Takes what it can of the bytes: rests of bodies, whole heads. Returns how much; the rest begins a head. */
static size_t take(struct conn *c, const char *data, size_t n)
{
        size_t used = 0;

        while (used < n && c->fd >= 0) {
                if (c->body_left) {
                        size_t some = n - used < c->body_left ? n - used : (size_t)c->body_left;

                        used += some;
                        c->body_left -= some;
                        if (c->body_left == 0)
                                respond(c);
                        continue;
                }
                const char *end = memmem(data + used, n - used, "\r\n\r\n", 4);
                if (!end)
                        return used;
                size_t head = (size_t)(end + 4 - (data + used));
                c->body_left = body_length(data + used, head);
                used += head;
                if (c->body_left == 0)
                        respond(c);
        }
        return used;
}

static void on_readable(struct conn *c)
{
        static char scratch[HEAD_MAX + 262144];
        ssize_t r = recv(c->fd, scratch + c->n_head, sizeof(scratch) - HEAD_MAX, 0);
        size_t n, used;

        if (r <= 0) {
                if (r == 0 || errno != EAGAIN)
                        close_conn(c);
                return;
        }
        if (c->n_head)
                memcpy(scratch, c->head, c->n_head);
        n = c->n_head + (size_t)r;
        used = take(c, scratch, n);
        if (c->fd < 0)
                return;
        if (n - used > HEAD_MAX) {
                errno = EMSGSIZE;
                die("fake: head of a request");
        }
        c->n_head = (uint32_t)(n - used);
        if (c->n_head == 0)
                return;
        if (!c->head)
                c->head = grab(1, HEAD_MAX);
        memcpy(c->head, scratch + used, c->n_head);
}

static void on_tick(int timer)
{
        uint64_t ticks;

        if (read(timer, &ticks, sizeof(ticks)) != sizeof(ticks))
                return;
        for (; ticks; ticks--, turn = (turn + 1) % n_slots) {
                struct conn *next;

                stamp();
                for (struct conn *c = slots[turn]; c; c = next) {
                        next = c->next;
                        if (c->events_left > 1) {
                                c->events_left--;
                                give(c, event, n_event);
                        } else {
                                leave_slot(c);
                                give(c, finish, n_finish);
                        }
                }
        }
}

static void on_connections(int epoll, int listener)
{
        int fd;

        while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                struct conn *c = grab(1, sizeof(*c));
                int one = 1;

                c->fd = fd;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
                watch(epoll, fd, c);
        }
        if (errno != EAGAIN && errno != ECONNABORTED)
                die("accept");
}

static int start_timer(int epoll)
{
        struct itimerspec each = {.it_interval.tv_nsec = 1000000, .it_value.tv_nsec = 1000000};
        int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = slots};

        if (timer < 0 || timerfd_settime(timer, 0, &each, NULL) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &e) < 0)
                die("timer");
        return timer;
}

static int start_listener(int epoll, const char *port)
{
        int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        struct sockaddr_in at = loopback(port);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};

        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 65535) < 0 ||
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
                die("listen");
        return fd;
}

int main(int argc, char **argv)
{
        int epoll = epoll_create1(EPOLL_CLOEXEC), listener, timer = -1;
        struct epoll_event events[512];

        if (argc < 4) {
                errno = EINVAL;
                die("usage: fake PORT plain|chat SIZE, fake PORT stream EVENTS PACE");
        }
        raise_descriptors();
        if (strcmp(argv[2], "stream") == 0 && argc > 4) {
                make_stream((uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4]));
                timer = start_timer(epoll);
        } else {
                make_answer(argv[2], (size_t)atoi(argv[3]));
        }
        listener = start_listener(epoll, argv[1]);
        for (;;) {
                int n = epoll_wait(epoll, events, 512, -1);

                for (int i = 0; i < n; i++) {
                        if (!events[i].data.ptr)
                                on_connections(epoll, listener);
                        else if (events[i].data.ptr == slots)
                                on_tick(timer);
                        else if (((struct conn *)events[i].data.ptr)->fd >= 0)
                                on_readable(events[i].data.ptr);
                }
                while (closed) {
                        struct conn *c = closed;

                        closed = c->next;
                        free(c->head);
                        free(c);
                }
        }
}
