#include "translate_request.h"

static struct told tell(const char *body)
{
        return tell_model(sg_chat_request_to_messages, SG_OP_CHAT, "claude-sonnet-4-5", body, SIZE_MAX);
}

#define HEAD     "{\"model\":\"claude-sonnet-4-5\",\"max_tokens\":4096"
#define HI       "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define HI_THERE "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}]"

/* members of a chat request beside the model and one message; members of messages before "messages" and after it */
static const struct {
        const char *members, *before, *after, *dropped;
} params[] = {
        {"\"stream\":true,\"stream_options\":{\"include_usage\":true}", ",\"stream\":true", "", ""},
        {"\"stream\":false,\"n\":1,\"logprobs\":false,\"top_logprobs\":0,\"logit_bias\":{},\"presence_penalty\":0.0,"
         "\"frequency_penalty\":-0,\"modalities\":[\"text\"],\"verbosity\":\"medium\",\"functions\":[]",
         "", "", ""},
        {"\"audio\":null,\"prediction\":null,\"whatever\":null,\"nothing\":[]", "", "", ""},
        {"\"temperature\":1", ",\"temperature\":1", "", ""},
        {"\"temperature\":0.70", ",\"temperature\":0.70", "", ""},
        {"\"temperature\":1.00e0", ",\"temperature\":1.00e0", "", ""},
        {"\"temperature\":10e-1", ",\"temperature\":10e-1", "", ""},
        {"\"temperature\":0.000", ",\"temperature\":0.000", "", ""},
        {"\"temperature\":123e-400", ",\"temperature\":123e-400", "", ""},
        {"\"top_p\":0.9,\"top_k\":40", ",\"top_p\":0.9,\"top_k\":40", "", ""},
        {"\"stop\":\"\\u0045ND\"", ",\"stop_sequences\":[\"\\u0045ND\"]", "", ""},
        {"\"stop\":[\"a\", \"b\"]", ",\"stop_sequences\":[\"a\", \"b\"]", "", ""},
        {"\"stop\":[]", "", "", ""},
        {"\"user\":\"u\\\"1\"", ",\"metadata\":{\"user_id\":\"u\\\"1\"}", "", ""},
        {"\"safety_identifier\":\"s\"", ",\"metadata\":{\"user_id\":\"s\"}", "", ""},
        {"\"user\":\"u\",\"safety_identifier\":\"s\"", ",\"metadata\":{\"user_id\":\"s\"}", "", "user"},
        {"\"metadata\":{\"a\":\"b\"},\"service_tier\":\"flex\",\"store\":true,\"seed\":7,\"prompt_cache_key\":\"k\"",
         "", "", "metadata, service_tier, store, seed, prompt_cache_key"},
        {"\"cache_control\":{\"type\": \"ephemeral\"}", ",\"cache_control\":{\"type\": \"ephemeral\"}", "", ""},
        {"\"reasoning_effort\":\"none\"", ",\"thinking\":{\"type\":\"disabled\"}", "", ""},
        {"\"reasoning_effort\":\"minimal\"", ",\"thinking\":{\"type\":\"disabled\"}", "", ""},
        {"\"reasoning_effort\":\"low\"", ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}", "", ""},
        {"\"thinking\":{\"type\":\"enabled\", \"budget_tokens\":2000}",
         ",\"thinking\":{\"type\":\"enabled\", \"budget_tokens\":2000}", "", ""},
        {"\"thinking\":{\"type\":\"adaptive\"},\"reasoning_effort\":\"high\"",
         ",\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"high\"}", "", ""},
        {"\"response_format\":{\"type\":\"text\"}", "", "", ""},
        {"\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"strict\":true,\"schema\":{"
         "\"x\" : "
         "123456789012345678901234567890.50,\"x\":\"\\u00e9\\/\"}}}",
         ",\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"x\" : "
         "123456789012345678901234567890.50,\"x\":\"\\u00e9\\/\"}}}",
         "", ""},
        {"\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"description\":\"d\","
         "\"schema\":{}}}",
         ",\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{}}}", "",
         "response_format.json_schema.description"},
        {"\"tools\":[],\"tool_choice\":\"auto\",\"parallel_tool_calls\":false", "", "", ""},
        {"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]", "",
         ",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\",\"properties\":{}}}]", ""},
        {"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"\\u0064\",\"strict\":true,"
         "\"parameters\":{\"type\":\"object\", \"big\":1e400,\"a\":1,\"\\u0061\":2}},\"cache_control\":{ \"type\":"
         "\"ephemeral\",\"ttl\":\"1h\"}},{\"type\":\"function\",\"function\":{\"name\":\"g\",\"parameters\":{},"
         "\"strict\":null}}],\"tool_choice\":\"required\"",
         "",
         ",\"tools\":[{\"name\":\"f\",\"description\":\"\\u0064\",\"input_schema\":{\"type\":\"object\", \"big\":1e400,"
         "\"a\":1,\"\\u0061\":2},\"strict\":true,\"cache_control\":{ \"type\":\"ephemeral\",\"ttl\":\"1h\"}},"
         "{\"name\":\"g\",\"input_schema\":{\"type\":\"object\",\"properties\":{}}}],\"tool_choice\":{\"type\":"
         "\"any\"}",
         ""},
#define F         "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"
#define F_TOLD    ",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\",\"properties\":{}}}"
#define JSON_MODE ",\"response_format\":{\"type\":\"json_object\"}"
#define JSON_TOLD                                                                                                      \
        "{\"name\":\"json_answer\",\"description\":\"Gives the answer, which is a JSON object.\",\"input_schema\":{"   \
        "\"type\":\"object\",\"additionalProperties\":true}}"
        {F ",\"tool_choice\":\"auto\"", "", F_TOLD "],\"tool_choice\":{\"type\":\"auto\"}", ""},
        {F ",\"tool_choice\":\"none\",\"parallel_tool_calls\":false", "",
         F_TOLD "],\"tool_choice\":{\"type\":\"none\"}", ""},
        {F ",\"parallel_tool_calls\":true", "", F_TOLD "]", ""},
        {F ",\"parallel_tool_calls\":false", "",
         F_TOLD "],\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true}", ""},
        {F ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"\\u0066\"}},\"parallel_tool_calls\":false",
         "", F_TOLD "],\"tool_choice\":{\"type\":\"tool\",\"name\":\"\\u0066\",\"disable_parallel_tool_use\":true}",
         ""},
        {F JSON_MODE ",\"tool_choice\":\"required\"", "", F_TOLD "],\"tool_choice\":{\"type\":\"any\"}", ""},
};

