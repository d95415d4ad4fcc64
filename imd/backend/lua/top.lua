-- ARGV: prefix, type, from (0 = the largest), how many. Counts each of these rooms anew.
-- Returns how many counts had been wrong (then the order may be, too), then for each room: room, members.
local sorted = prefix .. ':top:' .. ARGV[2]
local listed = redis.call('ZRANGE', sorted, ARGV[3], ARGV[3] + ARGV[4] - 1, 'WITHSCORES')
local answer = {0}
for i = 1, #listed, 2 do
    local members = recount(listed[i], '')
    if members ~= -tonumber(listed[i + 1]) then
        answer[1] = answer[1] + 1
    end
    answer[#answer + 1] = listed[i]
    answer[#answer + 1] = members
end
return answer
