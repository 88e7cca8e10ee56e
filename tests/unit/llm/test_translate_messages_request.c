#include "translate_request.h"

static struct told tell(const char *body)
{
        return tell_model(sg_messages_request_to_chat, SG_OP_MESSAGES, "kimi-k2", body, SIZE_MAX);
}

#define HEAD "{\"model\":\"kimi-k2\",\"max_tokens\":9"
#define HI   "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

/* members of a messages request beside model, max_tokens and one message; members of chat before "messages" and after it */
static const struct {
        const char *members, *before, *after, *dropped;
} params[] = {
        {"\"stream\":true", ",\"stream\":true,\"stream_options\":{\"include_usage\":true}", "", ""},
        {"\"stream\":false,\"container\":null,\"mcp_servers\":[]", "", "", ""},
        {"\"temperature\":0.70,\"top_p\":1e-1", ",\"temperature\":0.70,\"top_p\":1e-1", "", ""},
        {"\"stop_sequences\":[ \"\\u0045\",\"b\"]", ",\"stop\":[ \"\\u0045\",\"b\"]", "", ""},
        {"\"stop_sequences\":[]", "", "", ""},
        {"\"metadata\":{\"user_id\":\"u\\\"1\"}", ",\"user\":\"u\\\"1\"", "", ""},
        {"\"metadata\":{}", "", "", ""},
        {"\"service_tier\":\"auto\",\"cache_control\":{\"type\":\"ephemeral\"}", "", "", "service_tier, cache_control"},
        {"\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}", ",\"reasoning_effort\":\"low\"", "", ""},
        {"\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":4095}", ",\"reasoning_effort\":\"low\"", "", ""},
        {"\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":4096}", ",\"reasoning_effort\":\"medium\"", "", ""},
        {"\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":16383}", ",\"reasoning_effort\":\"medium\"", "", ""},
        {"\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":16384}", ",\"reasoning_effort\":\"high\"", "", ""},
        {"\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":32767}", ",\"reasoning_effort\":\"high\"", "", ""},
        {"\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":32768,\"display\":\"omitted\"}",
         ",\"reasoning_effort\":\"xhigh\"", "", "thinking.display"},
        {"\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000},\"output_config\":{\"effort\":\"max\"}",
         ",\"reasoning_effort\":\"max\"", "", "thinking.budget_tokens"},
        {"\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"medium\"}",
         ",\"reasoning_effort\":\"medium\"", "", ""},
        {"\"thinking\":{\"type\":\"adaptive\"}", "", "", "thinking"},
        {"\"output_config\":{\"effort\":\"low\"}", ",\"reasoning_effort\":\"low\"", "", ""},
        {"\"thinking\":{\"type\":\"disabled\"},\"output_config\":{\"effort\":\"low\"}", "", "",
         "thinking, output_config.effort"},
        {"\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"x\" : "
         "123456789012345678901234567890.50,"
         "\"x\":\"\\u00e9\\/\"}}}",
         ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"strict\":true,"
         "\"schema\":"
         "{\"x\" : 123456789012345678901234567890.50,\"x\":\"\\u00e9\\/\"}}}",
         "", ""},
        {"\"tools\":[],\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true}", "", "", ""},
        {"\"tools\":[{\"name\":\"f\",\"description\":\"\\u0064\",\"strict\":true,\"input_schema\":{\"type\":\"object\","
         " "
         "\"big\":1e400,\"a\":1,\"\\u0061\":2},\"cache_control\":{\"type\":\"ephemeral\"}},{\"type\":\"custom\","
         "\"name\":\"g\","
         "\"input_schema\":{},\"eager_input_streaming\":true,\"defer_loading\":false,\"input_examples\":[]}]",
         "",
         ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"\\u0064\",\"parameters\":{"
         "\"type\":"
         "\"object\", "
         "\"big\":1e400,\"a\":1,\"\\u0061\":2},\"strict\":true}},{\"type\":\"function\",\"function\":{\"name\":"
         "\"g\",\"parameters\":{}}}]",
         "cache_control, eager_input_streaming"},