static void test_each_parameter_has_its_place(void **state)
{
        char body[2048], want[2048];

        for (size_t i = 0; i < SG_N_ELEMENTS(params); i++) {
                struct told t;

                snprintf(body, sizeof(body), "{\"model\":\"m\"," HI ",%s}", params[i].members);
                snprintf(want, sizeof(want), HEAD "%s," HI_THERE "%s}", params[i].before, params[i].after);
                t = tell(body);
                assert_told(&t, body, want);
                assert_string_equal(t.notes.dropped, params[i].dropped);
                assert_false(t.notes.is_json_by_tool);
        }
}

static const struct {
        const char *members, *after;
} json_modes[] = {
        {"\"stream\":null" JSON_MODE,
         ",\"tools\":[" JSON_TOLD "],\"tool_choice\":{\"type\":\"tool\",\"name\":\"json_answer\"}"},
        {F JSON_MODE, F_TOLD "," JSON_TOLD "],\"tool_choice\":{\"type\":\"any\"}"},
        {F JSON_MODE ",\"tool_choice\":\"auto\",\"parallel_tool_calls\":false",
         F_TOLD "," JSON_TOLD "],\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":true}"},
        {F JSON_MODE ",\"tool_choice\":\"none\"",
         F_TOLD "," JSON_TOLD "],\"tool_choice\":{\"type\":\"tool\",\"name\":\"json_answer\"}"},
};

static void test_json_mode_is_a_tool(void **state)
{
        char body[2048], want[2048];

        for (size_t i = 0; i < SG_N_ELEMENTS(json_modes); i++) {
                struct told t;

                snprintf(body, sizeof(body), "{\"model\":\"m\"," HI ",%s}", json_modes[i].members);
                snprintf(want, sizeof(want), HEAD "," HI_THERE "%s}", json_modes[i].after);
                t = tell(body);
                assert_told(&t, body, want);
                assert_true(t.notes.is_json_by_tool);
        }
}

static void test_max_tokens_leaves_room_for_thinking(void **state)
{
        static const struct {
                const char *members, *want;
        } cases[] = {
                {"\"max_tokens\":7", "7"},
                {"\"max_tokens\":7,\"max_completion_tokens\":9", "9"},
                {"\"max_completion_tokens\":7.0", "7"},
                {"\"max_tokens\":1025,\"reasoning_effort\":\"low\"", "1025"},
                {"\"max_tokens\":1024,\"reasoning_effort\":\"low\"", "2048"},
                {"\"max_tokens\":100,\"reasoning_effort\":\"high\"", "16484"},
                {"\"reasoning_effort\":\"medium\"", "8192"},
                {"\"reasoning_effort\":\"xhigh\"", "36864"},
                {"\"reasoning_effort\":\"max\"", "36864"},
        };
        char body[512];

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct told t;

                snprintf(body, sizeof(body), "{\"model\":\"m\"," HI ",%s}", cases[i].members);
                t = tell(body);
                assert_int_equal(t.r, 0);
                if (!sg_str_eq(sg_json_get((struct sg_json_value){SG_JSON_OBJECT, sg_buf_view(&t.out)},
                                           SG_STR("max_tokens"))
                                       .text,
                               sg_str_from(cases[i].want)))
                        fail_msg("%s: " SG_STR_FMT, body, SG_STR_ARG(sg_buf_view(&t.out)));
                sg_buf_done(&t.out);
        }
}

