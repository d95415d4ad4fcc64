-- ARGV: prefix, boot, server, seconds, then for each arrival: key, mid, platform. Returns key, boot, server of each living older
-- connection elsewhere.
local boot, server, seconds = ARGV[2], ARGV[3], ARGV[4]
local displaced = {}

-- One entry came: up to eight that dead comets left may go. So they cannot pile up under a member who is always here.
local function tidy(mid)
    if redis.call('HLEN', member_of(mid)) == 1 then
        return -- what came
    end
    local some = redis.call('HRANDFIELD', member_of(mid), 8, 'WITHVALUES')
    for i = 1, #some, 2 do
        local its_boot, its_server = split_member(some[i + 1])
        if its_server ~= server and not lives(its_server, its_boot) then
            redis.call('HDEL', member_of(mid), some[i])
        end
    end
end

for i = 5, #ARGV, 3 do
    local key, mid, platform = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local older = redis.call('GET', entry_of(key))
    if older then
        local older_boot, older_mid, older_server = split(older)
        if older_mid ~= mid then
            unlink_member(key, older_mid)
        end
        local elsewhere = older_boot ~= boot or older_server ~= server
        if elsewhere and lives(older_server, older_boot) then
            displaced[#displaced + 1] = key
            displaced[#displaced + 1] = older_boot
            displaced[#displaced + 1] = older_server
        end
    end
    redis.call('SET', entry_of(key), boot .. ':' .. mid .. ':' .. server, 'EX', seconds)
    link_member(key, mid, boot, server, seconds, platform)
    if mid ~= '0' then
        tidy(mid)
    end
end
return displaced
