/*
 * bench/fake.c - the upstream of the benchmark: fixed answers and paced streams, as cheap as one core can give them
 *
 *   fake PORT plain SIZE            SIZE bytes of text
 *   fake PORT chat SIZE             a chat completion or a message of about SIZE bytes, with usage
 *   fake PORT refuse SIZE TIMES     a refusal (500) TIMES times, then the answer of "chat" once, and again from the start
 *   fake PORT stream EVENTS PACE    EVENTS chunks, one each PACE milliseconds, then usage and the end
 *
 * Who asks for /v1/messages is answered in Anthropic's dialect, everybody else in OpenAI's. Each kind is one process, so
 * that nothing of a request has to be looked at but its path and its length. All streams hang on one
 * timer: the pace is cut into slots of a millisecond, a new stream gets the next slot, and each tick sends one event to
 * every stream of its slot. An event carries the time at which it was sent as "@" and sixteen digits of microseconds.
 * Answers fit into a socket buffer; one that does not, or a request that is not understood, ends the program with a word.
 */
#include "common.h"

#include <sys/timerfd.h>

#define HEAD_MAX  8192u
#define SLOTS_MAX 60000u

/* What is said to those who speak one dialect. */
struct voice {
        char answer[65536];
        size_t n_answer;
        char opening[2048]; /* of a stream: head and first event */
        size_t n_opening, at_time_of_opening;
        char event[512];
        size_t n_event, at_time;
        char finish[1536];
        size_t n_finish;
};

struct conn {
        int fd;
        struct voice *voice;  /* of the last request */
        uint32_t n_head;      /* bytes of a head that has not come whole */
        uint64_t body_left;   /* of the request, still to be skipped */
        uint32_t events_left; /* of the stream that runs; 0: none does */
        uint32_t slot;
        struct conn *next, **at; /* in the slot, or among those that are free */
        char *head;
};

static struct voice chat, messages;
static uint32_t n_events, n_slots, next_slot, turn;
static uint32_t n_refusals, n_refused; /* in a row: wanted, and so far */
static struct conn *slots[SLOTS_MAX];
static struct conn *closed; /* freed when all events of a turn are seen */

static const char refusal[] =
        "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: 103\r\n\r\n"
        "{\"error\":{\"message\":\"The server had an error, sorry\",\"type\":\"server_error\",\"param\":null,"
        "\"code\":\"none\"}}";

/* The parts of an answer and of a stream around the text that changes. */
struct words {
        const char *start, *end;
        const char *opening, *event_start, *event_end, *finish;
};

static const struct words chat_words = {
        .start = "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,"
                 "\"model\":\"bench\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"",
        .end = "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":50,"
               "\"total_tokens\":170}}",
        .opening = "",
        .event_start = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
                       "\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@",
        .event_end = "\"},\"finish_reason\":null}]}\n\n",
        .finish = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
                  "\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
                  "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
                  "\"model\":\"bench\",\"choices\":[],\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":50,"
                  "\"total_tokens\":170}}\n\n"
                  "data: [DONE]\n\n",
};
static const struct words messages_words = {
        .start = "{\"id\":\"msg_bench\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"bench\","
                 "\"content\":[{\"type\":\"text\",\"text\":\"",
        .end = "\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"
               "\"usage\":{\"input_tokens\":120,\"output_tokens\":50}}",
        .opening = "event: message_start\n"
                   "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_bench\",\"type\":\"message\","
                   "\"role\":\"assistant\",\"model\":\"bench\",\"content\":[],\"stop_reason\":null,"
                   "\"stop_sequence\":null,\"usage\":{\"input_tokens\":120,\"output_tokens\":1}}}\n\n"
                   "event: content_block_start\n"
                   "data: {\"type\":\"content_block_start\",\"index\":0,"
                   "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        .event_start = "event: content_block_delta\n"
                       "data: {\"type\":\"content_block_delta\",\"index\":0,"
                       "\"delta\":{\"type\":\"text_delta\",\"text\":\"@",
        .event_end = "\"}}\n\n",
        .finish = "event: content_block_stop\n"
                  "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
                  "event: message_delta\n"
                  "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},"
                  "\"usage\":{\"output_tokens\":50}}\n\n"
                  "event: message_stop\n"
                  "data: {\"type\":\"message_stop\"}\n\n",
};