static void test_a_limit_is_named_where_nobody_gave_one(void **state)
{
        struct sg_translate_options options = {.upstream_model = SG_STR("m")};
        struct sg_translate_notes notes;
        struct sg_buf out;

        sg_buf_init(&out, SIZE_MAX);
        assert_int_equal(sg_chat_request_to_messages(&out, SG_STR("{" HI "}"), &options, &notes, NULL), 0);
        assert_true(sg_str_starts(sg_buf_view(&out), SG_STR("{\"model\":\"m\",\"max_tokens\":4096,")));
        sg_buf_done(&out);
}

static void test_thinking_is_asked_for_as_the_model_knows_it(void **state)
{
        static const struct {
                const char *model;
                bool is_adaptive;
        } cases[] = {
                {"claude-3-7-sonnet-20250219", false},
                {"claude-sonnet-4-20250514", false},
                {"claude-opus-4-1", false},
                {"anthropic.claude-opus-4-5-20251101-v1:0", false},
                {"claude-haiku-4-5@20251001", false},
                {"anthropic/claude-3.7-sonnet", false},
                {"Claude-Sonnet-4.5", false},
                {"claude-opus-4-6", true},
                {"anthropic/claude-sonnet-4.6", true},
                {"us.anthropic.claude-opus-4-7-v1", true},
                {"claude-sonnet-5", true},
                {"claude-opus-10-20300101", true},
                {"claude-mythos-preview", true},
                {"deepseek-v4-pro", false},
                {"my-alias", false},
                {"clau", false},
        };
        static const char body[] = "{\"model\":\"m\"," HI ",\"reasoning_effort\":\"low\"}";

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                char want[512];
                struct told t = tell_model(sg_chat_request_to_messages, SG_OP_CHAT, cases[i].model, body, SIZE_MAX);

                snprintf(want, sizeof(want), "{\"model\":\"%s\",\"max_tokens\":4096,\"thinking\":%s," HI_THERE "}",
                         cases[i].model,
                         cases[i].is_adaptive ? "{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"low\"}"
                                              : "{\"type\":\"enabled\",\"budget_tokens\":1024}");
                assert_told(&t, body, want);
        }
}

/* conversations: the value of "messages", what comes after the head, what is dropped */
#define USER(text)    "{\"role\":\"user\",\"content\":\"" text "\"}"
#define TEXT(text)    "{\"type\":\"text\",\"text\":\"" text "\"}"
#define TOLD(who, in) "{\"role\":\"" who "\",\"content\":[" in "]}"
#define CALL(id, arguments)                                                                                            \
        "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"" arguments "\"}}"
#define USE(id, input)        "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"f\",\"input\":" input "}"
#define CALLS(calls)          "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" calls "]}"
#define RESULT(id, text)      "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"" text "\"}"
#define RESULT_TOLD(id, text) "{\"type\":\"tool_result\",\"tool_use_id\":\"" id "\",\"content\":\"" text "\"}"
#define PARTS(parts)          "{\"role\":\"user\",\"content\":[" parts "]}"

