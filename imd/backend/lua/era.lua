-- Begins every script of a partition, and ends it: `return finish({...})`.
-- ARGV: the run id of this Redis, `<prefix>:{<partition>}`, 12 random hex digits, ms that heads live, what the caller has seen
-- of this partition (`<epoch>/<tenure>/<appended> ...`). The script's own are from 6 on.
--
-- `:era` is a hash. `epoch` names the numbering of all timelines of the partition: 11 hex digits of ms, 4 random ones, so that a
-- later one is greater. A `tenure` is the time in which one run of one Redis took pushes; `forks` lists those before it
-- (`<tenure>=<appended>`: where each ended, latest first). `appended` counts pushes: it never goes back while nothing is lost.
local run, base, token, head_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local era = base .. ':era'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local held = redis.call('HMGET', era, 'epoch', 'tenure', 'run', 'forks', 'appended')
local epoch, tenure, forks, appended = held[1], held[2], held[4] or '', tonumber(held[5]) or 0
local added = {appended = 0, committed = 0, kept = 0, held = 0, acked = 0, expired = 0} -- by this call; held may be below 0
local why = '' -- the epoch is new: 'empty', 'lost' or 'claim'
local turned = false -- something but a count has changed

local greatest = epoch or '' -- of all epochs that anybody has seen
local seen = {}
for its, of, count in string.gmatch(ARGV[5], '(%x+)/(%x+)/(%d+)') do
    seen[#seen + 1] = {its, of, tonumber(count)}
    if its > greatest then
        greatest = its
    end
end

local function begin_epoch(reason)
    local ms = now
    if greatest ~= '' then
        ms = math.max(ms, tonumber(string.sub(greatest, 1, 11), 16) + 1)
    end
    epoch = string.format('%011x', ms) .. string.sub(token, 9, 12)
    greatest, forks, why, turned = epoch, '', reason, true
end

-- Whether somebody has seen what is not here. An older epoch is void anyway; a greater one went with what was lost.
local function lost(its, of, count)
    if its ~= epoch then
        return its > epoch
    end
    if of == tenure then
        return count > appended
    end
    local ended = string.match(forks, of .. '=(%d+)')
    return not ended or count > tonumber(ended)
end

if not epoch then
    tenure = string.sub(token, 1, 8)
    begin_epoch('empty')
end
for _, each in ipairs(seen) do
    if lost(each[1], each[2], each[3]) then
        begin_epoch('lost')
    end
end

-- Only with its first push does a run begin a tenure: so whoever saw one saw a push that it took, and that would be here too.
local function begin_tenure()
    forks = tenure .. '=' .. string.format('%d', appended) .. ' ' .. forks
    if #forks > 640 then -- 40 or so: whoever slept through all of them is not believed to have lost nothing
        forks = string.match(string.sub(forks, 1, 640), '^.* ')
    end
    tenure, turned = string.sub(token, 1, 8), true
end

-- Writes what has changed, and returns the answer: its first part is for the caller's memory, the rest for the caller.
local function finish(answer)
    if added.appended > 0 and held[3] and held[3] ~= run then
        begin_tenure()
    end
    if turned then
        -- An epoch that begins without a push leaves the run as it is: the next push begins the tenure.
        local of = added.appended > 0 and run or held[3] or run
        redis.call('HSET', era, 'epoch', epoch, 'tenure', tenure, 'run', of, 'forks', forks)
    end
    for name, count in pairs(added) do
        if count ~= 0 then
            redis.call('HINCRBY', era, name, count)
        end
    end
    table.insert(answer, 1, {epoch, tenure, appended + added.appended, why, added.kept, added.acked, added.expired})
    return answer
end