#define F      "\"tools\":[{\"name\":\"f\",\"input_schema\":{}}]"
#define F_TOLD ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}]"
        {F ",\"tool_choice\":{\"type\":\"auto\"}", "", F_TOLD ",\"tool_choice\":\"auto\"", ""},
        {F ",\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":true}", "",
         F_TOLD ",\"tool_choice\":\"required\",\"parallel_tool_calls\":false", ""},
        {F ",\"tool_choice\":{\"type\":\"none\"}", "", F_TOLD ",\"tool_choice\":\"none\"", ""},
        {F ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"\\u0066\",\"disable_parallel_tool_use\":false}", "",
         F_TOLD ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"\\u0066\"}}", ""},
};

static void test_each_parameter_has_its_place(void **state)
{
        char body[2048], want[2048];

        for (size_t i = 0; i < SG_N_ELEMENTS(params); i++) {
                struct told t;

                snprintf(body, sizeof(body), "{\"model\":\"m\",\"max_tokens\":9," HI ",%s}", params[i].members);
                snprintf(want, sizeof(want), HEAD "%s," HI "%s}", params[i].before, params[i].after);
                t = tell(body);
                assert_told(&t, body, want);
                assert_string_equal(t.notes.dropped, params[i].dropped);
                assert_false(t.notes.is_json_by_tool);
        }
}

static void test_the_limit_is_named_as_the_model_knows_it(void **state)
{
        static const struct {
                const char *model, *name;
        } cases[] = {
                {"gpt-5.2", "max_completion_tokens"},
                {"gpt-4o", "max_completion_tokens"},
                {"o3-mini", "max_completion_tokens"},
                {"openai/o1", "max_completion_tokens"},
                {"chatgpt-4o-latest", "max_completion_tokens"},
                {"codex-mini", "max_completion_tokens"},
                {"gpt-oss-120b", "max_tokens"},
                {"openai/gpt-oss-20b", "max_tokens"},
                {"deepseek-chat", "max_tokens"},
                {"olmo-2", "max_tokens"},
                {"mistral-large", "max_tokens"},
                {"o", "max_tokens"},
        };
        static const char body[] = "{\"model\":\"m\",\"max_tokens\":9.0," HI "}";

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                char want[256];
                struct told t = tell_model(sg_messages_request_to_chat, SG_OP_MESSAGES, cases[i].model, body, SIZE_MAX);

                snprintf(want, sizeof(want), "{\"model\":\"%s\",\"%s\":9," HI "}", cases[i].model, cases[i].name);
                assert_told(&t, body, want);
        }
}

/* conversations: members beside model and max_tokens; the chat's messages; what is dropped */
#define SAY(who, what)  "{\"role\":\"" who "\",\"content\":\"" what "\"}"
#define BLOCKS(who, in) "{\"role\":\"" who "\",\"content\":[" in "]}"
#define TEXT(text)      "{\"type\":\"text\",\"text\":\"" text "\"}"
#define USE(id, input)  "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"f\",\"input\":" input "}"
#define CALL(id, arguments)                                                                                            \
        "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"" arguments "\"}}"
#define RESULT(id, more)      "{\"type\":\"tool_result\",\"tool_use_id\":\"" id "\"" more "}"
#define TOOL(id, content)     "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":" content "}"
#define CALLS(content, calls) "{\"role\":\"assistant\",\"content\":" content ",\"tool_calls\":[" calls "]}"
#define ASK(messages)         "\"messages\":[" SAY("user", "q") "," messages "]"

