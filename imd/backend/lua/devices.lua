-- ARGV: prefix, mid, platform. Returns key, <boot>:<server>, arrival, key, ... in no order.
local answer = {}
local held = redis.call('HGETALL', member_of(ARGV[2]))
for i = 1, #held, 2 do
    local boot, server, platform, arrival = split_member(held[i + 1])
    if platform == ARGV[3] and lives(server, boot) then
        answer[#answer + 1] = held[i]
        answer[#answer + 1] = boot .. ':' .. server
        answer[#answer + 1] = arrival
    end
end
return answer
