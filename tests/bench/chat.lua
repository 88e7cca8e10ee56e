-- For wrk: a chat with key and body from the environment; one line of JSON at the end.
wrk.method = "POST"
wrk.body = os.getenv("BENCH_BODY")
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY")

function done(summary, latency, requests)
    local e = summary.errors
    print(string.format('{"requests":%d,"seconds":%f,"errors":%d,"p50":%d,"p99":%d}', summary.requests, summary.duration / 1e6,
        e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
