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
import subprocess
import sys
import tempfile
import threading
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
worker_processes 1;
daemon off;
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
                                        stderr=subprocess.DEVNULL)
        self.port = port
        wait_for(lambda: (self.directory / "pid").exists() and self.workers(), what="nginx")

    def workers(self):
        return [int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()]

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


def measure(port, pids, connections, seconds, body, key):
    wrk(port, connections, 1, body, key)  # connections to the provider are made, caches are warm
    before = sum(cpu_seconds(pid) for pid in pids)
    found = wrk(port, connections, seconds, body, key)
    used = sum(cpu_seconds(pid) for pid in pids) - before
    return {**found, "cpu_usec": used * 1e6 / found["requests"]}


def provider_text(body):
    return body.replace("\\", "\\\\").replace("'", "\\'")


def compare(gateway, key, kind, body, provider, seconds):
    proxy = Nginx(free_port(), "location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_buffering off; }",
                  "0", f"upstream up {{ server 127.0.0.1:{provider.port}; keepalive 256; keepalive_requests 100000000; }}")
    for connections in CONNECTIONS:
        one = measure(proxy.port, proxy.workers(), connections, seconds, body, key)
        two = measure(gateway.port, [gateway.pid], connections, seconds, body, key)
        print(f"| {kind} | {connections} | {one['requests'] / one['seconds']:.0f} | {two['requests'] / two['seconds']:.0f} | "
              f"{one['cpu_usec']:.1f} | {two['cpu_usec']:.1f} | {two['cpu_usec'] / one['cpu_usec']:.2f} | "
              f"{one['p50']}/{one['p99']} | {two['p50']}/{two['p99']} |", flush=True)
    proxy.close()


def syscalls(gateway, key):
    """Counts of the worker that serves one keep-alive connection, per request; what the rest of the process does is left out."""
    with gateway.connect() as wire:
        def some(n):
            for _ in range(n):
                wire.request("POST", "/v1/chat/completions", bearer(key), json.loads(BODY))
                assert wire.read().status == 200
        some(50)
        log = gateway.directory / "strace"
        tracer = subprocess.Popen(["strace", "-f", "-c", "-U", "calls,name", "-o", log, "-p", str(gateway.pid)], stderr=subprocess.PIPE, text=True)
        n_threads = len(os.listdir(f"/proc/{gateway.pid}/task"))
        for _ in range(n_threads):
            tracer.stderr.readline()  # "Process N attached"
        threading.Event().wait(0.5)
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
    answer, events = json.dumps(chat_json("Paris. " * 20)), "".join(stream_frames([f"word{n} " for n in range(30)]))
    # nginx cannot look into a body: two providers, each with one answer to everything.
    plain, streaming = (Nginx(free_port(), f"location / {{ default_type {kind}; return 200 '{provider_text(text)}'; }}", "1")
                        for kind, text in (("application/json", answer), ("text/event-stream", events)))
    config = f'[provider "stream"]\ndialect = openai\nbase_url = http://127.0.0.1:{streaming.port}/v1\n[model "stream"]\ntarget = stream\n'
    with Gateway(f"http://127.0.0.1:{plain.port}/v1", config=config, workers=1, log_level="info") as gateway:
        os.sched_setaffinity(gateway.pid, {0})
        for task in os.listdir(f"/proc/{gateway.pid}/task"):
            os.sched_setaffinity(int(task), {0})
        key = gateway.create_key("bench")
        wait_for(lambda: gateway.chat(key).status == 200, 2)
        started = time.strftime("%Y-%m-%d")
        rss, pss = gateway.memory()
        print(f"Run of {started}; gateway with 1 worker on one core, RSS {rss} KiB, PSS {pss} KiB\n")
        print("| kind | connections | nginx req/s | gateway req/s | nginx CPU µs | gateway CPU µs | ratio | nginx p50/p99 µs | gateway p50/p99 µs |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        compare(gateway, key, "answer", BODY, plain, seconds)
        compare(gateway, key, "stream", STREAM_BODY, streaming, seconds)
        syscalls(gateway, key)
    plain.close()
    streaming.close()


if __name__ == "__main__":
    main()