static const struct {
        const char *messages, *told, *dropped;
} conversations[] = {
        {USER("\\ud83d\\ude00 \xc3\xa9 \\/ \\\" \\u0000"),
         "\"messages\":[" TOLD("user", TEXT("\\ud83d\\ude00 \xc3\xa9 \\/ \\\" \\u0000")) "]", ""},
        /* who speaks twice speaks once */
        {USER("a") "," USER("b") ",{\"role\":\"assistant\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":"
                                 "[" TEXT("d") "]}," USER("e"),
         "\"messages\":[" TOLD("user", TEXT("a") "," TEXT("b")) "," TOLD("assistant", TEXT("c") "," TEXT("d")) "," TOLD(
                 "user", TEXT("e")) "]",
         ""},
        /* system */
        {"{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"developer\",\"content\":[{\"type\":\"text\",\"text\":"
         "\"d\","
         "\"cache_control\":{\"type\" :\"ephemeral\"}}," TEXT(
                 "e") "],\"cache_control\":{\"x\":1}},{\"role\":\"system\","
                      "\"content\":\"\"}," USER("u"),
         "\"system\":[" TEXT(
                 "s") ",{\"type\":\"text\",\"text\":\"d\",\"cache_control\":{\"type\" :\"ephemeral\"}},{\"type\":"
                      "\"text\",\"text\":\"e\",\"cache_control\":{\"x\":1}}],\"messages\":[" TOLD("user",
                                                                                                  TEXT("u")) "]",
         ""},
        /* and later ones, where Anthropic takes them */
        {USER("a") ",{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"developer\",\"content\":\"t\"},{\"role\":"
                   "\"assistant\",\"content\":\"b\"}," USER("c") ",{\"role\":\"system\",\"content\":\"u\"}",
         "\"messages\":[" TOLD("user", TEXT("a")) "," TOLD("system", TEXT("s") "," TEXT("t")) "," TOLD(
                 "assistant", TEXT("b")) "," TOLD("user", TEXT("c")) "," TOLD("system", TEXT("u")) "]",
         ""},
        /* tools: parallel calls, results in one message of the user's, before what the user says */
        {USER("q") "," CALLS(CALL("1", "{\\\"a\\\":\\\"\\\\u00e9\\\\n\\\"}") "," CALL(
                 "2",
                 " {\\\"n\\\":"
                 "12345678901234567890"
                 "12}") "," CALL("3",
                                 "")) "," RESULT("2",
                                                 "two") "," RESULT("1",
                                                                   "o\\ne") ","
                                                                            "{\"role\":\"tool\",\"tool_call_id\":"
                                                                            "\"\\u0033\",\"name\":\"f\",\"content\":"
                                                                            "[" TEXT("x") ","
                                                                                          "{\"type\":\"image_url\","
                                                                                          "\"image_"
                                                                                          "url\":{\"url\":\"https://h/"
                                                                                          "p.png\"}}],\"cache_"
                                                                                          "control\":{"
                                                                                          "\"c\":3}}," USER("go"),
         "\"messages\":[" TOLD("user", TEXT("q")) "," TOLD(
                 "assistant",
                 USE("1", "{\"a\":\"\\u00e9\\n\"}") "," USE("2", " {\"n\":1234567890123456789012}") "," USE(
                         "3", "{}")) "," TOLD("user",
                                              RESULT_TOLD("2", "two") "," RESULT_TOLD(
                                                      "1",
                                                      "o\\ne") ","
                                                               "{\"type\":\"tool_result\",\"tool_use_id\":"
                                                               "\"\\u0033\",\"content\":[" TEXT(
                                                                       "x") ","
                                                                            "{\"type\":\"image\",\"source\":{"
                                                                            "\"type\":\"url\",\"url\":\"https://h/"
                                                                            "p.png\"}}],\"cache_control\":{\"c\":3}}"
                                                                            "," TEXT("go")) "]",
         "messages.name"},
        {USER("q") "," CALLS(CALL("1", "{}")) "," RESULT("1", ""),
         "\"messages\":[" TOLD("user", TEXT("q")) "," TOLD("assistant", USE("1", "{}")) "," TOLD(
                 "user", "{\"type\":\"tool_result\",\"tool_use_id\":\"1\"}") "]",
         ""},
        /* an assistant's message as an SDK dumps it, with text before its calls */
        {USER("q") ",{\"role\":\"assistant\",\"content\":\"let me\",\"refusal\":null,\"annotations\":[],\"audio\":null,"
                   "\"function_call\":null,\"tool_calls\":[{\"index\":0,\"id\":\"1\",\"function\":{\"name\":\"f\","
                   "\"arguments\":\"{}\"}}],\"cache_control\":{\"c\":1}}," RESULT("1", "r"),
         "\"messages\":[" TOLD("user", TEXT("q")) "," TOLD(
                 "assistant",
                 TEXT("let me") ",{\"type\":\"tool_use\",\"id\":\"1\",\"name\":\"f\",\"input\":{},"
                                "\"cache_control\":{\"c\":1}}") "," TOLD("user", RESULT_TOLD("1", "r")) "]",
         ""},
        /* thinking goes back with its signature; without one it does not */
        {USER("q") ",{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_content\":\"t\",\"thinking_blocks\":[{"
                   "\"type\" :"
                   "\"thinking\",\"thinking\":\"t\",\"signature\":\"s\\/"
                   "=\"},{\"type\":\"redacted_thinking\",\"data\":\"d\"}]}," USER(
                           "b") ",{\"role\":\"assistant\",\"content\":\"c\",\"reasoning_content\":\"t\","
                                "\"annotations\":[{}]}," USER("d"),
         "\"messages\":[" TOLD("user", TEXT("q")) "," TOLD(
                 "assistant",
                 "{\"type\" :\"thinking\",\"thinking\":\"t\",\"signature\":\"s\\/=\"},"
                 "{\"type\":\"redacted_thinking\",\"data\":\"d\"}," TEXT(
                         "a")) "," TOLD("user", TEXT("b")) "," TOLD("assistant", TEXT("c")) "," TOLD("user",
                                                                                                     TEXT("d")) "]",
         "reasoning_content, annotations"},
        {USER("q") ",{\"role\":\"assistant\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"}]}," USER(
                 "r") ",{\"role\":\"assistant\",\"content\":null,\"refusal\":\"never\"}",
         "\"messages\":[" TOLD("user", TEXT("q")) "," TOLD("assistant", TEXT("no")) "," TOLD(
                 "user", TEXT("r")) "," TOLD("assistant", TEXT("never")) "]",
         ""},
        /* pictures and documents */
        {PARTS("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image\\/png;base64,iVBOR\\/"
               "+=\",\"detail\":\"high\"}},"
               "{\"type\":\"image_url\",\"image_url\":{\"url\":\"DATA:image/"
               "JPG;name=x;BASE64,QQ==\",\"detail\":\"auto\"},"
               "\"cache_control\":{\"c\":1}},{\"type\":\"image_url\",\"image_url\":{\"url\":\"http:\\/\\/h\\/\"}}"),
         "\"messages\":[" TOLD(
                 "user",
                 "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"iVBOR\\/"
                 "+=\"}},"
                 "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/jpeg\",\"data\":\"QQ==\"},"
                 "\"cache_control\":{\"c\":1}},"
                 "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"http:\\/\\/h\\/\"}}") "]",
         "image_url.detail"},
        {PARTS("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/gif;base64,R0\"}},"
               "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/webp;base64,Uk\"}}"),
         "\"messages\":[" TOLD("user", "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/"
                                       "gif\",\"data\":\"R0\"}},"
                                       "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/"
                                       "webp\",\"data\":\"Uk\"}}") "]",
         ""},
        {PARTS("{\"type\":\"file\",\"file\":{\"filename\":\"a\\\"b.pdf\",\"file_data\":\"data:application/"
               "pdf;base64,JVBE\"},"
               "\"prompt_cache_breakpoint\":{\"mode\":\"explicit\"}}"),
         "\"messages\":[" TOLD("user", "{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":"
                                       "\"application/pdf\",\"data\":\"JVBE\"},"
                                       "\"title\":\"a\\\"b.pdf\"}") "]",
         "prompt_cache_breakpoint"},
        {"{\"role\":\"user\",\"content\":\"a\",\"cache_control\":{\"c\":1}}",
         "\"messages\":[" TOLD("user", "{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"c\":1}}") "]", ""},
};

