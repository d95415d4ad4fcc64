-- ARGV: prefix, boot, server, seconds, key, mid, platform. Returns {boot, server} of a living older connection elsewhere, or nothing.
local boot, server, seconds, key, mid = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local older = redis.call('GET', entry_of(key))
local answer = false
if older then
    local older_boot, older_mid, older_server = split(older)
    if older_mid ~= mid then
        unlink_member(key, older_mid)
    end
    local elsewhere = older_boot ~= boot or older_server ~= server
    if elsewhere and lives(older_server, older_boot) then
        answer = {older_boot, older_server}
    end
end
redis.call('SET', entry_of(key), boot .. ':' .. mid .. ':' .. server, 'EX', seconds)
link_member(key, mid, boot, server, seconds, ARGV[7])
if mid ~= '0' then
    -- One entry came: up to eight that dead comets left may go. So they cannot pile up under a member who is always here.
    local some = redis.call('HRANDFIELD', member_of(mid), 8, 'WITHVALUES')
    for i = 1, #some, 2 do
        local its_boot, its_server = split_member(some[i + 1])
        if its_server ~= server and not lives(its_server, its_boot) then
            redis.call('HDEL', member_of(mid), some[i])
        end
    end
end
return answer
