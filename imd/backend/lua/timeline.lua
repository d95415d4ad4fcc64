-- Timelines of a partition. `:h:<name>` is a timeline's head, `<seq> <epoch> <ms that messages are kept> <due> <held>`: due is
-- when its oldest message is too old, 0 = it has none; held is how many it has. `:t:<name>` is the list of its messages, the oldest first: seqs have no holes, so
-- the first one's is seq - length + 1. `:due` sorts timelines by due; a due there may be too early. `:a:<name>` is a hash of
-- positions: device -> `<seq> <turn>`; its field '' is `<epoch> <turn> <greatest seq>`.
local due_key = base .. ':due'

local function list_of(name)
    return base .. ':t:' .. name
end

-- (at_ms) of a stored message: the second of an array that begins with the id.
local function at_of(stored)
    local _, _, at = cmsgpack.unpack_limit(stored, 2, 1)
    return at
end

-- The greatest position of any device in the head's numbering.
local function handled(head)
    local held = redis.call('HGET', base .. ':a:' .. head.name, '')
    local its, _, greatest = string.match(held or '', '^(%S+) (%d+) (%d+)$')
    return its == head.epoch and tonumber(greatest) or 0
end

local function reschedule(head)
    head.dirty = true
    if head.length == 0 then
        head.due = 0
        redis.call('ZREM', due_key, head.name)
    else
        head.due = at_of(redis.call('LINDEX', list_of(head.name), 0)) + head.keep
        redis.call('ZADD', due_key, head.due, head.name)
    end
end

-- Lets go of the oldest ones. They count as acked as far as any device has handled them.
local function let_go(head, count)
    local acked = math.max(0, math.min(count, handled(head) - (head.seq - head.length)))
    added.acked = added.acked + acked
    added.expired = added.expired + count - acked
    redis.call('LTRIM', list_of(head.name), count, -1)
    head.length = redis.call('LLEN', list_of(head.name)) -- not reckoned: what is held is counted apart from what went
    head.dirty = true
end

-- Lets go of what is too old. Messages are in the order of their time but for the difference of clocks.
local function age(head)
    if head.length == 0 or head.due > now then
        return
    end
    local low, high = 0, head.length -- all before low are too old, high and those behind it are not
    while low < high do
        local middle = math.floor((low + high) / 2)
        if at_of(redis.call('LINDEX', list_of(head.name), middle)) + head.keep <= now then
            low = middle + 1
        else
            high = middle
        end
    end
    if low > 0 then
        let_go(head, low)
    end
    reschedule(head)
end

local heads = {} -- name -> head, of this call

-- What is stored, whatever its epoch; nil when there is none.
local function stored_head(name)
    local held = redis.call('GET', base .. ':h:' .. name)
    if not held then
        return nil
    end
    local seq, its, keep, due, counted = string.match(held, '^(%d+) (%S+) (%d+) (%d+) (%d+)$')
    local head = {name = name, seq = tonumber(seq), epoch = its, keep = tonumber(keep), due = tonumber(due)}
    head.held, head.dirty = tonumber(counted), false
    return head
end

-- Begins another numbering. What is held keeps its number: it can be read on from there.
local function renumber(head)
    head.epoch = epoch .. '-' .. string.format('%d', appended + added.appended)
    head.dirty = true
end

local function head_of(name)
    local head = heads[name]
    if not head then
        head = stored_head(name)
        local length = redis.call('LLEN', list_of(name))
        if head then
            head.length = length
            if length ~= head.held then -- some went uncounted: evicted, or by another's hand
                reschedule(head)
            end
        else
            head = {name = name, seq = length, epoch = '', keep = 0, due = 0, held = length, length = length, made = true}
            if length > 0 then -- the head of these is forgotten: they are too old by far
                let_go(head, length)
            end
            head.seq = 0
        end
        heads[name] = head
    end
    if string.sub(head.epoch, 1, #epoch + 1) ~= epoch .. '-' then
        renumber(head)
    end
    return head
end

-- For how many ms a head is stored. A room's into which no message ever came is not stored for long (7 days): whoever may
-- join makes one of those, of any name, by joining.
local function life_of(head)
    if head.seq == 0 and string.sub(head.name, 1, 2) == 'r:' then
        return math.min(head_ms, 604800000)
    end
    return math.max(head_ms, head.keep) -- while there is a message there is a head
end

local function save_heads()
    for name, head in pairs(heads) do
        added.held = added.held + head.length - head.held
        if head.dirty then
            local value = string.format('%d %s %d %d %d', head.seq, head.epoch, head.keep, head.due, head.length)
            redis.call('SET', base .. ':h:' .. name, value, 'PX', life_of(head))
        end
    end
end