static const struct {
        const char *members, *told, *dropped;
} conversations[] = {
        {"\"messages\":[" SAY("user", "\\ud83d\\ude00 \xc3\xa9 \\/ \\\" \\u0000") "]",
         SAY("user", "\\ud83d\\ude00 \xc3\xa9 \\/ \\\" \\u0000"), ""},
        {"\"system\":\"s\\n\"," HI, SAY("system", "s\\n") "," SAY("user", "hi"), ""},
        {"\"system\":\"\"," HI, SAY("user", "hi"), ""},
        {"\"system\":[]," HI, SAY("user", "hi"), ""},
        {"\"system\":[{\"type\":\"text\",\"text\":\"s\",\"cache_control\":{\"type\":\"ephemeral\"}}]," HI,
         SAY("system", "s") "," SAY("user", "hi"), "cache_control"},
        {"\"system\":[" TEXT("s") "," TEXT("t") "]," HI,
         BLOCKS("system", TEXT("s") "," TEXT("t")) "," SAY("user", "hi"), ""},
        {ASK(SAY("system", "s") "," SAY("assistant", "a") "," SAY("user", "b")),
         SAY("user", "q") "," SAY("system", "s") "," SAY("assistant", "a") "," SAY("user", "b"), ""},
        /* one text is a string, in the assistant's turn several are one */
        {"\"messages\":[" BLOCKS("user", TEXT("a")) "," BLOCKS("assistant", TEXT("b") "," TEXT("\\u0063")) "," BLOCKS(
                 "user", TEXT("d") "," TEXT("e")) "]",
         SAY("user", "a") "," SAY("assistant", "b\\u0063") "," BLOCKS("user", TEXT("d") "," TEXT("e")), ""},
        {"\"messages\":[" SAY("user", "a") "," BLOCKS(
                 "assistant", "{\"type\":\"text\",\"text\":\"b\",\"citations\":[{}]}") "," SAY("user", "c") "]",
         SAY("user", "a") "," SAY("assistant", "b") "," SAY("user", "c"), "citations"},
        /* tools: the input's bytes in a string, results before what the user says */
        {ASK(BLOCKS("assistant",
                    TEXT("let me") "," USE("1", "{\"a\": \"\\u00e9\\n\"}") "," USE(
                            "2",
                            "{\"n\":"
                            "12345678901234567"
                            "890123}")) "," BLOCKS("user",
                                                   RESULT("2", ",\"content\":\"two\\n\"") "," TEXT("go") "," RESULT(
                                                           "1", ",\"content\":[" TEXT("x") "," TEXT("y") "]"))),
         SAY("user", "q") "," CALLS(
                 "\"let me\"", CALL("1", "{\\\"a\\\": \\\"\\\\u00e9\\\\n\\\"}") "," CALL(
                                       "2", "{\\\""
                                            "n\\\""
                                            ":1234"
                                            "56789"
                                            "01234"
                                            "56789"
                                            "0123"
                                            "}")) "," TOOL("2", "\"two\\n\"") "," TOOL("1",
                                                                                       "[" TEXT("x") "," TEXT(
                                                                                               "y") "]") "," SAY("user",
                                                                                                                 "go"),
         ""},
        {ASK(BLOCKS("assistant",
                    "{\"type\":\"tool_use\",\"id\":\"1\",\"name\":\"f\",\"input\":{},\"caller\":{\"type\":"
                    "\"direct\"},\"cache_control\":{}}") "," BLOCKS("user",
                                                                    RESULT("1", ",\"content\":[" TEXT("x") "]"))),
         SAY("user", "q") "," CALLS("null", CALL("1", "{}")) "," TOOL("1", "\"x\""), "cache_control"},
        /* results in two messages; nothing in one; errors say so */
        {ASK(BLOCKS("assistant", USE("1", "{}") "," USE("2", "{}") "," USE("3", "{}") "," USE("4", "{}")) "," BLOCKS(
                 "user",
                 RESULT("1", "") "," RESULT(
                         "2",
                         ",\"is_error\":true,\"content\":[]")) "," BLOCKS("user",
                                                                          RESULT("3",
                                                                                 ",\"is_error\":true,\"content\":"
                                                                                 "\"no \\\"f\\\"\"") "," RESULT("4",
                                                                                                                ",\"is_"
                                                                                                                "error"
                                                                                                                "\":"
                                                                                                                "true,"
                                                                                                                "\"cont"
                                                                                                                "ent\":"
                                                                                                                "[" TEXT("a") "," TEXT(
                                                                                                                        "b") "]"))),
         SAY("user", "q") "," CALLS("null", CALL("1", "{}") "," CALL("2", "{}") "," CALL("3", "{}") "," CALL("4", "{}")) "," TOOL(
                 "1",
                 "\"\"") "," TOOL("2",
                                  "\"Error\"") "," TOOL("3",
                                                        "\"Error: no \\\"f\\\"\"") "," TOOL("4",
                                                                                            "[" TEXT("Error: a") "," TEXT(
                                                                                                    "b") "]"),
         ""},
        /* thinking */
        {ASK(BLOCKS("assistant",
                    "{\"type\":\"thinking\",\"thinking\":\"a\\n\",\"signature\":\"s\"},{\"type\":\"thinking\","
                    "\"thinking\":\"b\"}," USE("1", "{}")) "," BLOCKS("user", RESULT("1", ",\"content\":\"r\""))),
         SAY("user", "q") ",{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"a\\nb\",\"tool_calls\":"
                          "[" CALL("1", "{}") "]}," TOOL("1", "\"r\""),
         "thinking.signature"},
        {ASK(BLOCKS("assistant", "{\"type\":\"thinking\",\"thinking\":\"a\"}") "," SAY("user", "b")),
         SAY("user", "q") ",{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"a\"}," SAY("user", "b"),
         ""},
        /* pictures and documents */
        {"\"messages\":[" BLOCKS(
                 "user",
                 "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image\\/"
                 "png\",\"data\":\"iVBOR\\/+=\"},"
                 "\"cache_control\":{\"type\":\"ephemeral\"}},{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":"
                 "\"https:\\/\\/h\"}}," TEXT("what")) "]",
         BLOCKS("user", "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image\\/png;base64,iVBOR\\/+=\"}},"
                        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https:\\/\\/h\"}}," TEXT("what")),
         "cache_control"},
        {"\"messages\":[" BLOCKS("user", "{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":"
                                         "\"application/pdf\",\"data\":\"JVBE\"}},"
                                         "{\"type\":\"document\",\"title\":\"a\\\"b\",\"context\":\"c\",\"citations\":{"
                                         "\"enabled\":false},\"source\":"
                                         "{\"type\":\"base64\",\"media_type\":\"application/pdf\",\"data\":\"QQ\"}},"
                                         "{\"type\":\"document\",\"title\":\"t\",\"context\":\"c\",\"source\":{"
                                         "\"type\":\"text\",\"media_type\":"
                                         "\"text/plain\",\"data\":\"d\"}}") "]",
         BLOCKS("user",
                "{\"type\":\"file\",\"file\":{\"filename\":\"document.pdf\",\"file_data\":\"data:application/"
                "pdf;base64,"
                "JVBE\"}}," TEXT("c") ",{\"type\":\"file\",\"file\":{\"filename\":\"a\\\"b\",\"file_data\":"
                                      "\"data:application/pdf;base64,QQ\"}}," TEXT("t") "," TEXT("c") "," TEXT("d")),
         ""},
};

