-- For wrk: what the environment says; one line of JSON at the end.
wrk.method = os.getenv("BENCH_METHOD")
wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY")
if os.getenv("BENCH_CLOSE") then wrk.headers["Connection"] = "close" end
if os.getenv("BENCH_BODY") then
    wrk.headers["Content-Type"] = "application/json"
    wrk.body = io.open(os.getenv("BENCH_BODY")):read("*a")
end

function done(summary, latency, requests)
    local e = summary.errors
    print(string.format('{"requests":%d,"seconds":%f,"errors":%d,"p50":%d,"p99":%d}', summary.requests, summary.duration / 1e6,
        e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
