// One case each with the openai package, as its users write it; prints what came out as JSON.
"use strict";
const { OpenAI } = require("openai");

const client = new OpenAI({ baseURL: process.env.SCRIBE_URL + "/v1", apiKey: process.env.SCRIBE_KEY });
const user = (content) => [{ role: "user", content }];
const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } } }];

async function collect(stream) {
    const found = { content: "", chunks: 0, usage: null, name: "", text: "" };
    for await (const chunk of stream) {
        found.chunks++;
        const delta = chunk.choices[0]?.delta ?? {};
        found.content += delta.content ?? "";
        for (const call of delta.tool_calls ?? []) {
            found.name += call.function.name ?? "";
            found.text += call.function.arguments ?? "";
        }
        if (chunk.usage) found.usage = chunk.usage;
    }
    return found;
}

const cases = {
    async chat() {
        const { data, request_id } = await client.chat.completions.create({ model: "echo", messages: user("Say hello") }).withResponse();
        return { content: data.choices[0].message.content, finish: data.choices[0].finish_reason, usage: data.usage, request_id };
    },
    async stream() {
        return collect(await client.chat.completions.create({ model: "echo", stream: true, messages: user("one two three") }));
    },
    async "stream-usage"() {
        return collect(await client.chat.completions.create({
            model: "echo", stream: true, stream_options: { include_usage: true }, messages: user("one two three") }));
    },
    async tools() {
        const answer = await client.chat.completions.create({ model: "tools", messages: user("weather?"), tools });
        const call = answer.choices[0].message.tool_calls[0].function;
        return { name: call.name, arguments: JSON.parse(call.arguments) };
    },
    async "tools-stream"() {
        const found = await collect(await client.chat.completions.create({ model: "tools-stream", stream: true, messages: user("w?"), tools }));
        return { name: found.name, arguments: JSON.parse(found.text) };
    },
    async abort() {
        const stop = new AbortController();
        const stream = await client.chat.completions.create({ model: "abort", stream: true, messages: user("x") }, { signal: stop.signal });
        for await (const chunk of stream) {
            if (chunk.choices[0].delta.content) stop.abort();
        }
        return { aborted: stop.signal.aborted };
    },
    async ask() {
        try {
            const answer = await client.chat.completions.create({ model: process.env.MODEL, messages: user("x") });
            return { content: answer.choices[0].message.content };
        } catch (error) {
            return { error: error.constructor.name, status: error.status, message: error.message };
        }
    },
    async "broken-stream"() {
        let content = "";
        try {
            const stream = await client.chat.completions.create({ model: "broken", stream: true, messages: user("x") });
            for await (const chunk of stream) content += chunk.choices[0]?.delta?.content ?? "";
        } catch (error) {
            return { content, error: error.message };
        }
        return { content, error: null };
    },
    async models() {
        const models = [];
        for await (const model of client.models.list()) models.push(model.id);
        return { models, one: (await client.models.retrieve("echo")).id };
    },
    async embeddings() {
        const answer = await client.embeddings.create({ model: "echo", input: "some words" });
        return { length: answer.data[0].embedding.length };
    },
};

cases[process.argv[2]]().then(
    (found) => console.log(JSON.stringify(found)),
    (error) => { console.error(error); process.exitCode = 1; });
