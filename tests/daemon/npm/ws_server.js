// A WebSocket server as people write it with the ws package. Prints its port, then a line of JSON for each connection that closes.
"use strict";
const { WebSocketServer } = require("ws");

const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: { threshold: 1024 },
    handleProtocols: (offered) => (offered.has("scribe.v2") ? "scribe.v2" : false) },
() => console.log(server.address().port));

server.on("connection", (socket, request) => {
    const path = new URL(request.url, "http://x").pathname;
    const found = { path, pongs: 0, headers: request.headers };

    socket.on("error", (error) => { found.error = error.message; });
    socket.on("pong", (data) => { found.pongs++; socket.send("pong " + data.toString()); });
    socket.on("close", (code, reason) => console.log(JSON.stringify({ ...found, code, reason: reason.toString() })));
    if (path.endsWith("/pings")) socket.ping("are you there");
    socket.on("message", (data, isBinary) => {
        if (path.endsWith("/close")) return socket.close(4001, "that was all");
        if (path.endsWith("/crash")) return socket.terminate();
        socket.send(data, { binary: isBinary });
    });
});
