-- Hops of traced pushes. <prefix>:trace:<id> lists a push's hops; <prefix>:traced:<timeline> has the traced messages of a
-- timeline, <id>:<epoch> by seq; <prefix>:traced is there while any timeline has one.
-- ARGV: prefix, seconds, most hops of a push, most messages of a timeline, then per hop: id, timeline, epoch, seq, hop.
-- The timeline is empty where there is nothing to be found by acks.
local prefix, seconds, most_hops, most_messages = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
for i = 5, #ARGV, 5 do
    local id, timeline, epoch, seq, hop = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
    local trace = prefix .. ':trace:' .. id
    if redis.call('LLEN', trace) < most_hops then
        redis.call('RPUSH', trace, hop)
    end
    redis.call('EXPIRE', trace, seconds)
    if timeline ~= '' then
        local traced = prefix .. ':traced:' .. timeline
        redis.call('ZADD', traced, seq, id .. ':' .. epoch)
        for _, old in ipairs(redis.call('ZRANGE', traced, 0, -most_messages - 1)) do
            redis.call('ZREM', traced, old)
        end
        -- longer than the trace itself, which later hops keep alive
        redis.call('EXPIRE', traced, 2 * seconds)
        redis.call('SET', prefix .. ':traced', 1, 'EX', 2 * seconds)
    end
end
