-- wrk's side of the bench: the request that the arguments describe, and one line of figures at the end.

function init(args)
    wrk.method = args[1]
    if tonumber(args[2]) > 0 then
        wrk.body = string.rep("x", tonumber(args[2]))
    end
    if args[3] == "traced" then
        local head = wrk.format():sub(1, -3) .. "traceparent: 00-"
        local random = math.random
        request = function()
            return string.format("%s%08x%08x%08x%08x-%08x%08x-01\r\n\r\n", head,
                random(1, 0x7fffffff), random(0, 0x7fffffff), random(0, 0x7fffffff), random(0, 0x7fffffff),
                random(1, 0x7fffffff), random(0, 0x7fffffff))
        end
    end
end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        "figures requests=%d seconds=%.6f p50=%.3f p99=%.3f bytes=%d failed=%d refused=%d\n",
        summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), summary.bytes,
        errors.connect + errors.read + errors.write, errors.status))
end