static void test_each_conversation_has_its_words(void **state)
{
        char body[4096], want[4096];

        for (size_t i = 0; i < SG_N_ELEMENTS(conversations); i++) {
                struct told t;

                snprintf(body, sizeof(body), "{\"model\":\"m\",\"messages\":[%s]}", conversations[i].messages);
                snprintf(want, sizeof(want), HEAD ",%s}", conversations[i].told);
                t = tell(body);
                assert_told(&t, body, want);
                assert_string_equal(t.notes.dropped, conversations[i].dropped);
        }
}

#define NO_WORDS "cannot be expressed in the dialect of the provider of this model"

/* members beside the model, which have messages of their own or not */
static const struct {
        const char *members, *param, *text;
} refusals[] = {
        {HI ",\"n\":2", "n", "must be 1"},
        {HI ",\"logprobs\":true", "logprobs", NO_WORDS},
        {HI ",\"top_logprobs\":3", "top_logprobs", NO_WORDS},
        {HI ",\"logit_bias\":{\"1\":2}", "logit_bias", NO_WORDS},
        {HI ",\"presence_penalty\":0.1", "presence_penalty", NO_WORDS},
        {HI ",\"frequency_penalty\":-1", "frequency_penalty", NO_WORDS},
        {HI ",\"modalities\":[\"text\",\"audio\"]", "modalities", NO_WORDS},
        {HI ",\"modalities\":\"text\"", "modalities", "must be an array"},
        {HI ",\"audio\":{}", "audio", NO_WORDS},
        {HI ",\"prediction\":{\"type\":\"content\"}", "prediction", NO_WORDS},
        {HI ",\"web_search_options\":{}", "web_search_options", NO_WORDS},
        {HI ",\"functions\":[{\"name\":\"f\"}]", "functions", NO_WORDS},
        {HI ",\"function_call\":\"auto\"", "function_call", NO_WORDS},
        {HI ",\"verbosity\":\"low\"", "verbosity", NO_WORDS},
        {HI ",\"min_p\":0.1", "min_p", NO_WORDS},
        {HI ",\"top_p\":1,\"top\\u005fp\":1", "top\\u005fp", "stands twice"},
        {HI ",\"temperature\":1.0000000000000000000000000001", "temperature", "must be from 0 to 1"},
        {HI ",\"temperature\":2", "temperature", "must be from 0 to 1"},
        {HI ",\"temperature\":0.01e2000", "temperature", "must be from 0 to 1"},
        {HI ",\"temperature\":11e-1", "temperature", "must be from 0 to 1"},
        {HI ",\"temperature\":-0.1", "temperature", "must be from 0 to 1"},
        {HI ",\"temperature\":\"1\"", "temperature", "must be a number, not a string"},
        {HI ",\"top_p\":true", "top_p", "must be a number"},
        {HI ",\"max_tokens\":0", "max_tokens", "at least 1"},
        {HI ",\"stop\":1", "stop", "must be a string or an array"},
        {HI ",\"stop\":[\"a\",2]", "stop.1", "must be a string, not a number"},
        {HI ",\"user\":1", "user", "must be a string"},
        {HI ",\"reasoning_effort\":\"much\"", "reasoning_effort", "must be none,"},
        {HI ",\"reasoning_effort\":3", "reasoning_effort", "must be a string"},
        {HI ",\"reasoning_effort\":\"low\",\"thinking\":{\"type\":\"enabled\"}", "reasoning_effort",
         "give one of them"},
        {HI ",\"thinking\":true", "thinking", "must be an object"},
        {HI ",\"response_format\":\"json\"", "response_format", "must be an object"},
        {HI ",\"response_format\":{}", "response_format.type", "is missing"},
        {HI ",\"response_format\":{\"type\":\"grammar\"}", "response_format.type",
         "must be text, json_object or json_schema"},
        {HI ",\"response_format\":{\"type\":\"json_schema\"}", "response_format.json_schema", "is missing"},
        {HI ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\"}}",
         "response_format.json_schema.schema", "is missing"},
        {HI ",\"response_format\":{\"type\":\"json_object\"},\"reasoning_effort\":\"high\"", "response_format",
         "thinks"},
        {HI
         ",\"response_format\":{\"type\":\"json_object\"},\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}",
         "response_format", "thinks"},
        {HI ",\"response_format\":{\"type\":\"json_object\"},\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
            "\"json_\\u0061nswer\"}}]",
         "tools.0.function.name", "must not be json_answer"},
        {HI ",\"tools\":{}", "tools", "must be an array"},
        {HI ",\"tools\":[1]", "tools.0", "must be an object, not a number"},
        {HI ",\"tools\":[{\"function\":{\"name\":\"f\"}}]", "tools.0.type", "is missing"},
        {HI ",\"tools\":[{\"type\":\"custom\",\"custom\":{}}]", "tools.0.type", NO_WORDS},
        {HI ",\"tools\":[{\"type\":\"function\"}]", "tools.0.function", "is missing"},
        {HI ",\"tools\":[{\"type\":\"function\",\"function\":{}}]", "tools.0.function.name", "is missing"},
        {HI ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"\"}}]", "tools.0.function.name", "is empty"},
        {HI ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":[]}}]",
         "tools.0.function.parameters", "must be an object, not an array"},
        {HI ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":1}}]",
         "tools.0.function.strict", "must be true or false"},
        {HI ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"returns\":{}}}]",
         "tools.0.function.returns", NO_WORDS},
        {HI ",\"parallel_tool_calls\":1", "parallel_tool_calls", "must be true or false"},
        {HI ",\"tool_choice\":\"required\"", "tool_choice", "there are no 'tools'"},
        {HI "," F ",\"tool_choice\":\"any\"", "tool_choice", "must be none, auto, required"},
        {HI "," F ",\"tool_choice\":7", "tool_choice", "must be none, auto, required"},
        {HI "," F ",\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{}}", "tool_choice.type", NO_WORDS},
        {HI "," F ",\"tool_choice\":{\"type\":\"function\"}", "tool_choice.function", "is missing"},
        {HI "," F ",\"tool_choice\":{\"type\":\"function\",\"function\":{}}", "tool_choice.function.name",
         "is missing"},
        {"\"messages\":[]", "messages", "is empty"},
        {"\"messages\":[{\"role\":\"system\",\"content\":\"s\"}]", "messages", "nothing but system messages"},
        {"\"messages\":[1]", "messages.0", "must be an object, not a number"},
        {"\"messages\":[{}]", "messages.0.role", "is missing"},
        {"\"messages\":[{\"role\":7}]", "messages.0.role", "must be a string"},
        {"\"messages\":[{\"role\":\"function\",\"name\":\"f\",\"content\":\"x\"}]", "messages.0.role",
         "must be system,"},
        {"\"messages\":[{\"role\":\"user\"}]", "messages.0.content", "is missing"},
        {"\"messages\":[{\"role\":\"user\",\"content\":null}]", "messages.0.content", "is missing"},
        {"\"messages\":[{\"role\":\"user\",\"content\":\"\"}]", "messages.0.content", "is empty"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[]}]", "messages.0.content", "is empty"},
        {"\"messages\":[{\"role\":\"user\",\"content\":{}}]", "messages.0.content", "must be a string or an array"},
        {"\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"name\":\"bob\"}]", "messages.0.name", NO_WORDS},
        {"\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"mood\":{}}]", "messages.0.mood", NO_WORDS},
        {"\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"tool_calls\":[{}]}]", "messages.0.tool_calls", NO_WORDS},
        {"\"messages\":[" PARTS("7") "]", "messages.0.content.0", "must be an object"},
        {"\"messages\":[" PARTS("{}") "]", "messages.0.content.0.type", "is missing"},
        {"\"messages\":[" PARTS("{\"type\":\"text\"}") "]", "messages.0.content.0.text", "is missing"},
        {"\"messages\":[" PARTS(TEXT("a") "," TEXT("")) "]", "messages.0.content.1.text", "is empty"},
        {"\"messages\":[" PARTS("{\"type\":\"text\",\"text\":\"a\",\"image_url\":{}}") "]",
         "messages.0.content.0.image_url", NO_WORDS},
        {"\"messages\":[" PARTS("{\"type\":\"input_audio\",\"input_audio\":{}}") "]", "messages.0.content.0.type",
         NO_WORDS},
        {"\"messages\":[" PARTS("{\"type\":\"video_url\"}") "]", "messages.0.content.0.type", NO_WORDS},
        {"\"messages\":[" PARTS("{\"type\":\"refusal\",\"refusal\":\"x\"}") "]", "messages.0.content.0.type", NO_WORDS},
        {"\"messages\":[" PARTS("{\"type\":\"image_url\"}") "]", "messages.0.content.0.image_url", "must be an object"},
        {"\"messages\":[" PARTS("{\"type\":\"image_url\",\"image_url\":{\"url\":\"ftp://x\"}}") "]",
         "messages.0.content.0.image_url.url", "must begin with"},
        {"\"messages\":[" PARTS("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png,abc\"}}") "]",
         "messages.0.content.0.image_url.url", "must begin with"},
        {"\"messages\":[" PARTS("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/tiff;base64,abc\"}}") "]",
         "messages.0.content.0.image_url.url", "JPEG, PNG, GIF or WebP"},
        {"\"messages\":[" PARTS("{\"type\":\"file\",\"file\":{\"file_id\":\"f\"}}") "]",
         "messages.0.content.0.file.file_id", NO_WORDS},
        {"\"messages\":[" PARTS("{\"type\":\"file\",\"file\":{\"file_data\":\"data:text/plain;base64,QQ==\"}}") "]",
         "messages.0.content.0.file.file_data", "application/pdf"},
        {"\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}," USER("a") "]",
         "messages.0.content.0.type", NO_WORDS},
        {"\"messages\":[" USER("a") ",{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"system\",\"content\":"
                                    "\"s\"}," USER("c") "]",
         "messages.2", "must follow one of the user's"},
        {"\"messages\":[" USER("a") ",{\"role\":\"system\",\"content\":\"s\"}," USER("b") "]", "messages.2",
         "must come last"},
        {"\"messages\":[" USER("a") ",{\"role\":\"assistant\",\"content\":\"\"}]", "messages.1.content", "is empty"},
        {"\"messages\":[" USER("a") ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]}]",
         "messages.1.content", "is empty"},
        {"\"messages\":[" USER("a") ",{\"role\":\"assistant\",\"tool_calls\":{}}]", "messages.1.tool_calls",
         "must be an array"},
        {"\"messages\":[" USER(
                 "a") ",{\"role\":\"assistant\",\"content\":\"x\",\"thinking_blocks\":[{\"type\":\"text\"}]}]",
         "messages.1.thinking_blocks.0", "of type thinking"},
        {"\"messages\":[" USER("a") ",{\"role\":\"assistant\",\"content\":\"x\",\"thinking_blocks\":{}}]",
         "messages.1.thinking_blocks", "must be an array"},
        {"\"messages\":[" USER("a") ",{\"role\":\"assistant\",\"content\":\"x\",\"function_call\":{\"name\":\"f\"}}]",
         "messages.1.function_call", NO_WORDS},
        {"\"messages\":[" USER("a") "," CALLS("7") "]", "messages.1.tool_calls.0", "must be an object"},
        {"\"messages\":[" USER("a") "," CALLS("{\"type\":\"function\"}") "]", "messages.1.tool_calls.0.id",
         "is missing"},
        {"\"messages\":[" USER("a") "," CALLS("{\"id\":\"\",\"type\":\"function\"}") "]", "messages.1.tool_calls.0.id",
         "is empty"},
        {"\"messages\":[" USER("a") "," CALLS("{\"id\":\"1\",\"type\":\"custom\"}") "]", "messages.1.tool_calls.0.type",
         NO_WORDS},
        {"\"messages\":[" USER("a") "," CALLS("{\"id\":\"1\"}") "]", "messages.1.tool_calls.0.function", "is missing"},
        {"\"messages\":[" USER("a") "," CALLS("{\"id\":\"1\",\"function\":{\"arguments\":\"{}\"}}") "]",
         "messages.1.tool_calls.0.function.name", "is missing"},
        {"\"messages\":[" USER("a") "," CALLS("{\"id\":\"1\",\"function\":{\"name\":\"f\"}}") "]",
         "messages.1.tool_calls.0.function.arguments", "is missing"},
        {"\"messages\":[" USER("a") "," CALLS("{\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":{}}}") "]",
         "messages.1.tool_calls.0.function.arguments", "must be a string, not an object"},
        {"\"messages\":[" USER("a") "," CALLS(CALL("1", "{}") "," CALL("2", "{\\\"a\\\":")) "]",
         "messages.1.tool_calls.1.function.arguments", "is not a JSON object in a string"},
        {"\"messages\":[" USER("a") "," CALLS(CALL("1", "[1]")) "]", "messages.1.tool_calls.0.function.arguments",
         "is not a JSON object in a string"},
        {"\"messages\":[" USER("a") "," CALLS(CALL("1", "{}") "," CALL("\\u0031", "{}")) "]",
         "messages.1.tool_calls.1.id", "is the id of two calls"},
        {"\"messages\":[" USER("a") "," CALLS(CALL("1", "{}")) "," USER("b") "]", "messages.1",
         "'1') that has no result"},
        {"\"messages\":[" USER("a") "," CALLS(CALL("1", "{}") "," CALL("2", "{}")) "," RESULT("1", "x") "]",
         "messages.1", "'2') that has no result"},
        {"\"messages\":[" USER("a") "," CALLS(CALL("1", "{}")) "," RESULT("2", "x") "]", "messages.2.tool_call_id",
         "names no tool call"},
        {"\"messages\":[" USER("a") "," CALLS(CALL("1", "{}")) "," RESULT("1", "x") "," RESULT("1", "x") "]",
         "messages.3.tool_call_id", "has its result already"},
        {"\"messages\":[" USER("a") "," CALLS(CALL("1", "{}")) "," RESULT("1", "x") "," USER("b") "," RESULT("1",
                                                                                                             "x") "]",
         "messages.4.tool_call_id", "names no tool call"},
        {"\"messages\":[" RESULT("1", "x") "]", "messages.0.tool_call_id", "names no tool call"},
        {"\"messages\":[" USER("a") "," CALLS(CALL("1", "{}")) ",{\"role\":\"tool\",\"content\":\"x\"}]",
         "messages.2.tool_call_id", "is missing"},
        {"\"messages\":[" USER("a") "," CALLS(CALL("1", "{}")) ",{\"role\":\"tool\",\"tool_call_id\":\"1\"}]",
         "messages.2.content", "is missing"},
};

