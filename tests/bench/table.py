"""What was found, as Markdown."""

NAMES = {"gateway": "gateway", "limited": "with limits", "nginx": "nginx", "haproxy": "HAProxy", "h2o": "h2o", "direct": "direct", "translating": "translating"}
PEERS = ("nginx", "haproxy", "h2o")
BUSY = 0.7  # of a core: above it, load and upstream may be what is measured

NOTES = """\
CPU is time of the proxy's process on its core, per request, handshake or event, kernel and all threads included; the gateway's ledger, which
drains its records on the other core, stands apart. "nginx" and "HAProxy" do the same duties as the gateway but in the row "plain": the key is
looked up (HAProxy: SHA-256 and map; nginx: its text, in a map), its requests are counted against a limit that is not met, and a line goes into
a file (nginx: in pieces of 64 KiB; HAProxy: stdout is the file, a write for each line; the gateway: from a thread of its own). The gateway
also reads the model and the tokens, validates each body and keeps a journal; its key has limits where it is called "with limits" only.
h2o has no duties in any row.
"""


def number(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def line(cells):
    return "| " + " | ".join(str(c) for c in cells) + " |"


class Table:
    def __init__(self, bench, rows, head):
        self.bench = bench
        self.rows = rows
        self.head = head

    def measured(self, *measures):
        return [r for r in self.rows if r.measure in measures and any(f["row"] == r.name for f in self.bench.found)]

    def get(self, row, proxy, n):
        return next((f for f in self.bench.found if f["row"] == row.name and f["proxy"] == proxy and f["connections"] == n), None)

    def figure(self, row, proxy, n, name):
        return (self.get(row, proxy, n) or {}).get(name)

    def ratio(self, row, peer, n, name="cpu_usec"):
        own, other = self.figure(row, "gateway", n, name), self.figure(row, peer, n, name)
        return own / other if own is not None and other else None

    def added(self, row, proxy, n, name):
        """What the proxy adds to the time that the upstream needs when it is asked directly."""
        with_it, direct = self.figure(row, proxy, n, name), self.figure(row, "direct", n, name)
        return with_it - direct if with_it is not None and direct is not None else with_it

    def cpu(self):
        rows = [r for r in self.measured("closed", "http2", "handshakes", "streams") if not {"translating", "limited"} & set(r.proxies)]
        if not rows:
            return
        yield "### CPU µs per request, handshake or event\n"
        yield line(["row", "", "connections", "gateway", "nginx", "HAProxy", "h2o", "÷ nginx", "÷ HAProxy", "goal", "ledger"])
        yield line(["---"] * 11)
        for row in rows:
            for n in row.connections:
                ratios = {peer: self.ratio(row, peer, n) for peer in PEERS}
                yield line([row.name, row.title, f"{n:,}", *(number(self.figure(row, p, n, "cpu_usec")) for p in ("gateway", *PEERS)),
                            number(ratios["nginx"]), number(ratios["haproxy"]), self.goal(row, ratios),
                            number(self.figure(row, "gateway", n, "helper_usec"))])
        yield ""

    @staticmethod
    def goal(row, ratios):
        said = []
        for peer, most in row.goals.items():
            if peer in PEERS:
                value = ratios[peer]
                met = "not measured" if value is None else "met" if value <= most else "**missed**"
                said.append(f"≤ {most} {NAMES[peer]}: {met}")
        return "; ".join(said)

    def times(self):
        rows = [r for r in self.measured("closed", "http2", "handshakes") if "translating" not in r.proxies]
        if not rows:
            return
        yield "### Requests a second, and times added by the proxy under full load (µs)\n"
        yield line(["row", "connections", "proxy", "a second", "p50", "p99", "added p50", "added p99"])
        yield line(["---"] * 8)
        for row in rows:
            for n in row.connections:
                for proxy in ("direct", *row.proxies):
                    found = self.get(row, proxy, n)
                    if found:
                        has_direct = self.get(row, "direct", n) and proxy != "direct"
                        yield line([row.name, f"{n:,}", NAMES[proxy], number(found.get("rate")), number(found.get("p50")), number(found.get("p99")),
                                    *(number(self.added(row, proxy, n, p)) if has_direct else "–" for p in ("p50", "p99"))])
        yield ""

    def paced(self):
        rows = self.measured("paced")
        if not rows:
            return
        yield "### Times at a fixed rate (open loop, µs; direct subtracted for what is added)\n"
        yield line(["row", "", "connections", "proxy", "p50", "p99", "added p50", "added p99", "CPU µs", "load's core"])
        yield line(["---"] * 10)
        for row in rows:
            n = row.connections[0]
            for proxy in ("direct", *row.proxies):
                found = self.get(row, proxy, n)
                if found:
                    own = proxy == "direct"
                    yield line([row.name, row.title, f"{n:,}", NAMES[proxy], number(found["p50"]), number(found["p99"]),
                                *("–" if own else number(self.added(row, proxy, n, p)) for p in ("p50", "p99")),
                                "–" if own else number(found["cpu_usec"]), share(found["load_core"])])
        yield ""
        yield from self.paced_goals(rows)

    def paced_goals(self, rows):
        for row in rows:
            peer = row.goals.get("added_p99")
            own, other = (self.added(row, p, row.connections[0], "p99") for p in ("gateway", peer)) if peer else (None, None)
            if own is not None and other is not None:
                yield f"- {row.name}: added p99 {number(own)} µs beside {NAMES[peer]}'s {number(other)}: {'met' if own <= other else '**missed**'}"
        p99 = {r.connections[0]: self.added(r, "gateway", r.connections[0], "p99") for r in rows}
        if p99.get(64) and p99.get(8192):
            yield (f"- added p99 at 8,192 connections is {p99[8192] / p99[64]:.1f} times that at 64 (goal ≤ 3): "
                   f"{'met' if p99[8192] <= 3 * p99[64] else '**missed**'}")
        yield ""

    def streams(self):
        rows = self.measured("streams")
        if not rows:
            return
        yield "### Streams: times in µs, memory per open stream (PSS, without the kernel's socket buffers)\n"
        yield line(["row", "streams", "proxy", "events a second", "CPU µs per event", "KiB per stream", "first event p50/p99, added",
                    "each event p50/p99, added", "latest event", "stalled", "load's core"])
        yield line(["---"] * 11)
        for row in rows:
            n = row.connections[0]
            for proxy in ("direct", *row.proxies):
                found = self.get(row, proxy, n)
                if found:
                    def both(name, proxy=proxy):
                        of = (lambda p: self.figure(row, proxy, n, p)) if proxy == "direct" else (lambda p: self.added(row, proxy, n, p))
                        return f"{number(of(name + 'p50'))}/{number(of(name + 'p99'))}"
                    own = proxy == "direct"
                    yield line([row.name, f"{n:,}", NAMES[proxy], number(found["rate"]), "–" if own else number(found["cpu_usec"]),
                                "–" if own else number(found["kib_per_stream"]), both("first_"), both(""), number(found["max"]),
                                f"{found['stalled']:.0f}", share(found["load_core"])])
        yield ""
        for row in rows:
            for proxy in row.proxies:
                late = self.figure(row, proxy, row.connections[0], "p99")
                if late and late > row.more["pace"] * 500:
                    yield (f"- {row.name}, {NAMES[proxy]}: the p99 of events is later than half their pace, so several went out at once: "
                           "**its CPU per event is too low to compare**")
        for row in rows:
            kib = self.figure(row, "gateway", row.connections[0], "kib_per_stream")
            if kib is not None:
                most = row.goals["kib_per_stream"]
                yield f"- {row.name}: {number(kib)} KiB per stream (goal ≤ {most}): {'met' if kib <= most else '**missed**'}"
        yield ""

    def limiting(self):
        rows = [r for r in self.measured("closed") if "limited" in r.proxies]
        if not rows:
            return
        yield "### Limits: CPU µs per request, without and with limits of key and group\n"
        yield line(["row", "", "connections", "gateway", "with limits", "÷", "nginx", "HAProxy", "with limits ÷ HAProxy"])
        yield line(["---"] * 9)
        for row in rows:
            for n in row.connections:
                own, limited, nginx, haproxy = (self.figure(row, proxy, n, "cpu_usec") for proxy in ("gateway", "limited", "nginx", "haproxy"))
                yield line([row.name, row.title, f"{n:,}", number(own), number(limited), number(limited / own if own and limited else None),
                            number(nginx), number(haproxy), number(limited / haproxy if limited and haproxy else None)])
        yield ""

    def translation(self):
        rows = [r for r in self.measured("closed", "streams") if "translating" in r.proxies]
        if not rows:
            return
        yield "### Translation: CPU µs per request or event, to a provider of the client's own dialect and to one of the other\n"
        yield line(["row", "", "connections", "passed through", "translated", "÷", "more"])
        yield line(["---"] * 7)
        for row in rows:
            for n in row.connections:
                own, other = (self.figure(row, proxy, n, "cpu_usec") for proxy in ("gateway", "translating"))
                both = own is not None and other is not None
                yield line([row.name, row.title, f"{n:,}", number(own), number(other), number(other / own if both else None),
                            number(other - own if both else None)])
        yield ""

    def failover(self):
        for row in self.measured("failover"):
            refusing, sound, failing = (self.get(row, model, 1) for model in ("refusing", "sound", "failing"))
            if not failing:
                continue
            yield f"### Failover: {row.title}; one after another, µs\n"
            yield line(["", "p50", "p99", "CPU µs"])
            yield line(["---"] * 4)
            yield line(["the refusal, asked for directly", number(refusing["refused_p50"]), number(refusing["refused_p99"]), "–"])
            yield line(["the second provider alone, through the gateway", number(sound["once_p50"]), number(sound["once_p99"]),
                        number(sound["cpu_usec"])])
            yield line([f"both: {failing['again_n']:,} failovers", number(failing["again_p50"]), number(failing["again_p99"]),
                        number(failover_cpu(sound, failing))])
            yield ""
            for p in ("p50", "p99"):
                added = failing[f"again_{p}"] - sound[f"once_{p}"]
                most = row.goals.get(f"added_{p}")
                goal = f" (goal ≤ {most}): {'met' if added <= most else '**missed**'}" if most else ""
                yield (f"- added {p}: {number(added)} µs with the refusing provider's own answer, "
                       f"{number(added - refusing[f'refused_{p}'])} without it{goal}")
            yield ""

    def flood(self):
        rows = self.measured("flood")
        if not rows:
            return
        yield "### Strangers: keys that are refused, and good requests at a fixed rate beside them (µs)\n"
        yield line(["row", "", "proxy", "keys", "refused a second", "CPU µs each", "a second of a core", "429", "p50 alone", "p50 beside", "p99 alone",
                    "p99 beside", "÷"])
        yield line(["---"] * 13)
        for row in rows:
            for found in (f for f in self.bench.found if f["row"] == row.name):
                yield line([row.name, row.title, NAMES[found["proxy"]], found["kind"], number(found["rate"]), number(found["cpu_usec"]),
                            number(1e6 / found["cpu_usec"]), f"{100 * found['limited']:.0f} %",
                            *(number(found[p]) for p in ("alone_p50", "p50", "alone_p99", "p99", "worse"))])
        yield ""
        for row in rows:
            worst = max((f["worse"] for f in self.bench.found if f["row"] == row.name and f["proxy"] == "gateway"), default=None)
            if worst is not None:
                most = row.goals["worse"]
                yield f"- {row.name}: p99 of good requests {number(worst)} times that without (goal ≤ {most}): {'met' if worst <= most else '**missed**'}"
        yield ""

    def memory(self):
        rows = self.measured("rest", "idle")
        if not rows:
            return
        yield "### Memory (PSS, MiB)\n"
        yield line(["row", "gateway", "nginx", "HAProxy", "h2o", "goal"])
        yield line(["---"] * 6)
        for row in rows:
            (name, most), = row.goals.items()
            values = {p: self.figure(row, p, row.connections[0] if row.measure == "idle" else 0, name) for p in ("gateway", *PEERS)}
            own = values["gateway"]
            met = "not measured" if own is None else "met" if own <= most else "**missed**"
            yield line([row.title + (f": {row.connections[0]:,}" if row.measure == "idle" else ""), *(number(v) for v in values.values()), f"≤ {most}: {met}"])
        yield ""

    def calls(self):
        found = {f["proxy"]: f["calls"] for f in self.bench.found if "calls" in f}
        if not found:
            return
        yield "### System calls of one chat (keep-alive, one connection)\n"
        yield line(["call", *(NAMES[p] for p in found)])
        yield line(["---"] * (1 + len(found)))
        for call in sorted({c for calls in found.values() for c in calls}):
            yield line([call, *(f"{calls.get(call, 0):.2f}" for calls in found.values())])
        yield line(["all", *(f"{sum(calls.values()):.2f}" for calls in found.values())])
        yield ""

    def wrong(self):
        """Loudly: what is not there, and what did not work."""
        for kind, found in (("MISSING", self.bench.missing), ("BROKEN", self.bench.broken), ("NOT POSSIBLE HERE", self.bench.limits)):
            for one in found:
                yield f"**{kind}** row {one['row']}, {one['proxy']}: {one['why']}\n"

    def text(self):
        yield self.head + "\n"
        yield from self.wrong()
        for section in (self.cpu, self.times, self.limiting, self.translation, self.failover, self.flood, self.paced, self.streams, self.memory, self.calls):
            yield from section()
        yield NOTES


def failover_cpu(sound, failing):
    """Some of the answers were the first provider's own, and cost what any other answer does."""
    again, once = failing["again_n"] / len(failing["rounds"]), failing["once_n"]
    return (failing["cpu_usec"] * (again + once) - sound["cpu_usec"] * once) / again


def share(value):
    return f"{100 * value:.0f} %" + (" **busy**" if value > BUSY else "")
