#!/usr/bin/python3
"""What one chat costs: CPU time per request beside nginx as a plain proxy in the same run, and the syscalls of one request.

Both proxies are pinned to one core, load and provider to another, so that each is as busy as it can be. Compare ratios of one
run, never numbers of two. Needs nginx, wrk and strace; prints Markdown.

usage: bench.py [SECONDS-PER-MEASUREMENT]
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "daemon"))

from fake import chat_json, stream_frames  # noqa: E402
from gateway import Gateway, bearer, free_port, wait_for  # noqa: E402

CONNECTIONS = (1, 16, 128)
BODY = json.dumps({"model": "bench", "messages": [{"role": "user", "content": "What is the capital of France? " * 20}]})
STREAM_BODY = json.dumps({**json.loads(BODY), "model": "stream", "stream": True})
SYSCALL_REQUESTS = 500


class Nginx:
    """A server from one piece of configuration, in a directory of its own."""

    def __init__(self, port, server, cores, extra=""):
        self.directory = Path(tempfile.mkdtemp(prefix="scribe-bench-"))
        text = f"""
daemon off;
master_process off; # one process: the one that is measured
pid {self.directory}/pid;
error_log {self.directory}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {self.directory}/body;
    proxy_temp_path {self.directory}/proxy;
    fastcgi_temp_path {self.directory}/f; uwsgi_temp_path {self.directory}/u; scgi_temp_path {self.directory}/s;
    keepalive_requests 100000000;
    client_body_buffer_size 1m;
    {extra}
    server {{ listen 127.0.0.1:{port} backlog=4096; {server} }}
}}
"""
        (self.directory / "nginx.conf").write_text(text)
        self.process = subprocess.Popen(["taskset", "-c", cores, "nginx", "-p", self.directory, "-c", self.directory / "nginx.conf"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.pid = self.process.pid
        self.port = port
        wait_for(self.answers, what="nginx")

    def answers(self):
        assert self.process.poll() is None, f"nginx did not start: {self.directory}/error.log"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wrk(port, connections, seconds, body, key):
    script = HERE / "chat.lua"
    env = {**os.environ, "BENCH_BODY": body, "BENCH_KEY": key}
    done = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script,
                           f"http://127.0.0.1:{port}/v1/chat/completions"], env=env, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["errors"] == 0, done.stdout
    return found


def measure(port, pid, connections, seconds, body, key):
    wrk(port, connections, 1, body, key)  # connections to the provider are made, caches are warm
    before = cpu_seconds(pid)
    found = wrk(port, connections, seconds, body, key)
    used = cpu_seconds(pid) - before
    return {**found, "cpu_usec": used * 1e6 / found["requests"]}


def provider_text(body):
    return body.replace("\\", "\\\\").replace("'", "\\'")


def compare(gateway, key, kind, body, provider, seconds):
    with Nginx(free_port(), "location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_buffering off; }",
                  "0", f"upstream up {{ server 127.0.0.1:{provider.port}; keepalive 256; keepalive_requests 100000000; }}") as proxy:
        for connections in CONNECTIONS:
            one = measure(proxy.port, proxy.pid, connections, seconds, body, key)
            two = measure(gateway.port, gateway.pid, connections, seconds, body, key)
            print(f"| {kind} | {connections} | {one['requests'] / one['seconds']:.0f} | {two['requests'] / two['seconds']:.0f} | "
                  f"{one['cpu_usec']:.1f} | {two['cpu_usec']:.1f} | {two['cpu_usec'] / one['cpu_usec']:.2f} | "
                  f"{one['p50']}/{one['p99']} | {two['p50']}/{two['p99']} |", flush=True)


def syscalls(gateway, key):
    """Of all threads of the gateway, per request of one keep-alive connection; what comes less often than every fiftieth time
    (timers, syncs) is left out."""
    with gateway.connect() as wire:
        def some(n):
            for _ in range(n):
                wire.request("POST", "/v1/chat/completions", bearer(key), json.loads(BODY))
                assert wire.read().status == 200
        some(50)
        log = gateway.directory / "strace"
        tracer = subprocess.Popen(["strace", "-f", "-c", "-U", "calls,name", "-o", log, "-p", str(gateway.pid)], stderr=subprocess.PIPE, text=True)
        assert "attached" in tracer.stderr.readline()  # "Process N attached with M threads": one line for all
        some(SYSCALL_REQUESTS)
        tracer.terminate()
        tracer.wait()
    print(f"\n| syscall | per request (of {SYSCALL_REQUESTS}, one connection) |\n| --- | --- |")
    for line in log.read_text().splitlines():
        match = re.match(r"\s*(\d+)\s+([a-z0-9_]+)\s*$", line)
        if match and match[2] != "total" and int(match[1]) >= SYSCALL_REQUESTS / 50:
            print(f"| {match[2]} | {int(match[1]) / SYSCALL_REQUESTS:.2f} |")


def main():
    seconds = int(sys.argv[1]) if sys.argv[1:] else 5
    answer, events = json.dumps(chat_json("Paris. " * 20)), "".join(stream_frames([f"word{n} " for n in range(14)]))  # nginx takes 4 KiB at most
    # nginx cannot look into a body: two providers, each with one answer to everything.
    with Nginx(free_port(), f"location / {{ default_type application/json; return 200 '{provider_text(answer)}'; }}", "1") as plain, \
            Nginx(free_port(), f"location / {{ default_type text/event-stream; return 200 '{provider_text(events)}'; }}", "1") as streaming:
        config = f'[provider "stream"]\ndialect = openai\nbase_url = http://127.0.0.1:{streaming.port}/v1\npool_max = 256\n' \
                 '[model "stream"]\ntarget = stream\n'
        # The ring holds what the ledger, on the load's core, has not come to yet.
        with Gateway(f"http://127.0.0.1:{plain.port}/v1", config=config, provider="pool_max = 256", workers=1,
                     dropins={"90-bench.conf": "[journal]\nsize = 256M\n"}) as gateway:
            run(gateway, plain, streaming, seconds)


def run(gateway, plain, streaming, seconds):
    for task in os.listdir(f"/proc/{gateway.pid}/task"):
        os.sched_setaffinity(int(task), {0})
    os.sched_setaffinity(gateway.ledger_pid(), {1})
    key = gateway.create_key("bench")
    wait_for(lambda: gateway.chat(key).status == 200, 2)
    rss, pss = gateway.memory()
    print(f"Run of {time.strftime('%Y-%m-%d')}; gateway with 1 worker on one core, RSS {rss} KiB, PSS {pss} KiB\n")
    print("| kind | connections | nginx req/s | gateway req/s | nginx CPU µs | gateway CPU µs | ratio | nginx p50/p99 µs | gateway p50/p99 µs |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    compare(gateway, key, "answer", BODY, plain, seconds)
    compare(gateway, key, "stream", STREAM_BODY, streaming, seconds)
    syscalls(gateway, key)


if __name__ == "__main__":
    main()
