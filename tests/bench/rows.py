"""What is measured: each row is a load, a setting of the proxies, and goals for the gateway.

A row is measured with all its proxies running side by side, in rounds: one second of load on each in turn, so that what else
happens on the machine meets them alike. A figure is the median of its rounds.
"""

import json
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import load
import parts
from load import Broken
from measure import cpu_nsec, n_descriptors, pss_kib, syscalls
from parts import Missing, Setting

ALL = ("gateway", "nginx", "haproxy", "h2o")
DUTIES = ("gateway", "nginx", "haproxy")
REFUSALS = 4  # in a row, of a provider that then answers once: the fifth would open the breaker, and it would be asked no more
KINDS = ("once", "again", "refused")
WRONG = {"refusing": "again", "sound": "again", "failing": "refused"}  # what cannot be, of each way
BOTH = ("gateway", "translating")  # the provider speaks as the client does, or in the other dialect
LIMITED = ("gateway", "limited", "nginx", "haproxy")


@dataclass
class Ask:
    method: str
    path: str
    body: bytes = b""
    body_path: Path = None


def long_body(size, **more):
    """One turn, as a pasted document makes it."""
    text = "What is the capital of France, and how did it come to be? \"So\" they say:\n" * (size // 70 + 1)
    return trim(lambda n: [{"role": "user", "content": text[:n]}], size, **more)


def turns_body(size):
    """Many short turns, as a long talk makes it."""
    def turns(n):
        return [{"role": ("user", "assistant")[i % 2], "content": f"Turn {i}: yes, I \"think\" so."} for i in range(n // 60)]
    return trim(turns, size)


def tools_body(size, is_anthropic):
    """A talk in which every other turn calls a tool and gets its result, and the tools themselves."""
    def turns(n):
        return [turn for i in range(n // 400) for turn in tool_turns(i, is_anthropic)] + [{"role": "user", "content": "And then?"}]
    schema = {"type": "object", "properties": {"city": {"type": "string", "description": "The name of a city"}, "days": {"type": "integer"}},
              "required": ["city"]}
    names = [f"tool_{i}" for i in range(8)]
    if is_anthropic:
        tools = [{"name": name, "description": "What it is good for", "input_schema": schema} for name in names]
    else:
        tools = [{"type": "function", "function": {"name": name, "description": "What it is good for", "parameters": schema}} for name in names]
    return trim(turns, size, tools=tools, max_tokens=1000)


def tool_turns(i, is_anthropic):
    asked, told, said = f"And \"day\" {i}?", f"{{\"weather\": \"rain\", \"degrees\": {i}}}", f"On day {i} it will rain."
    if is_anthropic:
        call = [{"type": "tool_use", "id": f"call_{i}", "name": "tool_1", "input": {"city": "Paris", "days": i}}]
        result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"call_{i}", "content": told}]}
    else:
        call = [{"id": f"call_{i}", "type": "function", "function": {"name": "tool_1", "arguments": json.dumps({"city": "Paris", "days": i})}}]
        result = {"role": "tool", "tool_call_id": f"call_{i}", "content": told}
    calling = {"role": "assistant", "content": call} if is_anthropic else {"role": "assistant", "content": None, "tool_calls": call}
    return [{"role": "user", "content": asked}, calling, result, {"role": "assistant", "content": said}]


def trim(messages, size, **more):
    """The largest chat that is not longer than size."""
    low, high = 0, 2 * size
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if len(chat(messages(middle), **more)) <= size else (low, middle)
    return chat(messages(low), **more)


def chat(messages, **more):
    return json.dumps({"model": "bench", "temperature": 0.2, "messages": messages, **more}).encode()


def for_model(body, model):
    return body.replace(b'"bench"', f'"{model}"'.encode(), 1)


CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
STREAM_BODY = chat([{"role": "user", "content": "Tell me something. " * 20}], stream=True)


@dataclass
class Row:
    name: str
    title: str
    measure: str  # the method of Bench
    proxies: tuple = DUTIES
    setting: Setting = field(default_factory=Setting)
    upstream: tuple = ("chat", 1024)
    ask: Ask = None
    connections: tuple = (64,)
    goals: dict = field(default_factory=dict)  # CPU: peer -> ratio; or a name of a figure -> most
    more: dict = field(default_factory=dict)


def chat_row(name, title, body, goals, connections=(64,)):
    return Row(name, title, "closed", ask=Ask("POST", CHAT, body), goals=goals, connections=connections)


def stream_row(name, title, n, pace, seconds, goals, is_tls=False):
    """The streams last until the window has passed, and all were opened before it."""
    events = (4 + n // 1000 + (8 if is_tls else 0) + seconds) * 1000 // pace
    return Row(name, title, "streams", ALL, Setting("chat", is_stream=True, is_tls=is_tls, connections=max(4096, n + 100)),
               ("stream", events, pace), Ask("POST", CHAT, STREAM_BODY), (n,), goals, {"seconds": seconds, "pace": pace, "is_tls": is_tls})


def translated_row(client, size, title, body):
    """The same request twice: to a provider that speaks as the client does, and to one that speaks the other dialect."""
    setting = Setting(dialect="anthropic" if client == "messages" else "openai")
    path = MESSAGES if client == "messages" else CHAT
    return Row(f"translated_{client}_{size}", f"{client} client, {title}", "closed", BOTH, setting, ask=Ask("POST", path, body))


def translated_stream_row(client):
    row = stream_row(f"translated_sse_{client}", f"{client} client, an event each 100 ms", 1000, 100, 3, {"kib_per_stream": 6})
    row.proxies = BOTH
    if client == "messages":
        row.setting.dialect = "anthropic"
        row.ask = Ask("POST", MESSAGES, MESSAGES_STREAM_BODY)
    return row


def paced_row(connections, rate, goals):
    return Row(f"paced_{connections}", f"chat 1 KB, {rate:,} a second", "paced", setting=Setting(connections=max(4096, connections + 200)),
               ask=Ask("POST", CHAT, long_body(1024)), connections=(connections,), goals=goals, more={"rate": rate})


def flood_row(name, title, kinds, proxies=("gateway", "haproxy"), closes=False, **setting):
    return Row(name, title, "flood", proxies, Setting(**setting), ask=Ask("POST", CHAT, long_body(1024)), connections=(FLOOD_CONNECTIONS,),
               goals={"worse": 2}, more={"kinds": kinds, "closes": closes})


MESSAGES_STREAM_BODY = chat([{"role": "user", "content": "Tell me something. " * 20}], stream=True, max_tokens=1000)
GET = Ask("GET", "/plain/one")
TLS = Setting("chat", is_tls=True)
STRANGERS = ("malformed", "unknown", "revoked")
GOOD_RATE, GOOD_CONNECTIONS, FLOOD_CONNECTIONS = 500, 16, 64
ADDRESS_LIMIT = "36000 requests/minute"  # above GOOD_RATE, and far below what a flood asks
IDLE = min(10010, parts.descriptors() // 2 - 100)

ROWS = [
    Row("plain", "plain proxy, 1 KB answer", "closed", ALL, Setting("plain"), ("plain", 1024), GET, (1, 64, 1024), {"nginx": 1.0}),
    Row("service", "key, limit, log; 1 KB answer", "closed", DUTIES, Setting("service"), ("plain", 1024), GET, (1, 64)),
    chat_row("chat_1k", "chat 1 KB", long_body(1024), {"haproxy": 0.75, "nginx": 1.0}, (1, 64, 1024)),
    chat_row("chat_32k", "chat 32 KB, one string", long_body(32 << 10), {"haproxy": 0.8}),
    chat_row("chat_32k_turns", "chat 32 KB, many turns", turns_body(32 << 10), {"haproxy": 0.8}),
    chat_row("chat_1m", "chat 1 MB, one string", long_body(1 << 20), {"haproxy": 1.2}, (16,)),
    chat_row("chat_1m_turns", "chat 1 MB, many turns", turns_body(1 << 20), {"haproxy": 1.7}, (16,)),
    stream_row("sse_1000", "SSE, an event each 100 ms", 1000, 100, 3, {"haproxy": 0.75, "kib_per_stream": 6}),
    stream_row("sse_5000", "SSE, an event each 500 ms", 5000, 500, 4, {"haproxy": 0.75, "kib_per_stream": 6}),
    stream_row("sse_tls", "SSE over TLS, an event each 100 ms", 1000, 100, 3, {"kib_per_stream": 40}, is_tls=True),
    Row("tls", "chat 1 KB, TLS 1.3 keep-alive", "closed", DUTIES, TLS, ask=Ask("POST", CHAT, long_body(1024)), goals={"nginx": 1.0},
        more={"is_tls": True}),
    Row("handshake_full", "TLS 1.3 handshakes, ECDSA P-256", "handshakes", ALL, TLS, goals={"nginx": 1.0}, connections=(4,), more={"kind": "full"}),
    Row("handshake_resumed", "TLS 1.3 handshakes, resumed", "handshakes", ALL, TLS, goals={"nginx": 1.0}, connections=(4,),
        more={"kind": "resumed"}),
    Row("h2", "chat 1 KB, HTTP/2 over TLS, 16 streams each", "http2", ALL, TLS, ask=Ask("POST", CHAT, long_body(1024)), goals={"haproxy": 1.0},
        connections=(32,)),
    Row("new", "chat 1 KB, a connection for each", "closed", ALL, ask=Ask("POST", CHAT, long_body(1024)), more={"closes": True}),
    translated_row("chat", "1k", "1 KB", long_body(1024)),
    translated_row("chat", "32k", "32 KB of turns with tools", tools_body(32 << 10, False)),
    translated_row("messages", "1k", "1 KB", long_body(1024, max_tokens=1000)),
    translated_row("messages", "32k", "32 KB of turns with tools", tools_body(32 << 10, True)),
    translated_stream_row("chat"),
    translated_stream_row("messages"),
    Row("limits_1k", "chat 1 KB, four limits on key and group", "closed", LIMITED, ask=Ask("POST", CHAT, long_body(1024)), connections=(1, 64)),
    Row("failover", "chat 1 KB, refused at once by the first of two providers", "failover", ("gateway",), Setting("failover"),
        ask=Ask("POST", CHAT, long_body(1024)), connections=(1,), goals={"added_p50": 300}),
    flood_row("flood", "connections that stay", STRANGERS),
    flood_row("flood_new", "a connection for each", STRANGERS, closes=True),
    flood_row("flood_limited", "above address_limit, connections that stay", ("unknown",), ("gateway",), address_limit=ADDRESS_LIMIT),
    flood_row("flood_limited_new", "above address_limit, a connection for each", ("unknown",), ("gateway",), closes=True,
              address_limit=ADDRESS_LIMIT),
    paced_row(1, 1000, {"added_p99": "nginx"}),
    paced_row(64, 4000, {}),
    paced_row(1024, 4000, {}),
    paced_row(8192, 4000, {}),
    paced_row(16384, 4000, {}),
    Row("rest", "at rest", "rest", ALL, Setting(connections=1024), ask=Ask("POST", CHAT, long_body(1024)), goals={"pss_mib": 7}),
    Row("idle", "more with idle connections", "idle", ALL, Setting(connections=IDLE), ask=Ask("POST", CHAT, long_body(1024)), connections=(IDLE - 10,),
        goals={"more_mib": 20}),
    Row("syscalls", "system calls of a chat", "syscalls", LIMITED, ask=Ask("POST", CHAT, long_body(1024)), connections=(1,)),
]


class Bench:
    """Measures rows; what it found stands in .found, what could not take part in .missing, what went wrong in .broken."""

    def __init__(self, directory, seconds, tell):
        self.directory = directory
        self.seconds = seconds
        self.tell = tell
        self.certificate = parts.Certificate(directory / "tls")
        self.found, self.missing, self.broken, self.limits = [], [], [], []

    def row(self, row):
        self.tell(f"{row.name} …")
        if row.ask and row.ask.body:
            row.ask.body_path = self.directory / "body"
            row.ask.body_path.write_bytes(row.ask.body)
        getattr(self, f"measure_{row.measure}")(row)

    # ---- who takes part

    def start_all(self, row):
        """The fake and the proxies, side by side."""
        fake = parts.Fake(*row.upstream)
        row.setting.upstream = fake.port
        running = [fake]
        for name in row.proxies:
            running += self.start_one(row, name)
        return running

    def start_one(self, row, name):
        # HAProxy wants two descriptors for each connection that it may have, whether it will need them or not.
        needed = row.setting.connections * (2 if name == "haproxy" else 1) + 100
        if needed > parts.descriptors():
            self.limits.append({"row": row.name, "proxy": name, "why": f"it needs {needed} descriptors, the limit is {parts.descriptors()}"})
            return []
        try:
            return [parts.start(name, row.setting, self.certificate)]
        except Missing as why:
            self.missing.append({"row": row.name, "proxy": name, "why": str(why)})
            self.tell(f"MISSING {name}: {why}")
            return []

    def guard(self, row, proxy, what):
        """What a measurement gave, or None when something did not work; that is told, and the run goes on without it."""
        try:
            return what()
        except Broken as why:
            self.broken.append({"row": row.name, "proxy": proxy.name, "why": str(why)})
            self.tell(f"BROKEN {row.name}, {proxy.name}: {why}")
            return None

    def add(self, row, proxy, connections, **figures):
        self.found.append({"row": row.name, "title": row.title, "proxy": proxy.name, "connections": connections, **figures})

    # ---- rounds of load, proxies side by side

    def rounds(self, row, once, with_direct, n_rounds, warms=False):
        """once(proxy, connections, meter) is one measurement of a second or so; of all figures the medians."""
        running = self.start_all(row)
        try:
            for n in row.connections:
                figures = {p: [] for p in running if with_direct or p is not running[0]}
                for i in range(-1 if warms else 0, n_rounds):
                    for proxy in list(figures):
                        one = self.guard(row, proxy, lambda p=proxy, n=n: self.metered(p, running[0], lambda meter: once(p, n, meter)))
                        if one is None:
                            del figures[proxy]
                        elif i >= 0:
                            figures[proxy].append(one)
                for proxy, all_rounds in figures.items():
                    self.add(row, proxy, n, rounds=all_rounds, **median(all_rounds))
        finally:
            for proxy in reversed(running):
                proxy.close()

    @staticmethod
    def metered(proxy, fake, once):
        """What once() found, and what it cost the proxy, its helpers and the fake."""
        settle(proxy.pids())
        meter = Meter(proxy, fake)
        meter.begin()
        found = once(meter)
        if meter.used is None:
            meter.end()
        proxy_usec, helper_usec, fake_usec = meter.used
        n = found.get("requests") or found["answered"]
        found |= {"cpu_usec": proxy_usec / n, "helper_usec": helper_usec / n}
        if "cpu" in found:  # of the core on which load, fake and helpers run
            found["load_core"] = found["cpu"] + (helper_usec + fake_usec) / 1e6 / meter.seconds
        return found

    def measure_closed(self, row):
        """Here the upstream is warmed: connections to it are made."""
        is_tls, closes = row.more.get("is_tls", False), row.more.get("closes", False)

        def once(proxy, n, _):
            return load.wrk(proxy.tls_port if is_tls else proxy.port, n, 1, row.ask, proxy.key, is_tls, closes)
        self.rounds(row, once, not is_tls and not closes, self.seconds, warms=True)

    def measure_http2(self, row):
        def once(proxy, n, _):
            return load.h2load(proxy.tls_port, n, 16, 1, row.ask, proxy.key)
        self.rounds(row, once, False, self.seconds, warms=True)

    def measure_handshakes(self, row):
        self.rounds(row, lambda proxy, n, _: load.handshakes(proxy.tls_port, 1, row.more["kind"]), False, self.seconds)

    def measure_paced(self, row):
        """Thousands of connections take seconds to open: they are opened once."""
        n_rounds = self.seconds if row.connections[0] <= 1024 else 1

        def once(proxy, n, meter):
            request = load.request_bytes(row.ask.method, row.ask.path, proxy.key, row.ask.body)
            found = load.paced(proxy.port, n, row.more["rate"], self.seconds / n_rounds, request, meter)
            return {"answered": found["answered"], "cpu": found["cpu"], **{name: found["time"][name] for name in ("p50", "p99", "max")}}
        self.rounds(row, once, True, n_rounds)

    def measure_failover(self, row):
        """In turn: a refusing provider asked directly, a model that only the sound one serves, and one that is asked for at a
        refusing one first: this one nobody else asks, as it counts."""
        sound, *refusing = parts.Fake(*row.upstream), *(parts.Fake("refuse", row.upstream[1], REFUSALS) for _ in range(2))
        row.setting.upstream, row.setting.refusing = sound.port, refusing[0].port
        running = [sound, *refusing]
        try:
            running += self.start_one(row, "gateway")
            if len(running) == 4:
                self.failover_rounds(row, sound, refusing[1], running[3])
        finally:
            for proxy in reversed(running):
                proxy.close()

    def failover_rounds(self, row, sound, refusing, gateway):
        def once(proxy, key, model):
            meter = Meter(gateway, sound)
            found = load.sequence(proxy.port, 1, load.request_bytes(row.ask.method, row.ask.path, key, for_model(row.ask.body, model)), meter)
            n = sum(found[kind]["n"] for kind in KINDS)
            return {**{f"{kind}_{name}": found[kind][name] for kind in KINDS for name in ("n", "p50", "p99")}, "cpu_usec": meter.used[0] / n,
                    "failed": found[WRONG[model]]["n"]}

        figures = {"refusing": [], "sound": [], "failing": []}
        for i in range(-1, 2 * self.seconds):
            for model, rounds in figures.items():
                asked = refusing if model == "refusing" else gateway
                one = self.guard(row, asked, lambda a=asked, m=model: once(a, gateway.key, m))
                if one is None:
                    return
                if one["failed"]:
                    self.broken.append({"row": row.name, "proxy": model, "why": f"{one['failed']} answers were {WRONG[model]}"})
                if i >= 0:
                    rounds.append(one)
        for model, rounds in figures.items():
            self.found.append({"row": row.name, "title": row.title, "proxy": model, "connections": 1, "rounds": rounds, **median(rounds),
                               "again_n": sum(one["again_n"] for one in rounds)})

    # ---- strangers

    def measure_flood(self, row):
        """Good requests at a fixed rate, without and with somebody beside who tries keys as fast as it goes."""
        running = self.start_all(row)
        try:
            for proxy in running[1:]:
                for kind in row.more["kinds"] if proxy.name == "gateway" else ("unknown",):
                    rounds = self.guard(row, proxy, lambda p=proxy, k=kind: [self.flood_round(row, p, running[0], k)
                                                                             for _ in range(self.seconds + 1)][1:])
                    if rounds:
                        self.add(row, proxy, FLOOD_CONNECTIONS, kind=kind, rounds=rounds, **median(rounds))
        finally:
            for proxy in reversed(running):
                proxy.close()

    @staticmethod
    def flood_round(row, proxy, fake, kind):
        """The first one of a row warms up, and spends what an address may ask."""
        good = load.request_bytes("POST", CHAT, proxy.key, row.ask.body)
        key = {"malformed": "sk-0123456789", "unknown": parts.stranger(), "revoked": getattr(proxy, "revoked", "")}[kind]
        bad = load.request_bytes("POST", CHAT, key, row.ask.body, "Connection: close\r\n" if row.more["closes"] else "")
        alone = load.paced(proxy.port, GOOD_CONNECTIONS, GOOD_RATE, 2, good, Meter(proxy, fake))["time"]
        with load.Flood(proxy.port, FLOOD_CONNECTIONS, 2.5, bad) as flood:
            beside = load.paced(proxy.port, GOOD_CONNECTIONS, GOOD_RATE, 2, good, Meter(proxy, fake))["time"]
            flood.finish()
        with load.Flood(proxy.port, FLOOD_CONNECTIONS, 1, bad) as flood:
            meter = Meter(proxy, fake)
            meter.begin()
            found = flood.finish()
            meter.end()
        return {"rate": found["answered"] / found["seconds"], "cpu_usec": meter.used[0] / found["answered"],
                "helper_usec": meter.used[1] / found["answered"], "limited": found.get("429", 0) / found["answered"], "p50": beside["p50"],
                "p99": beside["p99"], "alone_p50": alone["p50"], "alone_p99": alone["p99"], "worse": beside["p99"] / alone["p99"]}

    # ---- one proxy after another: memory is looked at

    def one_by_one(self, row, measure, with_direct=False):
        fake = parts.Fake(*row.upstream)
        row.setting.upstream = fake.port
        try:
            if with_direct:
                self.guard(row, fake, lambda: measure(fake))
            for name in row.proxies:
                for proxy in self.start_one(row, name):
                    try:
                        self.guard(row, proxy, lambda p=proxy: measure(p))
                    finally:
                        proxy.close()
        finally:
            fake.close()

    def measure_streams(self, row):
        n, seconds, is_tls = row.connections[0], row.more["seconds"], row.more["is_tls"]

        def measure(proxy):
            request = load.request_bytes("POST", row.ask.path, proxy.key, row.ask.body)
            before = pss_kib(proxy.pids())
            with load.Streams(proxy.tls_port if is_tls else proxy.port, n, seconds, request, is_tls) as streams:
                streams.wait_open()
                cpu, memory = cpu_nsec(proxy.pids()), pss_kib(proxy.pids())
                events = streams.wait_end()
                cpu = cpu_nsec(proxy.pids()) - cpu
                found = streams.finish()
            if found["early"]:
                self.limits.append({"row": row.name, "proxy": proxy.name, "why": f"so slow that {found['early']} streams ended too early"})
                return
            self.add(row, proxy, n, cpu_usec=cpu / 1000 / events, events=events, rate=events / seconds, kib_per_stream=(memory - before) / n,
                     stalled=found["stalled"], first_p50=found["first"]["p50"], first_p99=found["first"]["p99"], p50=found["late"]["p50"],
                     p99=found["late"]["p99"], max=found["late"]["max"], load_core=found["cpu"])
        self.one_by_one(row, measure, with_direct=not is_tls)

    def measure_rest(self, row):
        def measure(proxy):
            load.Idle(proxy.port, 1, load.request_bytes("POST", CHAT, proxy.key, row.ask.body)).close()
            self.add(row, proxy, 0, pss_mib=pss_kib(proxy.pids()) / 1024)
        self.one_by_one(row, measure)

    def measure_idle(self, row):
        n = row.connections[0]

        def measure(proxy):
            request = load.request_bytes("POST", CHAT, proxy.key, row.ask.body)
            load.Idle(proxy.port, 1, request).close()
            before = pss_kib(proxy.pids())
            idle = load.Idle(proxy.port, n, request)
            self.add(row, proxy, n, more_mib=(pss_kib(proxy.pids()) - before) / 1024)
            idle.close()
        self.one_by_one(row, measure)

    def measure_syscalls(self, row):
        def measure(proxy):
            request = load.request_bytes("POST", CHAT, proxy.key, row.ask.body)
            with load.connect(proxy.port) as wire:
                self.add(row, proxy, 1, calls=syscalls(proxy.pid, lambda n: load.one_by_one(wire, request, n), proxy.directory / "strace", 500))
        self.one_by_one(row, measure)


class Meter:
    """Microseconds of processors that a proxy, its helpers and the fake use between begin() and end()."""

    def __init__(self, proxy, fake):
        self.of = (proxy.pids(), proxy.helpers(), fake.pids())
        self.used = self.seconds = None

    def begin(self):
        self.before, self.start = [cpu_nsec(pids) for pids in self.of], time.monotonic()

    def end(self):
        self.used = [(cpu_nsec(pids) - before) / 1000 for pids, before in zip(self.of, self.before)]
        self.seconds = time.monotonic() - self.start


def settle(pids):
    """Waits until the connections of the load before are closed on this side, too."""
    before = n_descriptors(pids)
    while True:
        time.sleep(0.02)
        now = n_descriptors(pids)
        if now >= before:
            return
        before = now


def median(rounds):
    return {name: statistics.median(one[name] for one in rounds) for name, value in rounds[0].items() if isinstance(value, (int, float))}
