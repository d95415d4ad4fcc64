-- Appends pushes to one partition, in order, and to their timelines, unless their idempotency key was used before.
-- ARGV from 6: ms that such a key is remembered, then for each push: its key ('' without one), its mark ('' likewise), its
-- bytes, how many timelines it has, and if it has any: its message, how many messages they keep, for how many ms, their names.
-- Returns the entries in the stream; for each push its places ('' = live), as MessagePack [epoch, seq, n, seq, n, ...] where
-- the timeline's epoch is <epoch>-<n>; then for each push that was not appended: its number (from 1), the earlier mark and,
-- behind a colon, places.
local stream = base .. ':pushes'
local idempotency_ms = ARGV[6]

local function walk(visit)
    local i = 7
    local number = 0
    while i <= #ARGV do
        local names = tonumber(ARGV[i + 3])
        number = number + 1
        visit(number, i, names)
        i = i + 4 + (names > 0 and 3 + names or 0)
    end
end

-- A key of a wrong type fails before anything is written.
redis.call('XLEN', stream)
redis.call('ZSCORE', due_key, '')
walk(function(_, i, names)
    for j = i + 7, i + 6 + names do
        head_of(ARGV[j])
    end
end)

-- Returns the head after it.
local function append(name, stored, count, keep)
    local head = head_of(name)
    head.length = redis.call('RPUSH', list_of(name), stored)
    head.seq = head.seq + 1
    head.dirty = true
    if head.length > count then
        let_go(head, head.length - count)
    end
    if head.due == 0 or head.keep ~= keep then
        head.keep = keep
        reschedule(head)
    end
    age(head)
    return head
end

local all_places, earlier = {}, {}
walk(function(number, i, names)
    local key = ARGV[i] ~= '' and base .. ':idem:' .. ARGV[i]
    local mark = key and redis.call('GET', key)
    all_places[number] = ''
    if mark then
        earlier[#earlier + 1] = number
        earlier[#earlier + 1] = mark
        return
    end
    if names > 0 then
        local places = {epoch}
        local stored, count, keep = ARGV[i + 4], tonumber(ARGV[i + 5]), tonumber(ARGV[i + 6])
        for j = i + 7, i + 6 + names do
            local head = append(ARGV[j], stored, count, keep)
            places[#places + 1] = head.seq
            places[#places + 1] = tonumber(string.sub(head.epoch, #epoch + 2))
        end
        added.kept = added.kept + names
        all_places[number] = cmsgpack.pack(places)
        redis.call('XADD', stream, '*', 'p', ARGV[i + 2], 's', all_places[number])
    else
        redis.call('XADD', stream, '*', 'p', ARGV[i + 2])
    end
    added.appended = added.appended + 1
    if key then
        redis.call('SET', key, ARGV[i + 1] .. ':' .. all_places[number], 'PX', idempotency_ms)
    end
end)
save_heads()
return finish({redis.call('XLEN', stream), all_places, earlier})