static void test_each_conversation_has_its_words(void **state)
{
        char body[4096], want[4096];

        for (size_t i = 0; i < SG_N_ELEMENTS(conversations); i++) {
                struct told t;

                snprintf(body, sizeof(body), "{\"model\":\"m\",\"max_tokens\":9,%s}", conversations[i].members);
                snprintf(want, sizeof(want), HEAD ",\"messages\":[%s]}", conversations[i].told);
                t = tell(body);
                assert_told(&t, body, want);
                assert_string_equal(t.notes.dropped, conversations[i].dropped);
        }
}

#define NO_WORDS             "cannot be expressed in the dialect of the provider of this model"
#define USER(in)             "\"messages\":[" BLOCKS("user", in) "]"
#define SOURCE(type, source) "{\"type\":\"" type "\",\"source\":" source "}"

static const struct {
        const char *members, *param, *text;
} refusals[] = {
        {HI ",\"top_k\":5", "top_k", NO_WORDS},
        {HI ",\"container\":\"c\"", "container", NO_WORDS},
        {HI ",\"mcp_servers\":[{}]", "mcp_servers", NO_WORDS},
        {HI ",\"context_management\":{}", "context_management", NO_WORDS},
        {HI ",\"inference_geo\":\"eu\"", "inference_geo", NO_WORDS},
        {HI ",\"whatever\":0", "whatever", NO_WORDS},
        {HI ",\"top_p\":1,\"top\\u005fp\":1", "top\\u005fp", "stands twice"},
        {HI ",\"temperature\":\"1\"", "temperature", "must be a number"},
        {HI ",\"stop_sequences\":\"a\"", "stop_sequences", "must be an array"},
        {HI ",\"stop_sequences\":[\"a\",null]", "stop_sequences.1", "must be a string, not null"},
        {HI ",\"metadata\":[1]", "metadata", "must be an object"},
        {HI ",\"metadata\":{\"user_id\":1}", "metadata.user_id", "must be a string"},
        {HI ",\"metadata\":{\"team\":\"x\"}", "metadata.team", NO_WORDS},
        {HI ",\"thinking\":{}", "thinking.type", "is missing"},
        {HI ",\"thinking\":{\"type\":\"hard\"}", "thinking.type", "must be enabled, disabled or adaptive"},
        {HI ",\"thinking\":{\"type\":\"enabled\"}", "thinking.budget_tokens", "is missing"},
        {HI ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1023}", "thinking.budget_tokens", "at least 1024"},
        {HI ",\"output_config\":{\"effort\":\"none\"}", "output_config.effort", "must be low,"},
        {HI ",\"output_config\":{\"task_budget\":{}}", "output_config.task_budget", NO_WORDS},
        {HI ",\"output_config\":{\"format\":{\"type\":\"text\"}}", "output_config.format.type", NO_WORDS},
        {HI ",\"output_config\":{\"format\":{\"type\":\"json_schema\"}}", "output_config.format.schema", "is missing"},
        {HI ",\"tools\":{}", "tools", "must be an array"},
        {HI ",\"tools\":[1]", "tools.0", "must be an object"},
        {HI ",\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\",\"max_uses\":5}]", "tools.0.type",
         NO_WORDS},
        {HI ",\"tools\":[{\"input_schema\":{}}]", "tools.0.name", "is missing"},
        {HI ",\"tools\":[{\"name\":\"\",\"input_schema\":{}}]", "tools.0.name", "is empty"},
        {HI ",\"tools\":[{\"name\":\"f\"}]", "tools.0.input_schema", "is missing"},
        {HI ",\"tools\":[{\"name\":\"f\",\"input_schema\":{},\"strict\":1}]", "tools.0.strict",
         "must be true or false"},
        {HI ",\"tools\":[{\"name\":\"f\",\"input_schema\":{},\"defer_loading\":true}]", "tools.0.defer_loading",
         NO_WORDS},
        {HI ",\"tools\":[{\"name\":\"f\",\"input_schema\":{},\"input_examples\":[{}]}]", "tools.0.input_examples",
         NO_WORDS},
        {HI ",\"tool_choice\":{\"type\":\"any\"}", "tool_choice", "there are no 'tools'"},
        {HI "," F ",\"tool_choice\":\"auto\"", "tool_choice", "must be an object"},
        {HI "," F ",\"tool_choice\":{}", "tool_choice.type", "is missing"},
        {HI "," F ",\"tool_choice\":{\"type\":\"some\"}", "tool_choice.type", "must be auto, any, tool or none"},
        {HI "," F ",\"tool_choice\":{\"type\":\"tool\"}", "tool_choice.name", "is missing"},
        {HI "," F ",\"tool_choice\":{\"type\":\"auto\",\"name\":\"f\"}", "tool_choice.name", NO_WORDS},
        {HI ",\"system\":7", "system", "must be a string or an array"},
        {HI ",\"system\":[" TEXT("a") ",{\"type\":\"image\"}]", "system.1.type", NO_WORDS},
        {HI ",\"system\":[" TEXT("") "]", "system.0.text", "is empty"},
        {"\"messages\":[]", "messages", "is empty"},
        {"\"messages\":[7]", "messages.0", "must be an object"},
        {"\"messages\":[{\"content\":\"x\"}]", "messages.0.role", "is missing"},
        {"\"messages\":[" SAY("tool", "x") "]", "messages.0.role", "must be user, assistant or system"},
        {"\"messages\":[{\"role\":\"user\"}]", "messages.0.content", "is missing"},
        {"\"messages\":[" SAY("user", "") "]", "messages.0.content", "is empty"},
        {USER(""), "messages.0.content", "is empty"},
        {"\"messages\":[{\"role\":\"user\",\"content\":{}}]", "messages.0.content", "must be a string or an array"},
        {"\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"mood\":1}]", "messages.0.mood", NO_WORDS},
        {USER("1"), "messages.0.content.0", "must be an object"},
        {USER("{}"), "messages.0.content.0.type", "is missing"},
        {USER("{\"type\":1}"), "messages.0.content.0.type", "must be a string"},
        {USER("{\"type\":\"text\"}"), "messages.0.content.0.text", "is missing"},
        {USER(TEXT("a") "," TEXT("")), "messages.0.content.1.text", "is empty"},
        {USER("{\"type\":\"text\",\"text\":\"a\",\"source\":{}}"), "messages.0.content.0.source", NO_WORDS},
        {USER("{\"type\":\"search_result\",\"content\":[]}"), "messages.0.content.0.type", NO_WORDS},
        {USER("{\"type\":\"thinking\",\"thinking\":\"x\"}"), "messages.0.content.0.type", NO_WORDS},
        {USER(USE("1", "{}")), "messages.0.content.0.type", NO_WORDS},
        {USER("{\"type\":\"image\"}"), "messages.0.content.0.source", "is missing"},
        {USER(SOURCE("image", "{}")), "messages.0.content.0.source.type", "is missing"},
        {USER(SOURCE("image", "{\"type\":\"file\",\"file_id\":\"f\"}")), "messages.0.content.0.source.type", NO_WORDS},
        {USER(SOURCE("image", "{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"d\"}")),
         "messages.0.content.0.source.type", NO_WORDS},
        {USER(SOURCE("image", "{\"type\":\"base64\",\"data\":\"d\"}")), "messages.0.content.0.source.media_type",
         "is missing"},
        {USER(SOURCE("image", "{\"type\":\"base64\",\"media_type\":\"image/png\"}")),
         "messages.0.content.0.source.data", "is missing"},
        {USER(SOURCE("image", "{\"type\":\"url\"}")), "messages.0.content.0.source.url", "is missing"},
        {USER(SOURCE("document", "{\"type\":\"url\",\"url\":\"https://h\"}")), "messages.0.content.0.source.type",
         NO_WORDS},
        {USER(SOURCE("document", "{\"type\":\"content\",\"content\":\"x\"}")), "messages.0.content.0.source.type",
         NO_WORDS},
        {USER(SOURCE("document", "{\"type\":\"base64\",\"media_type\":\"text/rtf\",\"data\":\"d\"}")),
         "messages.0.content.0.source.media_type", NO_WORDS},
        {USER("{\"type\":\"document\",\"citations\":{\"enabled\":true},\"source\":{}}"),
         "messages.0.content.0.citations", NO_WORDS},
        {USER("{\"type\":\"document\",\"title\":1,\"source\":{}}"), "messages.0.content.0.title", "must be a string"},
        {ASK(BLOCKS("assistant", "{\"type\":\"redacted_thinking\",\"data\":\"d\"}") "," SAY("user", "x")),
         "messages.1.content.0.type", NO_WORDS},
        {ASK(BLOCKS("assistant", "{\"type\":\"server_tool_use\",\"id\":\"1\"}") "," SAY("user", "x")),
         "messages.1.content.0.type", NO_WORDS},
        {ASK(BLOCKS("assistant", "{\"type\":\"thinking\"}") "," SAY("user", "x")), "messages.1.content.0.thinking",
         "is missing"},
        {ASK(SAY("assistant", "so")), "messages.1", "comes last"},
        {ASK(BLOCKS("assistant", "{\"type\":\"tool_use\",\"name\":\"f\",\"input\":{}}") "," SAY("user", "x")),
         "messages.1.content.0.id", "is missing"},
        {ASK(BLOCKS("assistant", "{\"type\":\"tool_use\",\"id\":\"1\",\"input\":{}}") "," SAY("user", "x")),
         "messages.1.content.0.name", "is missing"},
        {ASK(BLOCKS("assistant", USE("1", "\"{}\"")) "," SAY("user", "x")), "messages.1.content.0.input",
         "must be an object, not a string"},
        {ASK(BLOCKS("assistant", "{\"type\":\"tool_use\",\"id\":\"1\",\"name\":\"f\",\"input\":{},\"caller\":{\"type\":"
                                 "\"code_execution_20250825\"}}") "," SAY("user", "x")),
         "messages.1.content.0.caller", NO_WORDS},
        {ASK(BLOCKS("assistant", USE("1", "{}") "," USE("1", "{}")) "," SAY("user", "x")), "messages.1.content.1.id",
         "is the id of two calls"},
        {ASK(BLOCKS("assistant", USE("1", "{}")) "," SAY("user", "x")), "messages.1", "'1') that has no result"},
        {ASK(BLOCKS("assistant", USE("1", "{}") "," USE("2", "{}")) "," BLOCKS("user", RESULT("1", ""))), "messages.1",
         "'2') that has no result"},
        {ASK(BLOCKS("assistant", USE("1", "{}")) "," SAY("system", "x") "," SAY("user", "x")), "messages.1",
         "has no result"},
        {ASK(BLOCKS("assistant", USE("1", "{}")) "," SAY("assistant", "x") "," SAY("user", "x")), "messages.1",
         "has no result"},
        {USER(RESULT("1", "")), "messages.0.content.0.tool_use_id", "names no tool call"},
        {ASK(BLOCKS("assistant", USE("1", "{}")) "," BLOCKS("user", RESULT("1", "") "," RESULT("1", ""))),
         "messages.2.content.1.tool_use_id", "has its result already"},
        {ASK(BLOCKS("assistant", USE("1", "{}")) "," BLOCKS("user", RESULT("1", "") "," TEXT("x")) "," BLOCKS(
                 "user", RESULT("1", ""))),
         "messages.3.content.0.tool_use_id", "names no tool call"},
        {ASK(BLOCKS("assistant", USE("1", "{}")) "," BLOCKS("user", "{\"type\":\"tool_result\"}")),
         "messages.2.content.0.tool_use_id", "is missing"},
        {ASK(BLOCKS("assistant", USE("1", "{}")) "," BLOCKS("user", RESULT("1", ",\"content\":7"))),
         "messages.2.content.0.content", "must be a string or an array"},
        {ASK(BLOCKS("assistant", USE("1", "{}")) "," BLOCKS("user", RESULT("1", ",\"is_error\":\"yes\""))),
         "messages.2.content.0.is_error", "must be true or false"},
        {ASK(BLOCKS("assistant", USE("1", "{}")) "," BLOCKS(
                 "user", RESULT("1", ",\"content\":[" TEXT("a") "," SOURCE("image", "{}") "]"))),
         "messages.2.content.0.content.1.type", NO_WORDS},
};

