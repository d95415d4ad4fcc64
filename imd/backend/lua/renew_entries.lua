-- ARGV: prefix, boot, server, seconds, then for each entry: key, mid. Returns the keys that are another living one's.
local boot, server, seconds = ARGV[2], ARGV[3], ARGV[4]
local others = {}

-- Whether the member's hash has this connection, which keeps the platform and the time it came with.
local function keep_member(key, mid, boot, server, seconds)
    local held = mid ~= '0' and redis.call('HGET', member_of(mid), key)
    if not held then
        return false
    end
    local held_boot, held_server = split_member(held)
    if held_boot ~= boot or held_server ~= server then
        return false
    end
    redis.call('EXPIRE', member_of(mid), seconds)
    return true
end

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
        if not keep_member(key, mid, boot, server, seconds) then
            link_member(key, mid, boot, server, seconds, '')
        end
    else
        others[#others + 1] = key
    end
end
return others
