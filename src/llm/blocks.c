/*
 * Chat completions may send the arguments of parallel calls by turns; in a messages stream a block that was stopped cannot be
 * gone back to. When does a call end? OpenAI sends one after the other, but says so only with the finish reason. So a
 * call's arguments are watched: when the object that they are is closed, the next block may begin. That gives the usual
 * order without delay and any other one correctly, the later calls then being held.
 */
#include "llm/blocks.h"

#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "llm/wording.h"

/* How far arguments have come, fragment by fragment. */
struct nesting {
        size_t depth;
        bool in_string, is_escaped, is_closed;
};

struct sg_block {
        enum sg_block_kind kind;
        bool has_index; /* CALL: */
        uint64_t index;
        struct nesting nesting;
        struct sg_buf id, name;  /* JSON strings; empty until known */
        struct sg_buf signature; /* THINKING: inner */
        struct sg_buf held;      /* inner, not written yet; REDACTED: the block */
        size_t n_text;           /* THINKING: bytes of inner that came */
};

void sg_blocks_init(struct sg_blocks *b, struct sg_llm_put *o, struct sg_str request_id)
{
        *b = (struct sg_blocks){.o = o, .request_id = request_id};
}

void sg_blocks_done(struct sg_blocks *b)
{
        for (size_t i = 0; i < b->n; i++) {
                sg_buf_done(&b->list[i].id);
                sg_buf_done(&b->list[i].name);
                sg_buf_done(&b->list[i].signature);
                sg_buf_done(&b->list[i].held);
        }
        free(b->list);
        b->list = NULL;
        b->n = b->room = 0;
}

static int nonsense(struct sg_llm_fault *fault, const char *what)
{
        sg_llm_fault_set(fault, "", "the provider's stream makes no sense: %s", what);
        return SG_LLM_E_NOT_JSON;
}

/* ---- events */

