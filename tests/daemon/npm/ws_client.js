// One case with the ws package as a client: ws_client.js CASE URL; prints what came out as JSON.
"use strict";
const { once } = require("node:events");
const { randomBytes, createHash } = require("node:crypto");
const { WebSocket } = require("ws");

const url = process.argv[3];
const headers = process.env.SCRIBE_KEY ? { Authorization: "Bearer " + process.env.SCRIBE_KEY } : {};
const sum = (data) => createHash("sha256").update(data).digest("hex");

async function open(path, protocols = []) {
    const socket = new WebSocket(url + path, protocols, { headers });
    await once(socket, "open");
    return socket;
}

async function closed(socket) {
    const [code, reason] = await once(socket, "close");
    return { code, reason: reason.toString() };
}

async function echoed(socket, data) {
    const came = once(socket, "message");
    socket.send(data);
    const [answer, isBinary] = await came;
    return isBinary === (typeof data !== "string") && Buffer.compare(Buffer.from(data), answer) === 0;
}

const cases = {
    async echo() {
        const socket = await open("/echo", ["other", "scribe.v2"]);
        const found = { protocol: socket.protocol, extensions: socket.extensions, same: [] };
        for (const data of ["hello", "Grüße", "", Buffer.from([0, 1, 255]), "a".repeat(70000)])
            found.same.push(await echoed(socket, data));
        socket.close(1000);
        return { ...found, ...await closed(socket) };
    },
    async large() { // 16 of 1 MB that cannot be compressed, all sent before the first one is back
        const socket = await open("/echo");
        const sent = Array.from({ length: 16 }, () => randomBytes(1 << 20)), back = [];
        const all = new Promise((resolve) => socket.on("message", (data) => { if (back.push(sum(data)) === sent.length) resolve(); }));
        for (const data of sent) socket.send(data);
        await all;
        socket.close();
        return { same: sent.map(sum).join() === back.join(), ...await closed(socket) };
    },
    async pings() { // both sides ask, both answer by themselves
        const socket = new WebSocket(url + "/pings");
        const asked = once(socket, "ping"), told = once(socket, "message"), answered = once(socket, "pong");
        await once(socket, "open");
        socket.ping("and you");
        const found = { ping: (await asked)[0].toString(), told: (await told)[0].toString(), pong: (await answered)[0].toString() };
        socket.close();
        return { ...found, ...await closed(socket) };
    },
    async close() { const socket = await open("/close"); socket.send("x"); return closed(socket); },
    async crash() { const socket = await open("/crash"); socket.send("x"); return closed(socket); },
    async leave() { const socket = await open("/echo"); socket.close(4002, "had enough"); return closed(socket); },
    async vanish() { const socket = await open("/echo"); await echoed(socket, "x"); socket.terminate(); return closed(socket); },
    async silent() { // says that it is open; the rest is a wait
        const socket = await open("/echo");
        socket.on("error", () => {});
        const end = closed(socket);
        console.error("open");
        return end;
    },
    async many() {
        const sockets = await Promise.all(Array.from({ length: 200 }, () => open("/echo")));
        let same = 0;
        await Promise.all(sockets.map(async (socket, i) => {
            for (let j = 0; j < 10; j++) if (await echoed(socket, `message ${j} of ${i}`)) same++;
        }));
        const codes = await Promise.all(sockets.map((socket) => { const end = closed(socket); socket.close(1000); return end; }));
        return { same, clean: codes.filter(({ code }) => code === 1000).length };
    },
    async refused() {
        const socket = new WebSocket(url + "/echo", { headers });
        socket.on("error", () => {});
        const [, response] = await once(socket, "unexpected-response");
        socket.terminate();
        return { status: response.statusCode };
    },
};

cases[process.argv[2]]().then((found) => { console.log(JSON.stringify(found)); process.exit(0); },
    (error) => { console.error(error); process.exit(1); });