static void test_each_refusal_names_its_path(void **state)
{
        char body[2048];

        for (size_t i = 0; i < SG_N_ELEMENTS(refusals); i++) {
                struct told t;

                snprintf(body, sizeof(body), "{\"model\":\"m\",\"max_tokens\":9,%s}", refusals[i].members);
                t = tell(body);
                assert_refused(&t, body, refusals[i].param, refusals[i].text);
        }
}

static void test_a_limit_must_be_there(void **state)
{
        static const char *const bodies[][2] = {
                {"{\"model\":\"m\"," HI "}", "is missing"},
                {"{\"model\":\"m\"," HI ",\"max_tokens\":0}", "at least 1"},
                {"{\"model\":\"m\"," HI ",\"max_tokens\":\"9\"}", "must be a number"},
        };
        struct sg_translate_options options = {.upstream_model = SG_STR("m")};

        for (size_t i = 0; i < SG_N_ELEMENTS(bodies); i++) {
                struct told t = {0};

                sg_buf_init(&t.out, SIZE_MAX);
                t.r = sg_messages_request_to_chat(&t.out, sg_str_from(bodies[i][0]), &options, &t.notes, &t.fault);
                assert_refused(&t, bodies[i][0], "max_tokens", bodies[i][1]);
        }
}

/* What chat says comes back as it was, where messages has the same words. */
static void test_there_and_back_is_the_same(void **state)
{
        static const char *const bodies[] = {
                "{\"model\":\"m\",\"max_tokens\":9," HI "}",
                "{\"model\":\"m\",\"max_tokens\":9,\"stream\":true,\"stream_options\":{"
                "\"include_usage\":true},"
                "\"temperature\":0.50,\"top_p\":1,\"stop\":[\"a\"],\"user\":\"u\",\"messages\":"
                "[" SAY("system", "s") "," SAY("user", "q") "," CALLS("\"t\"", CALL("1", "{\\\"a\\\":1e99}")) "," TOOL(
                        "1", "\"r\"") "," SAY("user", "go") "],\"tools\":"
                                                            "[{\"type\":"
                                                            "\"function\""
                                                            ",\"function"
                                                            "\":{"
                                                            "\"name\":"
                                                            "\"f\","
                                                            "\"descriptio"
                                                            "n\":\"d\","
                                                            "\"parameters"
                                                            "\":{\"a\":1}"
                                                            ","
                                                            "\"strict\":"
                                                            "true}}],"
                                                            "\"tool_"
                                                            "choice\":"
                                                            "\"required\""
                                                            ",\"parallel_"
                                                            "tool_"
                                                            "calls\":"
                                                            "false}",
                "{\"model\":\"m\",\"max_tokens\":9000,\"reasoning_effort\":\"medium\","
                "\"messages\":[" BLOCKS("user", "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/"
                                                "png;base64,QQ==\"}},{\"type\":"
                                                "\"file\",\"file\":{\"filename\":\"f.pdf\",\"file_data\":"
                                                "\"data:application/pdf;base64,QQ==\"}}," TEXT("x")) "]}",
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(bodies); i++) {
                struct told there = tell_model(sg_chat_request_to_messages, SG_OP_CHAT, "m", bodies[i], SIZE_MAX), back;

                assert_int_equal(there.r, 0);
                assert_int_equal(sg_buf_add(&there.out, sg_str_make("", 1)), 0);
                back = tell_model(sg_messages_request_to_chat, SG_OP_MESSAGES, "m", sg_buf_view(&there.out).p,
                                  SIZE_MAX);
                assert_told(&back, sg_buf_view(&there.out).p, bodies[i]);
                sg_buf_done(&there.out);
        }
}

static void test_an_output_that_is_full_is_told(void **state)
{
        char body[4096];

        for (size_t i = 0; i < SG_N_ELEMENTS(conversations); i++) {
                snprintf(body, sizeof(body),
                         "{\"model\":\"m\",\"max_tokens\":9,%s,\"stream\":true,\"stop_sequences\":[\"x\"],\"metadata\":"
                         "{\"user_id\":"
                         "\"u\"}," F ",\"tool_choice\":{\"type\":\"any\"}}",
                         conversations[i].members);
                assert_full_is_told(sg_messages_request_to_chat, SG_OP_MESSAGES, "gpt-x", body);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_parameter_has_its_place),
                cmocka_unit_test(test_the_limit_is_named_as_the_model_knows_it),
                cmocka_unit_test(test_each_conversation_has_its_words),
                cmocka_unit_test(test_each_refusal_names_its_path),
                cmocka_unit_test(test_a_limit_must_be_there),
                cmocka_unit_test(test_there_and_back_is_the_same),
                cmocka_unit_test(test_an_output_that_is_full_is_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
