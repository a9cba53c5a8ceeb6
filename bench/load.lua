-- load.lua - wrk's script: POST the same raw body again and again; at the end one line of JSON.
--
--   BENCH_BODY   file whose bytes are the body
--   BENCH_TYPE   Content-Type (application/octet-stream)
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
wrk.headers["Content-Type"] = os.getenv("BENCH_TYPE") or "application/octet-stream"

-- Times in microseconds. errors.status counts answers outside 2xx and 3xx; bench/procs.py refuses a run with any error.
function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '\n{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "errors": %d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      e.connect + e.read + e.write + e.status + e.timeout))
end
