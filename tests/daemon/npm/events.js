// Server-sent events as a browser takes them, with the eventsource package: events.js URL. Tells the server of the first event
// before the second one can come; comes again by itself when the stream ends; prints what it has seen.
"use strict";
const { EventSource } = require("eventsource");

const url = process.argv[2];
const found = { events: [], opened: 0 };
const alive = setInterval(() => {}, 1000); // its wait before it comes again is none that keeps Node running
const source = new EventSource(url + "/events");

function take(event) {
    found.events.push([event.type, event.data, event.lastEventId]);
    if (found.events.length === 1) fetch(url + "/seen", { method: "POST" });
    if (event.data !== "last") return;
    source.close();
    clearInterval(alive);
    console.log(JSON.stringify(found));
}

source.onerror = (event) => { if (source.readyState === source.CLOSED) throw new Error(event.message); };
source.onopen = () => { found.opened++; };
source.onmessage = take;
source.addEventListener("named", take);
