// One case each with the Vercel AI SDK, as its users write it; prints what came out as JSON.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

const baseURL = process.env.SCRIBE_URL + "/v1", apiKey = process.env.SCRIBE_KEY;
const openai = createOpenAI({ baseURL, apiKey });
const speakers = { chat: openai.chat, responses: openai.responses, messages: createAnthropic({ baseURL, apiKey }) };
const model = speakers[process.env.SPEAKER](process.env.MODEL);
const maxRetries = Number(process.env.RETRIES ?? 0);
const weather = tool({
    description: "of a city",
    inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] }),
    execute: async ({ city }) => `sun in ${city}`,
});

const cases = {
    async text() {
        const { text, usage, finishReason } = await generateText({ model, maxRetries, system: "Be short", prompt: "Say hello" });
        return { text, usage, finish: finishReason };
    },
    async stream() {
        const found = streamText({ model, maxRetries, prompt: "Say hello" });
        let text = "";
        for await (const piece of found.textStream) text += piece;
        return { text, usage: await found.usage, finish: await found.finishReason };
    },
    async tools() {
        const found = await generateText({ model, maxRetries, tools: { weather }, stopWhen: stepCountIs(2), prompt: "weather?" });
        return { text: found.text, results: found.steps.flatMap((s) => s.toolResults.map((r) => r.output)) };
    },
    async "tools-stream"() {
        const found = streamText({ model, maxRetries, tools: { weather }, stopWhen: stepCountIs(2), prompt: "weather?" });
        let text = "";
        for await (const piece of found.textStream) text += piece;
        return { text, results: (await found.steps).flatMap((s) => s.toolResults.map((r) => r.output)) };
    },
    async cut() {
        let error = null, text = "";
        const found = streamText({ model, maxRetries, prompt: "Say hello", onError: (e) => { error = e.error; } });
        try { // the connection breaks behind the error, which fetch tells of in its own way
            for await (const part of found.fullStream) {
                if (part.type === "text-delta") text += part.text;
                if (part.type === "error") error = part.error;
            }
        } catch (thrown) {
            error = thrown;
        }
        return { text, failed: error !== null, finish: await found.finishReason.then((f) => f, () => "error") };
    },
};

cases[process.argv[2]]().then((found) => console.log(JSON.stringify(found)), (error) => { console.error(error); process.exit(1); });
