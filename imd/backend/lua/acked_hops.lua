-- Which traced messages devices have acked for the first time; <prefix>:trace:<id>:acked remembers which.
-- ARGV: prefix, seconds, most messages of a timeline, then per ack: timeline, device, seq, epoch.
-- Answers, flat: number of the ack (from 0), id, seq of each.
local prefix, seconds, most_messages = ARGV[1], ARGV[2], ARGV[3]
local found = {}
for i = 4, #ARGV, 4 do
    local timeline, device, seq, epoch = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    local traced = prefix .. ':traced:' .. timeline
    local up_to = redis.call('ZRANGE', traced, seq, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, most_messages, 'WITHSCORES')
    for j = 1, #up_to, 2 do
        local id, of = string.match(up_to[j], '^(-?%d+):(.*)$')
        local acked = prefix .. ':trace:' .. id .. ':acked'
        if redis.call('LLEN', prefix .. ':trace:' .. id) == 0 then
            redis.call('ZREM', traced, up_to[j]) -- its trace has expired
        elseif of == epoch then
            if redis.call('HSET', acked, timeline .. ' ' .. device, 1) == 0 then
                break -- and so the device has what was before it
            end
            redis.call('EXPIRE', acked, seconds)
            found[#found + 1] = (i - 4) / 4
            found[#found + 1] = id
            found[#found + 1] = up_to[j + 1]
        end
    end
end
return found
