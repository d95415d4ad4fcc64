-- ARGV: prefix, rooms. Returns for each a list of living ones: server, <boot>:<members there>, server, ...
local answer = {}
for i = 2, #ARGV do
    local found = {}
    local held = redis.call('HGETALL', room_of(ARGV[i]))
    for j = 1, #held, 2 do
        local boot = split_count(held[j + 1])
        if lives(held[j], boot) then
            found[#found + 1] = held[j]
            found[#found + 1] = held[j + 1]
        end
    end
    answer[i - 1] = found
end
return answer
