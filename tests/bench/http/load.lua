-- What wrk counted, as one line of JSON. With the argument "miss", each request has another query string.
local count = 0

function init(arguments)
  if arguments[1] then
    request = function()
      count = count + 1
      return wrk.format("GET", wrk.path .. "?n=" .. arguments[1] .. "-" .. count)
    end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'JSON {"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
