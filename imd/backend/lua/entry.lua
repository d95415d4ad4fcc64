-- Presence. A key's entry is <boot>:<mid>:<server>. A member's hash holds key -> <boot>:<microseconds>:<n>:<platform><server>: when
-- the connection came, by Redis' clock, and with which platform, of n bytes. Mid 0 has no hash.
local function entry_of(key)
    return prefix .. ':key:' .. key
end

local function member_of(mid)
    return prefix .. ':member:' .. mid
end

local function split(entry)
    return string.match(entry, '^(%d+):(-?%d+):(.*)$') -- boot, mid, server
end

local function split_member(value)
    local boot, arrival, bytes, rest = string.match(value, '^(%d+):(%d+):(%d+):(.*)$')
    return boot, string.sub(rest, bytes + 1), string.sub(rest, 1, bytes), arrival -- boot, server, platform, arrival
end

local function unlink_member(key, mid)
    if mid ~= '0' then
        redis.call('HDEL', member_of(mid), key)
    end
end

local function link_member(key, mid, boot, server, seconds, platform)
    if mid ~= '0' then
        local now = redis.call('TIME')
        local arrival = now[1] .. string.format('%06d', now[2])
        local value = boot .. ':' .. arrival .. ':' .. #platform .. ':' .. platform .. server
        redis.call('HSET', member_of(mid), key, value)
        redis.call('EXPIRE', member_of(mid), seconds)
    end
end
