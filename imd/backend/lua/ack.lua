-- ARGV from 6: most devices of a timeline, then for each ack: the timeline, the device, its seq, the epoch of that.
-- Returns how many moved, were not beyond the device's last, were of another numbering, were beyond the head.
local most = tonumber(ARGV[6])

-- Once a tenth too many are there, those go that have not moved for longest: so each ack looks at ten, taken together.
local function thin(key)
    if redis.call('HLEN', key) - 1 <= most * 1.1 then
        return
    end
    local turns, devices = {}, redis.call('HGETALL', key)
    for i = 1, #devices, 2 do
        if devices[i] ~= '' then
            turns[#turns + 1] = {tonumber(string.match(devices[i + 1], ' (%d+)$')), devices[i]}
        end
    end
    table.sort(turns, function(one, other) return one[1] < other[1] end)
    for i = 1, #turns - most do
        redis.call('HDEL', key, turns[i][2])
    end
end

local function move(head, device, seq)
    local key = base .. ':a:' .. head.name
    local found = redis.call('HMGET', key, '', device)
    local its, turn, greatest = string.match(found[1] or '', '^(%S+) (%d+) (%d+)$')
    if its ~= head.epoch then
        redis.call('DEL', key)
        turn, greatest, found[2] = 0, 0, false
    end
    local before = tonumber(string.match(found[2] or '', '^%d+')) or -1
    if seq <= before then
        return 2
    end
    turn = turn + 1
    greatest = math.max(greatest, seq)
    redis.call('HSET', key, '', string.format('%s %d %d', head.epoch, turn, greatest), device, string.format('%d %d', seq, turn))
    redis.call('PEXPIRE', key, head_ms)
    if not found[2] then
        thin(key)
    end
    return 1
end

local counts = {0, 0, 0, 0}
for i = 7, #ARGV, 4 do
    local head = stored_head(ARGV[i])
    local seq = tonumber(ARGV[i + 2])
    local outcome = 3
    if head and head.epoch == ARGV[i + 3] and string.sub(head.epoch, 1, #epoch + 1) == epoch .. '-' then
        outcome = seq > head.seq and 4 or move(head, ARGV[i + 1], seq)
    end
    counts[outcome] = counts[outcome] + 1
end
return finish(counts)
