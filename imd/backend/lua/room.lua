-- Rooms. A room's hash holds server -> <boot>:<members there>; a type's sorted set holds rooms by minus their members,
-- as far as they were counted last.
local function room_of(room)
    return prefix .. ':room:' .. room
end

local function type_of(room)
    return prefix .. ':top:' .. (string.match(room, '^(.-)://') or '')
end

local function split_count(value)
    return string.match(value, '^(%d+):(%d+)$') -- boot, members
end

-- Counts the room's members on living comets anew, forgets dead ones (but not `mine`, which may be about to come back),
-- corrects the sorted set, and returns the count.
local function recount(room, mine)
    local total = 0
    local held = redis.call('HGETALL', room_of(room))
    for i = 1, #held, 2 do
        local boot, members = split_count(held[i + 1])
        if lives(held[i], boot) then
            total = total + tonumber(members)
        elseif held[i] ~= mine then
            redis.call('HDEL', room_of(room), held[i])
        end
    end
    if total > 0 then
        redis.call('ZADD', type_of(room), -total, room)
    else
        redis.call('ZREM', type_of(room), room)
    end
    return total
end
