-- Which traced messages devices have acked for the first time; <prefix>:trace:<id>:acked remembers which.
-- ARGV: prefix, seconds, most to find, then per ack: timeline, device, seq, epoch.
-- Answers, flat: number of the ack (from 0), id, seq of each. What is beyond the most is left out.
local prefix, seconds, most = ARGV[1], ARGV[2], 3 * tonumber(ARGV[3])
local found = {}

-- Looks at the messages of one page of a timeline, the newest first; false when there is nothing before them to look at.
local function look(number, page, timeline, device, epoch)
    for i = 1, #page, 2 do
        local id, of = string.match(page[i], '^(-?%d+):(.*)$')
        local trace = prefix .. ':trace:' .. id
        if of == epoch and redis.call('LLEN', trace) > 0 then -- else it has expired
            if redis.call('HSET', trace .. ':acked', timeline .. ' ' .. device, 1) == 0 then
                return false -- and so the device has what was before it
            end
            redis.call('EXPIRE', trace .. ':acked', seconds)
            found[#found + 1] = number
            found[#found + 1] = id
            found[#found + 1] = page[i + 1]
            if #found >= most then
                return false
            end
        end
    end
    return #page > 0
end

for i = 4, #ARGV, 4 do
    local timeline, device, seq, epoch = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    local traced = prefix .. ':traced:' .. timeline
    local at, page = 0, nil
    repeat
        page = redis.call('ZRANGE', traced, seq, '-inf', 'BYSCORE', 'REV', 'LIMIT', at, 10, 'WITHSCORES')
        at = at + 10
    until #found >= most or not look((i - 4) / 4, page, timeline, device, epoch)
end
return found
