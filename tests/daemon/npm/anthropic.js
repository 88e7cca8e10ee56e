// One case each with the @anthropic-ai/sdk package, as its users write it; prints what came out as JSON.
"use strict";
const { Anthropic } = require("@anthropic-ai/sdk");

const retries = Number(process.env.RETRIES ?? 0);
const client = new Anthropic({ baseURL: process.env.SCRIBE_URL, apiKey: process.env.SCRIBE_KEY, maxRetries: retries });
const model = process.env.MODEL;
const tools = [{ name: "weather", description: "of a city", input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } }];
const ask = (more = {}) => ({ model, max_tokens: 100, messages: [{ role: "user", content: "Say hello" }], ...more });

const cases = {
    async message() {
        const { data, request_id } = await client.messages.create(ask({ system: "Be short" })).withResponse();
        return { text: data.content[0].text, stop: data.stop_reason, usage: data.usage, request_id };
    },
    async stream() {
        const stream = client.messages.stream(ask());
        let text = "";
        stream.on("text", (piece) => { text += piece; });
        const message = await stream.finalMessage();
        return { text, whole: message.content[0].text, stop: message.stop_reason, usage: message.usage };
    },
    async tools() {
        const message = await client.messages.create(ask({ tools }));
        return { calls: message.content.filter((b) => b.type === "tool_use"), stop: message.stop_reason };
    },
    async "tools-stream"() {
        const message = await client.messages.stream(ask({ tools })).finalMessage();
        return { calls: message.content.filter((b) => b.type === "tool_use"), stop: message.stop_reason };
    },
    async thinking() {
        const message = await client.messages.stream(ask({ max_tokens: 4000, thinking: { type: "enabled", budget_tokens: 1024 } })).finalMessage();
        return { content: message.content };
    },
    async results() {
        const message = await client.messages.create(ask({ tools, messages: [
            { role: "user", content: "weather in Paris and Rome?" },
            { role: "assistant", content: [{ type: "tool_use", id: "t1", name: "weather", input: { city: "Paris" } },
                                           { type: "tool_use", id: "t2", name: "weather", input: { city: "Rome" } }] },
            { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "rain" },
                                      { type: "tool_result", tool_use_id: "t2", content: [{ type: "text", text: "sun" }] }] }] }));
        return { text: message.content[0].text };
    },
    async abort() {
        const stream = client.messages.stream(ask());
        stream.on("text", () => stream.abort());
        try {
            await stream.finalMessage();
            return { aborted: false };
        } catch (error) {
            return { aborted: error.constructor.name === "APIUserAbortError" };
        }
    },
    async cut() {
        try {
            const message = await client.messages.stream(ask()).finalMessage();
            return { content: message.content };
        } catch (error) {
            return { error: error.constructor.name, message: error.message };
        }
    },
    async ask() {
        try {
            const message = await client.messages.create(ask());
            return { text: message.content[0].text };
        } catch (error) {
            return { error: error.constructor.name, status: error.status, type: error.error?.error?.type, request_id: error.requestID };
        }
    },
    async count() {
        return client.messages.countTokens({ model, messages: ask().messages });
    },
    async models() {
        const page = await client.models.list();
        return { ids: page.data.map((m) => m.id) };
    },
};

cases[process.argv[2]]().then((found) => console.log(JSON.stringify(found)), (error) => { console.error(error); process.exit(1); });