static void test_each_refusal_names_its_path(void **state)
{
        char body[2048];

        for (size_t i = 0; i < SG_N_ELEMENTS(refusals); i++) {
                struct told t;

                snprintf(body, sizeof(body), "{\"model\":\"m\",%s}", refusals[i].members);
                t = tell(body);
                assert_refused(&t, body, refusals[i].param, refusals[i].text);
        }
}

static void test_a_turn_has_so_many_calls(void **state)
{
        struct sg_buf body;
        struct told t;

        for (unsigned n = SG_TOOL_CALLS_MAX; n <= SG_TOOL_CALLS_MAX + 1; n++) {
                sg_buf_init(&body, SIZE_MAX);
                assert_int_equal(sg_buf_printf(&body,
                                               "{\"model\":\"m\",\"messages\":[" USER("a") ",{\"role\":\"assistant\","
                                                                                           "\"tool_calls\":["),
                                 0);
                for (unsigned i = 0; i < n; i++)
                        assert_int_equal(sg_buf_printf(&body,
                                                       "%s{\"id\":\"c%u\",\"function\":{\"name\":\"f\",\"arguments\":"
                                                       "\"{}\"}}",
                                                       i ? "," : "", i),
                                         0);
                assert_int_equal(sg_buf_add(&body, sg_str_make("]}]}", sizeof("]}]}"))), 0);
                t = tell(sg_buf_view(&body).p);
                if (n > SG_TOOL_CALLS_MAX)
                        assert_refused(&t, "many calls", "messages.1.tool_calls.256", "one too many");
                assert_int_equal(t.r, n > SG_TOOL_CALLS_MAX ? SG_LLM_E_BAD_FIELD : 0);
                sg_buf_done(&t.out);
                sg_buf_done(&body);
        }
}

