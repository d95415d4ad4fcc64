-- ARGV: prefix, keys. Returns for each <boot>:<server>, or '' for nowhere.
local answer = {}
for i = 2, #ARGV do
    local found = ''
    local held = redis.call('GET', entry_of(ARGV[i]))
    if held then
        local boot, _, server = split(held)
        if lives(server, boot) then
            found = boot .. ':' .. server
        end
    end
    answer[i - 1] = found
end
return answer
