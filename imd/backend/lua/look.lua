-- Nothing but what every script does: compares what the caller has seen with what is here. Returns counts since the beginning.
local counts = redis.call('HMGET', era, 'committed', 'kept', 'held', 'acked', 'expired')
for i = 1, 5 do
    counts[i] = tonumber(counts[i]) or 0
end
return finish(counts)