static void make_answer(struct voice *v, const char *type, const char *start, const char *end, size_t size)
{
        size_t frame = strlen(start) + strlen(end), text = size > frame ? size - frame : 0;

        if (size > sizeof(v->answer) / 2) {
                errno = EINVAL;
                die("answers of up to 32 KiB");
        }
        v->n_answer = (size_t)sprintf(v->answer, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                                      type, frame + text, start);
        for (size_t i = 0; i < text; i++)
                v->answer[v->n_answer++] = "some words "[i % 11];
        v->n_answer += (size_t)sprintf(v->answer + v->n_answer, "%s", end);
}

static void make_stream(struct voice *v, const struct words *w)
{
        static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                                   "Transfer-Encoding: chunked\r\n\r\n";
        size_t n = strlen(w->event_start) + 16 + strlen(w->event_end), n_opening = strlen(w->opening);

        v->at_time = (size_t)sprintf(v->event, "%zx\r\n%s", n, w->event_start);
        v->n_event = (size_t)sprintf(v->event, "%zx\r\n%s%016d%s\r\n", n, w->event_start, 0, w->event_end);
        v->n_opening = (size_t)sprintf(v->opening, "%s", head);
        if (n_opening)
                v->n_opening += (size_t)sprintf(v->opening + v->n_opening, "%zx\r\n%s\r\n", n_opening, w->opening);
        v->at_time_of_opening = v->n_opening + v->at_time;
        memcpy(v->opening + v->n_opening, v->event, v->n_event);
        v->n_opening += v->n_event;
        v->n_finish = (size_t)sprintf(v->finish, "%zx\r\n%s\r\n0\r\n\r\n", strlen(w->finish), w->finish);
}

static void stamp(char *digits)
{
        uint64_t usec = now_nsec() / 1000;

        for (int i = 15; i >= 0; i--, usec /= 10)
                digits[i] = (char)('0' + usec % 10);
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
        struct voice *v = c->voice;

        c->events_left = n_events;
        c->slot = next_slot;
        next_slot = (next_slot + 1) % n_slots;
        c->next = slots[c->slot];
        c->at = &slots[c->slot];
        if (c->next)
                c->next->at = &c->next;
        slots[c->slot] = c;
        stamp(v->opening + v->at_time_of_opening);
        give(c, v->opening, v->n_opening);
}

static void respond(struct conn *c)
{
        if (n_events) {
                start_stream(c);
        } else if (n_refused < n_refusals) {
                n_refused++;
                give(c, refusal, sizeof(refusal) - 1);
        } else {
                n_refused = 0;
                give(c, c->voice->answer, c->voice->n_answer);
        }
}

static struct voice *voice_for(const char *head, size_t n)
{
        static const char line[] = "POST /v1/messages";

        return n > sizeof(line) && memcmp(head, line, sizeof(line) - 1) == 0 ? &messages : &chat;
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
                c->voice = voice_for(data + used, head);
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

                stamp(chat.event + chat.at_time);
                stamp(messages.event + messages.at_time);
                for (struct conn *c = slots[turn]; c; c = next) {
                        next = c->next;
                        if (c->events_left > 1) {
                                c->events_left--;
                                give(c, c->voice->event, c->voice->n_event);
                        } else {
                                leave_slot(c);
                                give(c, c->voice->finish, c->voice->n_finish);
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

/* What the arguments ask for; true: streams. */
static bool make_all(int argc, char **argv)
{
        const bool is_plain = strcmp(argv[2], "plain") == 0;

        if (strcmp(argv[2], "stream") == 0 && argc > 4) {
                n_events = (uint32_t)atoi(argv[3]);
                n_slots = (uint32_t)atoi(argv[4]);
                make_stream(&chat, &chat_words);
                make_stream(&messages, &messages_words);
                return true;
        }
        if (strcmp(argv[2], "refuse") == 0 && argc > 4)
                n_refusals = (uint32_t)atoi(argv[4]);
        if (is_plain) {
                make_answer(&chat, "text/plain", "", "", (size_t)atoi(argv[3]));
        } else {
                make_answer(&chat, "application/json", chat_words.start, chat_words.end, (size_t)atoi(argv[3]));
                make_answer(&messages, "application/json", messages_words.start, messages_words.end,
                            (size_t)atoi(argv[3]));
        }
        return false;
}

int main(int argc, char **argv)
{
        int epoll = epoll_create1(EPOLL_CLOEXEC), listener, timer = -1;
        struct epoll_event events[512];

        if (argc < 4) {
                errno = EINVAL;
                die("usage: fake PORT plain|chat SIZE, fake PORT refuse SIZE TIMES, fake PORT stream EVENTS PACE");
        }
        raise_descriptors();
        if (make_all(argc, argv))
                timer = start_timer(epoll);
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