static void put_block_start(struct sg_blocks *b)
{
        sg_llm_put(b->o, SG_STR("event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":"));
        sg_llm_put_u64(b->o, b->n_ended);
        sg_llm_put(b->o, SG_STR(",\"content_block\":"));
}

static void put_delta(struct sg_blocks *b, struct sg_str before, struct sg_str inner)
{
        if (inner.n == 0)
                return;
        sg_llm_put(b->o, SG_STR("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"));
        sg_llm_put_u64(b->o, b->n_ended);
        sg_llm_put(b->o, SG_STR(",\"delta\":{\"type\":\""));
        sg_llm_put(b->o, before);
        sg_llm_put(b->o, inner);
        sg_llm_put(b->o, SG_STR("\"}}\n\n"));
}

static void put_inner(struct sg_blocks *b, const struct sg_block *block, struct sg_str inner)
{
        static const struct sg_str begins[SG_BLOCK_KIND_N] = {
                [SG_BLOCK_TEXT] = SG_STR("text_delta\",\"text\":\""),
                [SG_BLOCK_THINKING] = SG_STR("thinking_delta\",\"thinking\":\""),
                [SG_BLOCK_CALL] = SG_STR("input_json_delta\",\"partial_json\":\""),
        };

        put_delta(b, begins[block->kind], inner);
}

static void put_call_start(struct sg_blocks *b, const struct sg_block *block)
{
        sg_llm_put(b->o, SG_STR("{\"type\":\"tool_use\",\"id\":"));
        sg_wording_put_call_id(b->o, sg_wording_string(&block->id), b->request_id, b->n_ended);
        sg_llm_put(b->o, SG_STR(",\"name\":"));
        sg_llm_put(b->o, sg_buf_view(&block->name));
        sg_llm_put(b->o, SG_STR(",\"input\":{}}"));
}

static void open_block(struct sg_blocks *b, struct sg_block *block)
{
        struct sg_str held = sg_buf_view(&block->held);

        put_block_start(b);
        if (block->kind == SG_BLOCK_CALL)
                put_call_start(b, block);
        else if (block->kind == SG_BLOCK_REDACTED)
                sg_llm_put(b->o, held);
        else
                sg_llm_put(b->o, block->kind == SG_BLOCK_TEXT
                                         ? SG_STR("{\"type\":\"text\",\"text\":\"\"}")
                                         : SG_STR("{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"));
        sg_llm_put(b->o, SG_STR("}\n\n"));
        if (block->kind != SG_BLOCK_REDACTED)
                put_inner(b, block, held);
        b->held_bytes -= held.n;
        sg_buf_release(&block->held);
        b->is_open = true;
}

static void end_block(struct sg_blocks *b, struct sg_block *block)
{
        put_delta(b, SG_STR("signature_delta\",\"signature\":\""), sg_buf_view(&block->signature));
        sg_llm_put(b->o, SG_STR("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":"));
        sg_llm_put_u64(b->o, b->n_ended);
        sg_llm_put(b->o, SG_STR("}\n\n"));
        b->n_ended++;
        b->is_open = false;
}

static bool is_whole(const struct sg_blocks *b, const struct sg_block *block)
{
        bool is_last = b->n_ended + 1 == b->n;

        if (block->kind == SG_BLOCK_CALL)
                return !is_last && block->nesting.is_closed;
        return !is_last || block->kind == SG_BLOCK_REDACTED || sg_buf_length(&block->signature);
}

/* Opens and ends what can be. */
static int advance(struct sg_blocks *b, bool at_end, struct sg_llm_fault *fault)
{
        while (b->n_ended < b->n) {
                struct sg_block *block = &b->list[b->n_ended];

                if (!b->is_open && block->kind == SG_BLOCK_CALL && sg_buf_length(&block->name) == 0)
                        return at_end ? nonsense(fault, "a tool's call without a name") : 0;
                if (!b->is_open)
                        open_block(b, block);
                if (!at_end && !is_whole(b, block))
                        return 0;
                end_block(b, block);
        }
        return 0;
}

/* ---- what comes */

static int add_block(struct sg_blocks *b, enum sg_block_kind kind, struct sg_block **ret, struct sg_llm_fault *fault)
{
        struct sg_block *block;

        if (b->n == SG_LLM_BLOCKS_MAX)
                return nonsense(fault, "it has too many blocks");
        if (b->n == b->room) {
                size_t room = b->room ? 2 * b->room : 4;
                struct sg_block *list = reallocarray(b->list, room, sizeof(*list));

                if (!list)
                        return -ENOMEM;
                b->list = list;
                b->room = room;
        }
        block = &b->list[b->n++];
        *block = (struct sg_block){.kind = kind};
        sg_buf_init(&block->id, SG_LLM_HELD_BYTES_MAX);
        sg_buf_init(&block->name, SG_LLM_HELD_BYTES_MAX);
        sg_buf_init(&block->signature, SG_LLM_HELD_BYTES_MAX);
        sg_buf_init(&block->held, SG_LLM_HELD_BYTES_MAX);
        *ret = block;
        return 0;
}

static int hold(struct sg_blocks *b, struct sg_buf *to, struct sg_str text, struct sg_llm_fault *fault)
{
        if (text.n > SG_LLM_HELD_BYTES_MAX - b->held_bytes)
                return nonsense(fault, "too much of it must wait for a block that does not end");
        b->held_bytes += text.n;
        return sg_buf_add(to, text);
}

static int add_inner(struct sg_blocks *b, struct sg_block *block, struct sg_str inner, struct sg_llm_fault *fault)
{
        if (b->is_open && block == &b->list[b->n_ended]) {
                put_inner(b, block, inner);
                return 0;
        }
        return hold(b, &block->held, inner, fault);
}

static struct sg_block *last_block(struct sg_blocks *b)
{
        return b->n > b->n_ended ? &b->list[b->n - 1] : NULL;
}

int sg_blocks_add_text(struct sg_blocks *b, enum sg_block_kind kind, struct sg_str inner, struct sg_llm_fault *fault)
{
        struct sg_block *block = last_block(b);
        int r;

        if (inner.n == 0)
                return 0;
        if (!block || block->kind != kind || sg_buf_length(&block->signature)) {
                r = add_block(b, kind, &block, fault);
                if (r)
                        return r;
        }
        block->n_text += inner.n;
        r = add_inner(b, block, inner, fault);
        return r ? r : advance(b, false, fault);
}

static bool has_thinking(const struct sg_blocks *b)
{
        for (size_t i = 0; i < b->n; i++)
                if (b->list[i].kind == SG_BLOCK_THINKING && sg_buf_length(&b->list[i].signature) == 0)
                        return true;
        return false;
}

int sg_blocks_add_signed(struct sg_blocks *b, struct sg_str inner, struct sg_str signature, struct sg_llm_fault *fault)
{
        struct sg_block *block = last_block(b);
        int r;

        if (block && block->kind == SG_BLOCK_THINKING && sg_buf_length(&block->signature) == 0) {
                if (inner.n > 0 && inner.n != block->n_text)
                        return 0;
        } else {
                if (has_thinking(b))
                        return 0;
                r = add_block(b, SG_BLOCK_THINKING, &block, fault);
                r = r ? r : add_inner(b, block, inner, fault);
                if (r)
                        return r;
        }
        r = hold(b, &block->signature, signature, fault);
        return r ? r : advance(b, false, fault);
}

int sg_blocks_add_redacted(struct sg_blocks *b, struct sg_str text, struct sg_llm_fault *fault)
{
        struct sg_block *block;
        int r;

        r = add_block(b, SG_BLOCK_REDACTED, &block, fault);
        r = r ? r : hold(b, &block->held, text, fault);
        return r ? r : advance(b, false, fault);
}

/* ---- calls */

static void note_char(struct nesting *n, char c)
{
        if (n->in_string) {
                if (!n->is_escaped && c == '"')
                        n->in_string = false;
                n->is_escaped = !n->is_escaped && c == '\\';
                return;
        }
        if (c == '"')
                n->in_string = true;
        else if (c == '{' || c == '[')
                n->depth++;
        else if ((c == '}' || c == ']') && n->depth > 0 && --n->depth == 0)
                n->is_closed = true;
}

static unsigned hex(char c)
{
        return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* The fragment's characters as they are decoded: brackets and quotes may be written as escapes. */
static void note_fragment(struct nesting *n, struct sg_str inner)
{
        for (size_t i = 0; i < inner.n; i++) {
                char c = inner.p[i];

                if (c == '\\' && i + 1 < inner.n) {
                        c = inner.p[++i];
                        if (c == 'u' && inner.n - i > 4) {
                                unsigned code = hex(inner.p[i + 1]) << 12 | hex(inner.p[i + 2]) << 8 |
                                                hex(inner.p[i + 3]) << 4 | hex(inner.p[i + 4]);

                                c = code < 0x80 ? (char)code : 'x';
                                i += 4;
                        } else if (c != '"' && c != '\\') {
                                c = ' '; /* a line end, a tab, a slash */
                        }
                }
                note_char(n, c);
        }
}

static struct sg_block *find_by_index(struct sg_blocks *b, uint64_t index)
{
        for (size_t i = b->n; i-- > 0;)
                if (b->list[i].kind == SG_BLOCK_CALL && b->list[i].has_index && b->list[i].index == index)
                        return &b->list[i];
        return NULL;
}

static struct sg_block *find_by_id(struct sg_blocks *b, struct sg_str id)
{
        for (size_t i = b->n; i-- > 0;)
                if (b->list[i].kind == SG_BLOCK_CALL && sg_str_eq(sg_buf_view(&b->list[i].id), id))
                        return &b->list[i];
        return NULL;
}

static struct sg_block *find_last(struct sg_blocks *b)
{
        for (size_t i = b->n; i-- > 0;)
                if (b->list[i].kind == SG_BLOCK_CALL)
                        return &b->list[i];
        return NULL;
}

static struct sg_block *find_call(struct sg_blocks *b, const struct sg_block_call *piece)
{
        bool has_id = sg_wording_has_text(piece->id), has_name = sg_wording_has_text(piece->name);
        struct sg_block *block;
        uint64_t index;

        if (!sg_json_u64(piece->index, &index)) {
                if (has_id)
                        return find_by_id(b, piece->id.text);
                return has_name ? NULL : find_last(b);
        }
        block = find_by_index(b, index);
        if (block && has_id && has_name && sg_buf_length(&block->id) &&
            !sg_str_eq(sg_buf_view(&block->id), piece->id.text))
                return NULL;
        return block;
}

static int learn(struct sg_blocks *b, struct sg_buf *to, struct sg_json_value string, struct sg_llm_fault *fault)
{
        if (!sg_wording_has_text(string) || sg_buf_length(to))
                return 0;
        return hold(b, to, string.text, fault);
}

static int add_arguments(struct sg_blocks *b, struct sg_block *block, struct sg_str inner, struct sg_llm_fault *fault)
{
        if (block < &b->list[b->n_ended]) {
                for (size_t i = 0; i < inner.n; i++)
                        if (inner.p[i] != ' ' &&
                            !(inner.p[i] == '\\' && i + 1 < inner.n && strchr("nrt", inner.p[++i])))
                                return nonsense(fault, "arguments of a call behind their end");
                return 0;
        }
        note_fragment(&block->nesting, inner);
        return add_inner(b, block, inner, fault);
}

int sg_blocks_add_call(struct sg_blocks *b, const struct sg_block_call *piece, struct sg_llm_fault *fault)
{
        struct sg_block *block = find_call(b, piece);
        int r;

        if (!block) {
                r = add_block(b, SG_BLOCK_CALL, &block, fault);
                if (r)
                        return r;
                b->n_calls++;
                block->has_index = sg_json_u64(piece->index, &block->index);
        }
        r = learn(b, &block->id, piece->id, fault);
        r = r ? r : learn(b, &block->name, piece->name, fault);
        r = r ? r : add_arguments(b, block, sg_wording_inner(piece->arguments), fault);
        return r ? r : advance(b, false, fault);
}

int sg_blocks_end(struct sg_blocks *b, struct sg_llm_fault *fault)
{
        return advance(b, true, fault);
}
