-- ARGV: prefix, boot, server, seconds, then for each room: room, members here. Returns the members of each everywhere.
local boot, server, seconds = ARGV[2], ARGV[3], ARGV[4]
local answer = {}
local types = {}
for i = 5, #ARGV, 2 do
    local room = ARGV[i]
    redis.call('HSET', room_of(room), server, boot .. ':' .. ARGV[i + 1])
    redis.call('EXPIRE', room_of(room), seconds)
    answer[#answer + 1] = recount(room, server)
    types[type_of(room)] = true
end
-- Rooms that died with their only comet are reported by nobody: look at a few each time, so that they cannot pile up.
for sorted in pairs(types) do
    for _, room in ipairs(redis.call('ZRANDMEMBER', sorted, 16)) do
        recount(room, server)
    end
    redis.call('EXPIRE', sorted, seconds)
end
return answer
