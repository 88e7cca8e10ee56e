#include "llm/llm.h"

const char *sg_operation_name(enum sg_operation op)
{
        static const char *const names[SG_OP_N] = {
                [SG_OP_CHAT] = "chat",
                [SG_OP_COMPLETION] = "text_completion",
                [SG_OP_EMBEDDINGS] = "embeddings",
                [SG_OP_MESSAGES] = "chat", /* one operation in three wire formats */
                [SG_OP_RESPONSES] = "chat",
                [SG_OP_COUNT_TOKENS] = "count_tokens",
                [SG_OP_IMAGES] = "image_generation",
                [SG_OP_SPEECH] = "speech",
                [SG_OP_TRANSCRIPTION] = "transcription",
                [SG_OP_MODEL_LIST] = "model_list",
                [SG_OP_MODEL_GET] = "model_get",
                [SG_OP_PASS] = "pass",
        };

        return (unsigned)op < SG_OP_N ? names[op] : "?";
}

const char *sg_surface_name(enum sg_surface s)
{
        static const char *const names[SG_SURFACE_N] = {[SG_SURFACE_OPENAI] = "openai",
                                                        [SG_SURFACE_SIMPLE] = "simple",
                                                        [SG_SURFACE_ANTHROPIC] = "anthropic",
                                                        [SG_SURFACE_RESPONSES] = "responses"};

        return (unsigned)s < SG_SURFACE_N ? names[s] : "?";
}

const char *sg_certainty_name(enum sg_certainty c)
{
        static const char *const names[SG_CERTAINTY_N] = {
                [SG_CERTAINTY_NONE] = "none",
                [SG_CERTAINTY_MEASURED] = "measured",
                [SG_CERTAINTY_PARTIAL] = "partial",
                [SG_CERTAINTY_ESTIMATED] = "estimated",
        };

        return (unsigned)c < SG_CERTAINTY_N ? names[c] : "?";
}