static void test_a_list_of_dropped_members_ends_where_it_is_full(void **state)
{
        static const char body[] =
                "{\"model\":\"m\",\"metadata\":{},\"service_tier\":\"auto\",\"store\":false,\"seed\":1,\"prompt_cache_"
                "key\":\"k\","
                "\"prompt_cache_retention\":\"24h\",\"prompt_cache_options\":{},\"user\":\"u\",\"safety_identifier\":"
                "\"s\","
                "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"description\":\"d\","
                "\"schema\":{}}},"
                "\"messages\":[" USER(
                        "q") ",{\"role\":\"assistant\",\"content\":\"a\",\"reasoning\":\"r\",\"reasoning_details\":"
                             "[{}],\"reasoning_content\":\"r\"}," USER(
                                     "q") ",{\"role\":\"assistant\",\"content\":\"a\",\"reasoning\":\"r\"}]}";
        struct told t = tell(body);

        assert_int_equal(t.r, 0);
        assert_string_equal(t.notes.dropped,
                            "metadata, service_tier, store, seed, prompt_cache_key, prompt_cache_retention, "
                            "prompt_cache_options, response_format.json_schema.description, user, ...");
        sg_buf_done(&t.out);
}

static void test_a_long_path_is_cut_at_a_character(void **state)
{
        static const char body[] =
                "{\"model\":\"m\"," HI ",\"response_format\":{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                "aaaaa\xc3\xa9\xc3\xa9\xc3\xa9\":1}}";
        struct told t = tell(body);

        assert_refused(&t, body, "response_format.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NO_WORDS);
}

static void test_an_output_that_is_full_is_told(void **state)
{
        char body[4096];

        for (size_t i = 0; i < SG_N_ELEMENTS(conversations); i++) {
                snprintf(body, sizeof(body),
                         "{\"model\":\"m\",\"messages\":[%s],\"stream\":true,\"stop\":\"x\",\"user\":\"u\"," F JSON_MODE
                         "}",
                         conversations[i].messages);
                assert_full_is_told(sg_chat_request_to_messages, SG_OP_CHAT, "claude-x", body);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_parameter_has_its_place),
                cmocka_unit_test(test_json_mode_is_a_tool),
                cmocka_unit_test(test_max_tokens_leaves_room_for_thinking),
                cmocka_unit_test(test_a_limit_is_named_where_nobody_gave_one),
                cmocka_unit_test(test_thinking_is_asked_for_as_the_model_knows_it),
                cmocka_unit_test(test_each_conversation_has_its_words),
                cmocka_unit_test(test_each_refusal_names_its_path),
                cmocka_unit_test(test_a_turn_has_so_many_calls),
                cmocka_unit_test(test_a_list_of_dropped_members_ends_where_it_is_full),
                cmocka_unit_test(test_a_long_path_is_cut_at_a_character),
                cmocka_unit_test(test_an_output_that_is_full_is_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
