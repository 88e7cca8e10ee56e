/*
 * What a complete head says about its message: how long the body is, whether the connection goes on. What could be read
 * in two ways is refused (RFC 9112 section 6.3 and 11.2).
 */
#include "http/h1_internal.h"

/* The value of the i-th field of a kind, from *place on. */
static struct sg_str next_value(const struct sg_head *head, size_t *place, struct sg_str name)
{
        while (!sg_str_ieq(head->headers[*place].name, name))
                (*place)++;
        return head->headers[(*place)++].value;
}

static bool list_has(const struct sg_head *head, const struct h1_known *known, enum h1_field field, struct sg_str name,
                     struct sg_str token)
{
        size_t place = known->first[field];

        for (unsigned i = 0; i < known->n[field]; i++)
                if (sg_list_has_token(next_value(head, &place, name), token))
                        return true;
        return false;
}

static bool take_length(struct sg_head *head, struct sg_str digits)
{
        uint64_t length;

        if (sg_str_to_u64(digits, &length) || length > INT64_MAX)
                return false;
        if (head->has_length && head->length != length)
                return false;
        head->has_length = true;
        head->length = length;
        return true;
}

/* A request says it once. In an answer equal ones are taken for one, in a list, too (RFC 9110 section 8.6). */
static int read_lengths(struct sg_head *head, const struct h1_known *known, bool is_request)
{
        size_t place = known->first[H1_CONTENT_LENGTH];

        if (is_request && (known->n[H1_CONTENT_LENGTH] > 1 || known->n[H1_DISGUISED]))
                return SG_H1_E_BAD;
        for (unsigned i = 0; i < known->n[H1_CONTENT_LENGTH]; i++) {
                struct sg_str one, rest = next_value(head, &place, SG_STR("content-length"));

                while (!is_request && sg_str_cut(&rest, ',', &one))
                        if (!take_length(head, sg_str_trim(one)))
                                return SG_H1_E_BAD;
                if (is_request && rest.n > 1 && rest.p[0] == '0')
                        return SG_H1_E_BAD; /* octal to some */
                if (!take_length(head, is_request ? rest : sg_str_trim(one)))
                        return SG_H1_E_BAD;
        }
        return 0;
}

/* token *( ";" … ): parameters make no difference for what is refused anyway, but must not hide a "chunked". */
static int read_coding(struct sg_str one, bool *ret_is_chunked)
{
        struct sg_str name, rest = one;
        bool has_parameters = sg_str_cut(&rest, ';', &name);

        name = sg_str_trim(name);
        if (!sg_token_is_valid(name))
                return SG_H1_E_BAD;
        *ret_is_chunked = sg_str_ieq(name, SG_STR("chunked"));
        return *ret_is_chunked && has_parameters ? SG_H1_E_BAD : 0;
}

/* "chunked" and nothing else; what is well formed but not supported is told apart. */
static int read_codings(struct sg_head *head, const struct h1_known *known)
{
        size_t place = known->first[H1_TRANSFER_ENCODING];
        bool has_other = false;

        for (unsigned i = 0; i < known->n[H1_TRANSFER_ENCODING]; i++) {
                struct sg_str one, rest = next_value(head, &place, SG_STR("transfer-encoding"));
                bool goes_on;

                do {
                        bool is_chunked;

                        goes_on = sg_str_cut(&rest, ',', &one);
                        if (read_coding(sg_str_trim(one), &is_chunked) || head->is_chunked)
                                return SG_H1_E_BAD; /* chunked was not the last, or twice */
                        head->is_chunked = is_chunked;
                        has_other |= !is_chunked;
                } while (goes_on);
        }
        return has_other ? SG_H1_E_CODING : 0;
}

static int read_framing(struct sg_head *head, const struct h1_known *known, bool is_request)
{
        int r;

        r = read_lengths(head, known, is_request);
        if (r || known->n[H1_TRANSFER_ENCODING] == 0)
                return r;
        if (head->has_length || head->minor == 0)
                return SG_H1_E_BAD; /* section 6.1: an HTTP/1.0 peer cannot mean it */
        return read_codings(head, known);
}

static void read_connection(struct sg_head *head, const struct h1_known *known)
{
        const struct sg_str name = SG_STR("connection");

        head->keep_alive = head->minor == 1;
        if (known->n[H1_CONNECTION] == 0)
                return;
        if (head->minor == 0)
                head->keep_alive = list_has(head, known, H1_CONNECTION, name, SG_STR("keep-alive"));
        if (list_has(head, known, H1_CONNECTION, name, SG_STR("close")))
                head->keep_alive = false;
        head->wants_upgrade = head->minor == 1 && known->n[H1_UPGRADE] &&
                              list_has(head, known, H1_CONNECTION, name, SG_STR("upgrade"));
}

enum sg_method h1_method_of(struct sg_str text)
{
        for (enum sg_method m = 0; m < SG_METHOD_OTHER; m++)
                if (sg_str_eq(text, sg_str_from(sg_method_name(m))))
                        return m;
        return SG_METHOD_OTHER;
}

/* 100-continue is the only expectation there is (RFC 9110 section 10.1.1); HTTP/1.0 knows none, and it means nothing
 * where no body follows. */
static int read_expect(struct sg_head *head, const struct h1_known *known)
{
        size_t place = known->first[H1_EXPECT];

        for (unsigned i = 0; i < known->n[H1_EXPECT]; i++)
                if (!sg_str_ieq(next_value(head, &place, SG_STR("expect")), SG_STR("100-continue")))
                        return SG_H1_E_BAD;
        head->expects_continue = known->n[H1_EXPECT] && head->minor == 1 && (head->is_chunked || head->length > 0);
        return 0;
}

static void clear(struct sg_head *head)
{
        head->host = SG_STR("");
        head->has_length = head->is_chunked = head->is_close_delimited = false;
        head->length = 0;
        head->expects_continue = head->wants_upgrade = false;
}

int h1_understand_request(struct sg_head *head, const struct h1_known *known)
{
        const unsigned n_host = known->n[H1_HOST];
        int r;

        clear(head);
        head->status = 0;
        head->method = h1_method_of(head->method_text);
        if (n_host > 1 || (n_host == 0 && head->minor == 1))
                return SG_H1_E_BAD;
        r = h1_read_target(head, n_host ? &head->headers[known->first[H1_HOST]].value : NULL);
        if (r)
                return r;
        r = read_framing(head, known, true);
        if (r)
                return r;
        read_connection(head, known);
        if (head->method == SG_METHOD_CONNECT)
                head->keep_alive = false; /* what follows may be the tunnel's bytes, also when there will be none */
        return read_expect(head, known);
}

int h1_understand_answer(struct sg_h1 *p, struct sg_head *head, const struct h1_known *known)
{
        const bool is_interim = head->status < 200;
        bool has_body = !is_interim && head->status != 204 && head->status != 304 && !p->is_head_request;
        int r;

        clear(head);
        head->method = SG_METHOD_OTHER;
        head->method_text = head->target = SG_STR("");
        r = read_framing(head, known, false);
        if (r)
                return r;
        read_connection(head, known);
        if (is_interim || head->status == 204 || (p->is_connect_request && head->status < 300)) {
                /* Section 6.3: these never have a body, whatever they say. */
                head->has_length = head->is_chunked = has_body = false;
                head->length = 0;
        }
        head->is_close_delimited = has_body && !head->has_length && !head->is_chunked;
        if (head->is_close_delimited)
                head->keep_alive = false;
        return 0;
}
