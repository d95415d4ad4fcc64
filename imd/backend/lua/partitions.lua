-- How many partitions the broker has: the first process that asks says it, for all.
-- KEYS: where it is kept. ARGV: the asker's number. Returns what is kept.
local kept = redis.call('GET', KEYS[1])
if not kept then
    redis.call('SET', KEYS[1], ARGV[1])
    kept = ARGV[1]
end
return kept
