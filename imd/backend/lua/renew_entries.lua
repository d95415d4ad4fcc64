-- ARGV: prefix, boot, server, seconds, then for each entry: key, mid. Returns the keys that are another living one's.
local boot, server, seconds = ARGV[2], ARGV[3], ARGV[4]
local others = {}
for i = 5, #ARGV, 2 do
    local key, mid = ARGV[i], ARGV[i + 1]
    local mine = boot .. ':' .. mid .. ':' .. server
    local held = redis.call('GET', entry_of(key))
    local free = true
    if held and held ~= mine then
        local held_boot, held_mid, held_server = split(held)
        local elsewhere = held_boot ~= boot or held_server ~= server
        if elsewhere and lives(held_server, held_boot) then
            free = false
        elseif held_mid ~= mid then
            unlink_member(key, held_mid)
        end
    end
    if free then
        redis.call('SET', entry_of(key), mine, 'EX', seconds)
        link_member(key, mid, boot, server, seconds)
    else
        others[#others + 1] = key
    end
end
return others
