-- ARGV from 6: bytes of messages, then for each follow: the timeline, after (-1 = only its head), the epoch of that ('' = not
-- known), a limit, 1 = a comet wrote what is there.
-- Returns for each: {seq, epoch, 1 = recovered, 1 = there are more, the first message's seq, messages}.
local left = tonumber(ARGV[6])

-- A comet that is beyond the head has written what is not here any more. The word of a client proves nothing.
for i = 7, #ARGV, 5 do
    local head = head_of(ARGV[i])
    if ARGV[i + 4] == '1' and ARGV[i + 2] == head.epoch and tonumber(ARGV[i + 1]) > head.seq then
        begin_epoch('claim')
    end
end

-- Up to `limit` messages from an index on, and no more bytes than are left; but the first of all in this call comes anyhow.
local served = false
local function page(name, index, limit)
    local messages = {}
    while #messages < limit do
        local from = index + #messages
        local some = redis.call('LRANGE', list_of(name), from, from + math.min(limit - #messages, 64) - 1)
        for _, stored in ipairs(some) do
            if served and left < #stored then
                return messages
            end
            served = true
            left = left - #stored - 32
            messages[#messages + 1] = stored
        end
        if #some < 64 then
            break
        end
    end
    return messages
end

local answer = {}
for i = 7, #ARGV, 5 do
    local head = head_of(ARGV[i])
    age(head)
    -- Its life begins anew; that is written only when a tenth of it is over, for this is also how comets look for news.
    if not head.dirty and redis.call('PTTL', base .. ':h:' .. head.name) < life_of(head) * 0.9 then
        head.dirty = true
    end
    local after, its, limit = tonumber(ARGV[i + 1]), ARGV[i + 2], tonumber(ARGV[i + 3])
    local first = head.seq - head.length + 1
    local recovered = after < 0 or (its == head.epoch and after <= head.seq and first <= after + 1)
    local last, begins, messages = after, 0, {}
    local asked = after >= 0 and (its == head.epoch or its == '') and after < head.seq
    if asked and head.length > 0 and limit > 0 and (not served or left > 0) then
        begins = math.max(after + 1, first)
        messages = page(head.name, begins - first, limit)
        last = begins + #messages - 1
    end
    local more = asked and last < head.seq and head.length > 0
    answer[#answer + 1] = {head.seq, head.epoch, recovered and 1 or 0, more and 1 or 0, begins, messages}
end
save_heads()
return finish(answer)
