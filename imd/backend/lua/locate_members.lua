-- ARGV: prefix, mids. Returns for each a list: key, <boot>:<server>, key, ...
local answer = {}
for i = 2, #ARGV do
    local found = {}
    local held = redis.call('HGETALL', member_of(ARGV[i]))
    for j = 1, #held, 2 do
        local boot, server = split_member(held[j + 1])
        if lives(server, boot) then
            found[#found + 1] = held[j]
            found[#found + 1] = boot .. ':' .. server
        end
    end
    answer[i - 1] = found
end
return answer
