-- Presence. A key's entry is <boot>:<mid>:<server>; a member's hash holds key -> <boot>:<server>. Mid 0 has no hash.
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
    return string.match(value, '^(%d+):(.*)$') -- boot, server
end

local function unlink_member(key, mid)
    if mid ~= '0' then
        redis.call('HDEL', member_of(mid), key)
    end
end

local function link_member(key, mid, boot, server, seconds)
    if mid ~= '0' then
        redis.call('HSET', member_of(mid), key, boot .. ':' .. server)
        redis.call('EXPIRE', member_of(mid), seconds)
    end
end
