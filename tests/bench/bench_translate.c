/*
 * What an event of a stream costs beyond pass-through: the scanner and the judge, which every stream has,
 * and behind them the translator. CPU time of this thread, the best of several rounds, since a busy machine only ever adds
 * to it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "http/sse.h"
#include "llm/llm.h"
#include "llm/translate.h"

#define ROUNDS   40
#define N_EVENTS 1000u  /* of one stream */
#define PIECE    16384u /* bytes that arrive together */

static const struct sg_translate_exchange exchange = {
        .model = SG_STR("bench"), .request_id = SG_STR("req"), .created_sec = 1};

static const struct stream {
        const char *name;
        enum sg_operation from, to;
        struct sg_str begin, event, end;
} streams[] = {
        {"messages to chat, text", SG_OP_MESSAGES, SG_OP_CHAT,
         SG_STR("event: message_start\ndata: "
                "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_01XFDUDYJgAACzvnptvVoYEL\","
                "\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[],\"stop_reason\":"
                "null,"
                "\"stop_sequence\":null,\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n"
                "event: content_block_start\ndata: "
                "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
                "\"text\",\"text\":\"\"}}\n\n"),
         SG_STR("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
                "\"text_delta\",\"text\":\" Hello over there\"}}\n\n"),
         SG_STR("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
                "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
                "\"stop_sequence\":null},\"usage\":{\"output_tokens\":15}}\n\n"
                "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")},
        {"chat to messages, text", SG_OP_CHAT, SG_OP_MESSAGES,
         SG_STR("data: "
                "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1694268190,\"model\":\"gpt-"
                "x\","
                "\"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
                "\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n"),
         SG_STR("data: "
                "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1694268190,\"model\":\"gpt-"
                "x\","
                "\"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" Hello "
                "over "
                "there\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n"),
         SG_STR("data: "
                "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1694268190,\"model\":\"gpt-"
                "x\","
                "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n"
                "data: [DONE]\n\n")},
        {"chat to messages, arguments", SG_OP_CHAT, SG_OP_MESSAGES,
         SG_STR("data: "
                "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1694268190,\"model\":\"gpt-"
                "x\","
                "\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":"
                "\"function\","
                "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":\\\"\"}}]},\"finish_reason\":null}]}\n\n"),
         SG_STR("data: "
                "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1694268190,\"model\":\"gpt-"
                "x\","
                "\"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{"
                "\"index\":0,"
                "\"function\":{\"arguments\":\" Hello over "
                "there\"}}]},\"logprobs\":null,\"finish_reason\":null}]}\n\n"),
         SG_STR("data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n"
                "data: [DONE]\n\n")},
};

static void must(int r)
{
        if (r)
                abort();
}

static double cpu_usec(void)
{
        struct timespec now;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void make_stream(struct sg_buf *b, const struct stream *s)
{
        sg_buf_init(b, 1u << 20);
        must(sg_buf_add(b, s->begin));
        for (unsigned i = 0; i < N_EVENTS; i++)
                must(sg_buf_add(b, s->event));
        must(sg_buf_add(b, s->end));
}

static void run(const struct stream *s, struct sg_str bytes, bool translate)
{
        SG_AUTO(sg_translator_free) struct sg_translator *t = NULL;
        struct sg_llm_stream judge;
        struct sg_llm_fault fault;
        struct sg_str replacement;
        struct sg_sse_event ev;
        struct sg_sse sse;
        struct sg_buf out;

        sg_llm_stream_init(&judge, s->from, false);
        sg_sse_init(&sse, 0);
        sg_buf_init(&out, 1u << 20);
        must(sg_translator_new(&t, s->from, s->to, &exchange));
        while (bytes.n > 0) {
                struct sg_str piece = sg_str_head(bytes, SG_MIN(PIECE, bytes.n));

                bytes = sg_str_skip(bytes, piece.n);
                while (sg_sse_next(&sse, &piece, &ev) == 0) {
                        must(sg_llm_stream_event(&judge, &ev, &replacement, &fault) == SG_EVENT_GARBAGE);
                        must(translate ? sg_translator_event(t, &ev, &out, &fault) : sg_buf_add(&out, ev.raw));
                }
                sg_buf_clear(&out);
        }
        must(!sg_llm_stream_is_complete(&judge));
        sg_buf_done(&out);
        sg_sse_done(&sse);
        sg_llm_stream_done(&judge);
}

static double measure(const struct stream *s, bool translate)
{
        double best = 1e12;
        struct sg_buf b;

        make_stream(&b, s);
        for (unsigned round = 0; round < ROUNDS; round++) {
                double start = cpu_usec(), took;

                run(s, sg_buf_view(&b), translate);
                took = (cpu_usec() - start) * 1e3 / N_EVENTS;
                best = SG_MIN(best, took);
        }
        sg_buf_done(&b);
        return best;
}

static void print_row(const struct stream *s)
{
        printf("| %s | %.0f ns an event | %.0f ns an event |\n", s->name, measure(s, false), measure(s, true));
}

int main(void)
{
        struct stream one_way = streams[1], two_ways = streams[0]; /* the same events for another client */

        one_way.name = "chat to responses, text";
        two_ways.name = "messages to responses, text";
        one_way.to = two_ways.to = SG_OP_RESPONSES;
        printf("| stream | passed on | translated |\n| --- | --- | --- |\n");
        for (size_t i = 0; i < SG_N_ELEMENTS(streams); i++)
                print_row(&streams[i]);
        print_row(&one_way);
        print_row(&two_ways);
        return 0;
}
